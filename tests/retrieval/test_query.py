"""What a conversation is searched for."""

import time

import pytest

from inhouse.retrieval.query import abbreviations, parts, query_of, separately, spelled_out
from inhouse.types import Message

KNOWN = abbreviations(["Certificates of Deposit", "Debit Card"])


def said(*texts: str) -> list[Message]:
    return [Message(role=("user", "assistant")[n % 2], content=text) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("What is the fee? When is it due?", ["What is the fee?", "When is it due?"]),
        ("What does a wire cost, and how long does it take?", ["What does a wire cost", "how long does it take?"]),
        ("how do I stop a bill payment and what if I'm late", ["how do I stop a bill payment", "what if I'm late"]),
        ("Do you offer loans and mortgages?", ["Do you offer loans and mortgages?"]),
        ("And when?", ["And when?"]),
        ("How long? And how?", ["How long? And how?"]),  # the second says nothing that could be searched
    ],
)
def test_questions_in_a_message(message: str, expected: list[str]) -> None:
    assert parts(message) == expected


def test_at_most_three_parts() -> None:
    assert len(parts("What is the fee? " * 10)) == 3


def test_the_second_question_has_the_first_as_its_context() -> None:
    first, second = separately(said("Hello.", "Hi!", "What does a wire cost, and when does the money arrive?"))
    assert [m.content for m in first][-1] == "What does a wire cost"
    assert [m.content for m in second][-2:] == ["What does a wire cost", "when does the money arrive?"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("6 month CD rate?", "6 month CD rate? Certificates of Deposit"),
        ("are cds insured", "are cds insured Certificates of Deposit"),
        ("for one year?", "for one year? 12 months"),
        ("a 24 month term", "a 24 month term 2 years"),
        ("two weeks", "two weeks 14 days"),
        ("18 months", "18 months"),
        ("last year", "last year"),
    ],
)
def test_spelled_out(question: str, expected: str) -> None:
    assert spelled_out(question, KNOWN) == expected


def test_initials_of_two_titles_stand_for_neither() -> None:
    assert abbreviations(["Debit Card", "Deposit Checks", "Account Holds", "Mortgages"]) == {}


def test_the_query_has_the_last_question_twice() -> None:
    assert query_of(said("Do you have a pool?", "Yes.", "And heated?")) == "And heated? Do you have a pool? And heated?"


def test_long_messages_take_linear_time() -> None:
    started = time.perf_counter()
    for text in ("and " * 50_000, "? " * 50_000, "a year " * 30_000, " " * 100_000):
        parts(text)
        spelled_out(text, KNOWN)
    assert time.perf_counter() - started < 5
