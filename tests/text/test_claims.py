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


def test_a_line_that_continues_in_the_next_is_one_sentence():
    text = "Deposits can be held for up to 8\nbusiness days.\n\nthe rest is paid\n- at once\nAsk us."
    assert claims.sentences(text) == [
        "Deposits can be held for up to 8 business days.", "the rest is paid", "at once", "Ask us.",
    ]  # fmt: skip
