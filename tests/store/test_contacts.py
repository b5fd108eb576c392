"""What the ledger says of answers for their costs, on both databases."""

import asyncio

from inhouse.store.contacts import Contacts
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.types import Message


def add(audit, made):
    asyncio.run(audit.append(made))
    return made


def test_answers_come_with_feedback_and_minutes_of_people(ledger, audit, exchange):
    first = add(audit, exchange(id="e1", experiment="try:base", release="base"))
    turns = (
        Message(role="user", content="Wires?"),
        Message(role="assistant", content="$25"),
        Message(role="user", content="And\0?"),
    )
    add(audit, exchange(id="e2", user="k1").model_copy(update={"messages": turns}))
    add(audit, exchange(id="e3", reason="error"))
    feedback, inbox = Feedback(ledger), Inbox(ledger)
    feedback.add("e1", "ann", 1, resolved=True)
    feedback.add("e1", "bob", -1, resolved=False)
    feedback.add("e2", "ann", 1)
    id = inbox.add(first, "declined")
    one, two, three = Contacts(ledger).rows("2026-01-01")
    assert (one.handed_off, one.waited_min, one.thumb, one.resolved) == (True, None, 0, False)
    assert (one.arm, one.split, one.user, one.turn, one.failed) == ("base", True, "ann", 1, False)
    assert (two.user, two.question, two.first, two.turn, two.thumb, two.resolved) == (
        "",
        "And\0?",
        "Wires?",
        2,
        1,
        None,
    )
    assert (two.arm, two.split, two.handed_off, two.cost_usd, two.prompt_tokens) == ("bank/1", False, False, 0.001, 50)
    assert three.failed
    inbox.answer(id, "It costs $25.", "eve")
    assert 0 <= Contacts(ledger).rows("2026-01-01")[0].waited_min < 1
    assert Contacts(ledger).rows("2026-01-01", "2026-01-02") == []


def test_what_a_cascade_paid_elsewhere_and_people_is_told_apart(ledger, audit, exchange):
    tried = [{"rung": "small", "usd": 0.001, "ms": 9.0}, {"rung": "large", "usd": 0.01, "ms": 9.0, "paid": "elsewhere"},
             {"rung": "inbox", "usd": 3.0, "ms": 0.0, "paid": "person"}]  # fmt: skip
    add(audit, exchange(id="e1", cost_usd=3.011, cascade={"rung": "inbox", "usd": 3.011, "tried": tried}))
    add(audit, exchange(id="e2"))
    cascaded, plain = Contacts(ledger).rows("2026-01-01")
    assert (round(cascaded.cost_usd, 9), cascaded.elsewhere_usd) == (0.011, 0.01)  # people are paid by the minute
    assert (plain.cost_usd, plain.elsewhere_usd) == (0.001, 0.0)


def test_redacted_answers_are_left_out(ledger, audit, exchange):
    add(audit, exchange(id="e1"))
    add(audit, exchange(id="e2"))
    audit.redact("e1", "ann", "asked")
    assert len(Contacts(ledger).rows("2026-01-01")) == 1


def test_many_answers_are_read_in_pages_in_order(ledger, audit, exchange, monkeypatch):
    monkeypatch.setattr("inhouse.store.contacts.PAGE", 3)
    for n in range(8):
        add(audit, exchange(id=f"e{n}", question=f"q{n}"))
    assert [c.question for c in Contacts(ledger).rows("2026-01-01")] == [f"q{n}" for n in range(8)]
