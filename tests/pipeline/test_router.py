"""The router's stage: what it learns from, and when it is made anew."""

import json
from pathlib import Path

import pytest

from inhouse.assembly.team import read_team, starts_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.router import allowed, make_team, needs_documents, open_router
from inhouse.routing.classifier import REST

PROJECT = """
name = "Salon"
[curation]
conversations = ["log.jsonl"]
[[agent]]
name = "booking"
procedures = ["procedures/*.toml"]
[[agent]]
name = "billing"
examples = ["I was charged twice", "please refund my payment", "where is my invoice?", "the bill is wrong",
            "the receipt has a mistake"]
groups = ["customers"]
[[agent]]
name = "advice"
examples = ["which shampoo should I use?"]
documents = ["care/**"]
"""
PROCEDURE = """
name = "book"
title = "Book an appointment"
examples = ["I would like a haircut on Friday", "can I come in tomorrow?", "is Anna free this week?"]
[[states]]
name = "start"
end = true
"""
PAST = [("booking", "Hi, it is Marta Kowalska, I need an appointment with Anna on Monday"), ("billing", "My card was charged two times"),
        ("nobody", "hello there"), (7, "good day")]  # fmt: skip


@pytest.fixture
def folder(tmp_path, models_dir) -> Path:
    (tmp_path / "inhouse.toml").write_text(PROJECT)
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "book.toml").write_text(PROCEDURE)
    (tmp_path / "documents" / "care").mkdir(parents=True)
    (tmp_path / "documents" / "care" / "hair.md").write_text(
        "# Dry hair\n\nUse oil.\n\n## Which conditioner helps against frizz?\n\nOurs."
    )
    (tmp_path / "documents" / "prices.md").write_text("# Prices\n\nA cut costs $30.")
    rows = [{"agent": agent, "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Sure."}]}
            for agent, text in PAST]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"agent": "booking", "x": 1}])))
    return tmp_path


@pytest.fixture
def open_project(folder, models_dir):
    return lambda **overrides: Workspace(load_project(folder, overrides), Catalog(models_dir.parent))


def test_it_learns_from_settings_procedures_conversations_and_headings(open_project):
    workspace = open_project()
    assert needs_documents(workspace)
    artifact = stages.router(workspace)
    classifier, report = open_router(workspace, artifact)
    assert artifact.kind == "router"
    # booking: three examples, the title, a conversation; advice: an example, the headings of its own documents
    assert report.examples == {"advice": 3, "billing": 6, "booking": 5}
    assert len(artifact.parents) == 1
    assert classifier.predict("could I get an appointment with Anna on Tuesday").name == "booking"
    assert classifier.predict("my card was charged two times").name == "billing"
    assert classifier.predict("what helps against frizz").name == "advice"
    kept = (Path(artifact.path) / REST).read_text()
    assert "haircut" in kept
    for private in ("Kowalska", "charged two times"):
        assert private not in kept


def test_it_is_made_again_only_when_something_it_was_made_from_changed(open_project, folder):
    first = stages.router(open_project())
    assert stages.router(open_project()) == first
    keys = {first.key}
    for overrides in ({"routing.max_false_rejects": "0.2"}, {"routing.conversations": "false"}, {"seed": "8"}):
        keys.add(stages.router(open_project(**overrides)).key)
    (folder / "procedures" / "book.toml").write_text(PROCEDURE.replace("tomorrow", "on Sunday"))
    keys.add(stages.router(open_project()).key)
    assert len(keys) == 5


def test_without_conversations_their_file_is_not_read(open_project, folder):
    (folder / "log.jsonl").unlink()
    workspace = open_project()
    _, report = open_router(workspace, stages.router(workspace))
    assert report.examples == {"advice": 3, "billing": 5, "booking": 4}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"agent": "[]"}, "no [[agent]]"),
        ({"agent": '[{name="a", examples=["x"]}, {name="b"}]'}, "agent b: has no examples"),
        ({"agent": '[{name="a", procedures=["nothing/*.toml"]}]'}, "there is no file"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(open_project, overrides, message):
    with pytest.raises(ConfigError) as error:
        stages.router(open_project(**overrides))
    assert message in str(error.value)


def test_a_damaged_report_is_refused(open_project):
    workspace = open_project(agent='[{name="a", examples=["one thing", "another"]}]')
    artifact = stages.router(workspace)
    (Path(artifact.path) / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json"):
        open_router(workspace, artifact)


def test_groups_limit_the_agents(open_project):
    project = open_project().project
    assert allowed(project, frozenset()) == {"booking", "advice"}
    assert allowed(project, frozenset(["customers"])) == {"booking", "billing", "advice"}


MOVE = """
name = "move"
examples = ["move my appointment", "I need another day for my haircut", "reschedule me please", "put it off a week"]
[[states]]
name = "start"
end = true
"""
ASKED = ["When are you open on Saturday?", "Where can I park?", "What does a cut cost?", "Do you have any vegan shampoo?",
         "Who is Anna?", "Is Marta Kowalska in on Fridays?"]  # fmt: skip


def test_questions_of_the_past_begin_no_procedure(open_project, folder):
    (folder / "procedures" / "move.toml").write_text(MOVE)

    def starts():
        workspace = open_project()
        made = make_team(workspace, stages.router(workspace))
        team = read_team(workspace.store, made, workspace.embedder)
        kept = "".join(f.read_text() for f in Path(made.path).rglob("*.json"))
        return starts_of(team, "booking"), kept

    before, _ = starts()
    assert max(before("Are you open this Saturday?").values()) > 0.6
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]} for text in ASKED
    ]
    with (folder / "log.jsonl").open("a") as log:
        log.write("".join("\n" + json.dumps(row) for row in rows))
    after, kept = starts()
    assert max(after("Are you open this Saturday?").values()) <= 0.3
    assert max(after("I would like a haircut on Saturday").values()) > 0.6
    assert max(after("can I come in on Saturday?").values()) > 0.6
    assert max(after("could you move my appointment to Saturday?").values()) > 0.6
    assert "haircut" in kept
    assert "vegan" not in kept
