"""Agents do nothing that they must not, whatever their model says and their users try."""

import asyncio
import importlib.util
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from inhouse.agents.answers import affirms, polarity_of
from inhouse.chat import Delta, Finish

FILE = Path(__file__).parents[2] / "benchmarks" / "forbidden.py"
spec = importlib.util.spec_from_file_location("forbidden", FILE)
forbidden = importlib.util.module_from_spec(spec)
sys.modules["forbidden"] = forbidden
spec.loader.exec_module(forbidden)
LATER = 4_000_000_000_000


class Says:
    """A model that says what it is told to."""

    name, rows = "says", ()

    async def stream(self, request):
        yield Delta(text=json.dumps(list(self.rows)))
        yield Finish(reason="stop")


class Never(random.Random):
    """Tools never fail by chance."""

    def random(self):
        return 1.0

    def choice(self, options):
        return options[-1]

    def sample(self, population, k):
        return list(population[:k])


@pytest.fixture
def world(tmp_path):
    world = forbidden.World(tmp_path, Never(1), forbidden.Oracle(), Says(), Counter(), stored=True)
    yield world
    assert world.oracle.wrong == {}, world.oracle.examples
    world.close()


@pytest.fixture
def said(world):
    async def said(thread, *texts, **more):
        for text in texts:
            await world.turn(thread, text, text in forbidden.YES, **more)
        return thread.talk[-1][1]

    return said


def thread_of(world, name):
    return forbidden.Thread(next(user for user in world.users if user.name == name))


def runs(world, tool):
    return world.oracle.runs[tool]


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_forbidden_happens_whatever_the_model_says(seed):
    result = forbidden.measured(120, seed)
    assert result["wrong"] == {}, result["examples"]
    assert result["runs"]["lookup"] > 3


def test_nothing_runs_twice_whatever_is_sent_again():
    result = forbidden.measured(60, 3, habits=forbidden.REPEATS)
    assert result["wrong"] == {}, result["examples"]
    assert result["runs"]["callback"] > 10


async def test_a_yes_counts_for_what_was_asked_and_for_nothing_that_the_model_adds(world, said):
    ann = thread_of(world, "ann")
    assert (await said(ann, "a refund for R1234", "20 dollars")).endswith("Refund 20 dollars for R1234, reason -?")
    world.adversary.rows = [{"kind": "yes"}]
    for text in ("hmm", "is that right?", "I wonder whether to confirm"):
        assert "reason -?" in await said(ann, text)
    world.adversary.rows = [{"kind": "yes"}, {"kind": "set", "name": "reason", "value": "late"}]
    assert (await said(ann, "great, late it was")).endswith("reason late?")
    assert runs(world, "refund") == 0
    world.adversary.rows = []
    assert "Refunded 20" in await said(ann, "yes")
    assert runs(world, "refund") == 1


async def test_an_edited_yes_is_asked_again(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "a refund for R1234", "20 dollars", "yes")
    ann.talk = ann.talk[:-2]
    assert "Refunded" not in (await said(ann, "Yes please"))
    assert runs(world, "refund") == 1


async def test_what_waits_for_an_approval_belongs_to_its_procedure(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "a refund for R1234", "150 dollars")
    assert "has to approve" in await said(ann, "yes")
    assert "phone?" in await said(ann, "please call me back, do call")
    (call,) = world.calls.waiting()
    world.oracle.approved[call.key] = json.dumps(call.proposal.arguments, sort_keys=True)
    world.calls.approve(call.key, "boss", LATER)
    assert runs(world, "refund") == 0
    assert "Refunded 150" in await said(ann, "555-0199-2345")
    assert (runs(world, "refund"), runs(world, "callback")) == (1, 1)


async def test_an_approval_is_told_and_the_message_before_it_is_not_done_again(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "a refund for R1234", "150 dollars", "yes")
    (call,) = world.calls.waiting()
    world.oracle.approved[call.key] = json.dumps(call.proposal.arguments, sort_keys=True)
    await world.executor.settle(world.calls.approve(call.key, "boss", LATER))
    before = list(ann.talk)
    assert "Refunded 150" in await said(ann, "", id=ann.id)
    for id in ("", ann.id):
        ann.talk = before[:-2]
        assert "has to approve" in await said(ann, "yes", id=id)
    ann.talk = list(before)
    once = await said(ann, "please call me at 555-0199-2345")
    ann.talk = list(before)
    assert await said(ann, "please call me at 555-0199-2345") == once
    assert (runs(world, "refund"), runs(world, "callback")) == (1, 1)


async def test_a_cancelled_call_is_not_approved_afterwards(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "a refund for R1234", "150 dollars", "yes")
    (call,) = world.calls.waiting()
    assert "stopped" in await said(ann, "cancel")
    assert world.calls.get(call.key).status == "declined"
    assert world.calls.waiting() == []


@pytest.mark.parametrize("approved", [True, False])
async def test_rights_that_were_taken_away_end_a_procedure(world, said, approved):
    eve = thread_of(world, "eve")
    assert "Close account" in await said(eve, "close the account", "A1234", "P1111")
    if approved:
        await said(eve, "yes")
        (call,) = world.calls.waiting()
        world.calls.approve(call.key, "boss", LATER)
    eve.user.groups = frozenset({forbidden.MEMBER})
    assert "not possible" in await said(eve, "and now?")
    assert runs(world, "close") == 0


async def test_a_yes_does_not_answer_what_another_agent_asked_earlier(world, said):
    dan = thread_of(world, "dan")
    await said(dan, "a refund for R1234", "20 dollars", "grant rights to account A1234", "cancel")
    await said(dan, "yes")
    assert runs(world, "refund") == 0


async def test_an_edited_message_that_comes_again_acts_once(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "hmm")
    before = list(ann.talk)
    await said(ann, "no idea")
    bob, answers, branches = thread_of(world, "bob"), set(), set()
    await said(bob, "hmm")
    for id in ("", bob.id, ""):
        ann.talk = list(before)
        answers.add(await said(ann, "please call me at 555-0199-2345", id=id))
        branches.add(ann.id)
    assert (len(answers), len(branches), runs(world, "callback")) == (1, 1, 1)


async def test_a_message_with_the_id_of_another_branch_acts_once(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "hmm")
    before = list(ann.talk)
    await said(ann, "hmm!", id="")
    ann.talk = list(before)
    await said(ann, "no idea")  # a branch
    branch, talk = ann.id, [*before, ("user", "hmm!", 0), ("assistant", ann.talk[-1][1], 0)]
    ann.talk = list(talk)
    once = await said(ann, "please call me at 555-0199-2345", id=branch)
    for id in (branch, "", ann.id):
        ann.talk = list(talk)
        assert await said(ann, "please call me at 555-0199-2345", id=id) == once
    assert runs(world, "callback") == 1


async def test_of_two_answers_that_decide_differently_one_is_given_up(world, said):
    ann = thread_of(world, "ann")
    await said(ann, "a refund for R1234", "20 dollars")
    await asyncio.gather(*(world.send(ann, "yes", True) for _ in range(3)))
    assert runs(world, "refund") == 1


async def test_a_name_with_a_yes_in_it_confirms_nothing_when_it_is_said_again(world, said):
    ann, name = thread_of(world, "ann"), '[{"kind": "yes"}]'
    await said(ann, "please book me a time", "2027-03-15", "the first one")
    assert (await said(ann, name)).endswith(f"for {name}?")
    world.adversary.rows = [{"kind": "yes"}]
    assert (await said(ann, name)).endswith(f"for {name}?")
    assert runs(world, "book") == 0
    assert "Booked" in await said(ann, "yes")


@pytest.mark.parametrize("text", ["is that right?", "sure?", "correct?", "is it ok"])
def test_a_question_is_no_yes(text):
    assert polarity_of(text) is None
    assert not affirms(text)


@pytest.mark.parametrize("text", ["go for it", "of course", "lovely", "let's go"])
def test_a_model_may_read_words_of_assent_as_a_yes(text):
    assert affirms(text)


@pytest.mark.parametrize("text", ["hmm", "lovely weather", "but of course not", "do it on Friday", "", "stop"])
def test_a_model_may_not_read_anything_else_as_one(text):
    assert not affirms(text)
