"""Parts of a sentence that can be checked: bounds, names, negations, conditions, comparisons, opposites.

Shipped weights were trained with these: their output must not change.
"""

from __future__ import annotations

import re
from functools import lru_cache

from inhouse.text.numbers import NUMBER
from inhouse.text.words import CACHED, STOP, value_of

_NAME = re.compile(r"\b[A-Z][\w'’&-]*(?:(?: (?:of|the|and|de|&))? [A-Z0-9][\w'’&-]*)*")
NEGATION = re.compile(
    r"\b(?:no|not|never|none|nor|cannot|without|neither|unable|nobody|nothing|lacks?|excluded?|prohibited)\b|n['’]t\b",
    re.I,
)
CONDITION = re.compile(
    r"\b(?:if|unless|only|except|provided|as long as|until|once|when|while|before|after|but|whenever|in case)\b", re.I
)
HEDGE = re.compile(
    r"\b(?:i|my|me|we|our|us|haha\w*|lol|think|guess|love|like|wow|wonder|heard|believe|maybe|probably|imagine)\b", re.I
)
_COMPARE = {
    "up": re.compile(
        r"\b(?:at least|minimum|no less than|more than|over|above|from|starting|exceeds?|or more|greater)\b", re.I
    ),
    "down": re.compile(
        r"\b(?:at most|maximum|no more than|up to|less than|under|below|within|or less|fewer|limit)\b", re.I
    ),
    "before": re.compile(r"\b(?:before|by|until|prior|earlier|till)\b", re.I),
    "after": re.compile(r"\b(?:after|since|later|following)\b", re.I),
}
_CLAUSE = re.compile(
    r",\s+|;\s+|(?<!\s)\s++(?=(?:and|but|if|unless|except|provided|as long as|until|only|so|because|which|or)\b)"
)
_LEAST = re.compile(r"\b(?:at least|minimum|starting|lowest|smallest|fewest|exceeds)\b", re.I)
_MOST = re.compile(r"\b(?:at most|maximum|up to|limit\w*|highest|largest|biggest|most that|within)\b", re.I)
_MORE = re.compile(r"\b(?:more than|above|over|exceed)\b", re.I)
_LESS = re.compile(r"\b(?:less than|fewer than|below|under)\b", re.I)
_OR_MORE = re.compile(
    r"^\W*(?:\w+ )?(?:or (?:more|above|higher|over|longer|older)|at least|at the least|minimum)\b", re.I
)
_OR_LESS = re.compile(r"^\W*(?:\w+ )?(?:or (?:less|below|lower|under|fewer)|at most|at the most|maximum)\b", re.I)
_RANGE = re.compile(r"\d ?(?:to|-|–) ?[$£€]?$|\bbetween\b.{0,60}\d ?\w* and [$£€]?$", re.I)
RANGE_CHARS = 40
_OPPOSITES = [
    (frozenset(one.split()), frozenset(other.split()))
    for one, other in (
        ("free complimentari", "charg cost paid pay fee"),
        ("open", "close shut"),
        ("allow permit welcom", "prohibit forbid refus ban"),
        ("clean spotless pristin", "dirti filthi messi"),
        ("quiet peac calm", "noisi loud"),
        ("cheap afford inexpens", "expens overpr pricey"),
        ("friendli polit help courteou", "rude unfriendli unhelp"),
        ("fast quick prompt", "slow delai delay"),
        ("larg big spaciou huge", "small tini cramp"),
        ("good great excel amaz fantast wonder", "bad poor terribl aw disappoint horribl"),
        ("includ", "exclud"),
        ("increas rais", "decreas reduc lower"),
        ("requir mandatori must", "option"),
        ("comfort comfi", "uncomfort hard"),
        ("always", "never"),
        ("mani most", "few"),
        ("near close", "far"),
        ("personal", "busi"),
        ("fix", "variabl"),
        ("accept", "reject declin"),
        ("temporari", "perman"),
        ("domest", "intern foreign"),
        ("monthli", "annual yearli"),
        ("debit", "credit"),
        ("check", "save"),
        ("hot", "cold"),
        ("new", "old"),
        ("first", "last"),
    )
]
"""Stems."""
PLACES = frozenset(
    """hotel guesthous hous inn restaur bar cafe shop store market bank branch offic depart team compani clinic hospit
    school univers station airport street road citi town""".split()  # noqa: SIM905
)
"""Stems of words that a name may have in addition: the Alder and the Alder Hotel are one place."""


def clauses(sentence: str) -> list[str]:
    """The parts of a sentence, cut at commas, semicolons and conjunctions."""
    return _CLAUSE.split(sentence)


def _ranged(text: str, upper: re.Match[str]) -> bool:
    """Whether a number ends a range. Only the characters just before it are read, so the time is linear."""
    at = upper.start("value")
    return bool(_RANGE.search(text[max(at - RANGE_CHARS, 0) : at]))


@lru_cache(maxsize=CACHED)
def bounds(text: str) -> dict[str, frozenset[str]]:
    """The numbers in digits that a sentence states as a bound, with its side: "least", "most", or both."""
    limits: dict[str, frozenset[str]] = {}
    every = list(NUMBER.finditer(text))
    for n, m in enumerate(every):
        before = text[every[n - 1].end("value") if n else 0 : m.start("value")]
        after = text[m.end("value") : every[n + 1].start() if n + 1 < len(every) else None]
        denied = bool(NEGATION.search(before))
        more, less = _MORE.search(before), _LESS.search(before)
        ranged, starts = _ranged(text, m), n + 1 < len(every) and _ranged(text, every[n + 1])
        least = _LEAST.search(before) or _OR_MORE.search(after) or (less if denied else more) or starts
        most = _MOST.search(before) or _OR_LESS.search(after) or (more if denied else less) or ranged
        if sides := {side for side, there in (("least", least), ("most", most)) if there}:
            value = value_of(m["value"])
            limits[value] = limits.get(value, frozenset()) | sides
    return limits


@lru_cache(maxsize=CACHED)
def names(text: str) -> tuple[str, ...]:
    """Capitalized names, in lower case; the first word of a sentence alone is not a name."""
    lower = []
    for m in _NAME.finditer(text):
        start = not text[: m.start()].strip() or text[: m.start()].rstrip()[-1:] in ".!?:\n"
        parts = m[0].split()
        if start:
            parts = parts[1:] if len(parts) > 1 and parts[0].casefold() in STOP | {"yes", "no"} else parts
            if len(parts) < 2:
                continue
        if parts and parts[-1].casefold() not in STOP:
            lower.append(" ".join(parts).casefold().replace("’", "'").removesuffix("'s"))
    return tuple(lower)


def compares(text: str) -> frozenset[str]:
    """The kinds of comparison that the text makes: "up", "down", "before", "after"."""
    return frozenset(kind for kind, pattern in _COMPARE.items() if pattern.search(text))


def opposed(one: frozenset[str], other: frozenset[str]) -> int:
    """How many words of one have an opposite in the other, not counting words that both have."""
    count = 0
    for a, b in _OPPOSITES:
        for here, there in ((a, b), (b, a)):
            count += bool(one & here and other & there and not other & here and not one & there)
    return count
