"""What answers and resolutions cost: cases, reopened ones, and intervals over users."""

import math

import numpy as np
import pytest

from inhouse.monitoring.costs import DAY_MS, Terms, cases_of, figures, ratio, share, spending
from inhouse.types import Contact

TERMS = Terms(person_usd_per_hour=30, minutes_per_handoff=6, most_minutes=15)
MINUTE, LATER = 60_000, 100 * DAY_MS


def said(question, user="ann", minutes=0.0, turn=1, first="", **more):
    plain = {"arm": "base", "split": True, "cost_usd": 0.01}
    return Contact(
        user=user,
        at_ms=round(minutes * MINUTE),
        question=question,
        first=first or question,
        turn=turn,
        **(plain | more),
    )


def test_messages_of_one_conversation_are_one_case():
    cases = cases_of(
        [
            said("What does a wire cost?"),
            said("And abroad?", minutes=2, turn=2, first="What does a wire cost?"),
            said("How do I close my account?", minutes=3),
        ],
        TERMS,
    )
    assert [(c.answers, round(c.model_usd, 4), c.accepted) for c in cases] == [(2, 0.02, True), (1, 0.01, True)]


def test_a_case_that_the_same_user_opens_again_is_never_resolved():
    again = said("what would a wire transfer cost", minutes=60 * 24 * 3)
    wire = said("What does a wire transfer cost?", resolved=True)
    cases = cases_of([wire, again], TERMS)
    assert [(c.accepted, c.reopened, c.repeat) for c in cases] == [(False, True, False), (True, False, True)]
    for other in (again._replace(user="bob"), again._replace(at_ms=8 * DAY_MS), said("Open on Saturday?", minutes=9)):
        assert [c.reopened for c in cases_of([wire, other], TERMS)] == [False, False]


def test_someone_who_only_asks_for_a_person_opens_the_last_case_again():
    wish = said("Can I talk to someone?", minutes=5, handed_off=True, wish=True)
    assert [c.reopened for c in cases_of([said("What does a wire cost?"), wish], TERMS)] == [True, False]


def test_users_who_are_not_named_are_not_seen_to_come_back():
    cases = cases_of(
        [said("What does a wire cost?", user=""), said("What does a wire cost?", user="", minutes=9)], TERMS
    )
    assert [c.reopened for c in cases] == [False, False]
    assert len({c.user for c in cases}) == 2


@pytest.mark.parametrize(
    ("more", "accepted"),
    [({}, True), ({"thumb": 1}, True), ({"thumb": -1}, False), ({"resolved": False}, False), ({"handed_off": True}, False),
     ({"failed": True}, False), ({"resolved": True}, True)],
)  # fmt: skip
def test_what_counts_as_accepted(more, accepted):
    (case,) = cases_of([said("What does a wire cost?", **more)], TERMS)
    assert (case.accepted, case.confirmed) == (accepted, more.get("resolved") is True)


@pytest.mark.parametrize(("waited", "minutes"), [(None, 6), (4, 4), (600, 15), (0.5, 0.5)])
def test_minutes_of_people_are_the_time_to_the_reply_within_bounds(waited, minutes):
    (case,) = cases_of([said("help", handed_off=True, waited_min=waited)], TERMS)
    assert case.minutes == minutes


def test_figures_of_an_arm():
    contacts = [said(f"question {n} about topic {n}", user=f"u{n % 50}", minutes=n, handed_off=n % 4 == 0, waited_min=10,
                     thumb=1 if n % 3 == 0 else 0) for n in range(200)]  # fmt: skip
    found = figures(cases_of(contacts, Terms(similar=1.0, person_usd_per_hour=30)), TERMS, LATER)
    assert (found.cases, found.users, found.named, found.provisional) == (200, 50, 1.0, False)
    assert found.escalation.mean == 0.25
    assert found.usd_per_escalation.mean == pytest.approx(5.0)
    assert found.satisfaction.mean == 1.0
    assert found.satisfaction.low < 1.0
    assert found.first_contact.mean == 0.75
    each = (0.01 + 0.25 * 5) / 0.75
    assert found.usd_per_resolution.mean == pytest.approx(each)
    assert found.usd_per_resolution.low < each < found.usd_per_resolution.high


def test_young_cases_do_not_count_as_resolved_while_they_may_be_reopened():
    contacts = [said(f"old {n} topic {n}", user=f"u{n}", minutes=n) for n in range(20)]
    contacts += [said(f"new {n} thing {n}", user=f"v{n}", minutes=n + 10 * 24 * 60, thumb=-1) for n in range(20)]
    cases = cases_of(contacts, TERMS)
    found = figures(cases, TERMS, round(11 * DAY_MS))
    assert (found.first_contact.mean, found.provisional) == (1.0, False)
    assert figures(cases[20:], TERMS, round(11 * DAY_MS)).provisional


def test_no_case_is_no_figure():
    found = figures([], TERMS, LATER)
    assert (found.cases, found.escalation, found.usd_per_resolution) == (0, None, None)


def test_fiellers_interval_is_that_of_its_definition():
    rng = np.random.default_rng(3)
    x = rng.poisson(3, 80).astype(float)
    y = 2 * x + rng.normal(0, 2, 80)
    found = ratio(y, x)
    from scipy.stats import t

    for r in (found.low, found.high):  # the mean of y - r x is just significantly different from 0
        z = y - r * x
        assert abs(z.mean()) / (z.std(ddof=1) / math.sqrt(80)) == pytest.approx(t.ppf(0.975, 79), rel=1e-6)
    assert ratio(np.ones(5), np.ones(5)).high == math.inf
    assert ratio(np.ones(20), np.zeros(20)) is None


def test_shares_of_none_and_all_have_an_interval():
    none = share(np.zeros(60), np.ones(60))
    assert (none.mean, none.low, none.high) == (0.0, 0.0, 0.05)


def test_spending_shows_idle_time_apart():
    cases = cases_of([said(f"q {n} {n}", user=f"u{n}", cost_usd=0.5) for n in range(20)], TERMS)
    found = spending(cases, Terms(machine_usd_per_hour=1.0), days=2, elsewhere_usd=4.0)
    assert (found.busy, found.elsewhere, found.idle, found.people) == (6.0, 4.0, 42.0, 0.0)
    shadowed = spending(cases, Terms(machine_usd_per_hour=1.0), days=2, elsewhere_usd=4.0, shadows_usd=3.0)
    assert (shadowed.busy, shadowed.total - found.total) == (6.0, 3.0)
    assert found.total == 52.0
    assert found.usd_per_resolution.mean == pytest.approx(52 / 20)
