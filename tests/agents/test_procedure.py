"""The format of procedures, and the commands for them."""

import json

import pytest
from typer.testing import CliRunner

from inhouse.agents.page import page
from inhouse.agents.procedure import filled, read_procedure, said, to_procedure, written
from inhouse.cli.main import app
from inhouse.errors import ConfigError, InputError
from inhouse.pipeline.procedures import project_tools

PAGE = """
name = "cancel"
version = 2
examples = ["cancel my appointment"]

[slots.id]
type = "id"
ask = "What is the number of your booking?"
pattern = "[A-Z]{2}[0-9]{4}"

[[states]]
name = "start"
collect = ["id"]
next = "cancel"

[[states]]
name = "cancel"
confirm = "Cancel {id}?"
otherwise = "kept"
next = "done"
[states.call]
tool = "cancel"
with = { id = "{id}", why = ["{id}", 1] }
as = "result"

[[states]]
name = "kept"
say = "It is kept."
end = true

[[states]]
name = "done"
say = "Canceled: {result.fee}."
end = true
"""
YAML = """
name: cancel
states:
  - {name: start, say: "Bye", end: true}
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "cancel.toml"
    file.write_text(PAGE)
    return file


def run(*words):
    return CliRunner().invoke(app, ["procedure", *map(str, words)])


def test_toml_and_yaml(file, tmp_path):
    procedure = read_procedure(file)
    assert [n.go for n in procedure.by_name["start"].next] == ["cancel"]
    assert procedure.tools == {"cancel"}
    other = tmp_path / "p.yaml"
    other.write_text(YAML)
    assert read_procedure(other).states[0].end


@pytest.mark.parametrize(("text", "error"), [
    ("name = ", ConfigError), ('name = "p"', ConfigError), ('name = "p"\nstates = [{}]', ConfigError),
    ('name = "p"\nstates = [{name = "a", nxt = "b"}]', ConfigError), ('states = 3', ConfigError),
])  # fmt: skip
def test_what_is_no_procedure(tmp_path, text, error):
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(error, match=r"p\.toml"):
        read_procedure(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError):
        read_procedure(tmp_path / "none.toml")


def test_the_digest_is_that_of_the_content(file, tmp_path):
    procedure = read_procedure(file)
    again = tmp_path / "again.toml"
    again.write_text(page(procedure, ["A note."]))
    assert read_procedure(again).digest == procedure.digest
    again.write_text(PAGE.replace("It is kept.", "Kept."))
    assert read_procedure(again).digest != procedure.digest
    groups = [to_procedure({"name": "p", "states": [], "groups": g}, "") for g in (["a", "b"], ["b", "a"])]
    assert groups[0].digest == groups[1].digest


def test_values_in_texts_and_arguments():
    names = {"id": 7, "list": ["a", "b"], "price": 1200.0}
    assert filled({"a": "{id}", "b": ["{list}", "no {id}"], "c": 3}, names) == {
        "a": 7,
        "b": [["a", "b"], "no 7"],
        "c": 3,
    }
    assert said("{list} for {price}, {gone.x}", names) == "a and b for 1,200, -"
    assert written(True) == "yes"


def test_check_prints_version_and_digest(file, tmp_path):
    done = run("check", file, "--project", tmp_path)
    assert done.exit_code == 0
    digest = read_procedure(file).digest[:12]
    assert f"cancel version 2, digest {digest}, no problems" in done.stdout


def test_check_fails_for_errors_and_names_file_and_state(file, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(PAGE.replace('otherwise = "kept"', 'otherwise = "kpt"'))
    done = run("check", file, bad, "--project", tmp_path)
    assert done.exit_code == 5
    assert f"{bad}: cancel version 2" in done.stdout
    assert "error   cancel: otherwise names 'kpt'" in done.stdout
    rows = json.loads(run("check", file, bad, "--json", "--project", tmp_path).stdout)
    assert [row["errors"] for row in rows] == [0, 2]
    assert {p["kind"] for p in rows[1]["problems"]} == {"unknown state", "unreachable"}


def test_check_of_what_is_no_procedure_goes_on_with_the_others(file, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("name = 3")
    done = run("check", bad, file, "--project", tmp_path)
    assert done.exit_code == 5
    assert "no problems" in done.stdout


def test_warnings_do_not_fail(file, tmp_path):
    file.write_text(PAGE.replace('examples = ["cancel my appointment"]', ""))
    done = run("check", file, "--project", tmp_path)
    assert done.exit_code == 0
    assert "1 warning" in done.stdout


def test_outside_of_a_project_no_tools_are_known(tmp_path):
    assert project_tools(tmp_path) is None


def test_draw(file, tmp_path):
    out = tmp_path / "p.svg"
    assert run("draw", file, "-o", out, "--at", "kept").exit_code == 0
    assert 'aria-current="step"' in out.read_text()
    assert run("draw", file).exit_code == 0
    assert file.with_suffix(".svg").exists()
    assert isinstance(run("draw", file, "--at", "nowhere").exception, ConfigError)


def test_import(tmp_path):
    flows = tmp_path / "flows.yml"
    flows.write_text(
        "flows:\n  hi: {description: greets, steps: [{action: utter_hi}]}\n  yo: {description: y, steps: []}\n"
    )
    out = tmp_path / "out"
    done = run("import", flows, "--from", "rasa", "-o", out)
    assert done.exit_code == 0
    assert "utter_hi" in done.stdout
    assert read_procedure(out / "hi.toml").states[0].say == "utter_hi"
    assert isinstance(run("import", flows, "--from", "rasa", "-o", out).exception, ConfigError)  # it is there already
    assert isinstance(run("import", flows, "--from", "rasa", "-o", tmp_path / "one.toml").exception, ConfigError)
    assert isinstance(run("import", flows, "--from", "word", "-o", out).exception, ConfigError)
    assert isinstance(run("import", tmp_path / "none", "--from", "star", "-o", out).exception, InputError)
    assert isinstance(run("import", tmp_path, "--from", "star", "-o", out).exception, InputError)
