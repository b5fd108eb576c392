"""What a canary's guard metrics are made of: answers and votes, read from the audit log as it grows.

Answers, hand-offs, and votes are entries of one log, so a reader needs to remember a single number. A hand-off is
recorded just after its answer, so an answer is complete only SETTLED_MS after it ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from inhouse.store.ledger import Ledger
from inhouse.store.signals import groundedness
from inhouse.store.tables import AUDIT, now_ms, to_ms
from inhouse.types import Record

SETTLED_MS = 1000  # after the end of an answer, its hand-off is recorded
PAGE = 500
HANDED, VOTED = "handed off", "feedback"  # kinds of actions


class Answered(Record):
    """An answer of a canary's arms. Figures that are not known are None."""

    id: str
    arm: str
    user: str
    reason: str
    latency_s: float
    confidence: float | None = None
    groundedness: float | None = None
    handed_off: bool = False


class Voted(Record):
    """A vote on such an answer; `thumb` is 1 or -1."""

    id: str
    arm: str
    user: str
    thumb: int


class CanaryLog:
    """The answers and votes of an experiment since a time, each returned once, in the order of the log.

    Args:
        ledger: has the audit log.
        experiment: its name; the arms are what follows in the column `experiment`.
        since: ISO 8601; answers to earlier questions do not count.
    """

    def __init__(self, ledger: Ledger, experiment: str, since: str) -> None:
        self._ledger, self._prefix, self._since_ms = ledger, f"{experiment}:", to_ms(since)
        self._seq: int | None = None
        self._waiting: dict[str, tuple[int, Answered]] = {}  # with the time at which they are complete
        self.behind = False  # whether there is more to read at once
        self._voted: set[tuple[str, str]] = set()

    def news(self) -> tuple[list[Answered], list[Voted]]:
        """What is complete by now; at most about a page at a time.

        Raises:
            BackendError: the database fails; nothing is lost.
        """
        votes: list[Voted] = []
        for row in self._rows():
            if row["kind"] == "exchange":
                self._waiting[row["id"]] = _answered(row, self._prefix)
            elif row["reason"] == VOTED:
                votes += self._vote(row)
            elif row["about"] in self._waiting:
                _, answer = self._waiting[row["about"]]
                self._waiting[row["about"]] = 0, answer.model_copy(update={"handed_off": True})
        if self.behind:  # a hand-off of the last answers may come next
            return [], votes
        now = now_ms()
        settled = [answer for due, answer in self._waiting.values() if due <= now]
        self._waiting = {id: (due, answer) for id, (due, answer) in self._waiting.items() if due > now}
        return settled, votes

    def _rows(self) -> Sequence[Mapping[str, Any]]:
        """The next entries; those of the answers that votes are on too, joined."""
        own = (AUDIT.c.kind == "exchange") & (AUDIT.c.experiment != "")
        own &= sa.func.substr(AUDIT.c.experiment, 1, len(self._prefix)) == self._prefix
        own &= AUDIT.c.at_ms >= self._since_ms
        said = (AUDIT.c.kind == "action") & AUDIT.c.reason.in_((HANDED, VOTED))
        columns = ("seq", "kind", "id", "about", "reason", "experiment", "user", "at_ms", "latency_s", "confidence",
                   "content")  # fmt: skip
        with self._ledger.read() as connection:
            if self._seq is None:
                first = sa.select(sa.func.min(AUDIT.c.seq)).where(AUDIT.c.at_ms >= self._since_ms)
                self._seq = (connection.execute(first).scalar() or 1) - 1
            end = connection.execute(sa.select(sa.func.max(AUDIT.c.seq))).scalar() or 0
            query = sa.select(*(AUDIT.c[name] for name in columns)).where(
                AUDIT.c.seq > self._seq, AUDIT.c.seq <= end, AUDIT.c.content != "", own | said
            )
            rows = connection.execute(query.order_by(AUDIT.c.seq).limit(PAGE)).mappings().all()
            rated = [row["about"] for row in rows if row["reason"] == VOTED]
            asked = sa.select(AUDIT.c.id, AUDIT.c.experiment, AUDIT.c.user).where(
                AUDIT.c.id.in_(rated), AUDIT.c.kind == "exchange", AUDIT.c.at_ms >= self._since_ms
            )
            of = {row.id: row for row in connection.execute(asked)} if rated else {}
        self.behind = len(rows) == PAGE
        self._seq = rows[-1]["seq"] if self.behind else max(end, self._seq)
        return [{**row, "of": of.get(row["about"])} for row in rows]

    def _vote(self, row: Mapping[str, Any]) -> list[Voted]:
        """The first vote of whoever voted on an answer of the arms."""
        asked, thumb = row["of"], (json.loads(row["content"]).get("facts") or {}).get("thumb") or 0
        if asked is None or not asked.experiment.startswith(self._prefix) or not thumb:
            return []
        if (asked.id, row["user"]) in self._voted:
            return []
        self._voted.add((asked.id, row["user"]))
        arm = asked.experiment[len(self._prefix) :]
        return [Voted(id=asked.id, arm=arm, user=asked.user or asked.id, thumb=thumb)]


def _answered(row: Mapping[str, Any], prefix: str) -> tuple[int, Answered]:
    content = json.loads(row["content"])
    findings = [f for f in content.get("findings") or [] if isinstance(f, dict)]
    answered = Answered(
        id=row["id"], arm=row["experiment"][len(prefix) :], user=row["user"] or row["id"], reason=row["reason"],
        latency_s=row["latency_s"], confidence=row["confidence"],
        groundedness=groundedness(findings, content.get("citations")),
    )  # fmt: skip
    return row["at_ms"] + round(1000 * row["latency_s"]) + SETTLED_MS, answered
