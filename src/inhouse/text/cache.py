"""What rails keep of texts that come again: vectors, what the embedder made of tokens, and what was made of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inhouse.types import Embedder

if TYPE_CHECKING:
    from inhouse.types import Matrix


from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from inhouse.types import TokenEmbedder

if TYPE_CHECKING:
    from inhouse.types import Matrix

VECTORS = 5000  # texts
READ = 500  # texts, some 20 kB each: those of the questions that are being answered
FEW = 100  # texts that are read whenever they are embedded: a question's passages; other rails want the same sentences
V = TypeVar("V")


class Recent(OrderedDict[str, V]):
    """A dict of what was put in or asked for last: beyond `most`, what was not for longest goes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)

    def filled(self, keys: Sequence[str], make: Callable[[list[str]], Iterable[V]]) -> dict[str, V]:
        """What is kept of each key, or what `make` makes of those of which nothing is, all at once."""
        found = {}
        for key in keys:
            if (value := self.pop(key, None)) is not None:
                found[key] = self[key] = value
        if new := [key for key in dict.fromkeys(keys) if key not in found]:
            made = dict(zip(new, make(new), strict=True))
            self.update(made)
            found |= made
        return found


class CachedEmbedder:
    """A TokenEmbedder that keeps the vectors of what it saw last: passages come again, and so do greetings. What was
    made of the tokens is larger, and kept of fewer texts."""

    def __init__(self, embedder: TokenEmbedder, most: int = VECTORS, most_read: int = READ) -> None:
        self._embedder = embedder
        self._vectors: Recent[Matrix] = Recent(most)
        self._read: Recent[tuple[Matrix, Matrix]] = Recent(most_read)
        self._lock = Lock()  # rails run in threads, and several want the same text
        self.name, self.dimensions = embedder.name, embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        with self._lock:
            found = self._vectors.filled(texts, self._embedded)
        return np.stack([found[t] for t in texts]) if texts else self._embedder.embed(texts)

    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        """As `TokenEmbedder.read`, tokens as float16."""
        with self._lock:
            found = self._read.filled(texts, self._newly_read)
        return [found[t] for t in texts]

    def _embedded(self, texts: list[str]) -> Iterable[Matrix]:
        if len(texts) > FEW:
            return self._embedder.embed(texts)
        found = self._read.filled(texts, self._newly_read)
        return [found[t][0] for t in texts]

    def _newly_read(self, texts: list[str]) -> list[tuple[Matrix, Matrix]]:
        found = [(vector, tokens.astype("float16")) for vector, tokens in self._embedder.read(texts)]
        self._vectors.update(zip(texts, (vector for vector, _ in found), strict=True))
        return found

    def count_tokens(self, text: str) -> int:
        return self._embedder.count_tokens(text)


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
