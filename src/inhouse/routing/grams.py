"""Texts as hashed n-grams: words and pairs of words, and pieces of 2 to 5 characters of words.

Weighted as in TF-IDF with logarithmic counts (Salton and Buckley 1988); words and pieces count the same. Hashes of
pieces are polynomials of code points over all positions of a text at once, so a text takes linear time.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from inhouse.text.words import WORD
from inhouse.types import Matrix

MOST_CHARS = 2000  # of a text; what comes later says little about what it is about
SIZES = (2, 3, 4, 5)  # of pieces, with a space at each end of a word
_PRIME, _MIX = 0x01000193, 0x9E3779B1
_EDGE = ord(" ")


class Vocabulary(NamedTuple):
    """The n-grams of the training: sorted hashes (uint64) and their weights (float32), shape (n,) each."""

    hashes: Any
    idf: Matrix


def hashes(text: str) -> tuple[Any, Any]:
    """The hashes of the n-grams of a text, as often as they occur: of words, and of pieces of words. uint64; those of
    pieces have bit 32 set."""
    import numpy as np

    plain = " ".join(unicodedata.normalize("NFKC", text[:MOST_CHARS]).casefold().split())[:MOST_CHARS]
    found = WORD.findall(plain)
    pairs = [f"{a} {b}" for a, b in pairwise(found)]
    words = np.array([zlib.crc32(w.encode("utf-8", "replace")) for w in (*found, *pairs)], dtype=np.uint64)
    codes = np.frombuffer(f" {plain} ".encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    edge = codes == _EDGE
    rolled, inner = codes.copy(), np.zeros(len(codes), dtype=bool)
    pieces = []
    for size in range(2, max(SIZES) + 1):
        if len(codes) < size:
            break
        # A piece of `size` is one of `size - 1` with the next character; only its ends may be spaces.
        inner = inner[:-1] | (edge[size - 2 : -1] if size > 2 else False)
        rolled = rolled[:-1] * np.uint32(_PRIME) + codes[size - 1 :]
        mixed = (rolled ^ (rolled >> np.uint32(15))) * np.uint32(_MIX + 2 * size)
        pieces.append((mixed ^ (mixed >> np.uint32(13)))[~inner])
    joined = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.uint32)
    return words, joined.astype(np.uint64) | np.uint64(1 << 32)


def learned(texts: Sequence[str]) -> tuple[Vocabulary, Any]:
    """The vocabulary of texts, and the texts as a sparse matrix in CSR format, float32, shape (len(texts), n)."""
    import numpy as np
    from scipy.sparse import csr_matrix

    counted = [_counted(text) for text in texts]
    found, counts = np.unique(np.concatenate([h for parts in counted for h, _ in parts]), return_counts=True)
    vocabulary = Vocabulary(found, (np.log((1 + len(texts)) / (1 + counts)) + 1).astype(np.float32))
    rows = [_weighted(parts, vocabulary) for parts in counted]
    starts = np.cumsum([0, *(len(at) for at, _ in rows)])
    places, weights = (np.concatenate([row[n] for row in rows]) for n in (0, 1))
    return vocabulary, csr_matrix((weights, places, starts), shape=(len(texts), len(found)))


def weighted(text: str, vocabulary: Vocabulary) -> tuple[Any, Matrix]:
    """The positions in the vocabulary of the n-grams of a text, and their weights: two unit vectors, one of words and
    one of pieces. Both of shape (k,)."""
    return _weighted(_counted(text), vocabulary)


def _counted(text: str) -> list[tuple[Any, Any]]:
    """For words and for pieces, their hashes and how often each occurs."""
    import numpy as np

    return [np.unique(part, return_counts=True) for part in hashes(text)]


def _weighted(counted: Sequence[tuple[Any, Any]], vocabulary: Vocabulary) -> tuple[Any, Matrix]:
    import numpy as np

    places, weights = [], []
    for found, counts in counted:
        at = np.searchsorted(vocabulary.hashes, found)
        at[at == len(vocabulary.hashes)] = 0
        known = vocabulary.hashes[at] == found
        weight = (1 + np.log(counts[known])) * vocabulary.idf[at[known]]
        places.append(at[known])
        weights.append(weight / max(float(np.linalg.norm(weight)), 1e-9))
    return np.concatenate(places), np.concatenate(weights).astype(np.float32)
