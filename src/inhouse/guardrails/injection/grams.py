"""Jailbreaks in other languages than English, by which words and pieces of words a message has.

A logistic regression over hashed n-grams (Weinberger et al. 2009), which needs no embedder.
`guardrail_training/train_languages.py` trains it.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import lru_cache
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from inhouse.guardrails.classifier import read_weights
from inhouse.text.sentences import sentences
from inhouse.types import Matrix

FEATURES = ("words", "pairs_of_words", "letters_3_4", "han_kana_1_3")
BUCKETS = 1 << 16
LETTERS = (3, 4)  # of a piece of a word, with a mark at each end of the word
CHARACTERS = (1, 2, 3)  # of a piece of Chinese or Japanese
STEM = 5  # letters of a word that count in a pair
MOST_CHARS = 400  # of a piece of text that is judged at once
_WORD = re.compile(r"[^\W_]+")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class Weights(NamedTuple):
    """One weight per bucket, shape (BUCKETS,), the bias, and the logit from which a text is reported."""

    weight: Matrix
    bias: float
    threshold: float


@lru_cache(maxsize=1)
def shipped() -> Weights:
    """The weights in `weights/languages.safetensors`.

    Raises:
        InputError: see `classifier.read_weights`.
    """
    tensors, threshold = read_weights("languages", FEATURES)
    return Weights(tensors["weight"].astype("float32"), float(tensors["bias"][0]), threshold)


def is_jailbreak(text: str) -> bool:
    """Whether some piece of the text reads as a jailbreak in one of the languages of the training."""
    weights = shipped()
    return any(logit(piece, weights) >= weights.threshold for piece in pieces(text))


def logit(text: str, weights: Weights) -> float:
    own = buckets(text)
    return float(weights.weight[own].sum()) / sqrt(max(len(own), 1)) + weights.bias


def pieces(text: str) -> list[str]:
    """Each sentence, and each two that follow each other, in parts of MOST_CHARS at most: an attack weighs as much in a
    longer text."""
    own = sentences(text)
    judged = [*own, *(f"{a} {b}" for a, b in pairwise(own))]
    return [piece[at : at + MOST_CHARS] for piece in judged for at in range(0, len(piece), MOST_CHARS)]


def buckets(text: str) -> list[int]:
    """The buckets of a text's n-grams, each once, sorted. Case and accents do not count."""
    found: set[str] = set()
    stems = []
    for word in _WORD.findall(_plain(text)):
        if _HAN_OR_KANA.search(word):
            found.update("c" + gram for gram in _grams(word, CHARACTERS))
        else:
            found.update(_grams(f"<{word}>", LETTERS))
            found.add("w" + word)
            stems.append(word[:STEM])
    found.update(f"b{a} {b}" for a, b in pairwise(stems))
    return sorted({zlib.crc32(gram.encode("utf-8", "replace")) % BUCKETS for gram in found})


def _grams(word: str, sizes: tuple[int, ...]) -> list[str]:
    return [word[at : at + n] for n in sizes for at in range(len(word) - n + 1)]


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
