"""Continued pre-training on the small project: from the documents to an arm of the verdict."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.ask import open_arms
from inhouse.pipeline.pretrain import CHATS, chats, general_texts, job_of, parts_of, rewritten
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.types import Message, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SETTINGS = {
    "evaluation.arms": '["base", "rag", "cpt", "cpt+rag"]', "evaluation.probes": "0", "guardrails.rails": "[]",
    "pretraining.rewrites": "3", "pretraining.rank": "4", "pretraining.pack_tokens": "128", "pretraining.learning_rate": "0.02",
    "training.precision": "fp32", "parity.max_divergence_nats": "0.5",
}  # fmt: skip


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
    opened = open_release(again, release)
    try:
        question = Message(role="user", content="What does plan 2 cost?")
        served = asyncio.run(collect(opened.model, ChatRequest(messages=(question,), max_tokens=12)))
        arms = open_arms(again, bare=True)
        measured = asyncio.run(collect(arms.open("cpt+rag"), ChatRequest(messages=(question,), max_tokens=12)))
        base = asyncio.run(collect(arms.open("rag"), ChatRequest(messages=(question,), max_tokens=12)))
        arms.close()
    finally:
        opened.close()
    assert served.text == measured.text != base.text


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
