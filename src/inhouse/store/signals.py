"""Signals of live traffic: what each exchange shows of its answer, and what people said of it.

Redacted exchanges are left out, as are those that were begun and never completed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.store.inbox import flags
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, FEEDBACK, HANDOFFS, RATINGS, now_ms, to_iso, to_ms
from inhouse.types import Json, Record

PAGE = 500  # exchanges read at a time, each page in a transaction of its own
LABELS = {"right": 1.0, "partly": 0.5, "wrong": 0.0}
"""What people say of an answer, as a share of it that is right."""


class Signal(Record):
    """One exchange as monitoring sees it. Everything that is None is unknown.

    Attributes:
        exchange: ID of the exchange.
        at: ISO 8601, UTC.
        release: "NAME/VERSION" that answered, "base", or "".
        arm: as in the verdict, or "reused".
        experiment: "NAME:ARM", or "".
        user: who asked.
        question: the last message of the user.
        answer: what was said.
        groups: access groups of whoever asked: only people with all of them may read the texts.
        confidence: that the answer is right, as the calibration of the release says; without one the mean token
            probability.
        groundedness: the support of the statement with the least, in [0, 1]; None where the rail saw no statement.
        retrieval: score of the best passage, in [0, 1]; None without passages.
        passages: how many there were.
        handed_off: whether a person took over.
        flagged: whether that was asked for by whoever read the answer of a model.
        reply: of that person, approved as the right answer; "" without one.
        reason: why the answer ended, as in the audit log.
        latency_s: of the whole answer.
        cost_usd: of the whole answer.
        prompt_tokens: read.
        completion_tokens: written.
        findings: names of the rails that found something, each once.
        thumb: 1 or -1, from all users together; None if nobody voted or as many voted up as down.
        resolved: whether the request was resolved; False if anybody says that it was not.
        label: the mean of what raters say, from LABELS.
        raters: how many rated it.
        probability: with which it was drawn for rating; None if it was not drawn, so its label says nothing of others.
    """

    exchange: str
    at: str
    release: str = ""
    arm: str = ""
    experiment: str = ""
    user: str = ""
    question: str = ""
    answer: str = ""
    groups: frozenset[str] = frozenset()
    confidence: float | None = None
    groundedness: float | None = None
    retrieval: float | None = None
    passages: int = 0
    handed_off: bool = False
    flagged: bool = False
    reply: str = ""
    reason: str = "stop"
    latency_s: float = 0.0
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    findings: tuple[str, ...] = ()
    thumb: int | None = None
    resolved: bool | None = None
    label: float | None = None
    raters: int = 0
    probability: float | None = None


class Signals:
    """The signals in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def rows(self, since: str = "", until: str = "") -> list[Signal]:
        """The signals of exchanges from `since` to before `until` (ISO 8601; empty is no condition), oldest first.

        Raises:
            InputError: a time is malformed.
        """
        return list(self.pages(since, until))

    def pages(self, since: str = "", until: str = "") -> Iterator[Signal]:
        """The same one by one, read PAGE at a time: nothing is locked, and only a page is in memory.

        Raises:
            InputError: a time is malformed.
        """
        first, last = (to_ms(since) if since else 0), (to_ms(until) if until else now_ms() + 1)
        seq = 0
        while page := self._page(first, last, seq):
            yield from (signal for _, signal in page)
            seq = page[-1][0]

    def of(self, exchange: str) -> Signal | None:
        """The signal of one exchange; None if it is redacted, not complete, or does not exist."""
        query = _query().where(AUDIT.c.id == exchange)
        found = self._read(query)
        return found[0][1] if found else None

    def _page(self, first: int, last: int, seq: int) -> list[tuple[int, Signal]]:
        span = (AUDIT.c.at_ms >= first, AUDIT.c.at_ms < last, AUDIT.c.seq > seq)
        return self._read(_query().where(*span).order_by(AUDIT.c.seq).limit(PAGE))

    def _read(self, query: sa.Select[Any]) -> list[tuple[int, Signal]]:
        with self._ledger.read() as connection:
            rows = connection.execute(query).mappings().all()
            said = _said(connection, [row["id"] for row in rows])
        return [(row["seq"], _signal(row, said.get(row["id"], {}))) for row in rows]


def _query() -> sa.Select[Any]:
    columns = (AUDIT.c.seq, AUDIT.c.id, AUDIT.c.at_ms, AUDIT.c.content)
    return sa.select(*columns).where(AUDIT.c.kind == "exchange", AUDIT.c.content != "")


def _said(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What people said of exchanges and which were handed off, as fields of Signal by exchange."""
    found: dict[str, dict[str, Any]] = {}
    if not ids:
        return found
    votes = sa.select(FEEDBACK.c.exchange_id, FEEDBACK.c.thumb, FEEDBACK.c.resolved)
    for id, rows in _by_exchange(connection.execute(votes.where(FEEDBACK.c.exchange_id.in_(ids)))).items():
        total = sum(row.thumb for row in rows)
        known = [row.resolved for row in rows if row.resolved is not None]
        thumb = (total > 0) - (total < 0)
        found[id] = {"thumb": thumb or None, "resolved": all(known) if known else None}
    handed = sa.select(HANDOFFS.c.exchange_id, HANDOFFS.c.status, HANDOFFS.c.content)
    for id, status, kept in connection.execute(handed.where(HANDOFFS.c.exchange_id.in_(ids))):
        reply = kept["reply"] if status == "approved" else ""
        found.setdefault(id, {}).update(handed_off=True, handoff=kept["reason"], reply=reply)
    ratings = sa.select(RATINGS.c.exchange_id, RATINGS.c.label, RATINGS.c.probability)
    for id, rows in _by_exchange(connection.execute(ratings.where(RATINGS.c.exchange_id.in_(ids)))).items():
        label = sum(LABELS[row.label] for row in rows) / len(rows)
        drawn = next((row.probability for row in rows if row.probability is not None), None)
        found.setdefault(id, {}).update(label=label, raters=len(rows), probability=drawn)
    return found


def _by_exchange(rows: Iterable[sa.Row[Any]]) -> dict[str, list[sa.Row[Any]]]:
    groups: dict[str, list[sa.Row[Any]]] = {}
    for row in rows:
        groups.setdefault(row.exchange_id, []).append(row)
    return groups


def _signal(row: Mapping[Any, Any], said: Mapping[str, Any]) -> Signal:
    content: dict[str, Json] = json.loads(row["content"])
    passages, usage = content.get("passages") or [], content.get("usage") or {}
    scores = [p.get("score", 0.0) for p in passages]
    questions = [m.get("content", "") for m in content["messages"] if m.get("role") == "user"]
    findings = [f for f in content.get("findings") or [] if isinstance(f, dict)]
    copied = ("release", "arm", "experiment", "user", "answer", "confidence", "reason", "latency_s", "cost_usd")
    handed = any(f.get("action") == "handoff" for f in findings)
    people, tokens = dict(said), usage.get("completion_tokens", 0)
    flagged = flags(people.pop("handoff", ""), tokens) and not handed
    return Signal(
        exchange=row["id"], at=to_iso(row["at_ms"]), question=questions[-1] if questions else "",
        groups=frozenset(content.get("groups") or ()), groundedness=groundedness(findings, content.get("citations")),
        retrieval=max(scores, default=None), passages=len(passages), prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=tokens, flagged=flagged,
        findings=tuple(dict.fromkeys(str(f.get("rail", "")) for f in findings)),
        **{name: content[name] for name in copied if name in content}, **{"handed_off": handed, **people},
    )  # fmt: skip


def groundedness(findings: Sequence[Mapping[str, Json]], citations: Json) -> float | None:
    """The support of the statement with the least, as far as the audit log has it: 1 less the score of a finding of
    the rail, else the least support of a cited statement; None where neither is known."""
    against = [1 - f.get("score", 1.0) for f in findings if f.get("rail") == "groundedness" and not f.get("failed")]
    cited = citations if isinstance(citations, list) else []
    support = [c["support"] for c in cited if isinstance(c, dict) and isinstance(c.get("support"), (int, float))]
    return min(against or support, default=None)
