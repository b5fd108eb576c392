"""The audit: every exchange on the disk before its reply ends, searched, exported, redacted, and proved unchanged.

`chain` says what the proof is, `writer` how entries get there.
"""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import TextIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.chat import Exchange, Usage
from inhouse.errors import BackendError, InputError
from inhouse.store.chain import START, Verified, append, head_of, redaction_of, walk
from inhouse.store.ledger import AUDIT, FEEDBACK, HANDOFFS, HEAD, Ledger, to_iso, to_ms, to_text
from inhouse.store.writer import Writer
from inhouse.types import Digest, Message, Record

REDACTED = "[redacted]"
LONGEST_WAIT_S = 6  # an append that is not on the disk by then has failed, whatever the database does
PAGE = 100  # rows read at a time


class Place(Record):
    """Where an entry stands: its number and hash, the hash before it, and the digest of its salted content."""

    seq: int
    hash: Digest
    before: Digest
    sealed: Digest


class Audit:
    """The audit in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._writer = Writer(ledger)

    @property
    def trouble(self) -> str:
        """Why the last write failed; empty when it did not. The gateway need not ask the engine in vain."""
        return self._writer.trouble

    async def append(self, exchange: Exchange) -> int:
        """Its number in the chain, once it is on the disk. An append goes on when its caller is cancelled.

        Raises:
            BackendError: it could not be written, within LONGEST_WAIT_S.
        """
        waiting = self._writer.put(exchange)
        try:
            return await asyncio.wait_for(waiting, LONGEST_WAIT_S)
        except TimeoutError as error:
            hint = "see that the database is reachable and its disk keeps up"
            raise BackendError(f"the audit was not written within {LONGEST_WAIT_S} s", hint) from error

    def close(self) -> None:
        """Writes what waits and ends the writer."""
        self._writer.close()

    def verify(self, head: str = "") -> Verified:
        """Walks the chain; with the `head` of an earlier walk ("SEQ:HASH") also whether that entry still stands.

        Raises:
            InputError: `head` is not one.
        """
        seq, _, hash = head.partition(":")
        if head and not (seq.isdigit() and len(hash) == 64):
            raise InputError(
                f"{head[:100]!r} is not a head", "it looks like 120:ab12…, as `inhouse audit verify` tells"
            )
        entries = sa.select(AUDIT).order_by(AUDIT.c.seq).execution_options(yield_per=PAGE)
        with self._ledger.read() as connection:
            heads = [(row.seq, row.hash) for row in connection.execute(sa.select(HEAD.c.seq, HEAD.c.hash))]
            with connection.execute(entries) as rows:
                return walk(rows.mappings(), heads, (int(seq), hash) if head else None)

    def find(
        self, since: str = "", until: str = "", user: str = "", text: str = "", release: str = "",
        limit: int = 100, before: int = 0,
    ) -> list[tuple[int, Exchange]]:  # fmt: skip
        """Exchanges with their numbers, newest first; times are ISO 8601, `until` is left out, empty is no condition.

        `text` is looked for in the messages and the answer; `before` is the last number of the page before.
        """
        query = sa.select(AUDIT).where(AUDIT.c.kind == "exchange", *_between(since, until))
        if user:
            query = query.where(AUDIT.c.user == user)
        if release:
            query = query.where(AUDIT.c.release == release)
        if before:
            query = query.where(AUDIT.c.seq < before)
        if text:  # as it stands in JSON; what matches there is looked at again below
            query = query.where(AUDIT.c.content.icontains(to_text(text)[1:-1], autoescape=True))
        else:
            query = query.limit(limit)
        query = query.order_by(AUDIT.c.seq.desc()).execution_options(yield_per=PAGE)
        with self._ledger.read() as connection, connection.execute(query) as rows:
            found = ((row["seq"], _exchange(row)) for row in rows.mappings())
            return list(islice((pair for pair in found if not text or _says(pair[1], text)), limit))

    def get(self, id: str) -> Exchange | None:
        """The exchange with that id; of a redacted one the content is REDACTED."""
        with self._ledger.read() as connection:
            query = sa.select(AUDIT).where(AUDIT.c.id == id, AUDIT.c.kind == "exchange")
            row = connection.execute(query).mappings().first()
        return None if row is None else _exchange(row)

    def place(self, id: str) -> Place | None:
        """Where the exchange with that id stands in the chain."""
        query = sa.select(AUDIT.c.seq, AUDIT.c.hash, AUDIT.c.digest.label("sealed")).where(AUDIT.c.id == id)
        with self._ledger.read() as connection:
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            before = connection.execute(sa.select(AUDIT.c.hash).where(AUDIT.c.seq == row["seq"] - 1)).scalar()
        return Place(**row, before=before or START)

    def export(self, out: TextIO, since: str = "", until: str = "") -> int:
        """Writes entries as JSONL, in the chain's order, with all that checking them takes; returns how many.

        They are those from the first to the last of that time, without a gap, since each is linked to the one before.

        `digest` is the sha256 of salt and content, `hash` that of the canonical JSON of `before` and chain.LINKED.
        """
        ends = sa.select(sa.func.min(AUDIT.c.seq), sa.func.max(AUDIT.c.seq)).where(*_between(since, until))
        with self._ledger.read() as connection:
            first, last = connection.execute(ends).one()
            before = (
                connection.execute(sa.select(AUDIT.c.hash).where(AUDIT.c.seq == (first or 0) - 1)).scalar() or START
            )
            within = sa.select(AUDIT).where(AUDIT.c.seq.between(first or 0, last or 0)).order_by(AUDIT.c.seq)
            with connection.execute(within.execution_options(yield_per=PAGE)) as rows:
                for row in rows.mappings():
                    out.write(to_text({**row, "before": before}) + "\n")
                    before = row["hash"]
        return last - first + 1 if last else 0

    def redact(self, id: str, by: str, reason: str) -> int:
        """Takes the content and the user out of an exchange, and out of what its hand-off and feedback hold of it.

        Returns the number of the entry that says so. Backups made before keep what they hold, and PostgreSQL the old
        row on its disk until it is vacuumed.

        Raises:
            InputError: there is no such exchange, or it is redacted already.
        """
        with self._ledger.write() as connection:
            head = head_of(connection)
            row = connection.execute(
                sa.select(AUDIT.c.seq, AUDIT.c.content).where(AUDIT.c.id == id, AUDIT.c.kind == "exchange")
            ).first()
            if row is None or not row.content:
                raise InputError(f"{id[:80]}: {'no such exchange' if row is None else 'it is redacted already'}")
            connection.execute(AUDIT.update().where(AUDIT.c.seq == row.seq).values(user="", content="", salt=""))
            _redact_copies(connection, id)
            seq = append(connection, head, [redaction_of(row.seq, id, by, reason)])
        self._ledger.wipe()
        return seq


def _exchange(row: sa.RowMapping) -> Exchange:
    if row["content"]:
        return Exchange(**json.loads(row["content"]))
    kept = {name: row[name] for name in ("id", "key", "model", "release", "arm", "experiment", "reason", "confidence")}
    times = {name: row[name] for name in ("first_token_s", "latency_s", "cost_usd")}
    usage = Usage(**{name: row[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens")})
    gone = {"user": "", "messages": (Message(role="user", content=REDACTED),), "answer": REDACTED}
    return Exchange(at=to_iso(row["at_ms"]), usage=usage, **kept, **times, **gone)


def _says(exchange: Exchange, text: str) -> bool:
    return any(text.lower() in said.lower() for said in (*(m.content for m in exchange.messages), exchange.answer))


def _between(since: str, until: str) -> list[sa.ColumnElement[bool]]:
    return [
        *([AUDIT.c.at_ms >= to_ms(since)] if since else []),
        *([AUDIT.c.at_ms < to_ms(until)] if until else []),
    ]


def _redact_copies(connection: Connection, id: str) -> None:
    """Empties the hand-off of an exchange, which nothing is learned from then, and its feedback of names and words."""
    for row in connection.execute(sa.select(HANDOFFS).where(HANDOFFS.c.exchange_id == id)).mappings().all():
        emptied = {"messages": [], "answer": REDACTED, "reply": "", "status": "rejected", "reason": REDACTED}
        content = {**row["content"], **emptied}
        changed = HANDOFFS.update().where(HANDOFFS.c.id == row["id"]).values(status="rejected", content=content)
        connection.execute(changed)
    query = sa.select(FEEDBACK.c.user).where(FEEDBACK.c.exchange_id == id).order_by(FEEDBACK.c.user)
    for n, user in enumerate(connection.execute(query).scalars().all(), 1):
        one = (FEEDBACK.c.exchange_id == id) & (FEEDBACK.c.user == user)
        connection.execute(FEEDBACK.update().where(one).values(user=f"{REDACTED} {n}", comment=""))
