"""Conversations with tool calls become examples of commands: what an agent's model should have understood.

Nobody labels commands. They are read off what was done: the procedure whose tool was called was begun by the first
message after the last call; a slot was set by the message in which the argument's value stands; the message before a
call that answers a question with yes confirmed it; a message that was answered without any call was a question. What
procedures, tools, and values there are comes in as a `Specialist`, and the prompt is made by the function that serving
uses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.errors import InputError
from inhouse.types import Example, Json, Message, Record

_STAR_VALUE = re.compile(r"api\.\w{1,40}\((?P<value>.{0,300})\)", re.DOTALL)
KIND = "acting"


@dataclass(frozen=True)
class Specialist:
    """An agent as far as its commands go.

    Attributes:
        procedures: their titles, by name.
        calls: by tool, the procedure that calls it, and the slot that each argument comes from. A tool that several
            procedures call has the first.
        values: the values that a text has for a slot of a procedure.
        polarity: True for a yes, False for a no, None for other texts.
        state: the state of a procedure that asks for a slot, or for a confirmation where the slot is "".
    """

    procedures: Mapping[str, str]
    calls: Mapping[str, tuple[str, Mapping[str, str]]]
    values: Callable[[str, str, str], Sequence[Json]]
    polarity: Callable[[str], bool | None]
    state: Callable[[str, str], str] = lambda procedure, slot: ""

    def slots(self, procedure: str) -> list[str]:
        """The slots that its tools need."""
        named = (slot for own, slots in self.calls.values() if own == procedure for slot in slots.values())
        return list(dict.fromkeys(named))


class Understood(Record):
    """A message, where the conversation stood, and the commands in it.

    `situation` has the fields of `agents.commands.Situation`, and each command those of `agents.commands.Command`.
    """

    id: str
    group: str
    situation: dict[str, Json]
    messages: tuple[Message, ...]
    commands: tuple[dict[str, Json], ...]


@dataclass
class _Segment:
    """The messages up to the last call of a procedure, with all values that each slot had in its calls; no procedure
    for the messages after the last call."""

    start: int
    end: int
    procedure: str = ""
    arguments: dict[str, list[Json]] = field(default_factory=dict)

    def called(self, values: Mapping[str, Json]) -> None:
        for slot, value in values.items():
            self.arguments.setdefault(slot, []).append(value)


def understood(messages: Sequence[Message], specialist: Specialist, group: str) -> list[Understood]:
    """The examples of one conversation, one for each of the user's messages.

    Args:
        messages: in OpenAI's format, with the calls of tools.
        specialist: see there.
        group: what splits must keep together, such as the conversation's ID.
    """
    found: list[Understood] = []
    for segment in _segments(messages, specialist):
        known: dict[str, Json] = {}
        begun = False
        for at in range(segment.start, segment.end):
            if messages[at].role != "user":
                continue
            one = _understood(messages, at, segment, specialist, known, begun=begun)
            begun = begun or any(c["kind"] == "start" for c in one.commands)
            known |= {c["name"]: c["value"] for c in one.commands if c["kind"] == "set"}
            found.append(one.model_copy(update={"id": f"{group}:{at}", "group": group}))
    return found


def examples(rows: Iterable[Understood], prompt: Callable[[dict[str, Json], Sequence[Message]], tuple[Message, ...]]
             ) -> list[Example]:  # fmt: skip
    """Examples for training: the prompt as in serving, and the JSON list of commands as the target.

    Args:
        prompt: makes the messages for the model from the situation and the conversation.
    """
    return [
        Example(
            id=row.id, group=row.group, messages=prompt(row.situation, row.messages), kind=KIND,
            target=json.dumps(list(row.commands), ensure_ascii=False, separators=(",", ":")),
        )
        for row in rows
    ]  # fmt: skip


def _segments(messages: Sequence[Message], specialist: Specialist) -> list[_Segment]:
    """The conversation in parts that belong to one procedure each; calls of the same one in a row are one part."""
    parts: list[_Segment] = []
    start = 0
    for n, message in enumerate(messages):
        for call in message.tool_calls:
            name, arguments = _called(call)
            if name not in specialist.calls:
                continue
            procedure, slots = specialist.calls[name]
            values = {slots[a]: v for a, v in arguments.items() if a in slots}
            if parts and parts[-1].procedure == procedure and not _starts_again(parts[-1].arguments, values):
                parts[-1].end = n
            else:
                parts.append(_Segment(start, n, procedure))
            parts[-1].called(values)
            start = n + 1
    if start < len(messages):
        parts.append(_Segment(start, len(messages)))
    return parts


def _starts_again(before: Mapping[str, Sequence[Json]], values: Mapping[str, Json]) -> bool:
    """Whether no value is as in the last call, as in another booking."""
    shared = [slot for slot in values if slot in before]
    return bool(shared) and all(before[slot][-1] != values[slot] for slot in shared)


def _understood(
    messages: Sequence[Message], at: int, segment: _Segment, specialist: Specialist, known: Mapping[str, Json], *,
    begun: bool,
) -> Understood:  # fmt: skip
    text, procedure = messages[at].content, segment.procedure
    commands: list[dict[str, Json]] = []
    confirming = _is_question(messages, at) and specialist.polarity(text) is not None and begun
    slots = specialist.slots(procedure) if procedure else []
    present = {slot: list(specialist.values(procedure, slot, text)) for slot in slots}
    present = {slot: values for slot, values in present.items() if values}
    if not procedure:
        commands.append({"kind": "answer"})
    elif not begun:
        commands.append({"kind": "start", "name": procedure})
    if confirming:
        commands = [{"kind": "yes" if specialist.polarity(text) else "no"}]
    for slot, values in present.items():
        wanted = segment.arguments.get(slot, [])
        value = next((v for v in values if any(_same(v, w) for w in wanted)), None)
        if value is not None and known.get(slot) != value:
            commands.append({"kind": "set", "name": slot, "value": value})
    asked = [c["name"] for c in commands if c["kind"] == "set"] if _is_question(messages, at) else []
    slot = asked[0] if len(asked) == 1 and begun else ""
    situation: dict[str, Json] = {
        "procedures": dict(specialist.procedures), "active": procedure if begun else "", "confirming": confirming,
        "state": specialist.state(procedure, slot) if begun else "", "asked": slot, "known": dict(known),
        "values": present if begun or not procedure else {},
    }  # fmt: skip
    if not begun:  # slots of a procedure can be set once it runs; code reads those of its first message
        commands = [c for c in commands if c["kind"] != "set"]
    return Understood(id="", group="", situation=situation, messages=tuple(messages[: at + 1]),
                      commands=tuple(commands or [{"kind": "other"}]))  # fmt: skip


def _is_question(messages: Sequence[Message], at: int) -> bool:
    return at > 0 and messages[at - 1].role == "assistant" and messages[at - 1].content.rstrip().endswith("?")


def _called(call: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        arguments = {}
    return str(function.get("name") or ""), arguments if isinstance(arguments, dict) else {}


def _same(a: Json, b: Json) -> bool:
    return str(a).strip().casefold() == str(b).strip().casefold()


# --- STAR ---------------------------------------------------------------------------------------------------------


def read_star(file: Path) -> Iterator[tuple[str, tuple[Message, ...]]]:
    """STAR's dialogues, as ID and messages in OpenAI's format.

    Raises:
        InputError: the file cannot be read, or a line is not a dialogue.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    for n, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            yield str(row["id"]), tuple(_star_messages(row["turns"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}:{n}: not a dialogue of STAR", "see shared/data/star") from error


def _star_messages(turns: Sequence[Mapping[str, Json]]) -> Iterator[Message]:
    id_ = ""
    for n, turn in enumerate(turns):
        if turn["role"] == "tool":
            yield Message(role="tool", content=turn.get("content") or "", tool_call_id=id_)
        elif turn.get("tool"):
            id_ = f"call_{n}"
            arguments = {name: _star_value(value) for name, value in (turn.get("arguments") or {}).items()}
            function = {"name": turn["tool"], "arguments": json.dumps(arguments, ensure_ascii=False)}
            yield Message(role="assistant", content="", tool_calls=({"id": id_, "type": "function",
                                                                     "function": function},))  # fmt: skip
        else:
            yield Message(role=turn["role"], content=turn.get("content") or "")


def _star_value(value: Json) -> Json:
    """A value without the comparison that STAR writes around it: api.is_equal_to("Sunday") is Sunday."""
    found = _STAR_VALUE.fullmatch(value.strip()) if isinstance(value, str) else None
    return found["value"].strip().strip("\"'") if found else value.strip() if isinstance(value, str) else value
