"""Feedback on answers: thumbs, a comment, and whether the request was resolved."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.store.actions import record, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, FEEDBACK, now_ms, to_iso
from inhouse.types import Record


class Opinion(Record):
    """Feedback of one user on one exchange. `thumb` is 1 up, -1 down, 0 none; `resolved` is None if unknown."""

    exchange_id: str
    user: str
    at: str
    thumb: int
    comment: str = ""
    resolved: bool | None = None


class Feedback:
    """The feedback in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(
        self, exchange_id: str, user: str, thumb: Literal[-1, 0, 1], comment: str = "", resolved: bool | None = None
    ) -> None:
        """Stores feedback. It replaces earlier feedback of the same user on the same exchange.

        Raises:
            InputError: the exchange does not exist.
        """
        values = {"at_ms": now_ms(), "thumb": thumb, "comment": comment, "resolved": resolved}
        insert = self._ledger.insert(FEEDBACK).values(exchange_id=exchange_id, user=user, **values)
        with self._ledger.write() as connection:
            head = head_of(connection)
            exists = sa.select(AUDIT.c.seq).where((AUDIT.c.id == exchange_id) & (AUDIT.c.kind == "exchange"))
            if connection.execute(exists).scalar() is None:
                raise InputError(f"{exchange_id[:80]}: no such exchange", "send the `id` of the answer")
            connection.execute(
                insert.on_conflict_do_update(index_elements=[FEEDBACK.c.exchange_id, FEEDBACK.c.user], set_=values)
            )
            changed = states(connection, FEEDBACK, FEEDBACK.c.exchange_id == exchange_id)
            record(connection, head, "feedback", exchange_id, {"thumb": thumb, "resolved": resolved}, changed)

    def rated(self) -> list[tuple[str, int]]:
        """The IDs of exchanges with more thumbs of one kind than of the other, oldest first, and the difference. None
        of them is redacted."""
        total = sa.func.sum(FEEDBACK.c.thumb)
        live = (AUDIT.c.kind == "exchange") & (AUDIT.c.content != "")
        query = sa.select(FEEDBACK.c.exchange_id, total).join_from(
            FEEDBACK, AUDIT, AUDIT.c.id == FEEDBACK.c.exchange_id
        )
        query = query.where(live).group_by(FEEDBACK.c.exchange_id, AUDIT.c.seq).having(total != 0).order_by(AUDIT.c.seq)
        with self._ledger.read() as connection:
            return [(str(id), int(thumbs)) for id, thumbs in connection.execute(query)]

    def for_exchange(self, id: str) -> list[Opinion]:
        """The feedback on an exchange, oldest first."""
        query = sa.select(FEEDBACK).where(FEEDBACK.c.exchange_id == id).order_by(FEEDBACK.c.at_ms, FEEDBACK.c.user)
        with self._ledger.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Opinion(at=to_iso(row["at_ms"]), **{k: v for k, v in row.items() if k != "at_ms"}) for row in rows]
