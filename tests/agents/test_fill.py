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
LIMIT = an_object(period={"enum": ["day", "month", "year", "once"]}, amount_usd="number")
PAYROLL = "Payroll costs $26 a month plus $3.15 for each employee."
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
        ("How much can I deposit with my phone in a month?", "You can deposit $3,200 a day and $9,500 a month by phone.",
         LIMIT, {"amount_usd": 9500, "period": "month"}),
        ("What is the monthly fee?", "The monthly fee is $14.20, waived with a balance of $6,500 or more.",
         LIMIT, {"amount_usd": 14.2, "period": "month"}),
        ("What is the daily cash limit?", "The daily cash limit is $620 and the daily purchase limit is $2,800.",
         LIMIT, {"amount_usd": 620, "period": "day"}),
        ("How long does it take?", "An external transfer takes 3 business days.",
         an_object(days="integer", business_days="boolean"), {"days": 3, "business_days": True}),
        ("Is Stonebridge open on Saturdays?", "Branches are open Saturday 9 am to 1 pm; Stonebridge is closed on Saturdays.",
         an_object(is_open="boolean", allowed="boolean"), {"is_open": False, "allowed": False}),
        ("Does Ridge Checking pay interest?", "Alder Checking pays no interest. Ridge Checking pays interest.",
         an_object(pays_interest="boolean"), {"pays_interest": True}),
        ("What is the origination fee of a business loan?", "Rates start at 8.15% and there is an origination fee of 1.3%.",
         an_object(fee_percent="number"), {"fee_percent": 1.3}),
        ("What does payroll cost?", PAYROLL, an_object(usd_per_month="number", usd_per_employee="number"),
         {"usd_per_month": 26, "usd_per_employee": 3.15}),
        ("What does payroll cost?", PAYROLL, an_object(fees=FEES),
         {"fees": [{"service": "Payroll", "usd": 26}, {"service": "employee", "usd": 3.15}]}),
        ("What is the fee?", "The monthly fee is $14.20, waived with a balance of $6,500 or more.", an_object(fees=FEES),
         {"fees": [{"service": "monthly fee", "usd": 14.2}]}),
        ("What are the fees?", "Each overdraft item costs $18.50. Overdrafts below $9 are free.", an_object(fees=FEES),
         {"fees": [{"service": "overdraft item", "usd": 18.5}]}),
        ("What are the limits?", "The daily cash limit is $620 and the daily purchase limit is $2,800.", an_object(fees=FEES),
         {"fees": [{"service": "daily cash limit", "usd": 620}, {"service": "daily purchase limit", "usd": 2800}]}),
        ("What is the late fee of the River Card?", "A late payment costs $24 after a grace period of 6 days.",
         an_object(service="string", usd="number"), {"service": "late fee of the River Card", "usd": 24}),
        ("What does a rate lock cost?", "A rate lock lasts 50 days and costs nothing.", an_object(service="string", usd="number"),
         {"service": "rate lock", "usd": 0}),
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
        ("What does an international wire cost?", "It costs $38.75 and arrives in 2 to 4 business days.", LIMIT, "period"),
        ("How long does an external transfer take?", "It takes 3 business days; next-day service costs $4.60.",
         an_object(service="string", usd="number"), "usd"),
        ("What interest does it pay?", "It pays 0.85% a year on balances of $6,500 or more.", an_object(usd="number"), "usd"),
        ("What are the rates for new and used cars?", "Used cars are financed at 7.3%, new cars at 6.2%.",
         an_object(product="string", rate_percent="number"), "rate_percent"),
        ("What does payroll cost?", PAYROLL, an_object(usd="number"), "usd"),
        ("Can one owner close a joint account alone?",
         "A joint account can be closed only with the signatures of both owners.", an_object(allowed="boolean"), "allowed"),
        ("Can I cancel a payment?", "You can cancel it; after 10 days it is returned automatically.",
         an_object(days="integer", business_days="boolean"), "business_days"),
        ("Is there a fee to reactivate an account?", "There is no fee.", an_object(allowed="boolean"), "allowed"),
        ("Is the branch open on Saturdays?", "It is open on Saturdays.",
         an_object(is_open="boolean", has_safe="boolean"), "has_safe"),
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
