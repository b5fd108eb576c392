"""Which turn a message is: one that comes again acts once, and one that begins anew acts anew."""

import asyncio

import pytest

from inhouse.agents.agent import Agent
from inhouse.agents.conversing import Conversing
from inhouse.agents.executor import Executor
from inhouse.agents.procedure import to_procedure
from inhouse.agents.understand import Understanding
from inhouse.chat import ChatRequest, collect
from inhouse.store.calls import StoredCalls
from inhouse.store.turns import StoredTurns
from inhouse.tools import Tool
from inhouse.types import Message

CALLBACK = {
    "name": "callback", "slots": {"phone": {"type": "phone"}},
    "states": [
        {"name": "start", "collect": ["phone"], "call": {"tool": "call", "with": {"phone": "{phone}"}}, "next": "done"},
        {"name": "done", "say": "We will call you.", "end": True},
    ],
}  # fmt: skip
CLOSE = {
    "name": "close",
    "states": [
        {"name": "start", "say": "I close it.", "call": {"tool": "close"}, "next": "tell"},
        {"name": "tell", "call": {"tool": "call", "with": {"phone": "office"}}, "next": "done"},
        {"name": "done", "say": "Closed.", "end": True},
    ],
}  # fmt: skip
PHONE = "555-0199-2345"
LATER = 4_000_000_000_000


class Ran:
    """A tool that counts its runs, and waits for `free` in each."""

    def __init__(self, name, **more):
        self.tool = Tool(name=name, parameters={"type": "object", "additionalProperties": True}, **more)
        self.runs, self.began, self.free = 0, asyncio.Event(), asyncio.Event()
        self.free.set()

    async def run(self, arguments, key, caller):
        self.runs += 1
        self.began.set()
        await self.free.wait()
        return {}


class Shop:
    def __init__(self, ledger):
        self.call, self.close = Ran("call"), Ran("close", approval="always")
        self.calls, self.turns = StoredCalls(ledger), StoredTurns(ledger)
        executor = Executor({"call": self.call, "close": self.close}, self.calls)
        read = {p["name"]: to_procedure(p, "test") for p in (CALLBACK, CLOSE)}
        starts = Understanding(lambda text: {name: 0.9 if name[:4] in text else 0.0 for name in read})
        self.model = Conversing(Agent("shop", read, starts, executor), self.turns)

    async def ask(self, *talk, id=""):
        """What is said to the last of these messages, and the ID of the conversation."""
        roles = ("user", "assistant")
        messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(talk))
        reply = await collect(self.model, ChatRequest(messages=messages, user="ann", key="k1", conversation=id))
        return reply.text, next(n.data["id"] for n in reply.notes if n.kind == "conversation")


@pytest.fixture
def shop(ledger):
    return Shop(ledger)


@pytest.mark.parametrize("named", [0, 1])
@pytest.mark.parametrize("again", [True, False])
async def test_a_message_acts_once_where_two_conversations_began_with_the_same_words(shop, named, again):
    begun = [await shop.ask("please call me") for _ in range(2)]
    assert begun[0][0] == begun[1][0], "the same words in both"
    first = await shop.ask("please call me", begun[0][0], PHONE, id=begun[named][1])
    second = await shop.ask("please call me", begun[0][0], PHONE, id=first[1] if again else "")
    assert (second, shop.call.runs) == (first, 1)


async def test_a_message_acts_once_where_its_answer_was_lost_and_the_first_one_came_late(shop):
    asked, _ = await shop.ask("please call me")
    shop.call.free.clear()
    lost = asyncio.create_task(shop.ask("please call me", asked, PHONE))
    await shop.call.began.wait()
    retried = asyncio.create_task(shop.ask("please call me", asked, PHONE))
    await asyncio.sleep(0.05)
    shop.call.free.set()
    assert await lost == await retried
    assert shop.call.runs == 1


async def test_a_conversation_that_is_held_once_more_acts_once_more(shop):
    for runs in (1, 2):
        asked, _ = await shop.ask("please call me")
        assert (await shop.ask("please call me", asked, PHONE))[0] == "We will call you."
        assert shop.call.runs == runs
    assert (await shop.ask(f"please call me at {PHONE}"))[0] == "We will call you."
    assert shop.call.runs == 3


async def test_a_first_message_that_comes_twice_at_once_acts_once(shop):
    shop.call.free.clear()
    twice = [asyncio.create_task(shop.ask(f"please call me at {PHONE}")) for _ in range(2)]
    await shop.call.began.wait()
    await asyncio.sleep(0.05)
    shop.call.free.set()
    first, second = await asyncio.gather(*twice)
    assert (first, shop.call.runs) == (second, 1)


async def test_a_first_message_that_a_crash_interrupted_acts_once(shop):
    shop.call.free.clear()
    crashed = asyncio.create_task(shop.ask(f"please call me at {PHONE}"))
    await shop.call.began.wait()
    crashed.cancel()
    await asyncio.gather(crashed, return_exceptions=True)
    shop.call.free.set()
    assert (await shop.ask(f"please call me at {PHONE}"))[0] == "We will call you."
    assert shop.call.runs == 1


async def test_messages_that_the_server_never_answered_act_once(shop):
    talk = ("hello", "I was here before.", f"please call me at {PHONE}")
    assert await shop.ask(*talk) == await shop.ask(*talk)
    assert shop.call.runs == 1


async def test_a_message_waits_for_what_follows_an_approval(shop):
    said, id = await shop.ask("close it")
    (call,) = shop.calls.waiting()
    shop.calls.approve(call.key, "boss", LATER)
    shop.call.free.clear()
    going_on = asyncio.create_task(shop.ask(id=id))
    await shop.call.began.wait()
    message = asyncio.create_task(shop.ask("close it", said, "and now?", id=id))
    await asyncio.sleep(0.2)
    shop.call.free.set()
    assert (await going_on)[0].endswith("Closed.")
    assert (await message)[1] == id
    assert (shop.close.runs, shop.call.runs) == (1, 1)
