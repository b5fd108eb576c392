"""Passages made ready for comparison with what an answer says: their sentences, and which of them come nearest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import proxy

from inhouse.text import claims as wording
from inhouse.text.cache import CachedEmbedder

if TYPE_CHECKING:
    from inhouse.types import Matrix

PREMISES = 8  # sentences that a statement is read beside
LIKENESS = 0.7  # of a sentence's cosine, beside the share of words
TITLE_WORD, TITLE_LENGTH = 0.15, 8  # what a word of a title counts; words of the longest title
CARRIERS = 3  # texts tried for a citation, until one carries its statement alone
ASKING = 0.3  # what a question is put back: what stands in it is not said


class Evidence:
    """Passages made ready for comparison: their sentences, and pairs of neighbours, with the words of each.

    Args:
        texts: of the passages.
        embedder: for likeness.
        said: the conversation: what was brought up there may be named again.
    """

    def __init__(self, texts: Sequence[str], embedder: CachedEmbedder, said: str = "") -> None:
        self.said = frozenset(wording.words(said)) | {m.value for m in wording.numbers(said)}
        self._embedder = embedder
        self._chosen: dict[str, list[str]] = {}  # premises by statement
        self._all: Evidence | None = None  # of which this is a part
        self._apart: dict[int, Evidence] = {}  # the parts
        self.windows: list[str] = []
        self.owner: list[int] = []  # the text of each window
        self._parts: list[tuple[str, ...]] = []  # the sentences of each window
        self.texts = [wording.unwrapped(t) for t in texts]
        for n, text in enumerate(self.texts):
            single = wording.sentences(text)
            parts = [(s,) for s in single] + list(pairwise(single))
            self._parts += parts
            self.windows += [" ".join(p) for p in parts]
            self.owner += [n] * len(parts)
        self.sets = [frozenset(wording.words(w)) for w in self.windows]
        self.text_words = [wording.words(t) for t in self.texts]
        self.text_sets = [frozenset(w) for w in self.text_words]
        self.tokens = [wording.tokens(t) for t in self.texts]
        self.runs = {g for ws in self.tokens for g in zip(ws, ws[1:], ws[2:], ws[3:], strict=False)}
        self.lower = [" ".join(t.casefold().replace("’", "'").split()) for t in self.texts]
        self.numbers = {(m.value, m.unit) for t in self.texts for m in wording.numbers(t)}
        self.values = {v for v, _ in self.numbers}
        self.grams = {g for ws in self.text_words for g in pairwise(ws)}
        self.triples = {g for ws in self.text_words for g in zip(ws, ws[1:], ws[2:], strict=False)}

    def only(self, n: int) -> Evidence:
        """The evidence of one of the texts. What of it came near to a statement among all of them is what it is read
        beside again, so that nothing new has to be read."""
        if n not in self._apart:
            self._apart[n] = Evidence([self.texts[n]], self._embedder)
            self._apart[n]._all = proxy(self)  # which holds it: no circle, so both go with the turn
        return self._apart[n]

    @cached_property
    def vectors(self) -> Matrix:
        """A unit vector a window; that of a pair is the mean of both, which costs no further embedding."""
        import numpy as np

        first = self._embedder.embed([p[0] for p in self._parts])
        last = self._embedder.embed([p[-1] for p in self._parts])
        mean: Matrix = (first + last) / np.maximum(np.linalg.norm(first + last, axis=1, keepdims=True), 1e-6)
        return mean

    @cached_property
    def _singles(self) -> list[str]:
        return list(dict.fromkeys(p[0] for p in self._parts if len(p) == 1))

    def nearness(self, statement: str) -> tuple[list[float], list[float]]:
        """Of each window the share of the statement's words that it has, and the cosine of both."""
        wanted = frozenset(wording.words(statement))
        cosines = self.vectors @ self._embedder.embed([statement])[0]
        return [len(wanted & s) / max(len(wanted), 1) for s in self.sets], cosines.tolist()

    def premises(self, statement: str, most: int = PREMISES) -> list[str]:
        """The sentences nearest to the statement, nearest first, each once.

        Rare words count more (by the logarithm of their share of the sentences), those of titles little: every passage
        has its title, which tells nothing. For the same reason the likeness is also looked at without them.
        """
        if self._all and (known := [p for p in self._all.premises(statement, most) if p in self.windows]):
            return known
        if statement in self._chosen:
            return self._chosen[statement][:most]
        wanted, counts = frozenset(wording.words(statement)), self._sentences_with
        weight = self.weights(wanted)
        total = sum(v for w, v in weight.items() if w in counts) or 1.0
        cosines = (self.vectors @ self._embedder.embed(self._forms(statement)).T).max(axis=1)
        near = {
            window: sum(weight[w] for w in wanted & self.sets[at]) / total
            + LIKENESS * float(cosines[at])
            - (ASKING if window.rstrip(". ").endswith("?") else 0)
            for at, window in enumerate(self.windows)
            if len(self._parts[at]) == 1
        }
        self._chosen[statement] = sorted(near, key=near.__getitem__, reverse=True)
        return self._chosen[statement][:most]

    def weights(self, words: Iterable[str]) -> dict[str, float]:
        """What each word tells: more the fewer sentences have it, and little where it stands in titles."""
        n, counts = len(self._singles), self._sentences_with
        return {w: math.log((n + 1) / (counts[w] + 0.5)) * (TITLE_WORD if w in self._titles else 1) for w in words}

    @cached_property
    def sentences(self) -> list[frozenset[str]]:
        """The words of each sentence."""
        return [frozenset(wording.words(s)) for s in self._singles]

    @cached_property
    def clauses(self) -> list[frozenset[str]]:
        """The words of each of `clause_texts`."""
        return [frozenset(wording.words(c)) for c in self.clause_texts]

    @cached_property
    def clause_texts(self) -> list[str]:
        """The parts of sentences that a comma, a semicolon or a conjunction ends."""
        return [c for s in self._singles for c in wording.clauses(s)]

    @cached_property
    def bounds(self) -> dict[str, frozenset[str]]:
        """Of the numbers that are bounds, of what kind; see `wording.bounds`."""
        found: dict[str, frozenset[str]] = {}
        for s in self._singles:
            for value, sides in wording.bounds(s).items():
                found[value] = found.get(value, frozenset()) | sides
        return found

    def nearest(self, statement: str, most: int = CARRIERS) -> list[int]:
        """The texts that come nearest to the statement, nearest first."""
        best = dict.fromkeys(self.owner, 0.0)
        for owner, share, cosine in zip(self.owner, *self.nearness(statement), strict=True):
            best[owner] = max(best[owner], share + 0.5 * cosine)
        return sorted(best, key=best.__getitem__, reverse=True)[:most]

    @cached_property
    def _titles(self) -> frozenset[str]:
        """The words that passages begin with, where that is a short line."""
        first = {owner: n for n, owner in reversed(list(enumerate(self.owner)))}.values()
        return frozenset().union(*(self.sets[n] for n in first if len(self.windows[n].split()) <= TITLE_LENGTH))

    @cached_property
    def _sentences_with(self) -> Counter[str]:
        """In how many sentences each word stands."""
        return Counter(w for s in self._singles for w in frozenset(wording.words(s)))

    def read_ahead(self, statements: Sequence[str]) -> None:
        """Has the embedder read the statements at once, on all cores."""
        self._embedder.read(list(dict.fromkeys(form for s in statements for form in self._forms(s))))

    def _forms(self, statement: str) -> list[str]:
        """The statement, and without the words of titles where others are left."""
        bare = " ".join(t for t in statement.split() if not self._of_title(t))
        return [statement, bare] if bare != statement and wording.words(bare) else [statement]

    def _of_title(self, token: str) -> bool:
        words = frozenset(wording.words(token))
        return bool(words) and words <= self._titles
