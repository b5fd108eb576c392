"""What a conversation is searched for."""

import time

import pytest

from inhouse.retrieval.query import (
    Spelling,
    abbreviations,
    parts,
    query_of,
    separately,
    spelled_out,
    without_asides,
)
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


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hey, what is the minimum for a CD?", "what is the minimum for a CD?"),
        ("Good morning! Savings rate?", "Savings rate?"),
        ("Buenos días, who can open an account?", "who can open an account?"),
        ("Good morning, <PERSON_1> here, phone <PHONE_1>. Who is the account for?", "Who is the account for?"),
        ("how much can I borrow, my card is <CARD_NUMBER_1> btw", "how much can I borrow,"),
        ("My card <CARD_NUMBER_1> was stolen", "My card was stolen"),
        ("So what about day trading?", "what about day trading?"),
        ("Hi-yield savings rate?", "Hi-yield savings rate?"),
        ("Hello there", "Hello there"),
        ("Is 3 < 4 of the fees?", "Is 3 < 4 of the fees?"),
    ],
)
def test_greetings_and_placeholders_are_not_searched_for(question: str, expected: str) -> None:
    assert without_asides(question) == expected


def test_asides_take_linear_time() -> None:
    for text in ("my " * 50_000, "hi there " * 50_000, "<PERSON_1> here, " * 20_000, "<A" * 50_000, "my   is" * 30_000):
        started = time.perf_counter()
        without_asides(text)
        assert time.perf_counter() - started < 5


COUNTS = {"transfer": 9, "checking": 5, "closing": 4, "replacement": 2, "certificate": 3, "fees": 7, "free": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What does a trasnfer cost?", "What does a transfer cost?"),
        ("Chekcing", "checking"),
        ("certifcate and certificates", "certificate and certificates"),
        ("certifcta", "certifcta"),  # shorter by two letters
        ("losing my card", "losing my card"),  # an ordinary word that the documents do not have
        ("feees", "fees"),
        ("fres", "fres"),  # too short
        ("XJ-13452 and 13452", "XJ-13452 and 13452"),
        ("replacing", "replacing"),  # its stem is there
    ],
)
def test_misspelled_words_are_corrected_towards_the_documents(text: str, expected: str) -> None:
    assert Spelling(lambda: COUNTS, lambda word: word in {"losing", "what", "does"}).correct(text) == expected


def test_of_two_corrections_the_nearer_and_then_the_more_frequent_is_chosen() -> None:
    counts = {"lending": 2, "sending": 5, "certain": 1, "curtain": 9}
    spelling = Spelling(lambda: counts, lambda word: False)
    assert spelling.correct("bending") == "sending"
    assert spelling.correct("cortain") == "curtain"


def test_a_text_of_unknown_words_takes_little_time() -> None:
    words = [f"q{a}{b}{c}zz" for a in "bcdfghjk" for b in "lmnpqrst" for c in "vwxyz"]
    spelling = Spelling(lambda: {w[::-1] + s: 1 for w in words for s in "abcdefgh"}, lambda word: False)
    text = " ".join(f"{a}{b}" for a in words for b in words[:100])
    started = time.perf_counter()
    assert spelling.correct(text) == text
    assert time.perf_counter() - started < 5


def test_the_vocabulary_is_read_when_a_word_is_unknown() -> None:
    def fail() -> dict[str, int]:
        raise AssertionError("read")

    assert Spelling(fail, lambda word: True).correct("What does it cost?") == "What does it cost?"
