"""What the audit log, the inbox, and feedback say of each answer that matters for its cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from inhouse.chat import paid
from inhouse.store.inbox import WISHES
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, FEEDBACK, HANDOFFS, now_ms, to_ms
from inhouse.types import Contact

PAGE = 1000  # rows read at a time, each page in a transaction of its own
ANSWERED = ("stop", "length", "tool_calls")


class Contacts:
    """The answers in a ledger. Redacted ones are left out: nobody can say whose they were."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def rows(self, since: str, until: str = "") -> list[Contact]:
        """The answers from `since` to before `until` (ISO 8601; empty means now), oldest first.

        Raises:
            InputError: a time is malformed.
        """
        return sorted(self._all(to_ms(since), to_ms(until) if until else now_ms() + 1), key=lambda c: c.at_ms)

    def _all(self, since_ms: int, until_ms: int) -> Iterator[Contact]:
        seq = 0
        while page := self._page(since_ms, until_ms, seq):
            yield from (_contact(row) for row in page)
            seq = page[-1]["seq"]

    def _page(self, since_ms: int, until_ms: int, seq: int) -> list[sa.RowMapping]:
        own = (AUDIT.c.seq, AUDIT.c.user, AUDIT.c.key, AUDIT.c.at_ms, AUDIT.c.release, AUDIT.c.experiment,
               AUDIT.c.cost_usd, AUDIT.c.reason, AUDIT.c.latency_s, AUDIT.c.prompt_tokens, AUDIT.c.completion_tokens,
               AUDIT.c.content)  # fmt: skip
        of_answer = sa.select(FEEDBACK).where(FEEDBACK.c.exchange_id == AUDIT.c.id)
        said = [
            of_answer.with_only_columns(sa.func.sum(FEEDBACK.c.thumb)).scalar_subquery().label("thumb"),
            of_answer.with_only_columns(sa.func.min(sa.cast(FEEDBACK.c.resolved, sa.Integer))).scalar_subquery()
            .label("resolved"),
        ]  # fmt: skip
        query = (
            sa.select(*own, *said, HANDOFFS.c.content.label("handoff"))
            .select_from(AUDIT)
            .outerjoin(HANDOFFS, HANDOFFS.c.exchange_id == AUDIT.c.id)
            .where(AUDIT.c.kind == "exchange", AUDIT.c.content != "", AUDIT.c.seq > seq)
            .where(AUDIT.c.at_ms >= since_ms, AUDIT.c.at_ms < until_ms)
            .order_by(AUDIT.c.seq)
            .limit(PAGE)
        )
        with self._ledger.read() as connection:
            return list(connection.execute(query).mappings())


def _contact(row: sa.RowMapping) -> Contact:
    content: dict[str, Any] = json.loads(row["content"])
    asked = [m.get("content", "") for m in content["messages"] if m.get("role") == "user"] or [""]
    handoff, thumb = row["handoff"], row["thumb"] or 0
    cascade = content.get("cascade")
    waited = None
    if handoff and handoff.get("replied_at"):
        waited = (to_ms(handoff["replied_at"]) - to_ms(handoff["at"])) / 60_000
    return Contact(
        user="" if row["user"] == row["key"] else row["user"], at_ms=row["at_ms"], question=asked[-1], first=asked[0],
        turn=len(asked), arm=row["experiment"].partition(":")[2] or row["release"] or "base",
        split=bool(row["experiment"]),
        cost_usd=row["cost_usd"] - paid(cascade, "person"), elsewhere_usd=paid(cascade, "elsewhere"),
        handed_off=handoff is not None, wish=bool(handoff) and handoff["reason"] in WISHES, waited_min=waited,
        thumb=(thumb > 0) - (thumb < 0), resolved=None if row["resolved"] is None else bool(row["resolved"]),
        failed=row["reason"] not in ANSWERED,
        latency_s=row["latency_s"], prompt_tokens=row["prompt_tokens"], completion_tokens=row["completion_tokens"],
    )  # fmt: skip
