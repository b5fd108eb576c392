"""A copy of an example's project with a fresh database, and a walk through its procedures without a model."""

import importlib.util
import inspect
import json
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from inhouse.agents.expression import Expression
from inhouse.agents.procedure import Procedure, filled, read_procedure, said
from inhouse.agents.progress import choices_of
from inhouse.tools import ToolError

EXAMPLES = Path(__file__).parents[2] / "examples"


class Project:
    """An example in a folder of its own; `name` is that of its folder and of its database."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder = name, folder
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("*.sqlite", "__pycache__", ".inhouse"))
        spec = importlib.util.spec_from_file_location(f"{name}_tools_{id(self)}", folder / "tools.py")
        self.tools = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tools)
        self.settings = tomllib.loads((folder / "inhouse.toml").read_text())
        self.tables = {table["name"]: table for table in self.settings["tool"]}
        self.procedures = {p.name: p for p in map(read_procedure, sorted(folder.glob("procedures/*.toml")))}

    def rows(self, file: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / file).read_text().splitlines()]

    def reset(self) -> None:
        (self.folder / f"{self.name}.sqlite").unlink()
        self.tools.create()

    def call(self, tool: str, arguments: dict, key: str = "k"):
        table = self.tables[tool]
        if "sql" in table:
            with closing(sqlite3.connect(f"file:{self.folder / table['database']}?mode=ro", uri=True)) as db:
                db.row_factory = sqlite3.Row
                return [dict(row) for row in db.execute(table["sql"], arguments)]
        function = getattr(self.tools, tool)
        keyed = {"key": key} if "key" in inspect.signature(function).parameters else {}
        return function(**arguments, **keyed)

    def state(self) -> dict[str, list]:
        """All rows of all tables, without the keys of calls."""
        with closing(sqlite3.connect(self.folder / f"{self.name}.sqlite")) as db:
            db.row_factory = sqlite3.Row
            names = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
            return {
                name: [{k: v for k, v in dict(r).items() if k != "key"} for r in found] for name, found in rows.items()
            }

    def walk(self, procedure: str, known: dict, agrees=lambda question: True, most: int = 40):
        """What is said and which calls are made where the user tells each slot when it is asked for, or before.

        A list in `known` holds the answers to a slot that is asked for repeatedly. The walk ends with `end`, `hand_off`,
        a "no" without `otherwise`, or a slot that is not known: the last item says which.
        """
        flow: Procedure = self.procedures[procedure]
        answers = {slot: list(v) if isinstance(v, list) else [v] for slot, v in known.items()}
        names = {slot: found.pop(0) for slot, found in answers.items()}
        texts, calls, state = [], [], flow.states[0]
        for _ in range(most):
            if state.say:
                texts.append(said(state.say, names))
            names.update(dict.fromkeys(state.forget))
            for slot in state.collect:
                if names.get(slot) is None:
                    if not answers.get(slot):
                        return texts, calls, f"asks {slot}"
                    names[slot] = answers[slot].pop(0)
                if flow.slots[slot].choices_from:
                    names[f"{slot}_item"] = choices_of(flow.slots[slot], names)[names[slot]]
            if state.hand_off:
                return texts, calls, "hand_off"
            if state.end:
                return texts, calls, "end"
            if state.confirm:
                texts.append(said(state.confirm, names))
                if not agrees(texts[-1]):
                    if not state.otherwise:
                        return texts, calls, "no"
                    state = flow.by_name[state.otherwise]
                    continue
            if state.call:
                arguments = {k: v for k, v in filled(state.call.arguments, names).items() if v is not None}
                try:
                    names[state.call.result] = self.call(state.call.tool, arguments, f"{procedure}-{len(calls)}")
                    calls.append((state.call.tool, arguments))
                except ToolError as error:
                    names["error"] = str(error)
                    if not state.call.on_error:
                        raise
                    state = flow.by_name[state.call.on_error]
                    continue
            state = flow.by_name[next(n.go for n in state.next if not n.when or Expression(n.when).holds(names))]
        raise AssertionError(f"{procedure} does not end: {texts[-3:]}")

    def writes(self, calls):
        return [(tool, arguments) for tool, arguments in calls if self.tables[tool]["effect"] == "write"]


@pytest.fixture(scope="session")
def project_of(tmp_path_factory):
    return lambda name: Project(name, tmp_path_factory.mktemp(name) / name)
