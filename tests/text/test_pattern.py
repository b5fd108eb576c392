"""Patterns that people write into settings and requests."""

import time

import pytest

from inhouse.text.pattern import LinearPattern


def test_searches_and_matches_whole_texts():
    assert LinearPattern(r"Ticket \d+\.").fullmatch("Ticket 12.")
    assert not LinearPattern(r"Ticket \d+\.").fullmatch("A Ticket 12.")
    assert LinearPattern(r"\d").search("a 1")
    assert LinearPattern(r"\p{L}+").fullmatch("Zürich")
    assert LinearPattern("a.b", dot_matches_newline=True).fullmatch("a\nb")
    assert not LinearPattern("a.b").fullmatch("a\nb")
    assert LinearPattern("[a-z]").search("\ud800a")  # a lone surrogate


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing"),
        ("a(?=b)", "lookahead"),
        ("(?<!a)b", "lookahead, lookbehind"),
        (r"(a)\1", "backreferences"),
        ("a" * 20_000, "longer than"),
        ("((a{500}){500}){500}", "repetition"),
    ],
)
def test_says_why_a_pattern_is_refused(pattern, reason):
    with pytest.raises(ValueError, match=reason):
        LinearPattern(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){12}b", r"(\w+\s?)+!", "(?:a?){30}a{30}b"])
def test_patterns_that_backtrack_elsewhere_take_linear_time(pattern):
    started = time.process_time()
    LinearPattern(pattern).search("a" * 50_000)
    assert time.process_time() - started < 2
