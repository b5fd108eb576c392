"""Approved replies that answer the same question again: the bottom rung, before any model is asked.

A reply is used only if all of this holds:

- the reader is in all groups of the person who asked first, and may read every document behind the reply; replies that
  someone may not read are left out before anything is compared, so neither the answer nor its speed depends on them;
- the question is written the same, or its vector is near and `same.difference` finds none;
- what was said before is the same; greetings and thanks do not count. A follow-up thus never matches by itself;
- the request wants no more than a text: no schema, no tools, no log probabilities, no system message that is read.

Whether a reply is approved, still fresh, and about nobody's own case is for whoever hands the replies in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, NamedTuple

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.errors import BackendError
from inhouse.routing.acts import recognize
from inhouse.routing.same import comparable, difference, written
from inhouse.types import Embedder, Json, Matrix, Message, Record, least_tokens, may_read

Context = tuple[tuple[str, str], ...]  # role and text of each message before the question
_WANTED = frozenset({"tools", "functions", "tool_choice", "function_call", "logit_bias"})


class NoMatchError(BackendError):
    """No approved reply answers the request; nothing was said yet."""


class Approved(Record):
    """A reply that a person approved.

    Attributes:
        id: of the hand-off.
        messages: the conversation; its last message is the question.
        answer: the reply.
        access: one entry for each thing behind the reply, as of `may_read`; a reader needs all of them.
        key: ID of the API key that asked.
        by: who approved it.
        at: when it was written, ISO 8601.
        sources: the documents that it rests on.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str
    access: tuple[frozenset[str], ...] = ()
    key: str = ""
    by: str = ""
    at: str = ""
    sources: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return self.messages[-1].content


class Match(Record):
    """A reply that answers a request. `score` is 1 for the same text, else the cosine of the two questions."""

    approved: Approved
    how: Literal["exact", "similar"]
    score: float

    def summary(self) -> dict[str, Json]:
        """The match as notes and the audit log have it."""
        a = self.approved
        return {"reply": a.id, "question": a.question, "how": self.how, "score": round(self.score, 3), "by": a.by,
                "at": a.at, "sources": list(a.sources)}  # fmt: skip


class _Table(NamedTuple):
    """The replies with what is compared; `vectors` has shape (replies, dimensions)."""

    replies: tuple[Approved, ...]
    contexts: tuple[Context, ...]
    vectors: Matrix


class Reused:
    """A ChatModel that answers with approved replies, and with nothing else.

    Args:
        replies: returns those that may be used now.
        embedder: compares questions. It must not keep vectors between calls: what others asked would show in its speed.
        similar: minimum cosine of two questions; from 1 on only the same text matches.
        per: "key" gives a reply only to the API key that asked; "groups" to all who may read it.
        reads_system: whether system messages of clients change answers; then a conversation with one is not matched.
    """

    name = "reuse"

    def __init__(
        self, replies: Callable[[], Sequence[Approved]], embedder: Embedder, similar: float,
        per: Literal["groups", "key"] = "groups", reads_system: bool = False,
    ) -> None:  # fmt: skip
        self._replies, self._embedder, self._similar = replies, embedder, similar
        self._per, self._reads_system = per, reads_system
        self._made: _Table | None = None
        self._making = threading.Lock()

    def match(self, request: ChatRequest) -> Match | None:
        """The reply that answers the request; None if there is none. Takes the time of one embedding at most."""
        if not self._suits(request):
            return None
        table = self._table()
        context, readable = context_of(request.messages), []
        for n, approved in enumerate(table.replies):
            if self._may_have(request, approved) and table.contexts[n] == context:
                readable.append(n)
        found = self._compared(request.messages[-1].content, table, readable) if readable else []
        fitting = [m for m in found if least_tokens(m.approved.answer) <= request.max_tokens]
        return max(fitting, key=lambda m: (m.how == "exact", m.score, m.approved.at, m.approved.id), default=None)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the note of layer "reuse", kind "reply", and the approved reply.

        Raises:
            NoMatchError: there is none for this request.
        """
        match = await asyncio.to_thread(self.match, request)
        if match is None:
            raise NoMatchError("no approved reply answers this question")
        yield Note(layer="reuse", kind="reply", data=match.summary())
        yield Delta(text=match.approved.answer)
        yield Finish(reason="stop")

    def _suits(self, request: ChatRequest) -> bool:
        plain = request.json_schema is None and request.logprobs is None and not request.stop
        if not plain or _WANTED & request.extra.keys() or not _is_question(request.messages):
            return False
        return not (self._reads_system and any(m.role == "system" for m in request.messages))

    def _may_have(self, request: ChatRequest, approved: Approved) -> bool:
        if self._per == "key" and approved.key != request.key:
            return False
        return all(may_read(access, request.groups) for access in approved.access)

    def _compared(self, question: str, table: _Table, rows: Sequence[int]) -> list[Match]:
        plain, found = written(question), []
        for n in rows:
            if written(table.replies[n].question) == plain:
                found.append(Match(approved=table.replies[n], how="exact", score=1.0))
        if found or self._similar >= 1 or not comparable(question):
            return found
        cosines = table.vectors[list(rows)] @ self._embedder.embed([question])[0]
        for n, cosine in zip(rows, cosines.tolist(), strict=True):
            other = table.replies[n].question
            if cosine >= self._similar and comparable(other) and not difference(question, other):
                found.append(Match(approved=table.replies[n], how="similar", score=min(cosine, 1.0)))
        return found

    def _table(self) -> _Table:
        """The table of the replies as they are now; only new ones are embedded."""
        with self._making:
            usable = (r for r in self._replies() if _is_question(r.messages))
            replies = tuple(r for r in usable if not (self._reads_system and r.messages[0].role == "system"))
            if self._made is None or self._made.replies != replies:
                self._made = _Table(replies, tuple(context_of(r.messages) for r in replies), self._vectors(replies))
            return self._made

    def _vectors(self, replies: Sequence[Approved]) -> Matrix:
        import numpy as np

        made = self._made
        known = dict(zip((r.question for r in made.replies), made.vectors, strict=True)) if made else {}
        new = list(dict.fromkeys(r.question for r in replies if r.question not in known))
        known |= zip(new, self._embedder.embed(new), strict=True)
        return np.stack([known[r.question] for r in replies]) if replies else self._embedder.embed([])


class ReuseFirst:
    """A ChatModel that lets approved replies answer first.

    Args:
        model: answers everything else.
        reused: finds a reply.
        checked: the same replies behind the rails that check what users write. A rail that changes the question may
            leave no match; then `model` answers.
    """

    def __init__(self, model: ChatModel, reused: Reused, checked: ChatModel) -> None:
        self.name = model.name
        self._model, self._reused, self._checked = model, reused, checked

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the approved reply, or what the model says.

        Raises:
            BackendError: the model could not answer.
        """
        if await asyncio.to_thread(self._reused.match, request):
            try:
                async with streaming(self._checked, request) as events:
                    async for event in events:
                        yield event
                return
            except NoMatchError:
                pass
        async with streaming(self._model, request) as events:
            async for event in events:
                yield event


def context_of(messages: Sequence[Message]) -> Context:
    """What was said before the question, without system messages, and without greetings, thanks, and the like with
    the replies to them."""
    kept: list[tuple[str, str]] = []
    courtesy = False
    for message in messages[:-1]:
        if message.role == "user":
            courtesy = recognize(message.content) is not None
        if message.role != "system" and not courtesy:
            kept.append((message.role, written(message.content)))
    return tuple(kept)


def _is_question(messages: Sequence[Message]) -> bool:
    """Whether a conversation ends with something that a user wrote, and no tool was called in it."""
    if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
        return False
    return not any(m.tool_calls or m.role == "tool" for m in messages)
