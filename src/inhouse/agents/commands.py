"""What a model may say to an agent: commands of a small closed grammar, and nothing else.

Which commands there are, and with which slots and values, depends on where the conversation stands (`schema`); the
engine can generate no others. What a command does is decided by code (`agent`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from inhouse.types import Json, Record

Kind = Literal["start", "set", "yes", "no", "answer", "cancel", "person", "offer", "other"]


class Command(Record):
    """One thing that the user wants, as understood.

    Attributes:
        kind: "start" a procedure; "set" a slot; "yes" and "no" to the open question; "answer" a question from the
            documents; "cancel" the procedure; "person", a colleague is wanted; "offer", some procedures may be meant
            (only code says so); "other", nothing of these.
        name: the procedure or slot.
        value: of the slot, or the names of the procedures.
    """

    kind: Kind
    name: str = ""
    value: Json = None


class Situation(Record):
    """Where a conversation stands, for whoever understands the next message.

    Attributes:
        procedures: that may be started, by name, with their titles.
        active: the procedure that runs, "" for none.
        state: its state.
        asked: the slot that was asked for last; "" for none.
        confirming: whether a question awaits yes or no.
        values: for each slot that may be set, the values that it may have: those that stand in the conversation, or
            its choices. Nothing else can be said.
        known: slots that have a value.
    """

    procedures: Mapping[str, str] = {}
    active: str = ""
    state: str = ""
    asked: str = ""
    confirming: bool = False
    values: Mapping[str, Sequence[Json]] = {}
    known: Mapping[str, Json] = {}


def schema(situation: Situation, most: int = 4) -> dict[str, Json]:
    """The JSON schema of the list of commands that the model may give now."""
    options: list[dict[str, Json]] = [_option("answer"), _option("person"), _option("other")]
    if situation.procedures:
        options.append(_option("start", name={"enum": list(situation.procedures)}))
    for slot, values in situation.values.items():
        if values:
            options.append(_option("set", name={"const": slot}, value={"enum": list(values)}))
    if situation.confirming:
        options += [_option("yes"), _option("no")]
    if situation.active:
        options.append(_option("cancel"))
    return {"type": "array", "minItems": 1, "maxItems": most, "items": {"anyOf": options}}


def _option(kind: Kind, **more: Json) -> dict[str, Json]:
    properties = {"kind": {"const": kind}, **more}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def allowed(command: Command, situation: Situation) -> bool:
    """Whether the command is one that the grammar allows; checked again, since an engine may not have followed it."""
    match command.kind:
        case "start":
            return command.name in situation.procedures
        case "set":
            listed = situation.values.get(command.name, ())
            return any(type(value) is type(command.value) and value == command.value for value in listed)
        case "yes" | "no":
            return situation.confirming
        case "cancel":
            return bool(situation.active)
    return command.kind != "offer"
