import numpy as np
import pytest

from inhouse.text.cache import CachedEmbedder


class Counting:
    """The embedder, recording the texts that it embeds."""

    def __init__(self, embedder):
        self._embedder = embedder
        self.name, self.dimensions, self.embedded = embedder.name, embedder.dimensions, []

    def embed(self, texts):
        self.embedded += texts
        return self._embedder.embed(texts)

    def read(self, texts):
        self.embedded += texts
        return self._embedder.read(texts)


def test_what_was_read_is_cached_and_makes_room_for_new_texts(embedder):
    counting = Counting(embedder)
    cache = CachedEmbedder(counting, most=3, most_read=2)
    first = cache.read(["A wire costs $25.", "It is quick."])
    assert cache.embed(["It is quick."])[0] == pytest.approx(first[1][0])
    again = cache.read(["It is quick.", "A wire costs $25."])
    assert counting.embedded == ["A wire costs $25.", "It is quick."]
    assert (again[1][1] == first[0][1]).all()
    fresh = embedder.read(["A wire costs $25."])[0]
    assert first[0][1] == pytest.approx(fresh[1], abs=0.01)
    cache.read(["A loan."])  # drops the least recently used: "It is quick."
    cache.read(["A wire costs $25.", "A loan."])
    cache.embed(["It is quick."])  # its vector is still cached
    assert counting.embedded[2:] == ["A loan."]
    cache.read(["It is quick."])
    assert counting.embedded[3:] == ["It is quick."]


def test_more_texts_than_the_cache_holds_are_embedded_all_the_same(embedder):
    cache = CachedEmbedder(Counting(embedder), most=2, most_read=1)
    texts = ["A wire costs $25.", "It is quick.", "A loan.", "It is quick."]
    assert cache.embed(texts) == pytest.approx(embedder.embed(texts))
    assert np.stack([v for v, _ in cache.read(texts)]) == pytest.approx(embedder.embed(texts))
    assert cache.embed([]).shape == (0, embedder.dimensions)
