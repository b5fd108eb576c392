"""A changed document in a small project: a real index, a real engine, real child processes, and the server's models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.files import file_sha256
from inhouse.models.catalog import Catalog
from inhouse.monitoring.retests import Retest
from inhouse.pipeline import stages
from inhouse.pipeline.child import make_in_child
from inhouse.serving.fleet import Fleet
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases, label
from inhouse.serving.watching import Stages, Watch
from inhouse.types import Message

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]
SETTINGS = {"release.arm": "rag", "guardrails.rails": "[]", "release.max_wrong": "1", "release.no_worse": "[]",
            "evaluation.arms": '["base", "rag"]', "evaluation.smallest_gain": "0", "watch.documents_every_s": "0.05",
            "watch.every_minutes": "1000", "watch.tolerance": "1"}  # fmt: skip


@pytest.fixture
def site(write_project, models_dir, tmp_path):
    """A built project with a release in production; its verdict says that it gained."""
    folder = write_project(tmp_path / "project")
    workspace = Workspace(load_project(folder, SETTINGS), Catalog(models_dir.parent))
    verdict = stages.build(replace(workspace, artifacts={}))
    file = Path(verdict.path) / "report.json"
    report = json.loads(file.read_text())
    for gain in report["gains"]:
        gain["metrics"]["accuracy"] = {"mean": 0.5, "low": 0.3, "high": 0.7, "n": 5}
    file.write_text(json.dumps(report))
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"]["report.json"] = {"sha256": file_sha256(file), "bytes": file.stat().st_size}
    (file.parent / "manifest.json").write_text(json.dumps(manifest))
    releases = Releases(workspace)
    releases.promote(label(releases.make()))
    yield workspace
    shutil.rmtree(folder)


def watch(workspace, said):
    def made(stage):
        return lambda given: stage(replace(given, delegate=make_in_child, artifacts={}))

    return Watch(workspace, Stages(made(stages.index), made(stages.build)), said.append)


async def passages(fleet, question):
    reply = await collect(
        fleet.model("custom"), ChatRequest(messages=(Message(role="user", content=question),), max_tokens=4)
    )
    return " ".join(p["text"] for p in reply.note("grounded", "passages"))


async def test_the_next_answer_of_a_running_server_is_from_the_changed_document(site):
    fleet, said = Fleet(site), []
    await fleet.refresh()
    assert "costs $5" in await passages(fleet, "What does plan 2 cost?")
    file = site.project.path("documents/plan2.md")
    file.write_text(file.read_text().replace("$5", "$9.50"))
    watch(site, said).once()
    assert await fleet.refresh()
    found = await passages(fleet, "What does plan 2 cost?")
    assert "costs $9.50" in found
    assert "costs $5." not in found
    fleet.close()

    production = Releases(site).get("production")
    retest = Retest.read(Path(site.store.open("retest", production.retest).path))
    assert retest.changed == ("plan2.md",)
    touched = {row.id: row for row in retest.rows if row.part == "affected"}
    assert "t2" in touched
    assert touched["t2"].outdated
    assert not any(c.problem for c in Releases(site).verify("production"))
    open_release(site, production).close()  # as it was pinned
    assert [w.kind for w in watch(site, said).once().waiting] == ["references"]


async def test_a_secret_document_stays_secret_in_the_new_index(site):
    fleet, said = Fleet(site), []
    file = site.project.path("documents/staff/secret.md")
    file.write_text(file.read_text().replace("$31", "$32"))
    watch(site, said).once()
    await fleet.refresh()
    assert Releases(site).get("production").version == 2
    assert "$32" not in await passages(fleet, "What is the teller limit for each customer?")
    fleet.close()
