"""Fits the thresholds of a cascade to recorded answers, and certifies them.

Two splits are used. On the *selection* split, candidates are estimated, and the Pareto front of cost and estimated
evidence becomes a path from the safest to the cheapest (Laufer-Goldshtein et al. 2023, "Efficiently controlling
multiple risks with Pareto testing"). On the *certificate* split, which is used for nothing else, the candidates are
tested along this path until the first that fails, and the last that passed is certified (fixed-sequence testing, in
Angelopoulos et al. 2021, "Learn then test"). There is one start, so the whole delta is spent on each test.

Several risks hold together without dividing delta: a candidate passes only if each risk's test passes at delta
(intersection-union test, Berger 1982). The first candidate of the path that breaks any target passes with probability
delta at most, and none after it is reached otherwise.

The tests are exact for right and wrong answers (Clopper and Pearson for "wrong", Berger and Boos for "loss"), and by
betting for graded ones (bounds.py). All need questions that are independent draws of those to come: what belongs
together must not be in both splits (`split`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from inhouse import bounds
from inhouse.certificate import NEVER, Certificate, CurvePoint, Feasibility, RiskName, RungResult
from inhouse.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]
    Places = NDArray[np.integer[Any]]
else:
    Numbers = Places = Any

MOST_CANDIDATES = 2000
MOST_LEVELS = 100  # thresholds of a rung that are tried
MOST_POINTS = 40  # of the curve
BINOMIAL, PAIRED, BETTING = "exact binomial", "exact paired", "betting"
ERRORS_SHOWN = (0, 1, 2, 5)  # for which the labels needed are given


class Answers(NamedTuple):
    """What every rung made of n questions, from the cheapest rung to the top one, as recorded.

    Attributes:
        scores: of each rung but the top, in [0, 1], shape (n, rungs - 1). 0 where it gave no answer.
        right: of each rung, 0 or 1, or a grade between, shape (n, rungs). If the top rung is a person, 1 there.
        usd: of asking each rung, shape (n, rungs) or (rungs,). A question costs what all rungs cost that were asked.
        person: whether the top rung is a person, whose answers do not count among those that models gave.
    """

    scores: Numbers
    right: Numbers
    usd: Numbers
    person: bool = False

    def take(self, rows: Places) -> Answers:
        """The same of some questions."""
        return Answers(
            self.scores[rows], self.right[rows], self.usd[rows] if self.usd.ndim > 1 else self.usd, self.person
        )

    def checked(self) -> Answers:
        """The same as arrays of floats, with the shapes given above.

        Raises:
            InputError: shapes do not fit, or a value is out of range or missing.
        """
        import numpy as np

        scores, right, usd = (np.asarray(a, dtype=np.float64) for a in self[:3])
        n, rungs = right.shape if right.ndim == 2 else (0, 0)
        if rungs < 2 or not n or scores.shape != (n, rungs - 1) or usd.shape not in ((n, rungs), (rungs,)):
            shapes = f"scores {scores.shape}, right {right.shape}, usd {usd.shape}"
            hint = "for n questions and k rungs: (n, k - 1), (n, k) and (n, k) or (k,), with at least two rungs"
            raise InputError(f"answers of a cascade do not fit together: {shapes}", hint)
        for name, values, most in (("score", scores, 1.0), ("right", right, 1.0), ("usd", usd, np.inf)):
            bad = np.argwhere(~((values >= 0) & (values <= most)))
            if len(bad):
                where = ", ".join(map(str, bad[0]))
                raise InputError(
                    f"{name} [{where}] of a cascade is {values[tuple(bad[0])]}", f"it must be from 0 to {most:g}"
                )
        if self.person and not (right[:, -1] == 1).all():
            raise InputError("the top rung is a person, but not all of its answers are right", "set right to 1 there")
        return Answers(scores, right, usd if usd.ndim > 1 else np.broadcast_to(usd, (n, rungs)), self.person)


class Replayed(NamedTuple):
    """What came of n questions under some thresholds: the rung that answered each, by position, and what that means.
    All have the shape (n,)."""

    rung: Places
    right: Numbers
    usd: Numbers
    loss: Numbers  # against the top rung, in [-1, 1]
    by_model: NDArray[np.bool_]


class Fit(NamedTuple):
    """Thresholds that may be served, their certificates, and the figures behind them; as in a CascadeReport."""

    thresholds: tuple[float, ...]
    certificates: tuple[Certificate, ...]
    certified: CurvePoint | None
    plain: CurvePoint | None
    top: CurvePoint
    curve: tuple[CurvePoint, ...]

    @property
    def passed(self) -> bool:
        return self.certified is not None


# --- before fitting ---------------------------------------------------------------------------------------------


def split(groups: Sequence[str], selection: float = 0.5, seed: int = 0) -> tuple[Places, Places]:
    """The rows for selection and those for the certificate; rows of one group, such as a conversation, stay together.

    Deterministic: it depends on the seed and the groups' names alone, not on which others there are.
    """
    import numpy as np

    def drawn(group: str) -> float:
        return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8], "big") / 2**64

    chosen = np.array([drawn(group) < selection for group in groups], dtype=bool)
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def smallest_share_up(error: float, target: float, of_answered: bool = True) -> float:
    """The smallest share of questions that must go up, whatever the scores: if only wrong ones do.

    Of the share 1 - s that stays, error - s is wrong. Of those answered: (error - s) / (1 - s) <= target, hence
    (error - target) / (1 - target). Of all questions, if what goes up is answered right: error - target.
    """
    return max(0.0, (error - target) / (1 - target) if of_answered else error - target)


def feasibility(
    answers: Answers, risks: Mapping[RiskName, float], delta: float, labels: int = 0
) -> tuple[Feasibility, ...]:
    """For each risk what its target takes; `labels` are the questions that there are for the certificate."""
    a = answers.checked()
    best = a.right[:, :-1].max(1)
    rows = []
    for risk, target in _risks(risks).items():
        error = float((1 - best).mean() if risk == "wrong" else (a.right[:, -1] - best).mean())
        up = smallest_share_up(error, target, of_answered=risk == "wrong" and a.person)
        needed = tuple((errors, _labels(risk, target, errors, delta)) for errors in ERRORS_SHOWN)
        rows.append(
            Feasibility(
                risk=risk, error=error, target=target, smallest_share_up=up, labels_needed=needed, labels=labels
            )
        )
    return tuple(rows)


def labels_in_words(risks: Mapping[RiskName, float], delta: float, labels: int) -> str:
    """What the certificate's questions are enough for, as known before any rung is asked."""
    few = {risk: _labels(risk, target, 0, delta) for risk, target in _risks(risks).items()}
    needed = ", ".join(f"{few[risk]} for at most {100 * target:g}% {risk}" for risk, target in risks.items())
    lack = ", too few" if labels < max(few.values()) else ""
    return f"{labels} questions for the certificate; needed are {needed}{lack}"


def _labels(risk: RiskName, target: float, errors: int, delta: float) -> int:
    """Labels needed; for "loss" with so many lost and none won."""
    n = bounds.labels_needed(target, errors, 1 - delta)
    if risk == "loss":
        while bounds.paired_p(0, errors, n, target, 1 - delta) > delta:
            n += 1
    return n


def _risks(risks: Mapping[RiskName, float]) -> Mapping[RiskName, float]:
    for risk, target in risks.items():
        if not 0 < target < 1:
            raise InputError(f"the target of the risk '{risk}' is {target:g}", "it must be above 0 and below 1")
    if not risks:
        raise InputError("a certificate needs a risk", "give a target for 'wrong', 'loss' or both")
    return risks


# --- what thresholds lead to ------------------------------------------------------------------------------------


def rung_of(scores: Numbers, thresholds: Numbers) -> Places:
    """The first rung whose score is at least its threshold, else the top one.

    Args:
        scores: shape (n, rungs - 1).
        thresholds: shape (rungs - 1,), or (v, rungs - 1) for several cascades, which gives the shape (v, n).
    """
    import numpy as np

    kept = scores >= np.asarray(thresholds)[..., None, :]
    first: Places = np.where(kept.any(-1), kept.argmax(-1), scores.shape[1])
    return first


def replay(answers: Answers, thresholds: Sequence[float]) -> Replayed:
    """What the cascade makes of recorded answers."""
    import numpy as np

    a = answers
    rung = rung_of(a.scores, np.array(thresholds))
    at = np.arange(len(rung))
    usd = np.cumsum(np.broadcast_to(a.usd, a.right.shape), axis=1)[at, rung]
    right = a.right[at, rung]
    return Replayed(rung, right, usd, a.right[:, -1] - right, (rung < a.right.shape[1] - 1) | (not a.person))


def point(answers: Answers, thresholds: Sequence[float]) -> CurvePoint:
    """A cascade's figures on recorded answers; the interval of the quality is exact, or wider for grades."""
    s = replay(answers, thresholds)
    low, high = bounds.binomial_interval(float(s.right.sum()), len(s.right))
    return CurvePoint(
        thresholds=tuple(map(float, thresholds)), share_up=float((s.rung == answers.scores.shape[1]).mean()),
        usd=float(s.usd.mean()), quality=float(s.right.mean()), low=low, high=high, loss=float(s.loss.mean()),
        wrong=float(1 - s.right[s.by_model].mean()) if s.by_model.any() else None,
    )  # fmt: skip


def rung_results(
    answers: Answers, thresholds: Sequence[float], names: Sequence[str],
    kinds: Sequence[Literal["model", "person", "reply"]], latency_ms: Numbers | None = None,
    first_token_ms: Numbers | None = None,
) -> tuple[RungResult, ...]:  # fmt: skip
    """Each rung's figures. Latencies have the shape (n, rungs), NaN where unknown."""
    import numpy as np

    a, s = answers, replay(answers, thresholds)
    usd = np.broadcast_to(a.usd, a.right.shape)

    def quantile(values: Numbers | None, rung: int, q: float) -> float | None:
        known = np.array([]) if values is None else np.asarray(values)[:, rung]
        known = known[~np.isnan(known)]
        return float(np.quantile(known, q)) if len(known) else None

    return tuple(
        RungResult(
            name=name, kind=kind, share=float((s.rung == k).mean()), error=float(1 - a.right[:, k].mean()),
            right=float(a.right[s.rung == k, k].mean()) if (s.rung == k).any() else None, usd=float(usd[:, k].mean()),
            p50_ms=quantile(latency_ms, k, 0.5), p95_ms=quantile(latency_ms, k, 0.95),
            first_token_ms=quantile(first_token_ms, k, 0.5),
        )
        for k, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )  # fmt: skip


# --- selection --------------------------------------------------------------------------------------------------


class Estimates(NamedTuple):
    """Of v candidates on some questions: thresholds of shape (v, rungs - 1), the others of shape (v,).

    `evidence` is the largest over the risks of the logarithm of an approximate p-value: the least is the safest.
    `meets` says whether the observed risks are at most their targets.
    """

    thresholds: Numbers
    usd: Numbers
    quality: Numbers
    evidence: Numbers
    meets: NDArray[np.bool_]

    def front(self, worse: Numbers) -> Places:
        """The candidates than which none is as cheap and less `worse`, from the most expensive to the cheapest."""
        import numpy as np

        order = np.lexsort((worse, self.usd))
        least = np.minimum.accumulate(worse[order])
        new = np.append(True, least[1:] < least[:-1])
        kept: Places = order[new][::-1]
        return kept


def candidates(scores: Numbers) -> Numbers:
    """Thresholds to try, shape (v, rungs - 1): for each rung quantiles of its scores, and NEVER; all combinations.

    None is 0, which is the score of a rung that gave no answer.
    """
    import numpy as np

    rungs = scores.shape[1]
    levels = min(MOST_LEVELS, int(MOST_CANDIDATES ** (1 / rungs)))
    at = np.linspace(0, 1, levels)
    given = [own[own > 0] for own in scores.T]
    tried = [np.append(np.unique(np.quantile(own, at, method="higher")) if len(own) else own, NEVER) for own in given]
    return np.array(list(product(*tried)))


def estimate(answers: Answers, thresholds: Numbers, risks: Mapping[RiskName, float]) -> Estimates:
    """What candidates lead to, one after the other; approximate, since only the order of the path depends on it."""
    import numpy as np
    from scipy.special import bdtr, log_ndtr

    usd, quality = np.zeros((2, len(thresholds)))
    moments = {risk: np.zeros((3, len(thresholds))) for risk in risks}  # how many count, their mean and variance
    for row, own in enumerate(thresholds):
        s = replay(answers, own)
        usd[row], quality[row] = s.usd.mean(), s.right.mean()
        for risk, found in moments.items():
            values = 1 - s.right[s.by_model] if risk == "wrong" else s.loss
            found[:, row] = (len(values), values.mean(), values.var()) if len(values) else (0, 0, 0)
    evidence, meets = np.full(len(thresholds), -np.inf), np.ones(len(thresholds), dtype=bool)
    for risk, target in risks.items():
        n, mean, variance = moments[risk]
        if risk == "wrong":
            wrong, counted = np.ceil(n * mean - 1e-9), np.maximum(n, 1).astype(np.int64)
            own = np.log(np.where(n > 0, bdtr(wrong, counted, target), 1.0) + 1e-300)
        else:
            own = log_ndtr((mean - target) / np.sqrt((variance + 1 / n) / n))
        evidence, meets = np.maximum(evidence, own), meets & (mean <= target)
    return Estimates(thresholds, usd, quality, evidence, meets)


# --- the certificate --------------------------------------------------------------------------------------------


def test_of(answers: Answers, thresholds: Sequence[float], risk: RiskName) -> tuple[Numbers, str]:
    """The values whose mean is the risk, one for each question that counts, and the method that suits them."""
    import numpy as np

    s = replay(answers, thresholds)
    values = 1 - s.right[s.by_model] if risk == "wrong" else s.loss
    whole = bool((values == np.round(values)).all())
    return values, BETTING if not whole else BINOMIAL if risk == "wrong" else PAIRED


def p_value(values: Numbers, method: str, risk: RiskName, target: float, delta: float) -> float:
    """Of "the risk is above target"."""
    if method == BETTING:
        return bounds.mean_p(values, target, 0.0 if risk == "wrong" else -1.0)
    lost, won = int((values > 0).sum()), int((values < 0).sum())
    if method == BINOMIAL:
        return bounds.binomial_p(lost, len(values), target)
    return bounds.paired_p(won, lost, len(values), target, 1 - delta)


def upper(values: Numbers, method: str, risk: RiskName, delta: float) -> float:
    """The risk's upper bound with confidence 1 - delta."""
    if not len(values):
        return 1.0
    if method == BETTING:
        return bounds.mean_upper(values, 1 - delta, 0.0 if risk == "wrong" else -1.0)
    lost, won = int((values > 0).sum()), int((values < 0).sum())
    if method == BINOMIAL:
        return bounds.binomial_upper(lost, len(values), 1 - delta)
    return bounds.paired_upper(won, lost, len(values), 1 - delta)


def fixed_sequence(p_values: Iterable[float], delta: float) -> int:
    """The position of the last hypothesis that is rejected before the first that is not; -1 if the first is not.

    With probability 1 - delta or more, no true hypothesis is rejected.
    """
    passed = -1
    for p in p_values:
        if p > delta:
            break
        passed += 1
    return passed


def path(found: Estimates, answers: Answers, risks: Mapping[RiskName, float]) -> Numbers:
    """The candidates to test in their order, shape (v, rungs - 1): from the safest to ever cheaper, riskier ones.

    Always asking the top rung is left out where it needs no test: it loses nothing, and a person is never wrong.
    """
    import numpy as np

    always = (found.thresholds == NEVER).all(1)
    if always.all():  # no rung below the top gave an answer
        return np.asarray(found.thresholds[:1])
    tested = found if "wrong" in risks and not answers.person else Estimates(*(f[~always] for f in found))
    order = tested.front(tested.evidence)
    return np.asarray(tested.thresholds[order])


def fit(
    answers: Answers, selection: Places, certificate: Places, risks: Mapping[RiskName, float], delta: float = 0.05,
    digests: Mapping[str, str] | None = None,
) -> Fit:  # fmt: skip
    """The cheapest thresholds that are certified, with certificates that hold together; deterministic.

    Args:
        answers: recorded for all questions.
        selection: rows from which the candidates and their order come.
        certificate: rows for the tests, which were used for nothing else: not for training, not for scores.
        risks: targets by risk. "wrong": share of wrong answers among those that models gave. "loss": mean loss against
            the top rung.
        delta: the probability, over draws of the questions, that a target is broken in spite of the certificates.
        digests: of what the certificates hold for.

    Raises:
        InputError: values are out of range or do not fit together, or rows are in both splits.
    """
    import numpy as np

    a = answers.checked()
    if not 0 < delta < 1:
        raise InputError(f"delta is {delta:g}", "it must be above 0 and below 1, such as .05")
    if not len(selection) or not len(certificate) or len(np.intersect1d(selection, certificate)):
        raise InputError("the splits for selection and certificate must have questions, and none in both")
    wanted, chosen, tested = _risks(risks), a.take(selection), a.take(certificate)
    found = estimate(chosen, candidates(chosen.scores), wanted)
    tried = path(found, a, wanted)
    last = fixed_sequence(_p_values(tested, tried, wanted, delta), delta)
    never = (NEVER,) * a.scores.shape[1]
    thresholds = tuple(map(float, tried[last])) if last >= 0 else never
    rows = []
    for risk, target in wanted.items():
        values, method = test_of(tested, tried[max(last, 0)], risk)
        rows.append(
            Certificate(
                risk=risk, target=target, delta=delta, n=len(values), method=method, thresholds=thresholds,
                observed=float(values.mean()) if len(values) else 0.0, bound=upper(values, method, risk, delta),
                passed=last >= 0, digests=dict(digests or {}),
            )
        )  # fmt: skip
    shown = found.front(1 - found.quality)
    shown = shown[np.unique(np.linspace(0, len(shown) - 1, MOST_POINTS).astype(int))]
    return Fit(
        thresholds=thresholds, certificates=tuple(rows), top=_top(tested),
        certified=point(tested, thresholds) if last >= 0 else None, plain=_plain(a, selection, certificate, wanted),
        curve=tuple(point(tested, found.thresholds[at]) for at in shown),
    )  # fmt: skip


def _p_values(answers: Answers, tried: Numbers, risks: Mapping[RiskName, float], delta: float) -> Iterator[float]:
    """For each candidate the largest p-value of the risks, worked out when it is asked for."""
    for own in tried:
        yield max(p_value(*test_of(answers, own, risk), risk, target, delta) for risk, target in risks.items())


def _top(answers: Answers) -> CurvePoint:
    """The top rung alone, without the cost of those below it."""
    always = point(answers, (NEVER,) * answers.scores.shape[1])
    return always.model_copy(update={"usd": float(answers.usd[:, -1].mean())})


def _plain(a: Answers, selection: Places, certificate: Places, risks: Mapping[RiskName, float]) -> CurvePoint | None:
    """The cheapest candidate whose observed risks on all questions meet the targets, shown on those of the certificate;
    None if there is none. What one would take without a bound."""
    import numpy as np

    every = a.take(np.concatenate([selection, certificate]))
    found = estimate(every, candidates(every.scores), risks)
    if not found.meets.any():
        return None
    cheapest = np.where(found.meets, found.usd, np.inf).argmin()
    return point(a.take(certificate), found.thresholds[cheapest])


# --- in words ---------------------------------------------------------------------------------------------------


def recommendation(fit: Fit, rungs: Sequence[RungResult]) -> str:
    """Whether to serve the cascade, and why; beginning with "Cascade" or "Do not cascade"."""
    top, c = rungs[-1].name, fit.certified
    if c is None:
        failed = next((r for r in fit.certificates if r.bound > r.target), fit.certificates[0])
        if not failed.n:
            return (
                f"Do not cascade: no answer of a model has a score, so every question goes to {top}. Scores are fitted "
                "on the answers of each rung: add tests, or raise cascade.max_questions."
            )
        what = "of the answers may be wrong" if failed.risk == "wrong" else f"may be lost against {top}"
        return (
            f"Do not cascade: no thresholds are certified. As far as {failed.n} questions tell, up to "
            f"{failed.bound:.1%} {what} at the safest thresholds, and at most {failed.target:.1%} is wanted."
        )
    kept = 1 - c.share_up
    if not kept:
        return f"Do not cascade: at the certified thresholds every question goes to {top}."
    sure = f"certified with {1 - fit.certificates[0].delta:.0%} confidence: " + ", ".join(
        f"at most {r.target:.1%} of the answers wrong"
        if r.risk == "wrong"
        else f"at most {100 * r.target:.1f} points lost"
        for r in fit.certificates
    )
    if not fit.top.usd:
        return f"Cascade: {kept:.0%} of the questions are answered without {top}, {sure}."
    saved = 1 - c.usd / fit.top.usd
    if saved > 0:
        return f"Cascade: it saves {saved:.0%} of the cost of always asking {top}, {sure}."
    below, price = rungs[0], rungs[0].usd / fit.top.usd
    if len(rungs) == 2:
        reason = f"the share that {below.name} answers, {kept:.1%}, does not exceed its price of {price:.1%} of {top}'s"
    else:
        reason = f"the rungs below {top} cost more than the {kept:.1%} of the questions that they answer save"
    return f"Do not cascade: {reason}."
