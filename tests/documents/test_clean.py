"""Normalized text, headings and titles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.documents.clean import clean_text, headings, title_of, underlined_headings
from inhouse.documents.plain import front_matter


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("e\u0301te\u0301", "été"),
        ("e\u200b\u0301", "é"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\u00a0b \t\n\n\n\nc  ", "a b\n\nc"),
        ("ze\u200bro\ufeff wi\u00addth\x07", "zero width"),
        ("pay \u202eevil\u202c now\U000e0041", "pay evil now"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 👩\u200d👧 \u200fשלום",
            "می\u200cخواهم 👩\u200d👧 \u200fשלום",
        ),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("    code\n", "    code"),
    ],
)
def test_clean_text(raw, clean):
    assert clean_text(raw) == clean


@given(st.text(st.characters()))
def test_cleaning_twice_changes_nothing(text):
    once = clean_text(text)
    assert clean_text(once) == once
    once.encode()


def test_headings_pass_over_code():
    text = "# One **bold**\n\n```\n# comment\n~~~\n```\n#tag\n### [Link](x) ##\n## In C#\n~~~\n# a\n~~~"
    assert list(headings(text)) == [(1, "One bold"), (3, "Link"), (2, "In C#")]


@pytest.mark.parametrize(
    ("text", "metadata", "stem", "title"),
    [
        ("## Sub\n# Real _one_\n", "Meta", "file", "Real _one_"),
        ("## Sub", "Wire  fees", "file", "Wire fees"),
        ("text", "Microsoft Word - draft.docx", "wire_fees-2025", "Wire fees 2025"),
        ("text", "", "___", "___"),
    ],
)
def test_title(text, metadata, stem, title):
    assert title_of(text, metadata, stem) == title


def test_a_rule_at_the_top_is_not_front_matter():
    assert front_matter("---\n\nJust text.\n\n---\nmore") == ({}, "---\n\nJust text.\n\n---\nmore", "")


def test_underlined_headings():
    text = "One\n===\n\nTwo\n---  \ntext\n---\n\n- item\n---\n\n---\n\n1. a\n===\n\nThree\n===="
    assert underlined_headings(text) == "# One\n\n## Two\ntext\n---\n\n- item\n---\n\n---\n\n1. a\n===\n\n# Three"


@pytest.mark.parametrize("part", [" ", "#", "# ", "[", "[](", "=", "a: ", "-\n", "x\n---\n", "\n \n", "\u0300\u0316"])
def test_repetition_takes_linear_time(part, takes_linear_time):
    def read(text):
        _, body, _ = front_matter(text)
        title_of(clean_text(underlined_headings(body)), text, "stem")

    assert takes_linear_time(read, lambda n: "---\nx: y\n# " + part * n + "end")


def test_thirty_combining_marks_in_a_row_are_kept():
    assert clean_text("x" + "\u0316\u0301" * 15) == "x" + "\u0316" * 15 + "\u0301" * 15
    assert len(clean_text("x" + "\u0316\u0301" * 500)) == 31
