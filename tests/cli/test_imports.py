"""The command `inhouse import`: what it takes, what it says, and how it ends."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.main import app
from inhouse.errors import InputError

ROWS = [{"messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]},
        {"messages": [{"role": "assistant", "content": "A."}]}]  # fmt: skip
PAIR = {"input": {"messages": [{"role": "user", "content": "Q?"}]}, "preferred_output": [{"role": "assistant", "content": "A."}],
        "non_preferred_output": [{"role": "assistant", "content": "B."}]}  # fmt: skip


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*ROWS, PAIR])))
    return "rows.jsonl"


def call(*arguments):
    return CliRunner().invoke(app, ["import", *arguments], catch_exceptions=True)


def test_a_summary_says_what_was_made_and_left_out(file, tmp_path):
    result = call("openai", file)
    assert result.exit_code == 0, result.output
    assert "conversations left out: 1 no question" in result.stdout
    assert "  rows.jsonl:2: no question\n" in result.stdout
    assert "1 conversation with 2 messages in openai.jsonl" in result.stdout
    assert "1 preference row in openai.preference.jsonl" in result.stdout
    assert "curation anonymizes them" in result.stdout
    assert json.loads((tmp_path / "openai.jsonl").read_text())["id"] == "rows.jsonl:1"
    assert json.loads((tmp_path / "openai.preference.jsonl").read_text())["rejected"] == PAIR["non_preferred_output"]


@pytest.mark.parametrize("arguments", [[], ["openai"], ["OpenAI"], ["bedrock"], ["zendsk"]])
def test_the_kind_is_optional_and_may_be_wrong(arguments, file):
    result = call(*arguments, file, "--json", "--out", "deep/out.jsonl")
    summary = json.loads(result.stdout)
    assert (summary["kind"], summary["conversations"], summary["preference_rows"]) == ("openai", 1, 1)
    assert bool(summary["notes"]) == (arguments not in (["openai"], ["OpenAI"]))
    assert summary["left_out"] == [{"id": "rows.jsonl:2", "reason": "no question"}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["openai"], "no files are named"), (["openai", "none.jsonl"], "none.jsonl: no such file"), (["none.jsonl"], "no such file"),
     (["foo", "rows.jsonl"], "foo: not a kind"), (["a/b", "rows.jsonl"], "a/b: no such file")],
)  # fmt: skip
def test_errors(arguments, message, file):
    result = call(*arguments)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_help_has_an_example():
    assert "inhouse import zendesk" in " ".join(call("--help").stdout.split())
