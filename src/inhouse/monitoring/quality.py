"""The accuracy of live answers, week by week, from their signals and from the answers of the verdict.

Each line looks at the four weeks up to its end, so that ten labels a week are enough to count. Lines overlap.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.monitoring.estimate import Estimated, Evidence, Votes, accuracy
from inhouse.monitoring.labels import drawn, places, probabilities, worth
from inhouse.types import Array, Matrix, Record

if TYPE_CHECKING:
    from inhouse.monitoring.estimate import Mask

WINDOW = timedelta(weeks=4)
WEEK = timedelta(weeks=1)
MOST = 1600  # answers of a window whose signals are read; those with labels are among them
COMPONENTS = 8  # of the questions' embeddings, along which those of the verdict differ most
GIVEN = frozenset({"stop", "length", "cancelled"})  # reasons of answers that somebody has read
UNLIKE = ("", "base")  # releases that no reference is of

Embed = Callable[[Sequence[str]], Matrix]


class Seen(NamedTuple):
    """What is read of an answer, live or of the verdict: little, since a quarter of traffic is in memory.

    Attributes:
        exchange: ID of the exchange, or of the question of the verdict.
        question: the last message of the user.
        at: ISO 8601; "" in the verdict.
        release: that answered; "" in the verdict.
        answer_words: length of the answer.
        confidence: that it is right.
        groundedness: support of its weakest statement.
        retrieval: score of the best passage.
        handed_off: whether a person took over.
        flagged: whether that was asked for by whoever read the answer.
        reason: why it ended.
        thumb: 1, -1, or None.
        label: the share of it that is right; known of few live answers, and of all of the verdict.
        probability: with which the label was asked for.
    """

    exchange: str
    question: str
    at: str = ""
    release: str = ""
    answer_words: int = 0
    confidence: float | None = None
    groundedness: float | None = None
    retrieval: float | None = None
    handed_off: bool = False
    flagged: bool = False
    reason: str = "stop"
    thumb: int | None = None
    label: float | None = None
    probability: float | None = None


class Line(Record):
    """The accuracy of a release in the four weeks to `until`.

    Attributes:
        until: end of the last week, ISO 8601.
        release: whose answers.
        requests: answers and hand-offs.
        handed_off: share that a person took over.
        estimated: the accuracy of the answers that were given.
        up: thumbs up.
        down: thumbs down.
        confidence: mean confidence, as the release says it; None where it says none.
        expected: mean confidence of the answers of the verdict.
    """

    until: str
    release: str
    requests: int
    handed_off: float
    estimated: Estimated
    up: int = 0
    down: int = 0
    confidence: float | None = None
    expected: float | None = None


class Draw(NamedTuple):
    """An answer to be rated: its ID, its place in the order, the probability, and why."""

    exchange: str
    place: float
    probability: float
    why: str


class Agreement(Record):
    """Of pairs of raters on the same answers: Cohen's kappa with its 95% interval, and the share that agrees.

    `kappa` is None with fewer than two pairs, or where all raters say the same.
    """

    pairs: int
    agree: float | None = None
    kappa: float | None = None
    low: float | None = None
    high: float | None = None


def given(row: Seen) -> bool:
    """Whether the model gave the answer: what a person took over instead, and what failed, has no accuracy."""
    return row.reason in GIVEN and (row.flagged or not row.handed_off) and row.answer_words > 0


def shown(rows: Sequence[Seen], axes: Matrix | None = None, vectors: Matrix | None = None) -> Array:
    """What answers show, for `Evidence`: confidence, groundedness, retrieval, the lengths of answer and question, and
    the questions' embeddings along `axes`; shape (n, 5 + axes)."""
    import numpy as np

    plain = np.array([
        [_or_nan(r.confidence), _or_nan(r.groundedness), _or_nan(r.retrieval), math.log1p(r.answer_words),
         math.log1p(len(r.question.split()))] for r in rows
    ], dtype=np.float64).reshape(len(rows), 5)  # fmt: skip
    if axes is None or vectors is None:
        return plain
    return np.hstack([plain, np.asarray(vectors @ axes.T, dtype=np.float64)])


def axes_of(vectors: Matrix) -> Matrix:
    """The directions along which the questions of the verdict differ most, shape (COMPONENTS, dimensions)."""
    import numpy as np

    axes: Matrix = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2][:COMPONENTS]
    return axes


def lines(
    rows: Sequence[Seen], judged: Mapping[str, Sequence[Seen]], embed: Embed | None, now: datetime, weeks: int
) -> list[Line]:
    """One line for each of the last weeks and each release that answered in it, the newest first.

    Args:
        rows: signals of at least `weeks` and three more weeks, in any order.
        judged: answers of the verdict, by release.
        embed: embeds questions; None leaves their topics out.
        now: in the week of the first line.
        weeks: how many.
    """
    found = []
    for n in range(weeks):
        until = monday(now) + WEEK - n * WEEK
        window = [r for r in rows if until - WINDOW <= _time(r.at) < until]
        releases = sorted({r.release for r in window if _time(r.at) >= until - WEEK} - set(UNLIKE), reverse=True)
        for release in releases:
            own = [r for r in window if r.release == release]
            known = [*judged.get(release, ()), *earlier(rows, release, until - WINDOW)]
            found.append(line(own, known, embed, min(until, now)))
    return found


def earlier(rows: Sequence[Seen], release: str, before: datetime) -> list[Seen]:
    """Answers of the release that were drawn and rated earlier, which are known as those of the verdict are. That they
    were not drawn evenly does not matter: all of the reference is weighted until it looks like the live answers."""
    rated = (r for r in rows if r.release == release and r.label is not None and r.probability is not None)
    return [r for r in rated if _time(r.at) < before]


def line(rows: Sequence[Seen], known: Sequence[Seen], embed: Embed | None, until: datetime) -> Line:
    """The line of one release, from its signals of one window and other answers of it that are `known` to be right or
    wrong."""
    import numpy as np

    all_given = [r for r in rows if given(r)]
    answers, fair = some(all_given)
    known = [t for t in known if t.label is not None and given(t)]
    axes = ours = theirs = None
    if embed is not None and len(known) > COMPONENTS and answers:
        theirs = embed([t.question for t in known])
        axes, ours = axes_of(theirs), embed([r.question for r in answers])
    reference = Evidence(shown(known, axes, theirs), *_labels(known)) if known else None
    votes = Votes(*(sum(r.thumb == t for r in all_given) for t in (1, -1, None)))
    flagged = np.array([r.flagged for r in answers], dtype=bool)
    thumb = np.array([r.thumb or 0 for r in answers], dtype=np.float64)
    live = Evidence(shown(answers, axes, ours), *_labels(answers), fair, flagged, len(all_given), thumb)
    return Line(
        until=until.isoformat(timespec="seconds"), release=rows[0].release if rows else "", requests=len(rows),
        handed_off=sum(r.handed_off for r in rows) / max(len(rows), 1), estimated=accuracy(live, reference, votes),
        up=votes.up, down=votes.down, confidence=_mean([r.confidence for r in answers]),
        expected=_mean([t.confidence for t in known]),
    )  # fmt: skip


def some(rows: Sequence[Seen]) -> tuple[list[Seen], Mask | None]:
    """MOST of the answers, chosen by a hash of their IDs, and after them the others that have a label or are flagged;
    which of them are a fair sample, None where all answers are there."""
    import numpy as np

    if len(rows) <= MOST:
        return list(rows), None
    order = sorted(rows, key=lambda r: hashlib.sha256(r.exchange.encode()).digest())
    more = [r for r in order[MOST:] if r.label is not None or r.flagged]
    return [*order[:MOST], *more], np.arange(MOST + len(more)) < MOST


def to_rate(rows: Sequence[Seen], judged: Sequence[Seen], embed: Embed | None, count: int) -> list[Draw]:
    """Which answers of a week people should rate, in order.

    Args:
        rows: signals of the week.
        judged: answers of the verdict, whose questions are known.
        embed: embeds questions; None leaves out how frequent and how new they are.
        count: how many.
    """
    import numpy as np

    answers = [r for r in rows if given(r) and r.release not in UNLIKE]
    if not answers or not count:
        return []
    questions = embed([r.question for r in answers]) if embed else None
    known = embed([t.question for t in judged]) if embed and judged else None
    value = worth(np.array([_or_nan(r.confidence) for r in answers]), questions, known)
    p = probabilities(value.total, count)
    order = places([r.exchange for r in answers], p)
    return [Draw(answers[n].exchange, float(order[n]), float(p[n]), value.why(n)) for n in drawn(order, count)]


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Cohen's kappa (1960) of two raters, with the standard error of Fleiss, Cohen and Everitt (1969, "Large sample
    standard errors of kappa and weighted kappa", Psychological Bulletin). Raters differ from pair to pair, so each pair
    counts in both orders."""
    n = len(pairs)
    if n < 2:
        return Agreement(pairs=n)
    both = Counter(pair for a, b in pairs for pair in ((a, b), (b, a)))
    names = sorted({name for pair in pairs for name in pair})
    agree = sum(both[a, a] for a in names) / (2 * n)
    if len(names) == 1:
        return Agreement(pairs=n, agree=agree)
    cells = {(a, b): both[a, b] / (2 * n) for a in names for b in names}
    share = {a: sum(cells[a, b] for b in names) for a in names}
    chance = sum(s * s for s in share.values())
    kappa = (agree - chance) / (1 - chance)
    same = sum(cells[a, a] * (1 - 2 * share[a] * (1 - kappa)) ** 2 for a in names)
    other = (1 - kappa) ** 2 * sum(cells[a, b] * (share[a] + share[b]) ** 2 for a in names for b in names if a != b)
    variance = (same + other - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    half = 1.96 * math.sqrt(max(variance, 0.0))
    return Agreement(pairs=n, agree=agree, kappa=kappa, low=max(kappa - half, -1.0), high=min(kappa + half, 1.0))


def monday(at: datetime) -> datetime:
    """The start of its week, UTC."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _labels(rows: Sequence[Seen]) -> tuple[Array, Array]:
    import numpy as np

    return np.array([_or_nan(r.label) for r in rows]), np.array([_or_nan(r.probability) for r in rows])


def _time(at: str) -> datetime:
    time = datetime.fromisoformat(at)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _or_nan(value: Any) -> float:
    return math.nan if value is None else float(value)
