"""Base models compared on a small project: a tiny model against itself under another path."""

import shutil

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.sections import Model
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.comparison import compare_bases, memory_mb

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_candidates_answer_the_same_questions_and_the_projects_own_model_stays_the_latest(
    built, models_dir, tiny_gguf, tmp_path
):
    other = shutil.copy(tiny_gguf, tmp_path / "other.gguf")
    workspace = Workspace(load_project(built, {"evaluation.arms": "['base', 'rag']"}), Catalog(models_dir.parent))
    own = stages.evaluate(workspace)
    compared = compare_bases(workspace, [str(tiny_gguf), str(other)], tune=False)
    assert [(c.base, c.arm) for c in compared] == [(str(tiny_gguf), "rag"), (str(other), "rag")]
    assert compared[0].result.metrics["accuracy"] == compared[1].result.metrics["accuracy"]
    assert compared[0].memory_mb >= 1
    assert workspace.store.latest("report") == own


def test_a_missing_model_is_named_before_anything_is_asked(built, models_dir):
    workspace = Workspace(load_project(built), Catalog(models_dir.parent))
    with pytest.raises(InputError, match="nothing.gguf: no such model"):
        compare_bases(workspace, ["nothing.gguf"], tune=False)


def test_memory_is_the_file_and_its_context(tiny_gguf):
    one, four = (memory_mb(tiny_gguf, Model(context_tokens=262_144, parallel=n)) for n in (1, 4))
    per_conversation = 2 * 2 * 2 * (64 // 4 * 2) * 262_144 / 1e6  # keys and values, bytes, layers, width, tokens
    assert four - one == pytest.approx(3 * per_conversation, abs=2)
