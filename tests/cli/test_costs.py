"""The commands roi and budget."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.cli.main import app
from inhouse.errors import ConfigError, InputError
from inhouse.store.budgets import Amount, Limit, Settlement, Wanted, reserve, settle
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.tables import now_ms

EXAMPLE = """
conversations_per_month = 100_000
base_escalation = 0.33
custom_escalation = "14.5%"
usd_per_escalation = 12
custom_usd_per_month = 8000
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "inhouse.toml").write_text(
        'name = "Shop"\n[[budget]]\nrequests = 5\n[[budget]]\nper = "user"\nusd = 1\n'
    )

    def call(*arguments):
        return CliRunner().invoke(app, [*arguments, "--project", str(tmp_path)])

    return call


def test_roi_shows_the_example_and_writes_its_files(run, tmp_path):
    (tmp_path / "example.toml").write_text(EXAMPLE)
    files = ["--html", str(tmp_path / "roi.html"), "--xlsx", str(tmp_path / "roi.xlsx")]
    made = run("roi", "--inputs", str(tmp_path / "example.toml"), *files)
    assert made.exit_code == 0, made.output
    for figure in ("$396,000", "$174,000", "net saving per month: $214,000"):
        assert figure in made.output
    assert "$214,000" in (tmp_path / "roi.html").read_text()
    assert (tmp_path / "roi.xlsx").read_bytes()[:2] == b"PK"


def test_an_input_of_the_command_takes_the_place_of_the_files(run, tmp_path):
    (tmp_path / "example.toml").write_text(EXAMPLE)
    made = run("roi", "--inputs", str(tmp_path / "example.toml"), "--input", "custom_usd_per_month=0", "--json")
    assert json.loads(made.stdout)["net"] == "$222,000"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--input", "base_escalation"], ConfigError),
        (["--input", "no=1"], InputError),
        (["--inputs", "/nowhere.toml"], InputError),
    ],
)
def test_wrong_inputs_are_refused(run, arguments, error):
    assert isinstance(run("roi", *arguments).exception, error)


def test_budget_shows_what_was_used(run, tmp_path):
    assert "no budget was used" in run("budget").output
    ledger = Ledger(ledger_url(tmp_path / ".inhouse"))
    limits = [Limit(per="project", most=Amount(0, 0, 5)), Limit(per="user", subject="ann", most=Amount.of(1))]
    with ledger.write() as connection:
        wanted = [Wanted(f"e{n}", limits, Amount.of(0.2, 10, 1), now_ms() + 60_000) for n in range(2)]
        reserve(connection, ledger, wanted, now_ms())
        settle(connection, [Settlement("e0", Amount.of(0.25, 10, 1))])
    ledger.close()
    first, second = json.loads(run("budget", "--json").stdout)
    assert first["name"].startswith("user sha256:")
    assert (first["used"], first["held"], first["limit"], first["left"]) == ("$0.25", "$0.20", "$1.00", "$0.55")
    assert (second["name"], second["used"], second["left"]) == ("project, this month", "1 requests", "3 requests")
    assert "user sha256:" in run("budget").output
