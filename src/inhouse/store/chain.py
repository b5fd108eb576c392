"""The hash chain of the audit log: what an entry contains, how entries are linked, and how changes are detected.

Kinds of entries: a "question" is written before a model is asked, "sent" are parts of the answer before they are sent,
and the "exchange" completes them. A question without its exchange was interrupted, or is being answered. A "redaction"
records what was erased.

The hash of an entry covers the previous hash and all columns that are never erased, including the digest of salt and
content. A redaction can therefore erase content and salt without breaking the chain, and without the salt the digest
reveals nothing about the content. The redaction is an entry itself, so content that disappears without one is detected.
An exchange holds its question and answer, so its earlier entries are erased when it is written.
The table `audit_head` has the last entry, so a truncated chain is detected as well. Someone who can rewrite the whole
database can rewrite the whole chain. To detect that, keep a copy of the head elsewhere and pass it to `verify` later.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.chat import Exchange
from inhouse.errors import BackendError
from inhouse.store.ledger import ABOUT, AMOUNTS, AUDIT, COUNTS, HEAD, NAMES, Label, label, now_ms, to_ms, to_text
from inhouse.types import Digest, Record, digest_of

START = "0" * 64  # the hash before the first entry
LABELS = tuple(column.name for column in AUDIT.columns if isinstance(column.type, Label))
LINKED = ("seq", "kind", "id", "at_ms", *NAMES, "confidence", *COUNTS, *AMOUNTS, "digest")
"""The columns that the hash of an entry covers, in order. The user can be redacted, so only content has it."""
BEGUN = ("question", "sent")  # kinds of entries of an exchange that is not complete

_INSERT = AUDIT.insert()  # statements are built once, because every request waits for them
_LOCK_HEAD = sa.select(HEAD.c.seq, HEAD.c.hash).with_for_update()
_MOVE_HEAD = HEAD.update()
_COMPLETE = (
    AUDIT.update()
    .where(AUDIT.c.about.in_(sa.bindparam("ids", expanding=True)), ABOUT, AUDIT.c.kind.in_(BEGUN))
    .values(user="", content="", salt="")
)


class Verified(Record):
    """The result of verifying the chain: `rows` are intact; `broken_at` is the first that is not, 0 if all are."""

    rows: int
    ok: bool
    broken_at: int = 0
    reason: str = ""
    head: str = ""  # "SEQ:HASH" of the last entry


def entry_of(exchange: Exchange, complete: bool = True) -> dict[str, Any]:
    """An exchange, or its question, as a row of the audit log, without its position in the chain."""
    own = {"kind": "exchange", "id": exchange.id, "about": ""}
    return {
        **(own if complete else {"kind": "question", "id": uuid.uuid4().hex, "about": exchange.id}),
        "at_ms": to_ms(exchange.at),
        "user": exchange.user,
        **{name: getattr(exchange, name) for name in NAMES},
        "confidence": _number(exchange.confidence),
        **{name: getattr(exchange.usage, name) for name in COUNTS},
        **{name: _number(getattr(exchange, name)) or 0.0 for name in AMOUNTS},
        **_sealed(exchange.model_dump() | ({} if complete else {"about": exchange.id})),
    }


def sent_of(id: str, text: str) -> dict[str, Any]:
    """The entry of the next part of the answer of exchange `id`."""
    return _other("sent", id, {"about": id, "text": text, "user": ""})


def redaction_of(seqs: Sequence[int], id: str, by: str, reason: str) -> dict[str, Any]:
    """The entry that records the redaction of exchange `id`, whose entries have the numbers `seqs`."""
    content = {"seq": seqs[0], "more": list(seqs[1:]), "exchange": id, "by": by, "why": reason, "user": ""}
    return _other("redaction", "", content)


def _other(kind: str, about: str, content: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """An entry that is not an exchange; it has the given NAMES and user."""
    none = {**dict.fromkeys(("user", *NAMES), ""), **dict.fromkeys(COUNTS, 0), **dict.fromkeys(AMOUNTS, 0.0)}
    own = {"kind": kind, "id": uuid.uuid4().hex, "at_ms": now_ms(), "confidence": None, "about": about}
    return {**own, **none, **names, **_sealed(content)}


def _sealed(content: Mapping[str, Any]) -> dict[str, str]:
    text, salt = to_text(content), secrets.token_hex(16)
    return {"content": text, "salt": salt, "digest": _digest(salt, text)}


def _digest(salt: str, text: str) -> Digest:
    return hashlib.sha256((salt + text).encode()).hexdigest()


def _number(value: float | None) -> float | None:
    """The number as every database returns it: SQLite keeps neither NaN nor negative zero, PostgreSQL keeps both."""
    return value + 0.0 if value is not None and math.isfinite(value) else None


def link(before: str, row: Mapping[str, Any] | sa.RowMapping) -> Digest:
    """The hash of an entry whose previous entry has the hash `before`."""
    return digest_of([before, *(row[name] for name in LINKED)])


def append(connection: Connection, head: tuple[int, str], entries: Sequence[dict[str, Any]]) -> int:
    """Appends entries in order after the locked `head`; returns the number of the last one."""
    seq, hash = head
    rows = []
    for entry in entries:
        seq += 1
        row = {**entry, "seq": seq, **{name: label(entry[name]) for name in LABELS}}
        row["hash"] = hash = link(hash, row)
        rows.append(row)
    connection.execute(_INSERT, rows)
    if complete := [row["id"] for row in rows if row["kind"] == "exchange"]:
        connection.execute(_COMPLETE, {"ids": complete})
    connection.execute(_MOVE_HEAD, {"seq": seq, "hash": hash})
    return seq


def head_of(connection: Connection) -> tuple[int, str]:
    """Number and hash of the last entry, locked until the transaction ends."""
    row = connection.execute(_LOCK_HEAD).first()
    if row is None:
        hint = "run `inhouse audit verify` to see what else is wrong"
        raise BackendError("the head of the audit log is missing", hint)
    return row.seq, row.hash


# --- verifying ----------------------------------------------------------------------------------------------


def walk(
    rows: Iterable[sa.RowMapping], heads: Sequence[tuple[int, str]], noted: tuple[int, str] | None = None
) -> Verified:
    """Verifies the entries in order, that they end at the head, and that the `noted` entry is unchanged."""
    count, before = 0, START
    empty: set[int] = set()
    redacted: set[int] = set()
    begun: dict[str, dict[int, bool]] = {}  # numbers of entries by exchange, and whether they have content
    noted_hash = START if noted and noted[0] == 0 else ""
    for row in rows:
        if fault := _fault(row, count + 1, before):
            return Verified(rows=count, ok=False, broken_at=count + 1, reason=fault)
        count, before = count + 1, row["hash"]
        if noted and count == noted[0]:
            noted_hash = before
        if row["kind"] in BEGUN:
            begun.setdefault(row["about"], {})[count] = bool(row["content"])
        elif not row["content"]:
            empty.add(count)
        elif row["kind"] == "redaction":
            content = json.loads(row["content"])
            redacted.update((content["seq"], *content.get("more", ())))
        if row["kind"] == "exchange":
            complete = begun.pop(row["id"], {})
            redacted -= complete.keys()
            if again := [seq for seq, there in complete.items() if there]:
                fault = "its exchange is complete, but it has content again"
                return Verified(rows=count, ok=False, broken_at=again[0], reason=fault)
    empty.update(seq for entries in begun.values() for seq, there in entries.items() if not there)
    fault, at = "", 0
    if wrong := sorted(empty ^ redacted):
        at = wrong[0]
        fault = "its content was erased without a redaction" if at in empty else "it was redacted but has content again"
    elif len(heads) != 1:
        fault, at = "the head of the chain is missing, so entries at the end may be missing too", count + 1
    elif heads[0] != (count, before):
        at = min(count, heads[0][0]) + 1
        fault = f"the chain ends at entry {count}, but its head says {heads[0][0]}"
    elif noted and noted_hash != noted[1]:
        fault, at = "it differs from the given head", noted[0]
    return Verified(rows=count, ok=not fault, broken_at=at, reason=fault, head=f"{count}:{before}")


def _fault(row: sa.RowMapping, seq: int, before: str) -> str:
    """What is wrong with an entry that should have number `seq`, empty if nothing is."""
    try:
        if row["seq"] != seq:
            return "it is missing"
        if link(before, row) != row["hash"]:
            return "it or the entry before it was changed"
        if not row["content"]:
            return "it is redacted but still has a user or a salt" if row["user"] or row["salt"] else ""
        if _digest(row["salt"], row["content"]) != row["digest"]:
            return "its content was changed"
        content = json.loads(row["content"])
        if label(content["user"]) != row["user"]:
            return "its user was changed"
        if label(content.get("about", "")) != row["about"]:
            return "what it is about was changed"
    except (TypeError, ValueError, KeyError) as error:
        return f"it cannot be read ({type(error).__name__})"
    return ""
