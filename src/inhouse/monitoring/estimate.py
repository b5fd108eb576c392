"""The share of right answers of live traffic, mostly without labels, with an interval, or "unknown" and why.

Three things are known of accuracy. The answers of the verdict, each with what it showed (confidence, groundedness,
retrieval) and whether it was right: the reference. What live answers show. And a few labels: ratings of answers that
were drawn with a known probability. From them come two estimates.

- By the reference: a regression g of "right" on what an answer shows, averaged over live answers, plus the mean
  residual of the reference, weighted by how much more often live traffic has such answers. That is the doubly robust
  estimator of covariate shift: right if the weights or g are, as long as answers that show the same are right as often
  as they were. A classifier of live against reference gives the weights (Bickel et al. 2009, "Discriminative learning
  under covariate shift", JMLR), and its AUROC says whether the reference still applies. Where it does not, nothing is
  said.
- By labels: lambda g averaged over live answers plus the mean of y - lambda g over the labels, weighted by one over
  their probability: prediction-powered inference (Angelopoulos et al. 2023, Science) with the lambda that makes the
  variance least (PPI++, Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453) under known sampling probabilities
  (Zrnic and Candes 2024, "Active statistical inference"). It assumes nothing about g. Answers whose reader asked for a
  person are a stratum apart: they are no fair sample of all, but most of them get a verdict in the inbox, so what they
  are is counted rather than drawn (Cochran 1977, "Sampling Techniques", chapter 5).

  Thumbs are control variates beside g: whoever votes chose to, so a vote is never a label, but votes are known of all
  answers and the labels are a random sample, so they make the variance less and add no bias (the generalized regression
  estimator, Cassel, Sarndal and Wretman 1976, Biometrika).

They are combined by their variances while they agree. How far the accuracy of like answers may have moved without being
seen is uncertain too: mostly by `STABLE`, sometimes by `FAR`, and how far the two estimates are apart says which (a
spike and a slab, as in the robust prior of Schmidli et al. 2014, Biometrics). Intervals are Wilson's with the effective
sample size of the estimate (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
positive counts estimated from survey data"), since a normal one is too short where there are few labels, or few errors
among them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from inhouse.types import Array, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

FEWEST_ANSWERS = 30
FEWEST_REFERENCE = 60  # answers of the verdict
FEWEST_LABELS = 10  # fewer only check the reference
MOST_KNOWN = 0.5  # share of the flagged answers with a verdict from which on these speak for the others
FOLDS = 3
PENALTY = 3.0  # L2 of g
SHIFT_PENALTY = 10.0  # L2 of the classifier of live against reference
NEWTON_STEPS, LONGEST_STEP = 12, 4.0
SMALLEST_SCALE = 1e-9
MOST_LIVE = 1000  # answers that the classifier reads, evenly spread
SHIFTED = 0.68  # AUROC from which the reference does not apply
MOST_WEIGHT = 5.0  # of an answer of the reference, where the mean is 1
LEAST_EFFECTIVE = 0.4  # share of the reference that the weights must leave
STABLE = 0.015  # standard deviation by which the accuracy of like answers may have moved unseen
CHANGED, FAR = 0.3, 0.15  # how often it has moved further, before there are labels, and by which standard deviation
AGREE = 3.0  # standard deviations that the two estimates may differ
LEVEL = 0.95
GAIN = 3.0  # an estimate is worth at most as many labels as this times the effective ones
SELECTION = 4.0  # how much likelier a vote is on a wrong answer than on a right one, or the other way around


class Evidence(NamedTuple):
    """Answers of a period, as arrays; NaN is unknown.

    Attributes:
        shown: what each answer shows, shape (n, features), the same features for live answers and the reference. The
            first is the confidence.
        right: the share of each answer that is right, in [0, 1], shape (n,); NaN without a label.
        probability: with which the label was asked for, shape (n,).
        counts: which answers are a fair sample of the period, shape (n,); the others are here for their label alone.
            None where all are.
        flagged: whose reader asked for a person, shape (n,); all of the period are here. None where none is.
        total: answers of the period; 0 where all are here.
        thumbs: 1 and -1 for votes up and down, 0 for none, shape (n,); None where nobody could vote.
    """

    shown: Array
    right: Array
    probability: Array
    counts: Mask | None = None
    flagged: Mask | None = None
    total: int = 0
    thumbs: Array | None = None

    @property
    def size(self) -> int:
        return self.total or len(self.right)

    @property
    def complaints(self) -> Mask:
        import numpy as np

        return np.zeros(len(self.right), dtype=bool) if self.flagged is None else self.flagged

    @property
    def fair(self) -> Mask:
        import numpy as np

        return np.ones(len(self.right), dtype=bool) if self.counts is None else self.counts


class Votes(NamedTuple):
    """Thumbs on the answers of a period, and the answers without one."""

    up: int = 0
    down: int = 0
    none: int = 0


NO_VOTES = Votes()


class Estimated(Record):
    """The accuracy of a period.

    Attributes:
        mean: the share of its answers that are right; None is unknown.
        low: of the 95% interval.
        high: of the 95% interval.
        method: what the figure rests on.
        why: in words, why nothing is known, or what to know about the figure.
        answers: how many there are.
        labels: how many of them have a label that counts.
        shift: AUROC of telling live answers from the reference by what they show; None where that was not tried.
        weight: of the labels against the reference, in [0, 1].
    """

    mean: float | None = None
    low: float = 0.0
    high: float = 1.0
    method: Literal["", "reference", "labels", "both"] = ""
    why: str = ""
    answers: int = 0
    labels: int = 0
    shift: float | None = None
    weight: float = 0.0


class Part(NamedTuple):
    """One estimate: its mean and variance, and the number of labels that it rests on."""

    mean: float
    variance: float
    effective: float


class Expected(NamedTuple):
    """What the reference says of live answers: the probability that each is right, its estimate of their accuracy, how
    well live answers are told from it (AUROC), and the share of it that is left after weighting."""

    g: Array
    part: Part
    shift: float
    left: float

    @property
    def applies(self) -> bool:
        return self.shift <= SHIFTED and self.left >= LEAST_EFFECTIVE


def expectation(live: Evidence, reference: Evidence) -> Expected:
    """What the reference says of live answers."""
    x, own = numbers(reference.shown, live.shown)
    g_own, g = fitted(own, reference.right, x)
    auroc, weights = shift(own, x[live.fair])
    part = by_reference(g_own, reference.right, weights, g[live.fair])
    return Expected(g, part, auroc, part.effective / len(weights))


def accuracy(
    live: Evidence, reference: Evidence | None, votes: Votes = NO_VOTES, level: float = LEVEL,
    expected: Expected | None = None,
) -> Estimated:  # fmt: skip
    """The share of the live answers that are right.

    Args:
        live: what was answered, without hand-offs; few have labels.
        reference: answers of the same release that are known to be right or wrong, not those that the calibration was
            fitted to; None if the release has none.
        votes: thumbs, which are only checked against the figure.
        level: of the interval.
        expected: the `expectation`, if it is known already.
    """
    import numpy as np

    n, said = live.size, np.isfinite(live.right)
    labeled = said & np.isfinite(live.probability)
    known: dict[str, float] = {"answers": n, "labels": int((labeled | (said & live.complaints)).sum())}
    if n < FEWEST_ANSWERS:
        return Estimated(why=f"{n} answers: too few, it takes {FEWEST_ANSWERS}", **known)
    if reference is None or len(reference.right) < FEWEST_REFERENCE:
        guess = np.nan_to_num(live.shown[:, 0], nan=0.5)
        few = len(reference.right) if reference else 0
        why = f"{few} answers of this release are known to be right or wrong, and it takes {FEWEST_REFERENCE}"
        return _alone(by_labels(guess, live, labeled), why, known, level)
    expected = expected or expectation(live, reference)
    known["shift"] = expected.shift
    part = by_labels(expected.g, live, labeled)
    if not expected.applies:
        why = f"live answers no longer look like those of the verdict (AUROC {expected.shift:.2f})"
        return _alone(part, why, known, level)
    if labeled.any() and not _agrees(part or _few(expected.g, live, labeled), expected.part):
        return _alone(part, "the labels contradict the answers of the verdict", known, level)
    if part:
        part = part._replace(variance=(part.variance + _few(expected.g, live, labeled).variance) / 2)
    figure = _combined(part, expected.part, known, level)
    for who, (low, high) in (("thumbs", thumbs(votes)), ("verdicts of people", verdicts(live))):
        if part is None and not (low <= figure.high and figure.low <= high):
            why = f"{who} say {low:.0%} to {high:.0%}, the confidence {figure.low:.0%} to {figure.high:.0%}"
            return Estimated(why=why, **known)
    return figure


# --- the two estimates --------------------------------------------------------------------------------------------


def by_reference(g_own: Array, right: Array, weights: Array, g: Array) -> Part:
    """The doubly robust estimate; `g_own` are predictions for answers of the reference that were not fitted on them."""
    residual = right - g_own
    share = weights / weights.sum()
    shifted = residual - (share * residual).sum()
    variance = float((share**2 * shifted**2).sum() + (residual.var() + 1e-9) / len(g))
    return Part(float(g.mean() + (share * residual).sum()), variance, 1 / float((share**2).sum()))


def by_labels(g: Array, live: Evidence, labeled: Mask) -> Part | None:
    """The prediction-powered estimate of all answers; None with fewer than FEWEST_LABELS labels of answers that nobody
    flagged. Flagged ones are counted, once MOST_KNOWN of them have a verdict; before that they are answers as others
    are, of which those that were drawn have a label that counts."""
    import numpy as np

    flagged = live.complaints
    said = live.right[flagged & np.isfinite(live.right)]
    if len(said) < max(MOST_KNOWN * flagged.sum(), 1):
        return _drawn(g, live, labeled, live.fair, live.size)
    count = int(flagged.sum())
    rest = _drawn(g, live, labeled & ~flagged, live.fair & ~flagged, live.size - count)
    if rest is None:
        return None
    share, mean = count / live.size, float(said.mean())
    spread = (mean * (1 - mean) + 1 / (len(said) + 2) ** 2) / len(said) * (1 - len(said) / count)
    variance = (1 - share) ** 2 * rest.variance + share**2 * spread
    return Part((1 - share) * rest.mean + share * mean, variance, rest.effective)


def _drawn(g: Array, live: Evidence, labeled: Mask, fair: Mask, n: int) -> Part | None:
    """The estimate of `n` answers by labels of some of them, of which `fair` are a fair sample."""
    m = int(labeled.sum())
    if m < FEWEST_LABELS:
        return None
    import numpy as np

    share = 1 / live.probability[labeled]
    share = share / share.sum()
    effective = 1 / float((share**2).sum())
    x, y = controls(g, live), live.right[labeled]
    at, all_of_them = x[labeled], x[fair].mean(0)
    centered = at - share @ at
    ridge = np.diag(x[fair].var(0) * FEWEST_LABELS / m + 1e-9)
    power = np.linalg.solve((share[:, None] * centered).T @ centered + ridge, (share * (y - share @ y)) @ centered)
    power[0] = min(max(power[0], 0.0), 1.0)
    residual = y - at @ power / (1 + effective / n)
    mean = float(all_of_them @ power) / (1 + effective / n) + float(share @ residual)
    apart = residual - share @ residual
    sampling = float((share**2 * apart**2).sum()) * m / max(m - x.shape[1], 1)
    return Part(mean, sampling * max(1 - m / n, 0.0), effective)


def controls(g: Array, live: Evidence) -> Array:
    """What is known of all answers and goes with being right: g, and votes down and up where there are any, shape
    (n, 1 to 3)."""
    import numpy as np

    if live.thumbs is None:
        return g[:, None]
    votes = np.column_stack([live.thumbs < 0, live.thumbs > 0])
    return np.column_stack([g, votes[:, votes[live.fair].any(0)]])


def _few(g: Array, live: Evidence, labeled: Mask) -> Part:
    """As many labels as there are, with the variance that g itself expects of them."""
    share = 1 / live.probability[labeled]
    share = share / share.sum()
    at = g[labeled]
    mean = float(g[live.fair].mean() + (share * (live.right[labeled] - at)).sum())
    return Part(mean, float((share**2 * (at * (1 - at) + 0.01)).sum()), len(at))


def _agrees(part: Part, expected: Part) -> bool:
    return abs(part.mean - expected.mean) <= AGREE * math.sqrt(part.variance + expected.variance + STABLE**2)


def _alone(part: Part | None, why: str, known: dict[str, float], level: float) -> Estimated:
    """By labels only, or unknown."""
    if part is None:
        return Estimated(why=f"{why}; {FEWEST_LABELS} labels would tell", **known)
    low, high = interval(part, level)
    return Estimated(
        mean=min(max(part.mean, 0.0), 1.0), low=low, high=high, method="labels", why=why, weight=1.0, **known
    )


def _combined(part: Part | None, expected: Part, known: dict[str, float], level: float) -> Estimated:
    """Both, by their variances and by how far like answers may have moved. Without labels nothing shows that they have
    moved further than STABLE."""
    if part is None:
        mean, variance, weight = expected.mean, expected.variance + STABLE**2, 0.0
    else:
        mean, variance, weight = _robust(part, expected)
    effective = expected.effective * (1 - weight) + (part.effective * weight if part else 0.0)
    low, high = interval(Part(mean, variance, effective), level)
    method: Literal["reference", "both"] = "both" if part else "reference"
    return Estimated(mean=min(max(mean, 0.0), 1.0), low=low, high=high, method=method, weight=weight, **known)


def _robust(part: Part, expected: Part) -> tuple[float, float, float]:
    """Mean and variance of the accuracy, and the weight of the labels: a mixture over how far like answers may have
    moved."""
    apart, chances, parts = part.mean - expected.mean, [], []
    for often, moved in ((1 - CHANGED, STABLE), (CHANGED, FAR)):
        prior = expected.variance + moved**2
        total = prior + part.variance
        chances.append(often * math.exp(-(apart**2) / total / 2) / math.sqrt(total))
        parts.append((prior / total, prior * part.variance / total))
    shares = [c / sum(chances) for c in chances]
    weight = sum(s * w for s, (w, _) in zip(shares, parts, strict=True))
    spread = sum(s * (v + (w - weight) ** 2 * apart**2) for s, (w, v) in zip(shares, parts, strict=True))
    return expected.mean + weight * apart, spread, weight


def interval(part: Part, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval with the effective sample size p (1 - p) / variance, at most GAIN times the labels, and the
    quantile of Student's t where these are few."""
    from scipy.stats import t

    p = min(max(part.mean, 0.0), 1.0)
    most = GAIN * part.effective
    size = min(p * (1 - p) / part.variance, most) if part.variance > 0 and 0 < p < 1 else part.effective
    z = float(t.ppf((1 + level) / 2, max(part.effective - 1, 1)))
    center = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    return max(center - half, 0.0), min(center + half, 1.0)


def verdicts(live: Evidence) -> tuple[float, float]:
    """What all verdicts of people allow the accuracy to be, whoever chose what they are about: at least the share of
    answers that is known to be right, at most that which is not known to be wrong (Manski 1990)."""
    import numpy as np

    said = live.right[np.isfinite(live.right)]
    return float(said.sum()) / live.size, 1 - float((1 - said).sum()) / live.size


def thumbs(votes: Votes, selection: float = SELECTION) -> tuple[float, float]:
    """What thumbs allow the accuracy to be, where a vote is at most `selection` times as likely on a right answer as on
    a wrong one, or the other way around: with the share u of thumbs up, u / (u + s (1 - u)) for s and 1 / s; and at
    least the share of answers voted up, at most that not voted down (Manski 1990). A tenth is added to both sides:
    people err when they vote. Everything is allowed with fewer than FEWEST_ANSWERS votes.
    """
    cast = votes.up + votes.down
    if cast < FEWEST_ANSWERS:
        return 0.0, 1.0
    up, total = votes.up / cast, cast + votes.none
    low, high = (up / (up + s * (1 - up)) if up else 0.0 for s in (selection, 1 / selection))
    return max(max(low, votes.up / total) - 0.1, 0.0), min(min(high, 1 - votes.down / total) + 0.1, 1.0)


# --- regressions --------------------------------------------------------------------------------------------------


def numbers(reference: Array, live: Array) -> tuple[Array, Array]:
    """What live answers and those of the reference show, without gaps: an unknown value is the mean of the known ones,
    and a column more says that it was unknown. Columns that do not vary are left out. Confidences are log odds."""
    import numpy as np

    both = np.vstack([reference, live]).astype(np.float64)
    p = np.clip(both[:, 0], 0.01, 0.99)
    both[:, 0] = np.log(p / (1 - p))
    gaps = ~np.isfinite(both)
    means = np.array([c[~m].mean() if (~m).any() else 0.0 for c, m in zip(both.T, gaps.T, strict=True)])
    full = np.where(gaps, means, both)
    columns = np.hstack([full, gaps[:, gaps.any(0)].astype(np.float64)])
    columns = columns[:, columns.std(0) > 1e-9]
    return columns[len(reference) :], columns[: len(reference)]


def fitted(own: Array, right: Array, live: Array) -> tuple[Array, Array]:
    """The regression's predictions for the reference, each by a fit to the other folds, and for live answers by the
    mean of the folds' fits."""
    import numpy as np

    fold = np.random.default_rng(11).permutation(len(own)) % FOLDS
    out, mean = np.zeros(len(own)), np.zeros(len(live))
    for f in range(FOLDS):
        rest = fold != f
        w = regression(own[rest], right[rest], PENALTY)
        out[~rest] = _sigmoid(own[~rest] @ w[1:] + w[0])
        mean += _sigmoid(live @ w[1:] + w[0]) / FOLDS
    return out, mean


def shift(own: Array, live: Array) -> tuple[float, Array]:
    """The cross-validated AUROC of telling live answers from the reference, and the weights of the reference that make
    it like the live ones: the odds, at most MOST_WEIGHT times their mean."""
    import numpy as np
    from scipy.stats import rankdata

    some = live[np.linspace(0, len(live) - 1, min(len(live), MOST_LIVE)).astype(int)]
    x = np.vstack([own, some])
    y = np.repeat([0.0, 1.0], [len(own), len(some)])
    fold, z = np.random.default_rng(13).permutation(len(x)) % FOLDS, np.zeros(len(x))
    for f in range(FOLDS):
        rest = fold != f
        w = regression(x[rest], y[rest], SHIFT_PENALTY)
        z[~rest] = np.clip(x[~rest] @ w[1:] + w[0], -9, 9)
    ranks = rankdata(z)
    auroc = (ranks[y > 0].sum() - len(some) * (len(some) + 1) / 2) / (len(own) * len(some))
    odds = np.exp(z[: len(own)])
    weights = np.minimum(odds / odds.mean(), MOST_WEIGHT)
    return float(max(auroc, 1 - auroc)), weights / weights.mean()


def regression(x: Array, y: Array, penalty: float) -> Array:
    """The bias and the weights of a logistic regression of y in [0, 1] with an L2 penalty on the weights of the
    standardized columns, by Newton's method; a column that does not vary has no weight.

    `text.logistic` finds the same in ten times the time, which counts here: a page fits some dozen.
    """
    import numpy as np

    mean, scale = x.mean(0), x.std(0)
    varies = scale > SMALLEST_SCALE
    scale = np.where(varies, scale, 1.0)
    z = np.hstack([np.ones((len(x), 1)), np.where(varies, (x - mean) / scale, 0.0)])
    ridge = np.full(z.shape[1], penalty)
    ridge[0] = 1e-3  # of the bias: finite where all are right
    w = np.zeros(z.shape[1])
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(z @ w)
        curve = (z.T * (p * (1 - p) + 1e-6)) @ z + np.diag(ridge)
        step = np.linalg.solve(curve, z.T @ (y - p) - ridge * w)
        w = w + step * min(1.0, LONGEST_STEP / (float(np.abs(step).max()) + 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    weights = w[1:] / scale
    return np.concatenate([[w[0] - mean @ weights], weights])


def _sigmoid(z: Array) -> Array:
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))
