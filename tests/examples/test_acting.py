"""What holds for every example with agents: its files fit together, and the calls of its tasks run."""

import inspect

import pytest

from inhouse.agents.check import problems
from inhouse.agents.expression import Expression
from inhouse.agents.procedure import holes
from inhouse.assembly.team import described
from inhouse.assembly.tools import tools_of
from inhouse.config.load import load_project

NAMES = ["salon", "after_hours"]


@pytest.fixture(scope="module", params=NAMES)
def project(request, project_of):
    return project_of(request.param)


def test_the_settings_name_what_there_is(project):
    settings = load_project(project.folder)
    tools = {tool.name for tool in settings.tool}
    for agent in settings.agent:
        for pattern in agent.documents:
            assert list((project.folder / "documents").glob(pattern)), pattern
        for pattern in agent.procedures:
            assert (files := list(project.folder.glob(pattern))), pattern
            for file in files:
                assert project.procedures[file.stem].tools <= set(agent.tools) <= tools
        assert (
            len(agent.examples) + sum(len(project.procedures[p.split("/")[1][:-5]].examples) for p in agent.procedures)
            >= 6
        )
    for tool in settings.tool:
        assert {t for t in (tool.check, tool.undo) if t} <= tools
        assert bool(tool.sql) or inspect.getdoc(getattr(project.tools, tool.name))
        assert tool.sql or tool.python == f"tools.py:{tool.name}"
        if tool.python:
            parameters = inspect.signature(getattr(project.tools, tool.name)).parameters
            assert ("key" in parameters) == (tool.effect == "write"), tool.name
            assert tool.approval in ("never", "always") or Expression(tool.approval.above).names <= set(parameters)


def test_the_procedures_go_where_there_are_states(project):
    for procedure in project.procedures.values():
        assert 6 <= len(procedure.examples) <= 10
        names = set(procedure.slots) | {s.call.result for s in procedure.states if s.call} | {"error", "which_item"}
        targets = {procedure.states[0].name}
        for state in procedure.states:
            for then in state.next:
                targets.add(then.go)
                names_read = Expression(then.when).names if then.when else frozenset()
                assert names_read <= names
            targets |= {t for t in (state.otherwise, state.call and state.call.on_error) if t}
            texts = (
                [state.say, state.confirm, *(str(v) for v in state.call.arguments.values())]
                if state.call
                else [state.say]
            )
            assert all(hole.names <= names for text in texts for hole in holes(text)), state.name
            assert state.end or state.hand_off or state.next, state.name
            if state.call and project.tables[state.call.tool]["effect"] == "write":
                assert state.confirm, f"{procedure.name}.{state.name} writes without asking"
        assert targets == set(procedure.by_name), procedure.name


def test_the_calls_of_every_task_run(project):
    tasks = project.rows("tests/tasks.jsonl")
    agents = {agent["name"]: agent for agent in project.settings["agent"]}
    assert 60 <= len(tasks) <= 80
    assert len({task["id"] for task in tasks}) == len(tasks)
    for task in tasks:
        project.reset()
        before, expect = project.state(), task["expect"]
        assert set(expect["never"]) <= set(project.tables)
        for n, call in enumerate(expect["calls"]):
            assert call["tool"] in agents[task["agent"]]["tools"], task["id"]
            assert call["tool"] not in expect["never"], task["id"]
            project.call(call["tool"], call["arguments"], f"{task['id']}-{n}")
        assert (project.state() != before) == bool(expect["calls"]), task["id"]


def test_the_conversations_call_what_there_is(project):
    agents = {agent["name"]: agent for agent in project.settings["agent"]}
    rows = project.rows("conversations.jsonl")
    assert 40 <= len(rows) <= 60
    for row in rows:
        calls = [c["function"]["name"] for m in row["messages"] for c in m.get("tool_calls", ())]
        assert set(calls) <= set(agents[row["agent"]]["tools"]), row["id"]


def test_the_team_can_be_made(project):
    settings = load_project(project.folder)
    tools = {name: runs.tool for name, runs in tools_of(settings).items()}
    assert set(tools) == set(project.tables)
    assert described(settings, tools_of(settings))["today"] == project.state()["clock"][0]["now"][:10]
    for procedure in project.procedures.values():
        found = problems(procedure, tools, frozenset(["error", "which_item"]))
        assert [p for p in found if p.severity == "error"] == [], procedure.name
