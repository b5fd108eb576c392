"""Who is signed in to the console: the sha256 of each cookie's token, so that a session ends everywhere at once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.errors import InputError
from inhouse.store.actions import State, gone, record, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import SESSIONS, now_ms, to_iso
from inhouse.types import Json, Record

SHORT = 12  # characters of an ID
TOUCH_MS = 60_000  # the last use is written this often


class Line(Record):
    """A session in a list."""

    id: str
    key: str
    name: str
    began_at: str
    seen_at: str
    ends_at: str


@dataclass(frozen=True)
class Sessions:
    """The sessions in a ledger; one that is not used for `idle_s` ends."""

    ledger: Ledger
    idle_s: float = 3600

    def begin(self, key: str, content: Mapping[str, Json], lasts_s: float) -> str:
        """Starts a session of the actor and returns its token. Sessions that are over are deleted."""
        token, now = secrets.token_urlsafe(32), now_ms()
        values = {"key": key, "at_ms": now, "seen_ms": now, "until_ms": now + round(lasts_s * 1000)}
        with self.ledger.write() as connection:
            head = head_of(connection)
            connection.execute(SESSIONS.delete().where(~self._live(now)))
            connection.execute(SESSIONS.insert().values(digest=_digest(token), content=dict(content), **values))
            changed = states(connection, SESSIONS, SESSIONS.c.digest == _digest(token))
            record(connection, head, "signed in", facts={"session": _digest(token)[:SHORT]}, changed=changed)
        return token

    def find(self, token: str) -> dict[str, Any] | None:
        """The content of a session that is not over."""
        now, this = now_ms(), SESSIONS.c.digest == _digest(token)
        query = sa.select(SESSIONS.c.seen_ms, SESSIONS.c.content).where(this, self._live(now))
        with self.ledger.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if now - row.seen_ms > TOUCH_MS:
            with self.ledger.write() as connection:
                connection.execute(SESSIONS.update().where(this).values(seen_ms=now))
        return dict(row.content)

    def latest(self, key: str) -> dict[str, Any] | None:
        """The content of the session that a key or person began last, unless it is over."""
        began = sa.select(SESSIONS.c.content, self._live(now_ms()).label("live")).where(SESSIONS.c.key == key)
        with self.ledger.read() as connection:
            row = connection.execute(began.order_by(SESSIONS.c.at_ms.desc()).limit(1)).first()
        return dict(row.content) if row is not None and row.live else None

    def end(self, token: str) -> None:
        """Ends the session with that token, if there is one."""
        with self.ledger.write() as connection:
            head = head_of(connection)
            if ended := _delete(connection, SESSIONS.c.digest == _digest(token)):
                record(connection, head, "signed out", facts={"session": _digest(token)[:SHORT]}, changed=ended)

    def stop(self, which: str) -> int:
        """Ends the sessions of a key or person, or one by its ID; "all" ends every one, if any. Returns how many.

        Raises:
            InputError: there is none with that ID.
        """
        chosen = SESSIONS.c.key == which
        if which == "all":
            chosen = sa.true()
        elif len(which) >= SHORT:
            chosen |= SESSIONS.c.digest.startswith(which, autoescape=True)
        with self.ledger.write() as connection:
            head = head_of(connection)
            ended = _delete(connection, chosen)
            if not ended and which != "all":
                raise InputError(f"{which}: no such session", "run `inhouse keys sessions` to list them")
            record(connection, head, "sessions ended", which, {"sessions": len(ended)}, ended)
        return len(ended)

    def all(self) -> list[Line]:
        """The sessions that are not over, the newest first."""
        query = sa.select(SESSIONS).where(self._live(now_ms())).order_by(SESSIONS.c.at_ms.desc())
        with self.ledger.read() as connection:
            return [
                Line(
                    id=row.digest[:SHORT], key=row.key, name=str(row.content.get("name", "")),
                    began_at=to_iso(row.at_ms), seen_at=to_iso(row.seen_ms), ends_at=to_iso(row.until_ms),
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def _live(self, now: int) -> sa.ColumnElement[bool]:
        return (SESSIONS.c.until_ms > now) & (SESSIONS.c.seen_ms > now - round(self.idle_s * 1000))


def _delete(connection: Connection, chosen: sa.ColumnElement[bool]) -> list[State]:
    """Deletes sessions, and returns what the log says of them."""
    digests = connection.execute(sa.select(SESSIONS.c.digest).where(chosen)).scalars().all()
    connection.execute(SESSIONS.delete().where(SESSIONS.c.digest.in_(digests)))
    return [gone(SESSIONS, digest) for digest in digests]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
