"""What users ask about, on embeddings: whether it has changed as a whole, and which groups of questions have grown.

As a whole: a classifier tells the questions of a window from usual ones; its AUROC on questions that it was not fitted
on is .5 where nothing has changed (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests"). It is linear
discriminant analysis by ridge regression on the labels, whose refits cost little, so labels are permuted and the
classifier fitted again for each permutation (Kim, Ramdas, Singh and Wasserman 2021, "Classification accuracy as a proxy
for two-sample testing", Annals of Statistics).

Groups: a scan over the window's questions finds the neighborhood whose count exceeds the expected one by the most in
Poisson likelihood (Kulldorff 1997, "A spatial scan statistic", Communications in Statistics). A new product is a group
of which usual traffic has none.

Of what a user asks on a day one question counts, so that one who repeats themselves is no group; and no classifier sees
other questions of the users whose questions it tells apart. How much days of usual traffic differ among themselves says
what is usual: days are compared with the others of the same days of the week, and a window must stand out from these
comparisons. That takes in days on which many ask the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from inhouse.monitoring.windows import WEEK
from inhouse.text.words import STOP, words
from inhouse.types import Array, Matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inhouse.monitoring.windows import Ints

    Bools = NDArray[np.bool_]

MOST_WINDOW, MOST_USUAL = 1500, 4000  # questions that are compared, one for each user and day
LEAST_WINDOW, LEAST_USUAL = 100, 200
FOLDS = 5
AXES = 128  # dimensions that the classifier sees
RIDGE = 0.01  # penalty as a share of the number of questions, whose vectors have length 1
PERMUTATIONS = 400
RADII = (0.55, 0.65, 0.75)  # cosine from which a question belongs to a neighborhood
DRAWS = 28  # comparisons of usual days with one another
MOST_GROUPS = 5
LEAST_GROUP = 5  # users who ask: fewer are no group, and their words could tell who they are
SPARE = 0.5  # questions added to the usual count of a neighborhood, so that none is impossible
EXAMPLES = 5
TERMS = 5
SHOWN_CHARS = 300


@dataclass(frozen=True)
class Questions:
    """Questions with their days, the numbers of their users, shape (n,), and their unit vectors, shape (n, d)."""

    day: Ints
    user: Ints
    vectors: Matrix

    def __len__(self) -> int:
        return len(self.day)

    @cached_property
    def reduced(self) -> Matrix:
        """The vectors along their AXES principal axes, for the classifier: fits in a tenth of the time."""
        import numpy as np

        some = self.vectors[:: max(len(self) // MOST_USUAL, 1)]
        if self.vectors.shape[1] <= AXES:
            return self.vectors
        _, axes = np.linalg.eigh(np.cov(some.T))
        reduced: Matrix = self.vectors @ axes[:, -AXES:].astype(self.vectors.dtype)
        return reduced


@dataclass(frozen=True)
class Sample:
    """Rows of Questions to compare, in random order."""

    window: Ints
    usual: Ints

    @property
    def enough(self) -> bool:
        return len(self.window) >= LEAST_WINDOW and len(self.usual) >= LEAST_USUAL


def sample(questions: Questions, window: Sequence[int], usual: Sequence[int], seed: int = 0) -> Sample:
    """One question of each user and day, of the window and of usual days of the same days of the week, in random order.

    A user may be in both: that makes the two more alike than permutations assume, and finds less, never more.
    """
    import numpy as np

    rng = np.random.default_rng([seed, *(abs(int(d)) for d in window)])
    weekdays, own = {d % WEEK for d in window}, set(window)
    same = [d for d in usual if d % WEEK in weekdays and d not in own]
    shuffled = rng.permutation(len(questions))
    day, user = questions.day[shuffled], questions.user[shuffled]

    def some(days: Sequence[int], most: int) -> Ints:
        which = np.isin(day, list(days))
        rows = shuffled[which]
        _, at = np.unique(np.stack([day[which], user[which]]), axis=1, return_index=True)
        return rows[np.sort(at)][:most]

    return Sample(some(window, MOST_WINDOW), some(same, MOST_USUAL))


def draws(window: Sequence[int], usual: Sequence[int], seed: int = 0) -> list[tuple[int, ...]]:
    """Usual days to compare with the other usual days as if they were a window: as many of each day of the week as the
    window has. Single days are taken each once, longer windows by chance; none where half of the days are too few."""
    import numpy as np

    by_week: dict[int, list[int]] = {}
    for d in usual:
        by_week.setdefault(d % WEEK, []).append(d)
    wanted = Counter(d % WEEK for d in window)
    if len(window) == 1:
        single: list[tuple[int, ...]] = [(d,) for d in usual if len(by_week[d % WEEK]) > 1]
        return single[-DRAWS:]
    if any(2 * n > len(by_week.get(w, ())) for w, n in wanted.items()):
        return []
    rng = np.random.default_rng(seed)
    drawn: list[tuple[int, ...]] = []
    for _ in range(DRAWS):
        picked = [rng.choice(by_week[w], n, replace=False) for w, n in sorted(wanted.items())]
        drawn.append(tuple(int(d) for days in picked for d in days))
    return list(dict.fromkeys(drawn))


@dataclass(frozen=True)
class Background:
    """A statistic of usual days compared with other usual days.

    Attributes:
        mean: of the comparisons.
        spread: standard deviation of one comparison.
        n: number of comparisons.
        shared: share of days that two of them have in common, as they are drawn from the same usual days. It makes them
            more alike than windows of different days: their variance is too small by this share, and the mean is no
            better known than from 1 / `shared` windows.
    """

    mean: float
    spread: float
    n: int
    shared: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float], shared: float = 0.0, least: float = 0.0) -> Background:
        """Of the comparisons; the standard deviation is at least `least`."""
        import numpy as np

        spread = max(float(np.std(values, ddof=1)), least) / math.sqrt(1 - shared)
        return cls(float(np.mean(values)), spread, len(values), shared)

    def p(self, value: float, harmless: float = 0.0) -> float:
        """The p-value of "the window is a usual one, but for what does no harm"; a new value against n others."""
        from scipy.stats import t

        return float(t.sf((value - self.mean - harmless) / max(self._error, 1e-9), self.n - 1))

    def reach(self, level: float) -> float:
        """Half of the interval of a new value at this level."""
        from scipy.stats import t

        return float(t.ppf((1 + level) / 2, self.n - 1)) * self._error

    @property
    def _error(self) -> float:
        return self.spread * math.sqrt(1 + max(1 / self.n, self.shared))


# --- as a whole -------------------------------------------------------------------------------------------------


def held_out(vectors: Matrix, labels: Array, fold: Ints) -> tuple[Array, Array]:
    """Scores by classifiers that did not see the question, shape (n, b), and AUROCs, the mean over folds, shape (b,).

    Args:
        vectors: of shape (n, d).
        labels: 1 for questions of the window, else 0; shape (n, b), for b classifiers.
        fold: from 0 to FOLDS - 1, shape (n,); the classifiers of a fold are fitted on the others.
    """
    import numpy as np
    from scipy.linalg import solve

    x, y = np.asarray(vectors, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    n, d = x.shape
    products, sums, targets = x.T @ x, x.sum(0), x.T @ y
    scores, areas = np.zeros_like(y), []
    for f in range(FOLDS):
        own = fold == f
        xf, yf, rest = x[own], y[own], n - int(own.sum())
        mean, rate = (sums - xf.sum(0)) / rest, (y.sum(0) - yf.sum(0)) / rest
        spread = products - xf.T @ xf - rest * np.outer(mean, mean) + RIDGE * rest * np.eye(d)
        toward = targets - xf.T @ yf - rest * np.outer(mean, rate)
        scores[own] = (xf - mean) @ solve(spread, toward, assume_a="pos")
        areas.append(auroc(scores[own], yf))
    return scores, np.mean(areas, axis=0)


def auroc(scores: Array, labels: Array) -> Array:
    """The probability that a question of the window has the higher score, shape (b,); both have shape (n, b)."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0)
    ones = labels.sum(0)
    zeros = len(labels) - ones
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = ((ranks * labels).sum(0) - ones * (ones + 1) / 2) / (ones * zeros)
    return np.where((ones == 0) | (zeros == 0), 0.5, area)


@dataclass(frozen=True)
class Separation:
    """How well the window is told from usual questions, and the score of each of its questions, as in the sample."""

    area: float
    scores: Array


def separation(questions: Questions, chosen: Sample) -> Separation:
    """The AUROC of a sample, on questions of users of whom the classifier saw none."""
    scores, areas = held_out(*_labeled(questions, chosen))
    return Separation(float(areas[0]), scores[: len(chosen.window), 0])


def permuted(questions: Questions, chosen: Sample, area: float, seed: int = 0, times: int = PERMUTATIONS) -> float:
    """The p-value of an AUROC by permutations of the labels; below 10 / `times` by the normal distribution with the
    mean and the variance of the permutations."""
    import numpy as np
    from scipy.stats import norm

    vectors, labels, fold = _labeled(questions, chosen)
    rng = np.random.default_rng(seed + 1)
    columns = np.stack([rng.permutation(labels[:, 0]) for _ in range(times)], axis=1)
    _, areas = held_out(vectors, columns, fold)
    share = float((1 + (areas >= area).sum()) / (1 + times))
    return share if share > 10 / times else float(norm.sf((area - areas.mean()) / areas.std()))


def _labeled(questions: Questions, chosen: Sample) -> tuple[Matrix, Array, Ints]:
    """The vectors of a sample, the window's first, their labels as one column, and their folds, by user."""
    import numpy as np

    rows = np.concatenate([chosen.window, chosen.usual])
    labels = np.concatenate([np.ones(len(chosen.window)), np.zeros(len(chosen.usual))])
    return questions.reduced[rows], labels[:, None], questions.user[rows] % FOLDS


# --- groups -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Neighborhood:
    """Questions of a window around one of them.

    Attributes:
        members: positions among the window's, the central ones first.
        count: how many, each of another user.
        expected: how many there would be as usual.
        strength: log likelihood ratio of the two, 0 where there is no excess.
    """

    members: tuple[int, ...]
    count: int
    expected: float
    strength: float


def scan(window: Matrix, usual: Matrix, exposure: float, most: int = MOST_GROUPS) -> list[Neighborhood]:
    """The neighborhoods that exceed the expected number by most, each without the questions of those before.

    Args:
        window: unit vectors, shape (n, d).
        usual: the same of usual questions, shape (m, d).
        exposure: expected questions of the window for each usual one, such as n / m.
        most: how many at most.
    """
    import numpy as np

    near = window @ window.T
    inside = {r: near >= r for r in RADII}
    expected = {r: exposure * ((window @ usual.T >= r).sum(1) + SPARE) for r in RADII}
    left = np.ones(len(window), dtype=bool)
    found: list[Neighborhood] = []
    while len(found) < most and left.any():
        best = max((_best(inside[r][:, left], expected[r], left, r) for r in RADII), key=lambda b: b[0])
        strength, at, radius = best
        members = np.flatnonzero(inside[radius][at] & left)
        if strength <= 0 or len(members) < LEAST_GROUP:
            break
        middle = near[np.ix_(members, members)].mean(1)
        ordered = members[np.argsort(-middle, kind="stable")]
        found.append(Neighborhood(tuple(int(m) for m in ordered), len(members), float(expected[radius][at]), strength))
        left[members] = False
    return found


def _best(inside: Bools, expected: Array, left: Bools, radius: float) -> tuple[float, int, float]:
    """The strongest center that is left: its strength, its position, and the radius."""
    import numpy as np

    count = inside.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.where(count > expected, count * np.log(count / expected) - (count - expected), 0.0)
    strength = np.where(left & (count >= LEAST_GROUP), strength, 0.0)
    at = int(strength.argmax())
    return float(strength[at]), at, radius


def growth(found: Sequence[Neighborhood]) -> float:
    """How much groups have grown in all: the logarithm of 1 + the sum of their strengths. A shift of the mix of topics
    is of several groups, each of which may be unremarkable."""
    return math.log1p(sum(h.strength for h in found))


def groups(questions: Questions, chosen: Sample, most: int = MOST_GROUPS) -> list[Neighborhood]:
    """The groups of questions that have grown, strongest first."""
    vectors = questions.vectors
    exposure = len(chosen.window) / len(chosen.usual)
    return scan(vectors[chosen.window], vectors[chosen.usual], exposure, most)


# --- in words ---------------------------------------------------------------------------------------------------


def terms(members: Sequence[str], usual: Sequence[str], most: int = TERMS) -> tuple[str, ...]:
    """The words that mark the questions of a group against usual ones, each used by at least three of them."""

    def counts(texts: Sequence[str]) -> Counter[str]:
        return Counter(w for text in texts for w in set(words(text)) if w not in STOP and len(w) > 1 and w.isalpha())

    inside, outside = counts(members), counts(usual)
    n, m = max(len(members), 1), max(len(usual), 1)

    def weight(word: str) -> float:
        share = inside[word] / n
        return share * math.log(share / (outside[word] / m + 0.5 / n))

    marked = [w for w, c in inside.items() if c >= min(3, n) and weight(w) > 0]
    return tuple(sorted(marked, key=lambda w: (-weight(w), w))[:most])


def spread_out(vectors: Matrix, members: Sequence[int], most: int = EXAMPLES) -> list[int]:
    """The first members that do not repeat one another, in order: questions to show."""
    shown: list[int] = []
    for m in members:
        if all(float(vectors[m] @ vectors[s]) < 0.95 for s in shown):
            shown.append(m)
        if len(shown) == most:
            break
    return shown
