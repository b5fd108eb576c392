"""`inhouse scratch`: the plan alone, a training, and a project that has a base model."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.main import app
from inhouse.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    (folder / "documents").mkdir()
    for n in range(8):
        text = f"# Plan {n}\n\nPlan {n} of the bank costs ${n + 3} a month, and customers may cancel it at any time."
        (folder / "documents" / f"{n}.md").write_text(text)
    (folder / "inhouse.toml").write_text("""
[model]
base = "none"
[scratch]
depth = 1
vocabulary = 330
context_tokens = 32
tokens = 640
batch_tokens = 64
precision = "fp32"
""")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["scratch", *map(str, arguments)], catch_exceptions=True)


def test_the_plan_trains_nothing(project):
    result = run("--project", project, "--plan")
    assert result.exit_code == 0, result.output
    assert "compute-optimal" in result.output
    assert "8 H100" in result.output
    assert not (project / ".inhouse" / "artifacts" / "scratch").exists()


def test_a_training_says_what_came_out(project):
    result = run("--project", project, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)["facts"]
    assert facts["steps"] == 10
    assert facts["bits_per_byte"] < facts["bits_per_byte_untrained"]


def test_a_project_with_a_base_model_is_refused(project):
    result = run("--project", project, "--set", "model.base=smollm2-135m-instruct")
    assert isinstance(result.exception, ConfigError)
    assert "smollm2" in str(result.exception)
