"""A look at drift: the live traffic of the release in production and the project's documents, kept as a report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.monitoring.alarms import FILE, Cost, DriftReport, Kept, Monitored, Waiting, kept_in, noted, with_texts
from inhouse.monitoring.drift import moment, traffic
from inhouse.monitoring.revisions import DocumentDrift, changed, contradictions, stale
from inhouse.monitoring.subjects import examine
from inhouse.serving import watched
from inhouse.serving.alerts import tells_of_waiting
from inhouse.serving.reindex import content_in, content_now
from inhouse.serving.releases import Releases, label
from inhouse.store.artifacts import locked
from inhouse.store.keys import Keys
from inhouse.store.signals import Signals
from inhouse.types import Document, Matrix, Release

LOCK = "drift"  # file in the folder of locks
BOUNDED = ("new questions", "language of questions", "language of answers", "findings")
"""Monitors of a share of requests that may be answered wrong, each at most once."""


def look(workspace: Workspace, since: str = "", until: str = "", waiting: Waiting | None = None) -> Kept:
    """Looks at drift now, and keeps what it found in the store; examples have their texts.

    Args:
        workspace: the project.
        since: when usual traffic begins, ISO 8601; by default when the release was promoted.
        until: the end of what is looked at; by default now.
        waiting: what waiting costs; by default as `cost_of_waiting` has it.

    Raises:
        InputError: no release is in production, or a time is malformed.
    """
    releases = Releases(workspace)
    release = releases.get("production")
    name = label(release)  # with those before it that differ only in the index
    same = {label(r) for r in releases.all() if (r.report, r.arm) == (release.report, release.arm)}
    until, since = _time(until) or datetime.now(UTC).isoformat(), _time(since) or promoted(releases, same)
    with workspace.ledger() as ledger:
        rows = [s for s in Signals(ledger).rows(since, until) if s.release in same]
        unnamed = frozenset(key.id for key in Keys(ledger).all())
    seen = traffic(rows, until, since, unnamed)
    tests = [e.question for e in workspace.examples("test")]
    with workspace.progress.step("Comparing live questions with usual ones", None):
        monitors = examine(seen, _embedding(workspace), waiting or cost_of_waiting(workspace.project), tests)
    report = DriftReport(
        made_at=datetime.now(UTC).isoformat(), release=name, since=since, until=until,
        reference="traffic" if seen.usual else "tests" if tests else "nothing", usual_days=len(seen.usual),
        requests=len(seen.rows), monitors=tuple(monitors), documents=documents_of(workspace, release),
        unread=_unread(workspace),
    )  # fmt: skip
    root = workspace.store.root
    with locked(root / "locks" / LOCK, wait=True):
        kept = noted(report, kept_in(root), same)
        write_text(root / FILE, kept.model_dump_json(indent=1) + "\n")
    begun = {m.name: m.since for m in kept.report.monitors}
    whole = tuple(m.model_copy(update={"since": begun[m.name]}) for m in report.monitors)
    return kept.model_copy(update={"report": report.model_copy(update={"monitors": whole})})


def cost_of_waiting(project: Project) -> Waiting:
    """What an alarm costs a day, by the prices of the project file.

    Requests that were not answered cost the minutes of a person, failed ones and those for which nothing was found a
    wrong answer, and dearer answers what they cost more. Of other shares of requests it is known that they cost at most
    a wrong answer each. Of the rest it is known what each answer costs that turns wrong or goes to a person.
    """
    person = project.costs.minutes_per_handoff / 60 * project.costs.person_usd_per_hour
    wrong = project.watch.price_wrong_usd
    prices = {"no answer": person, "nothing found": wrong, "apologies": wrong, "errors": wrong}

    def waiting(found: Monitored, per_day: float) -> Cost:
        if found.effect is None:
            return Cost(None)
        if found.name == "cost" and found.usual is not None:
            return _priced(found.effect * found.usual * per_day)
        if price := prices.get(found.name, 0.0):
            return _priced(price * found.effect * per_day)
        if wrong and found.name in BOUNDED:
            most = wrong * found.effect * per_day
            return Cost(None, f"at most about ${most:,.2f} a day, if all of these requests are answered wrong")
        slow = found.area == "operation"
        if each := person if slow else wrong:
            what = "of the users who ask a person instead" if slow else "of the answers that turn wrong"
            return Cost(None, f"about ${each * per_day / 100:,.2f} a day for each percent {what}; how many is unknown")
        return Cost(None)

    return waiting


def _priced(usd: float) -> Cost:
    return Cost(usd, f"about ${usd:,.2f} a day")


def _time(at: str) -> str:
    if not at:
        return ""
    try:
        return moment(at).isoformat()
    except ValueError as error:
        raise InputError(f"{at[:80]}: not a time", "write it like 2026-11-30 or 2026-11-30T08:00:00") from error


def promoted(releases: Releases, names: Collection[str]) -> str:
    """Since when one of the releases has been in production; "" if that is not known."""
    since = ""
    for change in reversed(releases.serving().history):
        if change.production not in names:
            break
        since = change.at
    return since


def _embedding(workspace: Workspace) -> Callable[[Sequence[str]], Matrix]:
    embedder = workspace.embedder
    return lambda texts: embedder.embed(list(texts), query=True)


def documents_of(workspace: Workspace, release: Release) -> DocumentDrift:
    """The documents as they were read last: what has changed since those of the release, what is out of date, and
    what contradicts. The age of a document is that of its file."""
    now = workspace.documents()
    return DocumentDrift(
        changed=tuple(changed(_released(workspace, release), now)) if release.index else (),
        stale=tuple(stale(now, datetime.now(UTC).date(), reviewed(workspace, now))),
        contradicting=tuple(contradictions(now)),
    )


def _unread(workspace: Workspace) -> bool:
    """Whether the folder is not as it was when the documents were read last."""
    read = workspace.store.latest("documents")
    try:
        return read is not None and content_in(workspace, read) != content_now(workspace)
    except InputError:  # no folder, or nothing in it
        return False


def waiting_for(report: DriftReport) -> watched.Waiting:
    """What a person has to look at: the alarms of a report, in words."""
    text = " ".join(f"{alarm.says} Waiting costs {alarm.waiting}. {alarm.todo}" for alarm in report.alarms)
    return watched.Waiting(kind="drift", at=report.made_at, text=text, command="inhouse drift --last")


def tell(workspace: Workspace, kept: Kept) -> bool:
    """Sends an alert of a look's alarms if one of them is new; whether it did."""
    if not any(alarm.since == kept.report.made_at for alarm in kept.report.alarms):
        return False
    tells_of_waiting(workspace)(waiting_for(kept.report))
    return True


def _released(workspace: Workspace, release: Release) -> list[Document]:
    store = workspace.store
    made_from = store.lineage(store.open("index", release.index))
    documents = next((a for _, a in made_from if a.kind == "documents"), None)
    return workspace.documents(documents) if documents else []


def reviewed(workspace: Workspace, documents: Sequence[Document]) -> dict[str, date]:
    """When the file of each document was last changed; those that are no file of the folder are left out."""
    root = workspace.project.path(workspace.project.documents.path)
    found: dict[str, date] = {}
    for document in documents:
        file = Path(root, document.source)
        if file.is_file():
            found[document.source] = datetime.fromtimestamp(file.stat().st_mtime, UTC).date()
    return found


def latest(workspace: Workspace) -> Kept | None:
    """The last report as it was kept, with the questions that are still in the audit log; None before there is one."""
    kept = kept_in(workspace.store.root)
    if kept is None:
        return None
    with workspace.ledger() as ledger:
        return told(kept, Signals(ledger))


def told(kept: Kept, signals: Signals) -> Kept:
    """The report with the questions that are still in the audit log."""

    def text(exchange: str) -> str:
        signal = signals.of(exchange)
        return signal.question if signal else ""

    monitors: tuple[Monitored, ...] = tuple(with_texts(m, text) for m in kept.report.monitors)
    return kept.model_copy(update={"report": kept.report.model_copy(update={"monitors": monitors})})
