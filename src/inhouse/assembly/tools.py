"""The tools of a project, from wherever its settings take them, and the screening of what they return."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from inhouse.agents.sources import http, rules
from inhouse.agents.sources.functions import FunctionTool
from inhouse.agents.sources.sql import SqlTool
from inhouse.agents.sources.threads import in_thread
from inhouse.assembly.guard import Parts, actions_of
from inhouse.chat import ChatRequest
from inhouse.config.sections import Project
from inhouse.errors import ConfigError
from inhouse.guardrails.guarded import REMOVED
from inhouse.guardrails.injection import indirect
from inhouse.guardrails.injection.indirect import IndirectInjection, is_order
from inhouse.guardrails.rail import TOOL, Rail, Turn
from inhouse.text.sentences import every_sentence, windows
from inhouse.tools import Runs
from inhouse.types import Json, Passage, Trust

log = logging.getLogger(__name__)
LEAST_WORDS = 6  # of a text that may be a sentence
ORDER_WORDS = 4  # of a shorter one that may be an order; fewer are mostly names, such as "Replace water filter"
PIECE_WORDS = 100  # that are looked at together; the embedder reads no more of a sentence
MOST_CHARS = 20_000  # of the texts of a result that are looked at, less than a second; what goes beyond is removed


def tools_of(project: Project) -> dict[str, Runs]:
    """Every tool by its name.

    Raises:
        ConfigError: a table is wrong; the message begins with the table and the key.
    """
    return rules.joined(_sources(project))


def _sources(project: Project) -> Iterator[tuple[str, Runs]]:
    """Each tool, with the place in the settings that it is from."""
    root = project.path("")
    for table in project.tool:
        place = f"[[tool]] {table.name}"
        kinds = [key for key in ("python", "sql") if getattr(table, key)]
        if len(kinds) != 1:
            what = "both python and sql are set" if kinds else "neither python nor sql is set"
            raise ConfigError(f"{place}: {what}", "a tool is a Python function or a query")
        if kinds == ["python"] and table.database:
            raise ConfigError(f"{place}: database: is for queries alone", "remove it, or write `sql`")
        yield place, FunctionTool(table, root, place) if table.python else SqlTool(table, root, place)
    for service in project.openapi:
        place = f"[[openapi]] {service.name}"
        for tool in http.tools(service, root, place):
            yield f"{place}: {tool.tool.name.removeprefix(service.name + '_')}", tool
    if project.mcp:
        from inhouse.agents.mcp import Servers

        yield from ((f"[[mcp]]: {name}", tool) for name, tool in Servers(project.mcp, root).tools.items())


class Screen:
    """Removes texts with injected instructions from what tools return, wherever they stand in it.

    A text goes as a whole, as passages of external documents do. Texts of fewer than LEAST_WORDS words are looked at
    only if they are orders: the classifier was trained on sentences, and names, times, and prices are none.

    Args:
        rail: says which texts are injected.
        trust: that of the texts; instructions are found at a lower threshold in external ones, and so are more of the
            harmless texts (docs/benchmarks.md).
        fail_open: texts pass if the rail fails; otherwise they are removed.
    """

    def __init__(self, rail: Rail, trust: Trust = "trusted", fail_open: bool = False) -> None:
        self._rail, self._trust, self._fail_open = rail, trust, fail_open

    async def __call__(self, text: str) -> str:
        """The text; if it is a JSON object or list, with the texts in it screened one by one."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if not isinstance(value, dict | list):
            return str(await self.json(text))
        screened = await self.json(value)
        return text if screened == value else json.dumps(screened, ensure_ascii=False)

    async def json(self, value: Json) -> Json:
        """A JSON value with REMOVED in place of each text, or key of an object, that is an instruction."""
        texts = list(dict.fromkeys(text for text in _texts(value) if _is_checked(text)))
        removed = await in_thread(partial(self._injected, texts), "screen") if texts else frozenset()
        return _without(value, removed) if removed else value

    def _injected(self, texts: Sequence[str]) -> frozenset[str]:
        read, too_long = [], set()
        left = MOST_CHARS
        for text in texts:
            left -= len(text)
            if left < 0:
                too_long.add(text)
            else:
                read += [(text, piece) for piece in windows(text, PIECE_WORDS)]
        passages = tuple(Passage(source=TOOL, title="", heading="", text=p, trust=self._trust) for _, p in read)
        try:
            finding = self._rail.check("passages", "", Turn(ChatRequest(messages=()), passages))
        except Exception:
            log.exception("the screening of a tool's result failed")
            return frozenset(() if self._fail_open else texts)
        return frozenset(read[n][0] for n in finding.passages).union(too_long) if finding else frozenset(too_long)


def screen_of(parts: Parts) -> Screen | None:
    """What screens the results of tools; None where the rail against injections is off for passages."""
    settings = parts.project.guardrails
    rail = IndirectInjection(parts.embedder, indirect.shipped())
    if rail.name not in settings.rails or "passages" not in actions_of(rail.name, rail, settings.actions):
        return None
    return Screen(rail, fail_open=rail.name in settings.fail_open)


def _is_checked(text: str) -> bool:
    if len(text.split()) >= LEAST_WORDS:
        return True
    return any(len(s.split()) >= ORDER_WORDS and is_order(s) for s in every_sentence(text))


def _texts(value: Json) -> Iterator[str]:
    """The texts in a JSON value, and the keys of its objects."""
    if isinstance(value, str):
        yield value
    for inner in (
        (*value.keys(), *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _texts(inner)


def _without(value: Json, removed: Collection[str]) -> Json:
    if isinstance(value, dict):
        return {_without(key, removed): _without(inner, removed) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, removed) for inner in value]
    return REMOVED if isinstance(value, str) and value in removed else value
