"""`inhouse drift`: before a look, and what it prints of a kept report."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.drift import _print
from inhouse.cli.main import app
from inhouse.errors import InputError
from inhouse.monitoring.alarms import DriftReport, Group, Kept, Monitored, Shown
from inhouse.monitoring.revisions import Contradiction, DocumentDrift

QUESTION = Shown(exchange="x1", text="What is the Falcon \x1b[31mcard?")
ALARM = Monitored(
    name="new questions", area="questions", state="changed", says="The group has 5.2%.", effect=0.05, low=0.02, high=0.08, p=1e-5,
    days=1, units=600, groups=(Group(question=QUESTION, terms=("falcon",), share=0.052, usual_share=0.001, examples=(QUESTION,)),),
    examples=(QUESTION,), waiting_usd=41.5, waiting="about $41.50 a day", todo="Add them to the tests.",
)  # fmt: skip
CALM = Monitored(name="latency", area="operation", state="no change", says="The time to answer is 1.")
DOCUMENTS = DocumentDrift(
    contradicting=(Contradiction(sources=("a.md", "b.md"), texts=("fee $7", "fee $8"), figures=("$7", "$8")),)
)
REPORT = DriftReport(
    made_at="2026-11-30T20:00:00+00:00", release="bank/1", since="2026-11-01T00:00:00+00:00", until="2026-11-30T20:00:00+00:00",
    reference="traffic", usual_days=28, requests=31200, monitors=(ALARM, CALM), documents=DOCUMENTS,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n')
    return tmp_path


def test_before_a_look_it_says_how_to_look(folder):
    result = CliRunner().invoke(app, ["drift", "--last", "--project", str(folder)])
    assert isinstance(result.exception, InputError)
    assert result.exception.hint == "run `inhouse drift`"


def test_without_a_release_nothing_is_written(folder):
    result = CliRunner().invoke(app, ["drift", "--project", str(folder)])
    assert isinstance(result.exception, InputError)
    assert not (folder / ".inhouse" / "drift.json").exists()


def test_the_last_look_is_printed_as_json(folder):
    (folder / ".inhouse").mkdir()
    (folder / ".inhouse" / "drift.json").write_text(Kept(report=REPORT).model_dump_json())
    result = CliRunner().invoke(app, ["drift", "--last", "--json", "--project", str(folder)])
    found = json.loads(result.stdout)["report"]
    assert [m["state"] for m in found["monitors"]] == ["changed", "no change"]
    assert found["monitors"][0]["examples"] == []  # the exchange is not in the audit log


def test_an_alarm_is_printed_with_examples_the_cost_of_waiting_and_what_to_do(capsys):
    _print(REPORT)
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "31,200 requests since 2026-11-01T00:00, compared with 28 usual days", "changed new questions", "(falcon)", "[x1]",
        "Waiting costs about $41.50 a day. Add them to the tests.", "no change latency", "contradicting a.md: fee $7 b.md: fee $8",
    ):  # fmt: skip
        assert words in text, words
    assert "\x1b[31m" not in text
