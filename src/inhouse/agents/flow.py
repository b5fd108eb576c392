"""The graph of a procedure: which state leads to which, what is known where, and loops that wait for nobody.

What is known is followed along every path: a slot is known after a state that collects it, a result after a state whose
call returns it, and `forget` takes both away. Slots that are optional, and values that the user mentions before being
asked, count as unknown, since neither is certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from inhouse.agents.procedure import Procedure, Slot, State

Kind = Literal["next", "no", "error"]
MOST_FORGOTTEN = 12  # slots whose forgetting is followed exactly when loops are looked for
Names = frozenset[str]


class Edge(NamedTuple):
    """From a state to another, which may not exist: the next one, after "no" to `confirm`, or after a failed call."""

    source: str
    target: str
    kind: Kind = "next"
    when: str = ""


class Use(NamedTuple):
    """Where a state reads names: in which of its texts, and what is known there on every path."""

    place: str
    kind: Literal["text", "argument", "condition"]
    value: object
    known: Names
    argument: str = ""


def edges(procedure: Procedure) -> list[Edge]:
    """All of them, in the order of the states; none leaves a state that ends."""
    return [edge for state in procedure.by_name.values() for edge in edges_of(state)]


def edges_of(state: State) -> Iterator[Edge]:
    if state.confirm and state.otherwise:
        yield Edge(state.name, state.otherwise, "no")
    if state.call and state.call.on_error:
        yield Edge(state.name, state.call.on_error, "error")
    if not (state.end or state.hand_off):
        yield from (Edge(state.name, step.go, "next", step.when) for step in state.next)


def reached(starts: Iterable[str], links: Mapping[str, Collection[str]]) -> set[str]:
    """The starts, and all that can be reached from them."""
    seen = set(starts)
    waiting = list(seen)
    while waiting:
        new = set(links.get(waiting.pop(), ())) - seen
        seen |= new
        waiting.extend(new)
    return seen


def links(every: Iterable[Edge], backwards: bool = False) -> dict[str, list[str]]:
    """The targets by source, or the sources by target."""
    found: dict[str, list[str]] = {}
    for edge in every:
        source, target = (edge.target, edge.source) if backwards else (edge.source, edge.target)
        found.setdefault(source, []).append(target)
    return found


def walked(first: str, every: Iterable[Edge]) -> list[str]:
    """What can be reached, in the order in which a reader follows it: one way to its end, then the next."""
    forward, waiting = links(every), [first]
    found: dict[str, None] = {}
    while waiting:
        at = waiting.pop()
        if at not in found:
            found[at] = None
            waiting.extend(reversed(forward.get(at, [])))
    return list(found)


def known(procedure: Procedure, given: Names = frozenset()) -> dict[str, Names]:
    """What is known when a state is entered, whatever path led there; states that cannot be reached are left out."""
    if not procedure.states:
        return {}
    entry: dict[str, Names] = {procedure.states[0].name: given}
    waiting = deque(entry)
    while waiting:
        state = procedure.by_name[waiting.popleft()]
        for edge in edges_of(state):
            if edge.target not in procedure.by_name:
                continue
            leaving = after(procedure, state, entry[state.name], edge.kind)
            before = entry.get(edge.target)
            now = leaving if before is None else before & leaving
            if now != before:
                entry[edge.target] = now
                waiting.append(edge.target)
    return entry


def after(procedure: Procedure, state: State, entry: Names, kind: Kind = "next") -> Names:
    """What is known when the state is left by an edge of this kind."""
    result = {state.call.result} if kind == "next" and state.call and state.call.result else set()
    return (entry - set(state.forget)) | set(required(procedure, state)) | result


def required(procedure: Procedure, state: State) -> list[str]:
    """The slots that the state asks for."""
    return [name for name in state.collect if not procedure.slots.get(name, Slot(optional=True)).optional]


def uses(procedure: Procedure, state: State, entry: Names) -> Iterator[Use]:
    """Every place of the state that may read names, in the order in which it works through them."""
    yield Use("say", "text", state.say, entry)
    now = entry - set(state.forget)
    for name in state.collect:
        slot = procedure.slots.get(name)
        if slot:
            yield Use(f"the question for {name}", "text", slot.ask, now)
            if slot.choices_from:
                yield Use(f"choices_from of {name}", "argument", f"{{{slot.choices_from}}}", now)
            if not slot.optional:
                now |= {name}
    yield Use("confirm", "text", state.confirm, now)
    if state.call:
        for name, value in state.call.arguments.items():
            yield Use(f"the argument {name}", "argument", value, now, name)
        if state.call.result:
            now |= {state.call.result}
    for step in state.next:
        if step.when:
            yield Use(f"the condition {step.when!r}", "condition", step.when, now)
    yield Use("hand_off", "text", state.hand_off, now)


def path(procedure: Procedure, name: str, target: str, given: Names = frozenset(), knowing: bool = False) -> list[str]:
    """The states of a shortest path to a state after which a name is known there, or is not; empty if there is none."""
    start = (procedure.states[0].name, name in given)
    before: dict[tuple[str, bool], tuple[str, bool] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        node: tuple[str, bool] | None = waiting.popleft()
        assert node is not None
        at, has = node
        if at == target and has == knowing:
            way = []
            while node:
                way.append(node[0])
                node = before[node]
            return way[::-1]
        for edge in edges_of(procedure.by_name[at]):
            has_then = name in after(procedure, procedure.by_name[at], frozenset({name} if has else ()), edge.kind)
            following = (edge.target, has_then)
            if edge.target in procedure.by_name and following not in before:
                before[following] = node
                waiting.append(following)
    return []


def endless(procedure: Procedure) -> list[list[str]]:
    """Loops that may go round without a turn of the user, as the names of their states.

    A state waits for the user if it confirms, or collects a slot that is not known. All slots may be known at first,
    since the user may have named them; those that the loop forgets are asked for again.
    """
    collected = {name for state in procedure.states for name in state.collect}
    forgotten = {name for state in procedure.states for name in state.forget}
    watched = frozenset(sorted(collected & forgotten)[:MOST_FORGOTTEN])
    found: dict[Names, list[str]] = {}
    done: set[tuple[str, Names]] = set()
    for first in procedure.by_name:
        for loop in _loops(procedure, (first, watched), watched, done):
            found.setdefault(frozenset(loop), loop)
    return list(found.values())


def _loops(
    procedure: Procedure, first: tuple[str, Names], watched: Names, done: set[tuple[str, Names]]
) -> Iterator[list[str]]:
    """Depth-first search over states, each with what is known there of the watched slots; without recursion."""
    way: list[tuple[str, Names]] = []
    waiting = [(first, False)]
    while waiting:
        node, leaving = waiting.pop()
        if leaving:
            done.add(way.pop())
        elif node in way:
            yield [name for name, _ in way[way.index(node) :]]
        elif node not in done:
            way.append(node)
            waiting.append((node, True))
            waiting.extend((following, False) for following in _at_once(procedure, node, watched))


def _at_once(procedure: Procedure, node: tuple[str, Names], watched: Names) -> list[tuple[str, Names]]:
    """The states that follow without a turn of the user, with what is known of the watched slots."""
    state, has = procedure.by_name[node[0]], node[1] - set(procedure.by_name[node[0]].forget)
    gone = set(state.forget) | (watched - has)
    if state.confirm or any(slot in gone for slot in required(procedure, state)):
        return []
    result = watched & {state.call.result} if state.call else watched & set()
    return [
        (edge.target, has | result if edge.kind == "next" else has)
        for edge in edges_of(state)
        if edge.target in procedure.by_name
    ]
