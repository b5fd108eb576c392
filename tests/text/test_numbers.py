import pytest

from inhouse.text.numbers import Number, digits, figures, numbers, says


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,000.00", Number("1000", "$")),
        ("1000 dollars", Number("1000", "$")),
        ("5 percent", Number("5", "%")),
        ("5 %", Number("5", "%")),
        ("30 days", Number("30", "day")),
        ("30-day", Number("30", "day")),
        ("9 am", Number("9:00", "")),
        ("9:05 p.m.", Number("21:05", "")),
        ("12.30 pm", Number("12:30", "")),
        ("three", Number("3", "", written=False)),
        ("second", Number("2", "", written=False)),
    ],
)
def test_numbers_have_one_spelling_and_a_unit(text, number):
    assert numbers(text) == (number,)


def test_one_is_not_a_number():
    assert numbers("one of them") == ()


def test_figures_are_the_same_however_they_are_written():
    assert figures("$1,000.00 and 5 percent at 9 am") == {"1000", "5%", "9:00"}
    assert figures("1000 dollars, 5%, 9:00") == {"1000", "5%", "9:00"}


def test_digits_stand_as_they_are_written():
    assert digits("$1,250.00 in 2024") == ["1", "250", "00", "2024"]
    assert digits("none") == []


@pytest.mark.parametrize(
    ("text", "phrase", "there"),
    [
        ("The fee is $5,400.00.", "5400", True),
        ("The rate is 18.50 percent.", "18.5%", True),
        ("The rate is 0.50%", "0.5 %", True),
        ("It takes 2  Business\nDays.", "2 business days", True),
        ("The fee is 25 dollars", "$25", True),
        ("The rate is 18.55%", "18.5", False),
        ("The rate is 2.5%", "5", False),
        ("The fee is $15", "5", False),
        ("Ask at the counter", "count", False),
        ("Open until 9:50", "9:05", False),
        ("costs $118.50", "18.5", False),
        ("costs 50.", "50", True),
        ("50.5 days", "50", False),
        ("150 days", "50", False),
        ("3,000", "3", False),
        ("5.0", "5", True),
        ("on mondays", "Monday", False),
    ],
)
def test_a_phrase_is_found_in_any_spelling_of_its_numbers(text, phrase, there):
    assert says(text, phrase) is there
