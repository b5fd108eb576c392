"""Numbers in texts: in one spelling, with their units.

Shipped weights were trained with `numbers`: its output must not change.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from inhouse.text.words import CACHED, SMALL_NUMBERS, STOP, stem, value_of, words

NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[$£€])? ?(?P<value>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<after> ?%"
    r"| ?[ap]\.?m\b|[ -]?[^\W\d_]+)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d{2})(?:\s*([ap])\.?m\b)?|\.(\d{2})\s*([ap])\.?m\b)", re.IGNORECASE)
_DECIMAL = re.compile(r"\d[\d,]*(?:\.\d+)?")
_DIGITS = re.compile(r"\d+")
_ORDINAL = {w: str(n) for n, w in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 1)}  # fmt: skip  # noqa: SIM905
_UNITS = {
    "percent": "%", "dollar": "$", "dollars": "$", "usd": "$", "pounds": "£", "euros": "€", "euro": "€", "hrs": "hour",
    "hr": "hour", "mins": "minute", "min": "minute", "yr": "year", "yrs": "year", "am": "am", "pm": "pm",
}  # fmt: skip
_KINDS = {
    "$": frozenset("cost costs fee fees price prices charge charges pay expensive much limit minimum maximum".split()),  # noqa: SIM905
    "%": frozenset("rate rates interest percent percentage yield apr share".split()),  # noqa: SIM905
    "time": frozenset("long when days hours time until till deadline soon fast old years open".split()),  # noqa: SIM905
}
_TIME_UNITS = re.compile(r"day|hour|minut|month|year|week|busi")


class Number(NamedTuple):
    value: str
    unit: str  # "$", "%", a stem such as "day"; "" without one
    written: bool = True  # in digits


@lru_cache(maxsize=CACHED)
def numbers(text: str) -> tuple[Number, ...]:
    """All numbers with their units, also those in words; times of day as "H:MM" of 24 hours."""
    results = []

    def clock(m: re.Match[str]) -> str:
        late = (m[3] or m[5] or "").lower() == "p" and int(m[1]) < 12
        results.append(Number(f"{int(m[1]) + 12 * late}:{m[2] or m[4]}", ""))
        return " " * len(m[0])

    text = _CLOCK.sub(clock, text)
    for m in NUMBER.finditer(text):
        after = (m["after"] or "").strip(" -.").casefold().replace(".", "")
        value = value_of(m["value"])
        unit = m["sign"] or _UNITS.get(after, stem(after) if after and after not in STOP else "")
        if unit in ("am", "pm") and value.isdigit():
            value, unit = f"{int(value) + 12 * (unit == 'pm' and int(value) < 12)}:00", ""
        results.append(Number(value, unit))
    for m in re.finditer(r"[^\W\d_]+", text):
        word = m[0].casefold()
        if (small := SMALL_NUMBERS.get(word) or _ORDINAL.get(word)) and word != "one":
            results.append(Number(small, "", written=False))
    return tuple(results)


def figures(text: str) -> frozenset[str]:
    """The numbers written in digits, without units other than percent: "$1,000.00" is "1000", "5 percent" is "5%"."""
    return frozenset(n.value + "%" * (n.unit == "%") for n in numbers(text) if n.written)


def digits(text: str) -> list[str]:
    """Every run of digits as it is written, those of "$1,250.00" as "1", "250" and "00"."""
    return _DIGITS.findall(text)


def says(text: str, phrase: str) -> bool:
    """Whether the text has the words of the phrase in a row, whatever their case and however numbers are spelled."""
    wanted = _respelled(phrase)
    before = r"(?<![^\W_])(?<!\d\.)" if wanted[:1].isdigit() else r"(?<![^\W_])"
    after = r"(?![^\W_]|\.\d)" if wanted[-1:].isdigit() else r"(?![^\W_])"
    return bool(re.search(before + re.escape(wanted) + after, _respelled(text)))


def _respelled(text: str) -> str:
    """In lower case with single spaces; "1,000.00" as "1000", no dollar signs, "percent" as "%"."""

    def number(match: re.Match[str]) -> str:
        value = value_of(match[0])
        return "0" + value if value[0] == "." else value

    text = " ".join(text.casefold().replace("’", "'").split())
    text = _DECIMAL.sub(number, text)
    text = re.sub(r" ?(?:percent|per cent|%)", "%", text)
    text = re.sub(r"[$£€] ?", "", text)
    return re.sub(r"(?<=\d) (?:dollars|usd)\b", "", text).strip()


def asked_kinds(question: str) -> frozenset[str]:
    """The kinds of figures that a question asks for, by its words: "$", "%", "time"."""
    said = frozenset(words(question))
    return frozenset(kind for kind, cues in _KINDS.items() if cues & said)


@lru_cache(maxsize=20_000)
def figure_kinds(text: str) -> frozenset[str]:
    """The kinds of figures in a text: "$", "%", "time"."""
    kinds = set()
    for n in numbers(text):
        if n.unit in ("$", "%"):
            kinds.add(n.unit)
        elif ":" in n.value or _TIME_UNITS.match(n.unit):
            kinds.add("time")
    return frozenset(kinds)
