"""Where tasks with tools are tried: the team, and what it is compared with, over fresh copies of what tools change.

A copy is the project's folder without its store, its documents, and hidden files; its Python tools are loaded from
there. Models, index, router, and guardrails are opened once for all tasks.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from inhouse.agents.sources.functions import forget
from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts
from inhouse.assembly.team import Desk, Team, desk_of, merged, open_one_prompt, open_team
from inhouse.assembly.tools import tools_of
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, InputError
from inhouse.evaluation.acting import Opened, Task
from inhouse.evaluation.tasks import ONE_PROMPT, PROCEDURE, TUNED
from inhouse.evaluation.users import CONFIRM
from inhouse.store.calls import StoredCalls
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.turns import StoredTurns
from inhouse.tools import Caller, Runs, ToolError
from inhouse.types import Example, Json, digest_of

TODAY = "INHOUSE_TODAY"
"""Environment variable with the day of the task, for tools that go by the day."""
LARGE = 64 * 1024**2  # bytes; larger files are linked rather than copied


class Copied:
    """A World in a copy of the project's folder; `close` removes it.

    Raises:
        ConfigError: a tool cannot be loaded.
    """

    def __init__(self, project: Project) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="inhouse-task-")).resolve()
        self._project = project
        try:
            copy_project(project, self._folder)
            self.tools: Mapping[str, Runs] = tools_of(project.at(self._folder))
        except BaseException:
            self.close()
            raise

    def snapshot(self) -> Json:
        settings = self._project.evaluation
        return {name: rows_of(self._folder / name, settings.ignore) for name in settings.databases}

    async def run(self, tool: str, arguments: Mapping[str, Json]) -> Json:
        """Runs a tool as the expected calls do, without rules or approvals.

        Raises:
            InhouseError: it failed.
        """
        if tool not in self.tools:
            raise ToolError(f"there is no tool {tool!r}")
        return await self.tools[tool].run(arguments, digest_of([tool, arguments]), Caller(user="expected"))

    def close(self) -> None:
        forget(self._folder)
        shutil.rmtree(self._folder, ignore_errors=True)


def copy_project(project: Project, to: Path) -> None:
    """Copies what tools may need; see the module."""
    root, settings = project.root.resolve(), project.evaluation
    left_out = {project.path(project.store.path).resolve(), project.path(project.documents.path).resolve()}
    if settings.fresh:
        left_out |= {project.path(name).resolve() for name in settings.databases}

    def ignored(folder: str, names: Sequence[str]) -> set[str]:
        at = Path(folder)
        return {n for n in names if n.startswith(".") or n == "__pycache__" or at / n in left_out}

    def copied(source: str, target: str) -> str:
        if os.path.getsize(source) > LARGE and Path(source).relative_to(root).as_posix() not in settings.databases:
            os.symlink(source, target)
        else:
            shutil.copy2(source, target)
        return target

    shutil.copytree(root, to, ignore=ignored, copy_function=copied, dirs_exist_ok=True)


def rows_of(file: Path, ignore: Sequence[str]) -> dict[str, list[Json]]:
    """The rows of each table of a SQLite file, in an order that only depends on them; nothing without the file.

    Raises:
        InputError: it is not a SQLite file.
    """
    if not file.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
            names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found: dict[str, list[Json]] = {}
            for name in names:
                if name.startswith("sqlite_") or _ignored(name, ignore):
                    continue
                quoted = name.replace('"', '""')
                cursor = db.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608  a table's own name, quoted
                columns = [c[0] for c in cursor.description]
                kept = [n for n, c in enumerate(columns) if not _ignored(f"{name}.{c}", ignore)]
                found[name] = sorted(json.dumps([row[n] for n in kept], default=repr) for row in cursor)
            return found
    except sqlite3.Error as error:
        hint = "evaluation.databases names the SQLite files that tools change"
        raise InputError(f"{file.name}: not a SQLite database ({error})", hint) from error


def _ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns if ("." in pattern) == ("." in name))


class Bench:
    """Opens the arms for tasks; one task at a time.

    Args:
        team: as it is served.
        arms: open the models.
        arm: which of them answers from the documents.
        parts: of the guardrails.
        folder: for a ledger of these tasks alone.
        few_shot: examples in the prompt of the arm `prompt`.

    Raises:
        ConfigError: a tool of an agent would act outside the copy.
    """

    def __init__(
        self, team: Team, arms: Arms, arm: str, parts: Parts, folder: Path, few_shot: Sequence[Example] = ()
    ) -> None:
        self._team, self._arms, self._arm, self._parts, self._few_shot = team, arms, arm, parts, few_shot
        _check_inside(parts.project, team)
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(ledger_url(folder))
        self._tools: dict[str, Runs] = {}
        self._desk: Desk | None = None
        self._models: dict[tuple[str, str], ChatModel] = {}
        self._worlds: list[Copied] = []

    @property
    def asks(self) -> dict[str, set[str]]:
        """How the procedures ask for each slot, and for a yes, for scripted users."""
        found: dict[str, set[str]] = {CONFIRM: set()}
        for procedure in (p for own in self._team.procedures.values() for p in own.values()):
            for name, slot in procedure.slots.items():
                found.setdefault(name, set()).add(slot.ask or f"{name.replace('_', ' ')}?")
            found[CONFIRM] |= {state.confirm for state in procedure.states if state.confirm}
        return found

    @contextmanager
    def task(self, arm: str, task: Task, understands: ChatModel | None = None) -> Iterator[
        Callable[[], Awaitable[Opened]]
    ]:  # fmt: skip
        """What opens the arm with a fresh copy, as often as the task needs one.

        Args:
            arm: one of evaluation.task_arms.
            task: its day is that of agents and tools.
            understands: see `open_team`.
        """
        today, before = task.today or self._team.today, os.environ.get(TODAY)
        if today:
            os.environ[TODAY] = today

        async def opened() -> Opened:
            world = Copied(self._parts.project)
            self._worlds.append(world)
            if len(self._worlds) > 1:  # for the expected calls
                return Opened(self._model(arm, today, understands), world)
            self._tools.clear()
            self._tools.update(world.tools)
            return Opened(self._model(arm, today, understands), world)

        try:
            yield opened
        finally:
            while self._worlds:
                self._worlds.pop().close()
            if today and before is None:
                del os.environ[TODAY]
            elif before is not None:
                os.environ[TODAY] = before

    def _model(self, arm: str, today: str, understands: ChatModel | None) -> ChatModel:
        if self._desk is None:
            self._desk = desk_of(self._tools, StoredCalls(self._ledger), StoredTurns(self._ledger), self._parts)
        key = (f"{arm} {understands.name if understands else ''}", today)
        if key not in self._models:
            team = replace(self._team, today=today)
            if arm == ONE_PROMPT:
                model = open_one_prompt(team, self._arms, self._arm, self._desk, self._parts, self._few_shot)
            else:
                team = merged(team, self._parts.embedder, arm) if arm in (PROCEDURE, TUNED) else team
                model = open_team(team, self._arms, self._arm, self._desk, self._parts, self._few_shot, understands)
            self._models[key] = model
        return self._models[key]

    def close(self) -> None:
        self._ledger.close()


def _check_inside(project: Project, team: Team) -> None:
    needed = {t for own in team.procedures.values() for p in own.values() for t in p.tools}
    outside = sorted(n for n in needed if n in team.tools and team.tools[n].origin.split(":")[0] in ("http", "mcp"))
    if outside:
        what = f"evaluation.tasks: trying tasks would really call {outside[0]}, a tool of another system"
        raise ConfigError(what, "try tasks with a project whose tools are functions or queries")
