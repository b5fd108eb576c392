"""What people think of an answer: thumbs, a comment, whether it settled the matter."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.store.ledger import AUDIT, FEEDBACK, Ledger, now_ms, to_iso
from inhouse.types import Record


class Opinion(Record):
    """One person's opinion of one exchange. `thumb` is 1 up, -1 down, 0 none; `resolved` None is unknown."""

    exchange_id: str
    user: str
    at: str
    thumb: int
    comment: str = ""
    resolved: bool | None = None


class Feedback:
    """The opinions in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(
        self, exchange_id: str, user: str, thumb: Literal[-1, 0, 1], comment: str = "", resolved: bool | None = None
    ) -> None:
        """Keeps an opinion; a later one of the same user about the same exchange takes its place.

        Raises:
            InputError: there is no such exchange.
        """
        said = {"at_ms": now_ms(), "thumb": thumb, "comment": comment, "resolved": resolved}
        insert = self._ledger.insert(FEEDBACK).values(exchange_id=exchange_id, user=user, **said)
        with self._ledger.write() as connection:
            there = sa.select(AUDIT.c.seq).where((AUDIT.c.id == exchange_id) & (AUDIT.c.kind == "exchange"))
            if connection.execute(there).scalar() is None:
                raise InputError(f"{exchange_id[:80]}: no such exchange", "send the id that came with the answer")
            connection.execute(
                insert.on_conflict_do_update(index_elements=[FEEDBACK.c.exchange_id, FEEDBACK.c.user], set_=said)
            )

    def for_exchange(self, id: str) -> list[Opinion]:
        """What was said of an exchange, oldest first."""
        query = sa.select(FEEDBACK).where(FEEDBACK.c.exchange_id == id).order_by(FEEDBACK.c.at_ms, FEEDBACK.c.user)
        with self._ledger.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Opinion(at=to_iso(row["at_ms"]), **{k: v for k, v in row.items() if k != "at_ms"}) for row in rows]
