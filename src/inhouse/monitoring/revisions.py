"""Documents that have changed, are out of date, or contradict one another.

Two documents contradict one another where they give different figures for the same thing. That is read from words, so
the finder is careful: each sentence must be about nothing that the other one, with its title and headings, is not
about; the two documents must have the same title, or a line of one must name the other; and all other figures must be
the same. It misses contradictions in other words. People decide; nothing is changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Literal, NamedTuple

from inhouse.text.numbers import Number, numbers
from inhouse.text.sentences import sentences
from inhouse.text.words import content_words, words
from inhouse.types import Document, Record

REVIEW_DAYS = 365  # after which a document that nobody has changed or reviewed is out of date
MOST_EXAMPLES = 5  # sentences of a changed document that are shown
MOST_ALIKE = 500  # sentences that share a word: one that more have is not looked for
LEAST_SHARED = 2  # words that two sentences share, besides what titles say
FILLERS = frozenset("charg cost pay paid amount current standard total custom bank appli receiv need requir".split())  # noqa: SIM905
"""Stems that one of two sentences may have more: they say nothing of what the figure is of."""
MOST_CHARS = 400  # of a sentence; longer ones are lists and tables that were flattened
_TIMES = frozenset("day dai hour minut month year week".split())  # noqa: SIM905
_UNITS = frozenset("$£€%") | _TIMES
_UNIT_WORDS = frozenset("dollar euro pound percent usd eur gbp".split()) | _TIMES  # noqa: SIM905
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DOTTED = re.compile(r"\b(\d{1,2})\.(\d{1,2})\.(\d{4})\b")
_DAY_FIRST = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th|\.|º)? (?:de |of )?([^\W\d_]{3,12})\.?,? (?:de )?(\d{4})\b")
_MONTH_FIRST = re.compile(r"\b([^\W\d_]{3,12})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})\b")
_ENDS = frozenset(
    """until till through expires expire expired expiring ends ending valid deadline closes bis gültig endet befristet
    jusqu jusqu'au valable expirent hasta válido válida vence vencen fino valido scade até tot geldig""".split()  # noqa: SIM905
)
_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")


class Revision(Record):
    """A document that is new, gone, or changed; sentences that only the earlier or only the later version has."""

    source: str
    kind: Literal["added", "removed", "changed"]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    figures: bool = False  # whether the versions have different figures


class Stale(Record):
    """A document that is out of date: what it says ended on the date, or nobody has reviewed it since."""

    source: str
    why: Literal["expired", "not reviewed"]
    date: str
    text: str = ""


class Contradiction(Record):
    """Two documents with different figures for the same thing, and the sentences that have them."""

    sources: tuple[str, str]
    texts: tuple[str, str]
    figures: tuple[str, str]


class DocumentDrift(Record):
    """What is wrong with documents; changes are those since the documents of the release."""

    changed: tuple[Revision, ...] = ()
    stale: tuple[Stale, ...] = ()
    contradicting: tuple[Contradiction, ...] = ()


# --- changed ----------------------------------------------------------------------------------------------------


def changed(before: Sequence[Document], after: Sequence[Document]) -> list[Revision]:
    """The documents whose text differs, by source, those with different figures first."""
    then, now = {d.source: d for d in before}, {d.source: d for d in after}
    found = [Revision(source=s, kind="removed") for s in then.keys() - now.keys()]
    found += [Revision(source=s, kind="added") for s in now.keys() - then.keys()]
    for source in then.keys() & now.keys():
        if then[source].text == now[source].text:
            continue
        old, new = sentences(then[source].text), sentences(now[source].text)
        gone = [s for s in old if s not in set(new)]
        came = [s for s in new if s not in set(old)]
        found.append(
            Revision(
                source=source,
                kind="changed",
                before=_cut(gone),
                after=_cut(came),
                figures={n for s in gone for n in numbers(s)} != {n for s in came for n in numbers(s)},
            )
        )
    return sorted(found, key=lambda r: (not r.figures, r.kind != "removed", r.source))


def _cut(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line[:MOST_CHARS] for line in lines[:MOST_EXAMPLES])


# --- stale ------------------------------------------------------------------------------------------------------


def stale(
    documents: Sequence[Document], today: date, reviewed: Mapping[str, date], review_days: int = REVIEW_DAYS
) -> list[Stale]:  # fmt: skip
    """Documents that are out of date, those that say so themselves first, then the oldest.

    Args:
        documents: all of them.
        today: the day.
        reviewed: when each source was last changed or reviewed; those without an entry are not judged by age.
        review_days: the longest time without a review.
    """
    found: list[Stale] = []
    for document in documents:
        ended = [(day, s) for s in sentences(document.text) if (day := _ended(s)) and day < today]
        if ended:
            day, text = max(ended)
            found.append(Stale(source=document.source, why="expired", date=day.isoformat(), text=text[:MOST_CHARS]))
        elif (last := reviewed.get(document.source)) and (today - last).days > review_days:
            found.append(Stale(source=document.source, why="not reviewed", date=last.isoformat()))
    return sorted(found, key=lambda s: (s.why, s.date, s.source))


def _ended(sentence: str) -> date | None:
    """The last date of a sentence that says until when something holds."""
    if len(sentence) > MOST_CHARS or _ENDS.isdisjoint(words(sentence)):
        return None
    return max(dates(sentence), default=None)


def dates(text: str) -> list[date]:
    """The dates with day, month and year in a text."""
    found = [(m[1], m[2], m[3]) for m in _ISO.finditer(text)]
    found += [(m[3], m[2], m[1]) for m in _DOTTED.finditer(text)]
    months = _months()
    found += [(m[3], months.get(m[2].casefold(), ""), m[1]) for m in _DAY_FIRST.finditer(text)]
    found += [(m[3], months.get(m[1].casefold(), ""), m[2]) for m in _MONTH_FIRST.finditer(text)]
    return [d for year, month, day in found if month and (d := _date(int(year), int(month), int(day)))]


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


@lru_cache(maxsize=1)
def _months() -> dict[str, str]:
    """Numbers of months by their names and short names."""
    from babel.dates import get_month_names

    found: dict[str, str] = {}
    for language in _LANGUAGES:
        for width in ("wide", "abbreviated"):
            names = get_month_names(width, locale=language)
            found.update({name.casefold().rstrip("."): str(n) for n, name in names.items()})
    return found


# --- contradicting ----------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """A sentence with one figure.

    Attributes:
        own: its stems.
        whole: these with those of the title and of the headings above it.
        title: those of the title.
        named: its own and those of headings that the title does not have: what the line is about within its document.
        figure: the figure.
        others: the other figures of the sentence.
    """

    source: str
    text: str
    own: frozenset[str]
    whole: frozenset[str]
    title: frozenset[str]
    named: frozenset[str]
    figure: Number
    others: frozenset[tuple[str, str]]


def contradictions(documents: Sequence[Document]) -> list[Contradiction]:
    """Pairs of documents that give different figures for the same thing; one pair of sentences for each."""
    claims = [claim for document in documents for claim in claims_of(document)]
    at: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, claim in enumerate(claims):
        for stem in claim.whole:
            at[claim.figure.unit, stem].append(n)
    found: dict[tuple[str, str], Contradiction] = {}
    for claim in claims:
        alike = min((at[claim.figure.unit, stem] for stem in claim.own), key=len, default=[])
        if len(alike) > MOST_ALIKE:
            continue
        for m in alike:
            other = claims[m]
            first, second = sorted((claim, other), key=lambda c: c.source)
            if (first.source, second.source) in found or not same_thing(first, second):
                continue
            found[first.source, second.source] = Contradiction(
                sources=(first.source, second.source), texts=(first.text, second.text),
                figures=(_written(first.figure), _written(second.figure)),
            )  # fmt: skip
    return [found[pair] for pair in sorted(found)]


def same_thing(one: Claim, other: Claim) -> bool:
    """Whether two claims of different documents are about the same thing, with different figures of the same unit."""
    if one.source == other.source or one.figure.unit != other.figure.unit or one.figure.value == other.figure.value:
        return False
    if one.others != other.others or len(one.own & other.own) < LEAST_SHARED:
        return False
    if not (one.title == other.title or one.title <= other.named or other.title <= one.named):
        return False
    return one.own - other.whole <= FILLERS and other.own - one.whole <= FILLERS


def claims_of(document: Document) -> Iterator[Claim]:
    """The sentences of a document with one figure of a unit."""
    title = _stems(document.title)
    heading: frozenset[str] = frozenset()
    for line in document.text.splitlines():
        if line.startswith("#"):
            heading = _stems(line)
            continue
        for sentence in sentences(line):
            if len(sentence) > MOST_CHARS or not any(c.isdigit() for c in sentence):
                continue
            figures = [n for n in numbers(sentence) if n.written]
            units = [n.unit for n in figures if n.unit in _UNITS]
            if len(units) != 1:
                continue
            figure = next(n for n in figures if n.unit in _UNITS)
            others = frozenset((n.value, n.unit) for n in figures if n is not figure)
            own = _stems(sentence)
            if own:
                named = own | (heading - title)
                yield Claim(document.source, sentence, own, own | title | heading, title, named, figure, others)


def _stems(text: str) -> frozenset[str]:
    return frozenset(w for w in content_words(text) if w.isalpha() and w not in _UNIT_WORDS)


def _written(figure: Number) -> str:
    if figure.unit in ("$", "£", "€"):
        return f"{figure.unit}{figure.value}"
    return f"{figure.value}%" if figure.unit == "%" else f"{figure.value} {figure.unit}"
