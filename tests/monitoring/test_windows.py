"""Means of windows: calibrated under habits, days, and weekdays, found when large enough, silent when there is little."""

import math

import numpy as np
import pytest

from inhouse.monitoring import windows
from inhouse.monitoring.windows import Units, compare, holm, span_of, units_of, usual

USERS = 1500


def month(seed, per_day=500, shift=0.0, tau=0.012, days=58, rate=0.15):
    """Day, user, and outcome of each request: users have habits, days and days of the week differ."""
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 1, USERS)
    day = np.repeat(np.arange(-28, days - 28), per_day)
    user = rng.choice(USERS, len(day), p=weight / weight.sum())
    habit = rng.beta(4 * rate, 4 * (1 - rate), USERS)
    each = tau * rng.standard_normal(days) + 0.03 * rng.standard_normal(7)[np.arange(-28, days - 28) % 7]
    p = habit[user] + each[day + 28] + shift * (day >= 0)
    return units_of(day, user, (rng.random(len(day)) < p).astype(float))


def part(units, which):
    return Units(units.day[which], units.user[which], units.value[which])


def shifts(units, width=1):
    known = usual(part(units, units.day < 0), USERS)
    for last in range(width - 1, int(units.day.max()) + 1):
        yield compare(known, part(units, (units.day > last - width) & (units.day <= last)))


def test_a_user_counts_once_a_day_and_what_is_unknown_does_not_count():
    day, user = np.array([0, 0, 0, 1]), np.array([3, 3, 5, 3])
    units = units_of(day, user, np.array([1.0, 0.0, math.nan, 1.0]))
    assert (units.day.tolist(), units.user.tolist(), units.value.tolist()) == ([0, 1], [3, 3], [0.5, 1.0])
    assert len(units_of(day, user, np.full(4, math.nan)).day) == 0


@pytest.mark.parametrize("width", [1, 7])
def test_without_a_change_p_is_uniform_enough_whatever_users_and_days_are_like(width):
    ps = [s.p(0.0, 0) for seed in range(25) for s in shifts(month(seed), width)]
    assert np.mean(np.array(ps) < 0.05) < 0.08
    assert np.mean(np.array(ps) < 0.002) <= 0.004


def test_errors_are_not_those_of_independent_requests():
    units = month(1)
    shift = next(shifts(units))
    independent = math.sqrt(0.15 * 0.85 / shift.units)
    assert shift.error > 1.05 * independent
    assert shift.freedom < 60  # days are few, whatever the number of requests


def test_a_shift_is_found_on_its_first_day_and_has_its_size():
    found = [s for seed in range(10) for s in list(shifts(month(seed, per_day=1000, shift=0.2)))[:2]]
    assert np.mean([s.p(0.03, 1) < windows.single_level(14) for s in found]) >= 0.9
    assert np.mean([s.effect for s in found]) == pytest.approx(0.2, abs=0.02)
    assert np.mean([s.interval(0.95)[0] < 0.2 < s.interval(0.95)[1] for s in found]) >= 0.85


def test_a_change_without_harm_is_none_however_much_traffic_there_is():
    known = usual(part(month(2, per_day=6000, tau=0.0), slice(None)), USERS)
    small = compare(known, month(3, per_day=6000, tau=0.0, days=29, shift=0.0))
    assert small is not None
    fair = windows.Shift(0.02, 0.0005, 1000.0, 5000, 0.17, 0.15)
    assert fair.p(0.0, 1) < 1e-6  # certainly not zero
    assert fair.p(0.03, 1) > 0.99  # and certainly harmless
    assert fair.p(0.0, -1) > 0.99  # in the other direction it is an improvement


def test_nothing_that_varies_is_judged_by_its_size_alone():
    still = Units(np.repeat(np.arange(-28, 0), 50), np.tile(np.arange(50), 28), np.zeros(1400))
    moved = Units(np.zeros(50, dtype=int), np.arange(50), np.ones(50))
    shift = compare(usual(still, 50), moved)
    assert (shift.effect, shift.p(0.03, 1), shift.p(0.03, -1)) == (1.0, 0.0, 1.0)
    assert compare(usual(still, 50), part(moved, slice(0, 1))) is None


def test_windows_are_as_long_as_the_power_takes_and_none_is_long_enough_for_little_traffic():
    level = windows.single_level(14)
    busy, quiet = (usual(part(u := month(4, per_day=n), u.day < 0), USERS) for n in (1000, 8))
    counts = {days: 600 * days for days in windows.SPANS}
    days, needed = span_of(busy, counts, 0.20, level, 0.25)
    assert days == 1
    assert windows.LEAST_UNITS <= needed <= 600
    longer, more = span_of(busy, counts, 0.06, level, 0.25)
    assert longer > 1
    assert more > needed
    assert span_of(quiet, {days: 8 * days for days in windows.SPANS}, 0.03, level, 0.25)[0] == 0


def test_days_that_differ_too_much_show_nothing_whatever_the_traffic():
    restless = usual(part(u := month(5, tau=0.3), u.day < 0), USERS)
    days, needed = span_of(restless, dict.fromkeys(windows.SPANS, 10**6), 0.05, windows.single_level(14))
    assert (days, needed) == (0, math.inf)


def test_holm_counts_monitors_without_traffic_and_keeps_the_order():
    adjusted = holm({"a": 0.001, "b": 0.01, "c": 0.0005}, 10)
    assert adjusted == {"c": pytest.approx(0.005), "a": pytest.approx(0.009), "b": pytest.approx(0.08)}
    assert holm({"a": 0.9, "b": 0.2}, 2) == {"b": pytest.approx(0.4), "a": pytest.approx(0.9)}


def test_a_month_of_looks_has_its_budget():
    assert windows.LOOKS * 14 * windows.single_level(14) == pytest.approx(windows.BUDGET)
    assert windows.BUDGET < 1
