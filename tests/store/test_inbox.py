import asyncio
import threading
from itertools import count

import pytest

from inhouse.errors import InputError
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox


@pytest.fixture
def inbox(ledger):
    return Inbox(ledger)


def test_from_the_question_to_an_example(inbox, exchange):
    one = exchange("Can I pay in \0 gold?", "I do not know.")
    id = inbox.add(one, "declined")
    waiting = inbox.get(id)
    assert (waiting.status, waiting.exchange_id, waiting.reason, waiting.groups) == (
        "waiting",
        one.id,
        "declined",
        ("all", "staff"),
    )
    assert (waiting.messages, waiting.answer) == (one.messages, one.answer)
    assert inbox.first("waiting", 100) == [waiting]
    assert inbox.approved() == []
    with pytest.raises(InputError, match="nobody has replied"):
        inbox.approve(id, "bea")
    answered = inbox.answer(id, "No, in dollars \0 alone.", "bea")
    assert (answered.status, answered.by, bool(answered.replied_at)) == ("answered", "bea", True)
    assert inbox.first("waiting", 100) == []
    assert inbox.approved() == []
    assert inbox.approve(id, "carl").by == "carl"
    (approved,) = inbox.approved()
    example = approved.example
    assert (example.messages, example.target) == (one.messages, "No, in dollars \0 alone.")
    assert (example.group, example.origin) == (id, "feedback")
    assert inbox.answer(id, "No.", "bea").status == "answered"  # a correction is approved anew
    assert inbox.approved() == []
    assert inbox.reject(id, "bea").status == "rejected"
    assert [h.id for h in inbox.all("rejected")] == [h.id for h in inbox.all()] == [id]
    assert inbox.all("waiting") == []


def test_an_exchange_is_handed_over_once(inbox, exchange):
    one = exchange()
    assert inbox.add(one, "declined") == inbox.add(one, "unsure")
    assert len(inbox.all()) == 1


def test_the_first_of_a_standing_that_one_may_read(inbox, exchange, monkeypatch):
    monkeypatch.setattr("inhouse.store.inbox.now_ms", count(1_700_000_000_000).__next__)
    ids = [inbox.add(exchange(f"question {n}"), "declined") for n in range(250)]
    assert [h.id for h in inbox.first("waiting", 2)] == ids[:2]
    assert [h.id for h in inbox.first("waiting", 2, lambda h: h.id in ids[-3:])] == ids[-3:-1]
    assert inbox.first("waiting", 2, lambda h: False) == []
    for id in ids[:3]:
        inbox.reject(id, "bea")
    assert [h.id for h in inbox.first("rejected", 2)] == [ids[2], ids[1]]
    assert inbox.first("waiting", 1)[0].id == ids[3]


def test_what_is_not_there_is_told(inbox, exchange):
    assert inbox.get("none") is None
    for change in (
        lambda: inbox.answer("none", "a", "b"),
        lambda: inbox.approve("none", "b"),
        lambda: inbox.reject("none", "b"),
    ):
        with pytest.raises(InputError, match="no such hand-off"):
            change()
    with pytest.raises(InputError, match="empty"):
        inbox.answer(inbox.add(exchange(), "declined"), " \n", "bea")


async def test_a_client_waits_for_the_reply(inbox, exchange):
    id = inbox.add(exchange(), "declined")
    assert await inbox.wait("none", 10) is None
    assert (await inbox.wait(id, 0)).status == "waiting"
    waiting = asyncio.create_task(inbox.wait(id, 10))
    await asyncio.sleep(0.05)
    inbox.answer(id, "No.", "bea")
    found = await asyncio.wait_for(waiting, 5)
    assert (found.status, found.reply) == ("answered", "No.")


def test_two_reviewers_at_once_leave_one_whole_reply(inbox, exchange):
    ids = [inbox.add(exchange(), "declined") for _ in range(3)]
    reviewers = [
        threading.Thread(target=lambda by=by: [inbox.answer(id, f"{by} says", by) for id in ids])
        for by in ("ann", "bea")
    ]
    for reviewer in reviewers:
        reviewer.start()
    for reviewer in reviewers:
        reviewer.join()
    assert all(h.reply == f"{h.by} says" for h in inbox.all())


async def test_the_last_opinion_of_a_user_counts(ledger, audit, exchange):
    feedback, one = Feedback(ledger), exchange()
    with pytest.raises(InputError, match="no such exchange"):
        feedback.add(one.id, "ann", 1)
    await audit.append(one)
    feedback.add(one.id, "ann", 1, "fine \0")
    feedback.add(one.id, "bob", 0, resolved=True)
    feedback.add(one.id, "ann", -1, "\ud800 wrong", resolved=False)
    said = {o.user: o for o in feedback.for_exchange(one.id)}
    assert (said["ann"].thumb, said["ann"].comment, said["ann"].resolved) == (-1, "\ud800 wrong", False)
    assert (said["bob"].thumb, said["bob"].resolved, len(said)) == (0, True, 2)
    assert feedback.for_exchange("none") == []
