"""What an agent says and notes in one turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from inhouse.agents.progress import Frame, Progress
from inhouse.chat import ChatEvent, ChatRequest, Delta, Note
from inhouse.tools import Caller
from inhouse.types import Json

LAYER = "agent"


@dataclass(frozen=True)
class Wording:
    """What an agent says besides the texts of its procedures."""

    again: str = "Sorry, I did not understand that."
    which: str = "Do you mean: {titles}?"
    cancelled: str = "All right, I have stopped that."
    back: str = "Back to: {title}."
    change: str = "What would you like to change?"
    approval: str = "A colleague has to approve this first. I will tell you here as soon as that is done."
    still: str = "A colleague has not decided yet."
    declined: str = "A colleague has declined this: {why}"
    rights: str = "That is not possible here any more."
    failed: str = "That did not work: {why}"
    unknown: str = "I cannot tell whether that went through, so I am passing you to a colleague who will check it."
    person: str = "I am passing you to a colleague, who will answer you here."
    help: str = "I can help with: {titles}."
    choices: str = "({choices})"


PLAIN = Wording()


@dataclass
class Turn:
    """What happens in one turn: the memory, what to say, and what to note."""

    request: ChatRequest
    caller: Caller
    progress: Progress
    events: list[ChatEvent] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)  # of the texts, those that are not from documents
    calls: int = 0
    handed: str = ""
    offered: list[str] = field(default_factory=list)  # see Progress, in the turn before
    waited: Frame | None = None  # whose approval was looked for

    def say(self, text: str) -> None:
        if text := text.strip():
            lead = "\n\n" if self.texts else ""
            self.texts.append(text)
            self.own.append(text)
            self.events.append(Delta(text=lead + text))

    def step(self, kind: str, **data: Json) -> None:
        self.events.append(Note(layer=LAYER, kind="step", data={"kind": kind, **data}))

    def hand_off(self, reason: str, text: str = "") -> None:
        self.say(text)
        self.handed = reason
        self.events.append(Note(layer=LAYER, kind="handoff", data={"reason": reason}))
        self.progress.frames.clear()
        self.progress.settle()

    def taken(self) -> list[ChatEvent]:
        events, self.events = self.events, []
        return events
