"""The ledger of calls: which changes are possible, that one of many wins, and that nothing changes behind the log."""

import io
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from inhouse.errors import GateError, InputError
from inhouse.store.calls import StoredCalls
from inhouse.store.tables import now_ms
from inhouse.store.turns import StoredTurns
from inhouse.tools import Call, Caller, Proposal, Turn

LATER = 4_000_000_000_000
ANN = Caller(user="ann", key="k1", groups=frozenset({"staff", "desk"}))


@pytest.fixture
def calls(ledger):
    return StoredCalls(ledger)


def proposed(calls, ordinal=0, why="", conversation="c1", turn=1, **arguments):
    proposal = Proposal(conversation=conversation, turn=turn, ordinal=ordinal, tool="refund", arguments=arguments)
    return calls.propose(Call(proposal=proposal, tool_digest="t" * 64, caller=ANN, why=why))


def ended(calls, status="done", ordinal=0, **more):
    call = proposed(calls, ordinal, name="Xaver \0")
    assert calls.start(call.key, LATER, False)
    return calls.end(call.key, status, **more)


def test_a_call_from_the_proposal_to_the_result(calls, audit):
    call = proposed(calls, why="refund needs an approval", amount_usd=120, note="for \0 \ud800")
    assert calls.get(call.key) == call
    assert (call.status, call.caller, bool(call.at_ms)) == ("proposed", ANN, True)
    assert calls.waiting() == [call]
    assert not calls.start(call.key, LATER, needs_approval=True)
    until = now_ms() + 60_000
    approved = calls.approve(call.key, "bea", until)
    assert (approved.status, approved.by, approved.until_ms, calls.waiting()) == ("approved", "bea", until, [])
    assert calls.start(call.key, LATER, needs_approval=True)
    assert not calls.start(call.key, LATER, needs_approval=True), "another process runs it"
    done = calls.end(call.key, "done", {"id": 7, "text": "\0"}, raw="r" * 64)
    assert calls.get(call.key) == done
    assert (done.status, done.result, done.raw, done.by) == ("done", {"id": 7, "text": "\0"}, "r" * 64, "bea")
    assert calls.of("c1") == [done]
    assert [a.what for a in audit.actions(about=call.key)][::-1] == [
        "call proposed", "call approved", "call started", "call done",
    ]  # fmt: skip
    assert audit.verify().ok


def test_a_place_in_a_turn_has_one_call_whatever_its_arguments(calls):
    first = proposed(calls, amount_usd=120)
    assert proposed(calls, amount_usd=9000) == first
    assert proposed(calls, ordinal=1, amount_usd=9000).key != first.key
    assert proposed(calls, conversation="c2", amount_usd=120).key != first.key
    assert [c.proposal.arguments for c in calls.of("c1")] == [{"amount_usd": 120}, {"amount_usd": 9000}]


@pytest.mark.parametrize("name", ["", "a\0", "\ud800", "x" * 201])
def test_names_of_conversations_that_a_database_would_change_are_refused(calls, ledger, name):
    with pytest.raises(InputError, match="ID of a conversation"):
        proposed(calls, conversation=name)
    with pytest.raises(InputError, match="ID of a conversation"):
        StoredTurns(ledger).begin(Turn(conversation=name, number=0, owner="k1", before="", asked=""))


def test_what_is_not_possible_is_refused(calls):
    call = proposed(calls, amount_usd=1)
    for change in (
        lambda: calls.approve("none", "bea", LATER),
        lambda: calls.decline("none", "bea", "no"),
        lambda: calls.start("none", LATER, False),
        lambda: calls.end("none", "done"),
    ):
        with pytest.raises(InputError, match="no such call"):
            change()
    with pytest.raises(InputError, match="ended already"):
        calls.approve(call.key, "bea", now_ms())
    with pytest.raises(InputError, match="is proposed"):
        calls.end(call.key, "done")
    assert calls.decline(call.key, "bea", "too much").why == "too much"
    for change in (
        lambda: calls.approve(call.key, "bea", LATER),
        lambda: calls.decline(call.key, "bea", "again"),
        lambda: calls.end(call.key, "done"),
    ):
        with pytest.raises(InputError, match="is declined"):
            change()
    assert not calls.start(call.key, LATER, False)
    assert calls.get("none") is None


def test_an_approval_ends(calls, monkeypatch):
    call = proposed(calls, why="needs an approval")
    calls.approve(call.key, "bea", now_ms() + 1000)
    monkeypatch.setattr("inhouse.store.calls.now_ms", lambda: LATER)
    assert not calls.start(call.key, LATER + 1, True)
    assert calls.get(call.key).status == "expired"
    assert not calls.start(call.key, LATER + 1, False)
    with pytest.raises(InputError, match="is expired"):
        calls.approve(call.key, "bea", LATER + 2)


def test_a_call_whose_process_died_is_taken_over_by_one(calls):
    call = proposed(calls)
    assert calls.start(call.key, LATER, False)
    assert calls.interrupted() == []
    other = proposed(calls, ordinal=1)
    assert calls.start(other.key, now_ms(), False)
    assert [c.key for c in calls.interrupted()] == [other.key]
    assert calls.start(other.key, LATER, False)
    assert not calls.start(other.key, LATER, False)
    unknown = calls.end(other.key, "unknown", why="the process ended")
    assert (unknown.ended_ms, calls.waiting(), calls.interrupted()) == (0, [unknown], [])
    with pytest.raises(InputError, match="is unknown"):
        calls.end(other.key, "unknown", why="again")
    assert calls.end(other.key, "failed", why="asked the bank").ended_ms
    assert calls.waiting() == []


def test_proposals_that_wait_for_nobody_are_not_shown_to_people(calls):
    proposed(calls)
    one, two = (proposed(calls, ordinal=n, why="amount_usd > 100") for n in (1, 2))
    assert calls.waiting() == sorted([one, two], key=lambda c: (c.at_ms, c.key))


def test_of_many_threads_one_starts(calls):
    key, won, ready = proposed(calls).key, [], threading.Barrier(8)

    def start():
        ready.wait()
        won.append(calls.start(key, LATER, False))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


RACE = """
import sys
from inhouse.store.calls import StoredCalls
from inhouse.store.ledger import Ledger
calls = StoredCalls(Ledger(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read(1)
print(sum(calls.start(key, 4_000_000_000_000, False) for key in sys.argv[2:]))
"""


def test_of_two_processes_one_starts(calls, url, audit):
    keys = [proposed(calls, n).key for n in range(20)]
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, url, *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        racer.stdin.write(b"x")
        racer.stdin.flush()
    assert sum(int(racer.communicate()[0]) for racer in racers) == 20
    assert audit.verify().ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tool_call SET status = 'approved', until_ms = 4000000000000",
        "UPDATE tool_call SET content = replace(content, 'amount_usd', 'amount_yen')",
        "UPDATE tool_call SET content = replace(content, 'ann', 'eve')",
        "UPDATE tool_call SET turn = 7",
    ],
)
def test_a_row_that_was_changed_behind_the_log_is_found_and_never_started(calls, audit, tamper, change):
    key = proposed(calls, why="needs an approval", amount_usd=120).key
    tamper(change)
    for attempt in (
        lambda: calls.start(key, LATER, False),
        lambda: calls.approve(key, "bea", LATER),
        lambda: calls.decline(key, "bea", "no"),
        lambda: calls.end(key, "done"),
    ):
        with pytest.raises(GateError, match="outside of inhouse"):
            attempt()
    assert f"tool_call {key} was changed outside of inhouse" in audit.verify().reason


def test_rows_that_were_added_or_deleted_are_found(calls, audit, tamper):
    one, two = (proposed(calls, n) for n in range(2))
    tamper("DELETE FROM tool_call WHERE key = :key", key=one.key)
    assert f"{one.key} was deleted" in audit.verify().reason
    tamper(f"INSERT INTO tool_call SELECT '{'f' * 64}', conversation, turn, 9, 'approved', at_ms, until_ms, lease_ms, "
           "content FROM tool_call")  # fmt: skip
    assert "was added" in audit.verify().reason
    with pytest.raises(GateError):
        calls.start("f" * 64, LATER, False)
    assert calls.start(two.key, LATER, False)


# --- erasing ------------------------------------------------------------------------------------------------


def remembered(ledger, number, exchange, text="Xaver"):
    turns = StoredTurns(ledger)
    turns.begin(Turn(conversation="c1", number=number, owner="k1:ann", before="", asked="", exchange=exchange.id))
    turns.plan("c1", number, {"say": text})
    turns.complete(turns.of("c1")[-1].model_copy(update={"state": {"name": text}, "reply": text, "after": "a" * 64}))


def everything(ledger, audit):
    out = io.StringIO()
    audit.export(out)
    with ledger.read() as connection:
        rows = [
            tuple(row) for name in ("tool_call", "turn") for row in connection.execute(sa.text(f"SELECT * FROM {name}"))
        ]
    return out.getvalue() + str(rows)


async def test_redacting_an_exchange_erases_what_was_remembered_and_done_from_it_on(calls, ledger, audit, exchange):
    first, second, third = (exchange(user="Xaver" if n else "ann") for n in range(3))
    for number, (one, text) in enumerate([(first, "dear"), (second, "Xaver"), (third, "Xaver")]):
        remembered(ledger, number, one, text)
        await audit.append(one)
    early = proposed(calls, turn=0, day="Monday")
    late, open_ = (proposed(calls, turn=2, ordinal=n, name="Xaver", why="approve Xaver") for n in range(2))
    calls.approve(late.key, "bea", LATER)
    calls.start(late.key, LATER, True)
    with pytest.raises(InputError, match="not known yet"):
        audit.redact(second.id, "Dana", "asked to")
    assert audit.verify().ok, "a refused redaction changes nothing"
    calls.end(late.key, "done", "paid Xaver")
    audit.redact(second.id, "Dana", "asked to")
    audit.redact(third.id, "Dana", "asked to")
    assert audit.verify().ok
    assert "Xaver" not in everything(ledger, audit)
    turns = StoredTurns(ledger)
    assert [t.number for t in turns.of("c1")] == [0]
    assert turns.last("c1").state == {"name": "dear"}
    assert calls.of("c1") == [early]
    for key, status in ((late.key, "done"), (open_.key, "declined")):
        left = calls.get(key)
        assert (left.status, left.proposal.tool, left.proposal.arguments, left.result) == (status, "refund", {}, None)
        with pytest.raises(GateError):
            calls.start(key, LATER, False)
    assert calls.waiting() == []
    assert proposed(calls, turn=2, name="Bob").proposal.arguments == {"name": "Bob"}, "the place is free"
    assert audit.verify().ok


async def test_a_conversation_is_erased_as_a_whole(calls, ledger, audit, exchange):
    remembered(ledger, 0, exchange())
    ended(calls, result="Xaver")
    StoredTurns(ledger).begin(Turn(conversation="c9", number=0, owner="k1:Xaver", before="", asked=""))
    audit.redact_conversation("c1", "Dana", "asked to")
    audit.redact_conversation("c9", "Dana", "asked to")
    assert "Xaver" not in everything(ledger, audit)
    assert StoredTurns(ledger).of("c1") == []
    assert audit.verify().ok
    with pytest.raises(InputError, match="no such conversation"):
        audit.redact_conversation("c1", "Dana", "asked to")
