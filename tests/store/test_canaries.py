"""Answers and votes of a canary, read as the log grows; shadow answers; alerts."""

import asyncio

import pytest
import sqlalchemy as sa

from inhouse.store import canaries
from inhouse.store.alerts import MOST_ATTEMPTS, Alert, AlertBox
from inhouse.store.canaries import CanaryLog
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.shadows import Shadow, pairs
from inhouse.store.tables import ALERTS, AUDIT, now_ms, to_iso
from inhouse.store.traffic import Traffic

NAME = "canary bank/2"
LONG_AGO = "2026-01-01T00:00:00+00:00"


async def asked(audit, exchange, arm="bank/2", ago_s=60, experiment=NAME, **values):
    at = to_iso(now_ms() - round(ago_s * 1000))
    one = exchange(at=at, experiment=f"{experiment}:{arm}", release=arm, latency_s=0.5, **values)
    await audit.append(one)
    return one


async def test_answers_and_votes_come_once(ledger, audit, exchange):
    first = await asked(audit, exchange, "bank/1", user="ann", confidence=0.8)
    second = await asked(audit, exchange, user="bob", reason="error",
                         findings=[{"rail": "groundedness", "side": "output", "action": "rewrite", "score": 0.75}])  # fmt: skip
    await asked(audit, exchange, experiment="other")
    await audit.append(exchange())
    log = CanaryLog(ledger, NAME, LONG_AGO)
    answers, votes = log.news()
    assert [(a.id, a.arm, a.user, a.reason, a.confidence, a.groundedness) for a in answers] == [
        (first.id, "bank/1", "ann", "stop", 0.8, None), (second.id, "bank/2", "bob", "error", 0.9, 0.25)
    ]  # fmt: skip
    assert (votes, log.news()) == ([], ([], []))
    feedback = Feedback(ledger)
    for thumb in (-1, -1, 1):  # a user counts once, also when they change their mind
        feedback.add(second.id, "bob", thumb)
    feedback.add(first.id, "ann", 0)
    answers, votes = log.news()
    assert ([(v.id, v.arm, v.thumb) for v in votes], answers) == ([(second.id, "bank/2", -1)], [])
    third = await asked(audit, exchange)
    assert [a.id for a in log.news()[0]] == [third.id]
    assert [len(part) for part in CanaryLog(ledger, NAME, LONG_AGO).news()] == [3, 1]
    assert CanaryLog(ledger, NAME, to_iso(now_ms())).news() == ([], [])


async def test_an_answer_waits_for_its_handoff(ledger, audit, exchange, monkeypatch):
    monkeypatch.setattr(canaries, "SETTLED_MS", 300)
    log = CanaryLog(ledger, NAME, LONG_AGO)
    one = await asked(audit, exchange, ago_s=0.5)
    two = await asked(audit, exchange, ago_s=0.5)
    assert log.news()[0] == []
    Inbox(ledger).add(one, "declined")
    assert [(a.id, a.handed_off) for a in log.news()[0]] == [(one.id, True)]
    await asyncio.sleep(0.35)
    assert [(a.id, a.handed_off) for a in log.news()[0]] == [(two.id, False)]


async def test_a_long_log_is_read_in_pages(ledger, audit, exchange, monkeypatch):
    monkeypatch.setattr(canaries, "PAGE", 3)
    made = [await asked(audit, exchange) for _ in range(7)]
    Inbox(ledger).add(made[2], "declined")
    log, seen = CanaryLog(ledger, NAME, LONG_AGO), []
    for _ in range(4):
        seen += log.news()[0]
    assert [(a.id, a.handed_off) for a in seen] == [(m.id, m is made[2]) for m in made]
    assert not log.behind


# --- shadow answers ---------------------------------------------------------------------------------------------


async def test_shadow_answers_are_kept_apart_and_erased_with_their_exchange(ledger, audit, exchange):
    one = exchange(findings=[])
    await audit.append(one)
    before = Traffic(ledger).buckets("2026-01-01", minutes=60 * 24 * 30)
    shadow = Shadow(exchange=one.id, release="bank/2", answer="It costs \0 $25.", reason="stop", latency_s=0.2)
    await audit.shadowed(shadow)
    assert Traffic(ledger).buckets("2026-01-01", minutes=60 * 24 * 30) == before
    assert [seq for seq, _ in audit.find()] == [1]
    (pair,) = pairs(ledger, "bank/2")
    assert (pair.shadow, pair.shown.answer, pair.question) == (shadow, one.answer, one.messages[-1].content)
    assert pair.groups == one.groups
    assert pairs(ledger, "bank/3") == []
    assert audit.verify().ok
    audit.redact(one.id, "ann", "asked to")
    assert pairs(ledger, "bank/2") == []
    assert audit.verify().ok
    with ledger.read() as connection:
        assert set(connection.execute(sa.select(AUDIT.c.content).where(AUDIT.c.kind == "shadow")).scalars()) == {""}


# --- alerts -----------------------------------------------------------------------------------------------------

ALERT = Alert(kind="rollback", title="bank/2 was rolled back", text="Errors", link="/incidents", key="rollback bank/2")


def test_an_alert_is_kept_once_within_the_window(ledger):
    box = AlertBox(ledger)
    assert box.add(ALERT, ["webhook", "mail"], 60_000)
    assert box.add(ALERT, ["webhook"], 60_000) == ""
    assert box.add(ALERT.model_copy(update={"key": "other"}), [], 60_000)
    assert box.add(ALERT, ["webhook"], 0)
    assert sorted(kept.status for kept in box.recent()) == ["kept", "waiting", "waiting"]


def test_a_delivery_is_taken_by_one_process_and_tried_again(ledger):
    box, other = AlertBox(ledger), AlertBox(ledger)
    box.add(ALERT, ["webhook", "mail"], 60_000)
    (kept,) = box.take()
    assert (kept.alert, kept.left, other.take()) == (ALERT, ("webhook", "mail"), [])
    assert box.done(kept, ["mail"], "webhook: timed out") == "waiting"
    (again,) = box.recent()
    assert (again.left, again.sent, again.failure, box.take()) == (("webhook",), ("mail",), "webhook: timed out", [])
    with ledger.write() as connection:
        connection.execute(ALERTS.update().values(next_ms=0))
    (due,) = other.take()
    assert other.done(due, ["webhook"]) == "sent"
    assert box.recent()[0].sent == ("mail", "webhook")


@pytest.mark.parametrize("attempts", [MOST_ATTEMPTS])
def test_a_delivery_that_always_fails_is_given_up(ledger, attempts):
    box = AlertBox(ledger)
    box.add(ALERT, ["webhook"], 60_000)
    states = []
    for _ in range(attempts):
        with ledger.write() as connection:
            connection.execute(ALERTS.update().values(next_ms=0))
        states.append(box.done(box.take()[0], [], "no"))
    assert states == ["waiting"] * (attempts - 1) + ["failed"]
    with ledger.write() as connection:
        connection.execute(ALERTS.update().values(next_ms=0))
    assert box.take() == []
