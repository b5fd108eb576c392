"""Shadow answers: what another release would have answered to a request, kept beside the exchange and never shown.

They are entries of the kind "shadow" in the audit log, about their exchange. Nothing that counts what users saw reads
them, and a redaction of the exchange erases them.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from inhouse.store.chain import entry
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, HANDOFFS, to_iso, to_ms
from inhouse.types import Record

KIND = "shadow"


class Shadow(Record):
    """An answer of `release` to the request of an exchange. `reason` is as in the audit log; `handed_off`: a person
    would have taken over. `elsewhere_usd` was paid to models of others."""

    exchange: str
    release: str
    answer: str
    reason: str
    confidence: float | None = None
    handed_off: bool = False
    latency_s: float = 0.0
    completion_tokens: int = 0
    elsewhere_usd: float = 0.0


class Pair(Record):
    """What users saw, and what the shadow would have said."""

    at: str
    question: str
    groups: frozenset[str]
    shown: Shadow
    shadow: Shadow


def shadow_of(shadow: Shadow) -> dict[str, Any]:
    """The entry of a shadow answer, without its position in the chain."""
    content = {**shadow.model_dump(mode="json"), "about": shadow.exchange, "user": ""}
    return entry(KIND, shadow.exchange, content, release=shadow.release, reason=shadow.reason)


def pairs(ledger: Ledger, release: str, since: str = "", limit: int = 5000) -> list[Pair]:
    """The answers of users with those of their shadow, newest first; without redacted ones.

    Raises:
        InputError: `since` is not a time.
    """
    shown, handed = AUDIT.alias("shown"), HANDOFFS.c.at_ms.label("handed")
    query = (
        sa.select(AUDIT.c.content, shown.c.id, shown.c.at_ms, shown.c.content.label("exchange"), handed)
        .join(shown, shown.c.id == AUDIT.c.about)
        .outerjoin(HANDOFFS, HANDOFFS.c.exchange_id == AUDIT.c.about)
        .where(AUDIT.c.kind == KIND, AUDIT.c.release == release, AUDIT.c.content != "", shown.c.content != "")
    )
    if since:
        query = query.where(AUDIT.c.at_ms >= to_ms(since))
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(AUDIT.c.seq.desc()).limit(limit)).all()
        return [_pair(row) for row in rows]


def paid(ledger: Ledger, since: str) -> float:
    """What shadow answers since then cost at models of others, in US dollars; redacted ones are not known.

    Raises:
        InputError: `since` is not a time.
    """
    query = sa.select(AUDIT.c.content).where(AUDIT.c.kind == KIND, AUDIT.c.content != "", AUDIT.c.at_ms >= to_ms(since))
    with ledger.read() as connection:
        return sum(
            float(json.loads(content).get("elsewhere_usd", 0)) for content in connection.execute(query).scalars()
        )


def _pair(row: Any) -> Pair:
    theirs, ours = json.loads(row.content), json.loads(row.exchange)
    names = Shadow.model_fields.keys()
    questions = [m.get("content", "") for m in ours["messages"] if m.get("role") == "user"]
    same = {n: ours[n] for n in ("release", "answer", "reason", "confidence", "latency_s")}
    tokens = (ours.get("usage") or {}).get("completion_tokens", 0)
    return Pair(
        at=to_iso(row.at_ms), question=questions[-1] if questions else "", groups=frozenset(ours.get("groups") or ()),
        shown=Shadow(exchange=row.id, handed_off=row.handed is not None, completion_tokens=tokens, **same),
        shadow=Shadow(**{n: v for n, v in theirs.items() if n in names}),
    )  # fmt: skip
