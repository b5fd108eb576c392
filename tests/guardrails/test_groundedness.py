"""The groundedness rail with its shipped weights, on sentences of our own."""

import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest

from inhouse.chat import ChatRequest, Delta, Finish, Note, collect
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.features import Features, features_of
from inhouse.guardrails.groundedness.rail import Groundedness, contradiction, evidence_of
from inhouse.guardrails.rail import Guard
from inhouse.text.support import LexicalSupport
from inhouse.types import Message

INN = [
    "Kestrel Inn. Review 1. The pool was closed, but our room was quiet and the beds were soft. Wifi never dropped.",
    "Kestrel Inn. Does Kestrel Inn have a sauna?. Yes, there is a sauna on the roof. Kestrel Inn does not allow dogs.",
    "Heron House. Review 4. We could hear the trains all night. The waiters were charming.",
]
BANK = [
    "Ridge Checking. The monthly fee is $14.20. The fee is waived from a balance of $6,500.",
    "Summit Savings. Summit Savings pays 2.1% a year. You may withdraw money six times a month without a fee.",
]


class Grounded:
    """A ChatModel that gives passages, an answer, and its own citations."""

    name = "grounded"

    def __init__(self, answer):
        self._answer = answer

    async def stream(self, request):
        data = [{"source": f"{n}.md", "title": "", "heading": "", "text": p} for n, p in enumerate(BANK, 1)]
        yield Note(layer="grounded", kind="passages", data=data)
        for word in self._answer.split(" "):
            yield Delta(text=word + " ")
        yield Note(layer="grounded", kind="citations", data=[{"sentence": "of the lexical score", "passage": 1}])
        yield Finish(reason="stop")


@pytest.fixture(scope="module")
def groundedness(cached):
    def make(min_support=None):
        return Groundedness(cached, alignment.shipped(), LexicalSupport("", cached), min_support)

    return make


@pytest.fixture(scope="module")
def rail(groundedness):
    return groundedness()


@pytest.fixture(scope="module")
def inn(cached):
    return Evidence(INN, cached)


@pytest.fixture(scope="module")
def bank(cached):
    return Evidence(BANK, cached)


def question(text):
    return ChatRequest(messages=(Message(role="user", content=text),))


# --- features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", json.loads((Path(__file__).parent / "golden_features.json").read_text()))
def test_features_are_those_that_the_weights_were_trained_with(cached, case):
    features = features_of(case["statement"], Evidence(case["evidence"], cached))
    assert tuple(case["features"]) == Features._fields
    assert features == pytest.approx(tuple(case["features"].values()), abs=2e-5)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("You need a score of at least 655.", {"bound_same"}),
        ("You need a score of at most 655.", {"bound_turned"}),
        ("A seal costs $21.", set()),
        ("A seal does not cost $21.", {"best_clause_denial_differs"}),
        ("A seal costs $8.", {"number_in_worse_clause"}),
    ],
)
def test_features_mark_a_turned_bound_a_denial_and_the_price_of_something_else(cached, statement, expected):
    evidence = Evidence(["Loans. You need a score of at least 655. A copy costs $8, a seal costs $21."], cached)
    features = features_of(statement, evidence)._asdict()
    marks = ("best_clause_denial_differs", "number_in_worse_clause", "bound_turned", "bound_same")
    assert {name for name in marks if features[name] > 0} == expected


# --- evidence ---------------------------------------------------------------------------------------------------


def test_premises_are_the_nearest_sentences_each_once_and_titles_count_little(inn):
    premises = inn.premises("Kestrel Inn is quiet.")
    assert premises[0] == "The pool was closed, but our room was quiet and the beds were soft."
    assert "Kestrel Inn." in premises[1:]
    assert len(set(premises)) == len(premises)
    assert inn.nearest("The waiters at Heron House are charming.")[0] == 2


def test_features_are_finite(inn):
    assert all(np.isfinite(features_of("Kestrel Inn is quiet.", inn)))


def test_numbers_are_read_across_wrapped_lines(cached):
    assert "8" in {value for value, _ in Evidence(["Deposits are held for 8\nbusiness days."], cached).numbers}


def test_evidence_is_freed_with_its_turn(cached):
    evidence = Evidence(INN, cached)
    evidence.only(0).premises("Kestrel Inn is quiet.")
    reference = weakref.ref(evidence)
    gc.disable()
    try:
        del evidence
        assert reference() is None
    finally:
        gc.enable()


# --- support ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Kestrel Inn has a sauna on the roof.", "Kestrel Inn does not have a sauna on the roof."),
        ("Kestrel Inn does not allow dogs.", "Kestrel Inn allows dogs."),
        ("The rooms at Kestrel Inn are quiet.", "The rooms at Kestrel Inn are noisy."),
        ("Guests say that the wifi was reliable.", "Guests say that the breakfast was reliable."),
        ("The beds at Kestrel Inn were soft.", "The beds at Kestrel Inn were broken."),
    ],
)
def test_a_paraphrase_has_more_support_than_its_opposite(rail, inn, right, wrong):
    assert rail.support(right, inn) > rail.support(wrong, inn)


def test_a_joined_statement_is_supported_as_well_as_the_worse_of_its_parts(rail, inn):
    quiet, dogs = "The room at Kestrel Inn was quiet", "Kestrel Inn does not allow dogs"
    worse = min(rail.support(quiet, inn), rail.support(dogs, inn))
    assert rail.support(f"{quiet}, and {dogs}.", inn) >= worse
    assert rail.support(f"{quiet}, and it has a helicopter pad on the lawn.", inn) < worse


def test_a_supported_statement_is_above_the_threshold(rail, bank):
    right = "Ridge Checking costs $14.20 a month, and the fee is waived from a balance of $6,500."
    assert rail.support(right, bank) > 1 - alignment.shipped().threshold


def test_a_copied_sentence_is_supported_with_and_without_its_labels(rail, cached):
    row = "Rates: Jumbo certificate from $80,000, 12 months: Rate 3.75%."
    evidence = Evidence([row, "Fees. With paper statements, the fee is $2."], cached)
    assert rail.support(row, evidence) == 1
    assert rail.support(row.removeprefix("Rates: "), evidence) == 1
    assert rail.support("The fee is $2.", evidence) < 1  # leaves out the condition
    assert rail.support(row.replace("3.75%", "3.85%"), evidence) < 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        "Ridge Checking costs $15.20 a month, and the fee is waived from a balance of $6,500.",
        "Granite Checking costs $14.20 a month, and the fee is waived from a balance of $6,500.",
        "The fee is not waived from a balance of $6,500.",
        "Our offices are closed on public holidays because of staff training.",
    ],
)
def test_an_unsupported_statement_is_below_it(rail, bank, wrong):
    assert rail.support(wrong, bank) < 1 - alignment.shipped().threshold


def test_a_number_from_the_conversation_may_be_repeated(cached):
    evidence = Evidence(BANK, cached, conversation="I have $7,000 on Ridge Checking")
    assert not contradiction("With $7,000 the fee is waived.", evidence)
    assert contradiction("With $7,100 the fee is waived.", evidence)


def test_a_name_that_the_assistant_used_before_may_be_repeated(cached, turn):
    exchange = turn("Where can we eat?", "At Kestrel Grill and at Marlow Diner.", "Which is quieter?", passages=BANK)
    evidence = evidence_of(exchange, cached)
    assert not contradiction("I would take Kestrel Grill.", evidence)
    assert contradiction("I would take Osprey Grill.", evidence) == "osprey grill is not in the sources"


# --- the rail ---------------------------------------------------------------------------------------------------


async def test_unsupported_sentences_are_cut_and_citations_are_those_that_were_checked(guarded, rail):
    answer = "The monthly fee is $14.20. [2] It also comes with free airport lounges in Singapore. Bye!"
    model = guarded(Grounded(answer), Guard(rail, {"passages": "flag", "output": "redact"}))
    reply = await collect(model, question("What does Ridge cost?"))
    assert "Singapore" not in reply.text
    assert reply.text.startswith("The monthly fee is $14.20.")
    assert [(c["passage"], c["source"]) for c in reply.note("grounded", "citations")] == [(1, "1.md")]
    assert any(f["reason"] == "not supported by the sources" for f in reply.note("guarded", "findings"))


def test_a_sentence_is_cited_with_a_passage_that_supports_it_alone(rail, turn):
    exchange = turn("What does it cost?", passages=BANK)
    assert rail.check("output", "The fee is waived from a balance of $6,500.", exchange) is None
    assert [(c["passage"], c["support"] > 0.4) for c in exchange.cited.values()] == [(1, True)]


def test_a_sentence_that_is_cut_is_not_cited(groundedness, turn):
    exchange = turn("What does it cost?", passages=BANK)
    assert groundedness(0.99999).check("output", "With a balance of $6,500 the fee is waived.", exchange)
    assert not exchange.cited


async def test_min_support_decides_what_is_cut(guarded, groundedness, bank):
    sentence = "Customers like Ridge Checking for its low fee."
    support = groundedness().support(sentence, bank)
    assert 0.01 < support < 0.99
    for min_support, kept in ((support - 0.01, True), (support + 0.01, False)):
        model = Grounded(f"Ridge Checking costs $14.20 a month. {sentence}")
        reply = await collect(
            guarded(model, Guard(groundedness(min_support), {"output": "redact"})), question("Tell me.")
        )
        assert ("Customers" in reply.text) is kept


@pytest.mark.parametrize(
    ("answer", "supported"),
    [
        ('{"monthly_fee_usd": 14.2}', True),
        ('{"fee": {"monthly": 14.20}, "waived_from_usd": 6500}', True),
        ('{"rate_percent": 2.1}', True),
        ('{"account": "Summit Savings", "free_withdrawals": 6, "open": true}', True),
        ('{"monthly_fee_usd": 15.2}', False),
        ('{"fee_usd": 2.1}', False),  # there are 2.1 percent, and no 2.1 dollars
        ('{"account": "Granite Savings"}', False),
        ('{"withdrawals": 1}', False),
    ],
)
async def test_json_is_checked_value_by_value(guarded, rail, answer, supported):
    model = guarded(Grounded(answer), Guard(rail, {"passages": "flag", "output": "redact"}))
    reply = await collect(model, question("Answer in JSON."))
    assert (reply.text.strip() == answer) is supported, reply.note("guarded", "findings")
    assert bool(reply.note("grounded", "citations")) is supported
