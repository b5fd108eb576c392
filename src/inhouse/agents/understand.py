"""What a user's message means to an agent: commands of a closed grammar.

Code reads what code can read: yes and no, values of the slots, a wish to stop, a procedure that the message is clearly
about. A model is asked only about what is left, and can say nothing but the commands that are possible now, with values
that stand in the message. A model that was trained on commands (`datasets/acting.py`) is asked first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from inhouse.agents.answers import affirms, asks, is_asking, polarity_of, stops, words
from inhouse.agents.commands import Command, Situation, allowed, schema
from inhouse.agents.procedure import Procedure, Slot
from inhouse.agents.values import MOST_CHARS, MOST_TEXT, Value, by_place, chosen, found, picked
from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.types import Json, Message, last_question

SURE = 0.6  # probability of a procedure from which it is begun without asking a model
STATED, OTHERS = 0.5, 0.25  # the same for a message that asks nothing, where no other procedure has more than this
OFFERED = 0.35  # probability of a procedure from which the user is asked whether it is meant
MOST_OFFERED = 3
SURER, WORDS = 0.85, 3  # the same while another procedure runs, and words of the message
POSSIBLE = 0.25  # probability from which the model may begin it
MOST_VALUES = 8  # of a slot that a model may choose among
MOST_TOKENS = 120  # of the commands
MOST_COMMANDS = 4  # of a model in a turn
HISTORY = 4  # messages before the last that a model sees
Starts = Callable[[str], Mapping[str, float]]
"""The probability of each procedure, by name, that a message begins it."""


@dataclass(frozen=True)
class Open:
    """What a message may answer.

    Attributes:
        slots: that may be set now, by name; those that were asked for or mentioned last come first.
        choices: the values of slots of type "choice".
        situation: where the conversation stands, without values.
        today: the day that "tomorrow" is relative to.
        question: what the assistant said last.
        said: what it said itself in the turn before, without answers from documents.
        offered: the procedures that it asked the user to choose from.
    """

    slots: Mapping[str, Slot] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    situation: Situation = field(default_factory=Situation)
    today: date = field(default_factory=date.today)
    question: str = ""
    said: str = ""
    offered: Sequence[str] = ()


@dataclass(frozen=True)
class Understood:
    """The commands, and how many calls of a model they took."""

    commands: Sequence[Command]
    model_calls: int = 0


class Understanding:
    """Understands messages.

    Args:
        starts: see `Starts`.
        model: chooses among commands; None leaves what code cannot read as "other".
        trained: the model was trained on commands, so it is asked about every message that is not plainly yes or no.
    """

    def __init__(self, starts: Starts, model: ChatModel | None = None, trained: bool = False) -> None:
        self._starts, self._model, self._trained = starts, model, trained

    async def __call__(self, request: ChatRequest, now: Open) -> Understood:
        """The commands in the last message of the request; never empty, each allowed.

        Raises:
            BackendError: the model cannot be reached.
        """
        text = text_of(request.messages)
        certain, possible = self.read(text, now)
        if self._model is None or (certain and not self._trained) or _plain(certain):
            return Understood(certain or [_guess(text, now)])
        agrees = affirms(text, _beside(text, now))
        chosen = [c for c in await self._choose(request, possible) if c.kind != "yes" or agrees]
        merged = [*certain, *(c for c in chosen if not any(_same(c, own) for own in certain))]
        useful = [c for c in merged if c.kind not in ("other", "offer")] or certain or merged
        return Understood(useful or [Command(kind="other")], 1)

    def read(self, text: str, now: Open) -> tuple[list[Command], Situation]:
        """What code is certain of, and what else is possible."""
        situation, commands = now.situation, list[Command]()
        if picks := _picked_procedures(text, now):
            return picks, situation
        number = _only_number(now)
        values = {
            name: found(slot, text, now.today, now.choices.get(name, ()), name in (situation.asked, number))
            for name, slot in now.slots.items()
        }
        asked = now.slots.get(situation.asked)
        if asked and not values[situation.asked] and not is_asking(text):
            choices = now.choices.get(situation.asked, ())
            values[situation.asked] = picked(asked, text, now.said or now.question, now.today, choices)
        possible = {
            n: list(dict.fromkeys(_key(v.value) for v in own))[:MOST_VALUES] for n, own in values.items() if own
        }
        begins = {n: p for n, p in self._starts(text).items() if n in situation.procedures}
        best = max(begins, key=lambda n: begins[n], default="")
        offered = {
            n: t for n, t in situation.procedures.items() if begins.get(n, 0) >= POSSIBLE or not situation.active
        }
        likely = situation.model_copy(update={
            "values": {n: [json.loads(v) for v in own] for n, own in possible.items()}, "procedures": offered,
        })  # fmt: skip
        if situation.active and stops(text) and (not values.get(situation.asked) or (asked and asked.type in LOOSE)):
            return [Command(kind="cancel")], likely
        said = polarity_of(text, _beside(text, now))
        commands += _settled(values, now, asks(text))
        if situation.confirming and said is not None:
            return _changes(commands, situation) or [Command(kind="yes" if said else "no")], likely
        answers = any(c.name == situation.asked for c in commands) if situation.asked else False
        if best and best != situation.active and not answers and self._begins(text, begins, commands, situation):
            commands = [Command(kind="start", name=best), *commands]
        elif not situation.active and (offers := _offers(text, begins)):
            commands = [Command(kind="offer", value=offers)]
        elif asks(text) and not answers and not any(c.kind == "start" for c in commands):
            changes = situation.confirming and _changes(commands, situation)  # "can Milo do it instead?"
            commands += [] if changes else [Command(kind="answer")]
        return commands, likely

    def _begins(
        self, text: str, begins: Mapping[str, float], commands: Sequence[Command], situation: Situation
    ) -> bool:
        """Whether a message clearly begins the likeliest procedure. While another one runs, a value or a question is
        about that one."""
        best, second = sorted([0.0, 0.0, *begins.values()])[-1:-3:-1]
        if not situation.active:
            return best >= SURE or (best >= STATED and second <= OTHERS and not asks(text))
        return best >= SURER and not commands and not asks(text) and len(text.split()) >= WORDS

    async def _choose(self, request: ChatRequest, situation: Situation) -> list[Command]:
        assert self._model is not None
        asked = ChatRequest(
            messages=prompt(situation, request.messages), max_tokens=MOST_TOKENS,
            json_schema=schema(situation, MOST_COMMANDS), scope=request.scope,
        )  # fmt: skip
        try:
            reply = await collect(self._model, asked)
            commands = [Command.model_validate(row) for row in json.loads(reply.text)[:MOST_COMMANDS]]
        except (ValueError, TypeError, KeyError, RecursionError):  # cut short, or not of the grammar
            return []
        return [c for c in commands if allowed(c, situation)]


def text_of(messages: Sequence[Message]) -> str:
    """What the user said last; "" if nothing. Results of the caller's own tools are not what the user says."""
    last = messages[last_question(messages)] if messages else None
    return last.content if last and last.role == "user" else ""


def prompt(situation: Situation, messages: Sequence[Message]) -> tuple[Message, ...]:
    """What a model is asked; training and serving share it."""
    lines = ["You read a customer's message and list what the customer wants, as JSON commands."]
    if situation.procedures:
        lines.append("Tasks: " + "; ".join(f"{name} ({title})" for name, title in situation.procedures.items()))
    if situation.active:
        lines.append(f"Now: {situation.active}, step {situation.state}.")
    if situation.asked:
        lines.append(f"Asked for: {situation.asked}.")
    if situation.confirming:
        lines.append("Asked: yes or no?")
    for slot, values in situation.values.items():
        lines.append(f"Possible {slot}: " + ", ".join(json.dumps(v, ensure_ascii=False) for v in values))
    talk = [m for m in messages if m.role in ("user", "assistant")][-HISTORY - 1 :]
    said = "\n".join(f"{'Customer' if m.role == 'user' else 'Assistant'}: {m.content[:MOST_TEXT]}" for m in talk)
    return (Message(role="system", content="\n".join(lines)), Message(role="user", content=said))


def _offers(text: str, begins: Mapping[str, float]) -> list[str]:
    """The procedures that a message which asks nothing may begin, the likeliest first; none where none is likely."""
    ordered = sorted(begins, key=lambda name: -begins[name])
    likely = bool(ordered) and begins[ordered[0]] >= OFFERED and not asks(text)
    return [name for name in ordered if begins[name] >= OTHERS][:MOST_OFFERED] if likely else []


def _picked_procedures(text: str, now: Open) -> list[Command]:
    """The procedure that a message chooses of those that were offered: by its title or its place; a mere yes means the
    likeliest, which was named first."""
    shown = {now.situation.procedures[name]: name for name in now.offered if name in now.situation.procedures}
    if not shown or is_asking(text):
        return []
    text, choices = text[:MOST_CHARS], list(shown)
    named = [shown[str(v.value)] for v in chosen(text, choices) or by_place(text, choices)]
    said = polarity_of(text)
    if not named and said is False:
        return [Command(kind="offer", value=[])]
    picked = named or (list(shown.values())[:1] if said else [])
    return [Command(kind="start", name=picked[0])] if len(picked) == 1 else []


def _beside(text: str, now: Open) -> str:
    """The question, whose words may stand beside a yes; "" for a message that only says a known value again, which the
    question has for that reason: then its own words decide."""
    again = any(isinstance(value, str) and words(value) == words(text) for value in now.situation.known.values())
    return "" if again else now.question


def _settled(values: Mapping[str, Sequence[Value]], now: Open, asking: bool) -> list[Command]:
    """The slots whose value is clear: the one that was asked for, and others that only one slot can mean."""
    asked, commands = now.situation.asked, list[Command]()
    taken: set[tuple[int, int]] = set()
    order = sorted(now.slots, key=lambda n: (n != asked, n in now.situation.known))
    for name in order:
        own = [v for v in values[name] if (v.start, v.end) not in taken or now.slots[name].type == "choice"]
        kind = now.slots[name].type
        rivals = [n for n in order if n != name and now.slots[n].type == kind and n not in now.situation.known]
        introduced = any(v.introduced for v in own)
        if introduced and name != asked:
            own = [v for v in own if v.introduced]
        different = list(dict.fromkeys(_key(v.value) for v in own))
        sure = (kind not in LOOSE or introduced) and (kind == "choice" or not rivals)
        clear = len(different) == 1 and (name == asked or sure)
        if (kind in LOOSE and asking and not introduced) or (kind in COUNTS and name not in (asked, _only_number(now))):
            clear = False
        if clear:
            commands.append(Command(kind="set", name=name, value=json.loads(different[0])))
            taken.update((v.start, v.end) for v in own)
    return commands


def _only_number(now: Open) -> str:
    """The slot that a number means where a yes is awaited, as in "no, 70"; "" where it may mean several."""
    numbers = [name for name, slot in now.slots.items() if slot.type in (*NUMBERS, "money")]
    known = [name for name in numbers if name in now.situation.known]
    return known[0] if now.situation.confirming and len(numbers) == len(known) == 1 else ""


def _changes(commands: Sequence[Command], situation: Situation) -> list[Command]:
    return [c for c in commands if c.value != situation.known.get(c.name)]


NUMBERS = ("number", "integer")
COUNTS = frozenset({*NUMBERS, "boolean"})
"""Types whose values may be of anything, so that only an answer to their question sets them."""
LOOSE = frozenset({"text", "name"})
"""Types that any message may be read as: the same, and a question is none."""


def _plain(certain: Sequence[Command]) -> bool:
    return len(certain) == 1 and certain[0].kind in ("yes", "no", "cancel")


def _guess(text: str, now: Open) -> Command:
    return Command(kind="other" if now.situation.active and not is_asking(text) else "answer")


def _same(a: Command, b: Command) -> bool:
    return (a.kind, a.name) == (b.kind, b.name) or (a.kind in ("answer", "other") and b.kind == "set")


def _key(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def no_starts(text: str) -> Mapping[str, float]:
    """For agents with one procedure at most, and tests."""
    return {}


def titles(procedures: Mapping[str, Procedure]) -> dict[str, str]:
    return {name: procedure.title or name.replace("_", " ") for name, procedure in procedures.items()}
