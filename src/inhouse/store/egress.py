"""What left this machine: an entry of the audit log for each request to a model elsewhere, written before it is sent.

An entry has digests and counts, no text and no user, so it stays when its exchange is redacted. The documents whose
passages were in a prompt are those of the exchange.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Connection

from inhouse.chat import Egress
from inhouse.store.chain import entry
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, to_iso, to_ms
from inhouse.types import Record

KIND = "egress"


class Left(Record):
    """An entry of what left, with its number, its time (ISO 8601), and the passages of its exchange by source. `key` is
    "edge:NAME" for what left that device."""

    seq: int
    at: str
    egress: Egress
    key: str = ""
    passages: dict[str, int] = Field(default_factory=dict)


def egress_of(egress: Egress, key: str = "") -> dict[str, Any]:
    """The entry of what a request sends, without its position in the chain; `key` as in Left."""
    content = {**egress.model_dump(mode="json"), "about": egress.exchange, "user": ""}
    return entry(KIND, egress.exchange, content, model=egress.upstream, reason=egress.policy, key=key)


def what_left(
    ledger: Ledger, since: str = "", until: str = "", upstream: str = "", policy: str = "", exchange: str = "",
    limit: int = 100, before: int = 0,
) -> list[Left]:  # fmt: skip
    """What left, newest first; empty arguments are no conditions.

    Args:
        ledger: has the audit log.
        since: only from this time on, ISO 8601.
        until: only before this time.
        upstream: only to this model.
        policy: only under this policy.
        exchange: only of the exchange with this ID.
        limit: the maximum number of entries.
        before: only entries with a smaller number; for the next page, the last number of this one.

    Raises:
        InputError: a time is none.
    """
    query = sa.select(AUDIT.c.seq, AUDIT.c.at_ms, AUDIT.c.key, AUDIT.c.content).where(AUDIT.c.kind == KIND)
    for column, value in ((AUDIT.c.model, upstream), (AUDIT.c.reason, policy), (AUDIT.c.about, exchange)):
        if value:
            query = query.where(column == value)
    if since:
        query = query.where(AUDIT.c.at_ms >= to_ms(since))
    if until:
        query = query.where(AUDIT.c.at_ms < to_ms(until))
    if before:
        query = query.where(AUDIT.c.seq < before)
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(AUDIT.c.seq.desc()).limit(limit)).mappings().all()
        return [_left(connection, dict(row)) for row in rows]


def _left(connection: Connection, row: Mapping[str, Any]) -> Left:
    content = {k: v for k, v in json.loads(row["content"]).items() if k not in ("about", "user")}
    egress = Egress(**content)
    passages = _passages(connection, egress.exchange)
    return Left(seq=row["seq"], at=to_iso(row["at_ms"]), egress=egress, key=row["key"], passages=passages)


def _passages(connection: Connection, exchange: str) -> dict[str, int]:
    """How many passages the exchange has, by source; none where it is redacted or not complete."""
    query = sa.select(AUDIT.c.content).where(AUDIT.c.id == exchange, AUDIT.c.kind == "exchange")
    content = connection.execute(query).scalar() if exchange else None
    return dict(Counter(str(p["source"]) for p in json.loads(content).get("passages", ()))) if content else {}
