"""Whether a canary is worse than the release in production, in figures that may be looked at after every answer.

Each guard metric says how bad an answer was. If the two releases are alike, how bad an answer was says nothing about
which of them gave it: the challenger with the probability of its share, whatever the times and the users. So each
metric bets on the arm of each answer, with odds for a challenger that is worse, and its wealth grows only if it is.
Wealth that starts at 1 and bets at fair odds reaches 1 / alpha with a probability of at most alpha, ever (Ville 1939),
from the first answer on and without a normal approximation. This is the sequential two-sample test of Shekhar and
Ramdas (2023, "Nonparametric two-sample testing by betting") with the arm as the outcome, as in classifier two-sample
tests by betting (Pandeva et al. 2022); the wealth is a mixture over several alternatives (Robbins 1970). The metrics
share LEVEL, so all of them together are wrong in at most LEVEL of the canaries that are no worse.

Users are what is split, so a user is bet on once: one bettor takes the first answer of each user, good or bad, another
the first bad answer of each. Nothing that either uses tells the arm of a user
before the bet, so the error rate holds whatever users do: one user whose every request fails shows nothing, since that
user had to be in one of the arms. What would be caught too late that way, such as a challenger that fails always but
has few users, is a run of answers without the metric (`missing`).

What may be looked at after every answer takes more answers than a test at a time that is fixed before. So half of a
metric's stake is kept for one such test, once PLANNED users had an answer of the challenger: an exact test of
shares (Fisher 1935), the rank test of scores and times (Wilcoxon 1945; Mann and Whitney 1947). It pays the odds of its
level or nothing, so the wealth of all is still what fair bets make of 1. The champion's history before the canary is
not used: a test against it would blame the challenger for a bad day of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inhouse.types import Record

Array = NDArray[Any]  # of numbers or of truth values, one for each run

LEVEL = 0.01  # of wrong rollbacks, over all metrics and a whole canary
SHIFTS = (0.1, 0.3)  # alternatives of shares, for first answers: so much of the good ones become bad
TILTS = (1.5, 4.0)  # the same of scores: ranks have a density proportional to exp(tilt * rank)
RATIOS = (2.0, 6.0)  # alternatives for first bad answers: they are so many times as frequent
WORST = 0.8  # rank from which on a score is a bad one
PRIOR, PRIOR_WEIGHT = 0.05, 2.0  # of the champion's share of bad answers, before there are any
PLANNED = 400  # users of the challenger after whom half of the stake is bet at once
FIRST_SCORES = 10.0  # before so many, no bet is made on ranks
SLOWEST = 0.95  # quantile of the champion's time to answer
FIRST_TIMES = 20.0
FIRST_USERS = 64  # room for so many at the beginning
BINS, TIMES = 100, 280  # of scores; of times, 40 for each power of ten from a millisecond on
CERTAIN = 1e-6  # a metric is missing if a champion's answers lacked it so long with less than this probability
CAP = 300.0  # of the logarithm of evidence that is shown


class GuardMetric(NamedTuple):
    """What a metric is called, whether it is a share of answers or a mean score, the difference that is tolerated, and
    its part of LEVEL before it is divided by those of the metrics in use."""

    title: str
    kind: Literal["share", "slow", "score"]
    tolerated: float
    part: float


METRICS = {
    "errors": GuardMetric("Errors", "share", 0.02, 0.2),
    "handoffs": GuardMetric("Handed to a person", "share", 0.05, 0.25),
    "refusals": GuardMetric("Blocked by a guardrail", "share", 0.05, 0.1),
    "latency": GuardMetric("Slower than 95% of production", "slow", 0.05, 0.1),
    "confidence": GuardMetric("Estimated accuracy", "score", 0.05, 0.15),
    "groundedness": GuardMetric("Groundedness", "score", 0.05, 0.15),
    "thumbs": GuardMetric("Thumbs down", "share", 0.05, 0.05),
}
"""By the name in `release.rollback_on`. Values are how bad an answer is: a score counts as 1 less the score."""
DEFAULTS = {name: metric.tolerated for name, metric in METRICS.items()}
FAILED, VOTES = "errors", "thumbs"  # votes come after the answer, and only for some


class Standing(Record):
    """How a metric stands: `answers` and `mean` of champion and challenger, and the evidence against the latter.

    `evidence` is the wealth, `needed` what it must reach. `missing` counts the challenger's answers since the last one
    with this metric, where that is too many, else 0. `state` says whether to roll back, and why.
    """

    metric: str
    title: str
    tolerated: float
    answers: tuple[int, int]
    mean: tuple[float | None, float | None]
    evidence: float
    needed: float
    missing: int = 0
    state: Literal["", "worse", "missing"] = ""

    @property
    def difference(self) -> float | None:
        before, after = self.mean
        return None if before is None or after is None else after - before

    @property
    def shown(self) -> tuple[float | None, float | None]:
        """The figures of champion and challenger as people read them: scores are better when they are higher."""
        if METRICS[self.metric].kind != "score":
            return self.mean
        before, after = self.mean
        return None if before is None else 1 - before, None if after is None else 1 - after

    @property
    def sentence(self) -> str:
        """The reason for a rollback, in words."""
        if self.state == "missing":
            what = "all of" if self.metric == FAILED else "missing in"
            return f"{self.title}: {what} the last {self.missing} answers of the canary"
        theirs, ours = self.shown
        if ours is None or theirs is None:
            return f"{self.title}: nothing to compare yet"
        return (
            f"{self.title}: {ours:.1%} in {self.answers[1]} answers of the canary, "
            f"{theirs:.1%} in {self.answers[0]} of production"
        )


class _Bets:
    """The wealth of bets on the arms of answers, for each of `runs` canaries and each alternative: the first `first`
    are of one bettor, the others of another."""

    def __init__(self, share: float, first: int, others: int, runs: int) -> None:
        self._share, self._first = share, first
        self._log = np.zeros((runs, first + others))

    def take(self, challenger: Array, ratio: Array) -> None:
        """Bets on answers. `ratio`, (runs, alternatives): how much likelier a worse challenger gives such an answer;
        where it is 1 nothing is bet."""
        odds = self._share * ratio + 1 - self._share
        self._log += np.log(np.where(challenger[:, None], ratio, 1.0) / odds)

    def evidence(self) -> Array:
        """The logarithm of the mean wealth of both bettors, (runs)."""
        return _log_mean(np.stack([_log_mean(part) for part in np.split(self._log, [self._first], axis=1)], axis=1))


class _Look:
    """The one test of `runs` canaries after PLANNED users of the challenger: `bins` are how bad they were, two
    of them for shares."""

    def __init__(self, level: float, bins: int, runs: int) -> None:
        self._level = level
        self._seen = np.zeros((2, runs, bins))
        self._users = np.zeros(runs)  # of the challenger
        self.wealth = np.ones(runs)

    def take(self, challenger: Array, bin: Array, new: Array, first: Array) -> None:
        """Takes in an answer of each run: whether its user is new, and whether it is the first one of its user with the
        metric; others do not count."""
        arm, runs = challenger.astype(int), np.arange(len(bin))
        due = np.flatnonzero(new & challenger & (self._users == PLANNED - 1))
        if len(due):
            self.wealth[due] = (self._p(due) <= self._level) / self._level
        self._users += new & challenger
        self._seen[arm, runs, bin] += first

    def _p(self, due: Array) -> Array:
        """One-sided p-values of a worse challenger. The answer at which it is due is left out: that it is of the
        challenger says nothing, and the arms of those before are in any order with the same probability."""
        from scipy.stats import hypergeom, norm

        before, after = self._seen[:, due]
        both = before + after
        n, ours = both.sum(axis=1), after.sum(axis=1)
        if both.shape[1] == 2:
            return np.asarray(hypergeom.sf(after[:, 1] - 1, n, both[:, 1], ours))
        rank = np.cumsum(both, axis=1) - (both - 1) / 2
        ties = (both**3 - both).sum(axis=1)
        variance = ours * (n - ours) / 12 * (n + 1 - ties / np.maximum(n * (n - 1), 1))
        above = (after * rank).sum(axis=1) - ours * (n + 1) / 2 - 0.5
        return np.asarray(norm.sf(above / np.sqrt(np.maximum(variance, 1e-9))))


def _log_mean(logs: Array) -> Array:
    top = logs.max(axis=1)
    return np.asarray(top + np.log(np.exp(logs - top[:, None]).mean(axis=1)))


class _Metric:
    """One metric of `runs` canaries. `sums` and `counts` are of arms: (2, runs), the champion first."""

    def __init__(self, share: float, kind: str, needed: float, runs: int) -> None:
        self.kind = kind
        self.runs = np.arange(runs)
        self.sums, self.counts = np.zeros((2, runs)), np.zeros((2, runs))
        self.since = np.zeros(runs)  # answers of the challenger since the last with this metric
        bins = {"share": 2, "score": BINS, "slow": TIMES}[kind]
        self._bets = _Bets(share, len(SHIFTS) + (len(TILTS) if kind == "slow" else 0), len(RATIOS), runs)
        self._look = _Look(1 / needed / 2, bins, runs)
        self._seen = np.zeros((runs, bins))
        self._champion = np.zeros((runs, TIMES))  # of its times alone
        self._met, self._known, self._bad = (np.zeros((runs, FIRST_USERS), dtype=bool) for _ in range(3))  # users

    def evidence(self) -> Array:
        """The logarithm of the wealth, (runs)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(self._bets.evidence(), np.log(self._look.wealth)) - math.log(2))

    def take(self, challenger: Array, value: Array, user: Array) -> None:
        """Takes in an answer of each run: its badness, a share or score in [0, 1] or seconds; NaN for no value."""
        while user.max() >= self._known.shape[1]:
            self._met, self._known, self._bad = (
                np.pad(a, ((0, 0), (0, a.shape[1]))) for a in (self._met, self._known, self._bad)
            )
        known = ~np.isnan(value)
        value = np.where(known, value, 0.0)
        self.since = np.where(challenger, np.where(known, 0.0, self.since + 1), self.since)
        if self.kind == "slow":
            value, bin, bad, usual, known = self._slow(challenger, value, known)
        elif self.kind == "score":
            bin = np.clip((value * BINS).astype(int), 0, BINS - 1)
            usual, rank = self._ranked(bin, known)
            bad = rank >= WORST
        else:
            bad = value > 0
            usual, bin = self._usual(value), bad.astype(int)
        new = ~self._met[self.runs, user]
        self._met[self.runs, user] = True
        first = known & ~self._known[self.runs, user]
        first_bad = known & bad & ~self._bad[self.runs, user]
        self._known[self.runs, user] |= known
        self._bad[self.runs, user] |= first_bad
        more = np.broadcast_to(np.asarray(RATIOS), (len(bad), len(RATIOS)))
        ratio = np.hstack([np.where(first[:, None], usual, 1.0), np.where(first_bad[:, None], more, 1.0)])
        self._bets.take(challenger, ratio)
        self._look.take(challenger, bin, new, first)
        at = challenger.astype(int), self.runs
        self.sums[at] += value * known
        self.counts[at] += known

    def _usual(self, bad: Array) -> Array:
        """Likelihood ratios of an answer that is bad or not, from the champion's answers before it."""
        usual = (self.sums[0] + PRIOR * PRIOR_WEIGHT) / (self.counts[0] + PRIOR_WEIGHT)
        usual = np.clip(usual, 0.005, 0.95)[:, None]
        shift = np.asarray(SHIFTS)
        return np.asarray(np.where(bad[:, None] > 0, 1 + shift * (1 - usual) / usual, 1 - shift))

    def _ranked(self, bin: Array, known: Array) -> tuple[Array, Array]:
        """The same of a score or a time, from its rank among all before it; and that rank."""
        total = self._seen.sum(axis=1)
        below = np.where(np.arange(self._seen.shape[1]) < bin[:, None], self._seen, 0.0).sum(axis=1)
        here = self._seen[self.runs, bin]
        rank = np.where(total >= FIRST_SCORES, (below + here / 2) / np.maximum(total, 1.0), 0.5)
        self._seen[self.runs, bin] += known
        tilt = np.asarray(TILTS)
        ratio = np.exp(tilt * (rank[:, None] - 0.5)) * tilt / (2 * np.sinh(tilt / 2))
        return np.where(total[:, None] >= FIRST_SCORES, ratio, 1.0), rank

    def _slow(self, challenger: Array, seconds: Array, known: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Whether answers take longer than SLOWEST of the champion's before; the bin of their time; whether they take
        longer than SLOWEST of both together, from which nobody can tell the arm of a user; likelihood ratios, by that
        and by rank; and which count: none before the champion has FIRST_TIMES."""
        bin = np.clip((40 * (np.log10(np.maximum(seconds, 1e-3)) + 3)).astype(int), 0, TIMES - 1)
        enough = known & (self._champion.sum(axis=1) >= FIRST_TIMES)
        slow, among_all = (bin > _quantile(seen) for seen in (self._champion, self._seen))
        by_rank, _ = self._ranked(bin, known)
        self._champion[self.runs, bin] += known & ~challenger
        return slow.astype(float), bin, among_all, np.hstack([self._usual(slow), by_rank]), enough


def _quantile(seen: Array) -> Array:
    return np.asarray((np.cumsum(seen, axis=1) >= SLOWEST * seen.sum(axis=1, keepdims=True)).argmax(axis=1))


class Guards:
    """The guard metrics of a canary, or of `runs` simulated ones at the same time.

    Args:
        share: probability that a user gets the challenger, in (0, 1).
        tolerated: by metric, the largest difference to the champion that does not matter; these metrics are looked at.
        required: metrics that the challenger must have even if the champion has none.
        missing_after: a metric is missing after so many answers of the challenger at the earliest; 0 never.
        runs: how many canaries; `answer` and `vote` then take arrays of that length.
    """

    def __init__(
        self, share: float, tolerated: Mapping[str, float], required: frozenset[str] = frozenset(),
        missing_after: int = 50, runs: int = 1,
    ) -> None:  # fmt: skip
        self.tolerated = dict(tolerated)
        self._required, self._missing_after = required, missing_after
        self._answered = np.zeros((2, runs))
        total = sum(METRICS[name].part for name in tolerated)
        self.needed = {name: total / METRICS[name].part / LEVEL for name in tolerated}
        self._metrics = {n: _Metric(share, METRICS[n].kind, self.needed[n], runs) for n in tolerated}

    def answer(self, challenger: Array | bool, values: Mapping[str, Array | float], user: Array | int) -> None:
        """Takes in an answer: badness by metric, the time to answer in seconds; NaN or left out for no value. `user` is
        the number of the user who got it."""
        arm, who = np.atleast_1d(np.asarray(challenger, dtype=bool)), np.atleast_1d(np.asarray(user, dtype=int))
        self._answered[arm.astype(int), np.arange(len(arm))] += 1
        for name, metric in self._metrics.items():
            if name == VOTES:
                metric.since += arm
                continue
            failed, value = metric.since, self._array(values.get(name, math.nan))
            metric.take(arm, value, who)
            if name == FAILED:  # what is missing is an answer that did not fail
                metric.since = np.where(arm, np.where(value > 0, failed + 1, 0.0), failed)

    def vote(self, challenger: Array | bool, down: Array | float, user: Array | int) -> None:
        """Takes in a vote on an answer, 1 for a thumb down; NaN for none."""
        if metric := self._metrics.get(VOTES):
            arm, who = np.atleast_1d(np.asarray(challenger, dtype=bool)), np.atleast_1d(np.asarray(user, dtype=int))
            value, since = self._array(down), metric.since
            metric.take(arm, value, who)
            metric.since = np.where(arm & ~np.isnan(value), 0.0, since)

    def worse(self) -> dict[str, Array]:
        """By metric, in which runs the evidence suffices and the difference is more than tolerated."""
        found = {}
        for name, metric in self._metrics.items():
            mean = metric.sums / np.maximum(metric.counts, 1)
            known = (metric.counts > 0).all(axis=0)
            large = known & (mean[1] - mean[0] >= self.tolerated[name])
            found[name] = large & (metric.evidence() >= math.log(self.needed[name]))
        return found

    def missing(self) -> dict[str, Array]:
        """By metric, in which runs the challenger has stopped to have it, or never had it."""
        return {name: self._lacks(name, metric) for name, metric in self._metrics.items()}

    def standing(self, run: int = 0) -> list[Standing]:
        """How each metric stands."""
        worse, missing, found = self.worse(), self.missing(), []
        for name, metric in self._metrics.items():
            mean = [
                float(s / n) if n else None for s, n in zip(metric.sums[:, run], metric.counts[:, run], strict=True)
            ]
            lacks = bool(missing[name][run])
            found.append(Standing(
                metric=name, title=METRICS[name].title, tolerated=self.tolerated[name],
                answers=(int(metric.counts[0, run]), int(metric.counts[1, run])), mean=(mean[0], mean[1]),
                evidence=math.exp(min(float(metric.evidence()[run]), CAP)), needed=self.needed[name],
                missing=int(metric.since[run]) if lacks else 0,
                state="worse" if worse[name][run] else "missing" if lacks else "",
            ))  # fmt: skip
        return found

    def breach(self) -> Standing | None:
        """The metric that says to roll back, the one with the most evidence first; None if none does."""
        if not np.any([*self.worse().values(), *self.missing().values()]):
            return None
        found = [s for s in self.standing() if s.state]
        return max(found, key=lambda s: (s.state == "worse", s.evidence / s.needed), default=None)

    def _lacks(self, name: str, metric: _Metric) -> Array:
        """Fewer values than the champion has, beyond chance, or none at all of a metric that is required."""
        if not self._missing_after:
            return np.zeros(len(metric.since), dtype=bool)
        answered = np.maximum(self._answered[0], 1)
        rate = (metric.counts[0] - (metric.sums[0] if name == FAILED else 0)) / answered
        least = np.clip(rate - 3 * np.sqrt(rate * (1 - rate) / answered), 0, 1 - 1e-9)
        unlikely = metric.since * np.log1p(-least) <= math.log(CERTAIN)
        gone = (metric.counts[0] >= FIRST_SCORES) & unlikely
        if name in self._required and name not in (FAILED, VOTES):
            gone |= (metric.counts[1] == 0) & (self._answered[1] >= self._missing_after)
        return np.asarray(gone & (metric.since >= self._missing_after))

    def _array(self, value: Array | float) -> Array:
        return np.broadcast_to(np.asarray(value, dtype=float), self._answered.shape[1:])
