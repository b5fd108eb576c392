"""The commands of guardrails, with rails that note what they check."""

import pytest
from typer.testing import CliRunner

from inhouse.cli.guard import guard_app
from inhouse.guardrails.rail import Guard
from inhouse.pipeline import ask

TEXT = "What does a wire cost?"


class Noting:
    """A rail that notes its texts; the first check of a real one loads a model."""

    sides = ("input",)

    def __init__(self, name):
        self.name, self.checked = name, []

    def check(self, side, text, turn):
        self.checked.append(text)


@pytest.fixture
def rails(monkeypatch):
    made = [Noting("toxicity"), Noting("shop.rail")]
    monkeypatch.setattr(ask, "guards", lambda workspace: [Guard(rail, {"input": "flag"}) for rail in made])
    return made


def test_explain_shows_the_time_of_a_check_and_that_of_loading_apart(rails, tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "Shop"\n')
    run = CliRunner().invoke(guard_app, ["explain", TEXT, "--project", str(tmp_path)])
    assert run.exit_code == 0, run.output
    shipped, added = rails
    assert len(shipped.checked) == 2
    assert shipped.checked[0] != shipped.checked[1] == TEXT, "the check that loads the model was shown"
    assert added.checked == [TEXT], "a rail of the project may do more than look at a text"
    assert "loading the models took" in run.output


def test_the_times_of_a_measurement_are_without_loading(rails, tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "Shop"\n')
    (tmp_path / "lines.jsonl").write_text(f'{{"text": "{TEXT}", "bad": false}}\n')
    run = CliRunner().invoke(guard_app, ["test", str(tmp_path / "lines.jsonl"), "--project", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert rails[0].checked[0] != TEXT
    assert rails[0].checked[1:] == [TEXT]
