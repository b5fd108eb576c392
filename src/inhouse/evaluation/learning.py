"""What more training data would help: a learning curve from the evidence that a project has.

A curve over the size of the data takes a training for each size, which is too costly to make for this. Two things are
there without one: trainings of different sizes that were judged on the same questions, if there are any; and the number
of training examples near each held-out question. Where questions with many examples near them are answered right more
often, beyond what the arm without training answers, more examples of sparse topics may help. This is an association
over questions, not an experiment: frequent topics may be easier. So it counts only where its interval excludes zero,
and the gain is one to be checked by the next build.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inhouse.evaluation.compare import Sample
from inhouse.evaluation.scorers import is_right
from inhouse.roadmap import Learning, Near, Need, Trained
from inhouse.types import Array, Embedder, Estimate, Example
from inhouse.verdict import Question, Report

NEAR = 0.6  # cosine of a question's neighbors
BINS = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 10**9))
TARGET = 12  # examples near each question of a topic, to which it would be filled up
ENOUGH = 60  # held-out questions for a curve
RESAMPLES, SPAN = 400, 95
PENALTY = 0.02  # ridge, per question
MOST_NEEDS = 3
SMALLEST_GAP = 0.05  # from base to the ceiling, below which no share of it is told


class _Row(NamedTuple):
    """A held-out question: its topic, the training examples near it, and whether the arms with and without training
    answer it right."""

    topic: str
    near: int
    right: float
    without: float


def gap_closed(report: Report, arm: str) -> tuple[Estimate | None, bool]:
    """The share of the way from base to the ceiling that an arm goes, with a bootstrap interval over questions; and
    whether the ceiling is the oracle. None where base leaves no gap to speak of."""
    import numpy as np

    rows = [q for q in report.table if "base" in q.answers and arm in q.answers]
    oracle = bool(rows) and all("oracle" in q.answers for q in rows)
    if len(rows) < 2:
        return None, oracle
    scores = np.array([[_score(q, a) for a in ("base", arm)] + [_score(q, "oracle") if oracle else 1.0] for q in rows])
    base, ours, top = scores.mean(axis=0)
    if top - base < SMALLEST_GAP:
        return None, oracle
    drawn = np.random.default_rng(report.seed).integers(0, len(rows), (RESAMPLES * 5, len(rows)))
    means = scores[drawn].mean(axis=1)
    gap = np.maximum(means[:, 2] - means[:, 0], 1e-9)
    low, high = np.percentile((means[:, 1] - means[:, 0]) / gap, [2.5, 97.5])
    mean = (ours - base) / (top - base)
    return Estimate(mean=float(mean), low=float(low), high=float(high), n=len(rows)), oracle


def learning(
    report: Report, others: Sequence[Report], training: Sequence[Example], topics: Mapping[str, str], embedder: Embedder
) -> Learning:
    """What more data would help.

    Args:
        report: the verdict that counts.
        others: other verdicts of the project, for trainings of other sizes.
        training: the training set of `report`.
        topics: of its questions, by id; questions without one are of no topic.
        embedder: finds neighbors.
    """
    tuned = next((a for a in ("tuned+rag", "tuned") if a in report.arms), "")
    best = next((a for a in ("rag", tuned) if a and a in report.arms), "")
    closed, oracle = gap_closed(report, best) if best and "base" in report.arms else (None, False)
    about = Learning(arm=best, closed=closed, ceiling="oracle" if oracle else "all right", sentence="")
    lead = _closes(about)
    if not tuned:
        need = "no arm of the verdict is fine-tuned; `inhouse build` with tuned+rag among evaluation.arms makes one"
        return about.model_copy(update={"sentence": f"{lead}What more examples would help is not known: {need}."})
    sizes = _sizes([report, *others], tuned)
    rows = _rows(report, tuned, training, topics, embedder)
    about = about.model_copy(update={"curve": tuple(_curve(rows)), "sizes": sizes if len(sizes) > 1 else ()})
    if len(rows) < ENOUGH or len({r.near for r in rows}) < 3:
        why = f"{len(rows)} held-out questions are too few for a curve; {ENOUGH} are needed"
        return about.model_copy(update={"sentence": f"{lead}What more examples would help is not known: {why}."})
    slope, draws = _slope(rows, report.seed)
    doubled = f"{slope.mean:+.2f} [{slope.low:+.2f}, {slope.high:+.2f}] in log-odds for each doubling"
    if slope.low <= 0:
        why = (
            f"questions with more training examples near them are not clearly answered better ({doubled}); a build "
            "with half of the data (training.max_examples) would show more"
        )
        return about.model_copy(update={"sentence": f"{lead}What more examples would help is not known: {why}."})
    needs = _needs(rows, draws)
    if not needs:
        why = f"every topic has {TARGET} training examples near its questions"
        return about.model_copy(update={"known": True, "sentence": f"{lead}More examples would help little: {why}."})
    first = needs[0]
    gain = f"{100 * first.gain.mean:+.1f} [{100 * first.gain.low:+.1f}, {100 * first.gain.high:+.1f}] points"
    said = (
        f"About {first.examples} more examples of {first.topic} would help most: {gain} of accuracy over all "
        "questions, if sparse topics learn as dense ones did."
    )
    return about.model_copy(update={"known": True, "needs": needs, "sentence": lead + said})


def _closes(about: Learning) -> str:
    if about.closed is None:
        return ""
    e, top = about.closed, "the best that passages allow" if about.ceiling == "oracle" else "every question right"
    share = f"{100 * e.mean:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}]"
    return f"{about.arm} closes {share} of the gap from the base model to {top}. "


def _score(question: Question, arm: str) -> float:
    return float(question.answers[arm].scores.get("accuracy", 0.0))


def _sizes(reports: Sequence[Report], arm: str) -> tuple[Trained, ...]:
    """Trainings of different sizes that were judged on the questions of the first report, by size."""
    asked = {q.id for q in reports[0].table}
    base = reports[0].subject.base_model
    found = {}
    for r in reports:
        same = {q.id for q in r.table} == asked and r.subject.base_model == base
        if same and arm in r.arms and r.subject.training and r.subject.training.examples not in found:
            found[r.subject.training.examples] = r.arms[arm].metrics["accuracy"]
    return tuple(Trained(examples=n, right=e) for n, e in sorted(found.items()))


def _rows(
    report: Report, arm: str, training: Sequence[Example], topics: Mapping[str, str], embedder: Embedder
) -> list[_Row]:
    """The held-out questions that have an answer, with the number of training examples near each."""
    asked = [q for q in report.table if q.answerable and arm in q.answers]
    texts = list(dict.fromkeys(e.question for e in training if e.answerable))
    if not asked or not texts:
        return []
    vectors = embedder.embed([next(m.content for m in reversed(q.messages) if m.role == "user") for q in asked])
    near = (vectors @ embedder.embed(texts).T >= NEAR).sum(axis=1)
    plain = "rag" if arm == "tuned+rag" and "rag" in report.arms else "base"
    return [
        _Row(topics.get(q.id, ""), int(n), _right(q, arm), _right(q, plain) if plain in q.answers else 0.0)
        for q, n in zip(asked, near, strict=True)
    ]


def _right(question: Question, arm: str) -> float:
    return float(is_right(question.answers[arm].scores))


def _curve(rows: Sequence[_Row]) -> list[Near]:
    """Accuracy by the number of training examples near the question; bins without questions are left out."""
    points = []
    for low, high in BINS:
        own = [r for r in rows if low <= r.near <= high]
        right = Sample(0).estimate([r.right for r in own]) if own else None
        if right:
            points.append(Near(low=low, high=min(high, max(r.near for r in own)), right=right))
    return points


def _features(rows: Sequence[_Row]) -> Array:
    import numpy as np

    return np.array([[1.0, math.log2(1 + r.near), r.without] for r in rows])


def _fit(x: Array, y: Array) -> Array:
    """Logistic regression with a small ridge, by Newton's method; shape (features,)."""
    import numpy as np

    w = np.zeros(x.shape[1])
    ridge = PENALTY * len(y) * np.diag([0.0, *[1.0] * (x.shape[1] - 1)]) / 10
    for _ in range(12):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        weight = np.maximum(p * (1 - p), 1e-6)
        step = np.linalg.solve(x.T @ (weight[:, None] * x) + ridge + 1e-9 * np.eye(len(w)), x.T @ (y - p) - ridge @ w)
        w = w + step
        if np.abs(step).max() < 1e-6:
            break
    return w


def _slope(rows: Sequence[_Row], seed: int) -> tuple[Estimate, Array]:
    """The change in log-odds for each doubling of the examples near a question, and all weights of resamples."""
    import numpy as np

    x, y = _features(rows), np.array([r.right for r in rows])
    rng = np.random.default_rng(seed)
    draws = np.array([_fit(x[own], y[own]) for own in rng.integers(0, len(y), (RESAMPLES, len(y)))])
    low, high = np.percentile(draws[:, 1], [(100 - SPAN) / 2, (100 + SPAN) / 2])
    return Estimate(mean=float(_fit(x, y)[1]), low=float(low), high=float(high), n=len(rows)), draws


def _needs(rows: Sequence[_Row], draws: Array) -> tuple[Need, ...]:
    """By topic, the examples that fill its questions up to TARGET near ones, and what that may gain; the best first."""
    import numpy as np

    by_topic: dict[str, list[_Row]] = defaultdict(list)
    for r in rows:
        if r.topic:
            by_topic[r.topic].append(r)
    needs = []
    for topic, own in by_topic.items():
        sparse = [r for r in own if r.near < TARGET]
        if not sparse:
            continue
        before = _features(sparse)
        after = before.copy()
        after[:, 1] = math.log2(1 + TARGET)
        gains = (_chance(after, draws) - _chance(before, draws)).sum(axis=0) / len(rows)
        low, high = np.percentile(gains, [2.5, 97.5])
        missing = sum(TARGET - r.near for r in sparse)
        gain = Estimate(mean=float(gains.mean()), low=float(low), high=float(high), n=len(sparse))
        needs.append(Need(topic=topic, examples=max(10, 10 * round(missing / 10)), gain=gain))
    return tuple(sorted(needs, key=lambda n: (-n.gain.mean, n.topic))[:MOST_NEEDS])


def _chance(x: Array, draws: Array) -> Array:
    """The probability of each row by each resample, shape (rows, resamples)."""
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(x @ draws.T, -30, 30)))
