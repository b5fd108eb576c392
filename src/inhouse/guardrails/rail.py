"""What a rail is: it checks one side of an exchange and reports what it finds; the settings decide what is done.

======== ====================================================== =========================================
side     what the rail checks                                   when
======== ====================================================== =========================================
input    the conversation; `text` is its last user message      before the model is asked
passages retrieved passages and tool results                    while the model reads its prompt
output   each sentence of the answer                            before that sentence is released
answer   the whole answer, none of which is released before     when the model has finished
======== ====================================================== =========================================
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from inhouse.chat import ChatRequest
from inhouse.text.cache import kept_for
from inhouse.types import Json, Message, Passage, Record, Span

TOOL = "tool"  # the source of tool results among the passages
Side = Literal["input", "passages", "output", "answer"]
Action = Literal["flag", "redact", "rewrite", "block", "handoff"]


class Finding(Record):
    """What a rail reports about a text.

    Attributes:
        score: how certain the rail is, in [0, 1].
        reason: what is wrong, in a few words.
        spans: the parts of the text that are affected.
        text: the replacement when the text is redacted or rewritten. Without it each span is replaced by its kind;
            without spans nothing is left.
        passages: indices, from 0, of the passages that are affected. When redacted, they are removed before the model
            reads them, and tool results are emptied.
        messages: the replacement of the whole conversation, on the input side.
        removed: indices, from 0, of messages that the model must not read, on the input side; the last question is
            never among them. They are removed after what other rails replaced.
        action: overrides the action in the settings.
    """

    score: float
    reason: str
    spans: tuple[Span, ...] = ()
    text: str | None = None
    passages: tuple[int, ...] = ()
    messages: tuple[Message, ...] | None = None
    removed: tuple[int, ...] = ()
    action: Action | None = None

    def replacement(self, text: str) -> str:
        """What replaces `text`."""
        if self.text is not None:
            return self.text
        if not self.spans:
            return ""
        for start, end, kind in sorted(self.spans, reverse=True):
            text = f"{text[:start]}<{kind}>{text[end:]}"
        return text


@dataclass
class Turn:
    """One exchange as its rails see it.

    Its checks may run in different processes. What a rail keeps in `state` for later checks reaches them if it is JSON;
    anything else may be missing there, and the rail makes it again.
    """

    request: ChatRequest
    passages: tuple[Passage, ...] = ()
    sentences: list[str] = field(default_factory=list)  # of the answer, as the model wrote them
    state: dict[str, Any] = field(default_factory=dict)  # what rails keep for later checks, by a name of their choice
    cited: dict[str, Json] | None = None  # citations by sentence, once a rail checks them; None leaves them unchanged
    certainty: float | None = None  # mean token probability, where the engine reports it
    second: str | None = None  # the beginning of a second, sampled answer, where one was requested
    confidence: float | None = None  # the probability that the answer is right, once a rail estimates it
    spent_s: dict[str, float] = field(default_factory=dict)  # by rail, over the checks that the exchange waits for
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def to_json(self) -> dict[str, Json]:
        """The turn for another process."""
        return {
            "id": self.id, "request": self.request.model_dump(mode="json", exclude_defaults=True),
            "passages": [p.model_dump(mode="json", exclude_defaults=True) for p in self.passages],
            "sentences": self.sentences, "certainty": self.certainty, "second": self.second, **self.changes(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, given: Mapping[str, Json]) -> Turn:
        request = ChatRequest.model_validate(given["request"])
        return cls(**{**given, "request": request, "passages": tuple(Passage(**p) for p in given["passages"])})

    def changes(self) -> dict[str, Json]:
        """What rails may change, as far as it is JSON."""
        state = {name: value for name, value in self.state.items() if _is_json(value)}
        return {"state": state, "cited": self.cited, "confidence": self.confidence}

    def change(self, changes: Mapping[str, Json]) -> None:
        """Takes over what rails changed in another process."""
        if changes:
            self.state |= changes["state"]
            self.cited, self.confidence = changes["cited"], changes["confidence"]


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


@runtime_checkable
class Rail(Protocol):
    """Checks text. `check` runs in a thread, concurrently with the other rails, and keeps state in `turn` alone.

    A server builds a rail once, in a process that it then forks (see `host`): before its first check a rail starts no
    thread and opens no connection.
    """

    name: str
    sides: frozenset[Side]

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        """What is wrong with the text; None when it may pass. An exception counts as a failure of the rail."""
        ...


def checked(rail: Rail, side: Side, text: str, turn: Turn) -> Finding | None:
    """What a rail finds, without sharing what it keeps of texts with readers of other groups."""
    with kept_for(turn.request.groups):
        return rail.check(side, text, turn)


class Rules(NamedTuple):
    """What is done about a rail's findings on each side; a side without an action is not checked."""

    name: str
    actions: dict[Side, Action]
    timeout_s: float = 2.0
    fail_open: bool = False  # after an error or a timeout the text passes; otherwise it goes to a person


class Guard(NamedTuple):
    """A rail with its `Rules`."""

    rail: Rail
    actions: dict[Side, Action]
    timeout_s: float = 2.0
    fail_open: bool = False

    @property
    def rules(self) -> Rules:
        return Rules(self.rail.name, self.actions, self.timeout_s, self.fail_open)


class Decision(Record):
    """What was done about a finding. `failed` says how a rail that raised or timed out was treated."""

    rail: str
    side: Side
    action: Action
    score: float = 1.0
    reason: str = ""
    spans: tuple[Span, ...] = ()
    failed: Literal["", "open", "closed"] = ""

    def summary(self) -> dict[str, Json]:
        """The decision as notes and the audit log have it: positions and kinds, never the text itself."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"score": round(self.score, 3)}


def question_of(request: ChatRequest) -> str:
    """The last user message; empty where there is none."""
    return next((m.content for m in reversed(request.messages) if m.role == "user"), "")
