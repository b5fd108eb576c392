"""Approving the tools of an MCP server from the command line."""

import getpass
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inhouse.assembly.workspace import Workspace
from inhouse.cli.main import app
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, InputError
from inhouse.models.catalog import Catalog
from inhouse.store.audit import Audit

PROGRAM = Path(__file__).parents[1] / "agents" / "mcp_server.py"


def tool(name, description):
    return {"name": name, "description": description, "inputSchema": {"type": "object", "properties": {}}}


@pytest.fixture
def project(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "tools.json").write_text(json.dumps([tool("book", "Books a time."), tool("pay", "Pays.\x1b[2J")]))
    command = json.dumps([sys.executable, str(PROGRAM), str(state)])
    (tmp_path / "inhouse.toml").write_text(f'name = "salon"\n[[mcp]]\nname = "desk"\ncommand = {command}\n')
    return tmp_path


@pytest.fixture
def call(project):
    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--project", str(project)], catch_exceptions=False)

    return run


def test_tools_are_reviewed_and_approved(project, call):
    found = call("tools", "diff", "desk")
    assert found.exit_code == 5
    assert "new      book" in found.output
    assert '+ "description": "Books a time.",' in found.output
    assert "\x1b" not in found.output
    found = call("tools", "approve", "desk")
    assert found.exit_code == 5  # one of them cannot be approved
    assert "refused  pay: it says something that nobody sees: U+001B" in found.output
    assert list(json.loads((project / "mcp.lock").read_text())["desk"]) == ["book"]
    with Workspace(load_project(project), Catalog()).ledger() as ledger:
        (action,) = Audit(ledger).actions(about="desk")
    assert (action.what, action.by.id) == ("tools approved", f"os:{getpass.getuser()}")
    assert action.facts == {"server": "desk", "changes": [{"tool": "book", "kind": "new"}], "refused": ["pay"]}

    (project / "state" / "tools.json").write_text(json.dumps([tool("book", "Books a time, for a fee.")]))
    found = call("tools", "diff", "desk", "--json")
    assert found.exit_code == 5
    (change,) = json.loads(found.stdout)
    assert (change["tool"], change["kind"]) == ("book", "changed")
    assert '- "description": "Books a time.",' in [line.rstrip() for line in change["lines"]]
    found = call("tools", "approve", "desk", "book", "--json")
    assert found.exit_code == 0
    assert [c["tool"] for c in json.loads(found.stdout)["changes"]] == ["book"]
    found = call("tools", "diff", "desk")
    assert (found.exit_code, found.stdout) == (0, "")


def test_a_server_that_is_not_there_is_named(call):
    with pytest.raises(InputError, match=r"no \[\[mcp\]\] server shop") as raised:
        call("tools", "diff", "shop")
    assert raised.value.hint == "it has desk"


def test_a_variable_that_is_not_set_is_named(project, call):
    (project / "inhouse.toml").write_text('[[mcp]]\nname = "desk"\nurl = "https://desk.example"\nkey_env = "NOT_SET"\n')
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        call("tools", "approve", "desk")
