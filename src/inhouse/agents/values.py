"""Values of slots in what a user writes: days, times, numbers, names, choices. Code reads them: none is made up.

Days and times are read as people write them ("next Friday", "the 14th", "half past three") relative to a given day. A
day without a year is the next one. "next Friday" is the Friday of next week. A time without am or pm between 1 and 7 is
in the afternoon. Whoever uses a value reads it back to the user before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import re2
from rapidfuzz import fuzz

from inhouse.agents.procedure import Slot
from inhouse.errors import ConfigError
from inhouse.text.claims import NEGATION
from inhouse.text.sentences import sentences
from inhouse.text.words import SMALL_NUMBERS, STOP
from inhouse.types import Json

MOST_CHARS = 2000  # of a message that values are looked for in
ALIKE = 88  # of 100, from which a misspelled choice counts
BESIDE = 2  # characters between a weekday and its date
MOST_TEXT = 400  # characters of a value of type "text"
_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
_MONTH = {name: n for n, m in enumerate(_MONTHS, 1) for name in (m, m[:3], m[:4])}
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()  # noqa: SIM905
_DAY = {name: n for n, d in enumerate(_DAYS) for name in (d, d[:3], d[:4], d[:5])}
_M = "|".join(sorted(_MONTH, key=len, reverse=True))
_D = "|".join(sorted(_DAY, key=len, reverse=True))
_FEW = "|".join(sorted(SMALL_NUMBERS, key=len, reverse=True))
_DATE = re.compile(
    r"\b(?P<iso>\d{4}-\d{2}-\d{2})\b"
    rf"|\b(?P<m1>{_M})\.? (?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (?P<y1>\d{{4}})\b)?"
    rf"|\b(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?(?P<m2>{_M})\b\.?(?:,? (?P<y2>\d{{4}})\b)?"
    r"|\b(?P<m3>\d{1,2})/(?P<d3>\d{1,2})(?:/(?P<y3>\d{4}|\d{2}))?\b"
    r"|\b(?P<after>day after tomorrow)\b|\b(?P<word>today|tonight|tomorrow|tmrw|tmr)\b"
    rf"|\b(?:(?P<which>next|this|coming) )?(?P<day>{_D})\b"
    rf"|\bin (?:(?P<n>\d{{1,3}})|(?P<few>{_FEW}|an?)) (?P<unit>days?|weeks?)\b"
    r"|\bthe (?P<nth>\d{1,2})(?:st|nd|rd|th)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?P<h1>\d{1,2})(?:[:.](?P<m1>\d{2}))? ?(?P<half>[ap])\.?m\b"
    r"|\b(?P<h2>[01]?\d|2[0-3])[:.](?P<m2>[0-5]\d)\b(?! ?[/%€$])"
    r"|\b(?P<word>noon|midday|midnight)\b"
    rf"|\b(?P<rel>half past|quarter past|quarter to) (?:(?P<h3>\d{{1,2}})|(?P<few>{_FEW}))\b"
    r"|\b(?:at|around|by|about) (?P<h4>\d{1,2})(?: ?o'?clock)?\b(?![:.,/]?\d)(?! ?(?:%|st\b|nd\b|rd\b|th\b))"
    r"|\b(?P<h5>\d{1,2}) ?o'?clock\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(rf"(?<![\w.])(?P<sign>[$€£] ?)?(?P<digits>\d{{1,12}}(?:,\d{{3}}){{0,4}}(?:\.\d{{1,4}})?)(?![\w]|[.:/-]\d)|\b(?P<few>{_FEW})\b", re.IGNORECASE)  # fmt: skip  # noqa: E501
_CURRENCY = re.compile(r" ?(?:dollars?|bucks|usd|euros?|eur|pounds|gbp)\b| ?[$€£]", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+])\+?\(?\d(?:[ ().-]{0,2}\d){6,14}(?!\w)")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}(?!\w)")
_CODE = re.compile(r"(?<![\w#])#?[A-Za-z0-9][A-Za-z0-9-]{1,39}(?!\w)")
_NAMED = re.compile(
    r"\b(?:my (?:full )?name is|name's|i am|i'm|this is|it is|it's|for|call me|under) "
    r"(?P<name>[^\W\d_][\w'’.-]{0,40}(?: [^\W\d_][\w'’.-]{0,40}){0,3})",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(r"\b(?:my (?:full )?name is|name's|i am|i'm|this is|call me|my name's)\s$", re.IGNORECASE)
_BESIDE_CODE = re.compile(r"(?<![\w#])#?(?=[\w-]{0,39}\d)[\w-]{2,40},? (?:and )?$")
_LEADING_CODES = re.compile(r"(?:(?=[^ ]{0,39}\d)[^ ]{2,40} ){1,2}")
_NOT = re.compile(r"\b(?:not|except|besides)(?: on| at| for| the)? $", re.IGNORECASE)
_SOON = re.compile(
    r"\b(?:as soon as (?:possible|you can)|asap|soonest|earliest|right away|immediately|whenever"
    r"|(?:first|next) (?:available|free|possible|slot|opening))\b", re.IGNORECASE)  # fmt: skip
_ANY = re.compile(
    r"\b(?:any(?: ?(?:one|body|day|time))?|either|whichever|whoever|no preference|you (?:choose|pick|decide)"
    r"|(?:does not|doesn't|don't) (?:matter|mind|care))\b", re.IGNORECASE)  # fmt: skip
_PARTS = {"morning": ("00:00", "11:59"), "afternoon": ("12:00", "17:59"), "evening": ("17:00", "23:59")}
_PROPER = re.compile(r"\b[A-Z\u00c0-\u00de][\w'’-]{1,40}(?: [A-Z\u00c0-\u00de][\w'’.-]{0,40}){0,3}")
_LEAD = re.compile(
    r"^(?:(?:it's|it is|its|i'm|i am|my name is|name is|sure|ok|okay|yes|yeah|well|um|uh|hi|hello|the|that would be"
    r"|that's|this is|please|with|for|to|a|an)[,.!:]?\s+){1,4}", re.IGNORECASE)  # fmt: skip


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[^\W_]+")
_SILENT = dict.fromkeys(map(ord, "'’."), None)
_NOT_NAMES = _set(
    "i it the a an yes no ok okay sure hi hello please thanks thank you my what when where who how why can could "
    "would do does is are am and or but with not for to in on at from by about calling looking trying interested here "
    "sorry fine good sick unable january february march april may june july august september october november "
    "december"
) | frozenset(_DAYS)


_PLACES = [_set(f"{a} {n}{b}") for n, (a, b) in enumerate(
    [("first earliest", "st"), ("second", "nd"), ("third", "rd"), ("fourth", "th"), ("fifth", "th")], 1)]  # fmt: skip
_LAST = _set("last latest")
_POINTS = _LAST.union(*_PLACES, _set("the this that which another other no any each every right wrong same"))


class Value(NamedTuple):
    """A value, and where it stands in the text; `signed` if it has the sign of a currency, `introduced` if it is a name
    that the text says to be one, as in "I'm Ann Lee" and "P1007, Ann Lee"."""

    value: Json
    start: int
    end: int
    signed: bool = False
    introduced: bool = False


def found(slot: Slot, text: str, today: date, choices: Sequence[str] = (), asked: bool = False) -> list[Value]:
    """The values in a message that the slot may have, in the order of the text.

    Args:
        slot: its type and pattern.
        text: what the user wrote; only the first MOST_CHARS are read.
        today: the day that "tomorrow" is relative to.
        choices: the values of type "choice".
        asked: whether the slot was asked for: then a short answer as a whole may be a name or a text, and a number
            without a currency an amount.
    """
    text = text[:MOST_CHARS]
    if slot.type == "choice":
        return (
            chosen(text, choices, slot.also)
            or chosen_by_time(text, choices, today, asked)
            or (by_place(text, choices) if asked else [])
        )
    values = list(_READERS[slot.type](text, today)) if slot.type in _READERS else []
    if slot.type == "id":
        values = [v for v in _codes(text) if not slot.pattern or matches(slot.pattern, str(v.value))]
        values = values or ([v for v in _whole(text) if matches(slot.pattern, str(v.value))] if slot.pattern else [])
    if slot.type == "name":
        values = list(_names(text, asked))
    if slot.type == "text" and asked and text.strip():
        values = [Value(text.strip()[:MOST_TEXT], 0, len(text))]
    if slot.type == "time" and asked and not values:
        values = _hours(text, today)
    if slot.type == "money" and not asked:  # other numbers may be of anything
        values = [v for v in values if text[v.start] in "$€£" or _CURRENCY.match(text, v.end)]
    if slot.pattern and slot.type != "id":
        values = [v for v in values if matches(slot.pattern, str(v.value))]
    return values


def picked(slot: Slot, text: str, said: str, today: date, choices: Sequence[str] = ()) -> list[Value]:
    """What an answer picks of what was offered, without naming it: the first day or time ("the first one", "in the
    afternoon"), or any of the choices that a tool found. A sentence that denies something offers nothing ("there is no
    free time on Monday"). Where no day is offered, "as soon as possible" is today, and "any day next week" its Monday,
    for the tool to find the first that is free.
    """
    text = text[:MOST_CHARS]
    if slot.type == "choice":
        any_ = slot.choices_from and choices and _ANY.search(text)
        return [Value(choices[0], 0, len(text))] if any_ else []
    if slot.type not in ("date", "time"):
        return []
    open_ = " ".join(s for s in sentences(said[:MOST_CHARS]) if not NEGATION.search(s))
    offered = sorted({str(v.value) for v in _READERS[slot.type](open_, today)})
    parts = [_PARTS[word] for word in _words(text) if word in _PARTS]
    if slot.type == "time" and parts:
        return [Value(t, 0, len(text)) for t in offered if any(first <= t <= last for first, last in parts)][:1]
    if offered and (placed := by_place(text, offered)):
        return placed
    if slot.type == "date" and "next week" in " ".join(_words(text)):
        return [Value((today + timedelta(7 - today.weekday())).isoformat(), 0, len(text))]
    if (offered or slot.type == "date") and (_SOON.search(text) or _ANY.search(text)):
        return [Value(offered[0] if offered else today.isoformat(), 0, len(text))]
    return []


@lru_cache(maxsize=500)
def compiled(pattern: str) -> re2._Regexp:
    """
    Raises:
        ConfigError: it is not a regular expression of RE2.
    """
    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ConfigError(f"{pattern!r} is not a regular expression ({error})", "see github.com/google/re2") from error


def matches(pattern: str, text: str) -> bool:
    return compiled(pattern).fullmatch(text) is not None


def chosen(text: str, choices: Sequence[str], also: Mapping[str, Sequence[str]] = MappingProxyType({})) -> list[Value]:
    """The choices that the text names: whole, else by a word that no other choice has, else misspelled.

    Args:
        text: what the user wrote.
        choices: the values.
        also: other names of a choice.
    """
    low, names = " ".join(_words(text)), {c: (c, *also.get(c, ())) for c in choices}
    listed = sorted({_low(name) for own in names.values() for name in own}, key=len, reverse=True)
    low = _without(listed, low)
    whole = [(c, _low(name)) for c, own in names.items() for name in own if _inside(_low(name), low)]
    longest = [c for c, name in whole if not any(name != other and _inside(name, other) for _, other in whole)]
    if longest:
        return [Value(c, 0, len(text)) for c in dict.fromkeys(longest)]
    own_words = {c: {word for name in own for word in _words(name)} for c, own in names.items()}
    said = set(low.split())
    telling = {w for w in said - STOP if len(w) > 2 and sum(w in words for words in own_words.values()) == 1}
    only = [c for c in choices if telling & own_words[c]]
    if only:
        return [Value(c, 0, len(text)) for c in only]
    tokens = low.split()
    scores = {c: max(_likeness(_low(name).split(), tokens) for name in own) for c, own in names.items()}
    best = max(scores.values(), default=0)
    return [Value(c, 0, len(text)) for c, score in scores.items() if score >= ALIKE and score == best]


def _without(names: Sequence[str], text: str) -> str:
    """The text without the names that it says are not meant: "plumbing, not heating"."""
    padded = f" {text} "
    for name in names:
        for before in ("not", "not the", "instead of", "rather than"):
            padded = padded.replace(f" {before} {name} ", " ") if name else padded
    return padded.strip()


def _likeness(choice: Sequence[str], tokens: Sequence[str]) -> float:
    """How much a misspelled choice is like some words of the text, 0 to 100; both begin with the same letter."""
    size, word = len(choice), " ".join(choice)
    if len(word) <= 3:
        return 0
    near = (" ".join(tokens[n : n + size]) for n in range(len(tokens) - size + 1))
    return max((fuzz.ratio(word, part) for part in near if part[0] == word[0]), default=0)


def chosen_by_time(text: str, choices: Sequence[str], today: date, asked: bool) -> list[Value]:
    """The choices that hold the days and times of the text; a bare hour counts where the choice was asked for."""
    days = [str(v.value) for v in _dates(text, today)]
    times = [str(v.value) for v in _times(text, today)]
    if asked and not times:
        hours = [int(v.value) for v in _numbers(text, today) if isinstance(v.value, int) and 0 < v.value <= 12]
        times = [f"{h:02}:00" for hour in hours for h in (hour, hour + 12)]
    fitting = [
        c for c in choices if (not days or any(d in c for d in days)) and (not times or any(t in c for t in times))
    ]
    return [Value(c, 0, len(text)) for c in fitting] if days or times else []


def by_place(text: str, choices: Sequence[str]) -> list[Value]:
    """The choice that the text names by its place: "the second one", "the last"."""
    said = set(_words(text))
    places = {n for n, names in enumerate(_PLACES) if names & said}
    if said & _LAST:
        places.add(len(choices) - 1)
    return [Value(choices[n], 0, len(text)) for n in sorted(places) if n < len(choices)]


def _inside(phrase: str, text: str) -> bool:
    return bool(phrase) and f" {phrase} " in f" {text} "


def _low(choice: Json) -> str:
    return " ".join(_words(str(choice)))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold().translate(_SILENT))


def _dates(text: str, today: date) -> Iterator[Value]:
    """The days; of a weekday and a date beside each other, such as "Tuesday the 9th", the date."""
    found = [(m, day) for m in _DATE.finditer(text) if (day := _date(m, today)) and not _denied(text, m.start())]
    for n, (m, day) in enumerate(found):
        beside = [o for o, _ in found[max(n - 1, 0) : n + 2] if o is not m and _gap(m, o) <= BESIDE]
        if m["day"] and any(not o["day"] for o in beside):
            continue
        yield Value(day.isoformat(), m.start(), m.end())


def _denied(text: str, at: int) -> bool:
    """Whether a value is what somebody does not want: "not on Monday"."""
    return _NOT.search(text[max(0, at - 20) : at]) is not None


def _gap(a: re.Match[str], b: re.Match[str]) -> int:
    return max(a.start(), b.start()) - min(a.end(), b.end())


def _date(m: re.Match[str], today: date) -> date | None:
    g = m.groupdict()
    try:
        if g["iso"]:
            return date.fromisoformat(g["iso"])
        if g["m1"] or g["m2"]:
            return _next(_MONTH[(g["m1"] or g["m2"]).lower()], int(g["d1"] or g["d2"]), g["y1"] or g["y2"], today)
        if g["m3"]:
            year = f"20{g['y3']}" if g["y3"] and len(g["y3"]) == 2 else g["y3"]
            return _next(int(g["m3"]), int(g["d3"]), year, today)
        if g["nth"]:
            day = int(g["nth"])
            later = today.month % 12 + 1, today.year + today.month // 12
            return today.replace(day=day) if day >= today.day else date(later[1], later[0], day)
    except ValueError:  # no such day
        return None
    if g["after"]:
        return today + timedelta(2)
    if g["word"]:
        return today + timedelta(0 if g["word"].lower() in ("today", "tonight") else 1)
    if g["unit"]:
        count = int(g["n"]) if g["n"] else SMALL_NUMBERS.get(g["few"].lower(), 1)
        return today + timedelta(int(count) * (7 if g["unit"].lower().startswith("week") else 1))
    ahead = (_DAY[g["day"].lower()] - today.weekday()) % 7
    if (g["which"] or "").lower() == "next" and ahead <= 6 - today.weekday():
        ahead += 7
    return today + timedelta(ahead or 7)


def _next(month: int, day: int, year: str | None, today: date) -> date:
    if year:
        return date(int(year), month, day)
    this = date(today.year, month, day)
    return this if this >= today else date(today.year + 1, month, day)


def _times(text: str, today: date) -> Iterator[Value]:
    for m in _TIME.finditer(text):
        g = m.groupdict()
        hour, minute = 0, int(g["m1"] or g["m2"] or 0)
        if g["h1"]:
            hour = int(g["h1"]) % 12 + (12 if g["half"].lower() == "p" else 0)
        elif g["h2"]:
            hour = int(g["h2"]) if g["h2"].startswith("0") else _day_hour(int(g["h2"]))
        elif g["word"]:
            hour = 0 if g["word"].lower() == "midnight" else 12
        elif g["rel"]:
            hour = _day_hour(int(g["h3"] or SMALL_NUMBERS.get((g["few"] or "").lower(), 12)))
            minute = {"half past": 30, "quarter past": 15, "quarter to": 45}[g["rel"].lower()]
            hour -= g["rel"].lower() == "quarter to"
        else:
            hour = _day_hour(int(g["h4"] or g["h5"]))
        if 0 <= hour < 24 and minute < 60 and not _denied(text, m.start()):
            yield Value(f"{hour:02}:{minute:02}", m.start(), m.end())


def _hours(text: str, today: date) -> list[Value]:
    """Bare hours, such as "10" or "11 then"."""
    numbers = [v for v in _numbers(text, today) if isinstance(v.value, int) and 0 < v.value <= 12]
    return [Value(f"{_day_hour(v.value):02}:00", v.start, v.end) for v in numbers]


def _day_hour(hour: int) -> int:
    return hour + 12 if 1 <= hour <= 7 else hour


def _numbers(text: str, today: date) -> Iterator[Value]:
    taken = [(v.start, v.end) for reader in (_dates, _times) for v in reader(text, today)]
    for m in _NUMBER.finditer(text):
        if any(start <= m.start() < end for start, end in taken):
            continue
        if m["few"]:
            if m["few"].lower() == "one" and _before(text, m.start()) in _POINTS:
                continue  # "the second one"
            yield Value(int(SMALL_NUMBERS[m["few"].lower()]), m.start(), m.end())
            continue
        number = float(m["digits"].replace(",", ""))
        yield Value(int(number) if number.is_integer() else number, m.start(), m.end(), bool(m["sign"]))


def _before(text: str, at: int) -> str:
    """The word before a place."""
    return (_words(text[max(0, at - 20) : at]) or [""])[-1]


def _integers(text: str, today: date) -> Iterator[Value]:
    return (v for v in _numbers(text, today) if isinstance(v.value, int))


def _phones(text: str, today: date) -> Iterator[Value]:
    return (Value(m[0], m.start(), m.end()) for m in _PHONE.finditer(text))


def _emails(text: str, today: date) -> Iterator[Value]:
    return (Value(m[0], m.start(), m.end()) for m in _EMAIL.finditer(text))


def _booleans(text: str, today: date) -> Iterator[Value]:
    from inhouse.agents.answers import polarity_of

    if (said := polarity_of(text)) is not None:
        yield Value(said, 0, len(text))


def _codes(text: str) -> list[Value]:
    """Words with a digit in them, as IDs have."""
    return [Value(m[0], m.start(), m.end()) for m in _CODE.finditer(text) if any(c.isdigit() for c in m[0])]


def _names(text: str, asked: bool) -> Iterator[Value]:
    for m in _NAMED.finditer(text):
        name = _until_stop(m["name"])
        if name:
            start, capitals = m.start("name"), all(word[0].isupper() for word in name.split())
            introduced = capitals and _INTRODUCED.search(text[:start]) is not None
            yield Value(name, start, start + len(name), introduced=introduced)
            return
    proper: list[Value] = []
    for m in _PROPER.finditer(text):
        code = _LEADING_CODES.match(m[0])  # "P1007 Ann Lee"
        start = m.start() + (code.end() if code else 0)
        name = _until_stop(text[start : m.end()])
        beside = " " in name and _BESIDE_CODE.search(text[max(0, start - 50) : start]) is not None
        if name and (start > 0 or asked):
            proper.append(Value(name, start, m.end(), introduced=beside))
    if proper:
        yield from proper
        return
    if asked and (whole := _whole(text)) and len(str(whole[0].value).split()) <= 3 and _until_stop(str(whole[0].value)):
        yield from whole


def _until_stop(name: str) -> str:
    """The words up to the first that no name has."""
    kept: list[str] = []
    for word in name.split():
        plain = word.strip(".,!?").casefold().replace("’", "'")
        if plain.removesuffix("'m").removesuffix("'s") in _NOT_NAMES or any(c.isdigit() for c in word):
            break
        kept.append(word)
    return " ".join(kept).rstrip(".,!?;:")


def _whole(text: str) -> list[Value]:
    """The message as it is, without words that introduce an answer."""
    plain = _LEAD.sub("", text.strip()).strip().rstrip(".!,;")
    return [Value(plain[:MOST_TEXT], 0, len(text))] if plain else []


_READERS: dict[str, Callable[[str, date], Iterator[Value]]] = {
    "date": _dates, "time": _times, "number": _numbers, "integer": _integers, "money": _numbers, "phone": _phones,
    "email": _emails, "boolean": _booleans,
}  # fmt: skip
