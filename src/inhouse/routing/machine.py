"""Linear support vector machines, one for each class against all others, with the squared hinge loss.

The same optimum as LIBLINEAR's (Fan et al. 2008), `w*w/2 + C * sum(max(0, 1 - y*f)**2)`, found by Newton's method in
the primal (Keerthi and DeCoste 2005; Chapelle 2007): only rows inside the margin count, which are few, so that each
class solves a small system by conjugate gradients. All classes take their steps together. Deterministic.
"""

from __future__ import annotations

from typing import Any

from inhouse.types import Matrix

MOST_STEPS = 30
MOST_PRODUCTS = 30  # of conjugate gradients in a step
TOLERANCE = 0.05  # of the gradient without weights, times the share of the rarer side, as LIBLINEAR has it
_INSIDE = 0.9  # share of other classes' rows that begin outside the margin


def fit(
    grams: Any, dense: Matrix, labels: Any, classes: int, begin: Matrix | None = None, c: float = 1.0
) -> Matrix:  # fmt: skip
    """The weights, float32 of shape (columns of grams + columns of dense, classes).

    Args:
        grams: sparse features in CSR format, shape (n, columns).
        dense: other features, shape (n, columns); the last one is constant.
        labels: class of each row, int of shape (n,).
        classes: their number; those without rows get weights of no meaning.
        begin: weights to begin with, such as those of most of the rows; None for a guess.
        c: weight of the loss against the size of the weights.
    """
    import numpy as np

    rows = _Rows(grams, dense)
    signs = np.where(labels[:, None] == np.arange(classes), np.float32(1), np.float32(-1))
    weights = _begun(rows, signs) if begin is None else begin.copy()
    scores = rows.times(weights)
    open_ = list(range(classes))
    rare = np.minimum((signs > 0).mean(0), (signs < 0).mean(0))
    smallest = TOLERANCE * rare * 2 * c * np.linalg.norm(rows.back(signs), axis=0)
    for _ in range(MOST_STEPS):
        steps = np.zeros_like(weights[:, open_])
        for at, k in enumerate(open_):
            steps[:, at] = _step(rows, weights[:, k], scores[:, k], signs[:, k], c, float(smallest[k]))
        moving = [at for at in range(len(open_)) if steps[:, at].any()]
        if not moving:
            break
        open_, steps = [open_[at] for at in moving], steps[:, moving]
        moved = rows.times(steps)
        for at, k in enumerate(open_):
            size = _length(weights[:, k], steps[:, at], scores[:, k], moved[:, at], signs[:, k], c)
            weights[:, k] += size * steps[:, at]
            scores[:, k] += size * moved[:, at]
    return weights


class _Rows:
    """Sparse and dense features side by side."""

    def __init__(self, grams: Any, dense: Matrix) -> None:
        self.grams, self.dense, self.split = grams, dense, grams.shape[1]

    def times(self, weights: Matrix) -> Matrix:
        product: Matrix = self.grams @ weights[: self.split]
        product += self.dense @ weights[self.split :]
        return product

    def back(self, values: Matrix) -> Matrix:
        """The transposed matrix times values."""
        import numpy as np

        both: Matrix = np.concatenate([self.grams.T @ values, self.dense.T @ values])
        return both

    def some(self, rows: Any) -> _Rows:
        return _Rows(self.grams[rows], self.dense[rows])


def _begun(rows: _Rows, signs: Matrix) -> Matrix:
    """Weights to begin with: the mean of a class, scaled so that most rows of others lie outside the margin."""
    import numpy as np

    count = np.maximum((signs > 0).sum(0), 1).astype(np.float32)
    weights: Matrix = rows.back(np.maximum(signs, 0)) / count
    scores = rows.times(weights)
    for k in range(signs.shape[1]):
        own, others = scores[signs[:, k] > 0, k], scores[signs[:, k] < 0, k]
        high, low = own.mean() if len(own) else 0.0, np.quantile(others, _INSIDE) if len(others) else 0.0
        scale = 2 / (high - low) if high > low + 1e-6 else 0.0
        weights[:, k] *= scale
        weights[-1, k] += -1 - scale * low if scale else 0.0
    return weights


def _step(rows: _Rows, weights: Matrix, scores: Matrix, signs: Matrix, c: float, smallest: float) -> Matrix:
    """Newton's step of a class; zeros where the gradient is small."""
    import numpy as np

    inside = np.flatnonzero(signs * scores < 1)
    some = rows.some(inside)
    gradient = weights + 2 * c * some.back(scores[inside] - signs[inside])
    step = np.zeros_like(weights)
    first = square = float(gradient @ gradient)
    if first**0.5 <= smallest:
        return step
    rest, direction = -gradient, -gradient
    for _ in range(MOST_PRODUCTS):
        curved = direction + 2 * c * some.back(some.times(direction))
        size = square / float(direction @ curved)
        step += size * direction
        rest = rest - size * curved
        before, square = square, float(rest @ rest)
        if square <= 0.01 * first:
            break
        direction = rest + (square / before) * direction
    return step


def _length(weights: Matrix, step: Matrix, scores: Matrix, moved: Matrix, signs: Matrix, c: float) -> float:
    """How far to go: the whole step, or the first half of it, quarter, and so on that lowers the objective."""
    import numpy as np

    def objective(size: float) -> float:
        short = np.maximum(1 - signs * (scores + size * moved), 0)
        long = weights + size * step
        return float(long @ long) / 2 + c * float(short @ short)

    start, size = objective(0.0), 1.0
    while objective(size) > start and size > 1e-3:
        size /= 2
    return size
