"""Guard metrics: bets at fair odds, caught drops, missing metrics, and what does not matter."""

import copy
import math

import numpy as np
import pytest

from inhouse.monitoring import guards as module
from inhouse.monitoring.guards import DEFAULTS, LEVEL, METRICS, SHIFTS, Guards

SHARE = 0.2


def run(rng, answers, runs=400, share=SHARE, tolerated=DEFAULTS, **worse):
    """Simulated canaries, looked at after each answer; returns which were rolled back, and the guards.

    `worse` has what is added to the badness of the challenger's answers, by metric.
    """
    guards, caught = Guards(share, tolerated, runs=runs), np.zeros(runs, dtype=bool)
    for n in range(answers):
        arm = rng.random(runs) < share
        values = {n: (rng.random(runs) < p + arm * worse.get(n, 0)).astype(float)
                  for n, p in (("errors", 0.02), ("handoffs", 0.05), ("refusals", 0.02))}  # fmt: skip
        values["latency"] = rng.lognormal(0, 0.5, runs) * np.exp(arm * worse.get("latency", 0))
        for name, mean in (("confidence", 0.15), ("groundedness", 0.25)):
            m = mean + arm * worse.get(name, 0)
            values[name] = rng.beta(4 * m, 4 * (1 - m))
        guards.answer(arm, values, n)
        voted = rng.random(runs) < 0.3
        guards.vote(arm, np.where(voted, rng.random(runs) < 0.2 + arm * worse.get("thumbs", 0), np.nan), n)
        caught |= np.any([*guards.worse().values(), *guards.missing().values()], axis=0)
    return caught, guards


def test_canaries_that_are_no_worse_are_kept():
    caught, guards = run(np.random.default_rng(1), 400, 200)
    assert caught.mean() <= LEVEL
    better, _ = run(np.random.default_rng(2), 200, 100, handoffs=-0.05, confidence=-0.1)
    assert not better.any()
    assert {s.state for s in guards.standing(int(np.flatnonzero(~caught)[0]))} == {""}


@pytest.mark.parametrize("metric", ["handoffs", "confidence", "latency"])
def test_the_expected_wealth_of_fair_bets_never_grows(metric):
    """Exactly: over both arms of the next new user, whatever came before; each bettor for itself."""
    rng = np.random.default_rng(3)
    guards = Guards(SHARE, {metric: 0.05})

    def wealth(guards):
        return np.exp(guards._metrics[metric]._bets._log[0])

    grew = False
    for n in range(80):
        bad = float(rng.random() < 0.3) if metric == "handoffs" else float(rng.random())
        after = []
        for arm in (True, False):
            tried = copy.deepcopy(guards)
            tried.answer(arm, {metric: bad}, n)
            after.append(wealth(tried))
        assert SHARE * after[0] + (1 - SHARE) * after[1] == pytest.approx(wealth(guards), rel=1e-9)
        grew |= bool(np.any(after[0][: len(SHIFTS)] != after[1][: len(SHIFTS)]))
        guards.answer(rng.random() < SHARE, {metric: bad}, n)
    assert grew


@pytest.mark.parametrize(("bins", "worse"), [(2, 0.0), (2, 0.15), (40, 0.0), (40, 0.15)])
def test_the_planned_test_has_its_level_and_its_power(bins, worse, monkeypatch):
    """Shares of two bins against Fisher's exact test, scores of 40; answers come in any order, three in ten lack it."""
    monkeypatch.setattr(module, "PLANNED", 100)
    rng, runs, level = np.random.default_rng(8), 3000, 0.02
    look = module._Look(level, bins, runs)
    for _ in range(500):
        arm, known = rng.random(runs) < 0.3, rng.random(runs) < 0.7
        bad = np.clip(rng.beta(2, 6, runs) + worse * arm, 0, 0.999)
        bin = (bad > 0.5).astype(int) if bins == 2 else (bins * bad).astype(int)
        look.take(arm, bin, np.ones(runs, dtype=bool), known)
    won = look.wealth > 1
    assert set(np.unique(look.wealth)) <= {0.0, 1 / level}, "it has been made in all runs"
    if worse:
        assert won.mean() > (0.6 if bins == 2 else 0.95)
    else:
        assert 0.004 < won.mean() < level + 3 * np.sqrt(level / runs)


@pytest.mark.parametrize("metric", ["handoffs", "latency"])
def test_a_drop_is_caught_within_400_answers_also_of_half_of_the_users(metric):
    by = 0.3 if metric == "latency" else 0.1
    caught, guards = run(np.random.default_rng(7), 820, 100, 0.5, {metric: DEFAULTS[metric]}, **{metric: by})
    assert caught.mean() >= 0.95
    assert guards.needed[metric] == pytest.approx(1 / LEVEL)


def test_users_count_once_however_often_they_return():
    """A/A with users who each have a rate of their own, and return up to 40 times."""
    rng, runs, users = np.random.default_rng(6), 300, 60
    guards, caught = Guards(0.1, {"errors": 0.0, "handoffs": 0.0}, runs=runs), np.zeros(runs, dtype=bool)
    arms, rates = rng.random((runs, users)) < 0.1, rng.beta(0.1, 0.9, (runs, users))
    for _ in range(1200):
        who = rng.integers(0, users, runs)
        at = np.arange(runs), who
        values = {name: (rng.random(runs) < rates[at]).astype(float) for name in ("errors", "handoffs")}
        guards.answer(arms[at], values, who)
        caught |= np.any(list(guards.worse().values()), axis=0)
    assert caught.mean() <= LEVEL


@pytest.mark.parametrize("metric", ["errors", "handoffs", "refusals", "latency", "confidence", "groundedness"])
def test_a_drop_of_ten_points_is_caught(metric):
    by = 0.5 if metric == "latency" else 0.1
    caught, guards = run(np.random.default_rng(4), 2000, 100, tolerated={metric: DEFAULTS[metric]}, **{metric: by})
    assert caught.mean() >= 0.95
    found = [guards.standing(n) for n in np.flatnonzero(caught)]
    states = [next(s.state for s in standing if s.metric == metric) for standing in found]
    assert states.count("worse") >= 0.9 * len(states)


def test_a_difference_that_is_tolerated_is_kept_however_certain():
    rng, guards = np.random.default_rng(5), Guards(0.5, {"handoffs": 0.15})
    for n in range(4000):
        arm = rng.random() < 0.5
        guards.answer(arm, {"handoffs": float(rng.random() < 0.1 + 0.1 * arm)}, n)
    standing = guards.standing()[0]
    assert standing.evidence > standing.needed
    assert standing.state == ""
    assert standing.difference == pytest.approx(0.1, abs=0.03)


def answered(guards, challenger, times, **values):
    for _ in range(times):
        guards.answer(challenger, values, int(challenger))


def test_a_metric_that_the_challenger_does_not_report_is_missing():
    guards = Guards(0.5, {"confidence": 0.05}, missing_after=20)
    answered(guards, False, 60, confidence=0.2)
    answered(guards, True, 19)
    assert guards.breach() is None
    answered(guards, True, 1)
    found = guards.breach()
    assert (found.state, found.missing) == ("missing", 20)
    assert found.sentence == "Estimated accuracy: missing in the last 20 answers of the canary"


def test_a_metric_that_stops_is_missing_and_one_that_is_rare_is_not():
    guards = Guards(0.5, {"groundedness": 0.05}, missing_after=20)
    for n in range(400):  # one answer in ten has it
        value = {"groundedness": 0.1} if n % 10 == 0 else {}
        guards.answer(False, value, n)
        guards.answer(True, value, 1000 + n)
        assert guards.breach() is None
    answered(guards, True, 100)
    assert guards.breach() is None  # may still be chance
    answered(guards, True, 200)
    assert guards.breach().state == "missing"


@pytest.mark.parametrize(("required", "state"), [(frozenset({"groundedness"}), "missing"), (frozenset(), None)])
def test_a_metric_that_nobody_reports_is_missing_only_if_it_is_required(required, state):
    guards = Guards(0.5, {"groundedness": 0.05}, required, missing_after=30)
    answered(guards, False, 100)
    answered(guards, True, 40)
    assert (guards.breach().state if guards.breach() else None) == state


def test_votes_are_rare_and_their_absence_alone_says_nothing():
    guards = Guards(0.5, {"thumbs": 0.1}, frozenset({"thumbs"}), missing_after=30)
    answered(guards, False, 100)
    answered(guards, True, 100)
    assert guards.breach() is None


def test_looking_can_be_turned_off():
    guards = Guards(0.5, {"confidence": 0.05}, frozenset({"confidence"}), missing_after=0)
    answered(guards, True, 500)
    assert guards.breach() is None


def test_the_reason_is_said_in_words():
    guards = Guards(0.5, {"errors": 0.02, "confidence": 0.05})
    for n in range(30):
        guards.answer(False, {"errors": 0.0, "confidence": 0.1}, n)
        guards.answer(True, {"errors": 1.0}, 100 + n)
    found = guards.breach()
    assert found.metric == "errors"
    assert found.sentence == "Errors: 100.0% in 30 answers of the canary, 0.0% in 30 of production"
    shown = next(s for s in guards.standing() if s.metric == "confidence").shown
    assert shown[0] == pytest.approx(0.9)
    assert shown[1] is None


def test_the_metrics_share_the_level():
    guards = Guards(0.5, DEFAULTS)
    assert sum(1 / n for n in guards.needed.values()) == pytest.approx(LEVEL)
    assert sum(m.part for m in METRICS.values()) == pytest.approx(1)
    assert all(math.isfinite(s.evidence) for s in guards.standing())


def test_one_user_shows_nothing_but_a_run_of_failures_does():
    guards = Guards(0.1, {"errors": 0.02}, missing_after=50)
    for n in range(49):
        guards.answer(False, {"errors": 0.0}, n)
        guards.answer(True, {"errors": 1.0}, 1000)
    assert guards.breach() is None
    guards.answer(True, {"errors": 1.0}, 1000)
    assert guards.breach().sentence == "Errors: all of the last 50 answers of the canary"


def test_failures_of_both_are_no_reason():
    guards = Guards(0.1, {"errors": 0.02}, missing_after=50)
    for n in range(200):
        guards.answer(n % 2, {"errors": 1.0}, n)
    assert guards.breach() is None
