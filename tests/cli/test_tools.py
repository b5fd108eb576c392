"""The commands of tools."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.tools import tools_app
from inhouse.errors import ConfigError, InputError
from inhouse.tools import ToolError

SETTINGS = """
[[tool]]
name = "hours"
python = "tools.py:hours"
effect = "read"
groups = ["staff", "front"]
[[tool]]
name = "refund"
python = "tools.py:refund"
approval = { above = "amount > 100" }
idempotent = true
check = "hours"
"""
PYTHON = """
from inhouse.tools import Caller
def hours(caller: Caller, day: str = "2026", n: int = 1, days: list[str] = []):
    return {"day": day, "n": n, "days": days, "groups": sorted(caller.groups)}
def refund(amount: float):
    raise AssertionError("called")
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "inhouse.toml").write_text(SETTINGS)
    (tmp_path / "tools.py").write_text(PYTHON)
    return lambda *args: CliRunner().invoke(tools_app, [*args, "--project", str(tmp_path)])


def test_list_shows_the_rules(run):
    lines = run("list").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "source", "effect", "approval", "check", "groups"], ["hours", "python", "read", "never", "-", "front,", "staff"],
        ["refund", "python", "write,", "idempotent", "above:", "amount", ">", "100", "hours", "everybody"],
    ]  # fmt: skip
    found = json.loads(run("list", "--json").stdout)
    assert [tool["name"] for tool in found] == ["hours", "refund"]
    assert found[1]["parameters"]["required"] == ["amount"]


def test_call_runs_a_read_and_says_that_it_is_not_recorded(run):
    done = run("call", "hours", "day=2026", "n=7", 'days=["Mo"]', "--group", "staff")
    assert json.loads(done.stdout) == {"day": "2026", "n": 7, "days": ["Mo"], "groups": ["staff"]}
    assert "not recorded" in done.stderr


@pytest.mark.parametrize(("args", "kind", "said"), [
    (("refund", "amount=5"), InputError, "writes run through agents only"), (("refunds",), InputError, "there is no tool 'refunds'"),
    (("hours", "day"), ConfigError, "not KEY=VALUE"), (("hours", "n=x"), ToolError, "'x' is not of type 'integer'"), (("hours", "m=1"), ToolError, "'m' was unexpected"),
])  # fmt: skip
def test_call_refuses(run, args, kind, said):
    error = run("call", *args).exception
    assert isinstance(error, kind)
    assert said in str(error)


def test_a_project_without_tools(run, tmp_path):
    (tmp_path / "inhouse.toml").write_text("")
    (tmp_path / "tools.py").unlink()
    done = run("list")
    assert done.exit_code == 0
    assert "no tools" in done.stderr
