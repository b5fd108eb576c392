"""Agents that learn to understand messages: lessons from conversations, one adapter each, served on one base."""

import asyncio
import json
from pathlib import Path

import pytest

from inhouse.agents.commands import Command, Situation, allowed, schema
from inhouse.agents.understand import prompt
from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts
from inhouse.assembly.team import desk_of, read_team
from inhouse.assembly.tools import tools_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError
from inhouse.evaluation.tasks import TUNED
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.commands import Talk, anonymized, lessons_of, wanted, without_tasks
from inhouse.pipeline.opened import built_of
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.store.calls import StoredCalls
from inhouse.store.turns import StoredTurns
from inhouse.training.rows import Row
from inhouse.types import Estimate, Message
from inhouse.verdict import Gain, Report

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
AGENTS = """
tasks = ["tasks.jsonl"]
task_arms = ["procedure", "procedure+tuned", "router+specialists"]
arms = ["base", "rag"]
max_questions = 1
[guardrails]
rails = []
[release]
arm = "rag"
max_wrong = 1
no_worse = []
[[agent]]
name = "orders"
tuned = true
procedures = ["order.toml"]
[[agent]]
name = "visits"
procedures = ["visit.toml"]
[[tool]]
name = "order"
python = "tools.py:order"
effect = "write"
idempotent = true
[[tool]]
name = "visit"
python = "tools.py:visit"
effect = "write"
idempotent = true
"""
TOOLS = '''
def order(plan: int, key: str) -> dict:
    """Orders a plan."""
    return {"plan": plan}

def visit(day: str, key: str) -> dict:
    """Books a visit."""
    return {"day": day}
'''
ORDER = """
name = "order"
title = "Order a plan"
examples = ["I want to order a plan", "sign me up for a plan", "order please"]
[slots.plan]
type = "integer"
ask = "Which plan do you want?"
[[states]]
name = "start"
collect = ["plan"]
confirm = "Shall I order plan {plan}?"
call = { tool = "order", with = { plan = "{plan}" }, as = "done" }
next = "said"
[[states]]
name = "said"
say = "Plan {plan} is ordered."
end = true
"""
VISIT = (
    ORDER.replace("order", "visit").replace("[slots.plan]", "[slots.day]").replace('"integer"', '"date"')
    .replace("plan", "day").replace("sign me up for a day", "can I come by to look at it")
)  # fmt: skip
TASK = {
    "id": "a", "kind": "order", "agent": "orders",
    "user": [{"say": "I want to order a plan"}, {"answers": {"plan": "3", "confirm": "yes"}}],
    "expect": {"calls": [{"tool": "order", "arguments": {"plan": 3}}], "said": ["Plan 3 is ordered"]},
}  # fmt: skip


def talk(first, plan):
    call = {"id": "c1", "type": "function", "function": {"name": "order", "arguments": json.dumps({"plan": plan})}}
    return [
        {"role": "user", "content": first}, {"role": "assistant", "content": "Which plan do you want?"},
        {"role": "user", "content": f"number {plan}"}, {"role": "assistant", "content": f"Shall I order plan {plan}?"},
        {"role": "user", "content": "yes"}, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "{}"},
        {"role": "assistant", "content": f"Plan {plan} is ordered."},
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(write_project, tmp_path_factory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("commands"))
    settings = (folder / "inhouse.toml").read_text() + AGENTS
    (folder / "inhouse.toml").write_text(settings)
    for name, text in (("tools.py", TOOLS), ("order.toml", ORDER), ("visit.toml", VISIT)):
        (folder / name).write_text(text)
    (folder / "tasks.jsonl").write_text(json.dumps(TASK))
    rows = [{"id": f"o{n}", "agent": "orders", "messages": talk(f"hi, one of your plans {n} please", n)}
            for n in range(3)]  # fmt: skip
    rows += [{"id": "none", "messages": talk("a plan for my mother", 5)}]
    rows += [{"id": "seen", "agent": "orders", "messages": talk("I want to order a plan!", 1)}]
    with (folder / "log.jsonl").open("a") as log:
        log.write("\n" + "\n".join(json.dumps(row) for row in rows))
    return folder


@pytest.fixture(scope="module")
def workspace(folder, models_dir) -> Workspace:
    return Workspace(load_project(folder), Catalog(models_dir.parent))


def test_agents_are_trained_only_where_someone_asked_for_it(folder):
    assert wanted(load_project(folder)) == ["orders", TUNED]
    assert wanted(load_project(folder, {"evaluation.task_arms": ["procedure"]})) == ["orders"]


def test_conversations_that_say_what_a_task_says_are_left_out(folder):
    talks = [
        Talk(text, "", (Message(role="user", content=text),))
        for text in ("I want to ORDER a plan.", "I want to order a boat", "yes")
    ]
    kept, left_out = without_tasks(talks, [folder / "tasks.jsonl"])
    assert [t.id for t in kept] == ["I want to order a boat", "yes"]
    assert left_out == 1


@pytest.fixture(scope="module")
def team(workspace):
    return read_team(workspace.store, stages.team(workspace), workspace.embedder)


def talked(id_, agent, plan=4):
    messages = [Message(**m | {"content": m["content"] or ""}) for m in talk(f"hello, plan {plan}", plan)]
    return Talk(id_, agent, tuple(messages))


@pytest.mark.slow
def test_an_agent_learns_from_its_own_conversations_and_examples(workspace, team):
    asked = Talk("q", "visits", (Message(role="user", content="Where are you?"),))
    talks = [talked("a", "orders"), talked("b", ""), asked]
    own = lessons_of(workspace, team, "orders", talks)
    assert own.conversations == 2
    targets = [row.target for row in own.rows]
    assert targets.count('[{"kind":"start","name":"order"}]') == 5  # two messages and three examples
    assert targets.count('[{"kind":"set","name":"plan","value":4}]') == 2
    assert targets.count('[{"kind":"yes"}]') == 2
    assert lessons_of(workspace, team, TUNED, talks).conversations == 3
    other = [row.target for row in lessons_of(workspace, team, "visits", talks).rows]
    assert set(other) == {'[{"kind":"answer"}]', '[{"kind":"start","name":"visit"}]'}


@pytest.mark.slow
def test_an_agent_without_anything_to_learn_from_is_refused(workspace, team):
    bare = {n: {k: p.model_copy(update={"examples": ()}) for k, p in own.items()} for n, own in team.procedures.items()}
    with pytest.raises(ConfigError, match="orders: has nothing to learn"):
        lessons_of(workspace, type(team)(team.agents, bare, team.tools), "orders", [])


@pytest.mark.slow
def test_names_of_people_become_the_same_placeholder_in_the_command(workspace):
    target = json.dumps([{"kind": "set", "name": "name", "value": "Gail Frost"}], separators=(",", ":"))
    said = (Message(role="user", content="My name is Gail Frost, call me at 415-555-0171"),)
    (row,) = anonymized(workspace, [Row(messages=said, target=target, kind="acting")])
    value = json.loads(row.target)[0]["value"]
    assert "Gail" not in value
    assert value in row.messages[0].content
    assert "0171" not in row.messages[0].content


@pytest.fixture(scope="module")
def made(workspace):
    return stages.commands(workspace)


@pytest.mark.slow
def test_each_agent_gets_an_adapter_on_the_same_base(workspace, made):
    assert made.facts["agents"] == ["orders", TUNED]
    assert made.facts["in_tasks"] == 1
    assert all((Path(made.path) / n / "adapter.gguf").is_file() for n in ("0", "1"))
    assert {a.kind for d, a in workspace.store.lineage(made) if d == 1} == {"weights", "team"}
    assert stages.commands(workspace).key == made.key


@pytest.mark.slow
def test_adapters_are_served_by_name_beside_the_base(workspace, made):
    arms = Arms(built_of(workspace, stages.weights(workspace), None, None, None, None, None, made))
    now = Situation(procedures={"order": "Order a plan"})
    asked = ChatRequest(
        messages=prompt(now, (Message(role="user", content="a plan"),)), max_tokens=120, json_schema=schema(now, 4)
    )
    try:
        assert arms.commands("visits") is None
        own, every = arms.commands("orders"), arms.commands(TUNED)
        assert own.body(asked)["lora"] == [{"id": 0, "scale": 1.0}, {"id": 1, "scale": 0.0}]
        assert every.body(asked)["lora"] == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 1.0}]
        assert [a["scale"] for a in arms.base().body(asked)["lora"]] == [0.0, 0.0]
        assert len(arms._engines) == 1
        reply = asyncio.run(collect(own, asked))
        assert all(allowed(Command.model_validate(c), now) for c in json.loads(reply.text))
    finally:
        arms.close()


def with_a_gain(workspace, measured):
    """The workspace with a verdict of the same artifacts that passes the gate, as that of a random model cannot."""
    report, better = Report.read(Path(measured.path)), Estimate(mean=0.5, low=0.4, high=0.6, n=40)
    gain = Gain(arm="rag", over="base", metrics={"accuracy": better})

    def build(work):
        (work / "report.json").write_text(report.model_copy(update={"gains": (gain,)}).model_dump_json())
        return dict(measured.facts)

    parents = [a for depth, a in workspace.store.lineage(measured) if depth == 1]
    workspace.store.make("report", workspace.store.inputs(measured) | {"of": "a gain"}, parents, build)
    return workspace


@pytest.mark.slow
def test_a_release_serves_the_adapters_that_the_verdict_measured(workspace, made):
    report = stages.evaluate(workspace)
    assert made.key in {a.key for d, a in workspace.store.lineage(report) if d == 1}
    measured = json.loads((Path(report.path) / "report.json").read_text())["tasks"]
    assert set(measured["arms"]) == {"procedure", TUNED, "router+specialists"}
    assert measured["arms"]["procedure"]["model_calls"] == 0
    assert measured["arms"][TUNED]["model_calls"] > 0
    assert f"{TUNED} over procedure" in [f"{g['arm']} over {g['over']}" for g in measured["gains"]]

    release = Releases(with_a_gain(workspace, report)).make()
    assert release.commands == made.key
    assert f"commands/{made.key}" in release.pins
    with workspace.ledger() as ledger:
        parts = Parts(workspace, workspace.project)
        desk = desk_of(tools_of(workspace.project), StoredCalls(ledger), StoredTurns(ledger), parts)
        opened = open_release(workspace, release, desk=desk)
        try:
            request = ChatRequest(messages=(Message(role="user", content="order please"),), max_tokens=20, user="u")
            assert asyncio.run(collect(opened.model, request)).text
        finally:
            opened.close()
        (Path(made.path) / "0" / "adapter.gguf").write_bytes(b"GGUF but another")
        with pytest.raises(GateError, match="adapter.gguf"):
            open_release(workspace, release, desk=desk)
