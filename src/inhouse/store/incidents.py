"""Incidents: releases that were taken back by themselves, as entries of the audit log."""

from __future__ import annotations

from inhouse.store.audit import Audit
from inhouse.types import Json, Record

INCIDENT = "incident"  # what the action is called
BY = "automatic rollback"  # who does it


class Line(Record):
    """A guard metric at the time of an incident: answers and figures of production and the canary.

    `evidence` is the wealth of the bets against the canary, `needed` what it had to reach; `state` is "worse",
    "missing", or "".
    """

    metric: str
    title: str
    tolerated: float
    answers: tuple[int, int]
    shown: tuple[float | None, float | None]
    evidence: float
    needed: float
    missing: int = 0
    state: str = ""


class Incident(Record):
    """A canary that was rolled back. `examples` are IDs of the canary's exchanges that were bad in the metric."""

    seq: int = 0
    at: str
    release: str
    production: str
    percent: float
    since: str
    metric: str
    reason: str
    metrics: tuple[Line, ...] = ()
    examples: tuple[str, ...] = ()

    def facts(self) -> dict[str, Json]:
        """As the audit log has it."""
        return self.model_dump(mode="json", exclude={"seq", "at"})


def incidents(audit: Audit, limit: int = 100) -> list[Incident]:
    """The incidents, newest first."""
    found = []
    for action in audit.actions(what=[INCIDENT], limit=limit):
        facts = {k: v for k, v in action.facts.items() if k in Incident.model_fields}
        found.append(Incident(**{**facts, "seq": action.seq, "at": action.at}))
    return found
