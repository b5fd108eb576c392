"""Whether a question belongs to the business: how close it is to what customers asked and what the documents say.

Learned without labels: each known question is compared with the others, and the threshold is where nearly all of them
still count as on topic. Example sentences in the project file allow or forbid further topics. A text counts as what it
says once a disguise is undone (`text/disguise.py`); what a code says beside other text must be on topic too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.text.codes import USUAL
from inhouse.text.disguise import readings, unseen, written
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
        whole, hidden = _said(text)
        questions = [m.content for m in turn.request.messages if m.role == "user"]
        # "and for two people?" continues the topic of the question before it
        found = [self._check(whole, " ".join(questions[-2:]) if len(questions) > 1 else "")]
        found += [self._check([part]) for part in hidden]
        return max(filter(None, found), key=lambda f: f.score, default=None)

    def _check(self, texts: Sequence[str], continued: str = "") -> Finding | None:
        """What is wrong with a text, as the texts that say it."""
        vectors = self._embedder.embed(texts)
        allowed = float((self._allowed @ vectors.T).max()) if self._allowed is not None else 0.0
        forbidden = float((self._forbidden @ vectors.T).max()) if self._forbidden is not None else 0.0
        if forbidden >= max(SIMILAR, allowed):
            return Finding(score=forbidden, reason="forbidden topic")
        short = all(len(words(t)) <= SHORT_WORDS for t in texts)
        if self._domain is None or allowed >= SIMILAR or short:
            return None
        similarity = max(self.similarity(t) for t in (*texts, continued) if t)
        if similarity >= self._domain.threshold:
            return None
        score = min(1.0, 1 - similarity + self._domain.threshold / 2)
        return Finding(score=score, reason="not a topic of this business")


def _said(text: str) -> tuple[list[str], list[str]]:
    """The text with its readings that say all of it, and the readings that say only what a part of it hides."""
    seen = written(text)
    usual = {w for w in seen if w in USUAL and len(w) > 2}
    whole, hidden = [text], []
    for reading in readings(text):
        if 2 * len(usual) < len(seen) or usual <= written(reading):
            whole.append(reading)
        elif unseen(reading, seen) > 0.5:
            hidden.append(reading)
    return whole, hidden
