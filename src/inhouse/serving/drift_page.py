"""A look at drift as the console shows it."""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.gateway.console import seams
from inhouse.monitoring.alarms import DriftReport, Group, Monitored, Shown
from inhouse.monitoring.monitors import MONITORS, Kind
from inhouse.monitoring.revisions import DocumentDrift

MOST_DOCUMENTS = 200  # notes on the page
UNITS: dict[Kind, tuple[float, str]] = {
    "share": (100, " points"), "group": (100, " points"), "ratio": (100, "%"), "score": (1, " SD"),
    "area": (1, " AUROC"),
}  # fmt: skip
"""What effects are multiplied by, and the unit that they have then."""


def shown_drift(report: DriftReport) -> seams.Drift:
    """The report with alarms first."""
    against = {
        "traffic": f"the first {report.usual_days} days of the release", "tests": "the test questions", "nothing": "",
    }  # fmt: skip
    monitors = sorted(map(_monitor, report.monitors), key=lambda m: m.state != "changed")
    return seams.Drift(
        made_at=report.made_at, release=report.release, requests=report.requests, against=against[report.reference],
        budget=report.budget, monitors=tuple(monitors), documents=tuple(_notes(report.documents))[:MOST_DOCUMENTS],
    )  # fmt: skip


def _monitor(m: Monitored) -> seams.DriftMonitor:
    scale, unit = UNITS[MONITORS[m.name].kind]
    effect, low, high = (None if v is None else scale * v for v in (m.effect, m.low, m.high))
    return seams.DriftMonitor(
        name=m.name, area=m.area, state=m.state, says=m.says, effect=effect, low=low, high=high, unit=unit, days=m.days,
        ready_on=m.ready_on, since=m.since, waiting=m.waiting, todo=m.todo, groups=tuple(map(_group, m.groups)),
        examples=tuple(map(_asked, m.examples)),
    )  # fmt: skip


def _group(g: Group) -> seams.DriftGroup:
    return seams.DriftGroup(
        question=_asked(g.question), terms=g.terms, share=g.share, usual_share=g.usual_share,
        examples=tuple(map(_asked, g.examples)),
    )  # fmt: skip


def _asked(shown: Shown) -> seams.Asked:
    return seams.Asked(exchange=shown.exchange, text=shown.text)


def _notes(found: DocumentDrift) -> Iterator[seams.DocumentNote]:
    for c in found.contradicting:
        says = f"{c.figures[0]} in one and {c.figures[1]} in the other, for what seems to be the same thing."
        yield seams.DocumentNote(kind="contradicting", sources=c.sources, says=says, texts=c.texts)
    for s in found.stale:
        says = f"What it says ended on {s.date}." if s.why == "expired" else f"Not changed since {s.date}."
        yield seams.DocumentNote(kind="out of date", sources=(s.source,), says=says, texts=(s.text,) if s.text else ())
    for r in found.changed:
        says = f"{r.kind.capitalize()} since the release{', with other figures' if r.figures else ''}."
        yield seams.DocumentNote(kind="changed", sources=(r.source,), says=says, texts=(*r.before, *r.after))
