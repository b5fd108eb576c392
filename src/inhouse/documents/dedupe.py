"""Finds documents that repeat an earlier one.

Near duplicates are found exactly, without sampling: two sets of word 5-grams with a Jaccard similarity of at least t
share one among the first |S| - ceil(t |S|) + 1 of each, in any common order, so only documents that share one there
are compared (prefix filter, Chaudhuri et al. 2006; Bayardo et al. 2007). Rare 5-grams come first, which keeps
comparisons few even where documents follow a template.

Similarity is not enough: two long documents that differ only in "the fee is $25" and "the fee is $30" state two facts.
Numbers, names (capitalized words within a sentence) and negations must be the same, in the same order.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from inhouse.text.claims import NEGATION
from inhouse.text.numbers import digits
from inhouse.text.words import words as all_words
from inhouse.types import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

NGRAM_WORDS = 5
MAX_CHARS = 5_000_000  # longer documents are checked for exact copies only: their 5-grams would take too much memory
_BLOCK = re.compile(r"\n\n|\n(?=[#|>*+-])")
_EXCEPTIONS = frozenset(["except", "unless", "only"])


def duplicates(documents: Sequence[Document], threshold: float) -> dict[int, tuple[int, float]]:
    """Maps the index of each duplicate to the index of the first document like it, and their similarity in (0, 1].

    Documents with different access groups are never duplicates of each other: dropping one would hide its text from
    some readers or, worse, show it to others. A threshold of 1 finds exact copies only.
    """
    repeats: dict[int, tuple[int, float]] = {}
    first: dict[tuple[frozenset[str], bytes], int] = {}
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for i, document in enumerate(documents):
        text = hashlib.sha256(document.text.encode()).digest()
        original = first.setdefault((document.access, text), i)
        if original != i:
            repeats[i] = (original, 1.0)
        elif len(document.text) <= MAX_CHARS:
            groups[document.access].append(i)
    if threshold < 1:
        for members in groups.values():
            texts = [documents[i].text for i in members]
            repeats |= {members[i]: (members[j], score) for i, (j, score) in _near(texts, threshold).items()}
    return {i: repeats.get(j, (j, score)) for i, (j, score) in sorted(repeats.items())}  # j may itself repeat another


def _near(texts: Sequence[str], threshold: float) -> dict[int, tuple[int, float]]:
    sets = _by_rarity([ngrams(text) for text in texts])
    seen: dict[int, list[int]] = defaultdict(list)  # 5-gram -> kept documents that have it in their prefix
    repeats: dict[int, tuple[int, float]] = {}
    for i, grams in enumerate(sets):
        prefix = grams[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1].tolist()
        for j in sorted({j for gram in prefix for j in seen[gram]}):
            score = _jaccard(grams, sets[j])
            if score >= threshold and facts(texts[i]) == facts(texts[j]):
                repeats[i] = (j, score)
                break
        else:
            for gram in prefix:
                seen[gram].append(i)
    return repeats


def facts(text: str) -> list[str]:
    """The words that must be equal in near duplicates, in order: numbers, names and negations."""
    words = []
    for block in _BLOCK.split(text):
        first = not block.startswith(("#", "|"))  # the first word of a sentence is always capitalized
        for word in block.split():
            bare = word.strip(".,;:!?()[]\"'*_`#|>+")
            if not bare:
                continue
            named = bare[0].isupper() and not first
            if named or NEGATION.search(bare) or bare.lower() in _EXCEPTIONS or digits(bare):
                words.append(bare)
            first = word.endswith((".", "!", "?", ":"))
    return words


def ngrams(text: str) -> Hashes:
    """Hashes of the distinct word 5-grams, ignoring case; one hash for the whole text when it is shorter."""
    words = np.fromiter((zlib.crc32(word.encode()) for word in all_words(text)), dtype=np.uint64)
    width = min(NGRAM_WORDS, len(words))
    if not width:
        return words
    total = np.zeros(len(words) - width + 1, dtype=np.uint64)
    for k in range(width):
        total = (total ^ words[k : k + len(total)]) * np.uint64(
            0x9E3779B97F4A7C15
        )  # overflows on purpose: a mixing step
        total ^= total >> np.uint64(29)
    return np.unique(total)


def _by_rarity(sets: Sequence[Hashes]) -> list[Hashes]:
    """The same sets with members renumbered and sorted from the rarest to the most common."""
    members, counts = np.unique(np.concatenate([*sets, np.empty(0, np.uint64)]), return_counts=True)
    rank = np.empty(len(members), np.uint64)
    rank[np.lexsort((members, counts))] = np.arange(len(members), dtype=np.uint64)
    return [np.sort(rank[np.searchsorted(members, grams)]) for grams in sets]


def _jaccard(a: Hashes, b: Hashes) -> float:
    if not len(a) or not len(b):
        return 0.0
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)
