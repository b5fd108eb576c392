"""What is served, as values: the release in production, a canary or an experiment, and every change so far."""

from __future__ import annotations

from typing import Literal, NamedTuple

from inhouse.errors import ConfigError
from inhouse.monitoring.experiments import Experiment
from inhouse.types import Record

Kind = Literal[
    "promoted",
    "canary",
    "rolled back",
    "canary rolled back",
    "experiment started",
    "weights changed",
    "experiment stopped",
    "shadow started",
    "shadow stopped",
]


class Canary(Record):
    """A release that answers `percent` of the users, since its share was set (ISO 8601)."""

    release: str
    percent: float
    since: str

    @property
    def name(self) -> str:
        """Of the canary as an experiment, in the split and the audit."""
        return f"canary {self.release}"

    def experiment(self, production: str, metric: str) -> Experiment:
        """The canary as an experiment against production."""
        arms = {production: 100 - self.percent, self.release: self.percent}
        return Experiment(name=self.name, arms=arms, metric=metric, started_at=self.since, since=self.since)


class Shadowing(Record):
    """A release that answers a copy of `percent` of the requests, which nobody sees."""

    release: str
    percent: float
    since: str


class Change(Record):
    """One change, and what was served after it. `subject` is a release or an experiment."""

    at: str
    kind: Kind
    subject: str
    percent: float = 0.0  # of a canary
    production: str = ""
    canary: str = ""
    experiment: str = ""

    @property
    def text(self) -> str:
        """The change in words."""
        share = f" for {self.percent:g}% of users" if self.kind == "canary" else ""
        return f"{self.kind.capitalize()}: {self.subject}{share}"


class Serving(Record):
    """What is served: names of releases, "" for none. `revision` counts up with every change.

    `earlier` are the productions before this one, the latest last; `past` are the experiments that ended; `history`
    has every change, the oldest first.
    """

    revision: int = 0
    production: str = ""
    canary: Canary | None = None
    experiment: Experiment | None = None
    shadow: Shadowing | None = None
    earlier: tuple[str, ...] = ()
    past: tuple[Experiment, ...] = ()
    history: tuple[Change, ...] = ()

    @property
    def live(self) -> Experiment:
        """The live experiment.

        Raises:
            ConfigError: there is none.
        """
        if self.experiment is None:
            raise ConfigError("no experiment is live", "start one with `inhouse experiment start`")
        return self.experiment

    def ended(self) -> Serving:
        """Without the live experiment, which is past."""
        return self.model_copy(update={"experiment": None, "past": (*self.past, self.live)})


class Step(NamedTuple):
    """A change before it is written: what is served after it, and what to call it."""

    after: Serving
    kind: Kind
    subject: str

    def taken(self, at: str) -> Serving:
        """What is served now, with the change in its history."""
        after = self.after
        change = Change(
            at=at,
            kind=self.kind,
            subject=self.subject,
            percent=after.canary.percent if after.canary else 0.0,
            production=after.production,
            canary=after.canary.release if after.canary else "",
            experiment=after.experiment.name if after.experiment else "",
        )
        return after.model_copy(update={"revision": after.revision + 1, "history": (*after.history, change)})
