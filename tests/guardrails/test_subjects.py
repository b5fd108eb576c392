"""Values belong to subjects: a price, a rate, a time is said of what the sources say it of."""

import pytest

from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness, evidence_of, mistaken
from inhouse.guardrails.groundedness.subjects import Subjects, stated, told
from inhouse.text.support import LexicalSupport

BANK = [
    "Ridge Checking. What does Ridge Checking cost?. The monthly fee is $14.20, waived with a balance of $6,500 or more.",
    "Fee schedule. Fee schedule: Cashier's check: Fee $7.80 (free with Ridge Checking).",
    "Fee schedule. Fee schedule: Money order: Fee $2.30 (up to $900).",
    "Wire Transfers. What does a domestic wire cost?. An outgoing domestic wire costs $21.50; an incoming one costs $8.",
    "Wire Transfers. What does an international wire cost?. An outgoing international wire costs $38.75 and arrives in 2 "
    "to 4 business days.",
    "Deposits. Certificate of deposit, 12 months: Rate 3.60%, Early withdrawal 1.5%.",
    "Deposits. Certificate of deposit, 24 months: Rate 3.85%, Early withdrawal 2%.",
    "Branches. The pool closes at 9 p.m. The gym closes at 6 p.m.",
    "Safe Deposit Boxes. What does a box cost?. A small box costs $48 a year, a large one $132.",
]
CHECK, WIRE = "What does a cashier's check cost?", "What does a domestic wire cost?"


@pytest.fixture(scope="module")
def sources():
    return Subjects(BANK)


@pytest.mark.parametrize(
    ("statement", "value", "questions"),
    [
        ("A cashier's check costs $14.20.", "14.2", ()),
        ("A cashier's check costs $2.30 and is free with Ridge Checking.", "2.3", ()),
        ("You pay 14.20 dollars for a cashier's check.", "14.2", ()),
        ("An international wire costs $21.50.", "21.5", ()),
        ("A domestic wire costs $38.75.", "38.75", ()),
        ("An outgoing domestic wire costs $8.", "8", ()),
        ("A 24-month certificate of deposit pays 3.60%.", "24", ()),
        ("The rate for 12 months is 1.5%.", "1.5", ()),
        ("The gym closes at 9 pm.", "21:00", ()),
        ("A large box costs $48 a year.", "48", ()),
        ("It costs $14.20.", "14.2", (CHECK,)),
        ("That is $7.80.", "7.8", ("What does a money order cost?", CHECK)),
        ("It is $21.50.", "21.5", ("and an international wire?", WIRE)),
        ("It pays 3.60%.", "3.6", ("and for 24 months?",)),
    ],
)
def test_the_value_of_a_sibling_is_found(sources, statement, value, questions):
    assert sources.mistaken(statement, questions) == value


@pytest.mark.parametrize(
    ("statement", "questions"),
    [
        ("A cashier's check costs $7.80 and is free with Ridge Checking.", ()),
        ("You pay $7.80 for a cashier's check.", (CHECK,)),
        ("Ridge Checking costs $14.20 a month.", ("What does Ridge Checking cost?",)),
        ("An outgoing domestic wire costs $21.50; an incoming one costs $8.", (WIRE,)),
        ("Incoming wires cost $8.", ("and if somebody wires money to me?", WIRE)),
        ("International wires are $38.75 each.", ("and an international wire?", WIRE)),
        ("Sending money abroad by wire costs $38.75.", ()),
        ("A 12-month certificate of deposit pays 3.60%.", ("and for 24 months?",)),
        ("Withdrawing early costs 2% on 24 months.", ()),
        ("The gym closes at 6 p.m.", ()),
        ("A large box costs $132 a year.", ()),
        ("It costs $132 a year.", ("just the large one", "What does a safe deposit box cost?")),
        ("It costs $7.80.", (CHECK,)),
        ("It is $38.75.", ("and an international wire?", WIRE)),
        ("It is $3.", (CHECK,)),  # in no source, which is for others to say
        ("Everything is fine.", (CHECK,)),
        ("", ()),
    ],
)
def test_a_right_value_passes(sources, statement, questions):
    assert sources.mistaken(statement, questions) == ""


def test_a_value_that_the_sources_say_of_both_passes():
    sources = Subjects(["Fees. Stop payment: Fee $16.", "Fees. Wire recall: Fee $16.", "Fees. Money order: Fee $2."])
    assert not sources.mistaken("A wire recall costs $16.")
    assert not sources.mistaken("A stop payment costs $16.")
    assert sources.mistaken("A money order costs $16.") == "16"


def test_values_are_read_in_every_spelling():
    found = {(s.value, s.kind) for s in stated("$1,250.00, 5 percent, 3 business days, 2:45 pm, 7 a.m. or 30 dollars")}
    assert found == {("1250", "$"), ("5", "%"), ("3", "span"), ("14:45", "clock"), ("7:00", "clock"), ("30", "$")}
    assert not stated("Call 1-800-555-0142 or ask for form CP-9.")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"fee_usd": 14.2}', "14.2"),
        ('{"fee_usd": 7.8}', ""),
        ('{"service": "cashier\'s check", "fee": "$2.30"}', "2.3"),
        ("Sure! It costs $14.20.", "14.2"),
    ],
)
def test_answers_without_a_subject_and_in_json_get_that_of_the_question(cached, turn, text, value):
    exchange = turn(WIRE, "An outgoing domestic wire costs $21.50.", CHECK, passages=BANK)
    assert mistaken(text, evidence_of(exchange, cached)) == value


def test_the_rail_cuts_the_price_of_something_else_and_keeps_the_right_one(cached, turn):
    rail = Groundedness(cached, alignment.shipped(), LexicalSupport("", cached))
    exchange = turn(CHECK, passages=BANK)
    finding = rail.check("output", "It is $14.20.", exchange)
    assert finding.reason == "in the sources, 14.2 is about something else"
    assert finding.text == ""
    assert rail.check("output", "It is $7.80.", exchange) is None
    assert not rail.check("output", "Cashier's check: Fee $7.80 (free with Ridge Checking).", exchange)


@pytest.mark.parametrize(
    "text_of",
    [
        lambda n: "The fee is $5. " * n,
        lambda n: "$5, " * n,
        lambda n: "5 days " * n,
        lambda n: "1" * n,
        lambda n: "p.m. " * n,
        lambda n: "a: " * n + "$5",
        lambda n: " ".join(f"Item {k}: Fee ${k}." for k in range(n // 8)),
    ],
)
def test_long_texts_take_linear_time(takes_linear_time, text_of):
    def work(text):
        told.cache_clear()
        stated.cache_clear()
        sources = Subjects([text, *BANK])
        sources.mistaken("A cashier's check costs $14.20.", (text, CHECK))
        sources.mistaken(text, (CHECK,))

    assert takes_linear_time(work, text_of, size=1000)
