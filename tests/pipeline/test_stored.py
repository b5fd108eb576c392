"""Completions of a model elsewhere beside the arms of the verdict: paired, on the questions that both answered."""

import json
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.datasets.importers.run import import_files
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.stored import FILE, compare_stored, write_batch
from inhouse.verdict import Report

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(built, models_dir):
    workspace = Workspace(load_project(built), Catalog(models_dir.parent))
    stages.build(workspace)
    return workspace


def results(batch: Path, answer, out: Path, count=None) -> Path:
    """What the Batch API returns."""
    requests = [json.loads(line) for line in batch.read_text().splitlines()][:count]
    out.write_text("".join(
        json.dumps({"id": f"r{n}", "custom_id": r["custom_id"], "error": None, "response": {"status_code": 200, "body": {
            "id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1_700_000_000 + n, "model": "ft:mini:acme",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": answer(r["custom_id"])}}]}}}) + "\n"
        for n, r in enumerate(requests)))  # fmt: skip
    return out


def test_the_questions_go_out_and_the_answers_are_compared(workspace, tmp_path):
    report = Report.read(Path(workspace.store.latest("report").path))
    batch = tmp_path / "batch.jsonl"
    assert write_batch(workspace, batch, "ft:mini:acme", "Be brief.") == report.questions
    first = json.loads(batch.read_text().splitlines()[0])
    assert first["body"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert first["custom_id"] == report.table[0].id
    right = {q.id: q.reference or "You are welcome." for q in report.table}
    answers = results(batch, right.__getitem__, tmp_path / "answers.jsonl")
    summary = import_files("openai", [batch, answers], tmp_path / "out.jsonl")
    found = compare_stored(workspace, [Path(summary.stored_out)])
    assert (found.questions, found.asked, found.unused) == (report.questions, report.questions, 0)
    assert found.models == ("ft:mini:acme",)
    assert set(found.report.arms) == {"stored", *report.arms}
    theirs = found.report.arms["stored"].metrics["accuracy"].mean
    assert theirs > 0.6
    assert all(q.answers["stored"].scores["accuracy"] == 1 for q in found.report.table if q.checks.must_include)
    for arm, row in found.report.arms.items():
        if arm != "stored":  # the arms' answers are those of the verdict
            assert row.metrics["accuracy"].mean == pytest.approx(report.arms[arm].metrics["accuracy"].mean)
            assert found.gain(arm).mean == pytest.approx(row.metrics["accuracy"].mean - theirs)
    assert "less accurate than the stored completions" in found.sentence
    assert Path(found.path).name == FILE
    assert compare_stored(workspace, [Path(summary.stored_out)]) == found


def test_completions_are_found_by_their_words_and_the_rest_is_counted(workspace, tmp_path):
    file = tmp_path / "a.stored.jsonl"
    rows = [
        {"id": "x", "messages": [{"role": "system", "content": "S"},
         {"role": "user", "content": "Tell me  the charge of plan 2 "}], "answer": "Plan 2 costs $5.", "model": "ft"},
        {"id": "y", "messages": [{"role": "user", "content": "Nobody asked this"}], "answer": "No.", "model": "ft"},
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare_stored(workspace, [file])
    assert (found.questions, found.unused) == (1, 1)
    (question,) = found.report.table
    assert question.answers["stored"].text == "Plan 2 costs $5."
    assert question.answers["stored"].scores["accuracy"] == 1


def test_what_cannot_be_compared_is_said(workspace, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"id": "y", "messages": [{"role": "user", "content": "Q"}], "answer": "A", "model": ""}))
    with pytest.raises(InputError, match="none of the 1 stored completions is of a question of the verdict"):
        compare_stored(workspace, [file])
    file.write_text(json.dumps({"id": "y", "messages": [{"role": "user", "content": "Q"}]}))
    with pytest.raises(InputError, match=r"a.jsonl:1: not a stored completion"):
        compare_stored(workspace, [file])
    assert not [work for work in workspace.store.root.glob("artifacts/comparison/*.work") if (work / FILE).exists()]
