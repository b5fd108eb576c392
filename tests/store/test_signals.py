import pytest
import sqlalchemy as sa

from inhouse.chat import Usage
from inhouse.errors import InputError
from inhouse.store import signals as module
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.ratings import Drawn, Ratings
from inhouse.store.signals import Signals, groundedness

DAY = "2026-01-05T00:00:00Z"


async def test_a_signal_has_what_an_exchange_shows_and_what_people_said(ledger, audit, exchange):
    one = exchange(at="2026-01-05T10:00:00Z", experiment="live:tuned", findings=[
        {"rail": "groundedness", "side": "output", "action": "redact", "score": 0.8},
        {"rail": "pii", "side": "input", "action": "redact", "score": 0.4},
        {"rail": "pii", "side": "output", "action": "redact", "score": 0.4},
    ])  # fmt: skip
    other = exchange(at="2026-01-05T11:00:00Z", findings=None, passages=(), confidence=None)
    for e in (one, other):
        await audit.append(e)
    feedback = Feedback(ledger)
    feedback.add(one.id, "ann", 1, resolved=True)
    feedback.add(one.id, "bob", 1, resolved=False)
    Inbox(ledger).add(other, "declined")
    ratings = Ratings(ledger)
    ratings.draw([Drawn(exchange_id=one.id, period=DAY, place=1.0, probability=0.25, why="uncertain")])
    ratings.add(one.id, "rae", "right")
    ratings.add(one.id, "sue", "partly")
    first, second = Signals(ledger).rows(DAY)
    assert (first.exchange, first.at[:19], first.release, first.arm) == (
        one.id,
        "2026-01-05T10:00:00",
        "bank/1",
        "tuned+rag",
    )
    assert (first.experiment, first.user, first.question, first.answer) == (
        "live:tuned",
        "ann",
        one.messages[0].content,
        one.answer,
    )
    assert (first.confidence, first.retrieval, first.passages, first.findings) == (0.9, 0.7, 1, ("groundedness", "pii"))
    assert first.groundedness == pytest.approx(0.2)
    assert first.groups == {"staff", "all"}
    assert (first.latency_s, first.cost_usd, first.prompt_tokens, first.completion_tokens) == (0.5, 0.001, 50, 7)
    assert (first.thumb, first.resolved, first.handed_off) == (1, False, False)
    assert (first.label, first.raters, first.probability) == (0.75, 2, 0.25)
    assert (second.confidence, second.groundedness, second.retrieval, second.passages) == (None, None, None, 0)
    assert (second.thumb, second.resolved, second.label, second.probability, second.handed_off) == (
        None,
        None,
        None,
        None,
        True,
    )
    assert Signals(ledger).of(one.id) == first


async def test_a_flagged_answer_has_what_people_in_the_inbox_say_of_it(ledger, audit, exchange):
    """An answer of a model whose reader asked for a person: other hand-offs have no answer that is right or wrong."""
    inbox, ratings = Inbox(ledger), Ratings(ledger)
    made = [exchange(at=f"2026-01-05T{hour:02}:00:00Z") for hour in range(4)]
    canned = exchange(at="2026-01-05T04:00:00Z", answer="A person will help you.", usage=Usage())
    withheld = exchange(at="2026-01-05T05:00:00Z", findings=[{"rail": "confidence", "action": "handoff"}])
    for e in (*made, canned, withheld):
        await audit.append(e)
    judged, corrected, answered, waiting = [inbox.add(e, "asked for a person") for e in made]
    inbox.add(canned, "asked for a person")
    inbox.answer(inbox.add(withheld, "confidence: low"), "It costs 30 dollars.", "rae")
    inbox.reject(judged, "rae")
    ratings.add(made[0].id, "rae", "wrong")
    inbox.answer(corrected, "It costs 30 dollars.", "rae")
    inbox.approve(corrected, "rae")
    inbox.answer(answered, "I looked into your account.", "rae")
    found = Signals(ledger).rows(DAY)
    assert [s.flagged for s in found] == [True, True, True, True, False, False]
    assert all(s.handed_off for s in found)
    assert [s.label for s in found] == [0.0, None, None, None, None, None]
    assert [s.reply for s in found] == ["", "It costs 30 dollars.", "", "", "", ""], "approved ones alone"
    assert found[0].probability is None, "nobody drew it"


async def test_redacted_and_unfinished_exchanges_are_left_out_and_times_are_half_open(ledger, audit, exchange):
    made = [exchange(at=f"2026-01-05T{hour:02}:00:00Z") for hour in range(5)]
    for e in made:
        await audit.append(e)
    await audit.begin(exchange(at="2026-01-05T02:30:00Z"))
    audit.redact(made[2].id, "ann", "asked to")
    found = Signals(ledger).rows("2026-01-05T01:00:00Z", "2026-01-05T04:00:00Z")
    assert [s.exchange for s in found] == [made[1].id, made[3].id]
    assert Signals(ledger).of(made[2].id) is None
    with pytest.raises(InputError):
        Signals(ledger).rows("soon")


async def test_signals_are_read_in_pages(ledger, audit, exchange, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 3)
    made = [exchange(at=f"2026-01-05T{hour:02}:00:00Z") for hour in range(8)]
    for e in made:
        await audit.append(e)
    read = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *a: read.append(a[2]))
    rows = Signals(ledger).pages()
    assert [next(rows).exchange for _ in range(3)] == [e.id for e in made[:3]]
    assert sum("FROM audit" in text for text in read) == 1
    assert [s.exchange for s in rows] == [e.id for e in made[3:]]


async def test_a_tie_of_thumbs_is_none(ledger, audit, exchange):
    one = exchange()
    await audit.append(one)
    for user, thumb in (("ann", 1), ("bob", -1)):
        Feedback(ledger).add(one.id, user, thumb)
    assert Signals(ledger).of(one.id).thumb is None


def test_groundedness_is_the_worst_statement_as_far_as_known():
    cited = [{"sentence": "a", "support": 0.9}, {"sentence": "b", "support": 0.7}, {"sentence": "c"}]
    assert groundedness([], cited) == 0.7
    assert groundedness([{"rail": "groundedness", "score": 0.9}], cited) == pytest.approx(0.1)
    assert groundedness([{"rail": "groundedness", "failed": "closed"}], None) is None
    assert groundedness([], None) is None
