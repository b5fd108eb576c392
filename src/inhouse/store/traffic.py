"""What the audit tells in sum: requests over time for dashboards, outcomes per user and arm for experiments."""

from __future__ import annotations

from inhouse.store.ledger import Ledger
from inhouse.types import Record


class Bucket(Record):
    """The requests of one span of time, which begins at `start` (ISO 8601, UTC); seconds of those that were answered."""

    start: str
    requests: int = 0
    errors: int = 0
    refusals: int = 0
    handoffs: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    thumbs_up: int = 0
    thumbs_down: int = 0


class Outcome(Record):
    """What one user had of one arm of an experiment: shares and means over their requests, None where nothing is known."""

    user: str
    arm: str
    first_at: str
    requests: int
    errors: int
    resolved: float | None  # share of the requests with an opinion on it
    thumb: float | None  # share of thumbs up among thumbs
    escalated: float  # share that went to a person
    latency_s: float | None
    cost_usd: float  # mean of a request


class Traffic:
    """Sums over a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def buckets(self, since: str, until: str, minutes: int) -> list[Bucket]:
        """Buckets of `minutes` from `since` to `until` (ISO 8601), in order, those without requests too."""
        raise NotImplementedError

    def outcomes(self, experiment: str) -> list[Outcome]:
        """One row a user and arm, in the order in which they first came."""
        raise NotImplementedError
