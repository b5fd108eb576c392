"""What stands in a text: its clauses, and the numbers, dates, times, addresses, and phrases in them.

Values of a structured answer come from here, so that none is invented. A value knows the words around it, which say
what it is about.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from inhouse.agents.names import GENERIC as OF_KINDS
from inhouse.agents.names import normal
from inhouse.text.claims import NEGATION, opposed
from inhouse.text.pattern import LinearPattern
from inhouse.text.sentences import sentences
from inhouse.text.words import SMALL_NUMBERS, STOP, content_words, stem

SIGNS = {"$": "$", "£": "£", "€": "€", "usd": "$", "dollar": "$", "eur": "€", "euro": "€", "gbp": "£", "pound": "£",
         "percent": "%", "hr": "hour", "min": "minut", "minute": "minut", "yr": "year"}  # fmt: skip
"""Units by their words, singular."""
MANY = {"thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9}
ORDERED = "january february march april may june july august september october november december".split()  # noqa: SIM905
GENERIC = frozenset("cost fee price charg pai amount much $ % up".split())  # noqa: SIM905
"""Stems that say that there is a figure, not which one."""
OPPOSED = [(frozenset(("outgo",)), frozenset(("incom",)))]
_COUNTED = re.compile(r"\d ?(?:[^\W\d_]{1,20})")
_MONTHS = {m[:3]: n for n, m in enumerate(ORDERED, 1)}
_DIGITS = (  # with the same mark between thousands, in any country's way
    r"(?:\d{1,3}(?:" + "|".join(rf"(?:{mark}\d{{3}}(?!\d)){{1,4}}" for mark in (",", r"\.", "['’]", "[\u00a0\u202f]"))
    + r")|\d{1,15})(?:[.,]\d{1,8})?"
)  # fmt: skip
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?:usd|eur|gbp) ?)?(?P<minus>(?<![\w)])[-−])?(?P<sign>[$£€]) ?(?P<paid>" + _DIGITS + ")"
    r"|(?<![\w.$£€])(?P<value>" + _DIGITS + r")(?![\w.,]?\d)(?:st|nd|rd|th)?",
    re.IGNORECASE,
)
_AGED = re.compile(r"\b(?:aged?|ages) $", re.IGNORECASE)
_AFTER = re.compile(
    r"(?: ?(?P<percent>%)| ?(?P<sign>[€£¢])|[ -](?P<many>thousand|million|billion|k|bn)\b|(?P<short>[kKmM])\b)?"
    r"(?:[ -](?:business|calendar|working|banking|full|consecutive|more|additional) ?)?"
    r"(?:[ -]?(?P<word>[^\W\d_]{1,20}))?",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[;:] |, |\.\s|\n| (?:and|but|while|whereas|plus|or|except) ", re.IGNORECASE)
_CLOCK = re.compile(
    r"\b(\d{1,2})(?:[:.](\d{2}))?\s?([ap])\.?m\b\.?|\b([01]?\d|2[0-3]):([0-5]\d)\b|\b(noon|midnight)\b", re.I
)
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()  # noqa: SIM905
_DAY_NAMES = {name: d for d in _DAYS for name in (d, d[:3], d[:4], d[:5])}
_DAY = re.compile(rf"\b({'|'.join(sorted(_DAY_NAMES, key=len, reverse=True))})s?\b")
_DAY_RANGE = re.compile(rf"{_DAY.pattern} ?(?:to|through|until|-|–) ?{_DAY.pattern}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE = re.compile(
    rf"\b(\d{{4}})-(\d{{2}})-(\d{{2}})\b|\b({_MONTH})\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b"
    rf"|\b(\d{{1,2}})(?:st|nd|rd|th)?\.? ({_MONTH})\.?,? (\d{{4}})\b", re.IGNORECASE)  # fmt: skip
_PIECE = re.compile(r"; |, (?=and |[^,]{3,60}\d)|, and |(?<=\w) and (?=(?:an? |the )?[$£€]\d)")
_OFTEN = re.compile(
    r"\b(?:an?|per|each|every) (?:(?:calendar|business) )?(day|week|month|quarter|year)\b"
    r"|\b(dai|week|month|quarter|year|annual)ly\b|\bannual\b", re.IGNORECASE)  # fmt: skip
_BOUND = re.compile(
    r"\b(?:balances?(?: of| is| stays at)?|at least|above|below|over|under|more than|less than|minimum(?: of)?) $", re.I
)
_JOINS = re.compile(r" (?:and|or|versus|vs\.?) ", re.IGNORECASE)
_ENDS = re.compile(r"[.;!?] |\n")
_JOINED = re.compile(r" (?:and|plus) ")
_EXCEPT = re.compile(r",? \b(?:but not|except|excluding|other than|closed)\b", re.IGNORECASE)
SPANS = frozenset(("minut", "hour", "day", "week", "month", "quarter", "year"))
"""Units of time."""
_TO = re.compile(r" ?(?:to|-|–) ?[$£€]?")
_FREE = re.compile(
    r"\b(?:free(?: of charge)?|no (?:annual |monthly )?(?:fee|charge|cost)s?|without (?:a |any )?(?:fee|charge|cost)s?"
    r"|costs? nothing|at no (?:cost|charge))\b", re.IGNORECASE)  # fmt: skip
_INTRODUCES = re.compile(
    r"\b(?:are|is|includes?|bring|needs?|requires?|offers?|accepts?|with|on|in|from|at)\b", re.IGNORECASE
)
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
URL = re.compile(
    r"\bhttps?://[^\s<>\"')]{1,300}|\b(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|example|io|gov|edu|eu|de|co|uk)\b"
    r"(?:/[^\s<>\"')]{0,200})?", re.IGNORECASE)  # fmt: skip
PHONE = re.compile(r"(?<![\w-])\+?\d{1,3}[ -]\(?\d{2,4}\)?(?:[ -]\d{2,4}){1,4}(?![\w-])")
CODE = re.compile(r"\b[A-Z]{1,5}-?\d[\dA-Z-]{0,15}\b|\b[A-Z]{2,6}-\d{1,6}\b")
DURATION = re.compile(
    r"\b(?:\d{1,4}(?:\.\d{1,2})?|one|two|three|four|five|six|seven|eight|nine|ten|twelve)(?: ?(?:to|-|–) ?\d{1,4})?[ -]"
    r"(?:(?:business|calendar|working|banking) )?(?:second|minute|hour|day|week|month|quarter|year)s?\b",
    re.IGNORECASE)  # fmt: skip
NAME = re.compile(r"\b[A-Z][\w'’&-]{0,30}(?: (?:(?:of|the|de|&) )?[A-Z][\w'’&-]{0,30}){0,5}")


class Value(NamedTuple):
    """A value in a text. `unit` is "$", "%", a stem such as "day", "time", or "" where it has none. `range` is where
    the range begins that it bounds, such as "2 to 4 days"; -1 where there is none."""

    value: float | str
    unit: str
    text: str
    start: int
    end: int
    range: int = -1


@dataclass(frozen=True)
class Evidence:
    """What an answer may be made of.

    Attributes:
        question: what was asked.
        answer: what the assistant said, after all checks.
        more: sentences of the passages that the answer cites.
        certainty: how likely the answer is right, if that is known.
        sources: the documents that the answer cites.
        about: what is named as the subject, where that is not the question.
        spoken: there is no answer yet: values come from what the user says.
    """

    question: str
    answer: str
    more: tuple[str, ...] = ()
    certainty: float | None = None
    sources: tuple[str, ...] = ()
    about: str = ""
    spoken: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Where values may stand, the likeliest first."""
        return (self.question if self.spoken else self.answer, *self.more)

    @cached_property
    def asked(self) -> frozenset[str]:
        return _stems(self.question)


def is_about(question: str, texts: Iterable[str]) -> bool:
    """Whether the texts have any of the words that say what the question is about; also where it has none."""
    wanted = _stems(question) - {normal(w) for w in OF_KINDS}
    return not wanted or any(not wanted.isdisjoint(_stems(text)) for text in texts)


def numbers_in(text: str) -> list[Value]:
    """Every number that is no part of a time, a date, a phone number, a code, or an address."""
    return _with_ranges(sorted(_numbers_in(text), key=lambda v: v.start), text)


def nothing_in(text: str) -> list[Value]:
    """Zero dollars, where a text says that something is free."""
    return [Value(0.0, "$", m[0], m.start(), m.end()) for m in _FREE.finditer(text)]


def _with_ranges(values: list[Value], text: str) -> list[Value]:
    """The values, with the unit of the second one of a range for both."""
    for n, (one, other) in enumerate(itertools.pairwise(values)):
        if _TO.fullmatch(text[one.end : other.start]):
            aged = _AGED.search(text, max(one.start - 5, 0), one.start)
            values[n] = one._replace(
                unit=other.unit if one.unit not in ("$", "%") and not aged else one.unit, range=one.start
            )
            values[n + 1] = other._replace(range=one.start, unit="year" if aged else other.unit)
    return values


def _numbers_in(text: str) -> Iterator[Value]:
    taken = [m.span() for p in (_CLOCK, _DATE, PHONE, CODE, EMAIL, URL) for m in p.finditer(text)]
    for m in _NUMBER.finditer(text):
        if any(start <= m.start() < end for start, end in taken):
            continue
        after = _AFTER.match(text, m.end())
        amount = amount_of(m["paid"] or m["value"])
        word = (after["word"] or "").casefold() if after else ""
        if after and (many := after["many"] or after["short"]):
            amount *= MANY[many.casefold()]
        unit = m["sign"] or ("%" if after and after["percent"] else (after and after["sign"]) or unit_of(word))
        if unit in ("¢", "cent"):
            amount, unit = amount / 100, "$"
        before = text[max(m.start() - 5, 0) : m.start()].casefold()
        unit = "year" if not unit and _AGED.search(before) else unit
        before = before[-4:].strip()
        unit = unit if m["sign"] or before not in ("usd", "eur", "gbp") else SIGNS[before]
        end = m.end()
        if after and (after["percent"] or unit == unit_of(word) != ""):
            end = after.end("percent") if after["percent"] else after.end()
        yield Value(-amount if m["minus"] else amount, unit, text[m.start() : end].strip(), m.start(), end)
    for m in re.finditer(r"[^\W\d_]+", text):
        if m[0].casefold() in SMALL_NUMBERS and m[0].casefold() != "one":
            after = _AFTER.match(text, m.end())
            unit = unit_of((after["word"] or "").casefold() if after else "")
            yield Value(float(SMALL_NUMBERS[m[0].casefold()]), unit, m[0], m.start(), m.end())


def amount_of(digits: str) -> float:
    """The number that is written with separators: "1,250.00", "1.250,00", "1'250", "21,5"."""
    digits = re.sub(r"['’\u00a0\u202f]", "", digits)
    last = max(digits.rfind(","), digits.rfind("."))
    if last < 0:
        return float(digits)
    mark, behind = digits[last], len(digits) - last - 1
    other = "." if mark == "," else ","
    whole = digits.count(mark) > 1 or (mark == "," and behind == 3 and "." not in digits)
    if whole:
        return float(digits.replace(mark, "").replace(other, "."))
    return float(digits[:last].replace(other, "").replace(mark, "") + "." + digits[last + 1 :])


def unit_of(word: str) -> str:
    """The unit that a word after a number says; "" for a word that says none."""
    single = word.removesuffix("s") if len(word) > 2 else word
    return SIGNS.get(word) or SIGNS.get(single) or ("" if not word or word in STOP else stem(word))


def times_in(text: str) -> Iterator[Value]:
    """Times of day, as "HH:MM" of 24 hours."""
    for m in _CLOCK.finditer(text):
        if m[6]:
            value = "12:00" if m[6].casefold() == "noon" else "00:00"
        elif m[3]:
            hour = int(m[1]) % 12 + 12 * (m[3].casefold() == "p")
            value = f"{hour:02}:{m[2] or '00'}"
        else:
            value = f"{int(m[4]):02}:{m[5]}"
        yield Value(value, "time", m[0].strip(), m.start(), m.end())


def dates_in(text: str) -> Iterator[Value]:
    """Dates with a year, as "YYYY-MM-DD"."""
    for m in _DATE.finditer(text):
        if m[1]:
            year, month, day = m[1], int(m[2]), int(m[3])
        elif m[4]:
            year, month, day = m[6], _MONTHS[m[4][:3].casefold()], int(m[5])
        else:
            year, month, day = m[9], _MONTHS[m[8][:3].casefold()], int(m[7])
        if 1 <= month <= 12 and 1 <= day <= 31:
            yield Value(f"{year}-{month:02}-{day:02}", "date", m[0], m.start(), m.end())


def times_as_written(text: str) -> Iterator[Value]:
    """Times of day as they stand in the text; bounds of a range know each other."""
    found = [v._replace(value=v.text) for v in times_in(text)]
    yield from _with_ranges(found, text)


def words_matching(pattern: str, text: str) -> list[Value]:
    """Runs of up to six words that a pattern matches as a whole or, where it is not anchored, in part."""
    wanted, words = LinearPattern(pattern), list(re.finditer(r"[^\s,;]+", text))[:200]
    found: list[Value] = []
    for size in range(1, 7):
        for at in range(len(words) - size + 1):
            start, end = words[at].start(), words[at + size - 1].end()
            span = text[start:end].strip(".,;:!?()\"'")
            if span and wanted.search(span):
                found.append(Value(span, "", span, start, end))
        if found:
            break
    return found


def names_in(text: str, question: str) -> list[Value]:
    """Names: capitalized words within a sentence, without those that the question has."""
    found = []
    for m in NAME.finditer(text):
        starts_sentence = not text[: m.start()].rstrip() or text[: m.start()].rstrip()[-1] in ".!?\n"
        if m[0] not in question and not (starts_sentence and " " not in m[0] and m[0].casefold() in STOP):
            found.append(Value(m[0], "", m[0], m.start(), m.end()))
    return found


def name_after(direction: str, text: str) -> str:
    """The only name or code that something comes from, or goes to; "" where there is none, or several."""
    place = "from" if direction == "from" else "(?:to|into)"
    found = re.findall(rf"\b{place} (?:(?:my|the|account|card|number) ){{0,3}}({NAME.pattern})", text)
    return found[0] if len(found) == 1 else ""


def quoted_in(text: str) -> str:
    """The only text in quotation marks; "" where there is none, or several."""
    found = re.findall(r"[\"“«]([^\"”»\n]{1,300})[\"”»]", text)
    return found[0] if len(found) == 1 else ""


def named_in(text: str) -> frozenset[str]:
    """The stems of a text, days in full, with those between "Monday to Friday"."""

    def between(m: re.Match[str]) -> str:
        first, last = _DAYS.index(_DAY_NAMES[m[1]]), _DAYS.index(_DAY_NAMES[m[2]])
        return " ".join(_DAYS[n % 7] for n in range(first, last + 1 + 7 * (last < first)))

    text = _DAY_RANGE.sub(between, text.casefold().replace("_", " "))
    return frozenset(content_words(_DAY.sub(lambda m: _DAY_NAMES[m[1]], text)))


def is_form(pattern: str, value: str) -> bool:
    """Whether a pattern is for values of this form: it matches the value, and not just any word."""
    wanted = LinearPattern(pattern)
    return bool(wanted.search(value)) and not wanted.search("wire")


def best_named(options: list[str], evidence: Evidence) -> list[int]:
    """The options of most words that the answer has all of, or the question where the answer has none."""
    for text in (evidence.answer, evidence.question):
        said = named_in(text)
        full = [(len(stems), n) for n, option in enumerate(options) if (stems := named_in(option)) and stems <= said]
        if full:
            return [n for size, n in full if size == max(full)[0]]
    return []


def matches_in(pattern: re.Pattern[str], text: str) -> Iterator[Value]:
    for m in pattern.finditer(text):
        yield Value(m[0].rstrip("."), "", m[0].rstrip("."), m.start(), m.end())


def frequencies(text: str) -> frozenset[str]:
    """The units of time of what a text counts: "month" of "$5 a month" and "the monthly fee", but not of "1 month"."""
    found = (m[1] or m[2] or "year" for m in _OFTEN.finditer(text))
    return frozenset({"dai": "day", "annual": "year"}.get(f.casefold(), f.casefold()) for f in found)


def periods(options: Sequence[str]) -> dict[str, int]:
    """Which option stands for which unit of time, such as "per_month" or "monthly"; empty for other options."""
    units = {next(iter(said)): n for n, option in enumerate(options) if len(said := _often(option)) == 1}
    return units if len(units) > 1 else {}


def _often(option: str) -> frozenset[str]:
    words = option.replace("_", " ").casefold().removeprefix("per ")
    return frequencies(words if words.endswith("ly") else f"per {words.removesuffix('s')}")


def is_bound(value: Value, text: str) -> bool:
    """Whether a text names an amount as a condition: "a balance of $500 or more", "below $9"."""
    before = text[max(value.start - 25, 0) : value.start]
    return bool(_BOUND.search(before)) or text[value.end :].startswith((" or more", " or less", " or above"))


def is_added(one: Value, other: Value, text: str) -> bool:
    """Whether two amounts make up one: "$26 a month plus $3 for each employee"."""
    first, second = sorted((one, other), key=lambda v: v.start)
    between = text[first.end : second.start]
    return " plus " in between and not _ENDS.search(between)


def are_both_asked(one: frozenset[str], other: frozenset[str], question: str) -> bool:
    """Whether a question has stems of two sets in parts that "and" or "or" joins: "new and used cars"."""
    parts = [_stems(part) for part in _JOINS.split(question)]
    return any(one & a and other & b for a, b in itertools.permutations(parts, 2))


def has_phrase(phrase: Sequence[str], text: str) -> bool:
    """Whether a text affirms something in these words, next to each other: "business days"."""
    said = " ".join(phrase).removesuffix("s")
    return len(phrase) > 1 and any(said in piece.casefold() for piece in affirmed(text))


def clause_around(text: str, start: int, end: int) -> str:
    """The part of a sentence that holds the span: up to the next comma, semicolon, "and", and the like."""
    first, last = 0, len(text)
    for m in _CLAUSE.finditer(text):
        if m.end() <= start:
            first = m.end()
        elif m.start() >= end:
            last = m.start()
            break
    return text[first:last]


def nearest_clause(question: str, text: str, opposites: bool = False) -> str:
    """The clause that shares more with the question than any other; the whole text where there is none.

    Args:
        opposites: a word counts as shared where the clause has its opposite.
    """
    clauses = [c for c in _CLAUSE.split(text) if c.strip()]
    asked = _stems(question) - GENERIC
    found = [_stems(c) for c in clauses]
    shares = sorted(
        ((len(asked & stems) + (opposed(asked, stems) if opposites else 0), n) for n, stems in enumerate(found)),
        reverse=True,
    )
    clear = len(shares) > 1 and shares[0][0] > shares[1][0]
    return clauses[shares[0][1]] if clear else text


def sentence_around(text: str, value: Value) -> str:
    """The sentence of a text that holds the value."""
    at = 0
    for sentence in sentences(text):
        at = text.find(sentence, at)
        if at <= value.start < at + len(sentence):
            return sentence
        at += len(sentence)
    return text


def near(value: Value, text: str) -> frozenset[str]:
    """The stems around a value, without those of counts and of words that say its kind."""
    return _stems(_COUNTED.sub(" ", clause_around(text, value.start, value.end))) - GENERIC


def relevance(value: Value, text: str, wanted: frozenset[str], asked: frozenset[str]) -> float:
    """How well the words around the value are those of the field's name (`wanted`) and of the question (`asked`).

    What counts most is the share of the clause that was asked for: "a large one $132" says less than "a small box costs
    $48", but only what was asked.
    """
    close = frozenset(w for w in near(value, text) if not w[0].isdigit())
    wide = _stems(next((s for s in sentences(text) if value.text in s), text))
    target = (asked | wanted) - GENERIC
    whole = 0.5 * bool(wanted and wanted <= close)
    precision = len(close & target) / len(close) if close else 0.0
    recall = len(close & target) / len(target) if target else 0.0
    against = opposed(close, target) + sum(
        bool(a & close and b & target) for one, other in OPPOSED for a, b in ((one, other), (other, one))
    )
    counted = 0.75 * (value.unit in target)
    named = len(wanted & close) + 0.4 * len(wanted & wide - close)
    return whole + precision + 0.5 * recall - 0.75 * against + counted + (0.75 * named / len(wanted) if wanted else 0.0)


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(normal, content_words(text)))


def pieces(text: str) -> list[str]:
    """The items of a list, rows, or else the clauses of a text."""
    lines = [s.strip() for s in sentences(text)]
    return [part.strip() for line in lines for c in _PIECE.split(line) for part in _with_figures(c) if part.strip()]


def _with_figures(clause: str) -> Iterator[str]:
    """The parts of a clause that "and" or "plus" joins, where each has a figure; "between 2 and 4 days" is one."""
    start = 0
    for m in _JOINED.finditer(clause):
        before, after = clause[start : m.start()], clause[m.end() :]
        if re.search(r"\d", before) and re.search(r"\d", after) and not (before[-1].isdigit() and after[0].isdigit()):
            yield before
            start = m.end()
    yield clause[start:]


def affirmed(text: str) -> list[str]:
    """The pieces of a text without what they except or deny."""
    kept = (_EXCEPT.split(piece)[0] for piece in pieces(text))
    return [piece for piece in kept if not NEGATION.search(piece)]


def enumerated(text: str) -> list[str]:
    """The items of the longest list in a text, such as those of "A, B, and C", or its bullets."""
    bullets = [m[1].strip() for m in re.finditer(r"(?m)^[^\S\n]*+(?:[-*•]|\d{1,2}[.)])[^\S\n]++(.{1,300})$", text)]
    if len(bullets) > 1:
        return bullets
    best: list[str] = []
    for sentence in sentences(text):
        parts = re.split(r", and |, or |, | and | or ", sentence.rstrip(".!?"))
        if len(parts) > max(len(best), 1):
            best = parts
    if best:
        best[0] = _INTRODUCES.split(best[0])[-1]
    return [b.strip(" .") for b in best if b.strip(" .")]
