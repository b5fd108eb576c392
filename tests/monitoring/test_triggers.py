"""The decision to build, against figures worked out by hand, and what leads to it."""

import math

import numpy as np
import pytest

from inhouse.monitoring import triggers as t
from inhouse.types import Estimate

AT = "2026-11-30T12:00:00.000+00:00"
ECONOMY = t.Economy(requests=1000, wrong_usd=2.0, build_usd=480.0, mends=0.8, cooldown_days=7, date_days=91)


def loss(mean, sd=0.005, drift=0.0004):
    return t.Loss(mean=mean, sd=sd, drift=drift)


def estimate(mean, half=0.02, n=200):
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def trigger(kind, share=0.0):
    return t.Trigger(kind=kind, text=kind, share=share)


# --- the rule ---------------------------------------------------------------------------------------------------


def test_the_horizon_is_half_of_the_cheapest_interval():
    """With a loss that grows evenly, no other interval between builds is cheaper."""
    a_day, drift = 1000 * 2.0 * 0.8, 0.0004
    costs = {days: a_day * drift * days / 2 + 480 / days for days in np.arange(5, 120, 0.01)}
    assert 2 * t.horizon(ECONOMY, drift) == pytest.approx(min(costs, key=costs.get), abs=0.02)


def test_the_horizon_stays_within_cooldown_and_date():
    assert t.horizon(ECONOMY.model_copy(update={"build_usd": 0.01}), 0.01) == 7
    assert t.horizon(ECONOMY.model_copy(update={"build_usd": 1e6}), 1e-6) == 91
    assert t.horizon(ECONOMY.model_copy(update={"requests": 0}), 0.0004) == 91
    assert t.horizon(ECONOMY.model_copy(update={"requests": 0, "date_days": 0}), 0.0004) == 365


@pytest.mark.parametrize(("mean", "action"), [(0.0150, "wait"), (0.0160, "build")])
def test_a_build_is_made_when_waiting_costs_more(mean, action):
    """480 = 1000 * 2 * .8 * d * H with H = sqrt(480 / (2 * 1600 * .0004)) = 19.4 days, so d = 1.55 %."""
    decision = t.decide(AT, 40, loss(mean), ECONOMY)
    assert decision.action == action
    assert decision.waiting_usd == pytest.approx(1000 * 2 * 30 * mean)
    assert f"waiting costs ${1000 * 2 * 30 * mean:,.0f} a month" in decision.text
    assert "a build costs $480.00 and pays within 19 days" in decision.text
    assert f"therefore {action}" in decision.text


def test_the_probability_that_a_build_pays_is_that_of_the_forecast():
    even = 480 / (1600 * t.horizon(ECONOMY, 0.0004))
    assert t.decide(AT, 40, loss(even), ECONOMY).pays == pytest.approx(0.5)
    assert t.decide(AT, 40, loss(even + 0.005), ECONOMY).pays == pytest.approx(0.8413, abs=1e-3)


def test_nothing_is_built_within_the_cooldown_unless_a_person_marked_a_change():
    assert t.decide(AT, 3, loss(0.5), ECONOMY).action == "wait"
    assert "cooldown is 7 days" in t.decide(AT, 3, loss(0.5), ECONOMY).reason
    assert t.decide(AT, 3, loss(0.0), ECONOMY, [trigger("marked")]).action == "build"


def test_without_traffic_waiting_costs_nothing():
    idle = ECONOMY.model_copy(update={"requests": 0})
    decision = t.decide(AT, 400, loss(0.2), idle, [trigger("date")])
    assert (decision.action, decision.waiting_usd, decision.pays) == ("wait", 0, 0)


@pytest.mark.parametrize(("sd", "action"), [(0.0005, "wait"), (0.01, "build")])
def test_on_the_date_the_upper_end_of_the_forecast_decides(sd, action):
    """Until the next date a build could gain 1600 * 91 * (.002 + 1.96 sd): 434 or more than 480 dollars."""
    due = [trigger("date")]
    assert t.decide(AT, 92, loss(0.002, sd), ECONOMY, due).action == action
    assert t.decide(AT, 90, loss(0.002, sd), ECONOMY).action == "wait"


def test_what_a_topic_shows_to_be_wrong_counts_at_once():
    assert t.decide(AT, 40, loss(0.0), ECONOMY, [trigger("topic", 0.01)]).action == "wait"
    assert t.decide(AT, 40, loss(0.0), ECONOMY, [trigger("topic", 0.05)]).action == "build"
    assert t.decide(AT, 40, loss(0.04), ECONOMY, [trigger("topic", 0.01)]).waiting_usd == pytest.approx(2400)


# --- the forecast -----------------------------------------------------------------------------------------------


def seen(values, sd=0.03):
    return [t.Seen(day=7.0 * (n + 1), loss=v, sd=sd) for n, v in enumerate(values)]


def test_without_estimates_the_loss_drifts_and_gets_less_sure():
    early, late = (t.forecast([], day, t.DRIFT_A_DAY) for day in (1, 91))
    assert late.mean == pytest.approx(0.02)
    assert late.sd == pytest.approx(math.hypot(t.LEFT, t.WANDERS * math.sqrt(91)))
    assert early.sd < late.sd


def test_noise_moves_the_forecast_less_than_the_estimate():
    rng = np.random.default_rng(3)
    ends = [t.forecast(seen(rng.normal(0, 0.03, 8)), 56, t.DRIFT_A_DAY).mean for _ in range(300)]
    assert np.mean(ends) < 0.02
    assert np.quantile(ends, 0.9) < 0.04


def test_a_sudden_loss_is_followed_within_two_estimates():
    calm = [0.0, 0.01, -0.01, 0.0]
    assert t.forecast(seen(calm), 28, t.DRIFT_A_DAY).mean < 0.01
    assert t.forecast(seen([*calm, 0.16, 0.15]), 42, t.DRIFT_A_DAY).mean > 0.11
    assert t.forecast(seen([*calm, 0.09]), 35, t.DRIFT_A_DAY).mean < 0.06  # once might be noise


def test_the_forecast_is_never_negative():
    assert t.forecast(seen([-0.1] * 6), 42, t.DRIFT_A_DAY).mean == 0


def test_what_a_build_left_is_where_the_next_forecast_begins():
    assert t.forecast([], 0, t.DRIFT_A_DAY, left=0.03).mean == pytest.approx(0.03)


def test_the_drift_is_the_prior_until_estimates_say_otherwise():
    assert t.drift_of([]) == pytest.approx(t.DRIFT_A_DAY)
    fast = [[t.Seen(day=d, loss=0.002 * d, sd=0.01) for d in range(7, 92, 7)] for _ in range(4)]
    assert t.drift_of(fast) == pytest.approx(0.002, rel=0.15)
    still = [[s.model_copy(update={"loss": 0.0}) for s in cycle] for cycle in fast]
    assert t.DRIFT_A_DAY / 20 <= t.drift_of(still) < 0.3 * t.DRIFT_A_DAY


def test_two_estimates_make_a_loss_with_the_error_of_both():
    s = t.seen(30, estimate(0.90), estimate(0.84))
    assert s.loss == pytest.approx(0.06)
    assert s.sd == pytest.approx(math.hypot(0.02, 0.02) / t.Z)


# --- triggers ---------------------------------------------------------------------------------------------------


def test_accuracy_is_below_the_threshold_only_with_its_whole_interval():
    assert not t.accuracy_trigger(None, 0.8)
    assert not t.accuracy_trigger(estimate(0.79), 0.8)
    [found] = t.accuracy_trigger(estimate(0.77), 0.8)
    assert found.text == "estimated accuracy 77.0% [75.0%, 79.0%] is below 80%"


def test_feedback_must_be_worse_than_before_beyond_chance():
    assert not t.feedback_trigger((10, 1000), (12, 1000))
    assert not t.feedback_trigger((10, 1000), (4, 50))  # too few to say anything
    assert not t.feedback_trigger((50, 1000), (10, 1000))
    [found] = t.feedback_trigger((10, 1000), (40, 1000))
    assert found.text == "40 of 1,000 answers have bad feedback, 10 of 1,000 before"


def test_the_date_is_due_after_so_many_days():
    assert not t.date_trigger(90, 91)
    assert not t.date_trigger(900, 0)
    assert "92 days old" in t.date_trigger(92, 91)[0].text


def unit(rows):
    rows = np.asarray(rows, dtype=float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_topic_whose_questions_fail_is_named_with_its_questions():
    rng = np.random.default_rng(1)
    good = np.tile([1.0, 0, 0, 0], (20, 1)) + rng.normal(0, 0.1, (20, 4))
    new = np.tile([0, 1.0, 0, 0], (6, 1)) + rng.normal(0, 0.1, (6, 4))
    questions = [f"good {n}" for n in range(20)] + [f"gold card {n}" for n in range(6)]
    failed = [n == 3 for n in range(20)] + [True] * 6
    [found] = t.topics(questions, unit([*good, *new]), failed, unit([[1, 0, 0, 0]]))
    assert found.text.startswith("a new topic fails: 6 of 6 questions such as 'gold card")
    assert set(found.questions) == {f"gold card {n}" for n in range(6)}
    assert found.share == pytest.approx((6 - 7 / 26 * 6) / 26)


def test_a_known_topic_is_not_called_new_and_one_repeated_question_is_no_topic():
    near = unit(np.tile([0, 1.0, 0.05], (5, 1)))
    rest = unit(np.tile([1.0, 0, 0], (10, 1)))
    questions, failed = [f"q{n}" for n in range(15)], [True] * 5 + [False] * 10
    [found] = t.topics(questions, np.vstack([near, rest]), failed, near[:1])
    assert found.text.startswith("a topic fails")
    assert not t.topics(["same"] * 5 + questions[5:], np.vstack([near, rest]), failed, near[:1])
    assert not t.topics([], np.zeros((0, 3)), [])


def test_the_lower_end_of_a_share():
    """R: binom::binom.wilson(8, 10) gives .4901625, (0, 10) gives 0."""
    assert t.wilson_low(8, 10) == pytest.approx(0.4901625, abs=1e-6)
    assert t.wilson_low(0, 10) == pytest.approx(0, abs=1e-12)
    assert t.wilson_low(0, 0) == 0
