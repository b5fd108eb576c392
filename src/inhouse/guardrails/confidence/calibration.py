"""The confidence fitted to outcomes, and the threshold that keeps an error target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inhouse.errors import InputError
from inhouse.guardrails.classifier import Classifier
from inhouse.types import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]
from inhouse.guardrails.confidence.features import Signals

FOLDS = 10
PENALTY = 30.0  # over the number of answers
ENOUGH = 400  # answers from which isotonic regression is trusted; below it is a logistic curve (Platt 1999)
SURE = 0.95  # of the bound
FEWEST = 30
PROMISES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # that `inhouse calibrate` tells about besides
STEP = 1e-3  # least rise of a probability where the scores rise, so that the surest can be told apart
PRIOR = 4.0  # answers of the base rate mixed into each step of the isotonic regression


class Calibration(Record):
    """What was fitted: the head's numbers, the steps from scores to probabilities, the threshold of the promise.

    `threshold` above 1 answers nothing: no threshold keeps the promise on the answers that it was fitted on.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float
    steps: tuple[tuple[float, float], ...]  # score, probability: rising
    threshold: float
    promise: float  # largest share of wrong answers among those given
    answered: float  # share of the examples at or above the threshold
    wrong: float  # share of those that were wrong
    others: tuple[tuple[float, float, float], ...] = ()  # other promises: share wrong, then answered and wrong as above
    examples: int
    error: float  # expected calibration error, over folds

    def probability(self, rows: Numbers) -> Numbers:
        """That each answer is right, shape (n,)."""
        import numpy as np

        tensors = {"mean": np.array(self.mean), "scale": np.array(self.scale), "weight": np.array(self.weight),
                   "bias": np.array([self.bias])}  # fmt: skip
        scores = Classifier(tensors, 0.5).probability(rows)
        steps = np.array(self.steps)
        p: Numbers = np.interp(scores, steps[:, 0], steps[:, 1])
        return p


def fit(rows: Numbers, right: Sequence[bool], promise: float) -> Calibration:
    """A calibration from answers that are known to be right or wrong; deterministic.

    Raises:
        InputError: fewer than FEWEST answers, or all of a kind.
    """
    import numpy as np

    y = np.array(right, dtype=np.float64)
    if len(y) < FEWEST or y.min() == y.max():
        raise InputError(
            f"{len(y)} answers, {int(y.sum())} of them right: too few to calibrate",
            f"it takes {FEWEST}, some right and some wrong; more conversations, or evaluation.max_questions = 0",
        )
    fold = np.random.default_rng(7).permutation(len(y)) % FOLDS
    scores = np.zeros(len(y))
    for f in range(FOLDS):
        scores[fold == f] = _logistic(rows[fold != f], y[fold != f]).probability(rows[fold == f])
    p = np.zeros(len(y))
    for f in range(FOLDS):
        steps = np.array(steps_of(scores[fold != f], y[fold != f]))
        p[fold == f] = np.interp(scores[fold == f], steps[:, 0], steps[:, 1])
    classifier, steps_all = _logistic(rows, y), steps_of(scores, y)
    said = np.interp(scores, *np.array(steps_all).T)  # in the order of the scores, each of them told apart

    def kept_to(share: float) -> tuple[float, float, float]:
        least = promised(said, y, share)
        kept = said >= least
        return least, float(kept.mean()), float(1 - y[kept].mean()) if kept.any() else 0.0

    threshold, answered, wrong = kept_to(promise)
    return Calibration(
        mean=tuple(map(float, classifier._mean)), scale=tuple(map(float, classifier._scale)),
        weight=tuple(map(float, classifier._weight)), bias=classifier._bias, steps=tuple(steps_all),
        threshold=threshold, promise=promise, answered=answered, wrong=wrong, examples=len(y),
        error=calibration_error(p, y),
        others=tuple((share, *kept_to(share)[1:]) for share in PROMISES),
    )  # fmt: skip


def _logistic(x: Numbers, y: Numbers) -> Classifier:
    import numpy as np
    from scipy.optimize import minimize

    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = (x - mean) / scale
    penalty = PENALTY / len(y)

    def loss(w: Numbers) -> tuple[float, Numbers]:
        logits = z @ w[:-1] + w[-1]
        error = 1 / (1 + np.exp(-logits)) - y
        value = (np.logaddexp(0, logits) - y * logits).mean() + penalty * (w[:-1] ** 2).sum() / 2
        return float(value), np.append(z.T @ error / len(y) + penalty * w[:-1], error.mean())

    w = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return Classifier({"mean": mean, "scale": scale, "weight": w[:-1], "bias": w[-1:]}, 0.5)


def steps_of(scores: Numbers, y: Numbers) -> list[tuple[float, float]]:
    """From scores to probabilities: isotonic regression, or where there are few answers a logistic curve."""
    return isotonic(scores, y) if len(y) >= ENOUGH else sigmoid(scores, y)


def sigmoid(scores: Numbers, y: Numbers) -> list[tuple[float, float]]:
    """Points of the logistic curve nearest to the labels, these drawn a little to the base rate (Platt 1999)."""
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
    """Steps of the rising function nearest to the labels (pool adjacent violators), each with PRIOR answers of the base
    rate in it, at the mean score of its pool."""
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


def promised(p: Numbers, right: Numbers, promise: float, sure: float = SURE) -> float:
    """The lowest probability to answer from, so that with confidence `sure` at most `promise` of the answers are wrong.

    Tried from several thresholds down, each until the first that does not keep the promise: the strictest that could
    keep it with one wrong answer in it, and those that answer twice, four times, eight times as many. Above 1 where
    none does.
    """
    import numpy as np

    tried = np.unique(p)[::-1]
    kept = np.array([int((p >= threshold).sum()) for threshold in tried])
    wrong = np.array([int((1 - right[p >= threshold]).sum()) for threshold in tried])
    sizes = [fewest(promise, sure)]
    while 2 * sizes[-1] <= len(p):
        sizes.append(2 * sizes[-1])
    alone = 1 - (1 - sure) / len(sizes)  # of each walk, so that all together are as sure as was asked
    best = 1.01
    for size in sizes:
        for at in np.flatnonzero(kept >= size):
            if upper_bound(int(wrong[at]), int(kept[at]), alone) > promise:
                break
            best = min(best, float(tried[at]))
    return best


def upper_bound(wrong: int, n: int, sure: float = SURE) -> float:
    """Clopper and Pearson's one-sided bound of a share."""
    from scipy.stats import beta

    return 1.0 if wrong >= n else float(beta.ppf(sure, wrong + 1, n - wrong))


def fewest(promise: float, sure: float = SURE) -> int:
    """How many answers, one of them wrong, could keep the promise: fewer are never released."""
    n = 2
    while upper_bound(1, n, sure) > promise:
        n += 1
    return n


def strictest(rows: Numbers, right: Sequence[bool], lost: float) -> float:
    """The largest support to ask for, in hundredths, at which at most the share `lost` of the right answers has a claim
    that is carried no better; 0 where there are too few to say."""
    import numpy as np

    kept = np.sort(rows[np.array(right) & (rows[:, Signals.SILENT] == 0), Signals.LEAST])
    spare = int(lost * len(kept))
    return math.floor(100 * max(float(kept[spare]) - 1e-6, 0.0)) / 100 if spare else 0.0


def calibration_error(p: Numbers, right: Numbers, bins: int = 10) -> float:
    """Expected calibration error over bins of equal numbers."""
    import numpy as np

    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, bins)
    return float(sum(len(b) * abs(p[b].mean() - right[b].mean()) for b in parts if len(b)) / len(p))
