"""What is remembered of conversations with agents, turn by turn. A complete turn has a state in the audit log."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.errors import InputError
from inhouse.store.actions import states
from inhouse.store.calls import check_name
from inhouse.store.chain import append, entry, head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import ABOUT, AUDIT, TURNS, now_ms
from inhouse.tools import Turn
from inhouse.types import Digest, Json, digest_of

COMPLETE = TURNS.c.after != ""
LATEST = (TURNS.c.at_ms.desc(), TURNS.c.number.desc(), TURNS.c.id)
MOST_ERASED = 200  # turns at the end of a conversation that are looked for


class StoredTurns:
    """The Turns of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(self, turn: Turn, since_ms: int | None = None) -> Turn:
        """
        Raises:
            InputError: the conversation belongs to another owner, or its ID is not one.
        """
        new = turn.model_copy(update={"at_ms": turn.at_ms or now_ms()})
        values = {"id": _id(turn.conversation, turn.number), "conversation": check_name(turn.conversation),
                  "number": turn.number, **_stored(new)}  # fmt: skip
        same = TURNS.c.conversation == turn.conversation
        with self._ledger.write() as connection:
            head_of(connection)  # one at a time, so that a conversation never gets two owners
            first = connection.execute(sa.select(TURNS).where(same).limit(1)).mappings().first()
            if first is not None and _turn(first).owner != turn.owner:
                raise InputError(f"{turn.conversation[:80]}: no such conversation", "begin one without an ID")
            if since_ms is not None and (again := _again(connection, turn, since_ms)):
                return again
            if found := _found(connection, turn.conversation, turn.number):
                return found
            connection.execute(TURNS.insert().values(**values))
        return new

    def plan(self, conversation: str, number: int, plan: dict[str, Json]) -> dict[str, Json]:
        """
        Raises:
            InputError: there is no such turn.
        """
        with self._ledger.write() as connection:
            head_of(connection)
            turn = _expected(connection, conversation, number)
            there: dict[str, Json] = turn.plan or {}
            if turn.after or plan.keys() <= there.keys():
                return there
            _write(connection, turn.model_copy(update={"plan": {**plan, **there}}))
            return {**plan, **there}

    def complete(self, turn: Turn) -> None:
        """
        Raises:
            InputError: there is no such turn, or it has no `after`.
        """
        if not turn.after:
            raise InputError("a complete turn needs `after`, the digest of the conversation with its answer")
        with self._ledger.write() as connection:
            head = head_of(connection)
            there = _expected(connection, turn.conversation, turn.number)
            if there.after:
                return
            new = {name: getattr(turn, name) for name in ("state", "reply", "after")}
            new["exchange"] = turn.exchange or there.exchange
            id = _write(connection, there.model_copy(update=new))
            changed = states(connection, TURNS, TURNS.c.id == id)
            content = {"what": "turn completed", "user": "", "about": id, "states": [s.model_dump() for s in changed]}
            append(connection, head, [entry("turn", id, content)])

    def last(self, conversation: str) -> Turn | None:
        mine = (TURNS.c.conversation == conversation, COMPLETE)
        return next(iter(self._read(sa.select(TURNS).where(*mine).order_by(TURNS.c.number.desc()).limit(1))), None)

    def after(self, owner: str, prefix: Digest) -> Turn | None:
        mine = (TURNS.c.owner == owner, TURNS.c.after == prefix, COMPLETE)
        found = self._read(sa.select(TURNS).where(*mine).order_by(*LATEST))
        return next((turn for turn in found if turn.owner == owner), None)

    def of(self, conversation: str) -> Sequence[Turn]:
        """The turns of a conversation in order, complete or not."""
        return self._read(sa.select(TURNS).where(TURNS.c.conversation == conversation).order_by(TURNS.c.number))

    def latest(self, limit: int) -> Sequence[Turn]:
        """The last turn of each of the latest conversations, complete or not, the newest first."""
        newest = sa.func.max(TURNS.c.at_ms).label("at_ms")
        last = sa.select(TURNS.c.conversation, newest, sa.func.max(TURNS.c.number).label("number"))
        some = last.group_by(TURNS.c.conversation).order_by(newest.desc(), TURNS.c.conversation).limit(limit)
        chosen = some.subquery()
        same = (TURNS.c.conversation == chosen.c.conversation) & (TURNS.c.number == chosen.c.number)
        return self._read(sa.select(TURNS).join(chosen, same).order_by(chosen.c.at_ms.desc(), TURNS.c.conversation))

    def answering(self, exchange: str) -> Turn | None:
        """The turn that an exchange answered; None where no agent took part, or it was erased."""
        found = self._read(sa.select(TURNS).where(TURNS.c.exchange_id == exchange)) if exchange else []
        return next(iter(found), None)

    def erased(self, conversation: str) -> Sequence[int]:
        """The numbers of the turns of a conversation that were erased: what is left of them is an empty entry of the
        audit log."""
        last = self._read(sa.select(TURNS).where(TURNS.c.conversation == conversation).order_by(TURNS.c.number.desc()))
        names = {_id(conversation, n): n for n in range(last[0].number + MOST_ERASED if last else MOST_ERASED)}
        there = sa.select(TURNS.c.id).where(TURNS.c.conversation == conversation)
        gone = sa.select(AUDIT.c.about).where(
            AUDIT.c.about.in_(names), ABOUT, AUDIT.c.kind == "turn", AUDIT.c.content == "", AUDIT.c.about.not_in(there)
        )
        with self._ledger.read() as connection:
            return sorted({names[id] for id in connection.execute(gone).scalars()})

    def conversations(self, owner: str) -> Sequence[str]:
        """The conversations of an owner, such as to erase what a user said."""
        found = self._read(sa.select(TURNS).where(TURNS.c.owner == owner).order_by(TURNS.c.at_ms))
        return list(dict.fromkeys(turn.conversation for turn in found if turn.owner == owner))

    def _read(self, query: sa.Select[tuple[Json, ...]]) -> list[Turn]:
        with self._ledger.read() as connection:
            return [_turn(row) for row in connection.execute(query).mappings()]


def _id(conversation: str, number: int) -> Digest:
    return digest_of([conversation, number])


def _found(connection: Connection, conversation: str, number: int) -> Turn | None:
    query = sa.select(TURNS).where(TURNS.c.id == _id(conversation, number))
    row = connection.execute(query).mappings().first()
    return _turn(row) if row is not None else None


def _again(connection: Connection, turn: Turn, since_ms: int) -> Turn | None:
    """The latest turn since then in which the same was asked as in this one; see `Turns.begin`."""
    text = sa.type_coerce(TURNS.c.content, sa.Text)
    mine = [TURNS.c.owner == turn.owner, TURNS.c.at_ms >= since_ms, text.contains(turn.asked)]
    if not turn.before:
        mine.append(~COMPLETE)
    found = map(_turn, connection.execute(sa.select(TURNS).where(*mine).order_by(*LATEST)).mappings())
    return next((t for t in found if t.owner == turn.owner and (t.before, t.asked) == (turn.before, turn.asked)), None)


def _expected(connection: Connection, conversation: str, number: int) -> Turn:
    if (turn := _found(connection, conversation, number)) is None:
        raise InputError(f"{conversation[:80]}: no turn {number}", "it was not begun, or was erased since")
    return turn


def _write(connection: Connection, turn: Turn) -> Digest:
    id = _id(turn.conversation, turn.number)
    connection.execute(TURNS.update().where(TURNS.c.id == id).values(**_stored(turn)))
    return id


def _stored(turn: Turn) -> dict[str, Json]:
    columns = {"exchange_id": turn.exchange, "owner": turn.owner, "after": turn.after, "at_ms": turn.at_ms}
    return {**columns, "content": turn.model_dump()}


def _turn(row: sa.RowMapping) -> Turn:
    return Turn(**row["content"])
