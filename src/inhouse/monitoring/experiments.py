"""What a live experiment shows so far, in figures that may be checked and acted on at any time.

An ordinary 95% interval that is checked every day excludes zero sooner or later, even if there is no difference. These
intervals hold at all times together: asymptotic confidence sequences by a normal mixture (Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics;
the mixture is Robbins's of 1970, in Howard et al. 2021). A user counts once, with their mean: users are what is split,
and one user's requests are alike. The split itself is checked by the multinomial test of Lindon and Malek (2022,
"Anytime-valid inference for multinomial count data"), in the order in which users came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from inhouse.types import Array, Estimate, Outcome, Record

LEVEL = 0.04  # for at most .05 of false winners: returning users change means that were counted, which costs some
FIRST_LOOK = 50  # users in each arm: with fewer, means are not normal enough
PLANNED = 500.0  # time at which the interval is tightest: 1,000 users in each of two arms
SHARE_SPREAD, LOG_SPREAD = 0.5, 1.0  # assumed standard deviation of a user: only tightness depends on it
SPLIT_LEVEL = 0.01
PRIOR_USERS = 100.0  # weight of the planned split in its check


class Metric(NamedTuple):
    """An outcome: `better` is +1 where more is better. Ratios are compared by the logarithm of a user's mean."""

    field: str
    about: str
    better: int
    ratio: bool = False


METRICS = {
    "resolved": Metric("resolved", "the share of resolved requests", 1),
    "thumb": Metric("thumb", "the share of thumbs up", 1),
    "escalated": Metric("escalated", "the share of requests passed to a person", -1),
    "latency": Metric("latency_s", "time to answer", -1, True),
    "cost": Metric("cost_usd", "cost per request", -1, True),
}


# --- intervals --------------------------------------------------------------------------------------------------


def mixture_variance(planned: float, level: float) -> float:
    """rho^2 that makes the interval tightest at `planned` (Waudby-Smith et al. 2024, appendix on the choice of rho)."""
    evidence = -2 * math.log(level)
    return (evidence + math.log(evidence + 1)) / planned


def radius(error: Array, spread: float, level: float = LEVEL, planned: float = PLANNED) -> Array:
    """Half the width of the interval around an estimate with the standard error `error`.

    The sequence's time t is (spread / error)^2: n / 2 for two arms of n users each whose outcomes vary by `spread`.
    This is the cited paper's spread * sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / level)).
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        r = mixture_variance(planned, level) * (spread / error) ** 2
        wide: Array = error * np.sqrt((1 + 1 / r) * (np.log1p(r) - 2 * math.log(level)))
    return np.where(error > 0, wide, math.inf)


def standard_error(n_ours: Array, variance_ours: Array, n_theirs: Array, variance_theirs: Array) -> Array:
    """Of the difference of two means; 0, which makes the interval infinite, while an arm has too few users."""
    import numpy as np

    enough = (n_ours >= FIRST_LOOK) & (n_theirs >= FIRST_LOOK)
    squared = variance_ours / np.maximum(n_ours, 1) + variance_theirs / np.maximum(n_theirs, 1)
    return np.where(enough, np.sqrt(squared), 0.0)


def difference(ours: Sequence[float], theirs: Sequence[float], spread: float, level: float = LEVEL) -> Estimate:
    """The difference of two arms' means over users, ours less theirs, with an interval that holds at all times."""
    import numpy as np

    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if min(len(a), len(b)) < 2:
        return Estimate(mean=0.0, low=-math.inf, high=math.inf, n=len(a) + len(b))
    sizes = np.asarray(float(len(a))), np.asarray(float(len(b)))
    error = standard_error(sizes[0], a.var(ddof=1), sizes[1], b.var(ddof=1))
    mean, wide = float(a.mean() - b.mean()), float(radius(error, spread, level))
    return Estimate(mean=mean, low=mean - wide, high=mean + wide, n=len(a) + len(b))


def sample_ratio(arms: Sequence[int], weights: Sequence[float]) -> float:
    """Always-valid p of "users are split as planned"; `arms` has each user's arm, in the order in which they came.

    It is 1 over the largest value so far of the Bayes factor of a split drawn from a Dirichlet around the planned one
    to the planned one: a user in arm i, after n_i there of n, multiplies it by (k p_i + n_i) / ((k + n) p_i).
    """
    import numpy as np

    planned = np.asarray(weights, dtype=float) / sum(weights)
    came = np.asarray(arms, dtype=int)
    if not len(came):
        return 1.0
    if (planned[came] == 0).any():
        return 0.0
    into = came[:, None] == np.arange(len(planned))
    before = (np.cumsum(into, axis=0) - into)[np.arange(len(came)), came]
    share = planned[came]
    steps = np.log((PRIOR_USERS * share + before) / ((PRIOR_USERS + np.arange(len(came))) * share))
    return float(min(1.0, math.exp(-max(0.0, float(np.cumsum(steps).max())))))


# --- an experiment ----------------------------------------------------------------------------------------------


class Experiment(Record):
    """A live split of `custom` by user. `arms` are weights by release ("NAME/3") or "base"; the first is the control.

    `since` is when the weights last changed: what happened before is not counted.
    """

    name: str
    arms: dict[str, float]
    metric: str
    started_at: str
    since: str


class Mean(Record):
    """Over the users that something is known of."""

    users: int
    mean: float | None


class ArmOutcomes(Record):
    """An arm so far: its users and requests, the share of users planned for it, and its means by metric."""

    users: int
    requests: int
    planned: float
    metrics: Mapping[str, Mean]


class Comparison(Record):
    """An arm less the first in one metric, in points or for ratios in percent; None before the first look.

    `users` counts those of both arms with a known value; `shows` is "" while the interval contains zero.
    """

    users: tuple[int, int]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    shows: Literal["", "better", "worse"] = ""


class SampleRatio(Record):
    """The check of the split: the p-value of "users are split as planned", and whether it is not rejected."""

    p: float
    holds: bool


class Results(Record):
    """What an experiment shows so far. `comparisons` are by arm and metric; `left_out` counts users not looked at."""

    name: str
    since: str
    metric: str
    conclusion: str = ""
    arms: Mapping[str, ArmOutcomes]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    sample_ratio: SampleRatio
    left_out: int


def examine(experiment: Experiment, outcomes: Sequence[Outcome]) -> Results:
    """What the experiment shows; users who came before `since` are left out, since they were split otherwise.

    Args:
        experiment: its arms; the first is the control, and its metric decides.
        outcomes: one per user and arm, in the order in which users came.
    """
    rows, left_out = _counted(outcomes, experiment)
    names = list(experiment.arms)
    by_arm = {arm: [r for r in rows if r.arm == arm] for arm in names}
    level = LEVEL / max(1, len(names) - 1)
    split = sample_ratio([names.index(r.arm) for r in rows], list(experiment.arms.values()))
    total = sum(experiment.arms.values())
    results = Results(
        name=experiment.name,
        since=experiment.since,
        metric=experiment.metric,
        arms={arm: _arm(own, experiment.arms[arm] / total) for arm, own in by_arm.items()},
        comparisons={
            arm: {name: _compared(by_arm[arm], by_arm[names[0]], METRICS[name], level) for name in METRICS}
            for arm in names[1:]
        },
        sample_ratio=SampleRatio(p=split, holds=split >= SPLIT_LEVEL),
        left_out=left_out,
    )
    return results.model_copy(update={"conclusion": conclusion(results)})


def _counted(outcomes: Sequence[Outcome], experiment: Experiment) -> tuple[list[Outcome], int]:
    """The outcomes of users who came in time and saw one arm only, and the number of other users."""
    by_user: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_user.setdefault(outcome.user, []).append(outcome)
    kept = [
        own[0]
        for own in by_user.values()
        if len(own) == 1 and own[0].arm in experiment.arms and own[0].first_at >= experiment.since
    ]
    return kept, len(by_user) - len(kept)


def _values(rows: Sequence[Outcome], metric: Metric) -> list[float]:
    known = [float(v) for r in rows if (v := getattr(r, metric.field)) is not None]
    return [math.log(v) for v in known if v > 0] if metric.ratio else known


def _arm(rows: Sequence[Outcome], planned: float) -> ArmOutcomes:
    means = {}
    for name, metric in METRICS.items():
        values = _values(rows, metric)
        mean = sum(values) / len(values) if values else None
        means[name] = Mean(users=len(values), mean=math.exp(mean) if mean is not None and metric.ratio else mean)
    return ArmOutcomes(users=len(rows), requests=sum(r.requests for r in rows), planned=planned, metrics=means)


def _compared(ours: Sequence[Outcome], theirs: Sequence[Outcome], metric: Metric, level: float) -> Comparison:
    a, b = _values(ours, metric), _values(theirs, metric)
    e = difference(a, b, LOG_SPREAD if metric.ratio else SHARE_SPREAD, level)
    if math.isinf(e.low):
        return Comparison(users=(len(a), len(b)))
    shows: Literal["", "better", "worse"] = ""
    if e.low > 0 or e.high < 0:
        shows = "better" if (e.mean > 0) == (metric.better > 0) else "worse"
    mean, low, high = (100 * (math.expm1(v) if metric.ratio else v) for v in (e.mean, e.low, e.high))
    return Comparison(users=(len(a), len(b)), mean=mean, low=low, high=high, shows=shows)


# --- in words ---------------------------------------------------------------------------------------------------


def conclusion(results: Results) -> str:
    """What may be concluded now, in words."""
    if not results.sample_ratio.holds:
        users = sum(a.users for a in results.arms.values())
        seen = ", ".join(
            f"{name} has {a.users} users, planned were {users * a.planned:.0f}" for name, a in results.arms.items()
        )
        return (
            f"The results are not valid: users are not split as planned ({seen}; p = {results.sample_ratio.p:.1g}). "
            "Requests to one arm are being lost, or some bypass the split. Fix the cause, then start a new experiment."
        )
    control = next(iter(results.arms))
    return " ".join(_sentence(arm, control, results.metric, rows) for arm, rows in results.comparisons.items())


def _sentence(arm: str, control: str, metric: str, rows: Mapping[str, Comparison]) -> str:
    about, row = METRICS[metric].about, rows[metric]
    if row.mean is None:
        ours, theirs = row.users
        return (
            f"Too early to judge {arm}: {about} is known for {ours} of its users and for {theirs} of {control}'s. Each "
            f"arm needs at least {FIRST_LOOK} users whose values differ."
        )
    figures = f"{about} differs by {in_words(metric, row)}"
    if row.shows:
        text = f"{arm} is {row.shows} than {control}: {figures}. You may stop the experiment."
    else:
        text = f"No clear difference between {arm} and {control} so far: {figures}."
    worse = [n for n, r in rows.items() if n != metric and r.shows == "worse"]
    return text + "".join(f" But {METRICS[n].about} is worse: {in_words(n, rows[n])}." for n in worse)


def in_words(metric: str, row: Comparison) -> str:
    """A comparison's figures with their unit."""
    if row.mean is None:
        return "too early"
    if METRICS[metric].ratio:
        return f"{row.mean:+.1f}% [{row.low:+.1f}%, {row.high:+.1f}%]"
    return f"{row.mean:+.1f} [{row.low:+.1f}, {row.high:+.1f}] points"
