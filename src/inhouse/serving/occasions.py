"""What happened since the last build, read from live traffic, and the decision that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from inhouse.assembly.workspace import Workspace
from inhouse.monitoring import triggers as t
from inhouse.monitoring.quality import Line
from inhouse.serving.quality import figures
from inhouse.serving.releases import Releases, label
from inhouse.serving.watched import State, days_between
from inhouse.store.audit import Audit
from inhouse.store.ledger import Ledger
from inhouse.store.signals import LABELS, Signal, Signals
from inhouse.types import Estimate, Release
from inhouse.verdict import Report

MARKED = "change marked"
ABOUT = "watch"  # of actions
MOST_READ = 2000  # questions of live traffic whose topics are looked at, the latest
APART_DAYS = 7.0  # between two estimates of the loss
OVERLAP = 2.0  # estimates are of four weeks: each adds a quarter of its information to the one a week before
Estimated = Callable[[], Estimate | None]
"""The accuracy of the answers that the release in production gave lately; None where nothing can be said."""


class Looked(NamedTuple):
    """A decision, and the estimate of the loss that was new in it."""

    decision: t.Decision
    seen: t.Seen | None


def look(workspace: Workspace, release: Release, state: State, at: str, estimated: Estimated | None) -> Looked:
    """The decision for now; `estimated` says how accurate live answers are, None if nothing does."""
    settings, built = workspace.project.watch, built_at(workspace, release, state)
    days = days_between(built, at)
    with workspace.ledger() as ledger:
        since = max(built, earlier(at, settings.window_days))
        signals = [s for s in Signals(ledger).pages(since) if s.release]
        found = _triggers(workspace, ledger, state, signals, (built, since, at))
    due = settings.min_accuracy > 0 or days - (state.history[-1].day if state.history else 0.0) >= APART_DAYS
    accuracy = estimated() if estimated and signals and due else None
    found += t.accuracy_trigger(accuracy, settings.min_accuracy)
    seen = _seen(workspace, release, state, days, accuracy)
    history = [*state.history, *([seen] if seen else [])]
    own = [s.model_copy(update={"loss": s.loss - state.left}) for s in history]
    drift = t.drift_of([*state.cycles, own])
    loss = t.forecast(history, days, drift, state.left)
    economy = economy_of(workspace, state, _per_day(signals, since, at))
    enabled = [trigger for trigger in found if trigger.kind in settings.triggers]
    return Looked(t.decide(at, days, loss, economy, enabled), seen)


def live_accuracy(workspace: Workspace) -> Estimate | None:
    """The estimated accuracy of what production answered lately, as `inhouse quality` shows it; None if unknown."""
    releases = Releases(workspace)
    production = releases.get("production")
    same = [r for r in releases.all() if (r.report, r.arm) == (production.report, production.arm)]
    with workspace.ledger() as ledger:
        return newest(figures(workspace, ledger).lines, [label(production), *(label(r) for r in reversed(same))])


def newest(lines: Sequence[Line], releases: Sequence[str]) -> Estimate | None:
    """The newest estimate that is known of the first of some releases; only indexes of documents differ among them."""
    for name in releases:
        for line in sorted((x for x in lines if x.release == name), key=lambda x: x.until, reverse=True)[:1]:
            e = line.estimated
            if e.mean is not None:
                return Estimate(mean=e.mean, low=e.low, high=e.high, n=e.answers)
    return None


def built_at(workspace: Workspace, release: Release, state: State) -> str:
    """When the last build ended: as the watch knows it, or when the verdict of the release was made."""
    return state.built_at or workspace.store.open("report", release.report).made_at


def economy_of(workspace: Workspace, state: State, requests: float) -> t.Economy:
    """The prices of the project; a build costs what the last one took on this machine, and a person's review."""
    watch, machine = workspace.project.watch, workspace.project.model.usd_per_hour
    measured = state.build_minutes / 60 * machine + watch.review_minutes / 60 * watch.person_usd_per_hour
    return t.Economy(
        requests=requests, wrong_usd=watch.price_wrong_usd, build_usd=watch.price_build_usd or measured,
        mends=watch.mends, cooldown_days=watch.cooldown_days, date_days=watch.date_days,
    )  # fmt: skip


def earlier(at: str, days: float) -> str:
    """The time so many days before, ISO 8601."""
    return (datetime.fromisoformat(at) - timedelta(days=days)).isoformat(timespec="milliseconds")


def failed(signal: Signal) -> bool:
    """Whether nothing good came of an answer, as far as anybody said."""
    if signal.label is not None:
        return signal.label < 0.5
    return signal.handed_off or signal.thumb == -1 or signal.resolved is False or signal.reason == "error"


def bad(signal: Signal) -> bool:
    """Whether people said that an answer was bad: a thumb down, a rating as wrong, a case that was not resolved, or an
    approved reply in place of it."""
    corrected = signal.flagged and bool(signal.reply)
    rated = signal.label is not None and signal.label < 0.5
    return signal.thumb == -1 or signal.resolved is False or rated or corrected


def _per_day(signals: Sequence[Signal], since: str, at: str) -> float:
    """Requests a day. Traffic that began later counts from its beginning, and at least a day."""
    if not signals:
        return 0.0
    return len(signals) / max(days_between(max(since, signals[0].at), at), 1.0)


def _triggers(
    workspace: Workspace, ledger: Ledger, state: State, signals: Sequence[Signal], times: tuple[str, str, str]
) -> list[t.Trigger]:
    built, since, at = times
    settings = workspace.project.watch
    found = t.date_trigger(days_between(built, at), settings.date_days)
    if state.changed:
        some, more = ", ".join(state.changed[:3]), f" and {len(state.changed) - 3} more" * (len(state.changed) > 3)
        text = f"{len(state.changed)} documents changed since the last build: {some}{more}"
        found.append(t.Trigger(kind="documents", text=text))
    for action in Audit(ledger).actions(since=state.built_from or built, about=ABOUT, what=[MARKED], limit=20):
        found.append(t.Trigger(kind="marked", text=f"{action.by.name} marked: {action.facts['text']}"))
    before = [s for s in Signals(ledger).pages(earlier(since, settings.window_days), since) if s.release]
    then, now = ((sum(map(bad, rows)), len(rows)) for rows in (before, signals))
    found += t.feedback_trigger(then, now)
    return found + (_topics(workspace, signals) if "topic" in settings.triggers else [])


def _topics(workspace: Workspace, signals: Sequence[Signal]) -> list[t.Trigger]:
    """Topics that fail. Only questions that everyone may read: what the watch says is read by whoever runs it."""
    open_ = [s for s in signals if s.question.strip() and not s.groups][-MOST_READ:]
    if not any(map(failed, open_)):
        return []
    embed = workspace.embedder.embed
    asked = [e.question for split in ("test", "train") for e in workspace.examples(split)][:MOST_READ]
    questions = [" ".join(s.question.split())[:500] for s in open_]
    known = embed(asked, True) if asked else None
    return t.topics(questions, embed(questions, True), [failed(s) for s in open_], known)


def _seen(workspace: Workspace, release: Release, state: State, days: float, now: Estimate | None) -> t.Seen | None:
    """The loss since the last build, if the estimate before is old enough."""
    last = state.history[-1].day if state.history else 0.0
    if now is None or days - last < APART_DAYS:
        return None
    report = Report.read(Path(workspace.store.open("report", release.report).path))
    then = promised(report, release.arm)
    if then is None:
        return None
    found = t.seen(days, then, now)
    return found.model_copy(update={"sd": OVERLAP * found.sd})


def promised(report: Report, arm: str) -> Estimate | None:
    """The share of right answers among those that an arm gave in the verdict, as live answers are counted."""
    outcomes = [q.answers[arm].outcome for q in report.table if arm in q.answers]
    points = [LABELS[o] for o in outcomes if o in LABELS]
    if not points:
        return None
    mean = sum(points) / len(points)
    half = t.Z * (max(mean * (1 - mean), 0.25 / len(points)) / len(points)) ** 0.5
    return Estimate(mean=mean, low=max(mean - half, 0.0), high=min(mean + half, 1.0), n=len(points))
