"""What is wrong with a procedure, found by reading it: before a user meets it, and without a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from inhouse.agents.expression import Expression
from inhouse.agents.fitting import misfit
from inhouse.agents.flow import (
    Names,
    Use,
    edges,
    edges_of,
    endless,
    known,
    links,
    path,
    reached,
    required,
    uses,
)
from inhouse.agents.money import moves_money
from inhouse.agents.procedure import ITEM, Procedure, Slot, State, holes
from inhouse.errors import ConfigError
from inhouse.text.pattern import LinearPattern
from inhouse.tools import NEVER, Tool
from inhouse.types import Json, Record

GIVEN = frozenset({"today", "user", "user_groups", "error"})  # what the agent adds
Severity = Literal["error", "warning"]


class Problem(Record):
    """A fault of a procedure.

    Attributes:
        severity: an "error" must be corrected before the procedure is used; a "warning" may be meant.
        kind: what kind of fault, for programs, such as "unreachable".
        state: where; empty if it is not of a state.
        text: what is wrong, and what to do.
    """

    severity: Severity
    kind: str
    state: str = ""
    text: str


def problems(
    procedure: Procedure, tools: Mapping[str, Tool] | None = None, given: Names = frozenset()
) -> list[Problem]:
    """The faults of a procedure, in the order of its states, each once; those of the whole page first.

    Args:
        tools: those of the project by name; None if they are not known, and calls are not checked then.
        given: names that are always known, beside GIVEN and the objects that choices are made from.
    """
    given = given | GIVEN | {name + ITEM for name, slot in procedure.slots.items() if slot.choice}
    if not procedure.states:
        return [_error("empty", "", "There are no states. Add one under [[states]].")]
    found = [
        *_page(procedure), *_slots(procedure), *_structure(procedure), *_loops(procedure),
        *_names(procedure, tools, given), *(_calls(procedure, tools) if tools is not None else ()),
    ]  # fmt: skip
    order = {"": -1} | {name: at for at, name in enumerate(procedure.by_name)}
    return sorted(dict.fromkeys(found), key=lambda p: (order[p.state], p.severity))


def _error(kind: str, state: str, text: str) -> Problem:
    return Problem(severity="error", kind=kind, state=state, text=text)


def _warning(kind: str, state: str, text: str) -> Problem:
    return Problem(severity="warning", kind=kind, state=state, text=text)


def _page(procedure: Procedure) -> Iterator[Problem]:
    if not procedure.examples:
        yield _warning(
            "no examples", "", "There are no examples, so the router cannot find it. Add sentences that begin it."
        )
    for name, count in Counter(state.name for state in procedure.states).items():
        if count > 1:
            yield _error("duplicate", name, f"{count} states have this name, and only the last counts. Rename them.")
    results = {state.call.result for state in procedure.states if state.call}
    for name in sorted(results & procedure.slots.keys()):
        yield _warning(
            "same name", "", f"{name} is a slot and the result of a call, which replaces it. Rename one of them."
        )


def _slots(procedure: Procedure) -> Iterator[Problem]:
    collected = {name for state in procedure.states for name in state.collect}
    read = {name for name, _ in _read(procedure)}
    for name, slot in procedure.slots.items():
        if name in collected and not (slot.ask or slot.optional):
            yield _error("no question", "", f"The slot {name} is collected and has no question. Write one as ask.")
        if name not in collected and not slot.optional:
            text = f"The slot {name} is never asked for. Collect it in a state, make it optional, or remove it."
            yield _warning("never asked", "", text)
        if name not in read:
            yield _warning("never used", "", f"The slot {name} is never used. Remove it, or pass it to a tool.")
        yield from _slot(name, slot)


def _other_names(name: str, slot: Slot) -> Iterator[Problem]:
    """What is wrong with other names of choices."""
    meant: dict[str, str] = {choice.casefold(): choice for choice in slot.choices}
    for choice, names in slot.also.items():
        if choice not in slot.choices and not slot.choices_from:
            text = f"The slot {name} has other names for {choice!r}, which is none of its choices. Correct `also`."
            yield _error("other names", "", text)
        for other in names:
            if (known := meant.setdefault(other.casefold(), choice)) != choice:
                text = f"In the slot {name}, {other!r} means both {known!r} and {choice!r}. Remove one from `also`."
                yield _error("other names", "", text)


def _slot(name: str, slot: Slot) -> Iterator[Problem]:
    if slot.type == "choice" and not (slot.choices or slot.choices_from):
        yield _error("no choices", "", f"The slot {name} is a choice without choices. Add choices or choices_from.")
    if slot.type != "choice" and (slot.choices or slot.choices_from):
        yield _warning("no choice", "", f'The slot {name} has choices and is no choice. Set its type to "choice".')
    yield from _other_names(name, slot)
    if slot.choice and not slot.choices_from:
        yield _warning("no choices_from", "", f"The slot {name} has choice without choices_from. Add or remove one.")
    if slot.pattern:
        if slot.type not in ("id", "text"):
            text = f'The pattern of {name} has no effect, as only those of "id" and "text" have. Change the type.'
            yield _warning("pattern without effect", "", text)
        try:
            LinearPattern(slot.pattern)
        except ValueError as error:
            yield _error("bad pattern", "", f"The pattern of {name} is no regular expression of RE2: {error}.")


def _structure(procedure: Procedure) -> Iterator[Problem]:
    states = procedure.by_name
    forward, first = links(edges(procedure)), procedure.states[0].name
    reachable = reached([first], forward)
    stops = [s.name for s in states.values() if s.end or s.hand_off or not s.next]
    unknown = [edge.target for edge in edges(procedure) if edge.target not in states]
    leaving = reached([*stops, *unknown], links(edges(procedure), backwards=True))
    for name, state in states.items():
        if name not in reachable:
            yield _error("unreachable", name, f"No path from {first} leads here. Lead one here, or remove the state.")
        if not (state.next or state.end or state.hand_off):
            yield _error("dead end", name, "Nothing follows. Add next, end = true, or hand_off.")
        elif name not in leaving:
            yield _error("trap", name, "No end and no hand_off can be reached from here. Add a way out.")
        yield from _following(procedure, state)


def _following(procedure: Procedure, state: State) -> Iterator[Problem]:
    if state.next and (state.end or state.hand_off):
        yield _warning(
            "next after end", state.name, "next is never followed, since the state ends. Remove one of them."
        )
    if state.otherwise and not state.confirm:
        yield _warning(
            "no confirm", state.name, "otherwise has no effect without confirm. Add a question, or remove it."
        )
    keys = {"next": "go", "no": "otherwise", "error": "on_error"}
    every = {step.go for step in state.next}
    for key, target in [*((keys[e.kind], e.target) for e in edges_of(state)), *(("go", go) for go in sorted(every))]:
        if target not in procedure.by_name:
            yield _error("unknown state", state.name, f"{key} names {target!r}, which is no state. Correct the name.")
    if state.next and state.next[-1].when:
        text = "The conditions may not cover all cases: the last of next has one. Add one without when at the end."
        yield _warning("uncovered", state.name, text)
    if any(not step.when for step in state.next[:-1]):
        text = "What comes in next after the first without when is never followed. Put that one last."
        yield _warning("never followed", state.name, text)


def _loops(procedure: Procedure) -> Iterator[Problem]:
    for loop in endless(procedure):
        way = " -> ".join([*loop, loop[0]])
        text = f"The loop {way} may go round forever, since no state in it must wait for the user. "
        yield _error("endless loop", loop[0], f"{text}Let one confirm, or forget a slot that the loop collects.")


def _read(procedure: Procedure) -> Iterator[tuple[str, str]]:
    """Each name that is read anywhere, with the state; texts that are no expressions are left out."""
    for state in procedure.states:
        for use in uses(procedure, state, frozenset()):
            for expression in _expressions(use)[0]:
                yield from ((name, state.name) for name in expression.names)


def _expressions(use: Use) -> tuple[list[Expression], list[str]]:
    """The expressions of a use, and what is wrong with others."""
    found, wrong = [], []
    for text in [use.value] if use.kind == "condition" else _texts(use.value):
        try:
            found += [Expression(str(text))] if use.kind == "condition" else holes(str(text))
        except ConfigError as error:
            wrong.append(str(error))
    return found, wrong


def _texts(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _names(procedure: Procedure, tools: Mapping[str, Tool] | None, given: Names) -> Iterator[Problem]:
    results = {state.call.result for state in procedure.states if state.call and state.call.result}
    defined = {*procedure.slots, *results, *given}
    entries = known(procedure, given)
    for state in procedure.by_name.values():
        for name in state.collect:
            if name not in procedure.slots:
                text = f"collect names {name!r}, which is no slot. Correct the name, or add [slots.{name}]."
                yield _error("unknown slot", state.name, text)
        for name in state.forget:
            if name not in defined:
                yield _error("unknown name", state.name, f"forget names {name!r}, which is no slot and no result.")
        for use in uses(procedure, state, entries.get(state.name, frozenset(defined))):
            expressions, wrong = _expressions(use)
            yield from (_error("no expression", state.name, f"In {use.place}: {error}.") for error in wrong)
            yield from _braces(use, state, bool(wrong))
            for expression in expressions:
                for name in sorted(expression.names):
                    if name not in defined:
                        text = f"{use.place} reads {name!r}, which is no slot and no result. Correct the name."
                        yield _error("unknown name", state.name, _sentence(text))
                    elif name not in use.known:
                        free = use.kind == "argument" and not _needed(state, use.argument, tools)
                        yield from _too_early(procedure, state, use, expression, name, given, free)
            yield from _secrets(procedure, state, use, expressions)


def _braces(use: Use, state: State, wrong: bool) -> Iterator[Problem]:
    for text in () if use.kind == "condition" or wrong else _texts(use.value):
        if text.count("{") != len(holes(text)) or text.count("}") != len(holes(text)):
            why = f"{use.place} has a brace that belongs to no expression, and is shown as it is. Remove it."
            yield _warning("brace", state.name, _sentence(why))


def _secrets(procedure: Procedure, state: State, use: Use, expressions: list[Expression]) -> Iterator[Problem]:
    read = {name for expression in expressions for name in expression.names} if use.kind == "text" else set()
    for name in sorted(read):
        if name in procedure.slots and procedure.slots[name].sensitive:
            text = f"{use.place} shows the sensitive slot {name}. Leave it out."
            yield _warning("sensitive", state.name, _sentence(text))


def _too_early(
    procedure: Procedure, state: State, use: Use, expression: Expression, name: str, given: Names, free: bool
) -> Iterator[Problem]:
    """A name that is read where it may not be known. Conditions may ask whether it is; `free` arguments may be none."""
    slot = procedure.slots.get(name)
    optional = slot is not None and slot.optional
    if use.kind == "condition" and (slot is not None or "None" in expression.text):
        return  # a slot may be given before it is asked for; a condition on one that is not is false
    if use.kind == "argument" and optional:
        return  # whether the tool requires it is looked at with the tool
    way = path(procedure, name, state.name, given)
    where = f" on the path {' -> '.join(way)}" if len(way) > 1 else ""
    sometimes = bool(path(procedure, name, state.name, given, knowing=True))
    if optional:
        text = f"{use.place} reads the optional slot {name}, and says - if it is not known. Reword it, or ask for it."
        yield _warning("too early", state.name, _sentence(text))
        return
    how = "Collect it before" if slot is not None else "Call the tool that returns it before"
    if name in state.forget and use.place != "say":
        where, how = ", since the state forgets it before", "Forget it in another state"
    text = _sentence(f"{use.place} reads {name}, which may not be known here{where}. {how}.")
    yield (_warning if sometimes and (free or use.kind == "condition") else _error)("too early", state.name, text)


def _needed(state: State, argument: str, tools: Mapping[str, Tool] | None) -> bool:
    """Whether the tool is known to require the argument."""
    tool = (tools or {}).get(state.call.tool) if state.call else None
    return tool is not None and argument in tool.parameters.get("required", ())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _calls(procedure: Procedure, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    confirmed = _confirmed(procedure)
    for state in procedure.by_name.values():
        if state.call is None:
            continue
        tool = tools.get(state.call.tool)
        if tool is None:
            text = f"The tool {state.call.tool!r} is not known. Correct the name, or add the tool to inhouse.toml."
            yield _error("unknown tool", state.name, text)
            continue
        yield from _arguments(procedure, state, tool)
        yield from _effect(state, tool, bool(state.confirm) or confirmed.get(state.name, True))
        yield from _groups(procedure, state, tool)


def _arguments(procedure: Procedure, state: State, tool: Tool) -> Iterator[Problem]:
    assert state.call is not None
    properties = tool.parameters.get("properties", {})
    needed = tool.parameters.get("required", ())
    for name in needed:
        if name not in state.call.arguments:
            yield _error("argument missing", state.name, f"The tool {tool.name} requires {name}. Add it to with.")
    for name, value in state.call.arguments.items():
        if name not in properties:
            if tool.parameters.get("additionalProperties", False) in (False, None):
                text = (
                    f"The tool {tool.name} has no parameter {name}. Remove it, or use one of {', '.join(properties)}."
                )
                yield _error("unknown argument", state.name, text)
            continue
        if why := misfit(procedure, value, properties[name]):
            yield _error("argument type", state.name, f"The argument {name} of {tool.name} does not fit: {why}.")
        read = {n for text in _texts(value) for e in _safe_holes(text) for n in e.names} if name in needed else set()
        for slot in sorted(read & procedure.slots.keys()):
            if procedure.slots[slot].optional:
                text = f"The tool {tool.name} requires {name}, and the slot {slot} is optional. Ask for it."
                yield _error("optional argument", state.name, text)


def _safe_holes(text: str) -> list[Expression]:
    try:
        return holes(text)
    except ConfigError:
        return []  # `_names` reports it


def _confirmed(procedure: Procedure) -> dict[str, bool]:
    """For each state, whether the user has confirmed on every path to it, after the last slot that was asked for."""
    entry = {procedure.states[0].name: False}
    waiting = list(entry)
    while waiting:
        state = procedure.by_name[waiting.pop()]
        for edge in edges_of(state):
            if edge.target not in procedure.by_name:
                continue
            now = bool(state.confirm) if state.confirm or required(procedure, state) else entry[state.name]
            now = now and edge.kind != "no" and entry.get(edge.target, True)
            if entry.get(edge.target) != now:
                entry[edge.target] = now
                waiting.append(edge.target)
    return entry


def _effect(state: State, tool: Tool, confirmed: bool) -> Iterator[Problem]:
    if tool.effect != "write":
        return
    if tool.approval == NEVER and moves_money(tool):
        if confirmed:
            text = f"The tool {tool.name} seems to move money, and no person approves it. Set approval if one should."
            yield _warning("money", state.name, text)
        else:
            text = f"The tool {tool.name} seems to move money, and neither the user nor a person agrees. Set approval, "
            yield _error("money", state.name, text + "or confirm before.")
    elif not confirmed:
        text = f"The tool {tool.name} changes something, and the user may not have confirmed. Add confirm before."
        yield _warning("not confirmed", state.name, text)


def _groups(procedure: Procedure, state: State, tool: Tool) -> Iterator[Problem]:
    if not tool.groups:
        return
    members = ", ".join(sorted(tool.groups))
    if procedure.groups and not procedure.groups & tool.groups:
        text = f"Nobody who may begin this may use the tool {tool.name}, which is for {members}. Change the groups."
        yield _error("groups", state.name, text)
    elif not procedure.groups or procedure.groups - tool.groups:
        text = f"The tool {tool.name} is only for {members}, and others may begin this. Set groups of the procedure."
        yield _warning("groups", state.name, text)
