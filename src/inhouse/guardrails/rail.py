"""What a rail is: it looks at one side of an exchange and says what it found; settings say what is done about it.

======== ================================================= =====================================
side     what is looked at                                 when
======== ================================================= =====================================
input    the conversation, its last user message as text   before the model is asked
passages retrieved passages and results of tools           while the model reads its prompt
output   each sentence of the answer                       before that sentence is released
answer   the whole answer                                  at its end; nothing is released before
======== ================================================= =====================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from inhouse.chat import ChatRequest
from inhouse.types import Json, Message, Passage, Record, Span

Side = Literal["input", "passages", "output", "answer"]
Action = Literal["flag", "redact", "rewrite", "block", "handoff"]


class Finding(Record):
    """What a rail has to say about a text. `score` is how sure it is, in [0, 1].

    `text` is what the text becomes when it is redacted or rewritten; without it the spans are replaced by their kind,
    and without spans nothing is left. `passages` are those found bad, by place from 0: redacted, they are taken out
    before the model reads them, and results of tools are emptied. `messages` is what becomes of the whole conversation,
    on the input side. `action` is taken instead of the settings'.
    """

    score: float
    reason: str
    spans: tuple[Span, ...] = ()
    text: str | None = None
    passages: tuple[int, ...] = ()
    messages: tuple[Message, ...] | None = None
    action: Action | None = None

    def replacement(self, text: str) -> str:
        """What `text` becomes."""
        if self.text is not None:
            return self.text
        if not self.spans:
            return ""
        for start, end, kind in sorted(self.spans, reverse=True):
            text = f"{text[:start]}<{kind}>{text[end:]}"
        return text


@dataclass
class Turn:
    """One exchange as its rails see it; each rail keeps what it needs later in `kept` under its own name."""

    request: ChatRequest
    passages: tuple[Passage, ...] = ()
    sentences: list[str] = field(default_factory=list)  # of the answer, as the model wrote them
    kept: dict[str, Any] = field(default_factory=dict)
    cited: dict[str, Json] | None = None  # by sentence, once a rail checks citations; None leaves them as they are
    certainty: float | None = None  # mean token probability, where the engine tells it
    second: str | None = None  # the beginning of another answer, drawn at a temperature, where one was asked for
    confidence: float | None = None  # that the answer is right, once a rail estimates it
    spent_s: dict[str, float] = field(default_factory=dict)  # by rail, over its checks that are waited for


@runtime_checkable
class Rail(Protocol):
    """Looks at text. `check` runs in a thread, beside the other rails, and must not keep state between exchanges
    anywhere but in `turn`."""

    name: str
    sides: frozenset[Side]

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        """What there is to say about the text, None when it may pass. What it raises counts as a failure."""
        ...


class Guard(NamedTuple):
    """A rail with what is done about its findings; a side without an action is not looked at."""

    rail: Rail
    actions: dict[Side, Action]
    timeout_s: float = 2.0
    opens: bool = False  # on an error or a time-out the text passes, instead of going to a person


class Decision(Record):
    """What was done about a finding. `failed` tells how a rail that gave none was taken."""

    rail: str
    side: Side
    action: Action
    score: float = 1.0
    reason: str = ""
    spans: tuple[Span, ...] = ()
    failed: Literal["", "open", "closed"] = ""

    def told(self) -> dict[str, Json]:
        """As it goes into the note: where and what kind, never the text itself."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"score": round(self.score, 3)}
