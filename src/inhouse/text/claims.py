"""What a sentence says that can be checked: its words, numbers with their units, names, negations, conditions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|No|vs)\.)(?<!\bMrs\.)(?<!\b(?:e\.g|i\.e)\.)[\"')\]]*\s+|\n+"
)
_WRAPPED = re.compile(r"(?<=[^\n.!?:])\n(?=[a-z])")
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?|[$£€%]")
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[$£€])? ?(?P<value>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<after> ?%"
    r"| ?[ap]\.?m\b|[ -]?[^\W\d_]+)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d{2})(?:\s*([ap])\.?m\b)?|\.(\d{2})\s*([ap])\.?m\b)", re.IGNORECASE)
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
    r",\s+|;\s+|\s+(?=(?:and|but|if|unless|except|provided|as long as|until|only|so|because|which|or)\b)"
)
_LEAST = re.compile(r"\b(?:at least|minimum|starting|lowest|smallest|fewest|exceeds)\b", re.I)
_MOST = re.compile(r"\b(?:at most|maximum|up to|limit\w*|highest|largest|biggest|most that|within)\b", re.I)
_MORE = re.compile(r"\b(?:more than|above|over|exceed)\b", re.I)
_LESS = re.compile(r"\b(?:less than|fewer than|below|under)\b", re.I)
_OR_MORE = re.compile(
    r"^\W*(?:\w+ )?(?:or (?:more|above|higher|over|longer|older)|at least|at the least|minimum)\b", re.I
)
_OR_LESS = re.compile(r"^\W*(?:\w+ )?(?:or (?:less|below|lower|under|fewer)|at most|at the most|maximum)\b", re.I)
_RANGE = re.compile(r"\d ?(?:to|-|–) ?[$£€]?$|\bbetween\b.*\d ?\w* and [$£€]?$", re.I)
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
STOP = frozenset(
    """a an the and or but if of in on at to for from by with as is are was were be been being it its this that these
    those i you he she we they me him her us them my your his our their do does did have has had will would can could
    shall should may might must so than then there here what which who whom when where how why all any both each some
    such own same too very just also yes into about out off down most other please let know like get got one""".split()  # noqa: SIM905
)
PLACES = frozenset(
    """hotel guesthous hous inn restaur bar cafe shop store market bank branch offic depart team compani clinic hospit
    school univers station airport street road citi town""".split()  # noqa: SIM905
)
"""Stems of what a name may be called by besides: the Alder and the Alder Hotel are one place."""
_SMALL = {w: str(n) for n, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split())}  # fmt: skip  # noqa: SIM905
_ORDINAL = {w: str(n) for n, w in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 1)}  # fmt: skip  # noqa: SIM905
_UNITS = {
    "percent": "%", "dollar": "$", "dollars": "$", "usd": "$", "pounds": "£", "euros": "€", "euro": "€", "hrs": "hour",
    "hr": "hour", "mins": "minute", "min": "minute", "yr": "year", "yrs": "year", "am": "am", "pm": "pm",
}  # fmt: skip


class Number(NamedTuple):
    value: str
    unit: str  # "$", "%", "day", ...: what stands before or after it; "" where nothing does
    written: bool = True  # in digits


def unwrapped(text: str) -> str:
    """Lines that go on in the next one, as PDF files and wrapped Markdown have them, made one."""
    return _WRAPPED.sub(" ", text)


def sentences(text: str) -> list[str]:
    return [s for s in (part.strip(" \t-*•#>|") for part in _SENTENCE.split(unwrapped(text))) if s]


def clauses(sentence: str) -> list[str]:
    return _CLAUSE.split(sentence)


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    return str(_stemmer().stem(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def value_of(text: str) -> str:
    """One spelling of a number: "1,000.00" is "1000"."""
    plain = text.replace(",", "")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain.lstrip("0") or "0"


@lru_cache(maxsize=50_000)
def words(text: str) -> tuple[str, ...]:
    """Content words, stemmed, numbers in one spelling, in their order."""
    found = []
    for token in _TOKEN.findall(text.replace("’", "'").casefold()):
        plain = token.removesuffix("'s")
        if plain[0].isdigit():
            found.append(value_of(plain))
        elif plain in _SMALL and plain != "one":
            found.append(_SMALL[plain])
        elif plain.isalpha() and len(plain) > 1 and plain not in STOP:
            found.append(stem(plain))
    return tuple(found)


@lru_cache(maxsize=50_000)
def tokens(text: str) -> tuple[str, ...]:
    """All words, small ones too, stemmed, and numbers."""
    plain = text.replace("’", "'").casefold()
    return tuple(value_of(t) if t[0].isdigit() else stem(t.removesuffix("'s")) for t in _TOKEN.findall(plain))


@lru_cache(maxsize=50_000)
def numbers(text: str) -> tuple[Number, ...]:
    """Every number with its unit; times of day as "H:MM" of 24 hours."""
    found = []

    def clock(m: re.Match[str]) -> str:
        late = (m[3] or m[5] or "").lower() == "p" and int(m[1]) < 12
        found.append(Number(f"{int(m[1]) + 12 * late}:{m[2] or m[4]}", ""))
        return " " * len(m[0])

    text = _CLOCK.sub(clock, text)
    for m in _NUMBER.finditer(text):
        after = (m["after"] or "").strip(" -.").casefold().replace(".", "")
        value = value_of(m["value"])
        unit = m["sign"] or _UNITS.get(after, stem(after) if after and after not in STOP else "")
        if unit in ("am", "pm") and value.isdigit():
            value, unit = f"{int(value) + 12 * (unit == 'pm' and int(value) < 12)}:00", ""
        found.append(Number(value, unit))
    for m in re.finditer(r"[^\W\d_]+", text):
        word = m[0].casefold()
        if (small := _SMALL.get(word) or _ORDINAL.get(word)) and word != "one":
            found.append(Number(small, "", written=False))
    return tuple(found)


def _ranged(text: str, upper: re.Match[str]) -> bool:
    """Whether a number ends a range. Little before it is looked at, so that no text takes long."""
    at = upper.start("value")
    return bool(_RANGE.search(text[max(at - RANGE_CHARS, 0) : at]))


@lru_cache(maxsize=50_000)
def bounds(text: str) -> dict[str, frozenset[str]]:
    """Of the numbers that a sentence calls a bound, in digits, which: "least" or "most"."""
    found: dict[str, frozenset[str]] = {}
    every = list(_NUMBER.finditer(text))
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
            found[value] = found.get(value, frozenset()) | sides
    return found


@lru_cache(maxsize=50_000)
def names(text: str) -> tuple[str, ...]:
    """Capitalized names, casefolded, those of a sentence's first word alone left out."""
    found = []
    for m in _NAME.finditer(text):
        start = not text[: m.start()].strip() or text[: m.start()].rstrip()[-1:] in ".!?:\n"
        parts = m[0].split()
        if start:
            parts = parts[1:] if len(parts) > 1 and parts[0].casefold() in STOP | {"yes", "no"} else parts
            if len(parts) < 2:
                continue
        if parts and parts[-1].casefold() not in STOP:
            found.append(" ".join(parts).casefold().replace("’", "'").removesuffix("'s"))
    return tuple(found)


def compares(text: str) -> frozenset[str]:
    return frozenset(kind for kind, pattern in _COMPARE.items() if pattern.search(text))


def opposed(one: frozenset[str], other: frozenset[str]) -> int:
    """How many words of the first have an opposite, and not themselves, in the other."""
    found = 0
    for a, b in _OPPOSITES:
        for here, there in ((a, b), (b, a)):
            found += bool(one & here and other & there and not other & here and not one & there)
    return found
