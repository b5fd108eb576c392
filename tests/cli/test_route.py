"""`inhouse route`: what it prints about messages, files, and held-out examples."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.main import app
from inhouse.errors import InputError

PROJECT = """
name = "Salon"
[[agent]]
name = "booking"
examples = ["I would like a haircut on Friday", "book me in with Anna", "can I get an appointment?", "a free slot on Monday"]
[[agent]]
name = "billing"
examples = ["I was charged twice", "please refund my payment", "where is my invoice?", "the bill is wrong"]
groups = ["customers"]
"""
LINES = [("an appointment on Monday please", "booking"), ("my bill is wrong", "billing"),
         ("I want my payment back, please refund me", "billing"), ("who won the world cup in 1998?", "")]  # fmt: skip


@pytest.fixture
def call(tmp_path, models_dir):
    (tmp_path / "inhouse.toml").write_text(PROJECT)
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps({"text": t, "agent": a}) for t, a in LINES))
    return lambda *given: CliRunner().invoke(app, ["route", *given, "--project", str(tmp_path)])


def test_a_message_is_shown_with_its_agent_and_why(call):
    result = call("test", "could you book me in on Friday", "my bill is wrong", "--group", "customers")
    assert result.exit_code == 0, result.output
    first, second = result.stdout.split("my bill is wrong\n")
    assert "  booking: probability " in first
    assert "nearest example: " in first
    assert "  next: billing 0." in first
    assert "  billing: probability " in second
    outside = call("test", "my bill is wrong", "--json")
    assert json.loads(outside.stdout)[0]["probabilities"].keys() == {"booking"}


def test_a_file_is_measured(call, tmp_path):
    result = call("test", str(tmp_path / "lines.jsonl"))
    assert result.exit_code == 0, result.output
    assert "4 lines" in result.stdout
    assert "accuracy 100.0% [43.9%, 100.0%] of 3" in result.stdout
    assert "AUROC 1.000" in result.stdout
    found = json.loads(call("test", str(tmp_path / "lines.jsonl"), "--json").stdout)
    assert (found["lines"], found["auroc"], len(found["predictions"])) == (4, 1.0, 4)


def test_the_report_is_shown(call):
    result = call("show")
    assert result.exit_code == 0, result.output
    assert "examples: billing 4, booking 4" in result.stdout
    assert "accuracy on held-out examples " in result.stdout
    assert json.loads(call("show", "--json").stdout)["examples"] == {"billing": 4, "booking": 4}


@pytest.mark.parametrize(
    "row", ['{"text": "x", "agent": "sales"}', '{"agent": "billing"}', "[1]", "{", '{"text": 3}', ""]
)
def test_a_wrong_line_is_named(call, tmp_path, row):
    (tmp_path / "wrong.jsonl").write_text(f"{row}\n")
    result = call("test", str(tmp_path / "wrong.jsonl"))
    assert isinstance(result.exception, InputError)
    assert "wrong.jsonl" in str(result.exception)
