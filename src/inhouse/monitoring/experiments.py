"""What a live experiment shows so far, in figures that may be looked at at any time, and stopped at when one likes.

An ordinary 95 % interval that is looked at every day excludes no difference sooner or later, whatever is true. These
intervals hold at all times together: asymptotic confidence sequences by a normal mixture (Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics;
the mixture is Robbins's of 1970, in Howard et al. 2021). A user counts once, with the mean of what they had: users are
what was split, and one user's requests are alike. The split itself is checked by the multinomial test of Lindon and
Malek (2022, "Anytime-valid inference for multinomial count data"), in the order in which users came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.types import Estimate, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.04  # for at most .05 of false winners: who comes back changes a mean that was counted, which costs some
FIRST_LOOK = 50  # users in each arm: before, means are not normal enough
PLANNED = 500.0  # where the interval is tightest for its time: 1,000 users in each of two arms
SHARE_SPREAD, LOG_SPREAD = 0.5, 1.0  # a user's standard deviation, as planned: only tightness depends on it
SPLIT_LEVEL = 0.01
PRIOR_USERS = 100.0  # weight of the planned split in its check


class Metric(NamedTuple):
    """An outcome: `better` is +1 where more is better. Ratios are compared on the logarithm of a user's mean."""

    field: str
    about: str
    better: int
    ratio: bool = False


METRICS = {
    "resolved": Metric("resolved", "resolved requests", 1),
    "thumb": Metric("thumb", "thumbs up", 1),
    "escalated": Metric("escalated", "requests passed to a person", -1),
    "latency": Metric("latency_s", "time to answer", -1, True),
    "cost": Metric("cost_usd", "cost of a request", -1, True),
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
    """Of the difference of two means; 0, which makes the interval endless, while an arm has too few users."""
    import numpy as np

    enough = (n_ours >= FIRST_LOOK) & (n_theirs >= FIRST_LOOK)
    squared = variance_ours / np.maximum(n_ours, 1) + variance_theirs / np.maximum(n_theirs, 1)
    return np.where(enough, np.sqrt(squared), 0.0)


def difference(ours: Sequence[float], theirs: Sequence[float], spread: float, level: float = LEVEL) -> Estimate:
    """The difference of two arms' means over users, ours less theirs, with its interval for all times."""
    import numpy as np

    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if min(len(a), len(b)) < 2:
        return Estimate(mean=0.0, low=-math.inf, high=math.inf, n=len(a) + len(b))
    sizes = np.asarray(float(len(a))), np.asarray(float(len(b)))
    error = standard_error(sizes[0], a.var(ddof=1), sizes[1], b.var(ddof=1))
    mean, wide = float(a.mean() - b.mean()), float(radius(error, spread, level))
    return Estimate(mean=mean, low=mean - wide, high=mean + wide, n=len(a) + len(b))


def sample_ratio(arms: Sequence[int], weights: Sequence[float]) -> float:
    """Always-valid p of "users are dealt as planned"; `arms` has each user's arm, in the order in which they came.

    The Bayes factor of any split, drawn from a Dirichlet around the planned one, to the planned: a user in arm i
    multiplies it by (k p_i + n_i) / ((k + n) p_i), n_i being those before. p is 1 over the largest that it ever was.
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


def examine(
    outcomes: Sequence[Mapping[str, Any]], weights: Mapping[str, float], metric: str, since: str = ""
) -> dict[str, Json]:
    """What the experiment shows.

    Args:
        outcomes: one row a user and arm, in the order in which they came: user, arm, first_at, requests, and what
            METRICS names, None where nothing is known.
        weights: of the arms; the first is the one that the others are compared with.
        metric: the outcome that decides.
        since: when the weights were set (ISO 8601). Users who had come before are left out: they were dealt otherwise.

    Returns:
        `verdict` in words, `arms`, `comparisons` (by arm and metric, of the others with the first), `sample_ratio`,
        and how many users were left out.
    """
    rows, left_out = _counted(outcomes, weights, since)
    names = list(weights)
    by_arm = {arm: [r for r in rows if r["arm"] == arm] for arm in names}
    level = LEVEL / max(1, len(names) - 1)
    compared = {
        arm: {name: _compared(by_arm[arm], by_arm[names[0]], METRICS[name], level) for name in METRICS}
        for arm in names[1:]
    }
    split = sample_ratio([names.index(r["arm"]) for r in rows], list(weights.values()))
    found = {
        "metric": metric,
        "arms": {arm: _arm(own, weights[arm] / sum(weights.values())) for arm, own in by_arm.items()},
        "comparisons": compared,
        "sample_ratio": {"p": split, "holds": split >= SPLIT_LEVEL},
        "left_out": left_out,
    }
    return {"verdict": verdict(found), **found}


def _counted(
    outcomes: Sequence[Mapping[str, Any]], weights: Mapping[str, float], since: str
) -> tuple[list[Mapping[str, Any]], int]:
    """The rows of users who came in time and were in one arm only, and how many users were not."""
    arms: dict[str, list[Mapping[str, Any]]] = {}
    for row in outcomes:
        arms.setdefault(row["user"], []).append(row)
    kept = [r[0] for r in arms.values() if len(r) == 1 and r[0]["arm"] in weights and r[0]["first_at"] >= since]
    return kept, len(arms) - len(kept)


def _values(rows: Sequence[Mapping[str, Any]], metric: Metric) -> list[float]:
    found = [float(v) for r in rows if (v := r[metric.field]) is not None]
    return [math.log(v) for v in found if v > 0] if metric.ratio else found


def _arm(rows: Sequence[Mapping[str, Any]], planned: float) -> dict[str, Json]:
    means = {}
    for name, metric in METRICS.items():
        values = _values(rows, metric)
        mean = sum(values) / len(values) if values else None
        means[name] = {"users": len(values), "mean": math.exp(mean) if mean is not None and metric.ratio else mean}
    return {"users": len(rows), "requests": sum(r["requests"] for r in rows), "planned": planned, "metrics": means}


def _compared(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], metric: Metric, level: float
) -> dict[str, Json]:
    """The difference in points, or for ratios in per cent, with its interval; None before the first look."""
    a, b = _values(ours, metric), _values(theirs, metric)
    found = difference(a, b, LOG_SPREAD if metric.ratio else SHARE_SPREAD, level)
    if math.isinf(found.low):
        return {"users": [len(a), len(b)], "mean": None, "low": None, "high": None, "shows": ""}
    shows = ""
    if found.low > 0 or found.high < 0:
        shows = "better" if (found.mean > 0) == (metric.better > 0) else "worse"
    scaled = [100 * (math.expm1(v) if metric.ratio else v) for v in (found.mean, found.low, found.high)]
    return {"users": [len(a), len(b)], "mean": scaled[0], "low": scaled[1], "high": scaled[2], "shows": shows}


# --- in words ---------------------------------------------------------------------------------------------------


def verdict(found: Mapping[str, Any]) -> str:
    """What may be concluded now, in words."""
    split, arms = found["sample_ratio"], found["arms"]
    if not split["holds"]:
        users = sum(a["users"] for a in arms.values())
        seen = ", ".join(f"{n} {a['users']} where {users * a['planned']:.0f} were planned" for n, a in arms.items())
        return (
            f"Do not conclude anything: users did not come to the arms as they were dealt ({seen}; "
            f"p {split['p']:.1g}). Something drops users of one arm, or sends them past the split; find it and start a "
            "new experiment."
        )
    first, metric = next(iter(arms)), found["metric"]
    return " ".join(_sentence(arm, first, metric, rows) for arm, rows in found["comparisons"].items())


def _sentence(arm: str, first: str, metric: str, rows: Mapping[str, Any]) -> str:
    about, row = METRICS[metric].about, rows[metric]
    if row["mean"] is None:
        ours, theirs = row["users"]
        return (
            f"Too early to say of {arm}: {about} are known of {ours} of its users and of {theirs} of {first}'s, and "
            f"intervals begin at {FIRST_LOOK} in each that do not all agree."
        )
    figures = f"{about} {in_words(metric, row)}"
    if row["shows"] == "better":
        text = f"{arm} is better than {first}: {figures}. It may be stopped here."
    elif row["shows"] == "worse":
        text = f"{arm} is worse than {first}: {figures}. It may be stopped here."
    else:
        text = f"No difference between {arm} and {first} is shown so far: {figures}."
    minded = [n for n, r in rows.items() if n != metric and r["shows"] == "worse"]
    return text + "".join(f" Mind: {METRICS[n].about} {in_words(n, rows[n])}." for n in minded)


def in_words(metric: str, row: Mapping[str, Any]) -> str:
    """A comparison's figures with their unit."""
    if row["mean"] is None:
        return "too early"
    unit = "%" if METRICS[metric].ratio else "points"
    return f"{row['mean']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}] {unit}"
