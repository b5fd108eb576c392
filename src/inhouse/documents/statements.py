"""What documents state: each sentence or row of a table, what it is about, and the figures in it.

Figures are of a kind, and only those of a kind can contradict each other: amounts of a currency, percentages, times of
day, phone numbers, durations by their unit, and counts by what is counted ("3 items").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from inhouse.documents.clean import headings, plain
from inhouse.text.claims import NEGATION, names
from inhouse.text.sentences import sentences
from inhouse.text.tables import Row, tables
from inhouse.text.words import CACHED, SMALL_NUMBERS, STOP, content_words, stem, value_of
from inhouse.types import Document

MOST_CHARS = 600  # of a sentence; a longer one is a list without a subject
MOST_STATEMENTS = 60_000  # of all documents
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SMALL = "|".join(SMALL_NUMBERS)
_FIGURE = re.compile(
    rf"(?<![\w.,-])(?:(?P<phone>\+?\d[\d() -]{{5,18}}\d{{2}}(?![\w,.]\d))"
    rf"|(?P<sign>[$£€]) ?(?P<amount>{_NUMBER})|(?P<money>{_NUMBER}) "
    rf"?(?P<currency>dollars?|euros?|pounds?|usd|eur|gbp)\b"
    rf"|(?P<percent>{_NUMBER}) ?(?:%|percent\b|per cent\b)"
    r"|(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d))? ?(?P<half>[ap])\.?m\b\.?|(?P<clock>[012]?\d:\d\d)"
    rf"|(?:(?P<low>{_NUMBER}|{_SMALL}) ?(?:to|-|–|or) ?)?(?P<count>{_NUMBER}|{_SMALL})[ -]"
    r"(?:(?:business|working|calendar|consecutive|full|free|separate|different) )?"
    r"(?P<unit>[a-z]{3,24})\b)",
    re.IGNORECASE,
)
_FREE = re.compile(
    r"\b(?:free(?: of charge)?(?! (?:wi-?fi|to\b))|no (?:\w+ )?(?:fee|charge|cost)s?"
    r"|without (?:(?:a|any) )?(?:fee|charge)|at no (?:charge|cost)|costs? nothing|complimentary)\b",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"\b(?:if|when|unless|except|below|above|over|under|more than|less than|(?:after|before)(?= that)|once|first"
    r"|waived|at least|or more|minimum|from(?= ?[$£€\d])|usually|some|sometimes|may|might|depending|starting)\b",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"\b(?:(?:a|an|per|each|every|in) (day|night|week|month|year|hour)|(daily|weekly|monthly|yearly|annual(?:ly)?))\b",
    re.IGNORECASE,
)
_PERIODS = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
    "annual": "year",
    "annually": "year",
}
_CURRENCIES = {"dollar": "$", "usd": "$", "euro": "€", "eur": "€", "pound": "£", "gbp": "£"}
_CLAUSE = re.compile(r",\s(?:\s?(?:and|but|or|while)\s)?|\s(?:and|but|while)\s", re.IGNORECASE)
_IN_OUT = re.compile(r"\b(check|walk|drop|log|sign|drive|opt)[ -](in|out|off)\b", re.IGNORECASE)  # both are stop words
_NO_CLAIM = re.compile(r"`[^`\n]*+`?|<?\bhttps?://\S++")  # code and addresses
_HALF_DAY = re.compile(r"\b([ap])\.m\.", re.IGNORECASE)  # ends no sentence
_BARE = re.compile(r"[\d.,]+")
_WRAPPED = re.compile(r"(?<=\w)\n(?=[a-z0-9$])")  # a number may begin the next line of a sentence
_LABEL = re.compile(r"^[^\w\n]*(?:q|a|note|answer|question)[:.] *", re.IGNORECASE)
_ALIKE = {
    w: group.partition(" ")[0]
    for group in (
        "cost fee price charg charge paid pay payabl amount free complimentari",
        "limit most maximum max largest highest",
        "least minimum min smallest lowest", "year yearli annual annum", "month monthli", "week weekli",
        "day daili", "phone call telephon mobil", "abroad intern foreign oversea", "send sent outgo",
        "receiv incom", "waiv waiver", "expir valid", "cancel stop", "take arriv", "hour time",
        "close shut", "open start", "dispute challeng", "saturday weekend", "rate interest yield",
    )
    for w in group.split()
}  # fmt: skip
"""Stems of words for one thing, each with the first of them."""
_EMPTY = frozenset(
    """much mani long take tell need want exactli cent percent dollar usd amount list number more less question answer
    note servic item overview use now current per up new custom per at new""".split()  # noqa: SIM905
)


class Statement(NamedTuple):
    """A clause of a document.

    Attributes:
        document: its index.
        text: of the whole sentence or row.
        heading: that it stands below; "" for none.
        own: the words that it says, without figures.
        words: the same, with those of its heading if that asks a question.
        about: besides, the words of the headings and the title.
        names: that it mentions, in lower case.
        figures: by kind.
        periods: such as "day", that amounts are for.
        conditional: whether it holds only in a case.
        negated: whether it denies something.
        table: of which it is a row, 0 for none.
    """

    document: int
    text: str
    heading: str
    own: frozenset[str]
    words: frozenset[str]
    about: frozenset[str]
    names: frozenset[str]
    figures: Mapping[str, frozenset[str]]
    periods: frozenset[str]
    conditional: bool
    negated: bool
    table: int = 0


@lru_cache(maxsize=CACHED)
def subject_words(text: str) -> frozenset[str]:
    """The words by which subjects are told apart, those for the same thing as one; without figures."""
    found = (_ALIKE.get(w, w) for w in content_words(_IN_OUT.sub(r"\1\2", text)) if not w[0].isdigit())
    return frozenset(found) - _EMPTY


@lru_cache(maxsize=CACHED)
def figures(text: str) -> dict[str, frozenset[str]]:
    """The figures of a clause by kind, in one spelling each; "free" is an amount of 0."""
    found: dict[str, set[str]] = {}
    for m in _FIGURE.finditer(text):
        kind, value = _figure(m)
        if kind:
            found.setdefault(kind, set()).add(value)
            if low := m["low"]:
                found[kind].add(_counted(low))
    if "$" not in found and not any(k in found for k in "£€") and _FREE.search(text):
        found["free"] = {"0"}
    return {kind: frozenset(values) for kind, values in found.items()}


def _figure(m: re.Match[str]) -> tuple[str, str]:
    if m["phone"]:
        digits = re.sub(r"\D", "", m["phone"])
        return ("phone", digits) if len(digits) >= 7 else ("", "")
    if m["sign"]:
        return m["sign"], value_of(m["amount"])
    if m["money"]:
        return _CURRENCIES[m["currency"].casefold().removesuffix("s")], value_of(m["money"])
    if m["percent"]:
        return "%", value_of(m["percent"])
    if m["hour"]:
        return "clock", f"{int(m['hour']) % 12 + 12 * (m['half'].lower() == 'p')}:{m['minute'] or '00'}"
    if m["clock"]:
        hour, _, minute = m["clock"].partition(":")
        return "clock", f"{int(hour)}:{minute}"
    unit = m["unit"].casefold()
    if unit in STOP or unit in SMALL_NUMBERS or unit in ("percent", "per"):
        return "", ""
    return f"#{stem(unit)}", _counted(m["count"])


def _counted(number: str) -> str:
    return SMALL_NUMBERS.get(number.casefold()) or value_of(number)


def statements(documents: Sequence[Document]) -> list[Statement]:
    """What the documents state, in order; at most MOST_STATEMENTS."""
    found: list[Statement] = []
    for n, document in enumerate(documents):
        about = subject_words(document.title)
        for heading, text, table in _lines(document):
            found += _clauses(n, about, heading, text, table and 1000 * n + table)
        if len(found) >= MOST_STATEMENTS:
            break
    return found[:MOST_STATEMENTS]


def _lines(document: Document) -> Iterator[tuple[str, str, int]]:
    """Each sentence or row, after the heading that it stands below, with the number of its table."""
    text = _HALF_DAY.sub(r"\1m", document.text)
    spans = [(t.start, t.end, t) for t in tables(text)]
    known = {words for _, words in headings(text)}
    heading, at = "", 0
    for number, (start, end, table) in enumerate([*spans, (len(text), len(text), None)], 1):
        block: list[str] = []
        for line in [*text[at:start].splitlines(), "#"]:
            bare = plain(line.lstrip("# ").rstrip()) if line.lstrip().startswith("#") else ""
            if line != "#" and bare not in known:
                block.append(_LABEL.sub("", line))
                continue
            yield from ((heading, s, 0) for s in sentences(_WRAPPED.sub(" ", "\n".join(block))))
            block, heading = [], bare or heading
        if table:
            for row in table.rows:
                yield from ((heading, cell, number) for cell in _cells(row, table.keys))
        at = end


def _cells(row: Row, keys: int) -> Iterator[str]:
    """Each cell of a row with the name of its column, after the cells that name the row: "Manicure: 45 Minutes"."""
    count = max(keys, 1)
    named = ", ".join(filter(None, (row.group, *row.cells[:count])))
    for column, cell in zip(row.header[count:], row.cells[count:], strict=True):
        if cell:
            yield f"{named}: {cell} {column}" if _BARE.fullmatch(cell) else f"{named}: {column} {cell}"


def _clauses(document: int, title: frozenset[str], heading: str, text: str, table: int) -> Iterator[Statement]:
    text = " ".join(_NO_CLAIM.sub(" ", text).split())
    if len(text) > MOST_CHARS or text.endswith(("?", ":")):  # what introduces a list or a command states nothing
        return
    asked = subject_words(heading) if heading.endswith("?") else frozenset()
    about = title | subject_words(heading)
    named = frozenset(w for name in names(text) for w in subject_words(name)) if not table else frozenset()
    for sentence in text.split("; "):
        for piece in _pieces(sentence):
            own = subject_words(_FIGURE.sub(" ", piece))
            periods = frozenset(
                _PERIODS.get(word, word) for m in _PERIOD.findall(piece) for word in [max(m).casefold()]
            )
            yield Statement(
                document, text, heading, own, own | asked, about | own, named & own, figures(piece), periods,
                bool(_BELOW.search(piece)), bool(NEGATION.search(piece)), table,
            )  # fmt: skip


def _pieces(sentence: str) -> Iterator[str]:
    """The clauses of a sentence that have figures of one kind; else itself. A clause without figures belongs to the one
    before it, the first to the one after it."""
    joined: list[str] = []
    for part in filter(None, _CLAUSE.split(sentence)):
        if joined and (not figures(part) or not figures(joined[-1])):
            joined[-1] = f"{joined[-1]} {part}"
        else:
            joined.append(part)
    read = [figures(p) for p in joined]
    if any(kind in other for n, own in enumerate(read) for kind in own for other in read[:n]):
        yield from joined
    else:
        yield sentence
