"""The audit log: append, search, export, redact, and verify.

Every question is on disk before a model is asked, every exchange before its reply ends, and the log is tamper-evident:
`chain` has the details. `writer` appends the entries.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TextIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.chat import Egress, Exchange, Usage
from inhouse.errors import BackendError, InputError
from inhouse.store.actions import ROWS, Action, Actor, Replay, State, actor, record, rows_of
from inhouse.store.budgets import Settlement
from inhouse.store.chain import BEGUN, START, Verified, append, entry_of, head_of, redaction_of, sent_of, walk
from inhouse.store.egress import Left, egress_of, what_left
from inhouse.store.erasure import REDACTED, erase_copies, erase_turns
from inhouse.store.ledger import Ledger
from inhouse.store.shadows import Shadow, shadow_of
from inhouse.store.tables import ABOUT, AMOUNTS, AUDIT, COUNTS, HEAD, NAMES, to_iso, to_ms, to_text
from inhouse.store.writer import Writer
from inhouse.types import Digest, Json, Message, Record

REDACTION = "exchange redacted"  # what an action is called that is one
_NOBODY = Actor(id="", name="", at="")
INTERRUPTED = "interrupted"  # reason of an exchange that was begun and is not complete
LONGEST_WAIT_S = 6  # an append that is not on disk by then has failed, whatever the database does
PAGE = 100  # rows fetched at a time


class Place(Record):
    """The position of an entry: its number and hash, the previous hash, and the digest of its salted content."""

    seq: int
    hash: Digest
    before: Digest
    sealed: Digest


class Audit:
    """The audit log of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._writer = Writer(ledger)

    @property
    def trouble(self) -> str:
        """Why the last write failed, empty if it did not. Lets the gateway refuse requests before it asks a model."""
        return self._writer.trouble

    async def begin(self, exchange: Exchange) -> int:
        """Appends the question of an exchange, before it is answered; `append` completes it.

        Until then, or for good if the process is killed, `get` and `find` return it with the reason INTERRUPTED and the
        text that `sent` recorded. Returns and raises as `append` does.
        """
        return await self._written(partial(entry_of, exchange, complete=False))

    async def sent(self, id: str, text: str) -> int:
        """Appends the next part of the answer of an exchange that was begun, before it is sent."""
        return await self._written(partial(sent_of, id, text))

    async def left(self, egress: Egress) -> int:
        """Appends what a request sends to a model elsewhere, before it is sent. Returns and raises as `append`."""
        return await self._written(partial(egress_of, egress))

    async def shadowed(self, shadow: Shadow) -> int:
        """Appends what another release would have answered. Returns and raises as `append` does."""
        return await self._written(partial(shadow_of, shadow))

    async def append(self, exchange: Exchange, settlement: Settlement | None = None) -> int:
        """Appends an exchange and returns its number once it is on disk. A cancelled caller does not stop the append.

        It completes the exchange if it was begun. What it used of budgets is settled in the same transaction.

        Raises:
            BackendError: it could not be written within LONGEST_WAIT_S.
        """
        return await self._written(partial(entry_of, exchange), settlement)

    async def _written(self, entry: Callable[[], dict[str, Any]], settlement: Settlement | None = None) -> int:
        waiting = self._writer.put(entry, settlement)
        try:
            return await asyncio.wait_for(waiting, LONGEST_WAIT_S)
        except TimeoutError as error:
            hint = "check that the database is reachable and that its disk is fast enough"
            raise BackendError(f"the audit log was not written within {LONGEST_WAIT_S} s", hint) from error

    async def check(self) -> None:
        """Finds out whether the log can be written, unless an entry was just now.

        Raises:
            BackendError: it cannot; also `trouble` says why.
        """
        await asyncio.to_thread(self._writer.check)

    def act(
        self, what: str, about: str = "", facts: Mapping[str, Json] | None = None, changed: Sequence[State] = ()
    ) -> int:
        """Records what the current actor does, and returns the number of the entry once it is on disk."""
        with self._ledger.write() as connection:
            return record(connection, head_of(connection), what, about, facts, changed)

    def head(self) -> str:
        """The last entry as "SEQ:HASH"."""
        with self._ledger.read() as connection:
            row = connection.execute(sa.select(HEAD.c.seq, HEAD.c.hash)).first()
        return f"{row.seq}:{row.hash}" if row else f"0:{START}"

    def has(self, head: str) -> bool:
        """Whether the entry of a head has its hash."""
        seq, hash = _head(head)
        with self._ledger.read() as connection:
            return _hash_of(connection, seq) == hash

    def replayed(self, about: str) -> Replay:
        """The states that the actions about something left."""
        query = sa.select(AUDIT.c.seq, AUDIT.c.content).where(
            AUDIT.c.about == about, ABOUT, AUDIT.c.kind == "action", AUDIT.c.content != ""
        )
        replay = Replay()
        with self._ledger.read() as connection:
            for seq, content in connection.execute(query.order_by(AUDIT.c.seq)):
                replay.take(seq, json.loads(content))
        return replay

    def actions(
        self, since: str = "", until: str = "", about: str = "", limit: int = 100, what: Sequence[str] = (),
        by: str = "", before: int = 0,
    ) -> list[Action]:  # fmt: skip
        """What people did, newest first; empty arguments are no conditions. Redacted actions are left out.

        Args:
            since: only actions from this time on, ISO 8601.
            until: only actions before this time.
            about: only actions on this key or exchange, by its ID.
            limit: the maximum number of actions.
            what: only actions of these kinds.
            by: only actions of people whose name contains this text, ignoring case, or of the actor with this ID.
            before: only actions with a smaller number; for the next page, the last number of this one.
        """
        query = sa.select(AUDIT).where(
            AUDIT.c.kind.in_(("action", "redaction")), AUDIT.c.content != "", *_between(since, until)
        )
        if about:
            query = query.where(AUDIT.c.about == about, ABOUT)
        if what:
            redacted = AUDIT.c.kind == "redaction" if REDACTION in what else sa.false()
            query = query.where(AUDIT.c.reason.in_(what) | redacted)
        if by:
            query = query.where(AUDIT.c.user.icontains(by, autoescape=True) | (AUDIT.c.key == by))
        if before:
            query = query.where(AUDIT.c.seq < before)
        with self._ledger.read() as connection:
            rows = connection.execute(query.order_by(AUDIT.c.seq.desc()).limit(limit)).mappings()
            return [_action(row) for row in rows]

    def close(self) -> None:
        """Writes what is queued and stops the writer."""
        self._writer.close()

    def verify(self, *heads: str, others: Mapping[str, Mapping[str, Json]] | None = None) -> Verified:
        """Verifies the chain, and that keys, hand-offs, and feedback are as its actions left them.

        Args:
            heads: "SEQ:HASH" of earlier runs; these entries must still be in the chain. Empty ones are ignored.
            others: what else must be as the actions left it: values by table and row. A table without any action is
                ignored: it is older than the log of actions.

        Raises:
            InputError: a head has another form.
        """
        noted = [_head(head) for head in heads if head]
        entries, replay = sa.select(AUDIT).order_by(AUDIT.c.seq).execution_options(yield_per=PAGE), Replay()
        with self._ledger.read() as connection:
            ends = [(row.seq, row.hash) for row in connection.execute(sa.select(HEAD.c.seq, HEAD.c.hash))]
            with connection.execute(entries) as rows:
                verified = walk(rows.mappings(), ends, noted, replay.take)
            tables = {table.name: rows_of(connection, table) for table in ROWS}
        tables |= {name: dict(rows) for name, rows in (others or {}).items() if replay.knows(name)}
        if verified.ok and (found := replay.difference(tables)):
            seq, reason = found
            return verified.model_copy(update={"ok": False, "broken_at": seq, "reason": reason})
        return verified

    def find(
        self, since: str = "", until: str = "", user: str = "", text: str = "", release: str = "",
        limit: int = 100, before: int = 0,
    ) -> list[tuple[int, Exchange]]:  # fmt: skip
        """Exchanges with their numbers, newest first.

        Args:
            since: only exchanges from this time on, ISO 8601. An empty argument is no condition.
            until: only exchanges before this time.
            user: only exchanges of this user.
            text: only exchanges with this text in the messages or the answer, ignoring case.
            release: only answers of this release.
            limit: the maximum number of exchanges.
            before: only exchanges with a smaller number; for the next page, the last number of this one.
        """
        begun = (AUDIT.c.kind == "question") & (AUDIT.c.content != "")
        query = sa.select(AUDIT).where((AUDIT.c.kind == "exchange") | begun, *_between(since, until))
        if user:
            query = query.where(AUDIT.c.user == user)
        if release:
            query = query.where(AUDIT.c.release == release)
        if before:
            query = query.where(AUDIT.c.seq < before)
        if text:  # as written in JSON; matches are checked again below
            query = query.where(AUDIT.c.content.icontains(to_text(text)[1:-1], autoescape=True))
        else:
            query = query.limit(limit)
        query = query.order_by(AUDIT.c.seq.desc()).execution_options(yield_per=PAGE)
        with self._ledger.read() as connection, connection.execute(query) as rows:
            pairs = ((row["seq"], _exchange(row)) for row in rows.mappings())
            found = list(islice((pair for pair in pairs if not text or _contains(pair[1], text)), limit))
            return [(seq, _with_sent(connection, e) if e.reason == INTERRUPTED else e) for seq, e in found]

    def get(self, id: str) -> Exchange | None:
        """The exchange with that ID; the content of a redacted one is REDACTED."""
        with self._ledger.read() as connection:
            rows = _entries(connection, id)
            if not rows:
                return None
            exchange = _exchange(rows[0])
            return _with_sent(connection, exchange) if rows[0]["kind"] == "question" else exchange

    def sent_elsewhere(self, id: str) -> list[Left]:
        """What the exchange with that ID sent to models elsewhere, newest first."""
        return what_left(self._ledger, exchange=id)

    def place(self, id: str) -> Place | None:
        """The position in the chain of the exchange with that ID."""
        with self._ledger.read() as connection:
            rows = _entries(connection, id)
            if not rows:
                return None
            seq, hash, sealed = (rows[0][name] for name in ("seq", "hash", "digest"))
            return Place(seq=seq, hash=hash, sealed=sealed, before=_hash_of(connection, seq - 1))

    def export(self, out: TextIO, since: str = "", until: str = "") -> int:
        """Writes entries as JSONL, in the order of the chain, with everything needed to verify them; returns how many.

        The entries are all from the first to the last in that period, without gaps, because each is linked to the one
        before. `digest` is the sha256 of salt and content; `hash` is the sha256 of the canonical JSON of the previous
        hash, `before`, followed by the columns in chain.LINKED.
        """
        ends = sa.select(sa.func.min(AUDIT.c.seq), sa.func.max(AUDIT.c.seq)).where(*_between(since, until))
        with self._ledger.read() as connection:
            first, last = connection.execute(ends).one()
            before = _hash_of(connection, (first or 0) - 1)
            within = sa.select(AUDIT).where(AUDIT.c.seq.between(first or 0, last or 0)).order_by(AUDIT.c.seq)
            with connection.execute(within.execution_options(yield_per=PAGE)) as rows:
                for row in rows.mappings():
                    out.write(to_text({**row, "before": before}) + "\n")
                    before = row["hash"]
        return last - first + 1 if last else 0

    def redact(self, id: str, by: str, reason: str) -> int:
        """Erases the content and the user of an exchange, also from its hand-off, feedback, and actions, and what
        agents remember of it and did after it (`erasure`).

        Earlier backups are not changed, and PostgreSQL keeps the old row on disk until the table is vacuumed.

        Returns:
            The number of the entry that records the redaction.

        Raises:
            InputError: the exchange does not exist or is already redacted, or a call of it has no known outcome yet.
        """
        with self._ledger.write() as connection:
            head = head_of(connection)
            rows = _entries(connection, id)
            seqs = [row["seq"] for row in rows if row["content"]]
            if not seqs:
                problem = "already redacted" if rows else "no such exchange"
                raise InputError(f"{id[:80]}: {problem}", "run `inhouse audit show` to list the exchanges")
            more, left = erase_copies(connection, id)
            seq = _redacted(connection, head, [*seqs, *more], left, id, by, reason)
        self._ledger.wipe()
        return seq

    def redact_conversation(self, conversation: str, by: str, reason: str) -> int:
        """Erases what agents remember of a conversation, and the arguments and results of its calls. Its exchanges are
        redacted one by one, by `redact`.

        Returns:
            The number of the entry that records the redaction.

        Raises:
            InputError: there is nothing of the conversation, or one of its calls has no known outcome yet.
        """
        with self._ledger.write() as connection:
            head = head_of(connection)
            seqs, left = erase_turns(connection, conversation)
            if not left:
                raise InputError(f"{conversation[:80]}: no such conversation", "it may be erased already")
            if seqs:
                seq = _redacted(connection, head, seqs, left, conversation, by, reason)
            else:  # of a turn that was never completed
                seq = record(connection, head, "conversation erased", facts={"by": by, "why": reason}, changed=left)
        self._ledger.wipe()
        return seq


def _exchange(row: sa.RowMapping) -> Exchange:
    """The exchange of a row of kind "exchange" or "question"."""
    begun = {"id": row["about"], "reason": INTERRUPTED} if row["kind"] == "question" else {}
    if row["content"]:
        content = json.loads(row["content"])
        content.pop("about", None)
        return Exchange(**content | begun)
    kept = {name: row[name] for name in ("id", *NAMES, "confidence", *AMOUNTS)} | begun
    usage = Usage(**{name: row[name] for name in COUNTS})
    redacted = {"user": "", "messages": (Message(role="user", content=REDACTED),), "answer": REDACTED}
    return Exchange(at=to_iso(row["at_ms"]), usage=usage, **kept, **redacted)


def _head(text: str) -> tuple[int, Digest]:
    seq, _, hash = text.partition(":")
    if not (seq.isdigit() and len(hash) == 64):
        hint = "a head looks like 120:ab12..., as printed by `inhouse audit verify`"
        raise InputError(f"{text[:100]!r} is not a head", hint)
    return int(seq), hash


def _action(row: sa.RowMapping) -> Action:
    content, own = json.loads(row["content"]), {"seq": row["seq"], "at": to_iso(row["at_ms"])}
    if row["kind"] == "redaction":
        by, facts = content.get("actor", _NOBODY), {"by": content["by"], "why": content["why"]}
        return Action(what=REDACTION, by=by, about=content["exchange"], facts=facts, **own)
    return Action(**{name: content[name] for name in ("what", "by", "about", "facts")}, **own)


def _entries(connection: Connection, id: str) -> Sequence[sa.RowMapping]:
    """The entry of the exchange with that ID or, while it is not complete, its question and what was sent."""
    query = sa.select(AUDIT).where(AUDIT.c.id == id, AUDIT.c.kind == "exchange")
    if row := connection.execute(query).mappings().first():
        return [row]
    begun = sa.select(AUDIT).where(AUDIT.c.about == id, ABOUT, AUDIT.c.kind.in_(BEGUN)).order_by(AUDIT.c.seq)
    return connection.execute(begun).mappings().all()


def _with_sent(connection: Connection, exchange: Exchange) -> Exchange:
    """The exchange with the text that was sent before it was interrupted."""
    sent = [row["content"] for row in _entries(connection, exchange.id)[1:] if row["content"]]
    return exchange.model_copy(update={"answer": exchange.answer + "".join(json.loads(c)["text"] for c in sent)})


def _hash_of(connection: Connection, seq: int) -> Digest:
    return connection.execute(sa.select(AUDIT.c.hash).where(AUDIT.c.seq == seq)).scalar() or START


def _contains(exchange: Exchange, text: str) -> bool:
    return any(text.lower() in part.lower() for part in (*(m.content for m in exchange.messages), exchange.answer))


def _between(since: str, until: str) -> list[sa.ColumnElement[bool]]:
    after = [AUDIT.c.at_ms >= to_ms(since)] if since else []
    return after + ([AUDIT.c.at_ms < to_ms(until)] if until else [])


def _redacted(
    connection: Connection, head: tuple[int, str], seqs: list[int], left: Sequence[State], id: str, by: str,
    reason: str,
) -> int:  # fmt: skip
    """Erases the content of entries, and records that; `left` are the states of the rows that were changed."""
    connection.execute(AUDIT.update().where(AUDIT.c.seq.in_(seqs)).values(user="", content="", salt=""))
    more = {"actor": actor().model_dump(), "states": [state.model_dump() for state in left]}
    return append(connection, head, [redaction_of(seqs, id, by, reason, actor().name, actor().id, more)])
