"""What an agent remembers of a conversation: which procedures run, where they stand, and what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field

from inhouse.agents.expression import Expression
from inhouse.agents.procedure import ITEM, Procedure, Slot, State, holes
from inhouse.types import Json

MOST_VISITED = 200  # states that a frame remembers
MOST_CHOICES = 100  # of a list that a tool returned


@dataclass
class Frame:
    """A procedure that runs.

    Attributes:
        procedure: its name.
        digest: of the procedure when it began; another version cannot continue it.
        state: where it is.
        slots, results: what is known, by name.
        visited: the states before this one.
        spoken: whether the state's text was said.
        offered: digest of what the user was asked to confirm: the question and the arguments.
        confirmed: what the user has confirmed, as such a digest; nothing else may be called.
        waiting: key of the state's call, while it waits for an approval.
    """

    procedure: str
    digest: str
    state: str
    slots: dict[str, Json] = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    spoken: bool = False
    offered: str = ""
    confirmed: str = ""
    waiting: str = ""

    def names(self, more: Mapping[str, Json]) -> dict[str, Json]:
        """What expressions may read."""
        return {**more, **self.slots, **self.results}

    def go(self, state: State) -> None:
        """Enters a state."""
        self.visited = [*self.visited, self.state][-MOST_VISITED:]
        self.state, self.spoken = state.name, False
        self.offered = self.confirmed = self.waiting = ""

    def forget(self, names: Iterable[str]) -> None:
        """Slots and results that are not known any more."""
        for name in names:
            for known in (name, name + ITEM):
                self.slots.pop(known, None)
                self.results.pop(known, None)

    def rewind(self, procedure: Procedure, slot: str) -> None:
        """Goes back to the first state that a changed slot matters to; results after it are not known any more, nor
        are choices that were made from them."""
        self.offered = self.confirmed = ""
        path = [*self.visited, self.state]
        at = next((n for n, name in enumerate(path) if _reads(procedure.by_name[name], slot)), None)
        if at is None:
            return
        undone = [procedure.by_name[name].call for name in path[at:]]
        lost = {call.result for call in undone if call and call.result}
        for name in lost:
            self.results.pop(name, None)
        for name, other in procedure.slots.items():
            if other.choices_from and name != slot and Expression(other.choices_from).names & lost:
                self.slots.pop(name, None)
                self.slots.pop(name + ITEM, None)
        if path[at] != self.state:
            self.visited, self.state, self.spoken = path[:at], path[at], True

    def renew(self, procedure: Procedure, result: str, names: Mapping[str, Json]) -> None:
        """Forgets choices from an earlier list of this name that the new one does not have as they were."""
        for name, slot in procedure.slots.items():
            if name in self.slots and slot.choices_from and result in Expression(slot.choices_from).names:
                offered, value = choices_of(slot, names), self.slots[name]
                if value not in offered or self.slots.get(name + ITEM, offered[value]) != offered[value]:
                    self.forget([name])


@dataclass
class Progress:
    """The memory of one agent. The last frame is the one that runs; those before it wait for it.

    Attributes:
        asked: the slot that was asked for.
        confirming: whether yes or no was asked for.
        turn: number of the turn in which; only the next one answers.
        misses: messages in a row that were not understood.
        kept: values of slots that other procedures have too.
        said: what the agent itself said last, without answers from documents.
        offered: names of procedures that the user was asked to choose from in the last turn.
        active: the procedure that runs, for the router.
    """

    frames: list[Frame] = field(default_factory=list)
    asked: str = ""
    confirming: bool = False
    misses: int = 0
    kept: dict[str, Json] = field(default_factory=dict)
    turn: int = 0
    said: str = ""
    offered: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, data: Json, procedures: Mapping[str, Procedure]) -> Progress:
        """What was remembered, which stays as it is; frames of procedures that are gone or have changed are dropped."""
        if not data:
            return cls()
        frames = [Frame(**deepcopy(frame)) for frame in data["frames"]]
        kept = [f for f in frames if f.procedure in procedures and procedures[f.procedure].digest == f.digest]
        if len(kept) < len(frames):
            return cls(frames=kept)
        offered = [name for name in data.get("offered", ()) if name in procedures]
        asked = data["asked"], data["confirming"], data["misses"], dict(data["kept"]), data["turn"]
        return cls(kept, *asked, data.get("said", ""), offered)

    @property
    def frame(self) -> Frame | None:
        return self.frames[-1] if self.frames else None

    def to_json(self) -> dict[str, Json]:
        return asdict(self) | {"active": self.frame.procedure if self.frame else "a choice" if self.offered else ""}

    def settle(self) -> None:
        """Nothing is asked for now."""
        self.asked, self.confirming = "", False


def unconfirmed(state: Mapping[str, Json]) -> dict[str, Json]:
    """What agents remember, by name, without what the user was asked to confirm. It is asked again: the answer may have
    been given already where the conversation went another way."""
    clean = dict(state)
    for name, memory in state.items():
        if isinstance(memory, dict) and "frames" in memory:
            frames = [{**frame, "offered": "", "confirmed": ""} for frame in memory["frames"]]
            clean[name] = {**memory, "frames": frames, "confirming": False}
    return clean


def choices_of(slot: Slot, names: Mapping[str, Json]) -> dict[str, Json]:
    """What the user may choose, by the words for it; the values are objects where the list has objects."""
    if slot.choices:
        return {choice: choice for choice in slot.choices}
    listed = Expression(slot.choices_from).value(names) if slot.choices_from else None
    if not isinstance(listed, list):
        return {}
    listed = listed[:MOST_CHOICES]
    if slot.choice:
        return {str(item.get(slot.choice)): item for item in listed if isinstance(item, dict)}
    return {str(item): item for item in listed}


def _reads(state: State, slot: str) -> bool:
    if slot in state.collect:
        return True
    arguments = list(_texts(state.call.arguments)) if state.call else []
    return any(slot in e.names or slot + ITEM in e.names for text in arguments for e in holes(text))


def _texts(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []
