"""Paired statistics: every arm answered the same questions, so differences are taken question by question.

Intervals are percentile bootstraps over questions (Efron and Tibshirani 1993), pass/fail is tested with the exact
McNemar test, p-values of the many comparisons are corrected after Holm (1979), and the smallest gain that the test set
could have seen is that of a paired test with 80 % power at 5 % two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inhouse.types import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

RESAMPLES = 10_000
POWER_AND_LEVEL = 1.959964 + 0.841621  # standard normal quantiles of .975 and .80


def estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """The mean with its 95 % interval; None without values."""
    import numpy as np

    found = np.asarray([v for v in values if not math.isnan(v)], dtype=float)
    if not len(found):
        return None
    means = _resampled(found, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(mean=float(found.mean()), low=float(low), high=float(high), n=len(found))


def gain(ours: Sequence[float], theirs: Sequence[float], seed: int) -> Estimate | None:
    """The mean paired difference, ours less theirs, with its 95 % interval; questions that one lacks are left out."""
    return estimate([a - b for a, b in zip(ours, theirs, strict=True)], seed)


def _resampled(values: Vector, seed: int) -> Vector:
    import numpy as np

    rng = np.random.default_rng(seed)
    n = len(values)
    parts = []
    for start in range(0, RESAMPLES, 1000):
        count = min(1000, RESAMPLES - start)
        parts.append(values[rng.integers(0, n, (count, n))].mean(axis=1))
    return np.concatenate(parts)


def p_value(ours: Sequence[float], theirs: Sequence[float], seed: int) -> float:
    """Two-sided p of "no difference": exact McNemar for 0/1 scores, else from the bootstrap's signs."""
    import numpy as np
    from scipy.stats import binomtest

    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if not (math.isnan(a) or math.isnan(b))]
    if not pairs:
        return 1.0
    if all(v in (0.0, 1.0) for pair in pairs for v in pair):
        won, lost = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
        return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    means = _resampled(np.asarray([a - b for a, b in pairs]), seed)
    below = (np.sum(means <= 0) + 1) / (len(means) + 1)
    return float(min(1.0, 2 * min(below, 1 - below + 1 / len(means))))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values corrected for being many (Holm 1979)."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for n, name in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - n) * p_values[name]))
        corrected[name] = highest
    return corrected


def smallest_detectable(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The gain that this many questions, with differences that vary this much, would show four times in five."""
    import numpy as np

    differences = np.asarray([a - b for a, b in zip(ours, theirs, strict=True) if not (math.isnan(a) or math.isnan(b))])
    if len(differences) < 2:
        return 1.0
    return float(POWER_AND_LEVEL * differences.std(ddof=1) / math.sqrt(len(differences)))


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    import numpy as np

    found: Any = np.percentile(seconds, [50, 95, 99]) * 1000 if len(seconds) else [0, 0, 0]
    return {name: round(float(v), 1) for name, v in zip(("p50", "p95", "p99"), found, strict=True)}
