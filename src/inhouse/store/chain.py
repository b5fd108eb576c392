"""The hash chain of the audit log: what an entry contains, how entries are linked, and how changes are detected.

Kinds of entries: a "question" is written before a model is asked, "sent" are parts of the answer before they are sent,
and the "exchange" completes them. A question without its exchange was interrupted, or is being answered. A "redaction"
records what was erased, an "action" what someone did (`actions`), a "turn" what an agent remembers (`turns`),
an "egress" what left this machine (`egress`), and a "shadow" what another release would have answered (`shadows`).

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.chat import Exchange
from inhouse.errors import BackendError
from inhouse.store.tables import ABOUT, AMOUNTS, AUDIT, COUNTS, HEAD, NAMES, Label, label, now_ms, to_ms, to_text
from inhouse.types import Digest, Record, digest_of

START = "0" * 64  # the hash before the first entry
LABELS = tuple(column.name for column in AUDIT.columns if isinstance(column.type, Label))
LINKED = ("seq", "kind", "id", "at_ms", *NAMES, "confidence", *COUNTS, *AMOUNTS, "digest")
"""The columns that the hash of an entry covers, in order. The user can be redacted, so only content has it."""
BEGUN = ("question", "sent")  # kinds of entries of an exchange that is not complete; their IDs are `_bound` to it

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
        **(own if complete else {"kind": "question", "id": _bound(exchange.id), "about": exchange.id}),
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
    return entry("sent", id, {"about": id, "text": text, "user": ""})


def redaction_of(
    seqs: Sequence[int], id: str, by: str, reason: str, user: str, key: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The entry that records the redaction of exchange `id`, whose entries have the numbers `seqs`, by an actor."""
    content = {"seq": seqs[0], "more": list(seqs[1:]), "exchange": id, "by": by, "why": reason, "user": user}
    return entry("redaction", "", {**content, **more}, user=user, key=key)


def entry(kind: str, about: str, content: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """An entry that is not an exchange, without its position in the chain; `names` are of NAMES, and the user."""
    none = {**dict.fromkeys(("user", *NAMES), ""), **dict.fromkeys(COUNTS, 0), **dict.fromkeys(AMOUNTS, 0.0)}
    id = _bound(about) if kind in BEGUN else uuid.uuid4().hex
    own = {"kind": kind, "id": id, "at_ms": now_ms(), "confidence": None, "about": about}
    return {**own, **none, **names, **_sealed(content)}


def _bound(about: str, nonce: str = "") -> str:
    """An ID that shows what an entry is about, also when its content is erased: the hash covers the ID."""
    nonce = nonce or secrets.token_hex(8)
    return nonce + digest_of([nonce, label(about)])[:32]


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
    rows: Iterable[sa.RowMapping],
    heads: Sequence[tuple[int, str]],
    noted: Iterable[tuple[int, str]],
    replay: Callable[[int, dict[str, Any]], None],
) -> Verified:
    """Verifies the entries in order, that they end at the head, and that the `noted` entries have these hashes.

    `replay` gets the number and content of each action, redaction, and turn.
    """
    count, before, erased = 0, START, _Erased()
    kept: dict[int, set[str]] = {}
    for seq, hash in noted:
        kept.setdefault(seq, set()).add(hash)
    strange = {0} if kept.get(0, {START}) != {START} else set()
    for row in rows:
        if why := fault(row, count + 1, before):
            return Verified(rows=count, ok=False, broken_at=count + 1, reason=why)
        count, before = count + 1, row["hash"]
        if kept.get(count, {before}) != {before}:
            strange.add(count)
        content = (
            json.loads(row["content"]) if row["content"] and row["kind"] in ("action", "redaction", "turn") else {}
        )
        erased.take(count, row, content)
        replay(count, content)
    at, why = erased.fault()
    if why:
        pass
    elif len(heads) != 1:
        why, at = "the head of the chain is missing, so entries at the end may be missing too", count + 1
    elif heads[0] != (count, before):
        at = min(count, heads[0][0]) + 1
        why = f"the chain ends at entry {count}, but its head says {heads[0][0]}"
    elif strange or (strange := {seq for seq in kept if seq > count}):
        why, at = "it differs from a head that was kept elsewhere", min(strange)
    return Verified(rows=count, ok=not why, broken_at=at, reason=why, head=f"{count}:{before}")


class _Erased:
    """Which entries have no content, and which may have none: those that a redaction names, and those of a question
    that is part of an exchange by now."""

    def __init__(self) -> None:
        self._empty: set[int] = set()
        self._redacted: set[int] = set()
        self._again: set[int] = set()
        self._begun: dict[str, dict[int, bool]] = {}  # numbers of entries by exchange, and whether they have content

    def take(self, seq: int, row: sa.RowMapping, content: Mapping[str, Any]) -> None:
        """Takes in an entry; `content` is that of a redaction."""
        if row["kind"] in BEGUN:
            self._begun.setdefault(row["about"], {})[seq] = bool(row["content"])
        elif not row["content"]:
            self._empty.add(seq)
        elif row["kind"] == "redaction":
            self._redacted.update((content["seq"], *content.get("more", ())))
        if row["kind"] == "exchange":
            complete = self._begun.pop(row["id"], {})
            self._redacted -= complete.keys()
            self._again.update(n for n, there in complete.items() if there)

    def fault(self) -> tuple[int, str]:
        """The first entry that is wrong, and how; (0, "") if none is."""
        empty = self._empty | {n for entries in self._begun.values() for n, there in entries.items() if not there}
        if not (wrong := (empty ^ self._redacted) | self._again):
            return 0, ""
        at = min(wrong)
        if at in self._again:
            return at, "its exchange is complete, but it has content again"
        return (
            at,
            "its content was erased without a redaction" if at in empty else "it was redacted but has content again",
        )


def fault(row: Mapping[str, Any] | sa.RowMapping, seq: int, before: str) -> str:
    """What is wrong with an entry that should have number `seq`, empty if nothing is."""
    try:
        if row["seq"] != seq:
            return "it is missing"
        if link(before, row) != row["hash"]:
            return "it or the entry before it was changed"
        if row["kind"] in BEGUN and row["id"] != _bound(row["about"], row["id"][:16]):
            return "what it is about was changed"
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
