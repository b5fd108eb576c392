import asyncio
import json
import sqlite3

import pytest
from typer.testing import CliRunner

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.cli.main import app
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError, InputError
from inhouse.store.audit import Audit
from inhouse.store.keys import Keys
from inhouse.types import Message


@pytest.fixture
def project(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n')
    return tmp_path


@pytest.fixture
def call(project):
    def run(*arguments):
        found = CliRunner().invoke(app, [*arguments, "--project", str(project)], catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found

    return run


def fill(project, *answers):
    ledger = Workspace(load_project(project)).open_ledger()
    audit = Audit(ledger)

    async def append():
        for n, answer in enumerate(answers):
            question = (Message(role="user", content=f"Question {n}?"),)
            await audit.append(
                Exchange(
                    id=f"e{n}",
                    at="2026-01-01T00:00:00Z",
                    user="ann",
                    key="k",
                    model="custom",
                    release="bank/1",
                    arm="rag",
                    messages=question,
                    answer=answer,
                    reason="stop",
                )  # fmt: skip
            )

    asyncio.run(append())
    audit.close()
    ledger.close()


def test_keys_from_making_to_revoking(call, project):
    made = call("keys", "create", "Ann's laptop", "--role", "reviewer", "--group", "staff", "--per-minute", "30")
    secret = made.stdout.strip()
    assert secret.startswith("ih_")
    assert secret not in made.stderr
    (key,) = json.loads(call("keys", "list", "--json").stdout)
    assert (key["name"], key["role"], key["groups"], key["per_minute"]) == ("Ann's laptop", "reviewer", ["staff"], 30)
    ledger = Workspace(load_project(project)).open_ledger()
    assert Keys(ledger).check(secret).id == key["id"]
    assert "Ann's laptop" in call("keys", "list").stdout
    assert json.loads(call("keys", "revoke", key["id"], "--json").stdout)["revoked_at"]
    assert "revoked 20" in call("keys", "list").stdout
    assert Keys(ledger).check(secret) is None
    ledger.close()


def test_the_audit_from_showing_to_redacting(call, project, tmp_path):
    fill(project, "It costs \x1b[31m25 dollars.", "We open at \ud800 nine.")
    shown = call("audit", "show").stdout
    assert shown.index("Question 1?") < shown.index("Question 0?")
    assert "\x1b" not in shown
    assert [e["id"] for e in json.loads(call("audit", "show", "--text", "DOLLARS", "--json").stdout)] == ["e0"]
    assert json.loads(call("audit", "show", "e0").stdout)["answer"] == "It costs \x1b[31m25 dollars."
    head = call("audit", "verify").stdout.strip()
    assert head.startswith("2:")
    assert "entry 3" in call("audit", "redact", "e0", "--reason", "asked to", "--by", "bea").stderr
    assert json.loads(call("audit", "verify", "--head", head, "--json").stdout)["rows"] == 3
    call("audit", "export", str(tmp_path / "out.jsonl"))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert lines == call("audit", "export").stdout.splitlines()[:-1]  # the first export is an entry now
    assert [bool(json.loads(line)["content"]) for line in lines] == [False, True, True]
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []
    with pytest.raises(InputError, match="no such exchange"):
        call("audit", "show", "e9")
    file = sqlite3.connect(project / ".inhouse" / "ledger.sqlite")
    file.execute("UPDATE audit SET arm = 'tuned' WHERE seq = 2")
    file.commit()
    file.close()
    with pytest.raises(GateError, match="entry 2"):
        call("audit", "verify")


def test_the_url_comes_from_the_variable_that_is_named(project, tmp_path, monkeypatch):
    (project / "inhouse.toml").write_text('[store]\nurl_env = "BANK_DB"\n')
    monkeypatch.delenv("BANK_DB", raising=False)
    with pytest.raises(ConfigError, match="BANK_DB"):
        Workspace(load_project(project)).open_ledger()
    monkeypatch.setenv("BANK_DB", f"sqlite:///{tmp_path}/other.sqlite")
    Workspace(load_project(project)).open_ledger().close()
    assert (tmp_path / "other.sqlite").exists()
