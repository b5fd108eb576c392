"""Alerts that wait to be delivered, in the database, so that none is lost or sent twice when a process is killed.

An alert with the key of one that is younger than the window is not kept again. Each delivery is taken by one process
for a while, as a lease; what fails is tried again later, ever more rarely, and given up in the end.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

import sqlalchemy as sa

from inhouse.store.chain import head_of
from inhouse.store.ledger import Ledger
from inhouse.store.tables import ALERTS, now_ms, to_iso
from inhouse.types import Record

LEASE_MS = 60_000  # longer than all deliveries of one alert take
FIRST_RETRY_MS, LONGEST_RETRY_MS = 5_000, 3_600_000
MOST_ATTEMPTS = 12  # within about eight hours

Severity = Literal["info", "warning", "critical"]
Delivery = Literal["waiting", "sent", "failed", "kept"]


class Alert(Record):
    """Something that people should know now. `key` says which alerts are the same, `link` is a page of the console,
    such as "/incidents"; `kind` is a word such as "rollback" or "budget"."""

    kind: str
    title: str
    text: str
    severity: Severity = "warning"
    link: str = ""
    key: str = ""


class Kept(Record):
    """An alert in the database. `left` are the channels that it must still be sent to, `failure` the last trouble.

    `status` is "kept" where there is no channel, and "failed" once nobody tries any more.
    """

    id: str
    at: str
    alert: Alert
    status: Delivery
    attempts: int = 0
    left: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    failure: str = ""


class AlertBox:
    """The alerts in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, alert: Alert, channels: Sequence[str], window_ms: int) -> str:
        """Keeps an alert for delivery and returns its ID, "" if one with its key is younger than the window."""
        id, now, key = uuid.uuid4().hex, now_ms(), alert.key or f"{alert.kind}:{alert.title}"
        content = {"alert": alert.model_dump(mode="json"), "left": list(channels), "sent": [], "failure": ""}
        recent = sa.select(ALERTS.c.id).where(ALERTS.c.key == key, ALERTS.c.at_ms > now - window_ms)
        with self._ledger.write() as connection:
            head_of(connection)  # one process at a time looks and adds
            if connection.execute(recent).first() is not None:
                return ""
            status = "waiting" if channels else "kept"
            values = {"id": id, "key": key, "at_ms": now, "status": status, "next_ms": now, "attempts": 0}
            connection.execute(ALERTS.insert().values(content=content, **values))
        return id

    def take(self) -> list[Kept]:
        """The alert that is due first, none where none is, leased to the caller: no other process gets it before
        LEASE_MS have passed."""
        now = now_ms()
        due = (ALERTS.c.status == "waiting", ALERTS.c.next_ms <= now)
        with self._ledger.read() as connection:
            if connection.execute(sa.select(ALERTS.c.id).where(*due).limit(1)).first() is None:
                return []
        query = sa.select(ALERTS).where(*due).order_by(ALERTS.c.at_ms).limit(1).with_for_update(skip_locked=True)
        with self._ledger.write() as connection:
            rows = connection.execute(query).mappings().all()
            ids = [row["id"] for row in rows]
            connection.execute(ALERTS.update().where(ALERTS.c.id.in_(ids)).values(next_ms=now + LEASE_MS))
        return [_kept(row) for row in rows]

    def done(self, kept: Kept, sent: Sequence[str], failure: str = "") -> Delivery:
        """Notes to which channels an alert was sent, and why others failed; returns its status."""
        left = [name for name in kept.left if name not in sent]
        attempts, wait_ms = kept.attempts + 1, min(FIRST_RETRY_MS * 2**kept.attempts, LONGEST_RETRY_MS)
        status: Delivery = "sent" if not left else "failed" if attempts >= MOST_ATTEMPTS else "waiting"
        content = {"alert": kept.alert.model_dump(mode="json"), "left": left, "sent": [*kept.sent, *sent],
                   "failure": failure[:500]}  # fmt: skip
        values = {"status": status, "attempts": attempts, "next_ms": now_ms() + wait_ms, "content": content}
        with self._ledger.write() as connection:
            connection.execute(ALERTS.update().where(ALERTS.c.id == kept.id).values(values))
        return status

    def recent(self, limit: int = 100) -> list[Kept]:
        """The last alerts, newest first."""
        query = sa.select(ALERTS).order_by(ALERTS.c.at_ms.desc(), ALERTS.c.id).limit(limit)
        with self._ledger.read() as connection:
            return [_kept(row) for row in connection.execute(query).mappings()]


def _kept(row: sa.RowMapping) -> Kept:
    content = row["content"]
    return Kept(
        id=row["id"], at=to_iso(row["at_ms"]), alert=Alert(**content["alert"]), status=row["status"],
        attempts=row["attempts"], left=tuple(content["left"]), sent=tuple(content["sent"]), failure=content["failure"],
    )  # fmt: skip
