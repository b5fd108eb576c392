"""Continued pre-training on the small project: from the documents to an arm of the verdict."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.ask import open_arms
from inhouse.pipeline.check import examine
from inhouse.pipeline.pretrain import CHATS, chats, general_texts, job_of, parts_of, rewritten
from inhouse.serving.export import export
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.types import Message, Silent
from inhouse.verdict import Report

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SETTINGS = {
    "evaluation.arms": '["base", "rag", "cpt", "cpt+rag"]', "evaluation.probes": "0", "guardrails.rails": "[]",
    "pretraining.rewrites": "3", "pretraining.rank": "4", "pretraining.pack_tokens": "128", "pretraining.learning_rate": "0.02",
    "training.precision": "fp32", "parity.max_divergence_nats": "0.5",
}  # fmt: skip
REQUEST = ChatRequest(messages=(Message(role="user", content="What does plan 2 cost?"),), max_tokens=12)


def workspace_of(folder, models_dir, **overrides):
    return Workspace(load_project(folder, SETTINGS | overrides), Catalog(models_dir.parent))


@pytest.mark.slow
def test_the_stage_end_to_end(built, models_dir, tmp_path, monkeypatch):
    built = shutil.copytree(built, tmp_path / "project")
    workspace = workspace_of(built, models_dir)
    report = stages.build(workspace)
    found = json.loads((Path(report.path) / "report.json").read_text())
    assert list(found["arms"]) == ["base", "rag", "cpt", "cpt+rag"]
    assert all(row["failed"] == 0 for row in found["arms"].values())
    made = workspace.store.latest("pretrained")
    assert (Path(made.path) / "model.gguf").is_file()
    assert (Path(made.path) / "adapter" / "adapter_model.safetensors").is_file()
    facts = made.facts
    assert (facts["sections"], facts["rewrites"]) == (12, 36)
    assert facts["place"] == "this machine"
    assert facts["bits_per_byte_after"]["domain"] < facts["bits_per_byte_before"]["domain"]
    assert 0.6 < facts["domain_tokens"] / sum(facts[f"{k}_tokens"] for k in ("domain", "general", "chat")) < 0.95
    effect = found["pretraining"]
    assert effect["general"] == {"before": facts["bits_per_byte_before"]["general"],
                                 "after": facts["bits_per_byte_after"]["general"]}  # fmt: skip
    assert effect["questions"]["n"] == 40
    kinds = {a.kind for _, a in workspace.store.lineage(report)}
    assert {"pretrained", "pretrained_parity"} <= kinds
    assert "adapter" not in kinds
    assert "Do not continue pre-training" in found["recommendation"]["sentence"]
    assert "Continued pre-training: bits per byte" in (Path(report.path) / "report.html").read_text()
    again = workspace_of(built, models_dir, **{"release.arm": "cpt+rag"})
    assert stages.build(again) == report
    with pytest.raises(GateError, match="accuracy of cpt\\+rag over base"):  # a random model gains nothing
        Releases(again).make()
    monkeypatch.setattr("inhouse.serving.releases.gate_rules", lambda *given: [])
    release = Releases(again).make()
    assert (release.arm, release.pretrained, release.adapter) == ("cpt+rag", made.key, "")
    assert f"pretrained/{made.key}" in release.pins
    assert served(again, release) == answered(again, "cpt+rag") != answered(again, "rag")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_fine_tuning_goes_on_from_what_was_read(method, built, models_dir, tmp_path, monkeypatch):
    built, arm = shutil.copytree(built, tmp_path / "project"), "cpt+tuned+rag"
    settings = {"evaluation.arms": f'["base", "rag", "cpt+tuned", "{arm}"]', "release.arm": arm,
                "pretraining.rank": "8", "pretraining.method": method, "training.method": method,
                "pretraining.learning_rate": "0.005", "training.learning_rate": "0.005"}  # fmt: skip
    workspace = workspace_of(built, models_dir, **settings)
    report = stages.build(workspace)
    found = Report.read(Path(report.path))
    assert list(found.arms) == ["base", "rag", "cpt+tuned", arm]
    assert all(row.failed == 0 for row in found.arms.values())
    read, made = (workspace.store.latest(kind) for kind in ("pretrained", "pretrained_adapter"))
    assert read.key in made.parents
    if method == "lora":  # one adapter, of the rank that reading had
        assert json.loads((Path(made.path) / "adapter" / "adapter_config.json").read_text())["r"] == 8
    before, after = made.facts["bits_per_byte_before"], made.facts["bits_per_byte_after"]
    assert before == read.facts["bits_per_byte_before"]
    assert after["domain"] not in (before["domain"], read.facts["bits_per_byte_after"]["domain"])
    assert found.pretraining_tuned.general == {"before": before["general"], "after": after["general"]}
    assert found.pretraining_tuned.questions.n == 40
    assert "Continued pre-training and fine-tuning: bits per byte" in (Path(report.path) / "report.html").read_text()
    kinds = {a.kind for _, a in workspace.store.lineage(report)}
    assert "pretrained_adapter_parity" in kinds
    assert "adapter" not in kinds
    assert found.subject.training.examples == made.facts["examples"]
    with pytest.raises(GateError, match=rf"accuracy of {re.escape(arm)} over base"):  # a random model gains nothing
        Releases(workspace).make()
    monkeypatch.setattr("inhouse.serving.releases.gate_rules", lambda *given: [])
    release = Releases(workspace).make()
    assert (release.arm, release.pretrained_adapter, release.pretrained, release.adapter) == (arm, made.key, "", "")
    assert f"pretrained_adapter/{made.key}" in release.pins
    files = export(workspace, release, tmp_path / "merged")
    assert files["model.gguf"] == (Path(made.path) / "model.gguf").stat().st_size
    assert served(workspace, release) == answered(workspace, arm) != answered(workspace, "rag")


def served(workspace, release):
    opened = open_release(workspace, release)
    try:
        return asyncio.run(collect(opened.model, REQUEST)).text
    finally:
        opened.close()


def answered(workspace, arm):
    arms = open_arms(workspace, bare=True)
    try:
        return asyncio.run(collect(arms.open(arm), REQUEST)).text
    finally:
        arms.close()


def test_methods_that_cannot_follow_each_other_are_refused_before_anything_is_trained(built, models_dir, tmp_path):
    built = shutil.copytree(built, tmp_path / "project")
    settings = {"evaluation.arms": '["base", "cpt+tuned+rag"]', "training.method": "prompt_tuning"}
    workspace = workspace_of(built, models_dir, **settings)
    with pytest.raises(ConfigError, match='training.method = "prompt_tuning" cannot go on from pretraining.method'):
        stages.build(workspace)
    assert workspace.store.latest("pretrained") is None
    assert any('cannot go on from pretraining.method = "lora"' in problem for problem in examine(workspace).problems)


def test_what_is_learned_and_what_is_held(built, models_dir):
    workspace = workspace_of(built, models_dir, **{"pretraining.rewrites": "6"})
    parts = parts_of(workspace.documents(stages.ingest(workspace)))
    written, _ = rewritten(workspace, parts)
    job = job_of(workspace, parts, written, general_texts([]), ())
    assert not any("$31" in text for text in (*job.domain, *job.held.domain))  # only staff may read it
    assert len(parts) == 12
    assert set(job.domain).isdisjoint(job.held.domain)
    assert set(job.general).isdisjoint(job.held.general)
    assert job.held.domain
    assert job.held.general
    assert job.domain[: len(parts)] == tuple(p.raw for p in parts)
    assert len(job.domain) + len(job.held.domain) == len(parts) + sum(map(len, written))


def test_a_missing_file_of_general_text_is_named(built, models_dir):
    workspace = workspace_of(built, models_dir, **{"pretraining.general": '["nowhere.txt"]'})
    with pytest.raises(InputError, match="nowhere.txt: no such file"):
        stages.pretrain(workspace)


def test_general_texts_of_files_and_of_python(tmp_path):
    file = tmp_path / "general.txt"
    file.write_text("Short.\n\n" + "Rivers flow to the sea. " * 8 + "\n\n" + "Rivers flow to the sea. " * 8)
    assert general_texts([file]) == [("Rivers flow to the sea. " * 8).strip()]
    own = general_texts([])
    assert len(own) > 200
    assert len(set(own)) == len(own)


def test_chats_are_the_answers_of_the_model():
    from inhouse.chat import Delta, Finish

    class Model:
        name = "m"

        async def stream(self, request):
            yield Delta(text="" if "moon" in request.messages[0].content else "Fine.")
            yield Finish(reason="stop")

    made = asyncio.run(chats(Model(), CHATS, 2, Silent()))
    assert len(made) == len(CHATS) - 3
    assert [m.role for m in made[0]] == ["user", "assistant"]


def test_no_chat_prompt_is_a_general_question():
    from inhouse.evaluation.forgetting import general_examples

    assert {e.question for e in general_examples()}.isdisjoint(CHATS)
