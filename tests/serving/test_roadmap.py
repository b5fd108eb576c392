"""The roadmap of real projects: nothing built, indexed, built and released; and what it leaves alone."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.audit_data import audit_data
from inhouse.roadmap import Live
from inhouse.serving.insight import WorkspaceInsight
from inhouse.serving.releases import Releases
from inhouse.serving.roadmap import ledger_of, standing
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.traffic import Traffic
from inhouse.types import Estimate, Message

ARMS = {"evaluation.arms": '["base", "rag"]', "release.max_wrong": "1", "evaluation.smallest_gain": "0"}


def opened(folder, settings=None):
    return Workspace(load_project(folder, settings or {}), Catalog())


class Estimating(WorkspaceInsight):
    """With the figures that other parts of a gateway may estimate."""

    def estimates(self):
        return Live(accuracy=Estimate(mean=0.8, low=0.7, high=0.9, n=9), incidents=1)


def states(found):
    return {s.name: s.state for s in found.stages}


def test_nothing_built_and_nothing_made_by_looking(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "New"\n')
    workspace = opened(tmp_path)
    assert ledger_of(workspace) is None
    found = standing(workspace, None, measure=True)
    assert found.next.name == "audit"
    assert found.headline == "Next: data audit. There are no documents yet."
    assert [p.name for p in tmp_path.iterdir()] == ["inhouse.toml"], "the store is not made by looking"


@pytest.fixture(scope="module")
def project(write_project, models_dir, tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("roadmap") / "plans")


def test_an_indexed_project_is_audited_next(project):
    workspace = opened(project)
    stages.index(workspace)
    found = standing(workspace, None)
    assert states(found)["audit"] == "next"
    assert "7 files are there" in found.headline
    assert [s.command for s in found.next.steps] == ["inhouse audit-data"]
    audit_data(workspace, ask=0)
    found = standing(workspace, None)
    assert (states(found)["audit"], found.next.name) == ("done", "rag")
    (project / "documents" / "new.md").write_text("# Plan 9\n\nPlan 9 costs $12.")
    stages.index(opened(project))
    again = standing(opened(project), None)
    assert "have changed since" in again.stages[0].summary
    (project / "documents" / "new.md").unlink()
    stages.index(opened(project))


@pytest.fixture(scope="module")
def released(project):
    """Built with the arms base and rag, released and promoted whatever the figures are."""
    workspace = opened(project, ARMS)
    made = stages.evaluate(workspace)
    facts = json.loads((Path(made.path) / "report.json").read_text())
    facts["recommendation"]["arm"] = "rag"  # the tiny model knows nothing
    (Path(made.path) / "report.json").write_text(json.dumps(facts))
    return workspace


def test_a_built_project_is_hardened_or_tuned_next(released):
    found = standing(released, None)
    assert found.stages[1].figures[0].label == "Accuracy, base model"
    assert states(found)["rag"] in ("done", "not needed")
    assert found.learning is None, "it is measured by the command alone"
    measured = standing(released, None, measure=True)
    assert "no arm of the verdict is fine-tuned" in measured.learning.sentence
    assert standing(released, None).learning == measured.learning, "and kept"


def test_a_served_project_counts_its_traffic(released):
    ledger = released.open_ledger()
    try:
        found = standing(released, ledger)
        assert "Requests" not in {f.label for f in found.stages[4].figures}, "nothing is released"
        audit, feedback = Audit(ledger), Feedback(ledger)

        async def asked():
            for n in range(3):
                await audit.append(Exchange(
                    id=f"chatcmpl-{n}", at="2026-11-30T10:00:00.000+00:00", user="u", key="", model="custom", release="",
                    arm="rag", answer="It costs $3.", latency_s=1.0,
                    messages=(Message(role="user", content="price of plan 0?"),), reason="stop",
                ))  # fmt: skip

        asyncio.run(asked())
        feedback.add("chatcmpl-0", "", 1)
        feedback.add("chatcmpl-1", "", -1)
        totals = Traffic(ledger).totals()
        assert (totals.requests, totals.ratings, totals.thumbs_up, totals.handoffs) == (3, 2, 1, 0)
        insight = Estimating(released, Traffic(ledger))
        assert insight.roadmap().project == "plans"
        assert insight.roadmap() is insight.roadmap(), "kept for some seconds"
        audit.close()
    finally:
        ledger.close()


def test_damaged_artifacts_do_not_end_it(released, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(released.project.root, folder)
    workspace = opened(folder)
    for kind, name in (("report", "report.json"), ("data_audit", "audit.json")):
        (Path(workspace.store.latest(kind).path) / name).write_text("{")
    found = standing(workspace, None)
    assert states(found)["audit"] == "next"
    assert "not measured yet" in found.stages[1].summary
    assert Releases(workspace).all() == []
