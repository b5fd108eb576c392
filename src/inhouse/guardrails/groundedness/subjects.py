"""Whether a value in a statement is said of the statement's subject, or of a sibling: another row, column or sentence.

Sources say a value of something: the words of its clause, of the rest of its sentence, and of the passage's title and
heading. Of two values of a kind, the telling words are those that one is said of and the other is not. A statement has
the value of a sibling if, wherever the sources have its value, another value of that kind is said of telling words of
the statement, and its own value of none. A statement without telling words gets those of the question that it answers.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from heapq import nlargest
from typing import NamedTuple

from inhouse.text.sentences import sentences
from inhouse.text.words import CACHED, content_words, value_of

RIVALS = 12  # values of a kind that fit a statement best, with which its own value is compared
COVERED = 0.5  # share of the statement's known words, by weight, that a sibling must be said of
MOST_VALUES, MOST_CHARS = 40, 4000  # of a sentence; a longer one is a list without a subject
TITLES = 2  # first sentences of a passage that are its title and heading, where they have no value
QUESTIONS = 3  # of the user's messages, the last first
_VALUE = re.compile(
    r"(?<![\w.,-])(?:(?P<money>[$£€]) ?(?P<amount>\d[\d,]*(?:\.\d+)?)|(?P<percent>\d+(?:\.\d+)?) ?(?:%|percent\b)"
    r"|(?P<dollars>\d[\d,]*(?:\.\d+)?) dollars\b"
    r"|(?P<count>\d{1,3})[ -](?:business |working |calendar |consecutive )?"
    r"(?P<span>second|minute|hour|day|week|month|year)s?\b"
    r"|(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>[ap])\.?m\b)",
    re.IGNORECASE,
)
_HALF_DAY = re.compile(r"\b([aApP])\.[mM]\.(?= [a-z\d(])")  # ends no sentence
_GAP = re.compile(r"[,;:](?: |$)|[()]| (?:and|but|plus|or|while|otherwise) ", re.IGNORECASE)
_OF_DAYS = re.compile(r"\b(?:business|working|calendar) (?=days?\b)", re.IGNORECASE)  # no business
_ALIKE = {
    word: words.partition(" ")[0]
    for words in (
        "cost fee price charg charge paid pay payabl rate interest", "limit most maximum max largest highest biggest",
        "least minimum min smallest lowest fewest", "year yearli annual annum", "month monthli", "week weekli",
        "day daili", "phone call telephon", "free complimentari", "abroad intern foreign oversea", "send sent outgo",
        "receiv incom", "waiv waiver", "expir valid", "open start",
    )
    for word in words.split()
}  # fmt: skip
"""Stems of words for one thing, each with the first of them."""
_EMPTY = frozenset(
    "much mani long time take tell need want exactli cent percent dollar usd amount list number more less".split()  # noqa: SIM905
)


class Stated(NamedTuple):
    """A value in a sentence, and the words around it."""

    value: str
    kind: str
    clause: frozenset[str]  # of its clause
    words: frozenset[str]  # of its clause, and of those of the sentence that have no value of the kind


class Mention(NamedTuple):
    """A value in a source, and the words that it is said of."""

    value: str
    kind: str
    clause: frozenset[str]
    own: frozenset[str]  # as in `Stated.words`, with those of the passage's title and heading
    near: frozenset[str]  # besides, of the whole sentence, and of the one before if that has no value
    sentence: int  # the number of its sentence
    number: int  # its own, in that sentence


@lru_cache(maxsize=CACHED)
def told(text: str) -> frozenset[str]:
    """The words by which subjects and attributes are told apart, those for the same thing as one."""
    return frozenset(_ALIKE.get(w, w) for w in content_words(_OF_DAYS.sub("", text))) - _EMPTY


@lru_cache(maxsize=CACHED)
def stated(sentence: str) -> tuple[Stated, ...]:
    """The amounts, percentages, durations and times of day in a sentence."""
    every = list(_VALUE.finditer(sentence)) if len(sentence) <= MOST_CHARS else []
    if not 0 < len(every) <= MOST_VALUES:
        return ()
    plain = _VALUE.sub(lambda m: " " * len(m[0]), sentence)
    gaps = list(_GAP.finditer(plain))
    starts = [0, *(m.end() for m in gaps)]
    pieces = [told(plain[a:b]) for a, b in zip(starts, [*(m.start() for m in gaps), len(plain)], strict=True)]
    found = [(*_value(m), bisect_right(starts, m.start()) - 1) for m in every]
    results = []
    for kind in dict.fromkeys(k for _, k, _ in found):
        taken = {at for _, k, at in found if k == kind}
        free = frozenset().union(*(p for n, p in enumerate(pieces) if n not in taken))
        free |= {v for v, k, _ in found if k != kind}
        results += [Stated(v, kind, pieces[at], pieces[at] | free) for v, k, at in found if k == kind]
    return tuple(results)


def _value(m: re.Match[str]) -> tuple[str, str]:
    """A value in one spelling, and its kind: only values of a kind can be mistaken for each other."""
    if m["hour"]:
        hour = int(m["hour"]) % 12 + 12 * (m["half"].lower() == "p")
        return f"{hour}:{m['minute'] or '00'}", "clock"
    if m["count"]:
        return value_of(m["count"]), "span"
    if m["percent"]:
        return value_of(m["percent"]), "%"
    return value_of(m["amount"] or m["dollars"]), m["money"] or "$"


class Subjects:
    """The values of the sources, with what they are said of.

    Args:
        texts: of the passages, which begin with their titles.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._by_kind: dict[str, list[Mention]] = {}
        count: Counter[str] = Counter()
        total = 0
        for text in texts:
            for said, mentions in _mentions(text):
                count.update(said)
                total += 1
                for m in mentions:
                    self._by_kind.setdefault(m.kind, []).append(m._replace(sentence=total))
        self._weight = {w: math.log((total + 1) / (n + 0.5)) for w, n in count.items()}

    def mistaken(self, statement: str, questions: Sequence[str] = ()) -> str:
        """A value of the statement that the sources say of something else; "" for none.

        Args:
            statement: a sentence of an answer.
            questions: what it may answer, the last one first.
        """
        asked = [told(q) for q in questions[:QUESTIONS]]
        for s in stated(" ".join(statement.split())):
            every = self._by_kind.get(s.kind, ())
            own = [m for m in every if m.value == s.value]
            rivals = [m for m in every if m.value != s.value]
            if own and rivals and self._is_of_other(s, own, rivals, asked):
                return s.value
        return ""

    def _is_of_other(
        self, s: Stated, own: Sequence[Mention], rivals: Sequence[Mention], asked: Sequence[frozenset[str]]
    ) -> bool:
        """Whether the sources have the statement's value only of something else than the statement."""
        beside: dict[int, list[Mention]] = {}
        for m in rivals:
            beside.setdefault(m.sentence, []).append(m)
        levels = [(said, self._best(rivals, said)) for said in (s.words, *asked)]
        return all(
            any(_exchanged(m, r, s.clause, asked) for r in beside.get(m.sentence, ())) or self._better(m, levels)
            for m in own
        )

    def _best(self, rivals: Sequence[Mention], said: frozenset[str]) -> list[tuple[Mention, bool]]:
        """The values that are said of most of the words, and whether of the share COVERED of those known."""
        known = said & self._weight.keys()
        least = COVERED * self._sum(known)
        best = nlargest(RIVALS, rivals, key=lambda m: self._sum(known & m.own))
        return [(m, self._sum(known & m.own) >= least) for m in best]

    def _better(self, own: Mention, levels: Sequence[tuple[frozenset[str], list[tuple[Mention, bool]]]]) -> bool:
        """Whether a rival fits better what the statement says or, where that does not tell, what was asked."""
        every = frozenset().union(*(said for said, _ in levels))
        for n, (said, rivals) in enumerate(levels):
            spared = every if n > 1 else said  # an earlier question may have named the subject
            silent = True
            for rival, fits in rivals:
                for_rival, for_own = said & rival.own - own.near, spared & own.own - rival.near
                if for_rival and not for_own and fits:
                    return True
                silent = silent and not for_rival and not for_own
            if not silent:
                return False
        return False

    def _sum(self, words: frozenset[str]) -> float:
        return sum(self._weight[w] for w in words)


def _exchanged(own: Mention, rival: Mention, clause: frozenset[str], asked: Sequence[frozenset[str]]) -> bool:
    """Whether a clause says of one value what the same sentence of the sources says of another.

    A later clause may leave out what an earlier one says: "A small box costs $48 a year, a large one $132."
    """
    shared = own.own & rival.own
    telling = own.clause - rival.clause - shared
    for_rival = (clause & rival.clause) - own.clause - shared
    said = clause.union(*asked)
    if own.number < rival.number:
        return bool(for_rival and telling - said)
    return bool(for_rival and telling) and telling.isdisjoint(said)


def _mentions(text: str) -> Iterator[tuple[frozenset[str], list[Mention]]]:
    """Of each sentence of a passage the words, and the values."""
    title: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    for n, sentence in enumerate(sentences(_HALF_DAY.sub(r"\1m", text))):
        plain = " ".join(sentence.split())
        said, values = told(plain), stated(plain)
        if n < TITLES and not values and len(plain) <= MOST_CHARS:
            title |= said
        near = said | title | before
        every = enumerate(values)
        yield said, [Mention(v.value, v.kind, v.clause, (v.words | title) - {v.value}, near, n, k) for k, v in every]
        before = said if not values else frozenset()
