"""Which answers people should rate: uncertain, frequent, and new ones more often, each with a known probability.

A sample of the most uncertain answers alone would say nothing of the others. So every answer may be drawn, and those
that are worth more are drawn more often: the estimate weighs each label by one over its probability. The sample has a
fixed size (sequential Poisson sampling, Ohlsson 1998, Journal of Official Statistics), and each answer's random number
is a hash of its ID, so that drawing again gives the same sample. Answers are rated in that order; whoever stops early
leaves a smaller sample of the same kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from inhouse.types import Array, Matrix

UNIFORM = 0.3  # share of the sample that is drawn without regard to worth, so that no weight is extreme
ALIKE = 0.75  # cosine from which two questions ask about the same
KNOWN, NEW = 0.8, 0.4  # cosine to the nearest known question from which one is not new at all, and is wholly new
BLOCK = 1000  # questions compared at a time
UNSURE = 0.5  # confidence of an answer without one


class Worth(NamedTuple):
    """What a label of each answer is worth, and the reasons, each of shape (n,): `uncertain` in [0, 1], `frequent` how
    many questions of the period are alike, `new` in [0, 1]."""

    total: Array
    uncertain: Array
    frequent: Array
    new: Array

    def why(self, n: int) -> str:
        """In words, of one answer."""
        reasons = [
            ("uncertain", self.uncertain[n] >= 0.8),
            (f"asked {int(self.frequent[n])} times", self.frequent[n] >= 3),
            ("a new kind of question", self.new[n] >= 0.5),
        ]
        return ", ".join(word for word, holds in reasons if holds) or "a random answer"


def worth(confidence: Array, questions: Matrix | None, known: Matrix | None) -> Worth:
    """What labels are worth: (0.1 + sqrt(4 p (1 - p))) (1 + log of the number of like questions) (1 + new).

    Args:
        confidence: that each answer is right, shape (n,); NaN is unknown.
        questions: unit vectors of the questions, shape (n, dimensions); None where there are none.
        known: unit vectors of the questions of the verdict; None where there are none.
    """
    import numpy as np

    p = np.nan_to_num(confidence.astype(np.float64), nan=UNSURE)
    uncertain = np.sqrt(np.clip(4 * p * (1 - p), 0, 1))
    frequent, new = np.ones(len(p)), np.zeros(len(p))
    for start in range(0, len(p), BLOCK):
        block = slice(start, start + BLOCK)
        if questions is not None:
            frequent[block] = (questions[block] @ questions.T >= ALIKE).sum(1).clip(1)
        if questions is not None and known is not None and len(known):
            nearest = (questions[block] @ known.T).max(1)
            new[block] = np.clip((KNOWN - nearest) / (KNOWN - NEW), 0, 1)
    total = (0.1 + uncertain) * (1 + np.log(frequent)) * (1 + new)
    return Worth(total, uncertain, frequent, new)


def probabilities(total: Array, count: int) -> Array:
    """With which each answer is drawn, so that `count` are; proportional to the worth, partly uniform, at most 1."""
    import numpy as np

    n = len(total)
    if count >= n:
        return np.ones(n)
    size = UNIFORM + (1 - UNIFORM) * total / total.mean()
    p, certain = np.zeros(n), np.zeros(n, dtype=bool)
    while True:
        left = count - int(certain.sum())
        p = np.where(certain, 1.0, left * size / size[~certain].sum())
        over = (p > 1) & ~certain
        if not over.any():
            return p
        certain |= over


def places(exchanges: Sequence[str], p: Array) -> Array:
    """The order in which answers are rated, lowest first: a random number of each over its probability."""
    import numpy as np

    drawn = [int(hashlib.sha256(f"drawn:{e}".encode()).hexdigest()[:13], 16) / 16**13 for e in exchanges]
    order: Array = (np.array(drawn, dtype=np.float64) + 1e-12) / p
    return order


def drawn(order: Array, count: int) -> list[int]:
    """The positions of the answers to rate, in order."""
    import numpy as np

    return [int(n) for n in np.argsort(order, kind="stable")[:count]]
