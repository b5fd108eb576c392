"""Domain experts: an adapter each on one base, rights before routing, and nothing trained again for a new domain."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from inhouse.assembly.experts import check_experts, domains_of, closed_tests
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.check import examine
from inhouse.pipeline.experts import open_router, own_project
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.stored import write_batch
from inhouse.serving.export import export
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.types import Message
from inhouse.verdict import Report

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
EXPERTS = """
arms = ["base", "tuned", "experts", "experts+rag"]
max_questions = 2
[guardrails]
rails = []
[parity]
max_divergence_nats = 10
min_greedy_agreement = 0
[release]
arm = "experts+rag"
max_wrong = 1
no_worse = []
[[expert]]
name = "plans"
conversations = ["log.jsonl"]
documents = ["plan*.md"]
[[expert]]
name = "tellers"
conversations = ["tellers.jsonl"]
documents = ["staff/**"]
groups = ["staff"]
"""
BOATS = """
[[expert]]
name = "boats"
conversations = ["boats.jsonl"]
documents = ["boat.md"]
"""
SECRET = "The teller limit is $31 for each customer."


def asking(text, *groups):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=8, temperature=0.0,
                       groups=frozenset(groups))  # fmt: skip


def rows_of(name, asks, answer):
    return "\n".join(
        json.dumps({"id": f"{name}{n}", "messages": [{"role": "user", "content": ask},
                                                     {"role": "assistant", "content": answer}]})
        for n, ask in enumerate(asks)
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(write_project, tmp_path_factory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("experts"))
    settings = folder / "inhouse.toml"
    settings.write_text(settings.read_text() + EXPERTS)
    asks = ["what is the limit of a teller", "teller limit?", "how much may a teller hand out", "limit at the counter",
            "may I hand out forty dollars", "how high is the counter limit for one customer", "teller maximum please",
            "which limit holds for tellers"]  # fmt: skip
    (folder / "tellers.jsonl").write_text(rows_of("t", asks, SECRET))
    return folder


@pytest.fixture(scope="module")
def workspace(folder, models_dir) -> Workspace:
    return Workspace(load_project(folder), Catalog(models_dir.parent))


@pytest.fixture(scope="module")
def made(workspace):
    return stages.experts(workspace)


def test_each_expert_learns_its_own_and_nobody_else_does(workspace, made):
    domains = domains_of(made)
    assert [(d.name, sorted(d.groups)) for d in domains] == [("plans", []), ("tellers", ["staff"])]
    assert made.facts["adapters"]["tellers"]["rows_grounded"] > 0
    data = Path(stages.curate(workspace).path)
    known = "".join(f.read_text() for f in data.iterdir() if f.is_file())
    assert "teller limit" not in known.casefold()
    assert not any(SECRET in f.read_text(errors="ignore") for f in Path(made.path).rglob("classifier.json"))
    asked = closed_tests(made)
    assert {groups for _, groups in asked} == {frozenset(["staff"])}
    assert all(e.id.startswith("tellers/") for e, _ in asked)
