"""The roadmap as values: where a project stands between its first data audit and serving at scale, with the evidence.

The console, the command, and whoever else asks read one Roadmap; monitoring/roadmap.py has its rules.
"""

from __future__ import annotations

from typing import Literal

from inhouse.types import Estimate, Record

State = Literal["done", "next", "later", "not needed"]


class Figure(Record):
    """A piece of evidence: what it is of, its value, and what else is known of it, such as an interval."""

    label: str
    value: str
    detail: str = ""


class Todo(Record):
    """A step: what to do, with the command that does it, and the page of the console where it is seen; "" for none."""

    text: str
    command: str = ""
    page: str = ""


class Stage(Record):
    """A stage of the path; `summary` says why it has this state."""

    name: Literal["audit", "rag", "tuning", "hardening", "scale"]
    title: str
    state: State
    summary: str
    figures: tuple[Figure, ...] = ()
    steps: tuple[Todo, ...] = ()


class Near(Record):
    """Held-out questions with `low` to `high` training examples near them, and the share that is answered right."""

    low: int
    high: int
    right: Estimate


class Trained(Record):
    """A training of this project: its examples, and the accuracy on the same questions."""

    examples: int
    right: Estimate


class Need(Record):
    """What more examples of a topic may gain: points of accuracy over all questions, with the interval."""

    topic: str
    examples: int
    gain: Estimate


class Learning(Record):
    """What the evidence says about more training data.

    `closed` is the share of the way from base to `ceiling` that `arm` goes. `sentence` is the conclusion, "not known"
    with what is missing where the evidence does not say.
    """

    arm: str = ""
    closed: Estimate | None = None
    ceiling: Literal["oracle", "all right"] = "all right"
    curve: tuple[Near, ...] = ()
    sizes: tuple[Trained, ...] = ()
    needs: tuple[Need, ...] = ()
    known: bool = False
    sentence: str


class Roadmap(Record):
    """The stages in order, at most one of them next; `headline` says what is next, and `evidence` what is known."""

    project: str
    headline: str
    stages: tuple[Stage, ...]
    evidence: tuple[str, ...] = ()
    learning: Learning | None = None

    @property
    def next(self) -> Stage | None:
        return next((s for s in self.stages if s.state == "next"), None)


class Live(Record):
    """What other parts of a running gateway know; None where a figure is not there.

    `watch` is what the watch does now, or did last, and `waits` what of it waits for a person.
    """

    accuracy: Estimate | None = None
    incidents: int | None = None
    watch: str = ""
    waits: tuple[Todo, ...] = ()
