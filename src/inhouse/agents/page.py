"""A procedure written as a page of TOML that `read_procedure` reads, with notes for whoever completes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from inhouse.agents.procedure import Procedure, Slot, State
from inhouse.tools import Tool
from inhouse.types import Json, Record

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
WIDEST = 100  # characters of a list in one line


class Imported(Record):
    """A procedure of another program: what could be translated, and notes on what a person has to look at.

    `tools` are the tools that it calls, as far as the other program describes them.
    """

    procedure: Procedure
    notes: tuple[str, ...] = ()
    tools: Mapping[str, Tool] = {}


def page(procedure: Procedure, notes: Sequence[str] = ()) -> str:
    """The page. Members of arguments that are None are left out, which TOML cannot hold."""
    lines = [f"# {' '.join(note.split())}" for note in notes]
    if notes:
        lines.append("")
    lines += _pairs(procedure, ("name", "title", "description", "version"), always=("name", "version"))
    if procedure.examples or notes:
        lines.append(f"examples = {_list(procedure.examples)}" + ("" if procedure.examples else "  # fill in"))
    if procedure.groups:
        lines.append(f"groups = {_list(sorted(procedure.groups))}")
    if not procedure.states:
        lines.append("states = []")
    for name, slot in procedure.slots.items():
        lines += ["", f"[slots.{_key(name)}]", *_slot(slot)]
    for state in procedure.states:
        lines += ["", "[[states]]", *_state(state)]
    return "\n".join(lines) + "\n"


def _slot(slot: Slot) -> list[str]:
    keys = ("type", "ask", "hint", "choices", "also", "choices_from", "choice", "pattern", "optional", "sensitive")
    return _pairs(slot, keys, always=("type",))


def _state(state: State) -> Iterator[str]:
    yield from _pairs(state, ("name", "forget", "say", "collect", "confirm", "otherwise"), always=("name",))
    if len(state.next) == 1 and not state.next[0].when:
        yield f"next = {_value(state.next[0].go)}"
    elif state.next:
        steps = [{"when": step.when, "go": step.go} if step.when else {"go": step.go} for step in state.next]
        yield f"next = {_list(steps)}"
    yield from _pairs(state, ("hand_off", "end"))
    if state.call:  # last, since the keys after it would be its own
        yield "[states.call]"
        yield f"tool = {_value(state.call.tool)}"
        if state.call.arguments:
            yield f"with = {_value(state.call.arguments)}"
        if state.call.result:
            yield f"as = {_value(state.call.result)}"
        if state.call.on_error:
            yield f"on_error = {_value(state.call.on_error)}"


def _pairs(part: Procedure | Slot | State, keys: Sequence[str], always: Sequence[str] = ()) -> list[str]:
    values = {key: getattr(part, key) for key in keys}
    return [
        f"{key} = {_list(value) if isinstance(value, tuple) else _value(value)}"
        for key, value in values.items()
        if value or key in always
    ]


def _list(values: Sequence[Json]) -> str:
    written = [_value(value) for value in values]
    short = f"[{', '.join(written)}]"
    return short if len(short) <= WIDEST else "[\n" + "".join(f"    {one},\n" for one in written) + "]"


def _value(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            text = repr(value)
            return text if text.lstrip("+-").isalpha() or "." in text or "e" in text else f"{text}.0"
        case dict():
            inside = [f"{_key(str(key))} = {_value(inner)}" for key, inner in value.items() if inner is not None]
            return f"{{ {', '.join(inside)} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(_value(inner) for inner in value if inner is not None)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if name and _BARE.issuperset(name) else _value(name)
