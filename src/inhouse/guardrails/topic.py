"""Whether a question is of the business's domain: near to what its customers asked and its documents say.

Learned without labels: the threshold is where nearly all of the known questions, each measured against the others,
still count as its own. Example sentences of the project file allow or forbid topics beside that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.types import Embedder

if TYPE_CHECKING:
    from inhouse.types import Matrix

NEAREST = 3
STRAY = 0.02  # share of the own questions that may lie outside
MOST = 4000
FEWEST = 20
SHORT_WORDS = 3  # "yes please", "thanks": of no topic
ALIKE = 0.55  # cosine from which a question is of an example's topic
_WORD = re.compile(r"\w+")


class Domain(NamedTuple):
    """What is known of a domain: unit vectors, a row an example, and the least nearness of a question of it."""

    vectors: Matrix
    threshold: float


def learn(questions: Sequence[str], documents: Sequence[str], embedder: Embedder) -> Domain:
    """The domain of a business; without enough questions the documents alone, and then anything near passes."""
    import numpy as np

    asked = [q for q in dict.fromkeys(questions) if len(_WORD.findall(q)) > SHORT_WORDS][:MOST]
    told = list(dict.fromkeys(documents))[: MOST // 2]
    own = embedder.embed(asked)
    vectors = np.concatenate([own, embedder.embed(told)]) if told else own
    if len(asked) < FEWEST:
        return Domain(vectors, 0.2)
    alike = own @ vectors.T
    alike[np.arange(len(asked)), np.arange(len(asked))] = -1
    near = np.sort(alike, axis=1)[:, -NEAREST:].mean(1)
    return Domain(vectors, float(np.quantile(near, STRAY)))


class Topic:
    """The rail on the user's side."""

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

    def nearness(self, text: str) -> float:
        """Mean cosine with the three examples that are nearest."""
        import numpy as np

        if self._domain is None:
            return 1.0
        alike = self._domain.vectors @ self._embedder.embed([text])[0]
        return float(np.sort(alike)[-NEAREST:].mean())

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        own = self._embedder.embed([text])[0]
        allowed = float((self._allowed @ own).max()) if self._allowed is not None else 0.0
        forbidden = float((self._forbidden @ own).max()) if self._forbidden is not None else 0.0
        if forbidden >= max(ALIKE, allowed):
            return Finding(score=forbidden, reason="a topic that is forbidden")
        follows = sum(m.role == "user" for m in turn.request.messages) > 1
        if self._domain is None or allowed >= ALIKE or len(_WORD.findall(text)) <= SHORT_WORDS:
            return None
        if follows:  # "and for two people?" is of the topic of what came before
            told = [m.content for m in turn.request.messages if m.role == "user"]
            text = " ".join(told[-2:])
        near = max(self.nearness(text), self.nearness(told[-1]) if follows else -1.0)
        if near >= self._domain.threshold:
            return None
        return Finding(score=min(1.0, 1 - near + self._domain.threshold / 2), reason="not of the business's topics")
