"""What the console shows of rooms that the gateway may not import: a Protocol, and the values that it passes.

serving/insight.py implements it for a workspace; the tests implement it with made-up data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from inhouse.certificate import CascadeReport
from inhouse.roadmap import Live, Roadmap
from inhouse.store.traffic import RungUse
from inhouse.types import Box, Chunk, Example, Record, Release, Review, Trust
from inhouse.verdict import Report

Groups = frozenset[str]
Part = Literal["train", "validation", "test", "removed"]
PARTS: tuple[Part, ...] = ("train", "validation", "test", "removed")


class DocumentLine(Record):
    """A document in the index. `access` are the groups that may read it, empty means everyone."""

    source: str
    title: str
    chunks: int
    access: frozenset[str] = frozenset()
    trust: Trust = "trusted"


class Failure(Record):
    """A file that could not be read, and why."""

    path: str
    reason: str


class Match(Record):
    """A chunk found; `score` in [0, 1], `dense` its cosine, `text` its share of the best BM25."""

    chunk: Chunk
    score: float
    dense: float
    text: float


class Row(Record):
    """An example of the data set; `left_out` says at which step and why, where it was."""

    example: Example
    left_out: str = ""


class Difference(Record):
    """An arm less the first one, with an interval that holds at any time. `shows` is "" while it contains zero."""

    metric: str
    unit: str  # of the figures: " points" or "%"
    arm: str
    mean: float
    low: float
    high: float
    shows: Literal["", "better", "worse"] = ""


class ArmFigures(Record):
    """An arm of a live experiment so far: "base" or "NAME/VERSION"; None where nothing was observed."""

    arm: str
    weight: float
    users: int
    requests: int
    resolved: float | None
    thumbs_up: float | None
    escalated: float | None
    latency_s: float | None
    usd_per_1000: float | None


class Experiment(Record):
    """A live experiment with its figures, and in words what may be concluded."""

    name: str
    since: str
    arms: tuple[ArmFigures, ...]
    differences: tuple[Difference, ...]
    conclusion: str


class HistoryLine(Record):
    """A change of what is served, in words, and what was served after it."""

    at: str
    text: str
    production: str
    canary: str = ""


class Overview(Record):
    """What is served, every release, the newest first, and every change, the oldest first."""

    production: str = ""
    canary: str = ""
    canary_percent: float = 0.0
    releases: tuple[Release, ...] = ()
    history: tuple[HistoryLine, ...] = ()


class ToolLine(Record):
    """A tool as it was described when its agents were measured. `groups` and `roles` may cause a call; empty means
    all. `approval` is "never", "always", or a condition."""

    name: str
    description: str = ""
    effect: Literal["read", "write"] = "write"
    approval: str = "never"
    check: str = ""
    undo: str = ""
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    origin: str = ""


class ProcedureLine(Record):
    """A procedure; `picture` is an SVG of its states, safe to be part of a page."""

    name: str
    title: str
    description: str = ""
    examples: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    states: int
    picture: str


class AgentLine(Record):
    """An agent. `documents` are patterns of what it answers from, and `groups` may talk to it; empty means all."""

    name: str
    description: str = ""
    groups: frozenset[str] = frozenset()
    documents: tuple[str, ...] = ()
    procedures: tuple[ProcedureLine, ...] = ()
    tools: tuple[ToolLine, ...] = ()


class Team(Record):
    """The agents that are served. `fallback` answers what belongs to none: an agent, "documents", or "person"."""

    agents: tuple[AgentLine, ...]
    fallback: str

    def tool(self, name: str) -> ToolLine | None:
        return next((t for agent in self.agents for t in agent.tools if t.name == name), None)


class Cascade(Record):
    """The cascade and its certificates; `picture` is an SVG of cost and quality, safe to be part of a page.

    `void` names what has changed since; "" if nothing has, None if that is not known here. `live` has what the rungs
    did in the `answers` of production that are looked at; empty where it is no cascade.
    """

    report: CascadeReport
    picture: str
    made_at: str
    void: str | None = None
    answers: int = 0
    live: tuple[RungUse, ...] = ()


class QualityLine(Record):
    """The accuracy of a release in the four weeks to `until`; `mean` None is unknown, and `why` says why.

    `method` says what the figure rests on: the answers of the verdict ("reference"), "labels", or "both".
    """

    until: str
    release: str
    requests: int
    handed_off: float
    answers: int
    labels: int
    mean: float | None = None
    low: float = 0.0
    high: float = 1.0
    method: str = ""
    why: str = ""
    up: int = 0
    down: int = 0


class Quality(Record):
    """The accuracy of live answers by week, the newest first, and how far reviewers agree on the answers that two of
    them rated: the share that is alike, and Cohen's kappa with its interval. `production` is the release whose lines
    come to the top of the page, `problem` says why nothing is known."""

    at: str
    production: str = ""
    lines: tuple[QualityLine, ...] = ()
    pairs: int = 0
    agree: float | None = None
    kappa: float | None = None
    low: float | None = None
    high: float | None = None
    problem: str = ""


class CostInput(Record):
    """An input of the saving: its value and interval in words, and where it comes from. `typed` is what was typed."""

    name: str
    title: str
    value: float | None
    shown: str
    interval: str = ""
    source: str = ""
    note: str = ""
    typed: str = ""


class CostLine(Record):
    """A line of a table: cells in words, and what should be known of it."""

    title: str
    cells: tuple[str, ...]
    note: str = ""


class Costs(Record):
    """What answers cost, and what customization returns, in words; pictures are SVG, safe to be part of a page.

    `table` is base against custom, `spending` where the money of the last `days` days went, `options` the ways to
    answer at one's own volume. `missing` says what has to be typed in before there is a saving.
    """

    project: str
    days: float
    conversations: int
    inputs: tuple[CostInput, ...]
    table: tuple[CostLine, ...]
    net: str
    payback: str
    spending: tuple[CostLine, ...]
    options: tuple[CostLine, ...]
    break_even: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    dependence: str = ""
    by_volume: str = ""


class Asked(Record):
    """A question of live traffic, and the exchange that it is of."""

    exchange: str
    text: str


class DriftGroup(Record):
    """Questions that belong together, with the one that stands for them, and their shares of requests."""

    question: Asked
    terms: tuple[str, ...] = ()
    share: float
    usual_share: float
    examples: tuple[Asked, ...] = ()


class DriftMonitor(Record):
    """One figure of live traffic. The interval is in `unit`; None where nothing was compared. `days` is the window."""

    name: str
    area: str
    state: Literal["no change", "not enough traffic", "changed"]
    says: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    days: int = 0
    ready_on: str = ""
    since: str = ""
    waiting: str = "an unknown amount a day"
    todo: str = ""
    groups: tuple[DriftGroup, ...] = ()
    examples: tuple[Asked, ...] = ()


class DocumentNote(Record):
    """Something about documents: what kind of thing, of which ones, in words, with sentences that show it."""

    kind: Literal["changed", "out of date", "contradicting"]
    sources: tuple[str, ...]
    says: str
    texts: tuple[str, ...] = ()


class Drift(Record):
    """The last look at drift. `against` says in words what the last days are compared with."""

    made_at: str
    release: str
    requests: int
    against: str
    budget: float
    monitors: tuple[DriftMonitor, ...]
    documents: tuple[DocumentNote, ...] = ()


class Insight(Protocol):
    """What was built and what is served. What the given groups may not read does not exist for them."""

    def documents(self, groups: Groups) -> Sequence[DocumentLine]: ...

    def chunks(self, source: str, groups: Groups) -> Sequence[Chunk]:
        """The chunks of a document in order; none if there is no such document or it may not be read."""
        ...

    def page(self, source: str, page: int, box: Box, groups: Groups) -> bytes | None:
        """A PNG of the part of a page that has the box, marked; None if it may not be read or has no such page."""
        ...

    def search(self, query: str, k: int, groups: Groups) -> Sequence[Match]: ...

    def failures(self, groups: Groups) -> Sequence[Failure]: ...

    def report(self) -> Report | None:
        """The verdict of the release that is served, or the latest one; None before there is one."""
        ...

    def report_page(self) -> str | None:
        """Its report.html."""
        ...

    def cascade(self) -> Cascade | None:
        """The latest cascade; None before there is one."""
        ...

    def drift(self) -> Drift | None:
        """The last look at drift; None before there is one."""
        ...

    def rows(self, part: Part) -> Sequence[Row]:
        """The examples of a part of the data set; none before there is one."""
        ...

    def reviews(self) -> Mapping[str, Review]: ...

    def review(self, review: Review) -> None: ...

    def team(self) -> Team | None:
        """The agents of the release that is served, or the latest ones; None where there are none."""
        ...

    def quality(self) -> Quality | None:
        """The accuracy of live answers as it was computed last; None while it is being computed for the first time."""
        ...

    def costs(self, typed: Mapping[str, str]) -> Costs:
        """What answers cost, and what customization returns.

        Args:
            typed: inputs that take the place of the measured ones, by name, as people write them.

        Raises:
            InputError: one of them is unknown or has no meaning.
        """
        ...

    def costs_file(self, typed: Mapping[str, str], kind: Literal["html", "xlsx"]) -> bytes:
        """The same as one HTML page or as a workbook with formulas. Raises as `costs` does."""
        ...

    def overview(self) -> Overview: ...

    def roadmap(self) -> Roadmap:
        """Where the project stands."""
        ...

    def estimates(self) -> Live:
        """What is estimated of live traffic."""
        ...

    def live(self) -> Experiment | None:
        """The live experiment with its figures so far."""
        ...

    def candidates(self) -> Sequence[str]:
        """What may be an arm: "base" and releases."""
        ...

    def start(self, name: str, arms: Mapping[str, float]) -> None: ...

    def stop(self) -> None: ...

    def weigh(self, weights: Mapping[str, float]) -> None: ...
