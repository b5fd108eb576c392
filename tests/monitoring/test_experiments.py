"""Intervals against published formulas, the split's check against its closed form, and the conclusion in words."""

import math

import numpy as np
import pytest
from scipy.special import gammaln

from inhouse.monitoring import experiments
from inhouse.monitoring.experiments import (
    FIRST_LOOK,
    Experiment,
    difference,
    examine,
    mixture_variance,
    radius,
    sample_ratio,
)
from inhouse.types import Outcome


@pytest.mark.parametrize("t", [10, 500, 100_000])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_radius_is_the_asymptotic_confidence_sequence(t, sigma):
    """Waudby-Smith et al. 2024, equation (3): sigma sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha))."""
    rho2, alpha = mixture_variance(500, 0.05), 0.05
    published = sigma * math.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha))
    assert radius(np.asarray(sigma / math.sqrt(t)), sigma, alpha, 500) == pytest.approx(published, rel=1e-12)


def test_the_mixture_is_a_martingale_that_the_radius_inverts():
    """At the edge of the interval the normal mixture, E exp(lambda S - lambda^2 t / 2) over lambda ~ N(0, rho^2), is 1 / alpha."""
    t, rho2 = 700.0, mixture_variance(500, 0.05)
    edge = t * float(radius(np.asarray(1 / math.sqrt(t)), 1.0, 0.05, 500))
    lambdas = np.linspace(-1, 1, 200_001)
    density = np.exp(-(lambdas**2) / (2 * rho2)) / math.sqrt(2 * math.pi * rho2)
    mixed = np.trapezoid(np.exp(lambdas * edge - lambdas**2 * t / 2) * density, lambdas)
    assert mixed == pytest.approx(20, rel=1e-6)


def test_rho_is_near_the_best_at_the_planned_time():
    def wide(rho_time):
        return float(radius(np.asarray(1 / math.sqrt(500)), 1.0, 0.05, rho_time))

    assert wide(500) <= 1.001 * min(wide(p) for p in np.geomspace(50, 5000, 400))


def test_split_is_the_multinomial_bayes_factor():
    """Lindon and Malek 2022: with Dirichlet prior a and planned p, the factor of counts n is B(a + n) / B(a) / prod p^n."""
    rng = np.random.default_rng(1)
    came = rng.choice(3, 400, p=[0.5, 0.2, 0.3])
    planned = np.array([0.5, 0.25, 0.25])

    def factor(seen):
        n, a = np.bincount(seen, minlength=3), experiments.PRIOR_USERS * planned
        beta = gammaln(a + n).sum() - gammaln((a + n).sum()) - gammaln(a).sum() + gammaln(a.sum())
        return beta - (n * np.log(planned)).sum()

    largest = max(factor(came[: n + 1]) for n in range(len(came)))
    assert sample_ratio(came.tolist(), [2, 1, 1]) == pytest.approx(min(1.0, math.exp(-largest)), rel=1e-9)


def test_split_finds_what_is_wrong_and_leaves_what_is_right():
    rng = np.random.default_rng(2)
    assert sample_ratio(rng.integers(0, 2, 5000).tolist(), [1, 1]) > 0.01
    assert sample_ratio((rng.random(3000) < 0.4).tolist(), [1, 1]) < 1e-6
    assert sample_ratio((rng.random(3000) < 0.1).tolist(), [9, 1]) > 0.01
    assert sample_ratio([], [1, 1]) == 1.0
    assert sample_ratio([0, 1], [1, 0]) == 0.0  # nobody was planned for that arm


def test_looking_after_every_user_seldom_finds_what_is_not_there():
    rng = np.random.default_rng(3)
    runs, users = 300, 1500
    arms, y = rng.integers(0, 2, (runs, users)), (rng.random((runs, users)) < 0.3).astype(float)
    n = [np.cumsum(arms == a, axis=1) for a in (0, 1)]
    means = [np.cumsum(y * (arms == a), axis=1) / np.maximum(n[a], 1) for a in (0, 1)]
    variances = [m * (1 - m) * k / np.maximum(k - 1, 1) for m, k in zip(means, n, strict=True)]
    error = experiments.standard_error(n[1], variances[1], n[0], variances[0])
    apart = np.abs(means[1] - means[0])
    ours = (apart > radius(error, 0.5)).any(axis=1).mean()
    peeked = ((error > 0) & (apart > 1.96 * error)).any(axis=1).mean()
    assert ours <= 0.05
    assert peeked > 0.2


def test_difference_waits_for_users_and_for_outcomes_that_vary():
    few = difference([1.0] * 10, [0.0] * 200, 0.5)
    same = difference([1.0] * 200, [1.0] * 200, 0.5)
    assert math.isinf(few.high)
    assert math.isinf(same.high)
    rng = np.random.default_rng(4)
    found = difference(rng.binomial(1, 0.9, 2000), rng.binomial(1, 0.5, 2000), 0.5)
    assert 0.3 < found.low < 0.4 < found.high < 0.5
    assert found.n == 4000


# --- a whole experiment -----------------------------------------------------------------------------------------


def rows(rng, users, arms=("base", "bot/2"), rates=(0.5, 0.5), slow=(1.0, 1.0)):
    made = []
    for n in range(users):
        a = int(rng.integers(0, 2))
        made.append(Outcome(user=f"u{n}", arm=arms[a], first_at=f"2026-01-01T{n:06d}", requests=2, errors=0,
                            resolved=float(rng.random() < rates[a]), thumb=None, escalated=0.0,
                            latency_s=float(rng.lognormal(0, 0.3)) * slow[a], cost_usd=0.0))  # fmt: skip
    return made


def split(since="", **more):
    """An experiment of base and bot/2, one to one, and arms with other weights."""
    weights = {"base": 1.0, "bot/2": 1.0} | {name.replace("_", "/"): w for name, w in more.items()}
    return Experiment(name="autumn", arms=weights, metric="resolved", started_at=since, since=since)


def test_a_winner_is_called_and_what_got_worse_is_named():
    found = examine(split(), rows(np.random.default_rng(5), 3000, rates=(0.5, 0.7), slow=(1, 2)))
    compared = found.comparisons["bot/2"]
    assert found.sample_ratio.holds
    assert compared["resolved"].shows == "better"
    assert compared["resolved"].low < 20 < compared["resolved"].high
    assert compared["latency"].shows == "worse"
    assert compared["latency"].low < 100 < compared["latency"].high  # percent: twice as long
    assert compared["thumb"].mean is None
    assert compared["cost"].mean is None  # costs of 0 have no ratio
    assert "bot/2 is better than base: the share of resolved requests differs by +" in found.conclusion
    assert "But time to answer is worse: +" in found.conclusion


def test_nothing_is_called_where_nothing_is():
    found = examine(split(), rows(np.random.default_rng(6), 1000))
    assert "No clear difference between bot/2 and base so far" in found.conclusion
    early = examine(split(), rows(np.random.default_rng(6), FIRST_LOOK))
    assert early.conclusion.startswith("Too early to judge bot/2")


def test_a_broken_split_stops_every_conclusion():
    rng = np.random.default_rng(7)
    lost = [r for r in rows(rng, 3000, rates=(0.5, 0.9)) if r.arm == "base" or rng.random() < 0.7]
    found = examine(split(), lost)
    assert found.conclusion.startswith("The results are not valid")
    assert "is better" not in found.conclusion


def test_users_of_other_weights_or_of_two_arms_do_not_count():
    came = rows(np.random.default_rng(8), 300)
    came.append(came[250].model_copy(update={"arm": "base" if came[250].arm == "bot/2" else "bot/2"}))
    found = examine(split(since=came[100].first_at), came)
    assert found.left_out == 101
    assert sum(a.users for a in found.arms.values()) == 199


def test_several_arms_share_the_error():
    three = rows(np.random.default_rng(9), 4000, arms=("base", "bot/2"))
    two = examine(split(), three).comparisons["bot/2"]["resolved"]
    more = examine(split(bot_3=0.0), three).comparisons["bot/2"]["resolved"]
    assert more.high - more.low > two.high - two.low
