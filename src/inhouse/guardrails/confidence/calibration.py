"""The confidence in an answer, fitted to answers known to be right or wrong, and the threshold for an error target.

A logistic regression over what is known when the answer is complete (`features`). Its scores of answers that it was not
fitted on are turned into probabilities, by isotonic regression where there are many and by a logistic curve where there
are few. The threshold is the lowest at which the upper confidence bound of the share of wrong answers (Clopper and
Pearson 1934) meets the target. Thresholds are tried from a few strict ones down and stop at the first that misses the
target (fixed-sequence testing, Angelopoulos et al. 2021), so that trying many costs little certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.bounds import LEVEL, binomial_upper, labels_needed
from inhouse.errors import InputError
from inhouse.guardrails.confidence.features import Features
from inhouse.text.logistic import Logistic
from inhouse.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]

FOLDS = 10
PENALTY = 5.0  # L2, over the number of answers
ISOTONIC_FROM = 400  # answers; with fewer a logistic curve (Platt 1999)
FEWEST = 30  # answers to fit on
TARGETS = (0.02, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3)  # that may be kept in place of the wanted one
STEP = 1e-3  # least rise of the probability where the score rises, so that the best answers keep their order
PRIOR = 4.0  # answers of the base rate mixed into each step of the isotonic regression


class TargetResult(NamedTuple):
    """What an error target costs: the share of the examples that is answered, and the share of those that is wrong."""

    target: float
    answered: float
    wrong: float


class Calibration(Record):
    """The fitted model. A `threshold` above 1 answers nothing: none meets the target on the answers it was fitted on.

    Attributes:
        features: of the regression, in the order of its weights.
        model: the regression.
        steps: pairs of score and probability, rising.
        threshold: the lowest probability that is answered.
        target: the largest share of wrong answers among those given, as the threshold keeps it; 1 if none can be met.
        wanted: the share that was asked for.
        answered: share of the examples at or above the threshold.
        wrong: share of those that are wrong.
        targets: the same for other targets.
        examples: how many answers it was fitted on.
        error: expected calibration error, over folds.
    """

    features: tuple[str, ...] = Features._fields
    model: Logistic
    steps: tuple[tuple[float, float], ...]
    threshold: float
    target: float
    wanted: float
    answered: float
    wrong: float
    targets: tuple[TargetResult, ...] = ()
    examples: int
    error: float

    def probability(self, rows: Numbers) -> Numbers:
        """That each answer is right, shape (n,)."""
        import numpy as np

        scores, steps = self.model.probability(rows), np.array(self.steps)
        p: Numbers = np.interp(scores, steps[:, 0], steps[:, 1])
        return p


def fit(rows: Numbers, right: Sequence[bool], target: float, min_answered: float = 0.0) -> Calibration:
    """A calibration from answers known to be right or wrong; deterministic.

    Args:
        rows: features, shape (n, features).
        right: of each row.
        target: the largest share of wrong answers among those given.
        min_answered: the share of the rows that must stay at or above the threshold. Where the target leaves fewer,
            the next one of TARGETS that leaves as many is kept; where none does, everything is answered.

    Raises:
        InputError: fewer than FEWEST answers, or all of them right, or all wrong.
    """
    import numpy as np

    y = np.array(right, dtype=np.float64)
    if len(y) < FEWEST or y.min() == y.max():
        raise InputError(
            f"{len(y)} answers, {int(y.sum())} of them right: too few to calibrate",
            f"it takes at least {FEWEST}, some right and some wrong: add conversations, or set "
            "evaluation.max_questions = 0",
        )
    fold = _folds(y)
    scores = np.zeros(len(y))
    for f in range(FOLDS):
        scores[fold == f] = _logistic(rows[fold != f], y[fold != f]).probability(rows[fold == f])
    p = np.zeros(len(y))
    for f in range(FOLDS):
        steps = np.array(steps_of(scores[fold != f], y[fold != f]))
        p[fold == f] = np.interp(scores[fold == f], steps[:, 0], steps[:, 1])
    steps_all = steps_of(scores, y)
    fitted = np.interp(scores, *np.array(steps_all).T)  # in the order of the scores, all distinct

    results: dict[float, tuple[float, TargetResult]] = {}
    lowest = 1.01
    for share in sorted({target, *TARGETS}):
        lowest = min(lowest, threshold_for(fitted, y, share))  # what meets a stricter target meets this one too
        above = fitted >= lowest
        wrong = float(1 - y[above].mean()) if above.any() else 0.0
        results[share] = lowest, TargetResult(share, float(above.mean()), wrong)
    everything = (0.0, TargetResult(1.0, 1.0, float(1 - y.mean())))
    enough = (r for share, r in results.items() if share >= target and r[1].answered >= min_answered)
    threshold, kept = next(enough, everything) if min_answered else results[target]
    return Calibration(
        model=_logistic(rows, y), steps=tuple(steps_all), threshold=threshold, target=kept.target, wanted=target,
        answered=kept.answered, wrong=kept.wrong, examples=len(y), error=calibration_error(p, y),
        targets=tuple(r for _, r in results.values()),
    )  # fmt: skip


def constant(right: Sequence[bool], target: float) -> Calibration:
    """The same probability for every answer, by the rule of succession (Laplace): where so few were seen, or nothing
    but right or wrong ones, that none can be told from another."""
    p, features = (sum(right) + 1) / (len(right) + 2), len(Features._fields)
    model = Logistic(mean=(0.0,) * features, scale=(1.0,) * features, weight=(0.0,) * features, bias=0.0)
    wrong = 1 - sum(right) / len(right) if right else 0.0
    return Calibration(
        model=model, steps=((0.0, p), (1.0, p)), threshold=0.0, target=1.0, wanted=target, answered=1.0, wrong=wrong,
        examples=len(right), error=0.0,
    )  # fmt: skip


def _folds(y: Numbers) -> NDArray[np.integer[Any]]:
    """A fold for each answer, each with nearly as many wrong ones: with few wrong answers, scores of folds that differ
    in them could not be compared."""
    import numpy as np

    drawn = np.random.default_rng(7).permutation(len(y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[drawn[np.argsort(y[drawn], kind="stable")]] = np.arange(len(y)) % FOLDS
    return fold


def _logistic(x: Numbers, y: Numbers) -> Logistic:
    return Logistic.fit(x, y, PENALTY / len(y))


def steps_of(scores: Numbers, y: Numbers) -> list[tuple[float, float]]:
    """From scores to probabilities: isotonic regression, or a logistic curve where there are few answers."""
    return isotonic(scores, y) if len(y) >= ISOTONIC_FROM else sigmoid(scores, y)


def sigmoid(scores: Numbers, y: Numbers) -> list[tuple[float, float]]:
    """Points of the logistic curve that fits the labels best, these drawn slightly to the base rate (Platt 1999)."""
    import numpy as np
    from scipy.optimize import minimize

    logits = np.log(np.clip(scores, 1e-4, 1 - 1e-4) / (1 - np.clip(scores, 1e-4, 1 - 1e-4)))
    soft = np.where(y > 0, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))

    def loss(w: Numbers) -> float:
        z = w[0] * logits + w[1]
        return float((np.logaddexp(0, z) - soft * z).mean() + 0.5 * (w[0] - 1) ** 2 / len(y))

    a, b = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.0, 10.0), (None, None)]).x
    at = np.linspace(0.005, 0.995, 100)
    return [(float(s), float(1 / (1 + np.exp(-(a * np.log(s / (1 - s)) + b))))) for s in at]


def isotonic(scores: Numbers, y: Numbers) -> list[tuple[float, float]]:
    """Steps of the rising function that fits the labels best (pool adjacent violators). Each pool is at its mean score
    and has PRIOR answers of the base rate mixed in."""
    import numpy as np

    order = np.argsort(scores, kind="stable")
    rate = float(y.mean())
    pools: list[list[float]] = []  # right, count, sum of scores
    for s, label in zip(scores[order], y[order], strict=True):
        pools.append([float(label), 1.0, float(s)])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    steps = [(total / n, (hits + PRIOR * rate) / (n + PRIOR)) for hits, n, total in pools]
    rising, high = [(0.0, max(steps[0][1] - STEP, 0.0))], 0.0
    for score, p in steps:
        high = max(high + STEP / len(steps), p)
        rising.append((score, min(high, 1.0)))
    return [*rising, (1.0, min(high + STEP, 1.0))]


def threshold_for(p: Numbers, right: Numbers, target: float, level: float = LEVEL) -> float:
    """The lowest probability to answer from, so that with confidence `level` at most `target` of the answers are wrong;
    above 1 where there is none.

    Tried from several thresholds down, each until the first that misses the target: the strictest that could meet it
    with one wrong answer, and those that answer twice, four times, eight times as many.
    """
    import numpy as np

    tried = np.unique(p)[::-1]
    answered = np.array([int((p >= threshold).sum()) for threshold in tried])
    wrong = np.array([int((1 - right[p >= threshold]).sum()) for threshold in tried])
    sizes = [labels_needed(target, 1, level)]
    while 2 * sizes[-1] <= len(p):
        sizes.append(2 * sizes[-1])
    each = 1 - (1 - level) / len(sizes)  # confidence of each sequence, so that all together reach `level`
    best = 1.01
    for size in sizes:
        for at in np.flatnonzero(answered >= size):
            if binomial_upper(int(wrong[at]), int(answered[at]), each) > target:
                break
            best = min(best, float(tried[at]))
    return best


def strictest_support(rows: Sequence[Features], right: Sequence[bool], lost: float) -> float:
    """The largest `min_support`, in hundredths, at which at most the share `lost` of the right answers has a claim with
    no more support; 0 where there are too few answers to say."""
    supports = sorted(f.least_support for f, r in zip(rows, right, strict=True) if r and not f.no_claim)
    spare = int(lost * len(supports))
    return math.floor(100 * max(supports[spare] - 1e-6, 0.0)) / 100 if spare else 0.0


def calibration_error(p: Numbers, right: Numbers, bins: int = 10) -> float:
    """Expected calibration error over bins of equal numbers."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, bins)
    return float(sum(len(b) * abs(p[b].mean() - right[b].mean()) for b in parts if len(b)) / len(p))
