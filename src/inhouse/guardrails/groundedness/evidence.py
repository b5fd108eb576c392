"""Passages prepared for comparison with the statements of an answer: their sentences, and which of them are nearest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from weakref import proxy

from inhouse.guardrails.groundedness.subjects import Subjects
from inhouse.text import claims
from inhouse.text.cache import CachedEmbedder
from inhouse.text.numbers import numbers
from inhouse.text.sentences import sentences, unwrapped
from inhouse.text.words import content_words, tokens
from inhouse.types import Matrix

PREMISES = 8  # sentences that a statement is compared with
COSINE_WEIGHT = 0.7  # of a sentence's cosine, relative to the share of words
TITLE_WORD, TITLE_LENGTH = 0.15, 8  # weight of a word from a title; words of the longest title
CITED = 3  # texts tried for a citation, until one supports the statement alone
LABELS = 3  # before a sentence, as rows of tables have them
QUESTION_PENALTY = 0.3  # a question states nothing


class Evidence:
    """Passages prepared for comparison: their sentences, and pairs of neighbors, with the words of each.

    Args:
        texts: of the passages.
        embedder: for similarity.
        conversation: its words and numbers may be repeated without support.
        questions: the user's messages, the last one first, which say what a sentence without a subject is about.
    """

    def __init__(
        self, texts: Sequence[str], embedder: CachedEmbedder, conversation: str = "", questions: Sequence[str] = ()
    ) -> None:
        self.questions = tuple(questions)
        self.said = conversation
        self.conversation = frozenset(content_words(conversation)) | {m.value for m in numbers(conversation)}
        self._embedder = embedder
        self._premises: dict[str, list[str]] = {}  # by statement
        self._whole: Evidence | None = None  # of which this is a part
        self._single: dict[int, Evidence] = {}  # the parts
        self.windows: list[str] = []
        self.owner: list[int] = []  # the text of each window
        self._parts: list[tuple[str, ...]] = []  # the sentences of each window
        self.texts = [unwrapped(t) for t in texts]
        for n, text in enumerate(self.texts):
            single = sentences(text)
            parts = [(s,) for s in single] + list(pairwise(single))
            self._parts += parts
            self.windows += [" ".join(p) for p in parts]
            self.owner += [n] * len(parts)
        self.sets = [frozenset(content_words(w)) for w in self.windows]
        self.text_words = [content_words(t) for t in self.texts]
        self.text_sets = [frozenset(w) for w in self.text_words]
        self.tokens = [tokens(t) for t in self.texts]
        self.fours = {g for ws in self.tokens for g in zip(ws, ws[1:], ws[2:], ws[3:], strict=False)}
        self.lower = [" ".join(t.casefold().replace("’", "'").split()) for t in self.texts]
        self.numbers = {(m.value, m.unit) for t in self.texts for m in numbers(t)}
        self.values = {v for v, _ in self.numbers}
        self.pairs = {g for ws in self.text_words for g in pairwise(ws)}
        self.triples = {g for ws in self.text_words for g in zip(ws, ws[1:], ws[2:], strict=False)}

    def only(self, n: int) -> Evidence:
        """The evidence of one of the texts. Its premises are those of all texts that come from it, so that nothing new
        has to be embedded."""
        if n not in self._single:
            self._single[n] = Evidence([self.texts[n]], self._embedder)
            self._single[n]._whole = proxy(self)  # a weak reference, so that both are freed with the turn
        return self._single[n]

    @cached_property
    def subjects(self) -> Subjects:
        """The values of the texts, with what they are said of."""
        return Subjects(self.texts)

    @cached_property
    def copies(self) -> frozenset[tuple[str, ...]]:
        """The tokens of each sentence, whole and without its first labels ("Fees: Money order: Fee $2.30.")."""
        labeled = (s.split(": ", LABELS) for s in self._sentences)
        return frozenset(tokens(": ".join(parts[n:])) for parts in labeled for n in range(len(parts)))

    @cached_property
    def vectors(self) -> Matrix:
        """One unit vector per window; that of a pair is the mean of both, which needs no further embedding."""
        import numpy as np

        first = self._embedder.embed([p[0] for p in self._parts])
        last = self._embedder.embed([p[-1] for p in self._parts])
        mean: Matrix = (first + last) / np.maximum(np.linalg.norm(first + last, axis=1, keepdims=True), 1e-6)
        return mean

    @cached_property
    def _sentences(self) -> list[str]:
        return list(dict.fromkeys(p[0] for p in self._parts if len(p) == 1))

    def nearness(self, statement: str) -> tuple[list[float], list[float]]:
        """For each window the share of the statement's words that it has, and its cosine with the statement."""
        wanted = frozenset(content_words(statement))
        cosines = self.vectors @ self._embedder.embed([statement])[0]
        return [len(wanted & s) / max(len(wanted), 1) for s in self.sets], cosines.tolist()

    def premises(self, statement: str, most: int = PREMISES) -> list[str]:
        """The sentences nearest to the statement, nearest first, each once.

        Rare words count more, by the logarithm of their share of the sentences. Words of titles count little, since
        every passage has its title; for the same reason similarity is also computed without them.
        """
        if self._whole and (known := [p for p in self._whole.premises(statement, most) if p in self.windows]):
            return known
        if statement in self._premises:
            return self._premises[statement][:most]
        wanted, counts = frozenset(content_words(statement)), self._sentence_counts
        weight = self.weights(wanted)
        total = sum(v for w, v in weight.items() if w in counts) or 1.0
        cosines = (self.vectors @ self._embedder.embed(self._forms(statement)).T).max(axis=1)
        near = {
            window: sum(weight[w] for w in wanted & self.sets[at]) / total
            + COSINE_WEIGHT * float(cosines[at])
            - (QUESTION_PENALTY if window.rstrip(". ").endswith("?") else 0)
            for at, window in enumerate(self.windows)
            if len(self._parts[at]) == 1
        }
        self._premises[statement] = sorted(near, key=near.__getitem__, reverse=True)
        return self._premises[statement][:most]

    def weights(self, words: Iterable[str]) -> dict[str, float]:
        """The weight of each word: larger the fewer sentences have it, and small where it is from a title."""
        n, counts = len(self._sentences), self._sentence_counts
        return {w: math.log((n + 1) / (counts[w] + 0.5)) * (TITLE_WORD if w in self._titles else 1) for w in words}

    @cached_property
    def sentences(self) -> list[frozenset[str]]:
        """The words of each sentence."""
        return [frozenset(content_words(s)) for s in self._sentences]

    @cached_property
    def clauses(self) -> list[frozenset[str]]:
        """The words of each of `clause_texts`."""
        return [frozenset(content_words(c)) for c in self.clause_texts]

    @cached_property
    def clause_texts(self) -> list[str]:
        """The parts of sentences between commas, semicolons and conjunctions."""
        return [c for s in self._sentences for c in claims.clauses(s)]

    @cached_property
    def bounds(self) -> dict[str, frozenset[str]]:
        """The numbers that are bounds, with their kind; see `claims.bounds`."""
        bounds: dict[str, frozenset[str]] = {}
        for s in self._sentences:
            for value, sides in claims.bounds(s).items():
                bounds[value] = bounds.get(value, frozenset()) | sides
        return bounds

    def nearest(self, statement: str, most: int = CITED) -> list[int]:
        """The indices of the texts nearest to the statement, nearest first."""
        best = dict.fromkeys(self.owner, 0.0)
        for owner, share, cosine in zip(self.owner, *self.nearness(statement), strict=True):
            best[owner] = max(best[owner], share + 0.5 * cosine)
        return sorted(best, key=best.__getitem__, reverse=True)[:most]

    @cached_property
    def _titles(self) -> frozenset[str]:
        """The words of the short lines that passages begin with."""
        first = {owner: n for n, owner in reversed(list(enumerate(self.owner)))}.values()
        return frozenset().union(*(self.sets[n] for n in first if len(self.windows[n].split()) <= TITLE_LENGTH))

    @cached_property
    def _sentence_counts(self) -> Counter[str]:
        """How many sentences have each word."""
        return Counter(w for s in self._sentences for w in frozenset(content_words(s)))

    def embed_ahead(self, statements: Sequence[str]) -> None:
        """Embeds the statements at once, on all cores."""
        self._embedder.read(list(dict.fromkeys(form for s in statements for form in self._forms(s))))

    def _forms(self, statement: str) -> list[str]:
        """The statement, and the statement without words of titles where other words remain."""
        bare = " ".join(t for t in statement.split() if not self._of_title(t))
        return [statement, bare] if bare != statement and content_words(bare) else [statement]

    def _of_title(self, token: str) -> bool:
        words = frozenset(content_words(token))
        return bool(words) and words <= self._titles
