"""What is reported and kept of drift: monitors with their states and examples, and the alarms so far.

Texts of users are not kept: a report names exchanges, whose texts are read from the audit log when it is shown, so that
what is redacted there is nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from inhouse.errors import InputError
from inhouse.monitoring.monitors import MONITORS, Area
from inhouse.monitoring.revisions import DocumentDrift
from inhouse.monitoring.windows import BUDGET
from inhouse.types import Record

State = Literal["no change", "not enough traffic", "changed"]
SHOWN_CHARS = 300

UNKNOWN = "an unknown amount a day"


class Cost(NamedTuple):
    """What waiting costs: US dollars a day, None if unknown, and in words, to follow "waiting costs"."""

    usd: float | None
    says: str = UNKNOWN


Waiting = Callable[["Monitored", float], Cost]
"""What waiting costs, from a monitor that has changed and requests a day."""


class Shown(Record):
    """A question as an example: the exchange, and the text, which is not kept."""

    exchange: str
    text: str


class Group(Record):
    """Questions that belong together: the one that stands for them, words that mark them, and shares of requests."""

    question: Shown
    terms: tuple[str, ...] = ()
    share: float
    usual_share: float
    examples: tuple[Shown, ...] = ()


class Monitored(Record):
    """What a monitor shows.

    Attributes:
        name: of the monitor.
        state: "changed" is an alarm.
        says: in words.
        effect: the change, with its interval at the level of the alarm: shares in points of 1, ratios less 1, scores in
            standard deviations, areas as AUROC. None where nothing could be compared.
        now: the value in the window, and `usual` before, in the monitor's own unit (geometric means for ratios).
        p: p-value of "no harm", adjusted for all monitors of the day; 1 where none was tested.
        days: of the window; 0 where no window is long enough.
        units: users and days in the window.
        needed: how many it takes to find the smallest change that matters; infinite is -1.
        ready_on: the date from which there will be enough, as far as is known.
        groups: groups of questions that stand out, strongest first.
        examples: questions of the window that show the change.
        since: the first day of the alarm; set where reports are kept.
        waiting_usd: what waiting costs a day, None if that is unknown.
        waiting: the same in words, or what is known of it: a bound, or the price of each answer that turns wrong.
        todo: what to do.
    """

    name: str
    area: Area
    state: State
    says: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    now: float | None = None
    usual: float | None = None
    p: float = 1.0
    days: int = 0
    units: int = 0
    needed: int = 0
    ready_on: str = ""
    groups: tuple[Group, ...] = ()
    examples: tuple[Shown, ...] = ()
    since: str = ""
    waiting_usd: float | None = None
    waiting: str = UNKNOWN
    todo: str = ""


class DriftReport(Record):
    """A look at live traffic and documents.

    Attributes:
        made_at: when, ISO 8601.
        release: whose traffic it is.
        since: the beginning of usual traffic, and `until` the end of what was looked at.
        reference: what the last days are compared with; "tests" are the test questions, until there are enough days.
        usual_days: days of usual traffic.
        requests: of the release in all.
        budget: false alarms in a month of daily looks, at most and on average.
        monitors: of traffic.
        documents: of the documents, as they were read last.
        unread: whether files have changed since.
    """

    made_at: str
    release: str
    since: str
    until: str
    reference: Literal["traffic", "tests", "nothing"]
    usual_days: int
    requests: int
    budget: float = BUDGET
    monitors: tuple[Monitored, ...]
    documents: DocumentDrift = DocumentDrift()
    unread: bool = False

    @property
    def alarms(self) -> tuple[Monitored, ...]:
        return tuple(m for m in self.monitors if m.state == "changed")


class Alarm(Record):
    """When a monitor began to be changed; `release` is whose traffic it was."""

    monitor: str
    since: str
    release: str


class Kept(Record):
    """The last report, without texts of users, and every alarm so far, the last one last."""

    report: DriftReport
    alarms: tuple[Alarm, ...] = ()


FILE = "drift.json"  # in the store: a Kept
VOIDS = frozenset(m.name for m in MONITORS.values() if m.area in ("questions", "retrieval", "answers"))
"""Monitors whose alarms void what was certified on the test questions: live questions or answers are not like them."""


def kept_in(root: Path) -> Kept | None:
    """The report in a store; None before there is one.

    Raises:
        InputError: the file is damaged, or of another version.
    """
    file = root / FILE
    if not file.is_file():
        return None
    try:
        return Kept.model_validate_json(file.read_bytes())
    except ValueError as error:
        raise InputError(f"{file}: not a report of drift of this version", "`inhouse drift` writes it again") from error


def noted(report: DriftReport, before: Kept | None, same: Collection[str] = ()) -> Kept:
    """What is kept of a report: alarms that go on began when they began, and texts are left out, so that what is
    redacted in the audit log is nowhere else. `same` are releases that answer as this one does."""
    goes_on = before is not None and before.report.release in (report.release, *same)
    standing = {m.name: m.since for m in before.report.alarms} if before and goes_on else {}
    monitors, new = [], []
    for m in report.monitors:
        since = (standing.get(m.name) or report.made_at) if m.state == "changed" else ""
        if m.state == "changed" and m.name not in standing:
            new.append(Alarm(monitor=m.name, since=since, release=report.release))
        monitors.append(_without_texts(m.model_copy(update={"since": since})))
    earlier = before.alarms if before else ()
    return Kept(report=report.model_copy(update={"monitors": tuple(monitors)}), alarms=(*earlier, *new))


def _without_texts(m: Monitored) -> Monitored:
    groups = tuple(
        g.model_copy(update={"question": _bare(g.question), "examples": tuple(map(_bare, g.examples))})
        for g in m.groups
    )
    return m.model_copy(update={"groups": groups, "examples": tuple(map(_bare, m.examples))})


def _bare(shown: Shown) -> Shown:
    return Shown(exchange=shown.exchange, text="")


def with_texts(m: Monitored, text: Callable[[str], str]) -> Monitored:
    """The monitor with the texts of its examples again; those that are gone are left out.

    `text` returns the question of an exchange, "" for one that is redacted.
    """

    def again(some: Sequence[Shown]) -> tuple[Shown, ...]:
        found = [Shown(exchange=s.exchange, text=cut(text(s.exchange))) for s in some]
        return tuple(s for s in found if s.text)

    groups = [
        g.model_copy(update={"question": question[0], "examples": again(g.examples)})
        for g in m.groups
        if (question := again([g.question]) or again(g.examples))
    ]
    return m.model_copy(update={"groups": tuple(groups), "examples": again(m.examples)})


def cut(text: str) -> str:
    """A question as it is shown: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


def standing(root: Path) -> dict[str, str]:
    """The last alarm that voids what was certified before it, as {"drift": MONITOR since TIME}; {} if there was none.

    An alarm that is over still voids: what was certified before it is to be certified again.
    """
    kept = kept_in(root)
    last = next((a for a in reversed(kept.alarms if kept else ()) if a.monitor in VOIDS), None)
    return {"drift": f"{last.monitor} since {last.since}"} if last else {}
