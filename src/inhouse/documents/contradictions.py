"""Finds statements of documents that cannot both be true: other figures, or the opposite, said of the same thing.

Two statements are about the same thing where each has most of the words of the other, weighed by how rare they are, its
title and heading included, and where their meaning is alike. They are not where both name something that the other does
not, where the words in which they differ are told apart elsewhere in these documents ("domestic" and "international"),
or where their documents are about different things, as pages of two hotels are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from inhouse.documents.statements import Statement, statements, subject_words
from inhouse.text.claims import opposed
from inhouse.types import Document, Embedder

COVERED, COVERED_MEAN = 0.45, 0.7  # share of the words of each statement, by weight, that the other has
COVERED_OPPOSITE = 0.8  # where no figures differ
ALIKE, ALIKE_OPPOSITE = 0.55, 0.7  # cosines
RARE_WORDS, POSTINGS = 4, 80  # words by which candidates are found, and how many of each
FEWEST = 100  # statements that words are weighed by, where there are fewer
SIBLINGS = 3  # documents that say the same of themselves with other figures: a property, no contradiction
TELLING = 3  # most words in which two statements of one document differ that tell apart what they are about
ENTITIES = 0.8  # share of the documents that are about their titles, from which all are
TITLED = 0.5  # share of a title that a statement must have to be about it
_NO_FIGURES = {ord(c): None for c in "0123456789$£€%"}
MOST_FIGURES = 4  # of a kind in a statement; one with more lists several things


class Contradiction(NamedTuple):
    """Two statements by their documents' indices; `figures` are what differs, ("$25", "$21.50"), () for opposites."""

    documents: tuple[int, int]
    texts: tuple[str, str]
    headings: tuple[str, str]
    kind: Literal["figures", "opposite"]
    figures: tuple[str, ...]
    score: float


def contradictions(documents: Sequence[Document], embedder: Embedder) -> list[Contradiction]:
    """The contradictions of documents, the surest first. Deterministic; embeds only statements that may be in one."""
    said = statements(documents)
    corpus = _Corpus(documents, said)
    pairs = [p for p in corpus.candidates() if corpus.same_thing(*p) and not (p[2] and corpus.agreed(*p))]
    forms = {n: _masked(documents, said[n]) for pair in pairs for n in pair[:2]}
    texts = list(dict.fromkeys(t for both in forms.values() for t in both))
    if not texts:
        return []
    place, vectors = {t: n for n, t in enumerate(texts)}, embedder.embed(texts)
    found: dict[tuple[str, str], Contradiction] = {}
    for a, b, kind in pairs:
        one, other = said[a], said[b]
        cosine = max(float(vectors[place[x]] @ vectors[place[y]]) for x, y in zip(forms[a], forms[b], strict=True))
        if cosine < (ALIKE if kind else ALIKE_OPPOSITE):
            continue
        score = round((cosine + corpus.cover(one, other)) / 2, 3)
        row = Contradiction(
            (one.document, other.document), (one.text, other.text), (one.heading, other.heading),
            "figures" if kind else "opposite", _shown(one, other, kind), score,
        )  # fmt: skip
        key = (one.text, other.text)
        found[key] = max(found.get(key, row), row, key=lambda r: r.score)
    return _without_siblings(sorted(found.values(), key=lambda r: (-r.score, r.documents, r.texts)))


def _masked(documents: Sequence[Document], s: Statement) -> tuple[str, str]:
    """A statement without its figures, by itself and after its title and heading."""
    text = " ".join(s.text.translate(_NO_FIGURES).split())
    return text, f"{documents[s.document].title}. {s.heading}. {text}"


def _shown(one: Statement, other: Statement, kind: str) -> tuple[str, ...]:
    if not kind:
        return ()
    return tuple(_written(kind, s.figures.get(kind) or s.figures["free"], kind not in s.figures) for s in (one, other))


def _written(kind: str, values: Iterable[str], free: bool) -> str:
    if free:
        return "free"
    mark = kind if kind in "$£€" else ""
    after = "%" if kind == "%" else f" {kind[1:]}" if kind.startswith("#") else ""
    return ", ".join(f"{mark}{v}{after}" for v in sorted(values))


def _without_siblings(rows: Sequence[Contradiction]) -> list[Contradiction]:
    """Without what many documents say of themselves: the same words with other figures in SIBLINGS documents."""
    near: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        for n in (0, 1):
            near[row.texts[n]].add(row.documents[1 - n])
    return [r for r in rows if min(len(near[t] - {r.documents[n]}) for n, t in enumerate(r.texts)) < SIBLINGS]


class _Corpus:
    """The statements with what is known of their words."""

    def __init__(self, documents: Sequence[Document], said: Sequence[Statement]) -> None:
        self._said = said
        self._titles = [subject_words(d.title) for d in documents]
        spread = Counter(w for s in said for w in s.words)
        many = max(len(said), FEWEST)
        self._weight = {w: math.log((many + 1) / (n + 0.5)) + 0.1 for w, n in spread.items()}
        self._rest = math.log(2 * many + 2)
        self._by_document: dict[int, list[Statement]] = defaultdict(list)
        for s in said:
            self._by_document[s.document].append(s)
        self._apart = self._told_apart()
        mentions = Counter(s.document for s in said if self._has(self._titles[s.document], s.words))
        entity = {n for n, count in mentions.items() if count > 1}
        self._entity = set(range(len(documents))) if len(entity) > ENTITIES * len(documents) else entity

    def _sum(self, words: Iterable[str]) -> float:
        return sum(self._weight.get(w, self._rest) for w in words)

    def _share(self, words: frozenset[str], within: frozenset[str]) -> float:
        total = self._sum(words)
        return self._sum(words & within) / total if total else 0.0

    def _has(self, title: frozenset[str], words: frozenset[str]) -> bool:
        return bool(title) and self._share(title, words) >= TITLED

    def cover(self, one: Statement, other: Statement) -> float:
        """How much each has of the other, the mean of both."""
        return (self._share(one.words, other.about) + self._share(other.words, one.about)) / 2

    def _told_apart(self) -> set[frozenset[str]]:
        """Pairs of words that differ between statements of one document with other figures of a kind."""
        apart = set()
        for rows in self._by_document.values():
            for one, other in combinations([s for s in rows if s.figures][:POSTINGS], 2):
                here, there = one.words - other.words, other.words - one.words
                if here and there and len(here) <= TELLING and len(there) <= TELLING and _differing(one, other):
                    apart |= {frozenset((u, v)) for u in here for v in there}
        return apart

    def candidates(self) -> Iterator[tuple[int, int, str]]:
        """Pairs of statements that share rare words, each with the kind of figures that differ, "" for opposites."""
        postings: dict[str, list[int]] = defaultdict(list)
        for n, s in enumerate(self._said):
            if not s.words:
                continue
            rare = sorted(s.words, key=lambda w: (-self._weight[w], w))[:RARE_WORDS]
            seen = {m for w in rare for m in postings[w][-POSTINGS:]}
            for m in sorted(seen):
                other = self._said[m]
                if s.text == other.text:
                    continue
                if kind := _differing(other, s):
                    yield m, n, kind
                elif not _agreeing(other, s) and _contrary(other, s):
                    yield m, n, ""
            for w in rare:
                postings[w].append(n)

    def same_thing(self, a: int, b: int, kind: str) -> bool:
        """Whether two statements are about the same thing, by their words."""
        one, other = self._said[a], self._said[b]
        if one.periods and other.periods and one.periods.isdisjoint(other.periods):
            return False
        if not kind and _only_opposite(one.own, other.own):
            return self._about_one(one, other)
        shares = self._share(one.words, other.about), self._share(other.words, one.about)
        least = COVERED if kind else COVERED_OPPOSITE
        if min(shares) < least or sum(shares) / 2 < max(COVERED_MEAN, least):
            return False
        strict = one.document == other.document or one.conditional != other.conditional
        if strict and min(shares) < COVERED_OPPOSITE:
            return False
        here, there = one.own - other.about, other.own - one.about
        if (one.names & here and there) or (other.names & there and here):
            return False
        if any(frozenset((u, v)) in self._apart for u in here for v in there):
            return False
        if opposed(here, there) if kind else (here and there):
            return False
        return self._about_one(one, other)

    def _about_one(self, one: Statement, other: Statement) -> bool:
        """Whether both may speak of one thing: not if each document is about a title that the other does not name."""
        mine, theirs = self._titles[one.document], self._titles[other.document]
        if one.document == other.document or mine == theirs:
            return True
        if self._has(mine - theirs, other.about) or self._has(theirs - mine, one.about):
            return True
        return not {one.document, other.document} <= self._entity

    def agreed(self, a: int, b: int, kind: str) -> bool:
        """Whether one of the documents says elsewhere, with as many of the words, what the other statement says."""
        one, other = self._said[a], self._said[b]
        cover = self.cover(one, other)
        return any(
            s is not one
            and s is not other
            and s.figures.get(kind, frozenset()) & with_.figures.get(kind, frozenset())
            and self.cover(s, with_) >= cover
            for of, with_ in ((one, other), (other, one))
            for s in self._by_document[of.document]
        )


def _differing(one: Statement, other: Statement) -> str:
    """The kind of figures in which two statements differ; "" for none."""
    if one.table and one.table == other.table:
        return ""
    both = one.figures.keys() & other.figures.keys()
    differ = [k for k in sorted(both) if one.figures[k].isdisjoint(other.figures[k]) or _hours(one, other, k)]
    if len(differ) == 1:
        mine, theirs = one.figures[differ[0]], other.figures[differ[0]]
        apart = differ[0] == "clock" or not _within(mine, theirs)
        return differ[0] if max(len(mine), len(theirs)) <= MOST_FIGURES and apart else ""
    if both:
        return ""
    for here, there in ((one, other), (other, one)):
        if "free" in here.figures and (money := next((k for k in "$£€" if k in there.figures), "")):
            return money if there.figures[money] != {"0"} else ""
    return ""


def _hours(one: Statement, other: Statement, kind: str) -> bool:
    """Whether both say from when to when, and differ in one of the two."""
    mine, theirs = one.figures[kind], other.figures[kind]
    return kind == "clock" and len(mine) == len(theirs) == 2 and mine != theirs


def _within(mine: frozenset[str], theirs: frozenset[str]) -> bool:
    """Whether the only figure of one is inside the range of the other."""
    for small, large in ((mine, theirs), (theirs, mine)):
        values = [_number(v) for v in large]
        if len(small) == 1 and len(large) > 1 and min(values) <= _number(next(iter(small))) <= max(values):
            return True
    return False


def _number(value: str) -> float:
    hours, _, minutes = value.partition(":")
    return float(hours) + (float(minutes) / 60 if minutes else 0.0)


def _agreeing(one: Statement, other: Statement) -> bool:
    return any(one.figures[kind] & other.figures[kind] for kind in one.figures.keys() & other.figures.keys())


def _only_opposite(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two statements differ in nothing but a word and its opposite."""
    here, there = one - other, other - one
    return len(here) == len(there) == 1 and len(one & other) > 1 and bool(opposed(here, there))


def _contrary(one: Statement, other: Statement) -> bool:
    """Whether one denies what the other says, or uses the opposite word."""
    return (one.negated != other.negated) != bool(opposed(one.own, other.own))
