"""Values replaced in streams: whole or cut anywhere, escaped or not."""

from __future__ import annotations

import json
import random

import pytest

from inhouse.routing.restore import AFTER, Stream, Table

NAMES = {"Clara": "Anna", "Hoffmann": "Weber", "André": "José"}
PAIRS = {**NAMES, "clara.h@example.com": "a.weber@corp.com", "+49 565 8229453": "+49 151 2345678"}
TABLE = Table(PAIRS.items(), words=NAMES)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Hello Clara Hoffmann!", "Hello Anna Weber!"),
        ("Hoffmann, Clara", "Weber, Anna"),
        ("Claras Auto, Clara's car, the Hoffmanns", "Annas Auto, Anna's car, the Webers"),
        ("Clarabelle, DeClara, Clara7, Clarasx", "Clarabelle, DeClara, Clara7, Clarasx"),
        ("Write to clara.h@example.com.", "Write to a.weber@corp.com."),
        ("clara.h@example.community", "clara.h@example.community"),
        ("call +49 565 8229453, not +49 565 82294531", "call +49 151 2345678, not +49 565 82294531"),
        ('{"to": "Hi\\nClara", "by": "\\u00e9Clara", "for": "Andr\\u00e9"}',
         '{"to": "Hi\\nAnna", "by": "\\u00e9Clara", "for": "Jos\\u00e9"}'),
        ('["Andr\\u00E9"]', '["Jos\\u00E9"]'),
        ("Clar", "Clar"),
        ("", ""),
    ],
)  # fmt: skip
def test_values_that_stand_alone_are_replaced(said, meant):
    assert TABLE(said) == meant


def test_every_cut_gives_the_same():
    said = 'Clara Hoffmann (clara.h@example.com), Claras {"a": "\\nAndr\\u00e9"} Clar +49 565 8229453'
    random.seed(3)
    for _ in range(500):
        stream, done, at = Stream(TABLE), "", 0
        while at < len(said):
            size = random.randint(1, 12)
            done += stream.feed(said[at : at + size])
            at += size
        assert done + stream.feed("", last=True) == TABLE(said)
        assert stream.replaced == 6


def test_no_more_is_held_back_than_the_longest_value():
    table = Table([(old, "x" * len(old)) for old in PAIRS], words=NAMES)
    longest = max(map(len, PAIRS))
    stream, given, said = Stream(table), 0, 0
    for piece in "Clara.h went to clara.h@example.c and Clara Hoff, Hoffmann or An" * 20:
        given, said = given + 1, said + len(stream.feed(piece))
        assert given - said <= longest + AFTER


def test_text_without_values_is_not_held_back():
    stream = Stream(TABLE)
    assert stream.feed("Our fees are 5 %.") == "Our fees are 5 %."


def test_half_a_value_of_an_answer_that_was_cut_is_left_out():
    stream = Stream(TABLE)
    assert stream.feed("Dear Clara Hoff") == "Dear Anna "
    assert stream.cut() == ""
    stream = Stream(TABLE)
    assert stream.feed("Dear Clara") == "Dear "
    assert stream.cut() == "Anna"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_stays_json(ascii_only):
    table = Table([('Kirpen "X"\nRow 9', 'Rose "Y"\nRow 7')])
    sent = json.dumps({"at": 'Kirpen "X"\nRow 9'}, ensure_ascii=ascii_only)
    assert json.loads(table(sent)) == {"at": 'Rose "Y"\nRow 7'}


def test_replacing_takes_linear_time(takes_linear_time):
    assert takes_linear_time(TABLE, lambda n: "Clar Clara\\" * n)
    assert takes_linear_time(TABLE, lambda n: "\\" * n + "Clara")
