"""The audit: every exchange, appended before its reply ends, each entry linked to the one before by its hash.

An entry's hash covers the hash before it and every column that is kept for ever, among them the digest of a salt and
the content. So a redaction can take content and salt away and the chain still holds, and without the salt the digest
does not tell what stood there. The redaction is an entry itself: content that is gone without one is found. `audit_head`
holds the last entry, so a chain cut short is found too. Whoever may rewrite the whole database can rewrite the whole
chain: against that, note the head that `verify` tells elsewhere, and ask it later whether that entry still stands.

Appending is one thread a process, which commits whatever waits as one group: one wait for the disk, many entries. The
head's row (PostgreSQL) or the write lock (SQLite) lets several processes append to one chain.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import queue
import secrets
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError

from inhouse.store.ledger import (
    AUDIT,
    FEEDBACK,
    HANDOFFS,
    HEAD,
    LABEL_CHARS,
    Ledger,
    label,
    now_ms,
    to_iso,
    to_ms,
    to_text,
)
from inhouse.types import BackendError, Digest, Exchange, InputError, Message, Record, Usage, digest_of

REDACTED = "[redacted]"
LONGEST_WAIT_S = 6  # an append that is not on disk by then has failed, whatever the database does
GROUP = 500  # most entries of one commit
MOST_WAITING = 20_000
LINKED = (
    "seq", "kind", "id", "at_ms", "key", "model", "release", "arm", "experiment", "reason", "confidence",
    "prompt_tokens", "completion_tokens", "cached_tokens", "first_token_s", "latency_s", "cost_usd", "digest",
)  # fmt: skip
"""The columns that an entry's hash covers, in this order."""


class Verified(Record):
    """What a walk along the chain found: `broken_at` is the first entry that is not as it was written, 0 when all are."""

    rows: int
    ok: bool
    broken_at: int = 0
    reason: str = ""
    head: str = ""  # "SEQ:HASH" of the last entry


class Audit:
    """The audit in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self.trouble = ""
        """Why the last write failed; empty when it did not. The gateway need not ask the engine in vain."""

    async def append(self, exchange: Exchange) -> int:
        """Its number in the chain, once it is on the disk. An append goes on when its caller is cancelled.

        Raises:
            BackendError: it could not be written, within LONGEST_WAIT_S.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Writes what waits and ends the writer."""

    def verify(self, head: str = "") -> Verified:
        """Walks the chain; with the `head` of an earlier walk ("SEQ:HASH") also whether that entry still stands."""
        raise NotImplementedError

    def find(
        self, since: str = "", until: str = "", user: str = "", text: str = "", release: str = "",
        limit: int = 100, before: int = 0,
    ) -> list[tuple[int, Exchange]]:  # fmt: skip
        """Exchanges with their numbers, newest first; times are ISO 8601, `until` is left out, empty is no condition.

        `text` is looked for in the messages and the answer; `before` is the last number of the page before.
        """
        raise NotImplementedError

    def get(self, id: str) -> Exchange | None:
        """The exchange with that id; of a redacted one the content is REDACTED."""
        raise NotImplementedError

    def export(self, out: TextIO, since: str = "", until: str = "") -> int:
        """Writes entries as JSONL, oldest first, with all that checking them takes; returns how many."""
        raise NotImplementedError

    def redact(self, id: str, by: str, reason: str) -> int:
        """Takes the content and the user out of an exchange, and out of what its hand-off and feedback hold of it.

        Returns the number of the entry that says so.

        Raises:
            InputError: there is no such exchange, or it is redacted already.
        """
        raise NotImplementedError
