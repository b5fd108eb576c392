import time

import pytest

from inhouse.text import claims


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You need a score of at least 655.", {"655": "least"}),
        ("Nobody may borrow more than $28,000 here.", {"28000": "most"}),
        ("The stay must be no less than 3 nights.", {"3": "least"}),
        ("A group of 12 people or more pays less.", {"12": "least"}),
        ("Repairs take between 3 and 5 days.", {"3": "least", "5": "most"}),
        ("You can borrow up to $900 over 12 to 66 months.", {"900": "most", "12": "least", "66": "most"}),
        ("Parking is $16 and breakfast $7.", {}),
    ],
)
def test_a_number_is_known_as_the_least_or_the_most(text, expected):
    assert claims.bounds(text) == {value: frozenset({side}) for value, side in expected.items()}


@pytest.mark.parametrize("text", ["between " * 3000 + "1 " * 3000, "between " + "1" * 9000, "between 1 and " * 2000])
def test_bounds_of_a_hostile_sentence_take_linear_time(text):
    started = time.process_time()
    claims.bounds(text)
    assert time.process_time() - started < 2


def test_names_are_capitalized_words_within_a_sentence():
    assert claims.names("Ask at the Alder Hotel or Miller’s. Yes, Summit Savings is open.") == (
        "alder hotel", "miller", "summit savings")  # fmt: skip
    assert claims.names("Ask us.") == ()


def test_negations_are_seen_in_short_forms():
    texts = ("It isn’t open", "Not today", "a notable note")
    assert [bool(claims.NEGATION.search(t)) for t in texts] == [True, True, False]


def test_a_condition_begins_a_clause():
    assert claims.clauses("It is free, if you ask us before noon") == ["It is free", "if you ask us before noon"]


def test_comparisons_are_told_apart():
    assert claims.compares("more than 5 before noon") == {"up", "before"}


def test_opposites_count_unless_both_sides_say_both():
    assert claims.opposed(frozenset(["free"]), frozenset(["fee"])) == 1
    assert claims.opposed(frozenset(["free", "fee"]), frozenset(["fee"])) == 0
