"""The calls of tools in a ledger: proposed, approved, started, ended, each change with an entry of the audit log.

Every change takes the head of the log first, which one writer at a time has, so that of two processes that start the
same call one wins. It also compares the row with the state that the log has of it: a row that was changed behind the
log, such as a call that nobody approved, is not run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.errors import GateError, InputError
from inhouse.store.actions import Replay, record, rows_of, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import ABOUT, AUDIT, CALLS, label, now_ms
from inhouse.tools import ENDED, Call, Status
from inhouse.types import Digest, Json

Change = Mapping[str, Json]  # fields of a Call with their new values


class StoredCalls:
    """The Calls of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def propose(self, call: Call) -> Call:
        """
        Raises:
            InputError: the ID of the conversation is too long, or has characters that no ID has.
        """
        at, wanted = call.proposal, check_name(call.proposal.conversation)
        position = (CALLS.c.conversation == wanted, CALLS.c.turn == at.turn, CALLS.c.ordinal == at.ordinal)
        new = call.model_copy(update={"status": "proposed", "at_ms": call.at_ms or now_ms()})
        with self._ledger.write() as connection:
            head = head_of(connection)
            if row := connection.execute(sa.select(CALLS).where(*position)).mappings().first():
                return _call(row)
            place = {"key": new.key, "conversation": wanted, "turn": at.turn, "ordinal": at.ordinal}
            connection.execute(CALLS.insert().values(**place, **_stored(new)))
            _record(connection, head, new.key, new)
        return new

    def approve(self, key: Digest, by: str, until_ms: int) -> Call:
        def approved(call: Call, now: int) -> Change:
            _expect(call, "proposed")
            if until_ms <= now:
                raise InputError("the approval would have ended already", "give a time in the future")
            return {"status": "approved", "by": by, "until_ms": until_ms}

        return self._change(key, approved)

    def decline(self, key: Digest, by: str, why: str) -> Call:
        def declined(call: Call, now: int) -> Change:
            _expect(call, "proposed", "approved")
            return {"status": "declined", "by": by, "why": why, "ended_ms": now}

        return self._change(key, declined)

    def start(self, key: Digest, lease_ms: int, needs_approval: bool) -> bool:
        begun = False

        def started(call: Call, now: int) -> Change:
            nonlocal begun
            if call.status == "approved" and call.until_ms <= now:
                return {"status": "expired", "why": "the approval has ended", "ended_ms": now}
            begun = (
                call.status in ("approved", "unknown")
                or (call.status == "proposed" and not needs_approval)
                or (call.status == "started" and call.lease_ms <= now)
            )
            return {"status": "started", "lease_ms": lease_ms} if begun else {}

        self._change(key, started)
        return begun

    def end(self, key: Digest, status: Status, result: Json = None, why: str = "", raw: Digest = "") -> Call:
        def ended(call: Call, now: int) -> Change:
            _expect(call, *(("started",) if status == "unknown" else ("started", "unknown")))
            if status not in ("done", "failed", "unknown"):
                raise InputError(f"a call does not end as {status!r}", "end it as done, failed, or unknown")
            return {"status": status, "result": result, "why": why, "raw": raw,
                    "ended_ms": now if status in ENDED else 0}  # fmt: skip

        return self._change(key, ended)

    def get(self, key: Digest) -> Call | None:
        return next(iter(self._read(CALLS.c.key == key)), None)

    def of(self, conversation: str) -> Sequence[Call]:
        return self._read(CALLS.c.conversation == conversation, order=(CALLS.c.turn, CALLS.c.ordinal))

    def waiting(self) -> Sequence[Call]:
        found = self._read(CALLS.c.status.in_(("proposed", "unknown")), order=(CALLS.c.at_ms, CALLS.c.key))
        return [call for call in found if call.status == "unknown" or call.why]

    def interrupted(self) -> Sequence[Call]:
        over = (CALLS.c.status == "started") & (CALLS.c.lease_ms <= now_ms())
        return self._read((CALLS.c.status == "approved") | over, order=(CALLS.c.at_ms, CALLS.c.key))

    def _read(self, *conditions: sa.ColumnElement[bool], order: Sequence[sa.Column[Any]] = ()) -> list[Call]:
        with self._ledger.read() as connection:
            rows = connection.execute(sa.select(CALLS).where(*conditions).order_by(*order)).mappings()
            return [_call(row) for row in rows]

    def _change(self, key: Digest, decide: Callable[[Call, int], Change]) -> Call:
        """Changes a call as `decide` says, which gets it and the time; it is as it was if that is nothing."""
        with self._ledger.write() as connection:
            head = head_of(connection)
            row = connection.execute(sa.select(CALLS).where(CALLS.c.key == key)).mappings().first()
            if row is None:
                raise InputError(f"{key[:80]}: no such call", "check the key; it may belong to another project")
            _check_intact(connection, key)
            call = _call(row)
            changes = decide(call, now_ms())
            if not changes:
                return call
            new = call.model_copy(update=changes)
            connection.execute(CALLS.update().where(CALLS.c.key == key).values(**_stored(new)))
            _record(connection, head, key, new)
        return new


def check_name(conversation: str) -> str:
    """The ID of a conversation, which the database holds as it is: two IDs are never the same there.

    Raises:
        InputError: it is empty or too long, or has NUL or lone surrogates.
    """
    if not conversation or label(conversation) != conversation:
        raise InputError(f"{conversation[:40]!r} is not the ID of a conversation", "use at most 200 characters")
    return conversation


def _expect(call: Call, *statuses: Status) -> None:
    if call.status not in statuses:
        raise InputError(f"the call of {call.proposal.tool} is {call.status}", f"it would have to be {statuses[0]}")


def _check_intact(connection: Connection, key: Digest) -> None:
    """
    Raises:
        GateError: the row is not as the last action on it left it.
    """
    query = sa.select(AUDIT.c.seq, AUDIT.c.content).where(AUDIT.c.about == key, ABOUT, AUDIT.c.kind == "action")
    last = connection.execute(query.order_by(AUDIT.c.seq.desc()).limit(1)).first()
    replay = Replay()
    if last is not None and last.content:
        replay.take(last.seq, json.loads(last.content))
    (value,) = rows_of(connection, CALLS, CALLS.c.key == key).values()
    if not replay.has(CALLS.name, key, value):
        hint = "run `inhouse audit verify`, and restore the row from a backup"
        raise GateError(f"tool_call {key}: it was erased, or changed outside of inhouse", hint)


def _record(connection: Connection, head: tuple[int, str], key: Digest, call: Call) -> None:
    at = call.proposal
    facts = {"tool": at.tool, "conversation": at.conversation, "turn": at.turn, "ordinal": at.ordinal}
    more = {name: value for name in ("by", "why", "raw") if (value := getattr(call, name))}
    record(connection, head, f"call {call.status}", key, facts | more, states(connection, CALLS, CALLS.c.key == key))


def _stored(call: Call) -> dict[str, Json]:
    times = {name: getattr(call, name) for name in ("status", "at_ms", "until_ms", "lease_ms")}
    content = call.model_dump(exclude=set(times))
    content["caller"]["groups"] = sorted(call.caller.groups)
    return {**times, "content": content}


def _call(row: sa.RowMapping) -> Call:
    return Call(**row["content"], **{name: row[name] for name in ("status", "at_ms", "until_ms", "lease_ms")})
