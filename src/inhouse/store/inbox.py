"""The inbox: conversations handed to a person, the replies, and which of them the next model is trained on."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.chat import Exchange
from inhouse.errors import InputError
from inhouse.store.actions import record, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import HANDOFFS, now_ms, to_iso, to_ms
from inhouse.types import Example, Message, Record

POLL_S = 0.5
PAGE = 100  # rows fetched at a time
WISHES = ("asked for a person", "requested")  # reasons of hand-offs that someone only asked for

Status = Literal["waiting", "answered", "approved", "rejected"]


class Handoff(Record):
    """A conversation for a person. `answer` is the answer of the model, `reply` the answer of the person `by`."""

    id: str
    exchange_id: str
    at: str
    reason: str
    messages: tuple[Message, ...]
    answer: str
    status: Status = "waiting"
    reply: str = ""
    by: str = ""
    replied_at: str = ""
    groups: tuple[str, ...] = ()

    @property
    def example(self) -> Example:
        """The reply as a training example."""
        return Example(
            id=self.id, messages=self.messages, target=self.reply, group=self.id, origin="feedback", time=self.at
        )


class Inbox:
    """The hand-offs in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, exchange: Exchange, reason: str) -> str:
        """Hands an exchange to a person and returns the ID of the hand-off; a second call returns the same ID."""
        handoff = Handoff(
            id=uuid.uuid4().hex, exchange_id=exchange.id, at=to_iso(now_ms()), reason=reason,
            messages=exchange.messages, answer=exchange.answer, groups=tuple(sorted(exchange.groups)),
        )  # fmt: skip
        with self._ledger.write() as connection:
            insert(self._ledger, connection, handoff)
            stored = sa.select(HANDOFFS.c.id).where(HANDOFFS.c.exchange_id == exchange.id)
            return str(connection.execute(stored).scalar_one())

    def first(
        self, status: Status, limit: int, readable: Callable[[Handoff], bool] = lambda handoff: True
    ) -> list[Handoff]:
        """At most `limit` readable hand-offs of a status: waiting ones oldest first, others newest first."""
        at = HANDOFFS.c.at_ms if status == "waiting" else HANDOFFS.c.at_ms.desc()
        query = sa.select(HANDOFFS.c.content).where(HANDOFFS.c.status == status).order_by(at, HANDOFFS.c.id)
        with (
            self._ledger.read() as connection,
            connection.execute(query, execution_options={"yield_per": PAGE}) as rows,
        ):
            handoffs = (Handoff(**content) for content in rows.scalars())
            return list(islice(filter(readable, handoffs), limit))

    def all(self, status: Status | Literal[""] = "") -> list[Handoff]:
        """All hand-offs, or those of a status, newest first."""
        query = sa.select(HANDOFFS.c.content).order_by(HANDOFFS.c.at_ms.desc(), HANDOFFS.c.id)
        return self._read(query.where(HANDOFFS.c.status == status) if status else query)

    def about(self, exchanges: Sequence[str]) -> list[Handoff]:
        """The hand-offs of exchanges, oldest first."""
        order = (HANDOFFS.c.at_ms, HANDOFFS.c.id)
        return self._read(sa.select(HANDOFFS.c.content).where(HANDOFFS.c.exchange_id.in_(exchanges)).order_by(*order))

    def get(self, id: str) -> Handoff | None:
        return next(iter(self._read(sa.select(HANDOFFS.c.content).where(HANDOFFS.c.id == id))), None)

    def answer(self, id: str, text: str, by: str) -> Handoff:
        """Stores a reply. A corrected reply has to be approved again.

        Raises:
            InputError: the hand-off does not exist, or the reply is empty.
        """
        if not text.strip():
            raise InputError("the reply is empty", "write what the assistant should have said")
        return self._change(id, status="answered", reply=text, by=by, replied_at=to_iso(now_ms()))

    def approve(self, id: str, by: str) -> Handoff:
        """Approves the reply for training and for the documents.

        Raises:
            InputError: the hand-off does not exist, or has no reply.
        """
        return self._change(id, status="approved", by=by)

    def reject(self, id: str, by: str) -> Handoff:
        """Closes the hand-off. Its reply is not used for training.

        Raises:
            InputError: the hand-off does not exist.
        """
        return self._change(id, status="rejected", by=by)

    async def wait(self, id: str, timeout_s: float) -> Handoff | None:
        """The hand-off once it has left status "waiting", or as it is after `timeout_s`; None if it does not exist."""
        until = time.monotonic() + timeout_s
        while True:
            handoff = await asyncio.to_thread(self.get, id)
            left = until - time.monotonic()
            if handoff is None or handoff.status != "waiting" or left <= 0:
                return handoff
            await asyncio.sleep(min(POLL_S, left))

    def approved(self) -> list[Handoff]:
        """The approved replies, oldest first."""
        return list(reversed(self.all("approved")))

    def _read(self, query: sa.Select[Any]) -> list[Handoff]:
        with self._ledger.read() as connection:
            return [Handoff(**content) for content in connection.execute(query).scalars()]

    def _change(self, id: str, **values: Any) -> Handoff:
        with self._ledger.write() as connection:
            head = head_of(connection)
            row = sa.select(HANDOFFS.c.content).where(HANDOFFS.c.id == id).with_for_update()
            content = connection.execute(row).scalar()
            if content is None:
                raise InputError(f"{id}: no such hand-off", "check the ID; it may belong to another project")
            handoff = Handoff(**{**content, **values})
            if handoff.status == "approved" and not handoff.reply:
                raise InputError(f"{id}: nobody has replied yet", "reply before approving")
            connection.execute(HANDOFFS.update().where(HANDOFFS.c.id == id).values(_stored(handoff)))
            _record(connection, head, f"hand-off {handoff.status}", handoff)
        return handoff


def flags(reason: str, completion_tokens: int) -> bool:
    """Whether a hand-off flags an answer: a model had given it, and its reader asked for a person. Of other hand-offs
    there is no answer that could be right or wrong."""
    return reason in WISHES and completion_tokens > 0


def insert(ledger: Ledger, connection: Connection, handoff: Handoff) -> bool:
    """Adds a hand-off and records it, unless there is one of its exchange; whether it did."""
    head = head_of(connection)
    values = {"id": handoff.id, "exchange_id": handoff.exchange_id, "at_ms": to_ms(handoff.at), **_stored(handoff)}
    made = ledger.insert(HANDOFFS).values(values).on_conflict_do_nothing().returning(HANDOFFS.c.id)
    new = connection.execute(made).scalar() is not None  # the count of rows is not known on PostgreSQL
    if new:
        _record(connection, head, "handed off", handoff)
    return new


def _record(connection: Connection, head: tuple[int, str], what: str, handoff: Handoff) -> None:
    changed = states(connection, HANDOFFS, HANDOFFS.c.id == handoff.id)
    facts = {"handoff": handoff.id, "reason": handoff.reason, "by": handoff.by}
    record(connection, head, what, handoff.exchange_id, facts, changed)


def _stored(handoff: Handoff) -> dict[str, Any]:
    return {"status": handoff.status, "content": handoff.model_dump()}
