"""Card numbers that are written so that no pattern of digits finds them: in words, or with words between the groups.

"four one one one ...", "4111 then 1111 ...", "4 1 1 1 ...". A number counts if its groups are those of a card, its
first digit is one of a card, and its check digit is right.
"""

from __future__ import annotations

import re

from stdnum import luhn

from inhouse.types import Span

_WORDS = (
    "zero one two three four five six seven eight nine|null eins zwei drei vier fünf sechs sieben acht neun"
    "|cero uno dos tres cuatro cinco seis siete ocho nueve|zéro un deux trois quatre cinq six sept huit neuf"
    "|zero uno due tre quattro cinque sei sette otto nove|zero um dois três quatro cinco seis sete oito nove"
    "|ноль один два три четыре пять шесть семь восемь девять"
)
DIGIT_WORDS = {word: str(n) for words in _WORDS.split("|") for n, word in enumerate(words.split())}
DIGIT_WORDS |= {"oh": "0", "o": "0", "zwo": "2", **{c: str(n) for n, c in enumerate("零一二三四五六七八九")}, "〇": "0"}
"""The digit that a word is, in seven languages."""
_TIMES = {"double": 2, "triple": 3, "doppel": 2, "doble": 2, "triple's": 3}
_BETWEEN = (
    "then and next first second third last part followed by dash dot space minus point hyphen the is are it's "
    "dann und danach erste zweite letzte luego después y puis ensuite et poi e depois então затем потом и "
    "然后 その後 ثم"
)
_FILLERS = frozenset(_BETWEEN.split())
_TOKEN = re.compile(r"\d+|[零一二三四五六七八九〇]|[^\W\d_]+(?:'[a-z])?|[\n;:!?$€£%]|[^\w\s]")
_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 4, 4, 4, 3), (6, 10), (8, 8)}
_FEWEST, _MOST = 13, 19
_STOPS = frozenset("$€£%")
MOST_FILLERS = 4  # between two groups


def spelled_cards(text: str) -> list[Span]:
    """Where such card numbers are."""
    groups: list[tuple[int, int, str]] = []
    found: list[Span] = []
    fillers = times = 0
    for token in _TOKEN.finditer(text):
        word = token[0].lower()
        digits = word if word.isdigit() and word.isascii() else DIGIT_WORDS.get(word, "") * max(times, 1)
        if digits and len(digits) <= 10:
            groups.append((*token.span(), digits))
            fillers = times = 0
        elif word in _TIMES:
            times = _TIMES[word]
        elif word in _STOPS or (word.isalpha() and word not in _FILLERS) or fillers >= MOST_FILLERS:
            found += _cards(groups)
            groups, fillers, times = [], 0, 0
        else:
            fillers += 1
    return [*found, *_cards(groups)]


def _cards(groups: list[tuple[int, int, str]]) -> list[Span]:
    """The runs of groups that are a card's number."""
    found: list[Span] = []
    at = 0
    while at < len(groups):
        end = next(
            (e for e in range(min(at + _MOST, len(groups)), at + 1, -1) if _is_card([g[2] for g in groups[at:e]])), 0
        )
        if end:
            found.append(Span(groups[at][0], groups[end - 1][1], "CARD_NUMBER"))
        at = end or at + 1
    return found


def _is_card(groups: list[str]) -> bool:
    number = "".join(groups)
    shaped = tuple(map(len, groups)) in _SHAPES or max(map(len, groups)) <= 3
    return shaped and _FEWEST <= len(number) <= _MOST and number[0] in "23456" and bool(luhn.is_valid(number))
