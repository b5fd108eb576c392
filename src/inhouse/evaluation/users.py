"""Simulated users for tasks with tools: a scripted one, and one that a model plays from the task's instructions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.text.sentences import sentences
from inhouse.types import Json, Message, Record

MOST_REPEATS = 3  # of one answer in a row, then the user gives up
CONFIRM, DEFAULT = "confirm", "default"
"""Keywords of answers: to a question for a yes, and to any other message."""
STOP = "###STOP###"
ALIKE = 0.7  # of the words of two questions (Dice), from which they ask for the same
_HOLE = re.compile(r"\{[^{}]*\}")
_REQUESTS = frozenset("please tell give enter provide type say choose".split())  # noqa: SIM905
_WORD = re.compile(r"[^\W_]+")
_OPEN = frozenset("what which when who whom where how why may can could please tell give".split())  # noqa: SIM905
_BEFORE = frozenset("for at on in to by from under with of and or".split())  # noqa: SIM905
_ASKS_YES = re.compile(
    r"\b(?:shall|should|do you want|would you like|is (?:that|this|it|everything) (?:right|correct|ok|okay|fine)|"
    r"correct|confirm|proceed|go ahead|\(?yes ?(?:/|or) ?no\)?|all right|okay)\b", re.IGNORECASE)  # fmt: skip
_TIME = re.compile(r"\b(\d{1,2})(?::(\d{2}))? ?([ap])\.?m\b|\b([01]?\d|2[0-3]):([0-5]\d)\b", re.IGNORECASE)


class UserTurn(Record):
    """What a scripted user does: it says `say`, or answers questions, each by a keyword that the question has.

    A list of answers is given one after the other, each once.
    """

    say: str = ""
    answers: Mapping[str, str | tuple[str, ...]] = {}


class User(Protocol):
    async def next(self, talk: Sequence[Message]) -> str | None:
        """What the user says after this conversation, None at its end."""
        ...


class ScriptedUser:
    """Says its turns in order, and answers what it is asked.

    A turn with answers is stayed in while they answer what the assistant says last. Keywords may have alternatives,
    "day|when", and are also found in the plural. A question for a yes gets the answer "confirm", "yes" by default where
    the user has nothing else to say, unless it names times, and none that the user wants.

    Args:
        turns: see `UserTurn`.
        wants: arguments of the calls that the user wants to happen.
        asks: by keyword, questions for it as they are usually put, with holes in braces; these are recognized by their
            words, also where they do not have the keyword. A keyword that such a question asks for, and that the turn
            has no answer for, ends the turn.
    """

    def __init__(
        self, turns: Sequence[UserTurn], wants: Sequence[Mapping[str, Json]] = (),
        asks: Mapping[str, Collection[str]] | None = None,
    ) -> None:  # fmt: skip
        self._turns, self._wants = list(turns), list(wants)
        texts = [(key, _HOLE.sub(" ", text)) for key, own in (asks or {}).items() for text in own]
        self._asks = [(key, frozenset(_words(_question(text)))) for key, text in texts]
        self._given: set[str] = set()  # the keywords that were answered in this turn
        self._used: dict[str, int] = {}
        self._last: tuple[str, int] = ("", 0)  # the keyword that was answered last, and how often in a row

    async def next(self, talk: Sequence[Message]) -> str | None:
        last = talk[-1].content if talk else ""
        while self._turns:
            turn = self._turns[0]
            if turn.say:
                self._turns.pop(0)
                return turn.say
            if not last:
                return None
            if (answer := self._answer(turn.answers, last)) is not None:
                return answer
            self._turns.pop(0)
            self._given.clear()
        return None

    def _answer(self, answers: Mapping[str, str | tuple[str, ...]], message: str) -> str | None:
        question = _question(message)
        if "?" not in message and not _REQUESTS & set(_words(message)):
            return None
        if meant := self._meant(question):
            own = next((k for k in answers if meant & set(k.split("|"))), "")
            if own and own != CONFIRM:
                return self._once(own, answers[own])
            if CONFIRM in meant:
                return self._confirmed(answers, message)
            keys = [k for k in answers if k != CONFIRM and _asked(k, question)]
            return self._once(keys[0], answers[keys[0]]) if keys else None
        answered = [k for k, own in answers.items() if _is_polar(own) and k != CONFIRM and _asked(k, question)]
        if answered and "?" in question:
            return self._once(answered[0], answers[answered[0]])
        asks_yes = bool(_ASKS_YES.search(question)) and not _is_open(question)
        if asks_yes and "?" in question:
            return self._confirmed(answers, message)
        keys = [k for k in answers if k not in (CONFIRM, DEFAULT)]
        for text in (question, message) if "?" in question else (message,):
            asked = [k for k in keys if _asked(k, text)]
            if asked:
                key = max(asked, key=lambda k: (_asked(k, text), -self._used.get(k, 0)))
                return self._once(key, answers[key])
        if "?" in question and _yes_or_no(question):
            return self._confirmed(answers, message)
        return self._once(DEFAULT, answers[DEFAULT]) if DEFAULT in answers else None

    def _meant(self, question: str) -> set[str]:
        """The keywords that a question asks for, as questions for them are usually put."""
        said = frozenset(_words(question))
        alike = [(2 * len(said & own) / max(len(said) + len(own), 1), key) for key, own in self._asks]
        best = max((score for score, _ in alike), default=0.0)
        return {key for score, key in alike if score == best} if best >= ALIKE else set()

    def _confirmed(self, answers: Mapping[str, str | tuple[str, ...]], message: str) -> str | None:
        """A yes; None where the user has something else to say to that."""
        if CONFIRM not in answers and any(turn.say for turn in self._turns[1:]):
            return None
        return self._once(CONFIRM, answers.get(CONFIRM, "yes") if self._agrees(message) else _wrong(answers))

    def _once(self, key: str, text: str | tuple[str, ...]) -> str | None:
        if key in self._given and isinstance(text, str) and len(self._turns) > 1:
            return None  # the next turn has something else to say to that
        self._given.add(key)
        used = self._used[key] = self._used.get(key, 0) + 1
        self._last = (key, self._last[1] + 1 if self._last[0] == key else 1)
        if isinstance(text, tuple):
            return text[used - 1] if used <= len(text) else None
        return text if self._last[1] <= MOST_REPEATS else None

    def _agrees(self, message: str) -> bool:
        """Whether the times in a question are those that the user wants; without times it agrees."""
        times = times_in(message)
        wanted = {t for want in self._wants for value in want.values() for t in times_in(str(value))}
        return not times or not wanted or bool(times & wanted)


class ModelUser:
    """A user that a model plays. It ends the conversation with STOP.

    Args:
        model: any ChatModel.
        instructions: who the user is and what the user wants.
    """

    def __init__(self, model: ChatModel, instructions: str) -> None:
        self._model = model
        self._system = (
            "You are a customer who writes to an assistant. Write only your next message, short, and give information "
            f"only when asked. When all is done, or you are passed to a person, write {STOP}.\n\n{instructions}"
        )

    async def next(self, talk: Sequence[Message]) -> str | None:
        """
        Raises:
            BackendError: the model cannot be reached.
        """
        swapped = [
            Message(role="assistant" if m.role == "user" else "user", content=m.content)
            for m in talk
            if m.role in ("user", "assistant")
        ]
        opening = Message(role="user", content="Hello, how can I help you?")
        messages = (Message(role="system", content=self._system), opening, *swapped)
        reply = await collect(self._model, ChatRequest(messages=messages, max_tokens=120))
        text = reply.text.strip()
        return None if not text or STOP in text else text


def times_in(text: str) -> set[str]:
    """The times in a text, as HH:MM."""
    found = set()
    for m in _TIME.finditer(text):
        hour, minute, half = int(m[1] or m[4]), m[2] or m[5] or "00", (m[3] or "").lower()
        if half:
            hour = hour % 12 + (12 if half == "p" else 0)
        found.add(f"{hour:02}:{minute}")
    return found


def _question(message: str) -> str:
    """The last question, else the last sentence."""
    parts = list(sentences(message)) or [message]
    return next((s for s in reversed(parts) if s.rstrip().endswith("?")), parts[-1])


def _words(text: str) -> list[str]:
    return [w.lower() for w in _WORD.findall(text)]


def _is_open(question: str) -> bool:
    """Whether it begins with a question word, also after a preposition, as in "for how much"."""
    first, second, *_ = [*_words(question), "", ""]
    return first in _OPEN or (first in _BEFORE and second in _OPEN)


def _yes_or_no(question: str) -> bool:
    return not _OPEN & set(_words(question)[:3])


def _is_polar(answer: str | tuple[str, ...]) -> bool:
    """Whether it is nothing but yes and no, so that it answers a question of its kind before `confirm` does."""
    return {a.lower() for a in ((answer,) if isinstance(answer, str) else answer)} <= {"yes", "no"}


def _asked(key: str, text: str) -> int:
    """The length of the longest alternative that the text has; 0 for none."""
    said = f" {' '.join(_words(text))} "
    found = (one for one in key.split("|") for end in ("", "s") if f" {' '.join(_words(one))}{end} " in said)
    return max(map(len, found), default=0)


def _wrong(answers: Mapping[str, str | tuple[str, ...]]) -> str:
    corrections = [text for key, text in answers.items() if "time" in key.split("|") and isinstance(text, str)]
    return f"No, {corrections[0]}" if corrections else "No, that is not right."
