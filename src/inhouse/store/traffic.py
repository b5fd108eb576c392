"""Statistics of the audit log: requests over time for dashboards, outcomes per user and arm for experiments."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from inhouse.errors import InputError
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, FEEDBACK, HANDOFFS, now_ms, to_iso, to_ms
from inhouse.types import Outcome, Record

MOST_BUCKETS = 5000
MOST_RUNGS = 5000  # answers, whose records are read one by one
REFUSED = ("refused", "content_filter")
EXCHANGES = AUDIT.c.kind == "exchange"
FAILED = AUDIT.c.reason == "error"


class Bucket(Record):
    """The requests of the period that begins at `start` (ISO 8601, UTC); latencies exclude failed requests."""

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


class Totals(Record):
    """Everything since the ledger began: answered requests, those left to a person, and thumbs on answers."""

    requests: int = 0
    handoffs: int = 0
    ratings: int = 0
    thumbs_up: int = 0


class RungUse(Record):
    """What a rung of a cascade did in live traffic: how often it was asked, and its answer was given.

    `usd` is all that it cost; `p50_ms` and `p95_ms` are the times of the answers that it made, None without any.
    """

    name: str
    asked: int
    answered: int
    usd: float
    p50_ms: float | None = None
    p95_ms: float | None = None


class Traffic:
    """The statistics of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = self._ledger = ledger

    def rungs(self, release: str, since: str, most: int = MOST_RUNGS) -> tuple[int, list[RungUse]]:
        """How many of the last `most` answers of a release since then came from a cascade, and what each rung did.

        Raises:
            InputError: the time is malformed.
        """
        of_release = (EXCHANGES, AUDIT.c.content != "", AUDIT.c.release == release, AUDIT.c.at_ms >= to_ms(since))
        query = sa.select(AUDIT.c.content).where(*of_release).order_by(AUDIT.c.seq.desc()).limit(most)
        asked: dict[str, list[dict[str, Any]]] = {}
        given: Counter[str] = Counter()
        with self._ledger.read() as connection:
            for content in connection.execute(query).scalars():
                if note := json.loads(content).get("cascade"):
                    given[note["rung"]] += 1
                    for tried in note["tried"]:
                        asked.setdefault(tried["rung"], []).extend([] if tried.get("left_out") else [tried])
        return given.total(), [_rung(name, tried, given[name]) for name, tried in asked.items()]

    def buckets(self, since: str, until: str = "", minutes: int = 60) -> list[Bucket]:
        """Buckets of `minutes` from `since` to `until` (ISO 8601; empty means now), in order, with empty ones.

        They begin at multiples of `minutes`. Percentiles use the nearest rank. Feedback and hand-offs count in the
        bucket of their exchange.

        Raises:
            InputError: a time is malformed, or there would be more than MOST_BUCKETS buckets.
        """
        first_ms, until_ms = to_ms(since), to_ms(until) if until else now_ms() + 1
        width = minutes * 60_000
        if minutes < 1 or (until_ms - first_ms) / width > MOST_BUCKETS:
            hint = "choose a later start or longer buckets"
            raise InputError(f"the period has more than {MOST_BUCKETS} buckets", hint)
        span = (EXCHANGES, AUDIT.c.at_ms >= first_ms, AUDIT.c.at_ms < until_ms)
        rows: dict[int, dict[str, Any]] = {n: {} for n in range(first_ms // width, -(-until_ms // width))}
        with self._ledger.read() as connection:
            for query in _bucket_queries(AUDIT.c.at_ms // sa.literal_column(str(width)), span):
                for row in connection.execute(query).mappings():
                    rows[row["bucket"]].update((k, v) for k, v in row.items() if k != "bucket" and v is not None)
        return [Bucket(start=to_iso(n * width), **values) for n, values in rows.items()]

    def totals(self) -> Totals:
        """Counts since the ledger began."""
        rated = FEEDBACK.c.thumb != 0
        with self._ledger.read() as connection:

            def count(query: sa.Select[Any]) -> int:
                return int(connection.execute(query).scalar() or 0)

            return Totals(
                requests=count(sa.select(sa.func.count()).where(EXCHANGES)),
                handoffs=count(sa.select(sa.func.count(HANDOFFS.c.id))),
                ratings=count(sa.select(sa.func.count()).select_from(FEEDBACK).where(rated)),
                thumbs_up=count(sa.select(sa.func.count()).select_from(FEEDBACK).where(FEEDBACK.c.thumb > 0)),
            )

    def outcomes(self, experiment: str) -> list[Outcome]:
        """One row per user and arm, by first request. Redacted exchanges are excluded, as they have no user."""
        prefix = f"{experiment}:"
        feedback = (
            sa.select(
                FEEDBACK.c.exchange_id,
                sa.func.max(sa.cast(FEEDBACK.c.resolved, sa.Integer)).label("resolved"),
                sa.func.sum(_one(FEEDBACK.c.thumb > 0)).label("up"),
                sa.func.sum(_one(FEEDBACK.c.thumb < 0)).label("down"),
            )
            .group_by(FEEDBACK.c.exchange_id)
            .subquery()
        )
        query = (
            sa.select(
                AUDIT.c.user,
                AUDIT.c.experiment,
                sa.func.min(AUDIT.c.at_ms).label("first_ms"),
                sa.func.count().label("requests"),
                sa.func.sum(_one(FAILED)).label("errors"),
                sa.func.sum(feedback.c.resolved).label("resolved"),
                sa.func.count(feedback.c.resolved).label("with_feedback"),
                sa.func.sum(feedback.c.up).label("up"),
                sa.func.sum(feedback.c.down).label("down"),
                sa.func.count(HANDOFFS.c.id).label("handoffs"),
                sa.func.avg(sa.case((~FAILED, AUDIT.c.latency_s))).label("latency_s"),
                sa.func.avg(AUDIT.c.cost_usd).label("cost_usd"),
            )
            .select_from(AUDIT)
            .outerjoin(feedback, feedback.c.exchange_id == AUDIT.c.id)
            .outerjoin(HANDOFFS, HANDOFFS.c.exchange_id == AUDIT.c.id)
            .where(EXCHANGES, AUDIT.c.experiment != "", AUDIT.c.user != "")  # in the form of its index
            .where(sa.func.substr(AUDIT.c.experiment, 1, len(prefix)) == prefix)
            .group_by(AUDIT.c.user, AUDIT.c.experiment)
            .order_by(sa.text("first_ms"), AUDIT.c.user)
        )
        with self._ledger.read() as connection:
            return [_outcome(row, row.experiment[len(prefix) :]) for row in connection.execute(query)]


def _bucket_queries(bucket: sa.ColumnElement[int], span: Sequence[sa.ColumnElement[bool]]) -> list[sa.Executable]:
    """Counts, percentiles, thumbs, and hand-offs by bucket, named as the fields of Bucket."""
    by = bucket.label("bucket")
    counts = sa.select(
        by,
        sa.func.count().label("requests"),
        sa.func.sum(_one(FAILED)).label("errors"),
        sa.func.sum(_one(AUDIT.c.reason.in_(REFUSED))).label("refusals"),
        *(sa.func.sum(AUDIT.c[name]).label(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd")),
    )
    rank = sa.func.row_number().over(partition_by=bucket, order_by=AUDIT.c.latency_s).label("rank")
    among = sa.func.count().over(partition_by=bucket).label("among")
    ranked = sa.select(by, AUDIT.c.latency_s, rank, among).where(*span, ~FAILED).subquery()
    percentiles = [
        sa.func.max(sa.case((ranked.c.rank * 100 < ranked.c.among * p + 100, ranked.c.latency_s))).label(f"p{p}_s")
        for p in (50, 95, 99)
    ]
    thumbs = sa.select(
        by,
        sa.func.sum(_one(FEEDBACK.c.thumb > 0)).label("thumbs_up"),
        sa.func.sum(_one(FEEDBACK.c.thumb < 0)).label("thumbs_down"),
    ).join_from(AUDIT, FEEDBACK, FEEDBACK.c.exchange_id == AUDIT.c.id)
    handoffs = sa.select(by, sa.func.count().label("handoffs"))
    handoffs = handoffs.join_from(AUDIT, HANDOFFS, HANDOFFS.c.exchange_id == AUDIT.c.id)
    queries: list[sa.Executable] = [query.where(*span).group_by(by) for query in (counts, thumbs, handoffs)]
    return [*queries, sa.select(ranked.c.bucket, *percentiles).group_by(ranked.c.bucket)]


def _one(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """1 where the condition holds, else 0, so that sums count rows."""
    return sa.case((condition, 1), else_=0)


def _outcome(row: sa.Row[Any], arm: str) -> Outcome:
    thumbs = int((row.up or 0) + (row.down or 0))
    return Outcome(
        **{name: getattr(row, name) for name in ("user", "requests", "errors", "latency_s", "cost_usd")},
        arm=arm,
        first_at=to_iso(row.first_ms),
        resolved=int(row.resolved) / row.with_feedback if row.with_feedback else None,
        thumb=int(row.up) / thumbs if thumbs else None,
        escalated=row.handoffs / row.requests,
    )


def _rung(name: str, tried: Sequence[dict[str, Any]], answered: int) -> RungUse:
    times = sorted(t["ms"] for t in tried if t["ms"])

    def rank(share: float) -> float | None:
        """By the nearest rank."""
        return times[math.ceil(share * len(times)) - 1] if times else None

    usd = sum(t["usd"] for t in tried)
    return RungUse(name=name, asked=len(tried), answered=answered, usd=usd, p50_ms=rank(0.5), p95_ms=rank(0.95))
