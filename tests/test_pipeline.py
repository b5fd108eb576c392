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

from inhouse import pipeline
from inhouse.config import load_project
from inhouse.models.catalog import Catalog
from inhouse.pipeline import Site
from inhouse.training.convert import convert
from inhouse.types import GateError, InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]
KINDS = {"documents", "index", "dataset", "fusion", "weights", "adapter", "parity", "report"}
HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."


@pytest.fixture(scope="session")
def tiny_gguf(tiny, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    convert(tiny, file, "f16")
    return file


def write_project(folder: Path, base: Path) -> Path:
    (folder / "documents" / "staff").mkdir(parents=True)
    for n in range(6):
        text = f"# Plan {n}\n\n## What does plan {n} cost?\n\nPlan {n} costs ${n + 3}.\n\n## Is plan {n} fast?\n\nIt takes {n} days."
        (folder / "documents" / f"plan{n}.md").write_text(text)
    (folder / "documents" / "staff" / "secret.md").write_text(
        "# Secret\n\n## Limit\n\nThe teller limit is $31 for each customer."
    )
    rows = []
    for n in range(6):
        for k, ask in enumerate(
            ("price of plan {}?", "how much is plan {}", "what do I pay for plan {} please", "cost, plan {}?")
        ):
            rows.append({"id": f"{n}{k}", "messages": [{"role": "user", "content": ask.format(n)},
                         {"role": "assistant", "content": f"Plan {n} costs ${n + 3}."}]})  # fmt: skip
    (folder / "log.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    tests = [{"id": f"t{n}", "messages": [{"role": "user", "content": f"Tell me the charge of plan {n}"}],
              "answer": f"Plan {n} costs ${n + 3}.", "checks": {"must_include": [f"${n + 3}"]},
              "sources": [{"document": f"plan{n}.md", "text": f"Plan {n} costs ${n + 3}."}]} for n in range(4)]  # fmt: skip
    tests.append({"id": "u", "messages": [{"role": "user", "content": "Do you sell boats?"}], "answer": HANDOFF,
                  "checks": {"must_not_answer": True}})  # fmt: skip
    (folder / "tests.jsonl").write_text("\n".join(json.dumps(t) for t in tests))
    (folder / "inhouse.toml").write_text(f"""
name = "plans"
[[documents.access]]
folder = "staff"
groups = ["staff"]
[curation]
conversations = ["log.jsonl"]
tests = ["tests.jsonl"]
[assistant]
max_tokens = 12
[model]
base = "{base}"
quantization = "f16"
context_tokens = 1024
parallel = 2
[training]
rank = 4
epochs = 1
max_minutes = 0
[parity]
prompts = 2
""")
    return folder


@pytest.fixture(scope="session")
def built(tiny_gguf, models_dir, tmp_path_factory):
    """The project after one whole build, with every call out of the machine refused by the test's network guard."""
    return write_project(tmp_path_factory.mktemp("project"), tiny_gguf)


def site_of(folder, models_dir, **overrides):
    made = []
    site = Site(
        load_project(folder, overrides),
        Catalog(models_dir.parent),
        said=lambda kind, a, fresh: made.append((kind, fresh)),
    )
    return site, made


def test_build_makes_every_artifact_once(built, models_dir):
    site, made = site_of(built, models_dir)
    report = pipeline.build(site)
    assert {kind for kind, fresh in made if fresh} == KINDS
    data = json.loads((Path(report.path) / "report.json").read_text())
    assert list(data["arms"]) == ["base", "prompt", "rag", "tuned", "tuned+rag", "oracle"]
    assert data["questions"] == 5
    assert data["parity"]["passed"]
    assert all(row["failed"] == 0 for row in data["arms"].values())
    assert (Path(report.path) / "report.html").stat().st_size > 10_000
    assert not list((built / ".inhouse" / "artifacts").rglob("*.work"))
    site, made = site_of(built, models_dir)
    again = pipeline.build(site)
    assert again == report
    assert not any(fresh for _, fresh in made)
    adapter = site.store.latest("adapter")
    assert (Path(adapter.path) / "adapter.gguf").exists()
    assert (Path(adapter.path) / "adapter" / "adapter_model.safetensors").exists()
    assert (Path(adapter.path) / "model.gguf").exists()
    names = [v["name"] for v in data["parity"]["variants"]]
    assert names == ["base, f16", "adapter on f16 base", "merged, f16"]
    assert {a.kind for _, a in site.store.lineage(report)} == KINDS


def test_asking_and_searching(built, models_dir):
    site, _ = site_of(built, models_dir)
    pipeline.build(site)
    replies = pipeline.ask(site, "What does plan 2 cost?", frozenset())
    assert list(replies)[0] == "base"
    assert len(replies) == 2
    assert replies[list(replies)[1]].finish.usage.completion_tokens > 0
    assert pipeline.search(site, "what does plan 2 cost?", 1, frozenset())[0].chunk.source == "plan2.md"
    assert not [h for h in pipeline.search(site, "teller limit", 20, frozenset()) if h.chunk.access]
    assert pipeline.search(site, "teller limit", 1, frozenset(["staff"]))[0].chunk.source == "staff/secret.md"
    said = []
    lines = iter(["What does plan 1 cost?", "And plan 2?", ""])
    pipeline.chat(site, frozenset(), lambda: next(lines), said.append)
    assert said.count("\n") == 2


def test_one_changed_document_is_one_changed_chunk(built, models_dir):
    site, _ = site_of(built, models_dir)
    pipeline.index(site)
    file = built / "documents" / "plan5.md"
    before = file.read_text()
    try:
        file.write_text(before.replace("$8", "$9"))
        facts = pipeline.index(site_of(built, models_dir)[0]).facts
    finally:
        file.write_text(before)
    assert (facts["added"], facts["removed"]) == (2, 2)
    assert facts["kept"] == facts["chunks"] - 2


def test_a_model_that_parity_refuses_is_not_evaluated(built, models_dir):
    site, _ = site_of(
        built, models_dir, **{"parity.max_divergence_nats": "1e-12", "parity.min_greedy_agreement": "1.0"}
    )
    with pytest.raises(GateError, match="parity refused"):
        pipeline.build(site)


@pytest.mark.parametrize("method", ["full", "prompt_tuning"])
def test_other_methods_go_all_the_way(built, models_dir, method):
    site, _ = site_of(built, models_dir, **{"training.method": method, "training.prompt_tokens": "4", "evaluation.arms": '["base", "tuned"]',
                                            "parity.max_divergence_nats": "0.5"})  # fmt: skip
    report = pipeline.build(site)
    assert set(json.loads((Path(report.path) / "report.json").read_text())["arms"]) == {"base", "tuned"}


def test_missing_files_are_named(built, models_dir):
    with pytest.raises(InputError, match=r"gone\.jsonl"):
        pipeline.curate(site_of(built, models_dir, **{"curation.conversations": '["gone.jsonl"]'})[0])
    with pytest.raises(InputError, match="no such model"):
        pipeline.weights(site_of(built, models_dir, **{"model.base": "nothing/here"})[0])
    with pytest.raises(InputError):
        pipeline.ingest(site_of(built, models_dir, **{"documents.path": "nowhere"})[0])


def test_kill_9_in_every_stage_then_the_same_artifacts(tiny_gguf, models_dir, tmp_path, built):
    folder = write_project(tmp_path / "killed", tiny_gguf)
    command = [sys.executable, "-c", "from inhouse.cli import main; main()", "build", "--project", str(folder)]
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
    site, _ = site_of(built, models_dir)
    pipeline.build(site)
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        ours = (Path(site.store.latest("dataset").path) / name).read_text()
        assert next(artifacts.glob(f"dataset/*/{name}")).read_text() == ours
    ours = {re.sub(r"[0-9a-f]{16}", "", str(f.relative_to(artifacts))) for f in artifacts.rglob("*.json*")}
    theirs = {re.sub(r"[0-9a-f]{16}", "", str(f.relative_to(built / ".inhouse" / "artifacts")))
              for f in (built / ".inhouse" / "artifacts").rglob("*.json*")}  # fmt: skip
    assert ours <= theirs
