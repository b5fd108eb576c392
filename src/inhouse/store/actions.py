"""What people do, as entries of the audit log: who, from where, what, and the state of the rows that it changed.

The state of a row is a salted digest of its columns. Replaying the log gives the state that each API key, hand-off,
opinion, session, release, call of a tool, turn, and rating must have, so a row that was changed behind the log is
found.
Whoever acts is set for each request by the gateway; elsewhere it is the user of this machine.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.store.chain import append, entry
from inhouse.store.tables import CALLS, FEEDBACK, HANDOFFS, KEYS, RATINGS, SESSIONS, TURNS
from inhouse.types import Digest, Json, Record, digest_of

ROWS = (KEYS, HANDOFFS, FEEDBACK, SESSIONS, CALLS, TURNS, RATINGS)
"""The tables whose rows have states, by the first column of their primary key: all opinions on an exchange are one."""
ENDING = (SESSIONS.name,)  # tables whose rows may go by themselves
WHERE = {TURNS.name: TURNS.c.after != ""}  # which rows have states; the others are not complete
UNSEALED = (SESSIONS.c.seen_ms.name,)  # columns that change without an action
UPGRADED = "recorded by an upgrade"


class Actor(Record):
    """Who acts: `id` is an API key, "oidc:SUBJECT", or "os:USER"; `at` is an address or a host."""

    id: str
    name: str
    at: str


ACTING: ContextVar[Actor | None] = ContextVar("acting", default=None)


@contextmanager
def acting(who: Actor) -> Iterator[Actor]:
    """What the block does is recorded as done by `who`."""
    token = ACTING.set(who)
    try:
        yield who
    finally:
        ACTING.reset(token)


def actor() -> Actor:
    """Who acts now."""
    if (acting := ACTING.get()) is not None:
        return acting
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        name = str(os.getuid())
    return Actor(id=f"os:{name}", name=name, at=socket.gethostname())


class State(Record):
    """The state of a row, or of rows of one name, after an action."""

    table: str
    row: str
    salt: str
    sealed: Digest  # of salt and value; empty if the row is gone


class Action(Record):
    """An action as it was recorded."""

    seq: int
    at: str
    what: str
    by: Actor
    about: str = ""
    facts: Json = None


def state_of(table: str, row: str, value: Json) -> State:
    salt = secrets.token_hex(16)
    return State(table=table, row=row, salt=salt, sealed=digest_of([salt, value]))


def gone(table: sa.Table, row: str) -> State:
    """The state of a row that was deleted."""
    return State(table=table.name, row=row, salt="", sealed="")


def states(connection: Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> list[State]:
    """The states of the rows of a table."""
    return [state_of(table.name, name, value) for name, value in rows_of(connection, table, *conditions).items()]


def rows_of(connection: Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> dict[str, Json]:
    """The rows of a table by name, as their states are taken."""
    key = [column.name for column in table.primary_key.columns]
    found: dict[str, Json] = {}
    query = sa.select(table).where(WHERE.get(table.name, sa.true()), *conditions).order_by(*key)
    for row in connection.execute(query).mappings():
        found.setdefault(row[key[0]], []).append({k: v for k, v in row.items() if k not in UNSEALED})
    return found


def action_of(what: str, about: str, facts: Mapping[str, Json], changed: Sequence[State]) -> dict[str, Any]:
    """An action as an entry, without its position in the chain."""
    who = actor()
    content = {
        "what": what, "by": who.model_dump(), "user": who.name, "about": about, "facts": dict(facts),
        "states": [state.model_dump() for state in changed],
    }  # fmt: skip
    return entry("action", about, content, user=who.name, key=who.id, reason=what)


def record(
    connection: Connection, head: tuple[int, str], what: str, about: str = "", facts: Mapping[str, Json] | None = None,
    changed: Sequence[State] = (),
) -> int:  # fmt: skip
    """Appends an action to the log whose locked `head` the transaction took first; returns its number."""
    return append(connection, head, [action_of(what, about, facts or {}, changed)])


class Replay:
    """The states that the rows must have, from the log."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[int, State]]] = {}
        self._acted = False
        self._upgraded_again = 0

    def take(self, seq: int, content: Mapping[str, Any]) -> None:
        """Takes in an entry."""
        what = content.get("what", "")
        if what == UPGRADED and self._acted:
            self._upgraded_again = self._upgraded_again or seq
        self._acted = self._acted or what not in ("", UPGRADED)
        for row in content.get("states", ()):
            state = State(**row)
            known = self._known.setdefault(state.table, {})
            if state.sealed:
                known[state.row] = seq, state
            else:
                known.pop(state.row, None)

    def knows(self, table: str) -> bool:
        """Whether any row of the table has a state."""
        return table in self._known

    def has(self, table: str, row: str, value: Json) -> bool:
        """Whether that is the last recorded state of a row."""
        _, state = self._known.get(table, {}).get(row, (0, None))
        return state is not None and digest_of([state.salt, value]) == state.sealed

    def difference(self, tables: Mapping[str, Mapping[str, Json]]) -> tuple[int, str] | None:
        """The first row that is not as the log says, as a number of an entry and a sentence; None if all are."""
        if self._upgraded_again:
            return self._upgraded_again, "the rows were recorded by an upgrade that was not the first"
        return next((found for table, rows in tables.items() if (found := self._differs(table, rows))), None)

    def _differs(self, table: str, rows: Mapping[str, Json]) -> tuple[int, str] | None:
        known = self._known.get(table, {})
        for name, value in rows.items():
            if name not in known:
                return 0, f"{table} {name} was added outside of inhouse"
            seq, state = known[name]
            if digest_of([state.salt, value]) != state.sealed:
                return seq, f"{table} {name} was changed outside of inhouse"
        if table not in ENDING and (missing := sorted(known.keys() - rows.keys())):
            return known[missing[0]][0], f"{table} {missing[0]} was deleted outside of inhouse"
        return None
