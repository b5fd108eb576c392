"""Releases: what may be served, immutable, and what is served now. The gate between the two is in the project file."""

from __future__ import annotations

from inhouse.pipeline import Site
from inhouse.types import Json, Record, Release


class Experiment(Record):
    """A live split of `custom` by user. `arms` are weights by release ("NAME/3") or "base"; the first is compared with.

    `since` is when the weights last changed: what was seen before is not counted with what comes after.
    """

    name: str
    arms: dict[str, float]
    metric: str = "resolved"
    started_at: str
    since: str


class Serving(Record):
    """What is served: names of releases, "" for none. `revision` counts up with every change.

    `history` has one entry a change, the oldest first: {"at", "did", "production", "canary", "canary_percent",
    "experiment"}, as it stood after it.
    """

    revision: int = 0
    production: str = ""
    canary: str = ""
    canary_percent: float = 0.0
    experiment: Experiment | None = None
    history: tuple[dict[str, Json], ...] = ()


class Releases:
    """The releases of a project, and which of them is served."""

    def __init__(self, site: Site) -> None: ...

    def make(self, name: str = "") -> Release: ...

    def all(self) -> list[Release]: ...

    def get(self, which: str) -> Release: ...

    def serving(self) -> Serving: ...

    def promote(self, which: str) -> Serving: ...

    def canary(self, which: str, percent: float) -> Serving: ...

    def rollback(self) -> Serving: ...

    def start(self, name: str, arms: dict[str, float], metric: str = "resolved") -> Serving: ...

    def weights(self, arms: dict[str, float]) -> Serving: ...

    def stop(self) -> Serving: ...
