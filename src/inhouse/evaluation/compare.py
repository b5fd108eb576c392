"""Paired statistics: every arm answers the same questions, so differences are taken per question.

Intervals are percentile bootstraps over conversations; a question by itself is one (Efron and Tibshirani 1993). Right
or wrong is tested with the exact McNemar test where all questions are by themselves. P-values of multiple comparisons
are corrected after Holm (1979). The smallest gain that a test set can show is that of a paired test with 80% power at
the 5% level, two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from inhouse.types import Array, Estimate
from inhouse.verdict import Percentiles

RESAMPLES = 10_000
AT_ONCE = 1000  # resamples held in memory
POWER_AND_LEVEL = 1.959964 + 0.841621  # standard normal quantiles of .975 and .80


class Sample:
    """The questions that arms are compared on: which belong together, and how much each counts.

    Args:
        seed: of the bootstrap.
        groups: of each question, such as its conversation; resampled as a whole. Without, each is by itself.
        weights: of each question. Without, all count the same.
    """

    def __init__(self, seed: int, groups: Sequence[Hashable] = (), weights: Sequence[float] = ()) -> None:
        self._seed, self._groups, self._weights = seed, groups, weights

    def estimate(self, values: Sequence[float]) -> Estimate | None:
        """The weighted mean with its 95% interval. Values that are nan, or have no weight, are left out; None where
        none is left."""
        import numpy as np

        sums, weights, n = self._totals(values)
        if not n:
            return None
        low, high = np.percentile(self._resampled(sums, weights), [2.5, 97.5])
        return Estimate(mean=float(sums.sum() / weights.sum()), low=float(low), high=float(high), n=n)

    def gain(self, ours: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
        """The mean paired difference, ours less theirs, with its interval; questions without both are left out."""
        return self.estimate(_differences(ours, theirs))

    def p_value(self, ours: Sequence[float], theirs: Sequence[float]) -> float:
        """Two-sided p of "no difference": exact McNemar for 0/1 scores of single questions that count the same, else
        from the bootstrap."""
        import numpy as np
        from scipy.stats import binomtest

        differences = [d for d in _differences(ours, theirs) if not math.isnan(d)]
        if not differences:
            return 1.0
        plain = len(set(self._groups)) == len(self._groups) and len(set(self._weights)) <= 1
        if plain and all(v in (0.0, 1.0) for v in (*ours, *theirs) if not math.isnan(v)):
            won, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
            return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
        sums, weights, n = self._totals(_differences(ours, theirs))
        if not n:
            return 1.0
        means = self._resampled(sums, weights)
        below = (np.sum(means <= 0) + 1) / (len(means) + 1)
        return float(min(1.0, 2 * min(below, 1 - below + 1 / len(means))))

    def smallest_detectable(self, ours: Sequence[float], theirs: Sequence[float]) -> float:
        """The gain that this many questions, with this variance of differences, show in four of five test sets."""
        sums, weights, _ = self._totals(_differences(ours, theirs))
        groups = len(sums)
        if groups < 2:
            return 1.0
        rest = sums - weights * (sums.sum() / weights.sum())
        error = math.sqrt(groups / (groups - 1) * float(rest @ rest)) / float(weights.sum())
        return float(min(POWER_AND_LEVEL * error, 1.0))

    def _totals(self, values: Sequence[float]) -> tuple[Array, Array, int]:
        """By group, the sum of weighted values and of weights; and how many values there are."""
        import numpy as np

        groups = self._groups or range(len(values))
        weights = self._weights or [1.0] * len(values)
        rows = [(g, w, v) for g, w, v in zip(groups, weights, values, strict=True) if w > 0 and not math.isnan(v)]
        place = {g: n for n, g in enumerate(dict.fromkeys(g for g, _, _ in rows))}
        sums, of = np.zeros(len(place)), np.zeros(len(place))
        for g, w, v in rows:
            sums[place[g]] += w * v
            of[place[g]] += w
        return sums, of, len(rows)

    def _resampled(self, sums: Array, weights: Array) -> Array:
        """The means of resampled groups."""
        import numpy as np

        rng = np.random.default_rng(self._seed)
        n = len(sums)
        parts = []
        for start in range(0, RESAMPLES, AT_ONCE):
            drawn = rng.integers(0, n, (min(AT_ONCE, RESAMPLES - start), n))
            parts.append(sums[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
        return np.concatenate(parts)


def _differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values corrected for multiple comparisons (Holm 1979)."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for n, name in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - n) * p_values[name]))
        corrected[name] = highest
    return corrected


def percentiles_ms(seconds: Sequence[float]) -> Percentiles:
    """p50, p95 and p99 in milliseconds; 0 without values."""
    import numpy as np

    ms: Any = np.percentile(seconds, [50, 95, 99]) * 1000 if len(seconds) else [0, 0, 0]
    p50, p95, p99 = (round(float(v), 1) for v in ms)
    return Percentiles(p50=p50, p95=p95, p99=p99)
