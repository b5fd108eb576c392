"""A ChatModel that chooses a specialist for each message, and asks it.

The choice is a classifier's, never a model's free text. An agent in the middle of a procedure keeps the conversation
unless a message clearly belongs to another one; whoever is interrupted gets it back. A turn has at most one hand-off
from agent to agent, and agents that pass a conversation to and fro end at the fallback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.routing.classifier import Prediction
from inhouse.text.words import length_in_words
from inhouse.types import Json, Message, last_question, may_read

Choose = Callable[[str, Collection[str]], Prediction]
"""The class of a text among the names of candidates."""
CLEAR, CLEARER = 0.8, 0.9  # probability of another agent that interrupts a procedure; where a slot was asked for
LOW, LOWER = 0.1, 0.05  # that of the agent which is interrupted, at most
CLOSE = 0.2  # ahead of the agent that had the conversation last, another one must be
ANSWER_WORDS = 3  # a message so short answers what was asked
FOLLOW_UP_WORDS = 6  # a message so short may only make sense with the one before it
REMEMBERED = 8  # turns
CIRCLES = "agents passed the conversation to and fro"
PERSON = "I am passing you to a colleague who can help."


class Decision(NamedTuple):
    """Who gets a message: an agent, or "" for the fallback; and why."""

    agent: str
    reason: str
    sticky: bool = False
    found: Prediction = Prediction(name="")


class Memory(NamedTuple):
    """What the router remembers: who had the conversation last, and the latest turns, each with its agent and whether
    it got anywhere."""

    agent: str = ""
    history: tuple[tuple[str, bool], ...] = ()

    @classmethod
    def of(cls, state: Json) -> Memory:
        if not isinstance(state, dict):
            return cls()
        turns = state.get("history")
        turns = [t for t in turns if isinstance(t, dict)] if isinstance(turns, list) else []
        history = tuple((str(t.get("agent") or ""), bool(t.get("moved"))) for t in turns)
        return cls(str(state.get("agent") or ""), history)

    def after(self, agent: str, moved: bool) -> dict[str, Json]:
        turns = [*self.history, (agent, moved)][-REMEMBERED:]
        return {"agent": agent, "history": [{"agent": a, "moved": m} for a, m in turns]}


class Routed:
    """A ChatModel.

    Notes: layer "router", kind "routed", says who was chosen and why; layer "agent", kind "state", at the end has what
    is remembered by this router and by all agents, under their names. Where nobody but a person can answer, there is a
    sentence and the note of layer "agent", kind "handoff". An agent gives the message to another one by the note of
    layer "agent", kind "transfer", before any text, with `to` (a name, or "" for whoever fits) and `why`; of what else
    it yields only its state is kept.

    Args:
        name: of this model.
        choose: the classifier.
        agents: by name.
        fallback: answers what belongs to no agent; None for a person. It may be one of the agents.
        groups: by agent, who may talk to it; empty for everybody.
        handoff: what is said when a person takes over.
        asks: whether a message asks for information, which interrupts nothing.
    """

    def __init__(
        self, name: str, choose: Choose, agents: Mapping[str, ChatModel], fallback: ChatModel | None = None,
        groups: Mapping[str, frozenset[str]] | None = None, handoff: str = PERSON,
        asks: Callable[[str], bool] = lambda text: text.rstrip().endswith("?"),
    ) -> None:  # fmt: skip
        self.name = name
        self._choose, self._agents, self._fallback = choose, agents, fallback
        self._groups, self._handoff, self._asks = groups or {}, handoff, asks
        self._last = next((n for n, agent in agents.items() if agent is fallback), "")  # the fallback, if an agent

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer of who was chosen.

        Raises:
            BackendError: who was chosen could not answer.
        """
        memory = Memory.of(request.state.get(self.name))
        allowed = {n for n in self._agents if may_read(self._groups.get(n, frozenset()), request.groups)}
        decision = await asyncio.to_thread(self._decided, request, memory, allowed)
        turn = _Turn(dict(request.state))
        passed: set[str] = set()  # who gave the message to another one
        while True:
            agent = decision.agent or self._last
            model = self._asked(agent, allowed, passed)
            yield _routed(agent if model else "", model.name if model else "person", decision)
            if model is None:
                yield Delta(text=self._handoff)
                yield Note(layer="agent", kind="handoff", data={"reason": decision.reason})
                turn.transfer = None
            else:
                async with aclosing(turn.events(model, request)) as events:
                    async for event in events:
                        yield event
            if turn.transfer is None:
                break
            decision = await asyncio.to_thread(self._passed_on, request, turn, agent, memory, allowed, passed)
            passed.add(agent)
        agent = agent if model else ""
        turn.state[self.name] = memory.after(agent, not passed and _moved(agent, request.state, turn.state))
        yield Note(layer="agent", kind="state", data=turn.state)
        yield turn.finish or Finish(reason="stop")

    def _asked(self, agent: str, allowed: Collection[str], passed: Collection[str]) -> ChatModel | None:
        """The model of an agent, or the fallback; None where only a person is left."""
        if agent in passed or (agent and agent not in allowed):
            return None
        return self._agents[agent] if agent else self._fallback

    # --- choosing -------------------------------------------------------------------------------------------------

    def _decided(self, request: ChatRequest, memory: Memory, allowed: Collection[str]) -> Decision:
        waits = self._busy(request.state, memory, allowed) or (memory.agent if memory.agent in allowed else "")
        if not request.messages and waits:
            return Decision(waits, "goes on after a decision", True)
        said = said_in(request.messages)
        if not request.messages and (busy := self._busy(request.state, memory, allowed)):
            return Decision(busy, f"{busy} goes on", True)
        if not said or not allowed:
            return Decision("", "no agent may be asked" if said else "nothing was said")
        found = self._choose(said[-1], allowed)
        decision = self._chosen(said, found, request.state, memory, allowed)
        if circles(memory.history, decision.agent):
            return Decision("", CIRCLES, found=found)
        return decision

    def _chosen(
        self,
        said: Sequence[str],
        found: Prediction,
        state: Mapping[str, Json],
        memory: Memory,
        allowed: Collection[str],
    ) -> Decision:
        busy = self._busy(state, memory, allowed)
        if busy:
            if not self._asks(said[-1]) and interrupts(found, busy, said[-1], _awaits(_of(state, busy))):
                return Decision(found.name, f"clearly belongs to {found.name}, not to {busy}", found=found)
            return Decision(busy, f"{busy} is in the middle of {_of(state, busy)['active']}", True, found)
        last = memory.agent if memory.agent in allowed else ""
        if found.in_scope:
            if last and found.name != last and _ahead(found, last) < CLOSE:
                return Decision(last, f"belongs to {last} nearly as well as to {found.name}", True, found)
            return Decision(found.name, f"belongs to {found.name}", found.name == last, found)
        if len(said) > 1 and length_in_words(said[-1]) <= FOLLOW_UP_WORDS:
            both = self._choose(f"{said[-2]}\n{said[-1]}", allowed)
            if both.in_scope and (not last or both.name == last):
                return Decision(both.name, f"follows a message that belongs to {both.name}", bool(last), both)
        return Decision("", "belongs to no agent", found=found)

    def _busy(self, state: Mapping[str, Json], memory: Memory, allowed: Collection[str]) -> str:
        """Who is in the middle of a procedure: who had the conversation last, else who had it before."""
        latest = [memory.agent, *(agent for agent, _ in reversed(memory.history))]
        order = dict.fromkeys([*latest, *sorted(allowed)])
        return next((agent for agent in order if agent in allowed and _of(state, agent).get("active")), "")

    def _passed_on(
        self, request: ChatRequest, turn: _Turn, agent: str, memory: Memory, allowed: set[str], passed: set[str]
    ) -> Decision:
        """Who gets what an agent does not want: another agent once in a turn, then the fallback."""
        to, why = turn.wanted()
        reason = f"{agent} passed it on: {why}"
        others, said = allowed - passed - {agent}, said_in(request.messages)
        if passed or not others or not said:
            return Decision("", reason)
        found = Prediction(name="")
        if to not in others:
            found = self._choose(said[-1], others)
            to = found.name if found.in_scope else ""
        if circles(memory.history, to):
            return Decision("", CIRCLES, found=found)
        return Decision(to, reason, found=found)


class _Turn:
    """The events of a turn as they are passed on: states are merged, the end waits, a transfer is kept back."""

    def __init__(self, state: dict[str, Json]) -> None:
        self.state = state
        self.finish: Finish | None = None
        self.transfer: Json = None

    async def events(self, model: ChatModel, request: ChatRequest) -> AsyncGenerator[ChatEvent]:
        self.transfer, silent = None, True
        async with streaming(model, request) as events:
            async for event in events:
                match event:
                    case Note(layer="agent", kind="state", data=dict() as data):
                        self.state.update(data)
                    case Note(layer="agent", kind="transfer", data=data) if silent:
                        self.transfer = data or {}
                    case Finish():
                        self.finish = event
                    case _ if self.transfer is None:
                        silent = silent and not isinstance(event, Delta)
                        yield event

    def wanted(self) -> tuple[str, str]:
        """To whom, and why."""
        data = self.transfer if isinstance(self.transfer, dict) else {}
        return str(data.get("to") or ""), str(data.get("why") or "it is none of its tasks")


def interrupts(found: Prediction, busy: str, text: str, asked: bool) -> bool:
    """Whether a message clearly belongs to another agent than the one in the middle of a procedure, and is no answer to
    what that one `asked`."""
    if not found.in_scope or found.name == busy or (asked and length_in_words(text) <= ANSWER_WORDS):
        return False
    high, low = (CLEARER, LOWER) if asked else (CLEAR, LOW)
    return found.probability >= high and found.probabilities.get(busy, 0.0) <= low


def circles(history: Sequence[tuple[str, bool]], agent: str) -> bool:
    """Whether the conversation went A, B, A, and would go to B again, and none of these turns got anywhere."""
    if not agent or len(history) < 3:
        return False
    (a, one), (b, two), (c, three) = history[-3:]
    return a == c != b == agent and not (one or two or three)


def _awaits(own: Mapping[str, Json]) -> bool:
    """Whether an agent asked for a value, or for a yes or no."""
    return bool(own.get("asked") or own.get("confirming"))


def _moved(agent: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    """Whether a turn got anywhere: the agent has nothing open, or not the same as before."""
    return not _of(after, agent).get("active") or _of(before, agent) != _of(after, agent)


def _ahead(found: Prediction, last: str) -> float:
    return found.probability - found.probabilities.get(last, 0.0)


def _of(state: Mapping[str, Json], agent: str) -> Mapping[str, Json]:
    own = state.get(agent)
    return own if isinstance(own, dict) else {}


def said_in(messages: Sequence[Message]) -> list[str]:
    """What the user said, the last one last; nothing where the conversation does not have a message of the user's."""
    if not messages or messages[last_question(messages)].role != "user":
        return []
    said = [m.content for m in messages if m.role == "user"]
    return said if said[-1].strip() else []


def _routed(agent: str, model: str, decision: Decision) -> Note:
    """`agent` is "" where none was asked; `model` is who was."""
    found = decision.found
    numbers = {"score": found.score, "margin": found.margin, "probability": found.probability}
    data = {"agent": agent, "model": model, "sticky": decision.sticky, "reason": decision.reason}
    return Note(layer="router", kind="routed", data=data | {k: round(v, 4) for k, v in numbers.items()})
