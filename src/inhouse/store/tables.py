"""The tables of a project's database, and how values are written into their columns.

Text of people and models may contain characters that a database rejects (PostgreSQL: NUL; both: lone surrogates). Such
text is stored as JSON, which escapes them. Columns that are searched by equality are labels: cleaned, and cut to a
length that an index can hold.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.types import Json

LABEL_CHARS = 200


# --- values as columns hold them --------------------------------------------------------------------------------


def to_text(value: Json) -> str:
    """Canonical JSON that every database accepts: NUL is always escaped; lone surrogates make it all ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=sorted)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=sorted)
    return text


def label(text: str) -> str:
    """`text` without NUL and lone surrogates, at most LABEL_CHARS long; longer text is cut and ends in its digest."""
    if len(text) <= LABEL_CHARS and text.isascii() and "\0" not in text:
        return text
    if re.search("[\ud800-\udfff]", text):  # JSON returns two surrogates that form a pair as one character
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    clean = re.sub("[\0\ud800-\udfff]", "\ufffd", text)
    if len(clean) <= LABEL_CHARS:
        return clean
    return clean[: LABEL_CHARS - 64] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def to_ms(text: str) -> int:
    """An ISO 8601 time or day as milliseconds since 1970; UTC unless it names a time zone.

    Raises:
        InputError: `text` is not a time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is not a time", "write it as 2026-01-31 or 2026-01-31T12:00:00Z") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def to_iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


class Label(sa.TypeDecorator[str]):
    """A column for a name or ID that is searched by equality."""

    impl = sa.String(LABEL_CHARS)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else label(value)


class Body(sa.TypeDecorator[Json]):
    """A column for a value as JSON text, without loss on any database."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: sa.Dialect) -> str:
        return to_text(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Json:
        return None if value is None else json.loads(value)


# --- tables -----------------------------------------------------------------------------------------------------

METADATA = sa.MetaData()
NAMES = ("key", "model", "release", "arm", "experiment", "reason")
COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")
AMOUNTS = ("first_token_s", "latency_s", "cost_usd")
"""Columns of an exchange that are treated alike."""


def _column(name: str, kind: Any, *rest: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *rest, nullable=options.pop("nullable", False), **options)


AUDIT = sa.Table(
    "audit",
    METADATA,
    _column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    _column("kind", sa.String(16)),  # `chain` says which there are
    _column("id", Label, unique=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("user", Label, index=True),
    *(_column(name, Label) for name in NAMES),
    _column("confidence", sa.Double, nullable=True),
    *(_column(name, sa.BigInteger) for name in COUNTS),
    *(_column(name, sa.Double) for name in AMOUNTS),
    _column("content", sa.Text),  # the whole entry as JSON; empty if redacted
    _column("salt", sa.String(32)),
    _column("digest", sa.String(64)),  # of salt and content
    _column("hash", sa.String(64)),  # of the previous hash and every column except user, content, salt, and about
    _column("about", Label, server_default=""),  # what the entry is about, such as the ID of an exchange
)
_LIVE = AUDIT.c.experiment != ""
sa.Index("ix_audit_experiment", AUDIT.c.experiment, sqlite_where=_LIVE, postgresql_where=_LIVE)
ABOUT = AUDIT.c.about != sa.literal_column("''")  # a query uses the index if it has this condition in the same form
sa.Index("ix_audit_about", AUDIT.c.about, sqlite_where=ABOUT, postgresql_where=ABOUT)
"""Exchanges, redactions, and actions, each entry linked to the one before."""

HEAD = sa.Table(
    "audit_head",
    METADATA,
    _column("id", sa.Integer, primary_key=True, autoincrement=False),
    _column("seq", sa.BigInteger),
    _column("hash", sa.String(64)),
)
"""One row: the last entry of the audit log, so that a truncated chain is detected. Appending locks it."""

KEYS = sa.Table(
    "api_key",
    METADATA,
    _column("id", sa.String(32), primary_key=True),
    _column("digest", sa.String(64), unique=True),  # sha256 of the secret
    _column("name", Body),
    _column("role", sa.String(16)),
    _column("groups", Body),
    _column("expires_at", sa.String(40)),
    _column("per_minute", sa.Integer),
    _column("created_at", sa.String(40)),
    _column("revoked_at", sa.String(40)),
)

HANDOFFS = sa.Table(
    "handoff",
    METADATA,
    _column("id", sa.String(32), primary_key=True),
    _column("exchange_id", Label, unique=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("status", sa.String(16), index=True),
    _column("content", Body),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    _column("exchange_id", Label, primary_key=True),
    _column("user", Label, primary_key=True),
    _column("at_ms", sa.BigInteger),
    _column("thumb", sa.SmallInteger),
    _column("resolved", sa.Boolean, nullable=True),
    _column("comment", Body),
)

RATINGS = sa.Table(
    "rating",
    METADATA,
    _column("exchange_id", Label, primary_key=True),
    _column("rater", Label, primary_key=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("label", sa.String(16)),
    _column("probability", sa.Double, nullable=True),  # with which the exchange was drawn; null if it was not
    _column("comment", Body),
)
"""What people who were asked say of answers, so that accuracy can be estimated."""

DRAWN = sa.Table(
    "drawn",
    METADATA,
    _column("exchange_id", Label, primary_key=True),
    _column("period", sa.String(40), index=True),
    _column("place", sa.Double),  # the order in which to rate, lowest first
    _column("probability", sa.Double),
    _column("why", sa.String(200)),
)
"""Answers that were drawn for rating, with the probability that they had to be."""

SESSIONS = sa.Table(
    "session",
    METADATA,
    _column("digest", sa.String(64), primary_key=True),  # sha256 of the token in the cookie
    _column("key", Label, index=True),  # ID of the API key, or "oidc:SUBJECT"
    _column("at_ms", sa.BigInteger),
    _column("seen_ms", sa.BigInteger),
    _column("until_ms", sa.BigInteger, index=True),
    _column("content", Body),
)
"""Who is signed in to the console."""

CALLS = sa.Table(
    "tool_call",
    METADATA,
    _column("key", sa.String(64), primary_key=True),  # digest of the conversation, the position, tool, and arguments
    _column("conversation", Label),
    _column("turn", sa.Integer),
    _column("ordinal", sa.Integer),
    _column("status", sa.String(16), index=True),
    _column("at_ms", sa.BigInteger),
    _column("until_ms", sa.BigInteger),
    _column("lease_ms", sa.BigInteger),
    _column("content", Body),
    sa.UniqueConstraint("conversation", "turn", "ordinal", name="uq_tool_call_position"),
)
"""Calls of tools: what agents did, are doing, or wait for a person to allow."""

TURNS = sa.Table(
    "turn",
    METADATA,
    _column("id", sa.String(64), primary_key=True),  # digest of conversation and number
    _column("conversation", Label),
    _column("number", sa.Integer),
    _column("exchange_id", Label, index=True),
    _column("owner", Label),
    _column("after", sa.String(64)),  # empty until the turn is complete
    _column("at_ms", sa.BigInteger),
    _column("content", Body),
    sa.UniqueConstraint("conversation", "number", name="uq_turn_number"),
    sa.Index("ix_turn_owner", "owner", "after"),
)
"""What is remembered of conversations with agents."""

BUDGETS = sa.Table(
    "budget",
    METADATA,
    _column("id", sa.String(64), primary_key=True),  # digest of per, subject, period, and its start
    _column("per", sa.String(16)),
    _column("subject", Label),  # of a user: a digest
    _column("period", sa.String(8)),
    _column("start_ms", sa.BigInteger, index=True),
    *(
        _column(f"{kind}_{unit}", sa.BigInteger)
        for kind in ("spent", "held")
        for unit in ("nano_usd", "tokens", "requests")
    ),
    _column("alerted", sa.SmallInteger),  # 1 after the alert, 2 after the one that something was refused
)
"""What was used of each budget in each period, and what is held for requests that are being answered."""

RESERVATIONS = sa.Table(
    "reservation",
    METADATA,
    _column("exchange_id", Label, primary_key=True),
    _column("budget_id", sa.String(64), primary_key=True),
    _column("until_ms", sa.BigInteger),
    *(_column(unit, sa.BigInteger) for unit in ("nano_usd", "tokens", "requests")),
    sqlite_with_rowid=False,
)
"""What is held of each budget for each request; charged in full if it is not settled in time. It has only what is being
answered, so it needs no index, and each page that a request does not write makes its commit faster."""

ALERTS = sa.Table(
    "alert",
    METADATA,
    _column("id", sa.String(32), primary_key=True),
    _column("key", Label, index=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("status", sa.String(16), index=True),
    _column("next_ms", sa.BigInteger),  # when it is delivered again; while that runs, when another process may
    _column("attempts", sa.Integer),
    _column("content", Body),
)
"""Alerts, and what is left of their delivery."""
