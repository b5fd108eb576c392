"""How texts are compared: words, whole conversations, language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inhouse.types import Embedder, Example

if TYPE_CHECKING:
    from inhouse.types import Matrix

WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+")
COMPARED_CHARS = 500  # the question and its latest history; more costs time and tells little

_FREQUENT = {
    "en": "the and you to of is for in your are be have with not will this that we can it from at our they as on by",
    "de": "der und ist nicht sie ein eine für auf den zu im wir können ihre von bei wird auch das ich",
    "fr": "le les et est vous pas une des pour dans que votre nous avec du sur au ce sont être",
    "es": "el los las y es que una para su por usted en del puede como más está nuestro cuenta",
    "it": "il che di è una per non con del sono può gli nel suo della più questo alla anche conto",
    "pt": "os é que uma para não com seu por em pode você na mais são nossa conta um ao",
    "nl": "het een en van niet voor op de zijn uw wij kunt dat bij naar ook met",
}
_LANGUAGES = {name: frozenset(words.split()) for name, words in _FREQUENT.items()}
_SCRIPTS = {
    "ar": "\u0600-\u06ff", "he": "\u0590-\u05ff", "ru": "\u0400-\u04ff", "el": "\u0370-\u03ff",
    "zh": "\u4e00-\u9fff", "ja": "\u3040-\u30ff", "ko": "\uac00-\ud7af", "hi": "\u0900-\u097f", "th": "\u0e00-\u0e7f",
}  # fmt: skip


def words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def plain(text: str) -> str:
    """The text without case, punctuation and spacing."""
    return " ".join(words(text))


def is_json(text: str) -> bool:
    return text[:1] + text[-1:] in ("{}", "[]")


def conversation_text(example: Example) -> str:
    """Question and history, the question first, so that a cut leaves out what was said long ago.

    "Do they have wifi?" in two conversations is about two hotels: only with its history is it a question.
    """
    return "\n".join(m.content for m in reversed(example.messages))[:COMPARED_CHARS]


def language(text: str) -> str:
    """The code of the language by its script or its most frequent words; "" when nothing tells."""
    letters = [c for c in text if c.isalpha()]
    for name, span in _SCRIPTS.items():
        if letters and len(re.findall(f"[{span}]", text)) > 0.4 * len(letters):
            return name
    counts = Counter(words(text))
    hits = {name: sum(counts[w] for w in frequent) for name, frequent in _LANGUAGES.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    # names and loan words hit other languages' lists now and then
    return first if hits[first] >= 2 and hits[first] >= 1.5 * hits[second] else ""


class Remembering:
    """An Embedder that embeds each text once: duplicates, leaks and topics look at the same ones."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.dimensions, self.count_tokens = embedder.name, embedder.dimensions, embedder.count_tokens
        self._embedder = embedder
        self._rows: dict[str, int] = {}
        self._vectors: list[Matrix] = []

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        new = [t for t in dict.fromkeys(texts) if t not in self._rows]
        if new:
            self._rows |= {t: n for n, t in enumerate(new, len(self._rows))}
            self._vectors = [np.concatenate([*self._vectors, self._embedder.embed(new)])]
        if not texts:
            return self._embedder.embed([])
        vectors: Matrix = self._vectors[0][[self._rows[t] for t in texts]]
        return vectors
