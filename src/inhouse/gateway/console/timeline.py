"""A conversation with agents as the console shows it: what was said, understood, and done, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from inhouse.chat import Exchange
from inhouse.store.actions import Action
from inhouse.store.erasure import REDACTED
from inhouse.store.tables import to_iso
from inhouse.tools import CONTINUED, Call, Status, Turn
from inhouse.types import Json, Record, last_question

RunStatus = Literal["waits for approval", "outcome unknown", "handed to a person", "not complete", "erased", "open"]
HIDDEN = "..."
WORDS = {
    "yes": "yes", "no": "no", "answer": "a question for the documents", "cancel": "stop", "person": "a person",
    "other": "something else",
}  # fmt: skip
Pairs = tuple[tuple[str, str], ...]


class Moment(Record):
    """A change of a call: what it became, and who did that."""

    at: str
    what: str
    by: str = ""
    why: str = ""


class CallLine(Record):
    """A call of a tool in a turn: its status then, and now. `took_s` is the time from its last start to its end."""

    key: str
    tool: str
    then: Status
    status: Status
    why: str = ""
    arguments: Pairs = ()
    took_s: float | None = None
    history: tuple[Moment, ...] = ()


class Item(Record):
    """Something that happened in a turn: `text` in words, with `facts` about it."""

    kind: Literal["user", "says", "routed", "understood", "step", "call", "handoff"]
    text: str = ""
    facts: tuple[str, ...] = ()
    call: CallLine | None = None


class TurnLine(Record):
    """A turn. `path` are the states of the procedure that runs after it, the last of them is where it stands."""

    number: int
    at: str = ""
    erased: bool = False
    complete: bool = True
    agent: str = ""
    exchange: Exchange | None = None
    items: tuple[Item, ...] = ()
    procedure: str = ""
    path: tuple[str, ...] = ()


class Run(Record):
    """A conversation. `groups` are those that whoever reads it must be in; None where nothing says which."""

    conversation: str
    turns: tuple[TurnLine, ...]
    status: RunStatus
    groups: frozenset[str] | None
    user: str = ""
    key: str = ""
    seconds: float = 0.0
    cost_usd: float = 0.0


def run_of(
    conversation: str, turns: Sequence[Turn], erased: Sequence[int], calls: Sequence[Call],
    exchanges: Mapping[str, Exchange], actions: Mapping[str, Sequence[Action]],
) -> Run:  # fmt: skip
    """A conversation.

    Args:
        conversation: its ID.
        turns: in order.
        erased: the numbers of turns that a redaction erased.
        calls: of the conversation.
        exchanges: those of the turns, by ID.
        actions: of each call, by its key.
    """
    told = {key for turn in turns for step in _notes(turn, "agent", "step") if (key := step.get("key"))}
    lines = [_turn(turn, exchanges.get(turn.exchange), calls, actions, told) for turn in turns]
    lines += [TurnLine(number=number, erased=True) for number in erased]
    own = [exchanges[turn.exchange] for turn in turns if turn.exchange in exchanges]
    groups = [e.groups for e in own] + [c.caller.groups for c in calls]
    known = frozenset[str]().union(*groups) if groups or not turns else None
    return Run(
        conversation=conversation, turns=tuple(sorted(lines, key=lambda t: t.number)), groups=known,
        status=status_of(turns, calls, erased), user=own[0].user if own else "", key=own[0].key if own else "",
        seconds=sum(e.latency_s for e in own), cost_usd=sum(e.cost_usd for e in own),
    )  # fmt: skip


def status_of(turns: Sequence[Turn], calls: Sequence[Call], erased: Sequence[int]) -> RunStatus:
    """Where a conversation stands, by its calls, its last turn, and the numbers of the turns that were erased."""
    if any(call.status == "unknown" for call in calls):
        return "outcome unknown"
    if any(call.status == "proposed" and call.why for call in calls):
        return "waits for approval"
    if not turns or max(erased, default=-1) > turns[-1].number:
        return "erased"
    if turns[-1].reply is None:
        return "not complete"
    return "handed to a person" if _handed(turns[-1]) else "open"


def agent_of(turn: Turn) -> str:
    """Who answered a turn; "" for the fallback and for a person."""
    routed = _notes(turn, "router", "routed")
    return str(routed[-1].get("agent") or "") if routed else ""


def steps_of(turn: Turn) -> int:
    return len(_notes(turn, "agent", "step"))


def history_of(actions: Iterable[Action]) -> tuple[Moment, ...]:
    """The changes of a call from its actions, the newest first; returned with the oldest first."""
    found: list[Moment] = []
    for action in reversed([*actions]):
        facts, what = action.facts or {}, action.what.removeprefix("call ")
        by = why = ""
        if what in ("approved", "declined"):
            by = str(facts.get("by", ""))
        elif what in ("done", "failed") and found and found[-1].what == "unknown":  # somebody found out
            by = action.by.name
        if what not in ("approved", "started"):  # these still have the reason why it waited
            why = str(facts.get("why", ""))
        found.append(Moment(at=action.at, what=what, by=by, why=why))
    return tuple(found)


def named_values(values: Mapping[str, Json]) -> Pairs:
    """Values by name, as text."""
    return tuple((name, plain(value)) for name, value in values.items())


def plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- one turn ---------------------------------------------------------------------------------------------------


def _turn(
    turn: Turn, exchange: Exchange | None, calls: Sequence[Call], actions: Mapping[str, Sequence[Action]],
    told: set[str],
) -> TurnLine:  # fmt: skip
    at = to_iso(turn.at_ms)
    if exchange and exchange.answer == REDACTED:
        return TurnLine(number=turn.number, at=at, erased=True)
    by_key = {call.key: call for call in calls}
    items = [_asked(turn, exchange)]
    for row in _rows(turn):
        if row.get("event") == "Delta" and (text := str(row["data"].get("text", ""))):
            if items[-1].kind == "says":
                text = items.pop().text + text
            items.append(Item(kind="says", text=text))
        elif row.get("event") == "Note" and (item := _noted(row["data"], by_key, actions)):
            items.append(item)
    for call in calls:  # those that a crash left without a word
        if call.proposal.turn == turn.number and call.key not in told:
            hidden = dict.fromkeys(call.proposal.arguments, HIDDEN)  # which of them are sensitive is not known
            items.append(Item(kind="call", call=_line(call, named_values(hidden), actions)))
    agent = agent_of(turn)
    procedure, path = _stands(turn, agent)
    return TurnLine(
        number=turn.number, at=at, complete=turn.reply is not None, agent=agent, exchange=exchange, items=tuple(items),
        procedure=procedure, path=path,
    )  # fmt: skip


def _asked(turn: Turn, exchange: Exchange | None) -> Item:
    if turn.asked == CONTINUED:
        return Item(kind="step", text="The conversation went on after a decision.")
    if exchange is None or not exchange.messages:
        return Item(kind="step", text="What the user wrote is not recorded.")
    return Item(kind="user", text=exchange.messages[last_question(exchange.messages)].content)


def _noted(note: Mapping[str, Any], calls: Mapping[str, Call], actions: Mapping[str, Sequence[Action]]) -> Item | None:
    """What a note says, None for one of another layer."""
    data = note.get("data") or {}
    match note.get("layer"), note.get("kind"):
        case "router", "routed":
            facts = [str(data.get("reason") or "")]
            if data.get("probability") and not data.get("sticky"):
                facts.append(f"probability {data['probability']:.2f}")
            to = data.get("agent") or ("a person" if data.get("model") == "person" else "the documents")
            return Item(kind="routed", text=str(to), facts=tuple(f for f in facts if f))
        case "agent", "step":
            return _step(data, calls, actions)
        case _, "handoff":
            return Item(kind="handoff", text=str(data.get("reason") or ""))
    return None


def _step(step: Mapping[str, Any], calls: Mapping[str, Call], actions: Mapping[str, Sequence[Action]]) -> Item:
    kind, procedure, state = (str(step.get(name) or "") for name in ("kind", "procedure", "state"))
    match kind:
        case "understood":
            asked = step.get("model_calls") or 0
            how = "read by code" if not asked else f"{asked} {'question' if asked == 1 else 'questions'} to the model"
            return Item(kind="understood", facts=tuple(map(_command, step.get("commands") or ())), text=how)
        case "call":
            arguments = named_values(step.get("arguments") or {})
            if call := calls.get(str(step.get("key"))):
                line = _line(call, arguments, actions).model_copy(update={"then": step["status"]})
            else:  # refused by the rules, so it is not in the ledger
                line = CallLine(
                    key="", tool=str(step.get("tool")), then=step["status"], status=step["status"],
                    why=str(step.get("why") or ""), arguments=arguments,
                )  # fmt: skip
            return Item(kind="call", text=state, call=line)
        case "started":
            return Item(kind="step", text=f"Began the procedure {procedure}.")
        case "ended":
            return Item(kind="step", text=f"Ended the procedure {procedure} in state {state}.")
        case "stuck":
            return Item(kind="step", text=f"No way on from state {state} of {procedure}.")
        case "refused":
            return Item(kind="step", text=f"Did not begin {procedure}: {step.get('why') or ''}.")
        case "answer":
            return Item(kind="step", text="Answered from the documents.")
    return Item(kind="step", text=kind)


def _command(command: Mapping[str, Any]) -> str:
    kind = str(command.get("kind"))
    if kind == "start":
        return f"begin {command.get('name')}"
    if kind == "set":
        return f"{command.get('name')} = {plain(command.get('value'))}"
    return WORDS.get(kind, kind)


def _line(call: Call, arguments: Pairs, actions: Mapping[str, Sequence[Action]]) -> CallLine:
    history = history_of(actions.get(call.key, ()))
    runs = [(a.at, b.at) for a, b in pairwise(history) if a.what == "started" and b.what in ("done", "failed")]
    took_s = next(((datetime.fromisoformat(b) - datetime.fromisoformat(a)).total_seconds() for a, b in runs), None)
    return CallLine(
        key=call.key, tool=call.proposal.tool, then=call.status, status=call.status, why=call.why, arguments=arguments,
        took_s=took_s, history=history,
    )  # fmt: skip


def _stands(turn: Turn, agent: str) -> tuple[str, tuple[str, ...]]:
    """The procedure that runs, and its states so far."""
    own = (turn.state or {}).get(agent)
    frames = own.get("frames") if isinstance(own, dict) else None
    if not frames:
        return "", ()
    return str(frames[-1]["procedure"]), (*map(str, frames[-1]["visited"]), str(frames[-1]["state"]))


def _handed(turn: Turn) -> bool:
    return any(row["data"].get("kind") == "handoff" for row in _rows(turn) if row.get("event") == "Note")


def _notes(turn: Turn, layer: str, kind: str) -> list[Mapping[str, Any]]:
    notes = [row["data"] for row in _rows(turn) if row.get("event") == "Note"]
    return [note["data"] for note in notes if (note.get("layer"), note.get("kind")) == (layer, kind)]


def _rows(turn: Turn) -> list[Mapping[str, Any]]:
    return turn.reply if isinstance(turn.reply, list) else []
