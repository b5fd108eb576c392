"""Whether a question belongs to the business: how close it is to what customers asked and what the documents say.

Learned without labels: each known question is compared with the others, and the threshold is where nearly all of them
still count as on topic. Example sentences in the project file allow or forbid further topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.text.words import words
from inhouse.types import Embedder, Matrix

NEAREST = 3  # examples whose similarity is averaged
OUTSIDE = 0.02  # share of the known questions that may count as off topic
MOST_QUESTIONS, MOST_PARAGRAPHS = 4000, 2000
FEWEST_QUESTIONS = 20  # to learn a threshold from
DEFAULT_THRESHOLD = 0.2  # with fewer
SHORT_WORDS = 3  # "yes please", "thanks": about no topic
SIMILAR = 0.55  # cosine from which a question is about the topic of an example


class Domain(NamedTuple):
    """What is known of a domain: unit vectors, one row per example, and the least similarity of a question about it."""

    vectors: Matrix
    threshold: float


def learn(questions: Sequence[str], paragraphs: Sequence[str], embedder: Embedder) -> Domain:
    """The domain of a business, from its customers' questions and the paragraphs of its documents."""
    import numpy as np

    known = [q for q in dict.fromkeys(questions) if len(words(q)) > SHORT_WORDS][:MOST_QUESTIONS]
    written = list(dict.fromkeys(paragraphs))[:MOST_PARAGRAPHS]
    asked = embedder.embed(known)
    vectors = np.concatenate([asked, embedder.embed(written)]) if written else asked
    if len(known) < FEWEST_QUESTIONS:
        return Domain(vectors, DEFAULT_THRESHOLD)
    similarity = asked @ vectors.T
    similarity[np.arange(len(known)), np.arange(len(known))] = -1  # not with itself
    nearest = np.sort(similarity, axis=1)[:, -NEAREST:].mean(1)
    return Domain(vectors, float(np.quantile(nearest, OUTSIDE)))


class Topic:
    """The rail on the user's side.

    Args:
        embedder: for similarity.
        domain: what is on topic; None where there is nothing to learn it from, and then only `forbidden` is refused.
        allowed: example sentences of further topics.
        forbidden: example sentences of topics that are refused.
    """

    name = "topic"
    sides: frozenset[Side] = frozenset({"input"})

    def __init__(
        self,
        embedder: CachedEmbedder,
        domain: Domain | None,
        allowed: Sequence[str] = (),
        forbidden: Sequence[str] = (),
    ) -> None:
        self._embedder = embedder
        self._domain = domain
        self._allowed = embedder.embed(list(allowed)) if allowed else None
        self._forbidden = embedder.embed(list(forbidden)) if forbidden else None

    def similarity(self, text: str) -> float:
        """Mean cosine with the NEAREST closest examples of the domain."""
        import numpy as np

        if self._domain is None:
            return 1.0
        cosines = self._domain.vectors @ self._embedder.embed([text])[0]
        return float(np.sort(cosines)[-NEAREST:].mean())

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        vector = self._embedder.embed([text])[0]
        allowed = float((self._allowed @ vector).max()) if self._allowed is not None else 0.0
        forbidden = float((self._forbidden @ vector).max()) if self._forbidden is not None else 0.0
        if forbidden >= max(SIMILAR, allowed):
            return Finding(score=forbidden, reason="forbidden topic")
        if self._domain is None or allowed >= SIMILAR or len(words(text)) <= SHORT_WORDS:
            return None
        questions = [m.content for m in turn.request.messages if m.role == "user"]
        # "and for two people?" continues the topic of the question before it
        readings = [" ".join(questions[-2:]), questions[-1]] if len(questions) > 1 else [text]
        similarity = max(self.similarity(r) for r in readings)
        if similarity >= self._domain.threshold:
            return None
        score = min(1.0, 1 - similarity + self._domain.threshold / 2)
        return Finding(score=score, reason="not a topic of this business")
