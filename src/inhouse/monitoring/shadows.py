"""How the answers of a shadow release compare with those that users saw, request by request."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from inhouse.text.words import words
from inhouse.types import Estimate, Record

AGREE = 0.6  # word overlap from which on two answers are taken to say the same


class Shown(Record):
    """An answer as it is compared; figures that are not known are None."""

    text: str
    failed: bool = False
    handed_off: bool = False
    confidence: float | None = None
    latency_s: float = 0.0
    tokens: int = 0


class ShadowReport(Record):
    """Shadow less shown, over the requests that both answered; intervals are of 95 %.

    `same` is the share of answers with the same text, `agreement` the share that say about the same: a word overlap
    (F1) of AGREE, or both handed to a person. `confidence` and `words` are mean differences, `latency` the ratio of the
    medians.
    """

    requests: int
    failed: int
    same: float | None = None
    agreement: Estimate | None = None
    handed_off: tuple[int, int] = (0, 0)
    confidence: Estimate | None = None
    words: Estimate | None = None
    latency: float | None = None


def compare(pairs: Sequence[tuple[Shown, Shown]]) -> ShadowReport:
    """Compares answers that users saw, the first of each pair, with those of the shadow."""
    both = [(a, b) for a, b in pairs if not a.failed and not b.failed]
    failed = sum(b.failed for _, b in pairs)
    if not both:
        return ShadowReport(requests=len(pairs), failed=failed)
    known = [b.confidence - a.confidence for a, b in both if a.confidence is not None and b.confidence is not None]
    times = [statistics.median(times) for times in zip(*((a.latency_s, b.latency_s) for a, b in both), strict=True)]
    return ShadowReport(
        requests=len(pairs),
        failed=failed,
        same=sum(a.text.split() == b.text.split() for a, b in both) / len(both),
        agreement=_mean([float(agree(a, b)) for a, b in both]),
        handed_off=(sum(a.handed_off for a, _ in both), sum(b.handed_off for _, b in both)),
        confidence=_mean(known) if known else None,
        words=_mean([float(len(words(b.text)) - len(words(a.text))) for a, b in both]),
        latency=times[1] / times[0] if times[0] > 0 else None,
    )


def agree(a: Shown, b: Shown) -> bool:
    """Whether two answers say about the same."""
    if a.handed_off or b.handed_off:
        return a.handed_off and b.handed_off
    return overlap(a.text, b.text) >= AGREE


def overlap(a: str, b: str) -> float:
    """F1 of the distinct words of two texts, in [0, 1]; 1 where both have none."""
    ours, theirs = set(words(a)), set(words(b))
    if not ours and not theirs:
        return 1.0
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


def _mean(values: Sequence[float]) -> Estimate:
    mean, n = statistics.fmean(values), len(values)
    wide = 1.96 * math.sqrt(statistics.variance(values) / n) if n > 1 else math.inf
    return Estimate(mean=mean, low=mean - wide, high=mean + wide, n=n)
