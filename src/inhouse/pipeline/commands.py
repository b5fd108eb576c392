"""The adapters of agents that learn to understand messages: one for each, on the same base model.

An agent learns from past conversations in which its tools were called, and from the examples of its procedures; what a
message meant is read off what was done (`datasets/acting.py`). Conversations that say what a task of the verdict says
are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from inhouse.assembly.acting_rows import acting_rows, beginning_rows
from inhouse.assembly.team import Team, merged, read_team, starts_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import ConfigError
from inhouse.evaluation.acting import read_tasks
from inhouse.evaluation.tasks import TUNED
from inhouse.files import file_sha256, write_text
from inhouse.pipeline.adapters import train_adapter
from inhouse.pipeline.router import past
from inhouse.pipeline.sources import TRAINING
from inhouse.text.words import words
from inhouse.training.rows import Row
from inhouse.types import Artifact, Example, Json, Message, digest_of

FACTS = "facts.json"
HELD_OUT = 8  # one of so many conversations decides when training stops
FEW_WORDS = 4  # messages with fewer words are said in many conversations
HERE = {"method": "lora", "sharding": "none"}  # how agents learn: on this machine
SOURCE = [*TRAINING, "datasets/acting.py", "assembly/acting_rows.py", "agents/understand.py", "agents/commands.py",
          "agents/values.py", "agents/answers.py", "pipeline/commands.py"]  # fmt: skip


@dataclass(frozen=True)
class Talk:
    """A past conversation; `agent` is "" where nobody wrote down whose it was."""

    id: str
    agent: str
    messages: tuple[Message, ...]

    @property
    def tools(self) -> set[str]:
        return {str((c.get("function") or {}).get("name")) for m in self.messages for c in m.tool_calls}


@dataclass(frozen=True)
class Lessons:
    """What one agent learns from, and by what is seen when to stop."""

    rows: Sequence[Row]
    validation: Sequence[Row]
    conversations: int
    dropped: int = 0  # rows whose values could not be anonymized


def wanted(project: Project) -> list[str]:
    """The agents that get an adapter, by name; `TUNED` is the one with all procedures, which tries tasks."""
    found = [table.name for table in project.agent if table.tuned]
    trying = project.agent and project.evaluation.tasks and TUNED in project.evaluation.task_arms
    return [*found, TUNED] if trying else found


def make_commands(workspace: Workspace, served: Artifact, made: Artifact) -> Artifact:
    """The artifact "commands": for each agent, in the order of the fact `agents`, a folder 0, 1, ... with its adapter,
    as PEFT writes it and as adapter.gguf. training.max_minutes is for all of them together.

    Raises:
        ConfigError: an agent has nothing to learn from.
    """
    project, settings = workspace.project, workspace.project.training.model_copy(update=HERE)
    files = [file for name in project.curation.conversations if (file := project.path(name)).is_file()]
    tasks = [file for name in project.evaluation.tasks if (file := project.path(name)).is_file()]
    names = wanted(project)
    inputs: dict[str, Json] = {
        "agents": names,
        "training": settings.recipe(),
        "conversations": [file_sha256(file) for file in files],
        "where": project.curation.where,
        "anonymize": project.curation.anonymize,
        "keep": [project.name, *project.curation.names_to_keep],
        "tasks": [file_sha256(file) for file in tasks],
        "seed": project.seed,
    }

    def build(work: Path) -> dict[str, Json]:
        team = read_team(workspace.store, made, workspace.embedder)
        talks, left_out = without_tasks(list(_talks(files, project.curation.where)), tasks)
        lessons = {name: lessons_of(workspace, team, name, talks) for name in names}
        total = sum(len(own.rows) for own in lessons.values())
        adapters: dict[str, Json] = {}
        for n, (name, own) in enumerate(lessons.items()):
            minutes = settings.max_minutes * len(own.rows) / total
            adapters[name] = _trained(workspace, served, own, minutes, work / str(n))
        return {"agents": names, "adapters": adapters, "in_tasks": left_out}

    return workspace.make("commands", inputs, [served, made], SOURCE, build)


def lessons_of(workspace: Workspace, team: Team, name: str, talks: Sequence[Talk]) -> Lessons:
    """What the agent of that name learns from.

    Raises:
        ConfigError: nothing.
    """
    own = [talk for talk in talks if name in (TUNED, talk.agent) or not talk.agent]
    if name == TUNED:
        team = merged(team, workspace.embedder, name)
    procedures = team.procedures[name]
    tools = {tool for p in procedures.values() for tool in p.tools}
    own = [talk for talk in own if talk.agent or talk.tools & tools]
    today, starts = date.fromisoformat(team.today) if team.today else date.today(), starts_of(team, name)
    order = sorted(own, key=lambda talk: digest_of([workspace.project.seed, talk.id]))
    held = order[: len(order) // HELD_OUT]
    rows, validation = (
        acting_rows([(t.id, t.messages) for t in some], procedures, today, starts)
        for some in (order[len(held) :], held)
    )
    rows += beginning_rows(procedures)
    if not rows:
        hint = "add conversations with calls of its tools under curation.conversations, or examples to its procedures"
        raise ConfigError(f"agent {name}: has nothing to learn commands from", hint)
    if not workspace.project.curation.anonymize:
        return Lessons(rows, validation, len(own))
    kept, checked = anonymized(workspace, rows), anonymized(workspace, validation)
    return Lessons(kept, checked, len(own), len(rows) + len(validation) - len(kept) - len(checked))


def anonymized(workspace: Workspace, rows: Sequence[Row]) -> list[Row]:
    """The rows with the same placeholders in the message and in the commands, without those whose commands then are no
    JSON any more."""
    anonymizer, found = workspace.anonymizer(), []
    for row in rows:
        changed, _ = anonymizer.anonymize(Example(id="", messages=row.messages, target=row.target))
        try:
            json.loads(changed.target)
        except ValueError:
            continue
        found.append(Row(messages=changed.messages, target=changed.target, kind=row.kind))
    return found


def without_tasks(talks: Sequence[Talk], tasks: Sequence[Path]) -> tuple[list[Talk], int]:
    """The conversations in which no longer message is one of a task, and the number of the others."""
    said = {tuple(words(turn.say)) for file in tasks for task in read_tasks(file) for turn in task.user}

    def known(talk: Talk) -> bool:
        texts = (tuple(words(m.content)) for m in talk.messages if m.role == "user")
        return any(len(text) >= FEW_WORDS and text in said for text in texts)

    kept = [talk for talk in talks if not known(talk)]
    return kept, len(talks) - len(kept)


def _talks(files: Sequence[Path], where: dict[str, Json]) -> Iterator[Talk]:
    for n, (row, messages) in enumerate(past(files, where)):
        kept = [
            Message(
                role=m["role"], content=m.get("content") or "", tool_calls=tuple(m.get("tool_calls") or ()),
                tool_call_id=m.get("tool_call_id") or "",
            )
            for m in messages if m["role"] in ("user", "assistant", "tool")
        ]  # fmt: skip
        agent = row["agent"] if isinstance(row.get("agent"), str) else ""
        yield Talk(str(row.get("id") or n), agent, tuple(kept))


def _trained(workspace: Workspace, served: Artifact, lessons: Lessons, minutes: float, out: Path) -> dict[str, Json]:
    """Trains one adapter; an interrupted build finds those that were finished."""
    if (out / FACTS).is_file():
        return dict(json.loads((out / FACTS).read_text(encoding="utf-8")))
    out.mkdir(exist_ok=True)
    settings = workspace.project.training.model_copy(update=HERE | {"max_minutes": minutes, "backend": "local"})
    facts = train_adapter(workspace, served, lessons.rows, lessons.validation, settings, out)
    facts |= {"conversations": lessons.conversations, "dropped": lessons.dropped}
    write_text(out / FACTS, json.dumps(facts))
    return facts
