"""Private: what leaves, what comes back, and what happens where the model elsewhere fails."""

from __future__ import annotations

import asyncio
import json
import random
import re

import pytest

from inhouse.chat import ChatRequest, Delta, Finish, Note, collect
from inhouse.errors import BackendError, RefusedError
from inhouse.models.fallback import InTime
from inhouse.routing.private import Private, Rules
from inhouse.types import Message, Span

SECRET = b"s" * 32
VALUES = {
    "Anna Weber": "PERSON", "José Núñez": "PERSON", "anna.weber@corp.com": "EMAIL", "+49 151 2345678": "PHONE",
    "12/05/1985": "DATE_OF_BIRTH", "12 Rose Street, Springfield": "ADDRESS", "4111 1111 1111 1111": "CARD_NUMBER",
    "hunter2!x": "SECRET", "491512345": "PHONE",
}  # fmt: skip
TEXT = "I am Anna Weber, anna.weber@corp.com, +49 151 2345678, born 12/05/1985. José Núñez is at 12 Rose Street, Springfield."


def find(messages):
    """The places of known values, so that a test says itself what is personal."""
    return [
        sorted(Span(m.start(), m.end(), kind) for v, kind in VALUES.items() for m in re.finditer(re.escape(v), t.content))
        for t in messages
    ]  # fmt: skip


class Remote:
    """Answers in pieces of random length; remembers what it was sent."""

    name = "remote"

    def __init__(self, text="", calls=(), seed=1, error=None, stall_s=0.0, reason="stop"):
        self.text, self.calls, self.error, self.stall_s, self.reason = text, calls, error, stall_s, reason
        self.random, self.asked = random.Random(seed), []

    def pieces(self, text):
        at = 0
        while at < len(text):
            size = self.random.randint(1, 9)
            yield text[at : at + size]
            at += size

    async def stream(self, request):
        self.asked.append(request)
        await asyncio.sleep(self.stall_s)
        text = self.text(request) if callable(self.text) else self.text
        for piece in self.pieces(text):
            yield Delta(text=piece)
        for index, (name, arguments) in enumerate(self.calls(request) if callable(self.calls) else self.calls):
            head = {
                "index": index,
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            yield Delta(text="", tool_calls=(head,))
            for piece in self.pieces(arguments):
                yield Delta(text="", tool_calls=({"index": index, "function": {"arguments": piece}},))
        if self.error:
            raise self.error
        yield Finish(reason=self.reason)


class Records:
    def __init__(self, error=None):
        self.all, self.error = [], error

    async def __call__(self, egress):
        if self.error:
            raise self.error
        self.all.append(egress)


def private(remote, local=None, records=None, **rules):
    rules = {"default": "surrogates", **rules}
    return Private("cloud", remote, local, find, Rules(**rules), SECRET, records or Records())


def asked(text=TEXT, **more):
    return ChatRequest(messages=(Message(role="user", content=text),), **more)


def echo(request):
    return "\n".join(m.content for m in request.messages)


def sent(remote):
    return json.dumps([r.model_dump(mode="json") for r in remote.asked], ensure_ascii=False)


async def arguments_of(model, request):
    said = {}
    async for event in model.stream(request):
        for call in event.tool_calls if isinstance(event, Delta) else ():
            said[call["index"]] = said.get(call["index"], "") + call["function"].get("arguments", "")
    return said


async def test_nothing_personal_leaves_and_the_answer_is_as_if_it_had():
    for seed in range(20):
        remote, records = Remote(echo, seed=seed), Records()
        reply = await collect(private(remote, records=records), asked())
        assert reply.text == TEXT
        assert not [v for v in VALUES if v in sent(remote)]
        assert not re.search("anna|weber|corp|rose|springfield|núñez", sent(remote), re.IGNORECASE)
        (egress,) = records.all
        assert egress.replaced == {"ADDRESS": 1, "DATE_OF_BIRTH": 1, "EMAIL": 1, "PERSON": 2, "PHONE": 1}
        assert reply.note("private", "egress")["restored"] == 8


async def test_what_never_leaves_is_cut_out_and_not_put_back():
    remote, records = Remote(echo), Records()
    reply = await collect(private(remote, records=records), asked("Card 4111 1111 1111 1111, password hunter2!x."))
    assert reply.text == "Card [card number removed], password [secret removed]."
    assert (records.all[0].removed, records.all[0].replaced) == ({"CARD_NUMBER": 1, "SECRET": 1}, {})


async def test_kinds_of_the_settings_never_leave_either():
    remote = Remote(echo)
    reply = await collect(private(remote, never=frozenset({"PERSON"})), asked("I am Anna Weber."))
    assert reply.text == "I am [person removed]."


@pytest.mark.parametrize("ascii_only", [True, False])
async def test_arguments_of_tools_are_restored_byte_for_byte(ascii_only):
    def calls(request):
        said = {"who": request.messages[0].content, "n": [1, 2.5, None]}
        return [
            ("book", json.dumps(said, ensure_ascii=ascii_only)),
            ("mail", json.dumps(said, ensure_ascii=ascii_only, indent=1)),
        ]

    for seed in range(20):
        remote = Remote("", calls, seed=seed, reason="tool_calls")
        assert await arguments_of(private(remote), asked()) == await arguments_of(Remote("", calls), asked())
        assert not [v for v in VALUES if v in sent(remote)]


async def test_calls_results_tools_and_schemas_are_read_too():
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "find", "arguments": '{"name":  "Jos\\u00e9 N\\u00fa\\u00f1ez", "phone": 491512345}'},
    }
    schema = {"type": "object", "properties": {"who": {"enum": ["Anna Weber"], "const": "Anna Weber"}}}
    tool = {"type": "function", "function": {"name": "find", "description": "Finds Anna Weber", "parameters": schema}}
    request = ChatRequest(
        messages=(
            Message(role="system", content="The customer is Anna Weber."),
            Message(role="user", content="Find José Núñez."),
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", content='{"owner": "Anna Weber", "mail": "anna.weber@corp.com"}', tool_call_id="c1"),
        ),
        json_schema=schema, stop=("Anna Weber",), user="anna.weber@corp.com", conversation="Anna Weber", key="k1",
        extra={"tools": [tool], "user": "Anna Weber", "metadata": {"x": "Anna Weber"}, "top_p": 0.5, "logit_bias": {"5": 1}},
        logprobs=2,
    )  # fmt: skip
    remote, records = Remote(lambda r: json.dumps([m.to_openai() for m in r.messages])), Records()
    reply = await collect(private(remote, records=records), request)
    (got,) = remote.asked
    assert not re.search("anna|weber|jos|491512345|corp", sent(remote), re.IGNORECASE)
    assert records.all[0].dropped == ("user", "metadata", "logprobs")
    assert got.extra.keys() == {"tools", "top_p", "logit_bias"}
    assert isinstance(json.loads(got.messages[2].tool_calls[0]["function"]["arguments"])["phone"], int)
    assert json.loads(reply.text) == [m.to_openai() for m in request.messages]
    assert (got.user, got.conversation, got.key, got.logprobs) == ("", "", "", None)


async def test_the_key_of_a_value_in_json_says_what_it_is():
    def by_key(messages):
        return [[Span(5, 9, "PIN")] if m.content.startswith("pin: ") else [] for m in messages]

    remote = Remote(echo)
    model = Private("cloud", remote, None, by_key, Rules("surrogates"), SECRET, Records())
    await collect(model, asked('{"pin": "4321", "year": "1999"}'))
    assert remote.asked[0].messages[0].content == '{"pin": "[pin removed]", "year": "1999"}'


async def test_a_conversation_keeps_its_surrogates_and_another_user_has_others():
    remote = Remote(echo)
    model = private(remote)
    first = asked("I am Anna Weber.", user="u1")
    more = (
        *first.messages,
        Message(role="assistant", content="Hello Anna."),
        Message(role="user", content="Who am I?"),
    )
    await collect(model, first)
    await collect(model, first.model_copy(update={"messages": more}))
    await collect(model, first.model_copy(update={"user": "u2"}))
    one, two, three = (r.messages[0].content for r in remote.asked)
    assert one == two != three


async def test_what_never_leaves_does_not_leave_in_clear_either():
    remote, records = Remote("far"), Records()
    model = private(remote, None, records, default="clear", never=frozenset({"ADDRESS"}))
    await collect(model, asked("Anna Weber of 12 Rose Street, Springfield pays with 4111 1111 1111 1111."))
    assert remote.asked[0].messages[0].content == "Anna Weber of [address removed] pays with [card number removed]."
    assert (records.all[0].policy, records.all[0].removed, records.all[0].replaced) == (
        "clear", {"ADDRESS": 1, "CARD_NUMBER": 1}, {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "policy"),
    [((), "local-only"), (("staff",), "surrogates"), (("open",), "clear"), (("open", "staff"), "surrogates"),
     (("open", "secret"), "local-only"), (("other",), "local-only")],
)  # fmt: skip
async def test_the_strictest_policy_of_the_groups_holds(groups, policy):
    remote, local, records = Remote("far"), Remote("near"), Records()
    rules = {"staff": "surrogates", "open": "clear", "secret": "local-only"}
    model = private(remote, local, records, default="local-only", groups=rules)
    reply = await collect(model, asked(groups=frozenset(groups)))
    if policy == "local-only":
        assert (reply.text, remote.asked, records.all) == ("near", [], [])
        assert reply.note("private", "local")["why"] == "the policy of the user's groups"
        assert local.asked[0].messages[0].content == TEXT
    else:
        assert (reply.text, records.all[0].policy) == ("far", policy)
        assert ("Anna Weber" in sent(remote)) == (policy == "clear")


async def test_without_a_local_model_nothing_leaves():
    remote = Remote("far")
    with pytest.raises(BackendError, match="nothing leaves this machine"):
        await collect(private(remote, default="local-only"), asked())
    assert remote.asked == []


@pytest.mark.parametrize(
    ("remote", "why"),
    [(Remote(error=BackendError("cannot be reached")), "cannot be reached"),
     (InTime(Remote("late", stall_s=5), 0.05), "no answer within 0.05 s"),
     (Remote("Cl", error=None, reason="stop", calls=()), None)],
)  # fmt: skip
async def test_a_remote_model_that_says_nothing_is_replaced(remote, why):
    reply = await collect(private(remote, Remote("near")), asked())
    if why:
        assert reply.text == "near"
        assert why in reply.note("private", "local")["why"]
    else:
        assert reply.text == "Cl"


async def test_a_failure_in_the_middle_ends_the_answer_and_retracts_nothing():
    def half(request):
        return request.messages[0].content[:-3]  # cuts the last word: "I am Veronica Kitzm"

    events = []

    async def read(model):
        async for event in model.stream(asked("I am Anna Weber")):
            events.append(event)

    with pytest.raises(BackendError, match="cut off"):
        await read(private(Remote(half, error=BackendError("cut off")), Remote("near")))
    assert "".join(e.text for e in events) == "I am Anna "


async def test_a_failure_while_all_is_held_back_is_replaced():
    remote = Remote(lambda r: r.messages[0].content.split()[0][:3], error=BackendError("cut off"))
    reply = await collect(private(remote, Remote("near")), asked("Anna Weber"))
    assert reply.text == "near"


async def test_a_rejection_is_told_in_the_users_words():
    class Rejects(Remote):
        async def stream(self, request):
            raise RefusedError(f"unknown name {request.messages[0].content}")
            yield

    with pytest.raises(RefusedError, match=re.escape("unknown name Anna Weber")):
        await collect(private(Rejects(), Remote("near")), asked("Anna Weber"))


async def test_what_cannot_be_recorded_does_not_leave():
    remote = Remote("far")
    reply = await collect(private(remote, Remote("near"), Records(BackendError("disk full"))), asked())
    assert (reply.text, remote.asked) == ("near", [])


async def test_notes_pass():
    class Notes(Remote):
        async def stream(self, request):
            yield Note(layer="x", kind="y", data=1)
            yield Finish(reason="stop")

    assert (await collect(private(Notes()), asked())).note("x", "y") == 1
