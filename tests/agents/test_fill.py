"""Values for schemas from what an answer says: right, or none."""

import json

import pytest

from inhouse.agents.asked import asked_for
from inhouse.agents.evidence import Evidence, is_about
from inhouse.agents.fill import Filler, MissingError
from inhouse.agents.keywords import check_schema
from inhouse.chat import ChatRequest
from inhouse.errors import RefusedError
from inhouse.types import Message


def an_object(**properties):
    parts = {name: p if isinstance(p, dict) else {"type": p} for name, p in properties.items()}
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def filled(question, answer, schema, **more):
    return Filler(schema, Evidence(question, answer, **more)).fill()


WIRE = "An outgoing domestic wire costs $21.50, and an incoming one costs $8."
FEES = {"type": "array", "items": an_object(service="string", usd="number")}
DAYS = {"type": "array", "items": {"enum": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]}}
NULLABLE = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("question", "answer", "schema", "value"),
    [
        ("How much is an outgoing domestic wire?", WIRE, an_object(service="string", usd="number"),
         {"service": "outgoing domestic wire", "usd": 21.5}),
        ("What does it cost to receive a domestic wire?", WIRE, an_object(usd="number"), {"usd": 8}),
        ("What does a large box cost a year?", "A small box costs $48 a year, and a large one $132.",
         an_object(usd="number"), {"usd": 132}),
        ("Limits by phone?", "You can deposit $3,200 a day and $9,500 a month by phone.",
         an_object(monthly_limit="number", daily_limit="number"), {"monthly_limit": 9500, "daily_limit": 3200}),
        ("When does it arrive?", "It costs $38.75 and arrives in 2 to 4 business days.",
         an_object(min_days="integer", max_days="integer"), {"min_days": 2, "max_days": 4}),
        ("What are the fees?", WIRE, an_object(fees=FEES),
         {"fees": [{"service": "outgoing domestic wire", "usd": 21.5}, {"service": "incoming", "usd": 8}]}),
        ("By what time?", "Wires ordered by 2:45 pm are sent the same day.",
         an_object(cutoff={"type": "string", "format": "time"}), {"cutoff": "14:45"}),
        ("Does it pay interest?", "Alder Checking pays no interest.", an_object(pays="boolean"), {"pays": False}),
        ("Which form?", "Both owners sign form JA-2.", an_object(form={"type": "string", "pattern": "^[A-Z]{2}-[0-9]$"}),
         {"form": "JA-2"}),
        ("How much?", WIRE, an_object(kind={"enum": ["card", "wire"]}, since=NULLABLE), {"kind": "wire", "since": None}),
        ("Where do I send it?", "Forward it to abuse@bank.example.", an_object(email="string"),
         {"email": "abuse@bank.example"}),
        ("What does an outgoing wire cost?", WIRE, an_object(amount_cents="integer"), {"amount_cents": 2150}),
        ("What is the fee?", "The fee is 75 cents.", an_object(fee_usd="number"), {"fee_usd": 0.75}),
        ("What is the rate?", "The rate is 19.6%.", an_object(rate={"type": "number", "description": "as a fraction"}),
         {"rate": 0.196}),
        ("What is the rate?", "The rate is 0.85% a year.", an_object(rate={"type": "number", "maximum": 1}),
         {"rate": 0.0085}),
        ("What is the rate?", "The rate is 0.85% a year.", an_object(rate_pct={"type": "number", "maximum": 1}),
         {"rate_pct": 0.85}),
        ("Was kostet es?", "Es kostet 1.234,56 €.", an_object(preis="number"), {"preis": 1234.56}),
        ("What are the rates of used and new cars?", "Used cars are financed at 7.3%, and new cars at 6.2%.",
         an_object(used_car_rate="number", new_car_rate="number"), {"used_car_rate": 7.3, "new_car_rate": 6.2}),
        ("Who can open it?", "Students aged 16 to 25 can open it.", an_object(min_age="integer", max_age="integer"),
         {"min_age": 16, "max_age": 25}),
        ("What is the limit?", "You can deposit $3,200 a day and $9,500 a month by phone.",
         an_object(limits={"type": "array", "items": an_object(period={"enum": ["day", "month"]}, amount="integer")}),
         {"limits": [{"period": "day", "amount": 3200}, {"period": "month", "amount": 9500}]}),
        ("By what time?", "Wires ordered by 2:45 pm are sent the same day.",
         an_object(cutoff={"type": "string", "pattern": "^\\d{2}:\\d{2}$"}), {"cutoff": "14:45"}),
        ("When is it?", "It is available on Tuesdays and Thursdays, but not on Sundays.", an_object(days=DAYS),
         {"days": ["Tue", "Thu"]}),
        ("When are you open?", "We are open Monday to Wednesday.", an_object(days=DAYS), {"days": ["Mon", "Tue", "Wed"]}),
        ("Are electronic statements free?", "Paper statements cost $2.90 a month, and electronic ones are free.",
         an_object(is_free="boolean"), {"is_free": True}),
        ("What do I need?", "Bring the formation papers, your tax ID number, and a photo ID.",
         an_object(required_documents={"type": "array", "items": {"type": "string"}}),
         {"required_documents": ["the formation papers", "your tax ID number", "a photo ID"]}),
    ],
)  # fmt: skip
def test_values_are_those_of_the_answer(question, answer, schema, value):
    assert filled(question, answer, schema, sources=("a.md",)) == value


@pytest.mark.parametrize(
    ("question", "answer", "schema", "missing"),
    [
        ("How much?", "A wire costs $5 and a transfer $6.", an_object(usd="number"), "usd"),
        ("What does it cost to repay a mortgage?", "Loans can be repaid without a fee, and on mortgages it costs 1.1%.",
         an_object(usd="number"), "usd"),
        ("What is the fee?", "The fee is 5 dollars.", an_object(fee={"type": "number", "minimum": 10}), "fee"),
        ("What is it?", "It is a wire.", an_object(isbn="string"), "isbn"),
        ("Which branch?", "We are open.", an_object(open_today="boolean"), "open_today"),
        ("How long?", "It takes 2 to 4 days.", an_object(days="integer"), "days"),
        ("What does an outgoing wire cost?", WIRE, an_object(value="integer"), "value"),
    ],
)  # fmt: skip
def test_what_is_not_said_or_not_clear_is_missing(question, answer, schema, missing):
    with pytest.raises(MissingError) as caught:
        filled(question, answer, schema)
    assert caught.value.path == missing


def test_one_number_does_not_fill_two_fields():
    with pytest.raises(MissingError):
        filled("Fees?", "A wire costs $5.", an_object(wire_usd="number", transfer_usd="number"))


def test_schemas_as_pydantic_writes_them():
    schema = {
        "$defs": {"Fee": an_object(usd="number") | {"description": "A fee."}},
        "type": "object",
        "properties": {"fee": {"$ref": "#/$defs/Fee"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                       "tags": {"type": "array", "items": {"type": "integer"}, "default": []}},
        "required": ["fee"],
    }  # fmt: skip
    assert filled("How much?", "It costs $7.", schema) == {"fee": {"usd": 7}, "note": "It costs $7."}


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"usd": {"type": "number"}, "next": {"$ref": "#"}}, "required": ["usd"]}
    assert filled("How much?", "It costs $7.", node) == {"usd": 7}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "pattern": "(a)\\1"}, "s.properties.x: the pattern '(a)\\\\1' is not supported"),
        ({"not": {"type": "string"}}, "s.properties.x: the keyword 'not' is not supported"),
        ({"$ref": "https://example.com/x"}, "does not lead to a part"),
        ({"type": "fish"}, "not a JSON schema"),
        ({"type": "array", "contains": {"type": "number"}}, "the keyword 'contains' is not supported"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(schema, said):
    with pytest.raises(RefusedError) as caught:
        check_schema({"type": "object", "properties": {"x": schema}}, "s")
    assert said in str(caught.value)
    assert caught.value.param.startswith("s.properties.x")


def asked(content, system="", schema=None):
    messages = (Message(role="system", content=system), Message(role="user", content=content))
    return asked_for(ChatRequest(messages=messages, json_schema=schema))


def test_a_schema_in_the_conversation_is_found():
    schema = an_object(service="string", usd="number")
    found = asked("How much is a wire? Return JSON.", f"Use this schema: {json.dumps(schema)}", {"type": "object"})
    assert found.schema == schema
    assert found.messages[-1].content == "How much is a wire?"
    fenced = asked("How much is a wire?\n\nReturn it in a ```json codeblock.", f"Schema: {json.dumps(schema)}")
    assert fenced.fenced
    assert fenced.messages[-1].content == "How much is a wire?"
    example = asked('How much is a wire? Answer in JSON like {"service": "...", "usd": 0}', schema={"type": "object"})
    assert example.schema["properties"] == {"service": {"type": "string"}, "usd": {"type": "number"}}
    keys = asked("How much is a wire? Answer in JSON with the keys service and usd.", schema={"type": "object"})
    assert keys.schema["properties"] == {"service": {"type": "string"}, "usd": {"type": "number"}}
    assert list(asked("Hello?", schema={"type": "object"}).schema["properties"]) == ["answer"]
    assert asked("How much is a wire?") is None


def test_an_answer_about_something_else_is_recognized():
    assert not is_about("What is the phone number of the mayor?", ["The phone line is open every day."])
    assert is_about("What does it cost?", ["A wire costs $5."])
