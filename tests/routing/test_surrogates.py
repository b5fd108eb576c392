"""Surrogates: of the same shape, the same in every turn, and never in the way of each other."""

from __future__ import annotations

import re

import pytest

from inhouse.errors import BackendError
from inhouse.routing import surrogates as module
from inhouse.routing.surrogates import NEVER, Conversation, Surrogates
from inhouse.types import Span

SECRET = b"s" * 32


def spans(text, *values):
    return [Span(m.start(), m.end(), kind) for kind, v in values for m in re.finditer(re.escape(v), text)]


def replaced(text, *values, id="one", also=()):
    made = Surrogates(Conversation(SECRET, id), [text, *also])
    found = spans(text, *values)
    made.learn(text, found)
    return made(text, found), made


@pytest.mark.parametrize(
    ("kind", "value", "shape"),
    [
        ("PERSON", "Anna Weber", r"[A-Z][a-z]{4,} [A-Z][a-z]{4,}"),
        ("PERSON", "ANNA WEBER", r"[A-Z]{5,} [A-Z]{5,}"),
        ("PERSON", "anna weber", r"[a-z]{5,} [a-z]{5,}"),
        ("PERSON", "Anna-Maria von der Weber", r"[A-Z][a-z]+-[A-Z][a-z]+ von der [A-Z][a-z]+"),
        ("PERSON", "J. O'Brien", r"J\. O'[A-Z][a-z]{4,}"),
        ("PERSON", "王小明", r"[\u4e00-\u9fff]{3}"),
        ("EMAIL", "a.weber7@corp.co.uk", r"a\.[a-z]{5,}\d@example\.(?:com|net|org)"),
        ("PHONE", "+49 (151) 234-5678", r"\+49 \(\d{3}\) \d{3}-\d{4}"),
        ("PHONE", "0151 2345678", r"0\d{3} \d{7}"),
        ("DATE_OF_BIRTH", "1985-05-12", r"198[4-6]-\d\d-\d\d"),
        ("DATE_OF_BIRTH", "May 3rd, 1990", r"[A-Z][a-z]{2} \d{1,2}(?:st|nd|rd|th), (?:1989|1990|1991)"),
        ("DATE_OF_BIRTH", "12 March 1990", r"\d{1,2} [A-Z][a-z]{2,8} (?:1989|1990|1991)"),
        ("ADDRESS", "12 Rose Street, Apt 4, Springfield, IL 62704",
         r"\d\d [A-Z][a-z]+ Street, Apt \d, [A-Z][a-z]+, IL \d{5}"),
        ("ORDER_NUMBER", "ORD-48291", r"ORD-\d{5}"),
        ("ORDER_NUMBER", "AB-12X", r"[A-Z]{2}-\d\d[A-Z]"),
        ("IP_ADDRESS", "10.2.3.4", r"(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d+"),
    ],
)  # fmt: skip
def test_a_surrogate_has_the_shape_of_its_value_and_there_is_a_way_back(kind, value, shape):
    text = f"It is {value}, and {value}."
    sent, made = replaced(text, (kind, value))
    new = (
        sent.removeprefix("It is ").partition(", and ")[0] if "," not in value else sent[6 : 6 + (len(sent) - 13) // 2]
    )
    assert re.fullmatch(shape, new), sent
    assert value not in sent
    assert made.back()(sent) == text
    assert made.counts == {kind: 1}


@pytest.mark.parametrize("kind", [*NEVER, "PASSPORT"])
def test_kinds_that_never_leave_have_no_way_back(kind):
    sent, made = replaced("My number is AB1234567.", (kind, "AB1234567"))
    assert sent == f"My number is [{kind.lower().replace('_', ' ')} removed]."
    assert made.back()(sent) == sent


@pytest.mark.parametrize(
    "again", ["4111111111111111", "4111-1111-1111-1111", "41 11 11 11 11 11 11 11", "x 14111111111111111"]
)
def test_what_never_leaves_is_found_in_any_grouping(again):
    sent, _ = replaced(f"My card is 4111 1111 1111 1111. I said {again}!", ("CARD_NUMBER", "4111 1111 1111 1111"))
    assert "1111" not in sent


def test_a_number_in_another_grouping_has_the_same_digits():
    text = "Call +49 151 2345678, that is +49-151-2345678."
    sent, made = replaced(text, ("PHONE", "+49 151 2345678"))
    first, second = re.findall(r"\+49[ -](\d{3}[ -]\d{7})", sent)
    assert first.replace(" ", "-") == second
    assert made.back()(sent) == text


def test_parts_of_names_are_replaced_everywhere():
    text = "I am Anna Weber. Anna's car, Annas Auto, WEBER, anna: all mine."
    sent, made = replaced(text, ("PERSON", "Anna Weber"))
    assert not re.search("anna|weber", sent, re.IGNORECASE)
    assert made.back()(sent) == text


def test_names_that_are_words_stay_where_they_are_words():
    sent, _ = replaced("I am Will Weber. I will come.", ("PERSON", "Will Weber"))
    assert sent.endswith("I will come.")


def test_a_model_may_use_a_surrogate_in_its_own_way():
    _, made = replaced("I am Anna Weber, +49 (151) 234-5678, 12 Rose Street, Springfield",
                       ("PERSON", "Anna Weber"), ("PHONE", "+49 (151) 234-5678"),
                       ("ADDRESS", "12 Rose Street, Springfield"))  # fmt: skip
    back = made.back()
    new = {old: new for new, old in back.new.items()}
    first, last = new["Anna"], new["Weber"]
    assert back(f"{last.upper()}, {first}: {first}'s") == "WEBER, Anna: Anna's"
    digits = "".join(c for c in new["+49 (151) 234-5678"] if c.isdigit())
    assert back(f"+{digits}") == "+491512345678"
    assert back(new["12 Rose Street, Springfield"].partition(",")[0]) == "12 Rose Street"


def test_spellings_stay_apart():
    text = "McDonald and Mcdonald and MCDONALD"
    sent, made = replaced(text, *(("PERSON", v) for v in ("McDonald", "Mcdonald", "MCDONALD")))
    assert len(set(sent.split(" and "))) == 3
    assert made.back()(sent) == text


def test_the_same_conversation_has_the_same_and_another_one_others():
    text, values = "I am Anna Weber.", ("PERSON", "Anna Weber")
    one, _ = replaced(text, values)
    assert replaced(text, values, also=["And one more turn."])[0] == one
    assert replaced(text, values, id="two")[0] != one
    other = Surrogates(Conversation(b"t" * 32, "one"), [text])
    other.learn(text, spans(text, values))
    assert other(text) != one


def test_no_surrogate_occurs_in_the_conversation_or_is_part_of_another():
    names = [f"Anna{c}{d} Weber{c}{d}" for c in "bcdfghjk" for d in "lmnprstv"]
    text = ". ".join(names)
    sent, made = replaced(text, *(("PERSON", n) for n in names))
    taken = sent.replace(". ", " ").split()
    assert len(set(taken)) == 2 * len(names)
    assert not [(a, b) for a in set(taken) for b in set(taken) if a != b and a.lower() in b.lower()]
    again, _ = replaced(f"{text}. I know {taken[0]}.", *(("PERSON", n) for n in names))
    assert taken[0] in again.rpartition("know")[2]
    assert taken[0] not in again.rpartition("know")[0]
    assert made.back()(sent) == text


def test_dates_are_moved_by_the_same_time():
    import datetime

    sent, _ = replaced("1985-05-12, 1990-01-31", ("DATE_OF_BIRTH", "1985-05-12"), ("DATE_OF_BIRTH", "1990-01-31"))
    one, other = (datetime.date.fromisoformat(d) for d in sent.split(", "))
    assert one - datetime.date(1985, 5, 12) == other - datetime.date(1990, 1, 31) != datetime.timedelta(0)


def test_a_value_in_the_middle_of_a_word_takes_the_whole_word():
    text = "xAnna9 and Anna"
    sent, made = replaced(text, ("PERSON", "Anna"))
    assert "Anna" not in sent
    assert made.back()(sent) == text


def test_too_many_values_stay_here(monkeypatch):
    monkeypatch.setattr(module, "MOST_VALUES", 3)
    with pytest.raises(BackendError, match="more than 3 values"):
        replaced("a1@b.de a2@b.de a3@b.de a4@b.de", *(("EMAIL", f"a{n}@b.de") for n in range(1, 5)))


def test_long_texts_take_linear_time(takes_linear_time):
    made = Surrogates(Conversation(SECRET, "one"), ["Anna Weber"])
    made.learn("Anna Weber", [Span(0, 10, "PERSON")])
    assert takes_linear_time(made, lambda n: "Anna 1 2-3 " * n)
    assert takes_linear_time(made, lambda n: "1 " * n)
