"""Jailbreaks in other languages than English, by their meaning: for projects with the multilingual embedder.

A logistic regression over its vectors. It knows attacks in words that nothing was trained on, also in languages that
have no phrases, where `grams` knows words alone. `guardrail_training/train_languages.py` trains it.
"""

from __future__ import annotations

from functools import lru_cache

from inhouse.guardrails.classifier import Classifier
from inhouse.guardrails.classifier import shipped as shipped_classifier
from inhouse.guardrails.injection import languages
from inhouse.text.cache import CachedEmbedder
from inhouse.text.language import language
from inhouse.text.sentences import sentences, windows

EMBEDDER = "e5-small"
MOST_CHARS = 400  # of a piece of text that is judged at once
FEW = 4  # windows of a text whose sentences are judged alone too


@lru_cache(maxsize=1)
def shipped() -> Classifier:
    """The classifier in `weights/meanings.safetensors`.

    Raises:
        InputError: see `classifier.read_weights`.
    """
    return shipped_classifier("meanings", ())


class Meanings:
    """Scores texts as `languages.score` does.

    Args:
        embedder: EMBEDDER, with which the classifier was trained.
        classifier: over its vectors alone.
    """

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder, self._classifier = embedder, classifier

    def score(self, text: str) -> float:
        """CERTAIN where the text is a jailbreak in another language; 0 otherwise."""
        if languages.has_phrase(text):
            return languages.CERTAIN
        if language(text) in ("", "en"):
            return 0.0
        p = self._classifier.probability(self._embedder.embed(pieces(text)))
        return languages.CERTAIN if p.max() >= self._classifier.threshold else 0.0


def pieces(text: str) -> list[str]:
    """What is judged: the windows of a text, and the sentences of a short one, in parts of MOST_CHARS at most."""
    found = windows(text)
    if len(found) <= FEW:
        found += sentences(text)
    return list(
        dict.fromkeys(piece[at : at + MOST_CHARS] for piece in found for at in range(0, len(piece), MOST_CHARS))
    )
