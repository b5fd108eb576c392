"""The keys of inhouse.toml for `inhouse watch`: when to index and to build again, and who promotes what is made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section

TriggerName = Literal["documents", "topic", "accuracy", "feedback", "date", "marked"]


class Watch(Section):
    triggers: tuple[TriggerName, ...] = ("documents", "topic", "accuracy", "feedback", "date", "marked")
    """What leads to a decision: changed documents, topics whose questions fail, estimated accuracy below
    min_accuracy, more bad feedback than before, the calendar, and changes that a person marks with `inhouse watch
    mark`. See docs/watch.md."""
    every_minutes: float = Field(10, gt=0)
    """How often to look. The documents folder is looked at more often, see documents_every_s. Minutes."""
    documents_every_s: float = Field(5, gt=0)
    """How often to look for changed documents: names, sizes, and times, then contents of those that differ. A folder
    that is still being written to is left alone until it has not changed for this long. Seconds."""
    index: Literal["automatic", "person"] = "automatic"
    """Who promotes an index of changed documents: `automatic` if the answers to the affected test questions and to a
    sample of the others do not get worse; otherwise, and with `person`, it waits for `inhouse release promote`."""
    sample: int = Field(10, ge=0)
    """Test questions that a change does not affect and that are asked again all the same."""
    max_retested: int = Field(60, ge=1)
    """Maximum number of affected test questions that are asked again, a random sample."""
    tolerance: float = Field(0.04, ge=0, le=1)
    """Share of the affected questions and of the others, and after a build of the old and of the new ones, by which the
    answers that got worse may outnumber those that got better, rounded up, and none of fewer than ten: a small model
    answers a few questions otherwise whenever its prompt changes. 0 for none."""
    promote: Literal["person", "automatic"] = "person"
    """What happens to a build that passes the release gate: it waits for a person, or (`automatic`) it becomes a canary
    for canary_percent of the users, and production after canary_hours, unless it answers worse than production by more
    than `tolerance`: then it waits too."""
    canary_percent: float = Field(10, gt=0, lt=100)
    """Share of the users of an automatic canary. Percent."""
    canary_hours: float = Field(24, ge=0)
    """How long an automatic canary lasts before it is promoted, unless it is rolled back. Hours."""
    canary_answers: int = Field(30, ge=0)
    """Fewest answers of an automatic canary before it is promoted; with fewer it stays one, and waits for a person."""
    min_accuracy: float = Field(0, ge=0, le=1)
    """Estimated accuracy whose whole interval is below this is a trigger; 0 for none."""
    drift_days: float = Field(1, ge=0)
    """How often to look for drift, as `inhouse drift` does; alarms wait for a person. 0 for never. Days."""
    window_days: float = Field(28, gt=0)
    """Live traffic that estimates, topics, and feedback are read from, at most since the last build. Days."""
    price_wrong_usd: float = Field(2, ge=0)
    """What a wrong answer costs on average, in US dollars: the share that leads to a contact times its price, and more
    where wrong answers do harm."""
    price_build_usd: float = Field(0, ge=0)
    """What a build costs, in US dollars; 0 measures the last one, at model.usd_per_hour, and adds review_minutes."""
    review_minutes: float = Field(480, ge=0)
    """A person's time to review a build and release it: regressions, gate, and sign-off. Minutes."""
    person_usd_per_hour: float = Field(60, ge=0)
    """Price of that person. US dollars per hour."""
    mends: float = Field(0.8, gt=0, le=1)
    """Share of the lost accuracy that a build is expected to bring back."""
    cooldown_days: float = Field(7, ge=0)
    """No build within this time after the last one, except for a change that a person marked. Days."""
    date_days: float = Field(91, ge=0)
    """A build is due this long after the last one, if it can gain what it costs; 0 for never. Days."""
