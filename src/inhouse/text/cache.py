"""Results kept for texts that come again: embeddings, and whatever else is made from a text.

What is kept for one reader must not be quick for another: the time would say that somebody asked the same. So within
`kept_for`, only readers of the same groups share what is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TypeVar

from inhouse.types import Embedder, Matrix, TokenEmbedder

VECTORS = 5000  # texts
READ = 500  # texts, some 20 kB each: those of the questions that are being answered
FEW = 100  # texts that are read whenever they are embedded: a question's passages; other rails want the same sentences
V = TypeVar("V")
_READER: ContextVar[str] = ContextVar("reader", default="")


@contextmanager
def kept_for(groups: Collection[str]) -> Iterator[None]:
    """Within the block, texts that are looked up with `filled` are those of readers in exactly these groups."""
    before = _READER.set("".join(f"{group}\x1e" for group in sorted(groups)))
    try:
        yield
    finally:
        _READER.reset(before)


class Recent(OrderedDict[str, V]):
    """A dict that keeps the `most` values that were stored or asked for last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)

    def filled(self, keys: Sequence[str], make: Callable[[list[str]], Iterable[V]]) -> dict[str, V]:
        """The value of each key; `make` gets all those that are not kept at once."""
        values, reader = {}, _READER.get()
        for key in keys:
            if (value := self.pop(reader + key, None)) is not None:
                values[key] = self[reader + key] = value
        if new := [key for key in dict.fromkeys(keys) if key not in values]:
            made = dict(zip(new, make(new), strict=True))
            self.keep(made)
            values |= made
        return values

    def keep(self, made: Mapping[str, V]) -> None:
        """Keeps values for those who may share them now."""
        self.update((_READER.get() + key, value) for key, value in made.items())


class CachedVectors:
    """An Embedder that keeps the vectors of the `most` texts that it saw last."""

    def __init__(self, embedder: Embedder, most: int = VECTORS) -> None:
        self.name, self.dimensions, self.count_tokens = embedder.name, embedder.dimensions, embedder.count_tokens
        self.sides, self.parts = embedder.sides, embedder.parts
        self._embed = embedder.embed
        self._vectors: Recent[Matrix] = Recent(most)
        self._queries: Recent[Matrix] = Recent(most)  # the same text may have another vector as a query
        self._lock = Lock()  # several threads may want the same text

    def embed(self, texts: Sequence[str], query: bool = False) -> Matrix:
        import numpy as np

        if not texts:
            return self._embed([])
        with self._lock:
            vectors = (
                self._queries.filled(texts, lambda some: self._embed(some, query=True))
                if query
                else self._vectors.filled(texts, self._make)
            )
        return np.stack([vectors[t] for t in texts])

    def _make(self, texts: list[str]) -> Iterable[Matrix]:
        return self._embed(texts)


class CachedEmbedder(CachedVectors):
    """A TokenEmbedder that also keeps the vectors of tokens; these are larger, so of fewer texts."""

    def __init__(self, embedder: TokenEmbedder, most: int = VECTORS, most_read: int = READ) -> None:
        super().__init__(embedder, most)
        self._embedder = embedder
        self._read: Recent[tuple[Matrix, Matrix]] = Recent(most_read)

    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        """As `TokenEmbedder.read`, tokens as float16."""
        with self._lock:
            made = self._read.filled(texts, self._make_read)
        return [made[t] for t in texts]

    def _make(self, texts: list[str]) -> Iterable[Matrix]:
        if len(texts) > FEW:
            return self._embed(texts)
        made = self._read.filled(texts, self._make_read)
        return [made[t][0] for t in texts]

    def _make_read(self, texts: list[str]) -> list[tuple[Matrix, Matrix]]:
        made = [(vector, tokens.astype("float16")) for vector, tokens in self._embedder.read(texts)]
        self._vectors.keep(dict(zip(texts, (vector for vector, _ in made), strict=True)))
        return made
