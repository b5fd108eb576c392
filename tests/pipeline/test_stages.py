"""The whole flow on a small project with a tiny model: real index, real training, real engine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import ask as asking
from inhouse.pipeline import stages as pipeline

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]
KINDS = {"documents", "index", "dataset", "fusion", "weights", "adapter", "parity", "calibration", "report"}


def workspace_of(folder, models_dir, **overrides):
    made = []
    workspace = Workspace(
        load_project(folder, overrides),
        Catalog(models_dir.parent),
        announce=lambda artifact, fresh: made.append((artifact.kind, fresh)),
    )
    return workspace, made


def test_build_makes_every_artifact_once(built, models_dir):
    workspace, made = workspace_of(built, models_dir)
    report = pipeline.build(workspace)
    assert {kind for kind, _ in made} == KINDS  # some may be there already, made by an earlier test
    data = json.loads((Path(report.path) / "report.json").read_text())
    assert list(data["arms"]) == ["base", "prompt", "rag", "tuned", "tuned+rag", "oracle"]
    own = [q for q in data["table"] if not q["made"]]
    assert len(own) == 5
    assert {"typo", "case", "small_talk", "person", "near_miss"} <= {q["kind"] for q in data["table"] if q["made"]}
    assert data["questions"] == len(data["table"])
    assert data["subject"]["parity"]["passed"]
    assert all(row["failed"] == 0 for row in data["arms"].values())
    assert (Path(report.path) / "report.html").stat().st_size > 10_000
    assert not [work for kind in KINDS for work in (built / ".inhouse" / "artifacts" / kind).glob("*.work")]
    workspace, made = workspace_of(built, models_dir)
    again = pipeline.build(workspace)
    assert again == report
    assert not any(fresh for _, fresh in made)
    adapter = workspace.store.latest("adapter")
    assert (Path(adapter.path) / "adapter.gguf").exists()
    assert (Path(adapter.path) / "adapter" / "adapter_model.safetensors").exists()
    assert (Path(adapter.path) / "model.gguf").exists()
    names = [v["name"] for v in data["subject"]["parity"]["variants"]]
    assert names == ["adapter on f16 base", "merged, f16"]
    assert {a.kind for _, a in workspace.store.lineage(report)} == KINDS


def test_asking_and_searching(built, models_dir):
    workspace, _ = workspace_of(built, models_dir)
    pipeline.build(workspace)
    replies = asking.ask(workspace, "What does plan 2 cost?", frozenset())
    assert list(replies)[0] == "base"
    assert len(replies) == 2
    assert replies[list(replies)[1]].finish.usage.completion_tokens > 0
    assert asking.search(workspace, "what does plan 2 cost?", 1, frozenset())[0].chunk.source == "plan2.md"
    assert not [h for h in asking.search(workspace, "teller limit", 20, frozenset()) if h.chunk.access]
    assert asking.search(workspace, "teller limit", 1, frozenset(["staff"]))[0].chunk.source == "staff/secret.md"
    said = []
    lines = iter(["What does plan 1 cost?", "And plan 2?", ""])
    asking.chat(workspace, frozenset(), lambda: next(lines), said.append)
    assert said.count("\n") == 2


def test_one_changed_document_is_one_changed_chunk(built, models_dir):
    workspace, _ = workspace_of(built, models_dir)
    pipeline.index(workspace)
    file = built / "documents" / "plan5.md"
    before = file.read_text()
    try:
        file.write_text(before.replace("$8", "$9"))
        facts = pipeline.index(workspace_of(built, models_dir)[0]).facts
    finally:
        file.write_text(before)
    assert (facts["added"], facts["removed"]) == (2, 2)
    assert facts["kept"] == facts["chunks"] - 2


def test_a_model_that_parity_refuses_is_not_evaluated(built, models_dir):
    workspace, _ = workspace_of(
        built, models_dir, **{"parity.max_divergence_nats": "1e-12", "parity.min_greedy_agreement": "1.0"}
    )
    with pytest.raises(GateError, match="parity refused"):
        pipeline.build(workspace)
    compared = json.loads((Path(workspace.store.latest("parity").path) / "parity.json").read_text())
    assert [v["name"] for v in compared["variants"]] == ["base, f16", "adapter on f16 base", "merged, f16"]


@pytest.mark.parametrize("method", ["full", "prompt_tuning"])
def test_other_methods_go_all_the_way(built, models_dir, method):
    workspace, _ = workspace_of(built, models_dir, **{"training.method": method, "training.prompt_tokens": "4", "evaluation.arms": '["base", "tuned"]',
                                            "evaluation.probes": "0", "guardrails.rails": "[]", "parity.max_divergence_nats": "0.5"})  # fmt: skip
    report = pipeline.build(workspace)
    assert set(json.loads((Path(report.path) / "report.json").read_text())["arms"]) == {"base", "tuned"}


def test_missing_files_are_named(built, models_dir):
    with pytest.raises(InputError, match=r"gone\.jsonl"):
        pipeline.curate(workspace_of(built, models_dir, **{"curation.conversations": '["gone.jsonl"]'})[0])
    with pytest.raises(InputError, match="no such model"):
        pipeline.weights(workspace_of(built, models_dir, **{"model.base": "nothing/here"})[0])
    with pytest.raises(InputError):
        pipeline.ingest(workspace_of(built, models_dir, **{"documents.path": "nowhere"})[0])


def test_kill_9_in_every_stage_then_the_same_artifacts(write_project, models_dir, tmp_path, built):
    folder = write_project(tmp_path / "killed")
    command = [sys.executable, "-c", "from inhouse.cli.main import main; main()", "build", "--project", str(folder),
               "--set", 'evaluation.arms=["base", "tuned"]']  # fmt: skip
    environment = {**os.environ, "INHOUSE_CACHE": str(models_dir.parent)}
    for kind in ("documents", "index", "dataset", "adapter", "report"):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if list((folder / ".inhouse" / "artifacts" / kind).glob("*.work")):
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    artifacts = folder / ".inhouse" / "artifacts"
    assert {f.name for f in artifacts.iterdir()} == KINDS
    assert not list(artifacts.rglob("*.work"))
    workspace, _ = workspace_of(built, models_dir)
    pipeline.build(workspace)
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        ours = (Path(workspace.store.latest("dataset").path) / name).read_text()
        assert next(artifacts.glob(f"dataset/*/{name}")).read_text() == ours
    ours = {re.sub(r"[0-9a-f]{16}", "", str(f.relative_to(artifacts))) for f in artifacts.rglob("*.json*")}
    theirs = {re.sub(r"[0-9a-f]{16}", "", str(f.relative_to(built / ".inhouse" / "artifacts")))
              for f in (built / ".inhouse" / "artifacts").rglob("*.json*")}  # fmt: skip
    assert ours <= theirs
