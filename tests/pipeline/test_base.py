"""A small project without a base model: one is trained on its documents, and goes the whole way."""

import json
import re
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, InputError
from inhouse.files import file_sha256
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.base import plan_of, texts_of
from inhouse.pipeline.check import examine
from inhouse.serving.export import export
from inhouse.serving.releases import Releases

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SETTINGS = {
    "model.base": "none", "scratch.depth": "1", "scratch.vocabulary": "400", "scratch.context_tokens": "64",
    "scratch.tokens": "6400", "scratch.batch_tokens": "640", "scratch.minutes": "0", "scratch.precision": "fp32",
    "scratch.held_out": "0.2",
}  # fmt: skip
TRAINED = {"training.method": "full", "evaluation.arms": '["base", "tuned"]', "guardrails.rails": "[]",
           "release.arm": "tuned", "release.max_wrong": "1", "release.no_worse": "[]",}  # fmt: skip


@pytest.fixture(scope="module")
def project(write_project, tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("none"))


def workspace_of(project, models_dir, **changed):
    return Workspace(load_project(project, {**SETTINGS, **changed}), Catalog(models_dir.parent))


def test_the_base_is_trained_on_what_everybody_may_read(project, models_dir):
    workspace = workspace_of(project, models_dir)
    with pytest.raises(InputError, match="not trained yet"):
        _ = workspace.base
    plan = plan_of(workspace, stages.ingest(workspace))
    served = stages.weights(workspace)
    trained = stages.scratch(workspace)
    assert served.parents == (trained.key,)
    assert workspace.base == Path(trained.path) / "base"
    assert trained.facts["documents"] == 6
    assert trained.facts["documents_left_out"] == 1
    assert trained.facts["parameters"] == plan.shape.parameters
    words = json.loads((workspace.base / "tokenizer.json").read_text())["model"]["vocab"]
    assert any("lan" in w for w in words)
    assert not any("eller" in w for w in words)  # "teller" is in the staff's document alone
    assert stages.weights(workspace_of(project, models_dir)).key == served.key
    other = workspace_of(project, models_dir, **{"scratch.depth": "2"})
    assert stages.scratch(other).key != trained.key


def test_documents_of_others_are_not_trained_on(project, models_dir):
    changed = {"documents.external": '["plan0.md"]'}
    workspace = workspace_of(project, models_dir, **changed)
    texts, left_out = texts_of(workspace, stages.ingest(workspace))
    assert (len(texts), left_out) == (5, {"documents_left_out": 2, "replies_left_out": 0})
    assert not any("Plan 0" in text for text in texts)


def test_check_says_what_it_is_for(project, models_dir):
    checkup = examine(workspace_of(project, models_dir))
    said = {(i.ok, i.warning): i.detail for i in checkup.items if i.subject == "scratch"}
    assert "parameters" in said[True, False]
    assert checkup.stages_s["scratch"] > 0
    assert any("full" in i.detail for i in checkup.items if i.warning and i.subject == "scratch")
    assert not any(i.subject == "model none" for i in checkup.items)
    missing = examine(workspace_of(project, models_dir, **{"scratch.text": '["gone.txt"]'}))
    assert any("gone.txt" in problem for problem in missing.problems)


def test_bad_settings_are_named(project):
    for key, value in (
        ("depth", "0"),
        ("vocabulary", "300"),
        ("held_out", "0.6"),
        ("precision", "fp8"),
        ("layers", "2"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"scratch.{key}")):
            load_project(project, {f"scratch.{key}": value})


def hold_the_gate(file):
    """A verdict with a gain, as far as the gate and the manifest look."""
    report = json.loads(file.read_text())
    for gain in report["gains"]:
        gain["metrics"]["accuracy"] = {"mean": 0.5, "low": 0.3, "high": 0.7, "n": 5}
    file.write_text(json.dumps(report))
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"]["report.json"] = {"sha256": file_sha256(file), "bytes": file.stat().st_size}
    (file.parent / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.slow
def test_it_is_tuned_judged_released_and_exported_as_any_base(project, models_dir, tmp_path):
    workspace = workspace_of(project, models_dir, **TRAINED)
    report = stages.evaluate(workspace)
    assert {"base", "tuned"} <= set(json.loads((Path(report.path) / "report.json").read_text())["arms"])
    assert stages.parity(workspace).facts["passed"]
    hold_the_gate(Path(report.path) / "report.json")
    release = Releases(workspace).make()
    export(workspace, release, tmp_path / "hf", format="hf")
    written = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (written["hidden_size"], written["num_hidden_layers"]) == (64, 1)
