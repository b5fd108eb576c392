"""The memory of conversations: each turn is decided and completed once, by its owner."""

import threading

import pytest

from inhouse.errors import InputError
from inhouse.store.turns import StoredTurns
from inhouse.tools import Turn, prefix


@pytest.fixture
def turns(ledger):
    return StoredTurns(ledger)


def turn(number=0, owner="k1:ann", conversation="c1", **more):
    return Turn(conversation=conversation, number=number, owner=owner, before="b" * 64, asked="q" * 64, **more)


def complete(turns, one, after="a" * 64, **values):
    turns.begin(one)
    turns.complete(one.model_copy(update={"after": after, "state": {}, "reply": "Yes.", **values}))


def test_a_turn_is_begun_planned_and_completed_once(turns, audit):
    begun = turns.begin(turn(exchange="e1"))
    assert (begun.plan, begun.state, begun.reply, bool(begun.at_ms)) == (None, None, None, True)
    assert turns.begin(turn(exchange="e2")) == begun
    turns.plan("c1", 0, {"command": "book \0"})
    turns.plan("c1", 0, {"command": "cancel"})
    assert turns.begin(turn()).plan == {"command": "book \0"}
    assert turns.last("c1") is None
    assert audit.verify().ok, "a turn that is not complete has no state yet"
    done = begun.model_copy(update={"state": {"day": "Monday \ud800"}, "reply": "Booked.", "after": "a" * 64})
    turns.complete(done)
    turns.complete(done.model_copy(update={"reply": "Booked again."}))
    turns.plan("c1", 0, {"command": "cancel"})
    assert turns.last("c1") == done.model_copy(update={"plan": {"command": "book \0"}})
    assert audit.verify().ok


def test_what_was_not_begun_is_refused(turns):
    with pytest.raises(InputError, match="no turn 3"):
        turns.plan("c1", 3, {})
    with pytest.raises(InputError, match="no turn 0"):
        turns.complete(turn(after="a" * 64))
    turns.begin(turn())
    with pytest.raises(InputError, match="after"):
        turns.complete(turn())


def test_a_conversation_belongs_to_its_owner(turns):
    turns.begin(turn())
    for number in (0, 1):
        with pytest.raises(InputError, match="no such conversation"):
            turns.begin(turn(number, owner="k1:eve"))
    turns.begin(turn(1))
    assert turns.conversations("k1:ann") == ["c1"]
    assert turns.conversations("k1:eve") == []


def test_the_last_and_the_one_that_goes_on(turns):
    said = prefix([("user", "Hello "), ("assistant", "Hi.")])
    for number in range(12):
        complete(turns, turn(number, at_ms=1000 + number), after=said if number < 11 else "z" * 64)
    turns.begin(turn(12))
    assert turns.last("c1").number == 11
    assert turns.after("k1:ann", said).number == 10
    assert turns.after("k1:eve", said) is None
    complete(turns, turn(0, conversation="c2", at_ms=5000), after=prefix([("user", "Hello"), ("assistant", "Hi. ")]))
    assert turns.after("k1:ann", said).conversation == "c2"


def test_owners_that_a_column_cannot_tell_apart_are_told_apart(turns):
    complete(turns, turn(owner="k1:\0"))
    assert turns.after("k1:\0", "a" * 64)
    assert turns.after("k1:\ufffd", "a" * 64) is None
    assert turns.conversations("k1:\ufffd") == []
    with pytest.raises(InputError):
        turns.begin(turn(1, owner="k1:\ufffd"))


@pytest.mark.parametrize(
    "change",
    ["UPDATE turn SET content = replace(content, 'Monday', 'Sunday')", "UPDATE turn SET after = 'x'",
     "UPDATE turn SET after = ''", "UPDATE turn SET owner = 'k1:eve'", "DELETE FROM turn"],
)  # fmt: skip
def test_a_turn_that_was_changed_behind_the_log_is_found(turns, audit, tamper, change):
    complete(turns, turn(), state={"day": "Monday"})
    assert audit.verify().ok
    tamper(change)
    assert "outside of inhouse" in audit.verify().reason


def test_two_answers_at_once_leave_one_plan_and_one_reply(turns, audit):
    turns.begin(turn())

    def answer(n):
        turns.plan("c1", 0, {"n": n})
        turns.complete(turn(after="a" * 64, state={"n": n}, reply=f"{n}"))

    threads = [threading.Thread(target=answer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = turns.last("c1")
    assert last.reply == str(last.state["n"])
    assert audit.verify().ok
    assert audit.verify().rows == 1


def test_the_latest_conversations_with_their_last_turns(turns):
    assert turns.latest(5) == []
    for n, conversation in enumerate(["c1", "c2", "c3", "c2"]):
        turns.begin(turn(n, conversation=conversation, at_ms=1000 + n))
    assert [(t.conversation, t.number) for t in turns.latest(5)] == [("c2", 3), ("c3", 2), ("c1", 0)]
    assert [t.conversation for t in turns.latest(1)] == ["c2"]


def test_a_turn_is_found_by_its_exchange(turns):
    complete(turns, turn(exchange="e1"), exchange="e2")
    turns.begin(turn(1))
    assert turns.answering("e2").number == 0, "the one that completed it"
    assert turns.answering("e1") is None
    assert turns.answering("") is None, "turns without an exchange are nobody's"


async def test_erased_turns_are_known_until_their_numbers_are_taken_again(turns, audit, exchange):
    for number in range(3):
        complete(turns, turn(number, exchange=f"e{number}"))
    complete(turns, turn(0, conversation="c2"))
    assert turns.erased("c1") == []
    await audit.append(exchange(id="e1"))
    audit.redact("e1", "ann", "asked for")
    assert ([t.number for t in turns.of("c1")], turns.erased("c1")) == ([0], [1, 2])
    assert turns.erased("c2") == []
    complete(turns, turn(1, exchange="e4"))
    assert turns.erased("c1") == [2]
    audit.redact_conversation("c2", "ann", "asked for")
    assert turns.erased("c2") == [0]
