"""Budgets in the ledger: what is reserved before a model is asked, and settled with the record of its answer.

A request reserves the most that it may use, of every budget that it counts for, or it is refused. Settling takes place
in the transaction that writes the exchange to the audit log: what was held is given back and what was used is charged,
so the log and the budgets never disagree. A process that is killed leaves its reservations behind. When their time is
over they are charged in full, because the answers may have been given: a budget is never overspent, and nothing stays
held for good. Amounts are whole numbers (nanodollars, tokens, requests), so that sums are exact.

Users are kept as a digest: redacting an exchange leaves no name here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.store.ledger import Ledger, bounded
from inhouse.store.tables import AUDIT, BUDGETS, RESERVATIONS, now_ms, to_iso, to_ms
from inhouse.types import Record, digest_of

NANO = 1_000_000_000
UNITS = ("nano_usd", "tokens", "requests")
REACHED, REFUSED = 1, 2  # what was alerted: the share of the budget, and that a request was refused


class Amount(NamedTuple):
    """Of money, tokens, and requests."""

    nano_usd: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, usd: float = 0.0, tokens: int = 0, requests: int = 0) -> Amount:
        return cls(round(usd * NANO), tokens, requests)

    @property
    def usd(self) -> float:
        return self.nano_usd / NANO

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        return Amount(*(a + sign * b for a, b in zip(self, other, strict=True)))


class Limit(Record):
    """A limit that a request counts for. `subject` is the key, team, or user, "" for the project; a unit of `most`
    that is 0 is not limited."""

    per: str
    subject: str = ""
    period: Literal["day", "month"] = "month"
    most: Amount
    alert_at: float = 0.8

    @property
    def name(self) -> str:
        """The budget in words."""
        whose = "project" if self.per == "project" else f"{self.per} {self.subject[:60]}"
        return f"budget of the {whose} for this {self.period}"

    def id(self, at_ms: int) -> str:
        """Of its row in the period of a time. It does not depend on the limit, which may be changed."""
        return _id(self.per, self.subject, self.period, window(self.period, at_ms)[0])

    @property
    def stored(self) -> str:
        """The subject as it is stored."""
        return user_digest(self.subject) if self.per == "user" else self.subject


class Refusal(Record):
    """Why a request is refused. `left` is what is neither used nor held, `held` what may still come back."""

    limit: Limit
    wanted: Amount
    left: Amount
    held: Amount
    unit: str
    resets_at: str
    waits: bool  # whether it would fit if nothing of what is held were used


class BudgetAlert(Record):
    """A budget of which a share is used (`kind` "reached"), or that refused a request ("refused")."""

    limit: Limit
    kind: Literal["reached", "refused"]
    spent: Amount
    resets_at: str
    key: str  # the same for the same budget, limit, period, and kind


class Use(Record):
    """What was used of a budget in a period."""

    per: str
    subject: str
    period: str
    start: str
    resets_at: str
    spent: Amount
    held: Amount


class Wanted(NamedTuple):
    """A reservation to make: for the exchange `id`, until `until_ms`, of all `limits`."""

    id: str
    limits: Sequence[Limit]
    amount: Amount
    until_ms: int


class Settlement(NamedTuple):
    """What the exchange `id` used."""

    id: str
    used: Amount


@lru_cache(64)
def _window(period: str, day: int) -> tuple[int, int]:
    start = datetime.fromtimestamp(day * 86_400, UTC)
    if period == "day":
        return round(start.timestamp() * 1000), round((start + timedelta(days=1)).timestamp() * 1000)
    start = start.replace(day=1)
    return round(start.timestamp() * 1000), round((start + timedelta(days=32)).replace(day=1).timestamp() * 1000)


def window(period: str, at_ms: int) -> tuple[int, int]:
    """Start and end of the calendar day or month (UTC) of a time, in milliseconds since 1970."""
    return _window(period, at_ms // 86_400_000)


@lru_cache(10_000)
def _id(per: str, subject: str, period: str, start_ms: int) -> str:
    return digest_of([per, user_digest(subject) if per == "user" else subject, period, start_ms])


def user_digest(user: str) -> str:
    return "sha256:" + hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:40]


# --- in transactions --------------------------------------------------------------------------------------------


def reserve(
    connection: Connection, ledger: Ledger, wanted: Sequence[Wanted], at_ms: int
) -> tuple[list[Refusal | None], list[BudgetAlert]]:
    """Reserves in order what each request wants, all of it or nothing; a refusal or None for each, and new alerts."""
    if not wanted:
        return [], []
    asked = [[(limit.id(at_ms), limit) for limit in w.limits] for w in wanted]
    sums = _take_lost(connection, at_ms)
    limits = {id: limit for own in asked for id, limit in own}
    rows = _locked(connection, ledger, limits, sums, at_ms)
    made: list[dict[str, Any]] = []
    answers: list[Refusal | None] = []
    alerts: list[BudgetAlert] = []
    for want, own in zip(wanted, asked, strict=True):
        refusal = next((r for id, limit in own if (r := _refusal(rows[id], limit, want, at_ms))), None)
        answers.append(refusal)
        if refusal is None:
            for id in dict(own):
                spent, held = sums.get(id, (Amount(), Amount()))
                sums[id] = spent, held.plus(want.amount)
                rows[id] = rows[id].holding(want.amount)
                made.append(
                    {"exchange_id": want.id, "budget_id": id, "until_ms": want.until_ms, **want.amount._asdict()}
                )
        over = refusal.limit if refusal and not refusal.waits else None
        for id in dict(own):
            level, limit = rows[id].level([one for other, one in own if other == id], over)
            if level > rows[id].alerted:
                alerts.append(_alert(id, limit, level, rows[id].spent, at_ms))
            elif level or not rows[id].alerted:
                continue
            rows[id] = rows[id]._replace(alerted=level)  # 0 where the limit was raised: the next share is news again
            connection.execute(BUDGETS.update().where(BUDGETS.c.id == id).values(alerted=level))
    if made:
        connection.execute(RESERVATIONS.insert(), made)
    _add(connection, sums)
    return answers, alerts


def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Charges what was used, and gives back what was held for it. What was charged in full by now stays charged."""
    if not settlements:
        return
    used = {s.id: s.used for s in settlements}
    gone = connection.execute(_DELETE, {"ids": list(used)}).mappings().all()
    _add(connection, _summed([(row["budget_id"], used[row["exchange_id"]], _amount(row)) for row in gone]))


def charge_lost(connection: Connection, at_ms: int) -> int:
    """Charges reservations in full whose time is over; returns how many, counted for each budget."""
    sums = _take_lost(connection, at_ms)
    _add(connection, sums)
    return sum(spent.requests for spent, _ in sums.values())


class _Row(NamedTuple):
    """A budget in its period."""

    spent: Amount
    held: Amount
    alerted: int

    def holding(self, amount: Amount) -> _Row:
        return self._replace(held=self.held.plus(amount))

    def level(self, limits: Sequence[Limit], over: Limit | None) -> tuple[int, Limit]:
        """What to alert of the limits of this budget, 0 for nothing, and of which; `over` refused a request."""
        for limit in limits:
            if limit == over:
                return REFUSED, limit
        for limit in limits:
            if any(m and s >= limit.alert_at * m for m, s in zip(limit.most, self.spent, strict=True)):
                return REACHED, limit
        return 0, limits[0]


Sums = dict[str, tuple[Amount, Amount]]
"""By budget, what is added to what was spent and to what is held."""


def _take_lost(connection: Connection, at_ms: int) -> Sums:
    """Deletes the reservations whose time is over; what they add."""
    if connection.dialect.name == "sqlite":
        lost = connection.execute(_DELETE_OVER, {"at_ms": at_ms}).mappings().all()
    else:  # another process may settle or charge them at this moment: they are its business
        ids = connection.execute(_OVER_UNLOCKED, {"at_ms": at_ms}).scalars().all()
        lost = connection.execute(_DELETE, {"ids": sorted(set(ids))}).mappings().all() if ids else []
    return _summed([(row["budget_id"], _amount(row), _amount(row)) for row in lost])


_BACK = [RESERVATIONS.c.exchange_id, RESERVATIONS.c.budget_id, *(RESERVATIONS.c[unit] for unit in UNITS)]
_DELETE = (
    RESERVATIONS.delete().where(RESERVATIONS.c.exchange_id.in_(sa.bindparam("ids", expanding=True))).returning(*_BACK)
)
_DELETE_OVER = RESERVATIONS.delete().where(RESERVATIONS.c.until_ms < sa.bindparam("at_ms")).returning(*_BACK)
_OVER_UNLOCKED = (
    sa.select(RESERVATIONS.c.exchange_id)
    .where(RESERVATIONS.c.until_ms < sa.bindparam("at_ms"))
    .with_for_update(skip_locked=True)
)
_ROWS = sa.select(BUDGETS).where(BUDGETS.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(BUDGETS.c.id)
_ROWS_LOCKED = _ROWS.with_for_update()
_ADD = (
    BUDGETS.update()
    .where(BUDGETS.c.id == sa.bindparam("row"))
    .values(
        {
            f"{kind}_{u}": BUDGETS.c[f"{kind}_{u}"] + sa.bindparam(f"{kind}_more_{u}")
            for kind in ("spent", "held")
            for u in UNITS
        }
    )
)


def _amount(row: Mapping[str, Any] | sa.RowMapping, prefix: str = "") -> Amount:
    return Amount(*(row[f"{prefix}{unit}"] for unit in UNITS))


def _summed(charges: Sequence[tuple[str, Amount, Amount]]) -> Sums:
    """What (budget, used, no longer held) adds."""
    sums: Sums = {}
    for id, used, held in charges:
        spent, back = sums.get(id, (Amount(), Amount()))
        sums[id] = spent.plus(used), back.plus(held, -1)
    return sums


def _add(connection: Connection, sums: Sums) -> None:
    """Adds to budgets, in the order in which all transactions lock them."""
    rows = [
        {"row": id, **{f"spent_more_{u}": v for u, v in spent._asdict().items()},
         **{f"held_more_{u}": v for u, v in held._asdict().items()}}
        for id, (spent, held) in sorted(sums.items())
    ]  # fmt: skip
    if rows:
        connection.execute(_ADD, rows)


def _locked(
    connection: Connection, ledger: Ledger, limits: Mapping[str, Limit], more: Sums, at_ms: int
) -> dict[str, _Row]:
    """The rows of budgets with what is added to them, made if they are new, and locked until the transaction ends."""
    find, ids = _ROWS if ledger.sqlite else _ROWS_LOCKED, {"ids": sorted(limits.keys() | more.keys())}
    rows = {row["id"]: row for row in connection.execute(find, ids).mappings()}
    if new := sorted(limits.keys() - rows.keys()):
        empty = {f"{kind}_{unit}": 0 for kind in ("spent", "held") for unit in UNITS}
        values = [
            {"id": id, "per": limits[id].per, "subject": limits[id].stored, "period": limits[id].period,
             "start_ms": window(limits[id].period, at_ms)[0], "alerted": 0, **empty}
            for id in new
        ]  # fmt: skip
        connection.execute(ledger.insert(BUDGETS).on_conflict_do_nothing(), values)
        rows = {row["id"]: row for row in connection.execute(find, ids).mappings()}
    nothing = Amount(), Amount()
    return {
        id: _Row(
            _amount(row, "spent_").plus(more.get(id, nothing)[0]), _amount(row, "held_").plus(more.get(id, nothing)[1]),
            row["alerted"],
        )
        for id, row in rows.items()
    }  # fmt: skip


def _refusal(row: _Row, limit: Limit, want: Wanted, at_ms: int) -> Refusal | None:
    units = list(zip(UNITS, limit.most, row.spent, row.held, want.amount, strict=True))
    for unit, most, spent, held, wants in units:
        if most and spent + held + wants > most:
            left = Amount(*(max(0, m - s - h) if m else 0 for _, m, s, h, _ in units))
            end = to_iso(window(limit.period, at_ms)[1])
            return Refusal(
                limit=limit, wanted=want.amount, left=left, held=row.held, unit=unit, resets_at=end,
                waits=spent + wants <= most,
            )  # fmt: skip
    return None


def _alert(id: str, limit: Limit, level: int, spent: Amount, at_ms: int) -> BudgetAlert:
    return BudgetAlert(
        limit=limit, kind="reached" if level == REACHED else "refused", spent=spent,
        resets_at=to_iso(window(limit.period, at_ms)[1]), key=f"budget {id[:16]} {level} {digest_of(limit.most)[:8]}",
    )  # fmt: skip


# --- outside of transactions ------------------------------------------------------------------------------------


class Budgets:
    """The budgets in a ledger, for people and commands. `reservations` has what the gateway needs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def charge_lost(self, at_ms: int = 0) -> int:
        """Charges reservations in full whose time is over; returns how many, counted for each budget."""
        with self._ledger.write() as connection:
            bounded(connection)
            return charge_lost(connection, at_ms or now_ms())

    def used(self, at_ms: int = 0) -> list[Use]:
        """What was used of every budget in the periods of a time (now), those that used most first."""
        at_ms = at_ms or now_ms()
        starts = [(p, window(p, at_ms)[0]) for p in ("day", "month")]
        now = sa.or_(*(sa.and_(BUDGETS.c.period == p, BUDGETS.c.start_ms == start) for p, start in starts))
        order = (BUDGETS.c.spent_nano_usd.desc(), BUDGETS.c.spent_tokens.desc(), BUDGETS.c.id)
        with self._ledger.read() as connection:
            return [_use(row) for row in connection.execute(sa.select(BUDGETS).where(now).order_by(*order)).mappings()]

    def users(self, since: str) -> dict[str, str]:
        """The users whom the audit log names since a time (ISO 8601; none if empty), by how budgets keep them."""
        if not since:
            return {}
        query = sa.select(AUDIT.c.user).where(AUDIT.c.at_ms >= to_ms(since), AUDIT.c.kind == "exchange").distinct()
        with self._ledger.read() as connection:
            return {user_digest(user): user for user in connection.execute(query).scalars()}


def _use(row: sa.RowMapping) -> Use:
    return Use(
        per=row["per"], subject=row["subject"], period=row["period"], start=to_iso(row["start_ms"]),
        resets_at=to_iso(window(row["period"], row["start_ms"])[1]), spent=_amount(row, "spent_"),
        held=_amount(row, "held_"),
    )  # fmt: skip
