"""The inbox: conversations handed to a person, what the person replied, and what of it the next model learns from."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

import sqlalchemy as sa

from inhouse.chat import Exchange
from inhouse.errors import InputError
from inhouse.store.ledger import HANDOFFS, Ledger, now_ms, to_iso
from inhouse.types import Example, Message, Record

POLL_S = 0.5
A_READ = 100  # rows fetched at a time

Status = Literal["waiting", "answered", "approved", "rejected"]


class Handoff(Record):
    """A conversation for a person. `answer` is what the model said, `reply` what the person `by` says instead."""

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
        """What the next model learns from it."""
        return Example(
            id=self.id, messages=self.messages, target=self.reply, group=self.id, origin="feedback", time=self.at
        )


class Inbox:
    """The hand-offs in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, exchange: Exchange, reason: str) -> str:
        """Puts an exchange before a person and returns the hand-off's id; the same one when it is there already."""
        handoff = Handoff(
            id=uuid.uuid4().hex, exchange_id=exchange.id, at=to_iso(now_ms()), reason=reason,
            messages=exchange.messages, answer=exchange.answer, groups=tuple(sorted(exchange.groups)),
        )  # fmt: skip
        values = {"id": handoff.id, "exchange_id": exchange.id, "at_ms": now_ms(), **_stored(handoff)}
        with self._ledger.write() as connection:
            connection.execute(self._ledger.insert(HANDOFFS).values(values).on_conflict_do_nothing())
            there = sa.select(HANDOFFS.c.id).where(HANDOFFS.c.exchange_id == exchange.id)
            return str(connection.execute(there).scalar_one())

    def first(
        self, status: Status, limit: int, readable: Callable[[Handoff], bool] = lambda handoff: True
    ) -> list[Handoff]:
        """At most `limit` readable ones of a status; who waits longest comes first, of the others the newest."""
        at = HANDOFFS.c.at_ms if status == "waiting" else HANDOFFS.c.at_ms.desc()
        query = sa.select(HANDOFFS.c.content).where(HANDOFFS.c.status == status).order_by(at, HANDOFFS.c.id)
        with (
            self._ledger.read() as connection,
            connection.execute(query, execution_options={"yield_per": A_READ}) as rows,
        ):
            found = (Handoff(**content) for content in rows.scalars())
            return list(islice(filter(readable, found), limit))

    def all(self, status: Status | Literal[""] = "") -> list[Handoff]:
        """All of a status, or all, newest first."""
        query = sa.select(HANDOFFS.c.content).order_by(HANDOFFS.c.at_ms.desc(), HANDOFFS.c.id)
        return self._read(query.where(HANDOFFS.c.status == status) if status else query)

    def get(self, id: str) -> Handoff | None:
        found = self._read(sa.select(HANDOFFS.c.content).where(HANDOFFS.c.id == id))
        return found[0] if found else None

    def answer(self, id: str, text: str, by: str) -> Handoff:
        """Replies, or corrects an earlier reply, which then has to be approved anew.

        Raises:
            InputError: there is no such hand-off, or the reply is empty.
        """
        if not text.strip():
            raise InputError("the reply is empty", "write what the assistant should have said")
        return self._change(id, status="answered", reply=text, by=by, replied_at=to_iso(now_ms()))

    def approve(self, id: str, by: str) -> Handoff:
        """Takes the reply into what the next model learns from.

        Raises:
            InputError: there is no such hand-off, or nobody has replied to it.
        """
        return self._change(id, status="approved", by=by)

    def reject(self, id: str, by: str) -> Handoff:
        """Closes it; nothing is learned from it.

        Raises:
            InputError: there is no such hand-off.
        """
        return self._change(id, status="rejected", by=by)

    async def wait(self, id: str, timeout_s: float) -> Handoff | None:
        """The hand-off as soon as it no longer waits, or as it is when the time is up; None where there is none."""
        until = time.monotonic() + timeout_s
        while True:
            found = await asyncio.to_thread(self.get, id)
            left = until - time.monotonic()
            if found is None or found.status != "waiting" or left <= 0:
                return found
            await asyncio.sleep(min(POLL_S, left))

    def approved(self) -> list[Handoff]:
        """The approved replies, oldest first."""
        return list(reversed(self.all("approved")))

    def _read(self, query: sa.Select[Any]) -> list[Handoff]:
        with self._ledger.read() as connection:
            return [Handoff(**content) for content in connection.execute(query).scalars()]

    def _change(self, id: str, **values: Any) -> Handoff:
        with self._ledger.write() as connection:
            row = sa.select(HANDOFFS.c.content).where(HANDOFFS.c.id == id).with_for_update()
            content = connection.execute(row).scalar()
            if content is None:
                raise InputError(f"{id}: no such hand-off", "it may belong to another project")
            handoff = Handoff(**{**content, **values})
            if handoff.status == "approved" and not handoff.reply:
                raise InputError(f"{id}: nobody has replied yet", "answer it first")
            connection.execute(HANDOFFS.update().where(HANDOFFS.c.id == id).values(_stored(handoff)))
        return handoff


def _stored(handoff: Handoff) -> dict[str, Any]:
    return {"status": handoff.status, "content": handoff.model_dump()}
