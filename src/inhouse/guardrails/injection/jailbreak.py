"""Jailbreaks: text of a user that tries to override the assistant's instructions.

A classifier over MiniLM embeddings and hand-made features; the window with the highest probability counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inhouse.guardrails import classifier
from inhouse.guardrails.classifier import Classifier, joined
from inhouse.guardrails.injection.features import FEATURES, features_of
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.text.sentences import windows

if TYPE_CHECKING:
    from inhouse.types import Matrix

FEWEST_WORDS = 4  # "2 pm", "yes please": too short for an instruction


def shipped() -> Classifier:
    """The classifier in `weights/`.

    Raises:
        InputError: its file is missing or damaged, or does not match FEATURES.
    """
    return classifier.shipped("jailbreak", FEATURES)


def rows(texts: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """The classifier's input, one row per window."""
    return joined(embedder.embed(texts), [features_of(t) for t in texts])


class Jailbreak:
    """The rail on the user's side. It checks all of the user's messages, since a jailbreak may be in any of them."""

    name = "injection"
    sides: frozenset[Side] = frozenset({"input"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._classifier = classifier

    def score(self, texts: Sequence[str]) -> float:
        """The probability of the most suspicious window of the texts; 0 where all are too short."""
        long_enough = [w for t in texts for w in windows(t) if len(w.split()) >= FEWEST_WORDS]
        if not long_enough:
            return 0.0
        return float(self._classifier.probability(rows(long_enough, self._embedder)).max())

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        messages = [m.content for m in turn.request.messages if m.role == "user"]
        score = self.score(messages or [text])
        if score < self._classifier.threshold:
            return None
        return Finding(score=score, reason="jailbreak: tries to override the assistant's instructions")
