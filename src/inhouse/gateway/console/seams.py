"""What the console shows of rooms that the gateway may not import: a Protocol, and the values that go through it.

`insight` at the top level fills it in from a project's Site; the tests fill it with made-up data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from inhouse.types import Chunk, Example, Json, Record, Release, Review

Groups = frozenset[str]
Part = Literal["train", "validation", "test", "removed"]
PARTS: tuple[Part, ...] = ("train", "validation", "test", "removed")


class DocumentLine(Record):
    """A document in the index. `access` are the groups that may read it, empty means everyone."""

    source: str
    title: str
    chunks: int
    access: frozenset[str] = frozenset()


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
    """An arm against the first one: a confidence sequence that may be looked at any time."""

    metric: str
    unit: str = ""  # " points", " s", ...; figures are in it
    arm: str
    mean: float
    low: float
    high: float
    clear: bool  # the sequence excludes zero
    better: bool | None  # which way, where it is clear


class ArmFigures(Record):
    """What an arm of a live experiment did so far; None where nothing was observed."""

    arm: str
    served: str  # "base" or "NAME/VERSION"
    weight: float
    users: int
    requests: int
    resolved: float | None
    thumbs_up: float | None
    escalated: float | None
    latency_s: float | None
    usd_per_1000: float | None


class Experiment(Record):
    """A live experiment with its figures and its verdict in words."""

    name: str
    since: str
    arms: tuple[ArmFigures, ...]
    differences: tuple[Difference, ...]
    sample_ratio: str  # in words, empty where it holds
    verdict: str


class Overview(Record):
    """What is served, and every release, the newest first. `history` is that of releases.Serving."""

    production: str = ""
    canary: str = ""
    canary_percent: float = 0.0
    releases: tuple[Release, ...] = ()
    history: tuple[dict[str, Json], ...] = ()


class Insight(Protocol):
    """What was built, and what is served of it. What the groups of whoever asks may not read is not there for them."""

    def documents(self, groups: Groups) -> Sequence[DocumentLine]: ...

    def chunks(self, source: str, groups: Groups) -> Sequence[Chunk]:
        """The chunks of a document in its order; none where it is not there or may not be read."""
        ...

    def search(self, query: str, k: int, groups: Groups) -> Sequence[Match]: ...

    def failures(self, groups: Groups) -> Sequence[Failure]: ...

    def report(self) -> Mapping[str, Json] | None:
        """report.json of the release that is served, or of the latest verdict; None before there is one."""
        ...

    def report_page(self) -> str | None:
        """report.html beside it."""
        ...

    def rows(self, part: Part) -> Sequence[Row]:
        """The examples of the data set as they were curated; none before there is one."""
        ...

    def reviews(self) -> Mapping[str, Review]: ...

    def review(self, review: Review) -> None: ...

    def overview(self) -> Overview: ...

    def live(self) -> Experiment | None:
        """The live experiment with its figures so far."""
        ...

    def candidates(self) -> Sequence[str]:
        """What may be an arm: "base" and releases."""
        ...

    def start(self, name: str, arms: Mapping[str, float]) -> None: ...

    def stop(self) -> None: ...

    def weigh(self, weights: Mapping[str, float]) -> None: ...
