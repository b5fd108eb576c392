"""Budgets in the ledger: reserved before, settled with the record of the answer, never overspent."""

import asyncio
import threading

import pytest
import sqlalchemy as sa

from inhouse.store.budgets import Amount, Budgets, Limit, Settlement, charge_lost, settle, user_digest, window
from inhouse.store.reservations import Reservations
from inhouse.store.tables import BUDGETS, RESERVATIONS, to_ms

NOON = to_ms("2026-11-30T12:00:00Z")
LEASE = 60_000


class Clock:
    def __init__(self, at=NOON):
        self.at = at

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def alerts():
    return []


@pytest.fixture
def reservations(ledger, clock, alerts):
    made = Reservations(ledger, alerts.append, clock)
    yield made
    made.close()


def project(usd=0.0, tokens=0, requests=0, **more):
    return Limit(per="project", most=Amount.of(usd, tokens, requests), **more)


def reserve(reservations, *wanted, lease=LEASE):
    """Reserves (id, limits, amount) at the same time; the refusals."""

    async def all_of():
        return await asyncio.gather(*(reservations.reserve(*w, lease) for w in wanted))

    return asyncio.run(all_of())


def rows(ledger):
    with ledger.read() as connection:
        return connection.execute(sa.select(BUDGETS)).mappings().all(), connection.execute(
            sa.select(RESERVATIONS)
        ).all()


def test_of_requests_at_the_same_time_only_those_that_fit_are_let_through(reservations, ledger, clock):
    limit = project(usd=1.0)
    refusals = reserve(reservations, *((f"e{n}", [limit], Amount.of(0.3, 10, 1)) for n in range(5)))
    assert [r is None for r in refusals] == [True, True, True, False, False]
    refused = refusals[3]
    assert (refused.unit, refused.left.usd, refused.waits) == ("nano_usd", pytest.approx(0.1), True)
    assert refused.resets_at.startswith("2026-12-01T00:00:00")
    (use,) = Budgets(ledger).used(clock.at)
    assert (use.spent, use.held) == (Amount(), Amount.of(0.9, 30, 3))


def test_what_was_used_is_charged_with_the_record_of_the_answer(reservations, ledger, clock, audit, exchange):
    limit = project(tokens=1000)
    assert reserve(reservations, ("e1", [limit], Amount(5_000_000, 900, 1))) == [None]
    asyncio.run(audit.append(exchange(id="e1"), Settlement("e1", Amount(1_000_000, 57, 1))))
    (use,) = Budgets(ledger).used(clock.at)
    assert (use.spent, use.held) == (Amount(1_000_000, 57, 1), Amount())
    assert rows(ledger)[1] == []
    (refused,) = reserve(reservations, ("e2", [limit], Amount(0, 944, 1)))
    assert (refused.left.tokens, refused.waits) == (943, False)
    assert audit.verify().ok


def test_an_exchange_that_cannot_be_recorded_is_not_settled(reservations, ledger, clock, audit, exchange):
    asyncio.run(audit.append(exchange(id="e1")))
    assert reserve(reservations, ("e1", [project(usd=1)], Amount.of(0.5, 0, 1))) == [None]
    with pytest.raises(Exception):  # noqa: B017, PT011 - there is one with this ID
        asyncio.run(audit.append(exchange(id="e1"), Settlement("e1", Amount.of(0.1, 0, 1))))
    (use,) = Budgets(ledger).used(clock.at)
    assert (use.spent, use.held) == (Amount(), Amount.of(0.5, 0, 1))


def test_what_is_given_back_is_there_again_and_settling_twice_changes_nothing(reservations, ledger, clock):
    limit = project(requests=1)
    assert reserve(reservations, ("e1", [limit], Amount(0, 0, 1))) == [None]
    reservations.release("e1")
    assert reserve(reservations, ("e2", [limit], Amount(0, 0, 1))) == [None]
    for _ in range(2):
        with ledger.write() as connection:
            settle(connection, [Settlement("e2", Amount(7, 3, 1))])
    (use,) = Budgets(ledger).used(clock.at)
    assert (use.spent, use.held) == (Amount(7, 3, 1), Amount())


def test_what_is_being_given_back_counts_for_the_next_request(reservations, monkeypatch):
    limit, commit = project(requests=1), reservations._commit
    taken, go = threading.Event(), threading.Event()

    def slow(group, *more, **options):
        if group == ["e1"]:
            taken.set()
            assert go.wait(10)
        return commit(group, *more, **options)

    assert reserve(reservations, ("e1", [limit], Amount(0, 0, 1))) == [None]
    monkeypatch.setattr(reservations, "_commit", slow)
    reservations.release("e1")
    assert taken.wait(10)
    threading.Timer(0.1, go.set).start()
    assert reserve(reservations, ("e2", [limit], Amount(0, 0, 1))) == [None]


def test_a_reservation_that_is_never_settled_is_charged_in_full_when_its_time_is_over(reservations, ledger, clock):
    limit = project(usd=1.0)
    assert reserve(reservations, ("lost", [limit], Amount.of(0.8, 100, 1))) == [None]
    clock.at += LEASE
    assert reserve(reservations, ("e2", [limit], Amount.of(0.3, 0, 1)))[0].waits
    clock.at += 1
    refused = reserve(reservations, ("e3", [limit], Amount.of(0.3, 0, 1)))[0]
    assert (refused.waits, refused.left.usd) == (False, pytest.approx(0.2))
    with ledger.write() as connection:  # it ended after all: the charge stays
        settle(connection, [Settlement("lost", Amount.of(0.1, 10, 1))])
        assert charge_lost(connection, clock.at) == 0
    (use,) = Budgets(ledger).used(clock.at)
    assert (use.spent, use.held) == (Amount.of(0.8, 100, 1), Amount())


def test_all_budgets_of_a_request_have_to_have_enough(reservations, ledger, clock):
    wide, narrow = project(usd=10), Limit(per="key", subject="k1", period="day", most=Amount(0, 100, 0))
    assert reserve(reservations, ("e1", [wide, narrow], Amount.of(1, 80, 1))) == [None]
    (refused,) = reserve(reservations, ("e2", [wide, narrow], Amount.of(1, 80, 1)))
    assert (refused.limit.per, refused.unit) == ("key", "tokens")
    assert {u.per: u.held.tokens for u in Budgets(ledger).used(clock.at)} == {"project": 80, "key": 80}


def test_a_new_period_begins_with_nothing_used_and_late_answers_count_for_their_own(reservations, ledger, clock):
    limit = Limit(per="project", period="day", most=Amount(0, 100, 0))
    assert reserve(reservations, ("e1", [limit], Amount(0, 100, 1)), lease=10**9) == [None]
    clock.at += 24 * 3600_000
    assert reserve(reservations, ("e2", [limit], Amount(0, 100, 1))) == [None]
    with ledger.write() as connection:
        settle(connection, [Settlement("e1", Amount(0, 60, 1))])
    assert [u.spent.tokens for u in Budgets(ledger).used(clock.at)] == [0]
    assert [u.spent.tokens for u in Budgets(ledger).used(NOON)] == [60]


def test_alerts_come_once_for_each_budget_and_period(reservations, ledger, clock, alerts):
    limit = project(usd=1.0, alert_at=0.8)

    def use(id, usd):
        refusal = reserve(reservations, (id, [limit], Amount.of(usd, 0, 1)))[0]
        if refusal is None:
            with ledger.write() as connection:
                settle(connection, [Settlement(id, Amount.of(usd, 0, 1))])

    for n in range(9):
        use(f"e{n}", 0.1)
    reservations.close()
    assert [a.kind for a in alerts] == ["reached"]
    assert alerts[0].spent.usd == pytest.approx(0.8)
    for n in range(9, 13):
        use(f"e{n}", 0.1)
    reservations.close()
    assert [a.kind for a in alerts] == ["reached", "refused"]
    clock.at += 24 * 3600_000  # December
    for n in range(20, 30):
        use(f"e{n}", 0.1)
    reservations.close()
    assert [a.kind for a in alerts] == ["reached", "refused", "reached"]
    assert len({a.key for a in alerts}) == 3


def test_no_user_is_named_in_the_store(reservations, ledger, clock):
    limit = Limit(per="user", subject="ann@example.com", most=Amount(0, 10, 0))
    assert reserve(reservations, ("e1", [limit], Amount(0, 10, 1))) == [None]
    assert [u.subject for u in Budgets(ledger).used(clock.at)] == [user_digest("ann@example.com")]
    assert "ann" not in str(rows(ledger))


def test_a_raised_limit_is_alerted_again(reservations, ledger, alerts):
    def use(id, usd, most):
        limits = [project(usd=most, alert_at=0.8), project(tokens=1_000)]  # one budget, two limits
        if reserve(reservations, (id, limits, Amount.of(usd, 0, 1)))[0] is None:
            with ledger.write() as connection:
                settle(connection, [Settlement(id, Amount.of(usd, 0, 1))])

    for n in range(11):
        use(f"e{n}", 0.1, 1.0)
    for n in range(11, 25):
        use(f"e{n}", 0.1, 2.0)
    reservations.close()
    assert [(a.kind, round(a.spent.usd, 3)) for a in alerts] == [
        ("reached", 0.8), ("refused", 1.0), ("reached", 1.6), ("refused", 2.0)
    ]  # fmt: skip
    assert len({a.key for a in alerts}) == 4


def test_an_alert_that_fails_stops_no_request(ledger, clock):
    def fail(alert):
        raise OSError("no network")

    failing = Reservations(ledger, fail, clock)
    limit = project(requests=1)
    assert reserve(failing, ("e1", [limit], Amount(0, 0, 1))) == [None]
    with ledger.write() as connection:
        settle(connection, [Settlement("e1", Amount(0, 0, 1))])
    assert reserve(failing, ("e2", [limit], Amount(0, 0, 1)))[0].unit == "requests"
    failing.close()


def test_periods_are_calendar_days_and_months_in_utc():
    assert window("day", NOON) == (to_ms("2026-11-30"), to_ms("2026-12-01"))
    assert window("month", NOON) == (to_ms("2026-11-01"), to_ms("2026-12-01"))
    assert window("month", to_ms("2026-12-31T23:59:59Z")) == (to_ms("2026-12-01"), to_ms("2027-01-01"))
