"""Indirect prompt injection: instructions and questions to the assistant in passages and tool results.

A classifier looks at each sentence for an instruction that the surrounding text has no use for; the sentence with the
highest probability counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from inhouse.guardrails import classifier
from inhouse.guardrails.classifier import Classifier, joined
from inhouse.guardrails.injection import features
from inhouse.guardrails.injection.features import features_of
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import VECTORS, CachedEmbedder, Recent
from inhouse.text.disguise import readings
from inhouse.text.sentences import every_sentence
from inhouse.types import Matrix, Passage

_ORDER = re.compile(
    r"^\W*(?:please |kindly |now |also |then |and |next |finally |instead,? )*(?:write|explain|describe"
    r"|translate|tell|give"
    r"|show|list|add|include|insert|integrate|modify|replace|use|rearrange|remove|group|draft|compose|create|generate"
    r"|summari[sz]e|provide|make|introduce|misspell|present|append|mention|compute|calculate|convert|rewrite|respond"
    r"|answer|reply|say|ignore|forget|disregard|print|output|repeat|send|forward|delete|recommend|suggest|find"
    r"|define|sort"
    r"|solve|compare|encode|decode|spell|reverse|capitali[sz]e|promote|encourage|advise|tweak|embed"
    r"|incorporate|begin|end"
    r"|scramble|set|call|remind|book|play|turn|schedule|design|outline|discuss|analy[sz]e|identify|classify)\b",
    re.IGNORECASE,
)
_QUESTION_WORD = re.compile(
    r"^\W*(?:what|who|how|why|when|where|which|can you|could you|would you|will you|is|are|do|does)\b", re.I
)
_ABOUT_THE_ANSWER = re.compile(
    r"\b(?:your|the|this|my|each|every) (?:\w+ )?(?:response|answer|reply|output|message|summary|text)s?\b", re.I
)
STRICT = 0.6  # times the threshold, for external documents
MOST_SENTENCES = 60  # of a passage; a chunk has far fewer


class Context(NamedTuple):
    """Features of a sentence among its neighbors: its form, and how similar it is to them (cosines)."""

    order: float  # begins with an imperative
    question: float
    about_the_answer: float  # mentions "your answer", "the summary", ...
    order_about_the_answer: float
    order_far: float  # an imperative, times the distance to the most similar other sentence
    question_far: float
    question_before_other: float  # a question, times the distance to the next sentence
    before: float  # similarity to the sentence before; where there is none, to all others
    after: float
    mean: float  # similarity to all others
    nearest: float  # similarity to the most similar other sentence
    edge: float  # first or last of the passage
    alone: float  # the only sentence


FEATURES = (*Context._fields, *features.FEATURES)  # after the embedding, in this order
shipped = partial(classifier.shipped, "indirect", FEATURES)


def is_order(sentence: str) -> bool:
    """Whether the sentence begins with an imperative."""
    return bool(_ORDER.match(sentence))


def sentences(text: str) -> list[str]:
    """The sentences that are classified: those of two words and more, MOST_SENTENCES at most."""
    return every_sentence(text)[:MOST_SENTENCES]


def rows(passage: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """The classifier's input, one row per sentence of a passage."""
    vectors = embedder.embed(passage)
    return joined(vectors, [[*c, *features_of(s)] for c, s in zip(_contexts(passage, vectors), passage, strict=True)])


def _contexts(passage: Sequence[str], vectors: Matrix) -> list[Context]:
    import numpy as np

    n = len(passage)
    alike = vectors @ vectors.T
    mean = (alike.sum(1) - 1) / max(n - 1, 1)
    contexts = []
    for i, sentence in enumerate(passage):
        before = alike[i, i - 1] if i else mean[i]
        after = alike[i, i + 1] if i + 1 < n else mean[i]
        nearest = np.delete(alike[i], i).max() if n > 1 else 0.0
        order, question = float(is_order(sentence)), float(_asks(sentence))
        about = float(bool(_ABOUT_THE_ANSWER.search(sentence)))
        far = 1 - max(float(nearest), 0.0)
        contexts.append(Context(
            order=order, question=question, about_the_answer=about, order_about_the_answer=order * about,
            order_far=order * far, question_far=question * far, question_before_other=question * (1 - after),
            before=float(before), after=float(after), mean=float(mean[i]), nearest=float(nearest),
            edge=float(i == 0 or i == n - 1), alone=float(n == 1),
        ))  # fmt: skip
    return contexts


def _asks(sentence: str) -> bool:
    """Whether the sentence begins with a question word and has a question mark after its last word."""
    begins = _QUESTION_WORD.match(sentence)
    last = next((n for n in range(len(sentence) - 1, -1, -1) if sentence[n].isalnum() or sentence[n] == "_"), -1)
    return bool(begins) and "?" in sentence[last + 1 :]


def _whose(passage: Passage) -> str:
    return f"{passage.source}, external" if passage.trust == "external" else passage.source


def _named(passage: Passage) -> list[str]:
    """The title and headings of an external passage, which the model reads too. Questions are usual headings: alone,
    they look as if they were put to the assistant."""
    names = (passage.title, *passage.heading.split(" > ")) if passage.trust == "external" else ()
    return [n for n in names if n and not n.rstrip().endswith(("?", "？"))]


class IndirectInjection:
    """The rail on passages and tool results. Of external documents, passages with instructions are always removed."""

    name = "injection"
    sides: frozenset[Side] = frozenset({"passages"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._classifier = classifier
        self._scores: Recent[float] = Recent(VECTORS)  # the same passages are retrieved again and again

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        texts = [(p.text, *_named(p)) for p in turn.passages]
        known = self._scores.filled([t for some in texts for t in some], lambda new: map(self.score, new))
        scores = [max(known[t] for t in some) for some in texts]
        external = [p.trust == "external" for p in turn.passages]
        least = [self._classifier.threshold * (STRICT if e else 1) for e in external]
        bad = [n for n, score in enumerate(scores) if score >= least[n]]
        if not bad:
            return None
        where = ", ".join(f"passage {n + 1} ({_whose(turn.passages[n])})" for n in bad)
        reason = f"instructions to the assistant in {where}"
        if removed := tuple(n for n in bad if external[n]):
            return Finding(score=max(scores), reason=reason, passages=removed, action="redact")
        return Finding(score=max(scores), reason=reason, passages=tuple(bad))

    def score(self, text: str) -> float:
        """The probability of the sentence that is most like an injected instruction, in the text or hidden in it."""
        passages = [p for some in (text, *readings(text, markup=False)) if (p := sentences(some))]
        scores = (float(self._classifier.probability(rows(p, self._embedder)).max()) for p in passages)
        return max(scores, default=0.0)
