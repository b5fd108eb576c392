"""Where tasks are tried: fresh copies of the project, databases compared, and arms over the same tools."""

import os
import sqlite3
import tomllib
from contextlib import closing

import pytest

from inhouse.agents.procedure import to_procedure
from inhouse.assembly.guard import Parts
from inhouse.assembly.team import Team, merged
from inhouse.assembly.trials import Bench, Copied, rows_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.acting import Agent
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, InputError
from inhouse.evaluation.acting import read_tasks
from inhouse.evaluation.tasks import ONE_PROMPT, PROCEDURE, TEAM, TUNED, task_results, try_arm
from inhouse.models.catalog import Catalog
from inhouse.models.scripted import Scripted
from inhouse.tools import Tool
from inhouse.types import Silent

PROJECT = """
name = "Seats"
[guardrails]
rails = ["pii"]
[evaluation]
tasks = ["tasks.jsonl"]
databases = ["seats.sqlite"]
fresh = true
ignore = ["calls", "*.at"]
[routing]
today = "2027-03-09"
[[agent]]
name = "seats"
procedures = ["seat.toml"]
[[tool]]
name = "free"
python = "tools.py:free"
effect = "read"
[[tool]]
name = "seat"
python = "tools.py:seat"
effect = "write"
idempotent = true
approval = { above = "number > 50" }
"""
TOOLS = '''
import os, sqlite3, time
from pathlib import Path
FILE = Path(__file__).parent / "seats.sqlite"
with sqlite3.connect(FILE) as db:
    db.execute("CREATE TABLE IF NOT EXISTS seats (number INTEGER, day TEXT, at REAL)")
    db.execute("CREATE TABLE IF NOT EXISTS calls (key TEXT)")

def free(number: int) -> bool:
    """Whether a seat is free."""
    with sqlite3.connect(FILE) as db:
        return db.execute("SELECT 1 FROM seats WHERE number = ?", (number,)).fetchone() is None

def seat(number: int, key: str) -> dict:
    """Takes a seat."""
    with sqlite3.connect(FILE) as db:
        db.execute("INSERT INTO calls VALUES (?)", (key,))
        db.execute("INSERT INTO seats VALUES (?, ?, ?)", (number, os.environ["INHOUSE_TODAY"], time.time()))
    return {"number": number}
'''
SEAT = """
name = "seat"
title = "Take a seat"
examples = ["I want a seat", "seat please"]
[slots.number]
type = "integer"
ask = "Which seat do you want?"
[[states]]
name = "start"
collect = ["number"]
call = { tool = "free", with = { number = "{number}" }, as = "open" }
next = [{ when = "not open", go = "taken" }, { go = "take" }]
[[states]]
name = "taken"
say = "Seat {number} is taken."
end = true
[[states]]
name = "take"
confirm = "Shall I give you seat {number}?"
call = { tool = "seat", with = { number = "{number}" }, as = "done" }
next = "said"
[[states]]
name = "said"
say = "Seat {number} is yours."
end = true
"""
TASKS = """
{"id": "a", "kind": "seat", "user": [{"say": "I want a seat"}, {"answers": {"number": "7", "confirm": "yes"}}], \
"expect": {"calls": [{"tool": "seat", "arguments": {"number": 7}}], "database": true, "said": ["seat 7 is yours"]}}
{"id": "b", "kind": "seat", "user": [{"say": "I want a seat"}, {"answers": {"number": "8", "confirm": "no"}}], \
"expect": {"database": true, "never": ["seat"]}}
{"id": "c", "kind": "approval", "today": "2027-04-01", "user": [{"say": "I want a seat"}, {"answers": {"number": "70", \
"confirm": "yes"}}], "expect": {"proposed": [{"tool": "seat", "arguments": {"number": 70}}], "database": true, \
"never": ["seat"]}}
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (
        ("inhouse.toml", PROJECT), ("tools.py", TOOLS), ("seat.toml", SEAT), ("tasks.jsonl", TASKS.strip()),
        (".hidden", "x"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("# A")
    (tmp_path / "seats.sqlite").write_bytes(b"damaged")
    return tmp_path


def team_of(folder, **tools):
    procedure = to_procedure(tomllib.loads((folder / "seat.toml").read_text()), "seat")
    world = Copied(load_project(folder))
    described = {name: runs.tool for name, runs in world.tools.items()} | tools
    world.close()
    return Team([Agent(name="seats")], {"seats": {"seat": procedure}}, described, today="2027-03-09")


class Arms:
    """Answers from no documents; the model of one prompt takes the seat at once."""

    def open(self, *args, **kwargs):
        return Scripted(lambda request: "I do not know.", "documents")

    def commands(self, agent):
        return Scripted(lambda request: '[{"kind": "person"}]', agent) if agent == TUNED else None

    def behind(self, arm):
        return Scripted(self.decided, "base")

    def decided(self, request):
        said = request.messages[-1].content
        if "done:" in said:
            return '{"say": "Seat 7 is yours."}'
        return '{"tool": "seat", "arguments": {"number": 7}}'


def test_a_copy_has_what_tools_need_and_nothing_else(folder):
    world = Copied(load_project(folder))
    at = world._folder
    assert sorted(p.name for p in at.iterdir()) == [
        "inhouse.toml",
        "seat.toml",
        "seats.sqlite",
        "tasks.jsonl",
        "tools.py",
    ]
    assert world.snapshot() == {"seats.sqlite": {"seats": []}}
    world.close()
    assert not at.exists()
    assert (folder / "seats.sqlite").read_bytes() == b"damaged"


def test_rows_are_compared_without_what_is_ignored(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        db.executescript('CREATE TABLE "a b" (x, key); INSERT INTO "a b" VALUES (2, 1), (1, 2); CREATE TABLE calls (y)')
    assert rows_of(tmp_path / "a.sqlite", ["calls", "*.key"]) == {"a b": ["[1]", "[2]"]}
    assert rows_of(tmp_path / "none.sqlite", []) == {}
    (tmp_path / "b.sqlite").write_text("no database at all, whatever its name says")
    with pytest.raises(InputError, match="not a SQLite database"):
        rows_of(tmp_path / "b.sqlite", [])


async def test_tasks_are_tried_by_every_arm(folder, models_dir, monkeypatch):
    monkeypatch.delenv("INHOUSE_TODAY", raising=False)
    project = load_project(folder)
    workspace = Workspace(project, Catalog(models_dir.parent))
    bench = Bench(team_of(folder), Arms(), "rag", Parts(workspace, project), folder / "work")
    tasks, trials = read_tasks(folder / "tasks.jsonl"), {}
    for arm in (ONE_PROMPT, PROCEDURE, TUNED, TEAM):
        out = folder / f"{arm}.jsonl"
        trials[arm] = await try_arm(arm, tasks, 1, lambda t, arm=arm: bench.task(arm, t), out, Silent(), bench.asks)
    bench.close()
    found = task_results(tasks, trials, 7)
    why = {arm: [row.tried[arm].why for row in found.table] for arm in trials}
    assert why[PROCEDURE] == why[TEAM] == [(), (), ()]
    assert why[ONE_PROMPT][0] == ()
    assert "handed off" in why[TUNED][0]  # as its model understood
    assert "something forbidden was done or said" in why[ONE_PROMPT][1]
    assert "INHOUSE_TODAY" not in os.environ


def test_tools_of_other_systems_are_not_tried(folder, models_dir):
    team = team_of(folder, free=Tool(name="free", origin="http"))
    workspace = Workspace(load_project(folder), Catalog(models_dir.parent))
    with pytest.raises(ConfigError, match="really call free"):
        Bench(team, Arms(), "rag", Parts(workspace, workspace.project), folder / "work")


def test_one_agent_has_all_procedures_and_keeps_the_groups(folder, embedder):
    team = team_of(folder)
    both = Team([Agent(name="a", groups=("staff",)), Agent(name="b")],
                {"a": team.procedures["seats"], "b": team.procedures["seats"]}, team.tools)  # fmt: skip
    one = merged(both, embedder, "procedure")
    assert [a.name for a in one.agents] == ["procedure"]
    assert {n: p.groups for n, p in one.procedures["procedure"].items()} == {"seat": {"staff"}, "b_seat": frozenset()}
