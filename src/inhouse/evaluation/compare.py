"""Paired statistics: every arm answers the same questions, so differences are taken per question.

Intervals are percentile bootstraps over questions (Efron and Tibshirani 1993). Right or wrong is tested with the exact
McNemar test. P-values of multiple comparisons are corrected after Holm (1979). The smallest gain that a test set can
show is that of a paired test with 80 % power at the 5 % level, two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inhouse.types import Estimate
from inhouse.verdict import Percentiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

RESAMPLES = 10_000
POWER_AND_LEVEL = 1.959964 + 0.841621  # standard normal quantiles of .975 and .80


def estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """The mean with its 95 % interval; None without values."""
    import numpy as np

    known = np.asarray([v for v in values if not math.isnan(v)], dtype=float)
    if not len(known):
        return None
    means = _resampled(known, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(mean=float(known.mean()), low=float(low), high=float(high), n=len(known))


def gain(ours: Sequence[float], theirs: Sequence[float], seed: int) -> Estimate | None:
    """The mean paired difference, ours less theirs, with its 95 % interval; questions without both are left out."""
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
    """Two-sided p of "no difference": exact McNemar for 0/1 scores, else from the bootstrap."""
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
    """The p-values corrected for multiple comparisons (Holm 1979)."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for n, name in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - n) * p_values[name]))
        corrected[name] = highest
    return corrected


def smallest_detectable(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The gain that this many questions, with this variance of differences, show in four of five test sets."""
    import numpy as np

    differences = np.asarray([a - b for a, b in zip(ours, theirs, strict=True) if not (math.isnan(a) or math.isnan(b))])
    if len(differences) < 2:
        return 1.0
    return float(POWER_AND_LEVEL * differences.std(ddof=1) / math.sqrt(len(differences)))


def percentiles_ms(seconds: Sequence[float]) -> Percentiles:
    """p50, p95 and p99 in milliseconds; 0 without values."""
    import numpy as np

    ms: Any = np.percentile(seconds, [50, 95, 99]) * 1000 if len(seconds) else [0, 0, 0]
    p50, p95, p99 = (round(float(v), 1) for v in ms)
    return Percentiles(p50=p50, p95=p95, p99=p99)
