"""The accuracy of live answers of a project: its signals, the answers of its verdicts, and what reviewers say.

Reading a quarter of traffic takes seconds, so the console gets what was computed last, and a thread of its own computes
it again when that is old.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.errors import InhouseError, InputError
from inhouse.evaluation.evaluate import Answer
from inhouse.evaluation.outcomes import ANSWERED, outcome_of
from inhouse.evaluation.scorers import Scorer
from inhouse.gateway.console import seams
from inhouse.monitoring.quality import (
    WEEK,
    WINDOW,
    Agreement,
    Embed,
    Line,
    Seen,
    agreement,
    lines,
    monday,
    to_rate,
)
from inhouse.serving.releases import Releases, label
from inhouse.store.ledger import Ledger
from inhouse.store.ratings import Drawn, Ratings
from inhouse.store.signals import LABELS, Signal, Signals, groundedness
from inhouse.types import Example, Matrix, Message, Record, Release
from inhouse.verdict import Question, Report

log = logging.getLogger(__name__)
OLD_S = 600.0  # age from which figures are computed again
EMBEDDED = 256  # questions embedded at a time


class Figures(Record):
    """What is known of the accuracy of live answers.

    Attributes:
        at: when it was computed, ISO 8601.
        lines: by week and release, the newest first.
        agreement: of reviewers on the answers that two of them rated.
        drawn: answers that were now drawn for rating.
    """

    at: str
    lines: tuple[Line, ...]
    agreement: Agreement
    drawn: int = 0


def figures(workspace: Workspace, ledger: Ledger, now: datetime | None = None) -> Figures:
    """The figures of a project as of `now`. Answers of the last complete week are drawn for rating if they were not.

    Raises:
        BackendError: the database fails.
    """
    now = now or datetime.now(UTC)
    settings, ratings = workspace.project.quality, Ratings(ledger)
    first = monday(now) + WEEK - settings.weeks * WEEK - WINDOW
    verdict = Verdicts(workspace)
    rows = [seen(s, verdict) for s in Signals(ledger).pages(first.isoformat(), now.isoformat())]
    judged = {
        label(r): answers_of(workspace, r) for r in Releases(workspace).all() if label(r) in {s.release for s in rows}
    }
    embed = _embedder(workspace)
    drawn = _draw(ratings, rows, [t for own in judged.values() for t in own], embed, now, settings.labels_per_week)
    twice: dict[str, list[str]] = {}
    for rating in ratings.all(first.isoformat()):
        twice.setdefault(rating.exchange_id, []).append(rating.label)
    return Figures(
        at=now.isoformat(timespec="seconds"), lines=tuple(lines(rows, judged, embed, now, settings.weeks)),
        agreement=agreement([(own[0], own[1]) for own in twice.values() if len(own) > 1]), drawn=drawn,
    )  # fmt: skip


def answers_of(workspace: Workspace, release: Release) -> Sequence[Seen]:
    """The answers of a release's arm in its verdict, as live ones are seen; none where they are gone."""
    try:
        folder = Path(workspace.store.open("report", release.report).path)
        questions = {q.id: q for q in Report.read(folder).table}
        text = (folder / f"answers-{release.arm}.jsonl").read_text(encoding="utf-8")
        answers = [Answer(**json.loads(line)["answer"]) for line in text.split("\n") if line]
    except (InputError, OSError, ValueError, KeyError) as error:
        log.warning("the answers of the verdict of %s cannot be read: %s", label(release), error)
        return ()
    return [judged(a, questions[a.id]) for a in answers if a.id in questions]


def seen(signal: Signal, verdict: Callable[[Signal], float | None] = lambda signal: signal.label) -> Seen:
    """A live answer. `verdict` says what share of it people hold to be right."""
    copied = {name: getattr(signal, name) for name in Seen._fields if name not in ("answer_words", "label")}
    return Seen(**copied, answer_words=len(signal.answer.split()), label=verdict(signal))


class Verdicts:
    """The share of an answer that people hold to be right: what raters say; of a flagged answer that nobody rated, what
    the approved reply says of it, which is a reference as those of the verdict's questions are."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._scorer: Scorer | None = None

    def __call__(self, signal: Signal) -> float | None:
        if signal.label is not None or not signal.flagged or not signal.reply.strip():
            return signal.label
        asked = Message(role="user", content=signal.question)
        example = Example(id=signal.exchange, messages=(asked,), target=signal.reply)
        self._scorer = self._scorer or Scorer(self._workspace.embedder, self._workspace.support, ())
        scores = self._scorer.score(example, signal.answer, [signal.reply], signal.reason == "length")
        return LABELS[outcome_of(example, signal.answer, scores, "", cited=signal.passages > 0)]


def judged(answer: Answer, question: Question) -> Seen:
    """An answer of the verdict as a live one is seen. Other outcomes than an answer have no label."""
    asked = [m.content for m in question.messages if m.role == "user"]
    right = LABELS[answer.outcome] if answer.outcome in ANSWERED else None
    return Seen(
        exchange=answer.id, question=asked[-1] if asked else "", answer_words=len(answer.text.split()),
        confidence=answer.confidence,
        groundedness=groundedness(answer.findings, list(answer.citations)),
        retrieval=max((p.score for p in answer.passages), default=None),
        handed_off=right is None or answer.declined, label=right,
    )  # fmt: skip


def _draw(
    ratings: Ratings, rows: Sequence[Seen], known: Sequence[Seen], embed: Embed, now: datetime, count: int
) -> int:
    """Draws the answers of the last complete week that people are asked about, once."""
    until = monday(now)
    period = (until - WEEK).isoformat()
    if not count or ratings.drawn(period):
        return 0
    week = [r for r in rows if until - WEEK <= datetime.fromisoformat(r.at) < until]
    return ratings.draw([
        Drawn(exchange_id=d.exchange, period=period, place=d.place, probability=d.probability, why=d.why)
        for d in to_rate(week, known, embed, count)
    ])  # fmt: skip


def _embedder(workspace: Workspace) -> Embed:
    """Embeds each question once: the windows of lines overlap."""
    import numpy as np

    kept: dict[str, Matrix] = {}

    def embed(texts: Sequence[str]) -> Matrix:
        new = [t for t in dict.fromkeys(texts) if t not in kept]
        for start in range(0, len(new), EMBEDDED):
            part = new[start : start + EMBEDDED]
            kept.update(zip(part, workspace.embedder.embed([t or " " for t in part], query=True), strict=True))
        found: Matrix = np.stack([kept[t] for t in texts])
        return found

    return embed


class LiveQuality:
    """The figures for the console, as they were computed last."""

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        self._workspace = workspace
        self._ledger = ledger
        self._lock = threading.Lock()
        self._running = False
        self._kept: seams.Quality | None = None
        self._until = 0.0

    def now(self) -> seams.Quality | None:
        """The last figures; None while the first are being computed."""
        with self._lock:
            if not self._running and time.monotonic() >= self._until:
                self._running = True
                threading.Thread(target=self._compute, name="quality", daemon=True).start()
            return self._kept

    def _compute(self) -> None:
        found: seams.Quality | None = None
        try:
            found = shown(figures(self._workspace, self._ledger))
        except InhouseError as error:
            found = seams.Quality(at=datetime.now(UTC).isoformat(timespec="seconds"), problem=f"{error}. {error.hint}")
        except Exception:
            log.exception("the accuracy of live answers was not computed")
            found = seams.Quality(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                problem="The figures could not be computed; the log of the server says why.",
            )
        finally:
            with self._lock:
                self._kept, self._running, self._until = found, False, time.monotonic() + OLD_S


def shown(found: Figures) -> seams.Quality:
    """Figures as the console shows them."""
    return seams.Quality(
        at=found.at,
        lines=tuple(
            seams.QualityLine(
                until=row.until, release=row.release, requests=row.requests, handed_off=row.handed_off,
                up=row.up, down=row.down, **row.estimated.model_dump(exclude={"shift", "weight"}),
            ) for row in found.lines
        ),
        **found.agreement.model_dump(),
    )  # fmt: skip
