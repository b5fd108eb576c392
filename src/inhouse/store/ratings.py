"""What people who were asked say of answers, and which answers were drawn to be asked about.

Thumbs come from whoever likes to vote. Ratings come from reviewers who are shown answers that were drawn with a known
probability, so that they say something of all answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.store.actions import record, states
from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, DRAWN, RATINGS, label, now_ms, to_iso, to_ms
from inhouse.types import Record

RATED = "answer rated"  # what the action is called
Label = Literal["right", "partly", "wrong"]


class Rating(Record):
    """What one rater says of one answer. `probability` is None where the answer was not drawn."""

    exchange_id: str
    rater: str
    at: str
    label: Label
    comment: str = ""
    probability: float | None = None


class Drawn(Record):
    """An answer that is to be rated.

    Attributes:
        exchange_id: of the answer.
        period: the start of the period that it was drawn from, ISO 8601.
        place: the lowest is rated first; the order is random given the probabilities.
        probability: that it was drawn.
        why: it is worth a label, in a few words.
        raters: how many have rated it so far.
    """

    exchange_id: str
    period: str
    place: float
    probability: float
    why: str = ""
    raters: int = 0


class Ratings:
    """The ratings in a ledger, and the answers that wait for one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, exchange_id: str, rater: str, said: Label, comment: str = "") -> None:
        """Stores a rating. It replaces an earlier one of the same rater on the same exchange.

        Raises:
            InputError: the exchange does not exist, or its content is erased.
        """
        with self._ledger.write() as connection:
            head = head_of(connection)
            exists = sa.select(AUDIT.c.content != "").where(AUDIT.c.id == exchange_id, AUDIT.c.kind == "exchange")
            if not connection.execute(exists).scalar():
                raise InputError(f"{exchange_id[:80]}: no such answer", "it may be erased; take the next one")
            drawn = connection.execute(
                sa.select(DRAWN.c.probability).where(DRAWN.c.exchange_id == exchange_id)
            ).scalar()
            values = {"at_ms": now_ms(), "label": said, "comment": comment, "probability": drawn}
            insert = self._ledger.insert(RATINGS).values(exchange_id=exchange_id, rater=rater, **values)
            key = [RATINGS.c.exchange_id, RATINGS.c.rater]
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=values))
            changed = states(connection, RATINGS, RATINGS.c.exchange_id == label(exchange_id))
            record(connection, head, RATED, exchange_id, {"label": said}, changed)

    def about(self, exchanges: Sequence[str]) -> list[Rating]:
        """The ratings of exchanges, oldest first."""
        return self._ratings(sa.select(RATINGS).where(RATINGS.c.exchange_id.in_(exchanges)))

    def all(self, since: str = "", until: str = "") -> list[Rating]:
        """The ratings of that time, oldest first; an empty argument is no condition."""
        after = [RATINGS.c.at_ms >= to_ms(since)] if since else []
        before = [RATINGS.c.at_ms < to_ms(until)] if until else []
        return self._ratings(sa.select(RATINGS).where(*after, *before))

    def draw(self, rows: Sequence[Drawn]) -> int:
        """Stores what was drawn; what is there already keeps its probability. Returns how many are new."""
        if not rows:
            return 0
        values = [row.model_dump(exclude={"raters"}) | {"why": row.why[:200]} for row in rows]
        made = self._ledger.insert(DRAWN).values(values).on_conflict_do_nothing().returning(DRAWN.c.exchange_id)
        with self._ledger.write() as connection:
            return len(connection.execute(made).scalars().all())

    def drawn(self, period: str) -> bool:
        """Whether anything was drawn from the period."""
        query = sa.select(DRAWN.c.exchange_id).where(DRAWN.c.period == period).limit(1)
        with self._ledger.read() as connection:
            return connection.execute(query).first() is not None

    def waiting(self, rater: str, twice: float = 0.0, limit: int = 100) -> list[Drawn]:
        """What this rater may rate next, in order: what nobody has rated, and of what another has, the share `twice`.

        The newest period comes first: its labels say most about what is served now.
        """
        counts = (
            sa.select(
                RATINGS.c.exchange_id,
                sa.func.count().label("raters"),
                sa.func.max(sa.case((RATINGS.c.rater == rater, 1), else_=0)).label("own"),
            )
            .group_by(RATINGS.c.exchange_id)
            .subquery()
        )
        raters = sa.func.coalesce(counts.c.raters, 0)
        query = (
            sa.select(DRAWN, raters.label("raters"))
            .outerjoin(counts, counts.c.exchange_id == DRAWN.c.exchange_id)
            .join(AUDIT, (AUDIT.c.id == DRAWN.c.exchange_id) & (AUDIT.c.content != ""))
            .where(sa.func.coalesce(counts.c.own, 0) == 0, raters < 2)
            .order_by(DRAWN.c.period.desc(), DRAWN.c.place, DRAWN.c.exchange_id)
        )
        found: list[Drawn] = []
        with self._ledger.read() as connection:
            for row in connection.execute(query).mappings():
                if not row["raters"] or second(row["exchange_id"], twice):
                    found.append(Drawn(**row))
                if len(found) == limit:
                    break
        return found

    def _ratings(self, query: sa.Select[Any]) -> list[Rating]:
        with self._ledger.read() as connection:
            rows = connection.execute(query.order_by(RATINGS.c.at_ms, RATINGS.c.rater)).mappings().all()
        return [Rating(at=to_iso(row["at_ms"]), **{k: v for k, v in row.items() if k != "at_ms"}) for row in rows]


def second(exchange: str, share: float) -> bool:
    """Whether the answer is rated by two people: the share of them, by a hash of their IDs."""
    return int(hashlib.sha256(f"second:{exchange}".encode()).hexdigest()[:8], 16) < share * 16**8
