"""Keeps conversations with agents: which turn a request is, what was remembered, and what was decided in it.

Clients of the OpenAI API send the whole conversation each time and no ID. A request continues the conversation whose
messages so far are the same, word for word, for the same user and key, also where it names one that never stood there.
It is the same turn again if its last message is the same too, and then it gets the same answer and nothing is done
twice. Two conversations may have begun with the same words: the message was then answered in one of them, unless the
other one began later, since then it is a new message. A first message is the same again only until it has been
answered. A last message that was changed begins a branch: another conversation with the memory of the turn before, but
for what the user was asked to confirm: that is asked again, as it is wherever a message comes after other ones than the
question.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence

from inhouse.agents.progress import unconfirmed
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.errors import BackendError, InputError
from inhouse.tools import CONTINUED, Turn, Turns, prefix
from inhouse.types import Digest, Json, digest_of, last_question

LAYER = "agent"
RESENT_MS = 600_000  # a first message without an answer that is older has been given up, and the next one is a new one
_EVENTS: dict[str, type[Delta | Note | Finish]] = {"Delta": Delta, "Note": Note, "Finish": Finish}


class Conversing:
    """A ChatModel around a team of agents.

    Args:
        model: reads `request.state` and `request.plan`, and yields notes of kind "plan" and "state".
        turns: the memory.
        acting: goes on with a conversation in which nothing new was asked; by default `model`.
    """

    def __init__(self, model: ChatModel, turns: Turns, acting: ChatModel | None = None) -> None:
        self.name = model.name
        self._model, self._turns, self._acting = model, turns, acting or model

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what the model says, after a note of kind "conversation" with ID and number of the turn.

        A request of nobody is answered, and not remembered; agents cannot act for it. One without messages goes on
        with the conversation `request.conversation`, after an approval.

        Raises:
            BackendError: the memory or the model cannot be reached, or another request is answering this message and
                has decided otherwise.
            InputError: there is no such conversation to go on with.
        """
        if not (request.user or request.key):  # nobody's, such as the first question of a server
            async with streaming(self._model, request) as events:
                async for event in events:
                    yield event
            return
        turn, before = await self._turn(request)
        yield Note(layer=LAYER, kind="conversation", data={"id": turn.conversation, "turn": turn.number})
        if turn.reply is not None:
            for row in turn.reply:
                yield _EVENTS[row["event"]].model_validate(row["data"])
            return
        state = dict(before.state or {}) if before else {}
        if before and not _follows(turn, before, request):
            state = unconfirmed(state)
        plan = turn.plan or {}
        asked = request.model_copy(update={
            "conversation": turn.conversation, "turn": turn.number, "state": state, "plan": plan,
        })  # fmt: skip
        said: list[ChatEvent] = []
        async with streaming(self._model if request.messages else self._acting, asked) as events:
            async for event in events:
                match event:
                    case Note(layer="agent", kind="plan", data=data):
                        plan = {**plan, **data}
                        written = await asyncio.to_thread(self._turns.plan, turn.conversation, turn.number, plan)
                        if any(written.get(name) != decided for name, decided in data.items()):
                            raise BackendError("another request is answering this message", "send it again")
                        continue
                    case Note(layer="agent", kind="state", data=data):
                        state = {**state, **data}
                        continue
                    case Finish():
                        said.append(event)
                        await asyncio.to_thread(self._complete, turn, request, state, said)
                    case _:
                        said.append(event)
                yield event

    async def _turn(self, request: ChatRequest) -> tuple[Turn, Turn | None]:
        """The turn of the request, and the one before it. A conversation that was to go on after an approval does so
        first, also where a crash kept it from that."""
        turn, before = await asyncio.to_thread(self._begun if request.messages else self._continued, request)
        while request.messages and turn.asked == CONTINUED:
            without = {"messages": (), "conversation": turn.conversation, "exchange": ""}
            async with streaming(self, request.model_copy(update=without)) as events:
                async for _ in events:
                    pass
            turn, before = await asyncio.to_thread(self._begun, request)
        return turn, before

    def _begun(self, request: ChatRequest) -> tuple[Turn, Turn | None]:
        """The turn of the request, and the one before it; or a turn in which the conversation is to go on first."""
        at = last_question(request.messages)
        talk = [(m.role, m.content) for m in request.messages]
        before, asked = prefix(talk[:at]), digest_of(talk[at][1].strip())
        owner, wanted = owner_of(request), request.conversation
        turns = self._turns.of(wanted) if wanted else ()
        if turns and turns[0].owner != owner:
            turns, wanted = (), ""
        last = next((t for t in reversed(turns) if t.after), None)
        if same := _answered(turns, before, asked, at):
            return same, None
        if last is not None and at > 0 and not any(t.after == before for t in turns):  # it is of another conversation
            elsewhere = self._turns.after(owner, before)
            last, wanted = (elsewhere, "") if elsewhere else (last, wanted)
        elif not wanted and at > 0:
            last = self._turns.after(owner, before)
        new = Turn(
            conversation=wanted or (last.conversation if last else uuid.uuid4().hex),
            number=last.number + 1 if last else 1, owner=owner, before=before, asked=asked, exchange=request.exchange,
        )  # fmt: skip
        if not wanted:
            return self._added(new, last, last.at_ms if last else 0 if at > 0 else _now_ms() - RESENT_MS)
        try:
            return self._added(new, last)
        except InputError:  # the ID is someone else's, or is none
            return self._begun(request.model_copy(update={"conversation": ""}))

    def _added(self, new: Turn, last: Turn | None, since_ms: int | None = None) -> tuple[Turn, Turn | None]:
        """The turn, which is a new one unless it was begun already, and the one before it."""
        turn = self._turns.begin(new, since_ms)
        if _is(turn, new.before, new.asked) and (turn.conversation, turn.number) != (new.conversation, new.number):
            turns = self._turns.of(turn.conversation)
            return turn, next((t for t in reversed(turns) if t.number < turn.number and t.after), last)
        while turn.asked == CONTINUED and turn.after:  # the client did not see what was said after the approval
            last, new = turn, new.model_copy(update={"number": turn.number + 1})
            turn = self._turns.begin(new)
        if turn.asked not in (new.asked, CONTINUED):  # another message after the same ones
            turn = self._turns.begin(new.model_copy(update={"conversation": _branch(turn, new)}))
        return turn, last

    def _continued(self, request: ChatRequest) -> tuple[Turn, Turn | None]:
        """A turn in which nothing is asked."""
        last = self._turns.last(request.conversation) if request.conversation else None
        if last is None or last.owner != owner_of(request):
            raise InputError(f"{request.conversation[:40]}: no such conversation", "check the ID")
        new = Turn(
            conversation=last.conversation, number=last.number + 1, owner=last.owner, before=last.after,
            asked=CONTINUED, exchange=request.exchange,
        )  # fmt: skip
        turn = self._turns.begin(new)
        if turn.asked != CONTINUED:
            raise InputError("a message of this conversation is being answered", "wait for its answer")
        return turn, last

    def _complete(self, turn: Turn, request: ChatRequest, state: dict[str, Json], said: list[ChatEvent]) -> None:
        text = "".join(e.text for e in said if isinstance(e, Delta))
        talk = [(m.role, m.content) for m in request.messages[: last_question(request.messages) + 1]]
        after = prefix([*talk, ("assistant", text)], "" if talk else turn.before)
        reply = [{"event": type(e).__name__, "data": e.model_dump(mode="json")} for e in said]
        told = {"state": state, "reply": reply, "after": after, "exchange": request.exchange or turn.exchange}
        self._turns.complete(turn.model_copy(update=told))


def _branch(turn: Turn, new: Turn) -> str:
    """The ID of the conversation that begins where another message has taken the place of a new one; the same each time
    that this is sent."""
    return digest_of([new.owner, turn.conversation, turn.number, new.before, new.asked])[:32]


def _answered(turns: Sequence[Turn], before: Digest, asked: Digest, at: int) -> Turn | None:
    """The turn of a conversation that answered this message already. One that comes without those before it is only
    looked for in the last turn."""
    complete = [t for t in turns if t.reply is not None and t.asked != CONTINUED]
    return next((t for t in reversed(complete if at > 0 else complete[-1:]) if _is(t, before, asked)), None)


def _is(turn: Turn, before: Digest, asked: Digest) -> bool:
    """Whether the turn answers this message after these."""
    return (turn.before, turn.asked) == (before, asked)


def _follows(turn: Turn, before: Turn, request: ChatRequest) -> bool:
    """Whether the message answers what was said in the turn before: it comes after the same messages, word for word, or
    alone with the ID of the conversation."""
    alone = bool(request.conversation) and last_question(request.messages) <= 0
    return turn.conversation == before.conversation and (alone or turn.before == before.after)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def owner_of(request: ChatRequest) -> Digest:
    """Whose conversation it is."""
    return digest_of([request.key, request.user])
