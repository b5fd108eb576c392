"""API keys: name, role, groups, rate limit, and expiry. Only the sha256 of a secret is stored.

A secret has 256 random bits, so a fast hash is enough: it cannot be guessed from a dictionary.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
import time
from collections.abc import Iterable
from typing import Literal, get_args

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.store.actions import record, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import KEYS, now_ms, to_iso, to_ms
from inhouse.types import Record

PREFIX = "ih_"
FRESH_S = 3.0  # a revoked key is refused after this time in every process
RETRY_S = 0.5  # between two lookups of an unknown key

NOTHING: tuple[dict[str, Key], float] = ({}, -float("inf"))  # keys by digest, and when they were read

KeyRole = Literal["admin", "reviewer", "auditor", "user", "device"]


class Key(Record):
    """A key without its secret. Times are ISO 8601 in UTC, empty if there is none; `per_minute` 0 means the default."""

    id: str
    name: str
    role: KeyRole
    groups: tuple[str, ...] = ()
    expires_at: str = ""
    per_minute: int = 0
    created_at: str
    revoked_at: str = ""

    def holds(self, at_ms: int) -> bool:
        """Whether the key is neither revoked nor expired at that time."""
        return not self.revoked_at and (not self.expires_at or at_ms < to_ms(self.expires_at))


class Keys:
    """The API keys in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._lock = threading.Lock()
        self._read = NOTHING

    def create(
        self, name: str, role: KeyRole, groups: Iterable[str] = (), expires_at: str = "", per_minute: int = 0
    ) -> tuple[Key, str]:
        """Creates a key; returns it with its secret, which cannot be shown again.

        Raises:
            InputError: the name is empty, the role unknown, the time malformed or past, or the rate negative.
        """
        if not name.strip():
            raise InputError("a key needs a name", "say who or what will use it")
        if role not in get_args(KeyRole):
            raise InputError(f"{role!r} is not a role", f"choose one of {', '.join(get_args(KeyRole))}")
        if per_minute < 0:
            raise InputError("per_minute is negative", "0 means the default limit")
        if expires_at:
            expires_ms = to_ms(expires_at)
            if expires_ms <= now_ms():
                raise InputError(f"{expires_at} is in the past", "choose a later time, or none")
            expires_at = to_iso(expires_ms)
        secret = PREFIX + secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(6), name=name.strip(), role=role, groups=tuple(sorted(set(groups))),
            expires_at=expires_at, per_minute=per_minute, created_at=to_iso(now_ms()),
        )  # fmt: skip
        with self.ledger.write() as connection:
            head = head_of(connection)
            connection.execute(KEYS.insert().values(**key.model_dump(), digest=_digest(secret)))
            facts = key.model_dump(mode="json", include={"name", "role", "groups", "expires_at", "per_minute"})
            record(connection, head, "key created", key.id, facts, states(connection, KEYS, KEYS.c.id == key.id))
        self._forget()
        return key, secret

    def check(self, secret: str) -> Key | None:
        """The key with that secret, None if it is unknown, revoked, or expired.

        Raises:
            BackendError: the keys cannot be read.
        """
        digest = _digest(secret)
        known = self._table(FRESH_S)
        if digest not in known:  # another process may just have created it
            known = self._table(RETRY_S)
        # The time of the lookup may reveal something about a digest, which reveals nothing about the secret.
        return _valid(known.get(digest))

    async def checked(self, secret: str) -> Key | None:
        """`check` for an event loop; uses a thread only if the database has to be read."""
        known = self._recent(FRESH_S) or {}
        key = known.get(_digest(secret))
        return _valid(key) if key is not None else await asyncio.to_thread(self.check, secret)

    def all(self) -> list[Key]:
        """Every key, including revoked and expired ones, oldest first."""
        with self.ledger.read() as connection:
            rows = connection.execute(sa.select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id)).mappings()
            return [_key(row) for row in rows]

    def holding(self, id: str) -> Key:
        """The key with that ID.

        Raises:
            InputError: there is none, or it is revoked or expired.
        """
        key = next((key for key in self.all() if key.id == id), None)
        if key is None or not key.holds(now_ms()):
            why = "is revoked or expired" if key else "does not exist"
            raise InputError(f"the API key {id} {why}", "see `inhouse keys list`")
        return key

    def revoke(self, id: str) -> Key:
        """Revokes a key permanently.

        Raises:
            InputError: the key does not exist.
        """
        with self.ledger.write() as connection:
            head = head_of(connection)
            live = (KEYS.c.id == id) & (KEYS.c.revoked_at == "")
            if connection.execute(KEYS.update().where(live).values(revoked_at=to_iso(now_ms()))).rowcount:
                record(connection, head, "key revoked", id, changed=states(connection, KEYS, KEYS.c.id == id))
            row = connection.execute(sa.select(KEYS).where(KEYS.c.id == id)).mappings().first()
        self._forget()
        if row is None:
            raise InputError(f"{id}: no such key", "run `inhouse keys list` to see the IDs")
        return _key(row)

    def _recent(self, age_s: float) -> dict[str, Key] | None:
        known, read_at = self._read
        return known if time.monotonic() - read_at <= age_s else None

    def _table(self, age_s: float) -> dict[str, Key]:
        """Keys by digest, read at most `age_s` ago. Concurrent callers share one read."""
        with self._lock:
            known = self._recent(age_s)
            if known is None:
                read_at = time.monotonic()
                with self.ledger.read() as connection:
                    rows = connection.execute(sa.select(KEYS)).mappings().all()
                known = {row["digest"]: _key(row) for row in rows}
                self._read = (known, read_at)
            return known

    def _forget(self) -> None:
        self._read = NOTHING


def _valid(key: Key | None) -> Key | None:
    return key if key is not None and key.holds(now_ms()) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: sa.RowMapping) -> Key:
    return Key(**{name: value for name, value in row.items() if name != "digest"})
