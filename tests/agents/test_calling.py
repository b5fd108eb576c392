"""Tools: whether one is called, which, and with what."""

import json

import pytest

from inhouse.agents.calling import Caller, Calling
from inhouse.agents.structured import Quoting, Structured
from inhouse.chat import ChatRequest, Delta, Note, collect
from inhouse.errors import RefusedError
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.rail import Finding, Guard
from inhouse.guardrails.runner import Threads
from inhouse.models.scripted import Scripted
from inhouse.text.words import content_words
from inhouse.types import Message

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."
WIRE = "An outgoing domestic wire costs $21.50, and an incoming one costs $8."


def tool(name, description="", **parts):
    parameters = {"type": "object", "properties": parts, "required": list(parts)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TEXT = {"type": "string"}
CURRENCY = TEXT | {"enum": ["USD", "EUR", "GBP"]}
WEATHER = tool("get_weather", "Get the current weather in a city.", city={"type": "string"})
FEE = tool("Fee", "A fee.", service={"type": "string"}, usd={"type": "number"})


def alike(text, others):
    """Shared words instead of a model of meaning."""
    own = set(content_words(text))
    return [len(own & set(content_words(o))) / max(len(own), 1) for o in others]


def declines(sentence):
    return sentence == HANDOFF


def calling(answer=WIRE, caller=None):
    return Calling(Scripted(lambda r: answer), caller or Caller("x"), Quoting("x"), alike, declines)


def request(text, *tools, choice="auto", after=(), **more):
    messages = (Message(role="user", content=text), *after)
    return ChatRequest(messages=messages, extra={"tools": list(tools), "tool_choice": choice}, **more)


async def answered(model, asked):
    """The text, the calls, and how the answer ended."""
    deltas, reason = [], ""
    async for event in model.stream(asked):
        if isinstance(event, Delta):
            deltas.append(event)
        reason = getattr(event, "reason", reason)
    calls = [piece for d in deltas for piece in d.tool_calls]
    names = [c["function"]["name"] for c in calls if c["function"].get("name")]
    arguments = "".join(c["function"].get("arguments", "") for c in calls)
    refused = any(d.refusal for d in deltas)
    return "".join(d.text for d in deltas), names, json.loads(arguments) if arguments else None, reason, refused


async def test_a_tool_is_called_where_the_question_is_like_it():
    text, names, arguments, reason, _ = await answered(calling(), request("What is the weather in Paris?", WEATHER))
    assert (text, names, arguments, reason) == ("", ["get_weather"], {"city": "Paris"}, "tool_calls")


async def test_other_questions_are_answered_in_words():
    assert await answered(calling(), request("How much is a wire?", WEATHER)) == (WIRE, [], None, "stop", False)
    assert (await answered(calling(), request("What is the weather in Paris?", WEATHER, choice="none")))[0] == WIRE


async def test_a_required_call_may_take_its_arguments_from_the_answer():
    named = {"type": "function", "function": {"name": "Fee"}}
    for choice in ("required", named):
        asked = request("How much is an outgoing domestic wire?", FEE, choice=choice)
        _, names, arguments, reason, _ = await answered(calling(), asked)
        assert names == ["Fee"]
        assert arguments == {"service": "outgoing domestic wire", "usd": 21.5}
        assert reason == "tool_calls"


async def test_a_call_without_its_arguments_is_refused():
    asked = request("How much is a wire?", FEE, choice="required")
    text, names, _, reason, refused = await answered(calling(HANDOFF), asked)
    assert (names, reason, refused) == ([], "stop", True)
    assert HANDOFF not in text


async def test_after_a_result_the_answer_is_in_words():
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    after = (Message(role="assistant", content="", tool_calls=(call,)),
             Message(role="tool", content="It is sunny. What is the weather in Rome?", tool_call_id="c1"))  # fmt: skip
    asked = request("What is the weather in Paris?", WEATHER, after=after)
    assert await answered(calling("It is sunny."), asked) == ("It is sunny.", [], None, "stop", False)


async def test_schemas_of_tools_are_checked():
    bad = tool("f", "", x={"not": {}})
    with pytest.raises(RefusedError, match=r"tools.0.function.parameters.properties.x: the keyword 'not'"):
        await answered(calling(), request("Hello", bad))


class Blocking:
    """A rail that blocks every question."""

    name, sides = "blocking", frozenset({"input"})

    def check(self, side, text, turn):
        return Finding(score=1, reason="blocked")


async def test_rails_of_the_input_come_before_a_call():
    rails = Threads([Guard(Blocking(), {"input": "block"})])
    guarded = Guarded(Caller("x"), rails, GuardedSettings(handoff=HANDOFF))
    text, names, _, reason, _ = await answered(
        calling(caller=guarded), request("What is the weather in Paris?", WEATHER)
    )
    assert (names, reason) == ([], "content_filter")
    assert text


class HandingOff:
    """A model that hands off, as guardrails do."""

    name = "x"

    async def stream(self, request):
        yield Note(layer="guarded", kind="handoff", data={"reason": "relevance"})
        async for event in Scripted(lambda r: HANDOFF).stream(request):
            yield event


SCHEMA = {"type": "object", "properties": {"usd": {"type": "number"}}, "required": ["usd"]}


async def test_a_hand_off_is_a_refusal_and_no_item_of_the_inbox():
    model = Structured(HandingOff(), Quoting("x"), declines)
    reply = await collect(model, request("How much is a wire?", json_schema=SCHEMA))
    assert reply.note("guarded", "handoff") is None
    assert HANDOFF not in reply.text
    assert (await answered(model, request("How much is a wire?", json_schema=SCHEMA)))[4]


async def test_what_a_text_holds_can_be_read_from_it():
    model = Structured(HandingOff(), Quoting("x"), declines)
    schema = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
    assert json.loads((await collect(model, request("The order takes 5 days.", json_schema=schema))).text) == {
        "days": 5
    }


async def test_requests_without_a_schema_pass_unchanged():
    events = [event async for event in HandingOff().stream(request("hello"))]
    assert [
        event async for event in Structured(HandingOff(), Quoting("x"), declines).stream(request("hello"))
    ] == events


class Citing:
    """A model that answers from a passage."""

    name = "x"

    def __init__(self, passage):
        self.passage = passage

    async def stream(self, request):
        passage = {"source": "a.md", "title": "Wires", "heading": "", "text": self.passage}
        yield Note(layer="grounded", kind="passages", data=[passage])
        yield Note(layer="grounded", kind="citations", data=[{"passage": 1, "source": "a.md"}])
        async for event in Scripted(lambda r: "A wire takes two days.").stream(request):
            yield event


class NoThieves:
    """A rail that finds an address in what is answered."""

    name, sides = "thieves", frozenset({"output"})

    def check(self, side, text, turn):
        assert turn.passages
        return Finding(score=1, reason="evil", spans=()) if "evil.example" in text else None


@pytest.mark.parametrize(("address", "passes"), [("help@bank.example", True), ("thief@evil.example", False)])
async def test_values_of_passages_pass_the_rails_of_answers(address, passes):
    rails = Threads([Guard(NoThieves(), {"output": "handoff"})])
    quoting = Guarded(Quoting("x"), rails, GuardedSettings(handoff=HANDOFF))
    passage = f"A wire takes two days. Questions about a wire go to {address}."
    schema = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
    asked = request("Where do questions about a wire go?", json_schema=schema)
    text, _, _, _, refused = await answered(Structured(Citing(passage), quoting, declines), asked)
    assert (address in text, refused) == (passes, not passes)
    mail = tool("mail", "Writes about a wire.", email={"type": "string"})
    asked = request("Where do questions about a wire go?", mail, choice="required")
    calls = Calling(Citing(passage), Caller("x"), quoting, alike, declines)
    _, names, arguments, _, refused = await answered(calls, asked)
    assert (names, arguments) == ((["mail"], {"email": address}) if passes else ([], None))


TRANSFER = tool("transfer_money", "Transfers money to an account.", amount={"type": "number"}, to_account=TEXT)
CONVERT = tool("convert_currency", "Converts an amount from one currency into another.", amount={"type": "number"},
               from_currency=CURRENCY, to_currency=CURRENCY)  # fmt: skip
LOAN = tool("loan_payment", "Payment of a loan.", principal={"type": "number"}, annual_rate_percent={"type": "number"},
            term_months={"type": "integer"})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "called", "arguments"),
    [
        ("Transfer money: $250.00 to account DE-4711", TRANSFER, {"amount": 250, "to_account": "DE-4711"}),
        ("Convert 100 USD into EUR", CONVERT, {"amount": 100, "from_currency": "USD", "to_currency": "EUR"}),
        ("Convert 100 to EUR from USD", CONVERT, None),
        ("Payment of a loan of $10,000 at 6.5% over 36 months", LOAN,
         {"principal": 10000, "annual_rate_percent": 6.5, "term_months": 36}),
        ("Translate \"good morning\" into French", tool("translate", "Translates a text.", text=TEXT, target_language=TEXT),
         {"text": "good morning", "target_language": "French"}),
        ("Give me the forecast for Berlin for 3 days", tool("forecast", "Forecast.", city=TEXT, days={"type": "integer"}),
         {"city": "Berlin", "days": 3}),
        ("Send an email to ann@bank.example saying \"It is ready\"",
         tool("email", "Sends an email.", to=TEXT | {"format": "email"}, body=TEXT),
         {"to": "ann@bank.example", "body": "It is ready"}),
    ],
)  # fmt: skip
async def test_arguments_are_what_the_user_says(text, called, arguments):
    asked = request(text, called, choice="required")
    _, _, found, _, refused = await answered(calling(HANDOFF), asked)
    assert (found, refused) == (arguments, arguments is None)


async def test_a_number_is_part_of_a_name():
    balance = tool("get_balance", "The balance of an account.", account=TEXT)
    asked = request("What is the balance of account 4711?", balance, choice="required")
    assert (await answered(calling(), asked))[2] == {"account": "account 4711"}


async def test_another_tool_is_not_called_for_want_of_arguments():
    balance = tool("get_balance", "Returns the balance of an account.")
    asked = request("Transfer money to an account", TRANSFER, balance, choice="required")
    text, names, _, _, refused = await answered(calling(HANDOFF), asked)
    assert (names, refused) == ([], True)
    assert text.startswith("transfer_money cannot be called")
