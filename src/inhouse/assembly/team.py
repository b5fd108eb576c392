"""The team of a project: its agents with their procedures, behind the router, the guardrails, and the memory.

What a team is made from is an artifact (`written`): the tables of the agents, their procedures, the tools as they were
described when it was measured, and the classifier that finds procedures. Tools themselves are code of the project; one
that is described otherwise than it was measured does not run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from inhouse.agents.agent import Agent
from inhouse.agents.answers import asks, is_asking, requests
from inhouse.agents.conversing import Conversing
from inhouse.agents.executor import Executor, Rights
from inhouse.agents.one_prompt import OnePrompt
from inhouse.agents.procedure import Procedure, read_procedure, to_procedure
from inhouse.agents.understand import SURE, Starts, Understanding
from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts, acting_guard
from inhouse.chat import ChatModel
from inhouse.config.acting import Agent as AgentTable
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, GateError, InputError
from inhouse.files import matches, write_text
from inhouse.routing.classifier import TextClassifier, train
from inhouse.routing.router import Routed
from inhouse.store.artifacts import Store
from inhouse.tools import Calls, Runs, Tool, Turns
from inhouse.types import Artifact, Embedder, Example, Json

FILE, STARTS, QUESTIONS = "agents.json", "starts", "questions"
QUESTION = "?"  # the class of messages that the documents answer
LOW = 0.3  # probability of a procedure at which nothing is begun
FEWEST = 5  # such messages, to learn from
DOCUMENTS, PERSON = "documents", "person"
Procedures = Mapping[str, Mapping[str, Procedure]]
"""By agent, then by name."""


@dataclass(frozen=True)
class Desk:
    """What agents act with, in one process."""

    tools: Mapping[str, Runs]
    executor: Executor
    turns: Turns


@dataclass(frozen=True)
class Team:
    """What a team is made from.

    Attributes:
        agents: their tables.
        procedures: by agent, then by name.
        tools: as they were described.
        fallback: see `routing.fallback`.
        today: a fixed day, ISO 8601; "" for the current one.
        starts: finds the procedure that a message begins; None where no agent has several.
        questions: tells questions that the documents answer (`QUESTION`) from messages that begin a procedure; None
            where there are too few of them to learn from.
        router: finds the agent; None where the team is only described.
    """

    agents: Sequence[AgentTable]
    procedures: Procedures
    tools: Mapping[str, Tool]
    fallback: str = ""
    today: str = ""
    starts: TextClassifier | None = None
    questions: TextClassifier | None = None
    router: TextClassifier | None = None


def procedures_of(project: Project) -> dict[str, dict[str, Procedure]]:
    """The procedures of each agent, from the project's files.

    Raises:
        ConfigError: a pattern matches no file, a name is used twice, or a file is not a procedure.
    """
    found: dict[str, dict[str, Procedure]] = {}
    for table in project.agent:
        if table.name in found or table.name in (DOCUMENTS, PERSON):
            raise ConfigError(f"[[agent]] {table.name}: needs a name that nothing else has")
        own: dict[str, Procedure] = {}
        for file in _files(project, table):
            procedure = read_procedure(file)
            if procedure.name in own:
                raise ConfigError(f"{file}: {table.name} has a procedure {procedure.name} already", "rename one")
            own[procedure.name] = procedure
        found[table.name] = own
    fallback = project.routing.fallback
    if fallback and fallback not in (*found, DOCUMENTS, PERSON):
        raise ConfigError(f"routing.fallback: there is no agent {fallback!r}", f"agents: {', '.join(found)}")
    return found


def _files(project: Project, table: AgentTable) -> list[Path]:
    files: list[Path] = []
    for pattern in table.procedures:
        matching = sorted(project.root.glob(pattern)) if "*" in pattern else [project.path(pattern)]
        if not matching or not all(f.is_file() for f in matching):
            raise ConfigError(f"[[agent]] {table.name}: procedures: there is no file {pattern}", "paths are relative "
                              "to the project file")  # fmt: skip
        files += matching
    return list(dict.fromkeys(files))


def described(project: Project, tools: Mapping[str, Runs]) -> dict[str, Json]:
    """What the team of a project is made from, as JSON.

    Raises:
        ConfigError: an agent or a procedure names a tool that there is not.
    """
    procedures = procedures_of(project)
    for table in project.agent:
        for procedure in procedures[table.name].values():
            for tool in sorted(procedure.tools - allowed(table, procedures[table.name], tools)):
                hint = f"add it to [[tool]], or to its `tools`; there are {', '.join(sorted(tools))}"
                raise ConfigError(f"procedure {procedure.name}: the agent {table.name} has no tool {tool!r}", hint)
    return {
        "agents": [table.model_dump(mode="json") for table in project.agent],
        "procedures": {
            agent: [p.model_dump(mode="json", by_alias=True) | {"groups": sorted(p.groups)} for p in own.values()]
            for agent, own in procedures.items()
        },
        "tools": {name: _described(runs.tool) for name, runs in sorted(tools.items())},
        "fallback": project.routing.fallback,
        "today": _day(project.routing.today),
    }


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError as error:
        raise ConfigError(f"routing.today: {text!r} is not a day", 'write it as "2027-03-09"') from error


def _described(tool: Tool) -> dict[str, Json]:
    return tool.model_dump(mode="json") | {"groups": sorted(tool.groups), "roles": sorted(tool.roles)}


def allowed(table: AgentTable, procedures: Mapping[str, Procedure], tools: Mapping[str, object]) -> frozenset[str]:
    """The tools that an agent may call: those its table names, else those of its procedures."""
    if table.tools:
        return frozenset(name for name in tools if matches(name, table.tools))
    return frozenset(t for p in procedures.values() for t in p.tools if t in tools)


def written(
    made_from: Mapping[str, Json], embedder: Embedder, out: Path, questions: Sequence[str] = ()
) -> dict[str, Json]:
    """Writes a team into a folder; returns facts of it. `questions` are messages that the documents answered."""
    write_text(out / FILE, json.dumps(made_from, ensure_ascii=False, indent=1))
    team = _read(made_from)
    if classifier := _learned(team.procedures, embedder):
        (out / STARTS).mkdir()
        classifier.save(out / STARTS)
        asked = [*questions, *(text for table in team.agents for text in table.examples if is_asking(text))]
        if len(asked) >= FEWEST:
            (out / QUESTIONS).mkdir()
            both = _learned(team.procedures, embedder, asked)
            assert both is not None  # there is one without questions
            both.save(out / QUESTIONS)
    states = sum(len(p.states) for own in team.procedures.values() for p in own.values())
    return {"agents": len(team.agents), "procedures": sum(map(len, team.procedures.values())), "states": states,
            "tools": len(team.tools)}  # fmt: skip


def described_team(made: Artifact) -> Team:
    """The team of an artifact without its classifiers, to be shown.

    Raises:
        InputError: the artifact is gone or damaged.
    """
    file = Path(made.path) / FILE
    try:
        return _read(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error})", "run `inhouse build` again") from error


def _learned(procedures: Procedures, embedder: Embedder, questions: Sequence[str] = ()) -> TextClassifier | None:
    """What finds the procedure that a message begins, or that it is a question; None where no agent has several."""
    texts = [(text, name) for own in procedures.values() for name, p in own.items() for text in p.examples]
    if not texts or not any(len(own) > 1 for own in procedures.values()):
        return None
    shown = {text for text, _ in texts}  # a prediction never shows what a customer once asked
    texts += [(text, QUESTION) for text in dict.fromkeys(questions)]
    return train([t for t, _ in texts], [n for _, n in texts], embedder, shown=shown)[0]


def read_team(store: Store, made: Artifact, embedder: Embedder) -> Team:
    """The team of an artifact, with the router that it was made from.

    Raises:
        InputError: one of the artifacts is gone or damaged.
    """
    folder, team = Path(made.path), described_team(made)
    starts, questions = (
        TextClassifier.load(folder / name, embedder) if (folder / name).is_dir() else None
        for name in (STARTS, QUESTIONS)
    )
    router = TextClassifier.load(Path(store.open("router", made.parents[0]).path), embedder)
    return Team(team.agents, team.procedures, team.tools, team.fallback, team.today, starts, questions, router)


def _read(made_from: Mapping[str, Json]) -> Team:
    procedures = {
        agent: {p["name"]: to_procedure(p, f"procedure {p['name']}") for p in rows}
        for agent, rows in made_from["procedures"].items()
    }
    agents = [AgentTable.model_validate(row) for row in made_from["agents"]]
    tools = {name: Tool.model_validate(row) for name, row in made_from["tools"].items()}
    return Team(agents, procedures, tools, made_from["fallback"], made_from["today"])


def check_tools(team: Team, tools: Mapping[str, Runs]) -> None:
    """
    Raises:
        GateError: a tool that the team needs is gone, or is described otherwise than when the team was measured.
    """
    needed = {t for own in team.procedures.values() for p in own.values() for t in p.tools}
    for name in sorted(needed):
        if name not in tools or tools[name].tool != team.tools.get(name):
            what = "is described otherwise" if name in tools else "is gone, and was there"
            raise GateError(
                f"the tool {name} {what} when its agents were measured", "run `inhouse build`, then release"
            )


def open_team(
    team: Team, arms: Arms, arm: str, desk: Desk, parts: Parts, few_shot: Sequence[Example] = (),
    understands: ChatModel | None = None,
) -> ChatModel:  # fmt: skip
    """The team as a ChatModel.

    Args:
        team: what it is made from; without a router its first agent has all conversations.
        arms: open the models that answer from the documents.
        arm: which of them answers.
        desk: the tools and the memory.
        parts: what guardrails of the users' messages are made from.
        few_shot: examples in the prompt of the arm `prompt`.
        understands: the model that chooses among commands where code cannot read a message; by default the one that
            was trained on commands for the agent, or none: a small model that was not trained on commands takes time,
            and passed no more tasks (docs/benchmarks.md).
    """
    fixed = date.fromisoformat(team.today) if team.today else None

    def today() -> date:
        return fixed or date.today()

    agents: dict[str, ChatModel] = {}
    for table in team.agents:
        own = team.procedures[table.name]
        answerer = arms.open(arm, few_shot, within=table.documents, instructions=table.instructions)
        trained = None if understands else arms.commands(table.name)
        understanding = Understanding(starts_of(team, table.name), understands or trained, trained is not None)
        agents[table.name] = Agent(
            table.name, own, understanding, desk.executor, answerer, allowed(table, own, team.tools), today
        )
    if team.router is None:
        return _conversing(next(iter(agents.values())), desk, parts)
    fallback = None if team.fallback == PERSON else agents.get(team.fallback) or arms.open(arm, few_shot)
    groups = {table.name: frozenset(table.groups) for table in team.agents}
    handoff = parts.project.replies.person or parts.project.assistant.handoff
    return _conversing(Routed(arm, team.router.predict, agents, fallback, groups, handoff, asks), desk, parts)


def open_one_prompt(
    team: Team, arms: Arms, arm: str, desk: Desk, parts: Parts, few_shot: Sequence[Example] = ()
) -> ChatModel:
    """What the team is compared with: one model with the titles of all procedures and all tools in its prompt."""
    titles = {name: p.title or name for own in team.procedures.values() for name, p in own.items()}
    model = OnePrompt(
        arms.behind(arm), desk.executor, team.tools, titles, parts.project.assistant.instructions,
        arms.open(arm, few_shot), team.today or date.today().isoformat(),
    )  # fmt: skip
    return _conversing(model, desk, parts)


def merged(team: Team, embedder: Embedder, name: str) -> Team:
    """The same with one agent of that name, which has all procedures, tools, and documents, and no router. What only
    members of some groups may ask of an agent stays so."""
    procedures: dict[str, Procedure] = {}
    for table in team.agents:
        for own, procedure in team.procedures[table.name].items():
            unique = own if own not in procedures else f"{table.name}_{own}"
            groups = procedure.groups or frozenset(table.groups)
            procedures[unique] = procedure.model_copy(update={"name": unique, "groups": groups})
    table = AgentTable(name=name, tools=tuple(team.tools))
    starts = _learned({name: procedures}, embedder)
    return Team([table], {name: procedures}, team.tools, team.fallback, team.today, starts, team.questions)


def _conversing(model: ChatModel, desk: Desk, parts: Parts) -> ChatModel:
    return Conversing(acting_guard(parts, model), desk.turns, model)


def starts_of(team: Team, agent: str) -> Starts:
    """The probability of each procedure of an agent; a small one where a message is out of scope, or is a question that
    the documents answer. Where each agent has one procedure alone, nothing is learned: what the router gives to an
    agent begins it, unless it is a question.
    """
    names, classifier, questions = list(team.procedures[agent]), team.starts, team.questions

    def probabilities(text: str) -> Mapping[str, float]:
        if classifier is None:
            return dict.fromkeys(names, LOW if asks(text) else 0.7)
        found = classifier.predict(text, names)
        likely = found.probabilities
        told = requests(text) or not is_asking(text)  # it says what is to be done
        sure = told and max(likely.values(), default=0.0) >= SURE
        if found.in_scope and (sure or questions is None or questions.predict(text).name != QUESTION):
            return likely
        return {name: min(p, LOW) for name, p in likely.items()}

    return probabilities


def desk_of(tools: Mapping[str, Runs], calls: Calls, turns: Turns, parts: Parts, rights: Rights | None = None) -> Desk:
    """What agents act with: the tools, each call once, results screened. For `rights` see Executor."""
    from inhouse.assembly.tools import screen_of

    return Desk(tools, Executor(tools, calls, screen_of(parts), rights=rights), turns)
