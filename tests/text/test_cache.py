import numpy as np
import pytest

from inhouse.text.cache import CachedEmbedder, CachedVectors, Recent, kept_for


class Counting:
    """The embedder, recording the texts that it embeds."""

    def __init__(self, embedder):
        self._embedder = embedder
        self.name, self.dimensions, self.count_tokens = embedder.name, embedder.dimensions, embedder.count_tokens
        self.sides, self.parts = False, embedder.parts
        self.embedded = []

    def embed(self, texts):
        self.embedded += texts
        return self._embedder.embed(texts)

    def read(self, texts):
        self.embedded += texts
        return self._embedder.read(texts)


def test_the_least_recently_used_value_is_dropped():
    kept = Recent(2)
    kept["a"], kept["b"] = 1, 2
    kept.filled(["a"], list)
    kept["c"] = 3
    assert list(kept) == ["a", "c"]


def test_missing_values_are_made_all_at_once():
    kept, made = Recent(5), []
    kept["a"] = 0

    def make(keys):
        made.append(keys)
        return [len(k) for k in keys]

    assert kept.filled(["bb", "a", "ccc", "bb"], make) == {"a": 0, "bb": 2, "ccc": 3}
    assert made == [["bb", "ccc"]]


def test_vectors_are_made_once_and_are_those_of_the_embedder(embedder):
    counting = Counting(embedder)
    cache = CachedVectors(counting)
    texts = ["A wire costs $25.", "It is quick.", "A wire costs $25."]
    assert cache.embed(texts) == pytest.approx(embedder.embed(texts))
    cache.embed(["It is quick."])
    assert counting.embedded == texts[:2]
    assert cache.embed([]).shape == (0, embedder.dimensions)
    assert (cache.name, cache.count_tokens("It is quick.")) == (embedder.name, embedder.count_tokens("It is quick."))


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


def test_readers_of_other_groups_share_nothing(embedder):
    """Or the time of an answer would say that somebody asked the same."""
    counting = Counting(embedder)
    cache = CachedEmbedder(counting)
    texts = ["A wire costs $25."]
    for groups in ([], ["staff"], ["staff", "board"], ["board", "staff"], ["staff"], []):
        with kept_for(groups):
            assert cache.embed(texts)[0] == pytest.approx(embedder.embed(texts)[0], abs=1e-3)
            cache.read(texts)
    assert counting.embedded == texts * 3
    cache.embed(texts)
    assert len(counting.embedded) == 3  # outside of a block as for readers without groups
