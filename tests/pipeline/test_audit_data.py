"""The data audit of small projects: what it finds, where it is kept, and what it never quotes."""

import json
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.datasets.audit import DataAudit
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline.audit_data import audit_data

TOML = """
name = "Corner bank"
[[documents.access]]
folder = "staff"
groups = ["staff"]
"""
DOCUMENTS = {
    "wires.md": "# Wire transfers\n\n## What does a wire cost?\n\nAn outgoing wire transfer costs $25.\n",
    "fees.md": "# Fees\n\n| Service | Fee |\n|---|---|\n| Outgoing wire transfer | $21 |\n",
    "hours.md": "# Opening hours\n\nThe branch is open Monday to Friday from 9 am to 5 pm.\n",
    "staff/waivers.md": "# Fee waivers\n\nTellers may waive a fee up to $40 without approval.\n",
    "broken.pdf": "no pdf at all",
}
ASKED = [
    ("What does a wire cost?", "An outgoing wire transfer costs $25."),
    ("When is the branch open?", "The branch is open Monday to Friday from 9 am to 5 pm."),
    ("Do you sell gold coins? My name is Priya Raman, phone 415-555-1345.", "Gold coins are sold at the vault desk on Tuesdays."),
]  # fmt: skip


def written(folder, toml=TOML, rows=30):
    (folder / "documents" / "staff").mkdir(parents=True)
    (folder / "inhouse.toml").write_text(toml)
    for name, text in DOCUMENTS.items():
        (folder / "documents" / name).write_text(text)
    logs = [
        {"id": f"r{n}", "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for n in range(rows) for q, a in [ASKED[n % 3]]
    ]  # fmt: skip
    if rows:
        (folder / "conversations.jsonl").write_text("\n".join(map(json.dumps, logs)))
    return folder


def opened(folder):
    return Workspace(load_project(folder, {}), Catalog())


@pytest.fixture(scope="module")
def bank(tmp_path_factory, models_dir):
    return written(tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def made(bank):
    return audit_data(opened(bank), ask=0)


def test_it_finds_what_is_there(made):
    audit = DataAudit.read(Path(made.path))
    assert audit.coverage.states == {"answered": 20, "missing": 10}
    assert audit.coverage.answered.mean == pytest.approx(2 / 3)
    assert [g.size for g in audit.gaps] == [10]
    assert "gold coins" in audit.gaps[0].questions[0]
    assert [{p.source for p in c.places} for c in audit.conflicts] == [{"wires.md", "fees.md"}]
    assert [path for path, _ in audit.files.unreadable] == ["broken.pdf"]
    assert audit.volume.replies == 30
    assert audit.cases.reason.startswith("There is no verdict")
    assert {g.name for g in audit.grades} == {"volume", "coverage", "retrieval", "contradictions", "outdated", "files",
                                              "repeats", "languages", "personal", "cases"}  # fmt: skip
    assert made.facts["contradictions"] == 1


def test_it_never_quotes_personal_data(made):
    kept = "".join(f.read_text() for f in Path(made.path).iterdir() if f.is_file())
    assert "Priya" not in kept
    assert "415-555-1345" not in kept
    assert DataAudit.read(Path(made.path)).personal.with_any == 10


def test_it_is_made_again_only_when_the_data_changed(bank, made):
    assert audit_data(opened(bank), ask=0).key == made.key
    file = bank / "documents" / "hours.md"
    before = file.read_text()
    try:
        file.write_text(before.replace("9 am", "8 am"))
        assert audit_data(opened(bank), ask=0).key != made.key
    finally:
        file.write_text(before)


def test_a_project_without_conversations_is_audited_by_its_documents(tmp_path, models_dir):
    audit = DataAudit.read(Path(audit_data(opened(written(tmp_path, rows=0)), ask=0).path))
    levels = {g.name: g.level for g in audit.grades}
    assert levels["coverage"] == levels["personal"] == levels["cases"] == "unknown"
    assert levels["volume"] == "poor"
    assert len(audit.conflicts) == 1


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path, models_dir):
    folder = written(tmp_path, TOML + '[curation]\nconversations = ["nowhere.jsonl"]\n', rows=0)
    with pytest.raises(InputError, match=r"nowhere\.jsonl: no such file"):
        audit_data(opened(folder), ask=0)


def test_no_documents_are_an_error(tmp_path, models_dir):
    (tmp_path / "inhouse.toml").write_text(TOML)
    with pytest.raises(InputError, match="documents"):
        audit_data(opened(tmp_path), ask=0)


def test_the_base_model_is_asked_where_there_is_no_verdict(tmp_path, write_project, models_dir):
    folder = write_project(tmp_path / "plans")
    audit = DataAudit.read(Path(audit_data(opened(folder), ask=4).path))
    assert (audit.cases.source, audit.cases.asked) == ("sample", 4)
    assert audit.cases.right.n == 4
    assert not list(Path(opened(folder).store.latest("data_audit").path).glob("answers*")), "no answers are kept"
