"""What changes in a large index, on a small one with lowered limits."""

import zlib
from functools import cache

import numpy as np
import pytest

from inhouse.config.sections import Retrieval
from inhouse.retrieval import index as module
from inhouse.retrieval import search
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import Index
from inhouse.types import Document, Silent

ROWS = 3000


@cache
def word(text):
    return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(32)


class Hashed:
    """An embedder of 32 dimensions: the sum of one random vector per word."""

    name, dimensions, sides = "hashed", 32, False

    def count_tokens(self, text):
        return len(text.split())

    def embed(self, texts, query=False):
        rows = [
            sum(np.random.default_rng(zlib.crc32(w.encode())).standard_normal(32) for w in t.split()) for t in texts
        ]
        return np.array([r / np.linalg.norm(r) for r in rows], dtype=np.float32)


def documents(count):
    random = np.random.default_rng(3)
    for n in range(count):
        words = " ".join(f"w{k}" for k in random.integers(0, 400, 12))
        yield Document(source=f"{n}.md", title="", text=f"{words} serial{n}",
                       access=frozenset(["few"] if n % 100 == 0 else ["some"] if n % 10 == 0 else []))  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for place in (module, search):
            patch.setattr(place, "EXACT_UP_TO_ROWS", 500)
        patch.setattr(module, "ROWS_A_PARTITION", 100)
        patch.setattr(search, "FEW_ROWS", 40)
        out = tmp_path_factory.mktemp("large")
        build_index(list(documents(ROWS)), Hashed(), Retrieval(), out / "a", None, Silent())
        yield out


@cache
def everything():
    drawn = list(documents(ROWS))
    return drawn, Hashed().embed([d.text for d in drawn])


def nearest(query, groups, k=10):
    """The k visible documents nearest by exact cosine."""
    drawn, vectors = everything()
    order = np.argsort(-(vectors @ Hashed().embed([query])[0]))
    return {d.source for d in [drawn[n] for n in order if not drawn[n].access - set(groups)][:k]}


@pytest.mark.parametrize("groups", [(), ("few",), ("few", "some")])
def test_the_right_rows_are_found_among_those_that_may_be_read(large, groups):
    index = Index(large / "a", Hashed())
    assert {i.columns[0] for i in index._table.list_indices()} == {"indexed", "vector", "access", "source"}
    hit = 0
    for n in range(20):
        query = f"w{n} w{2 * n + 1} w{3 * n + 2}"
        hits = index.search(query, 10, groups, weight=1.0)
        assert all(not h.chunk.access or h.chunk.access & set(groups) for h in hits)
        hit += len({h.chunk.source for h in hits} & nearest(query, groups))
    assert hit >= 190


def test_a_closed_document_is_found_by_its_group_alone(large):
    index = Index(large / "a", Hashed())
    for weight in (0.0, 0.4, 1.0):
        assert index.search("serial700", 1, ("few",), weight=0.0)[0].chunk.source == "700.md"
        assert all(h.chunk.source != "700.md" for h in index.search("serial700", 100, ("some",), weight))
    assert [h.chunk.source for h in index.search("w1", 3, ("few",), sources=["700.md"])] == ["700.md"]
    assert index.search("w1", 3, sources=["700.md"]) == []


def test_an_update_cuts_and_embeds_new_documents_only(large, monkeypatch):
    cut = []
    whole = module.chunk_document
    monkeypatch.setattr(module, "chunk_document", lambda d, *rest: cut.append(d.source) or whole(d, *rest))
    changed = [*list(documents(ROWS))[1:], Document(source="new.md", title="", text="brandnew words")]
    facts = build_index(changed, Hashed(), Retrieval(), large / "b", large / "a", Silent())
    assert cut == ["new.md"]
    assert (facts["added"], facts["removed"], facts["kept"]) == (1, 1, ROWS - 1)
    after, before = Index(large / "b", Hashed()), Index(large / "a", Hashed())
    assert after.search("brandnew", 1, weight=0.0)[0].chunk.source == "new.md"
    assert after.search("brandnew words", 1, weight=1.0)[0].chunk.source == "new.md"
    assert not any(h.chunk.source == "0.md" for h in after.search("serial0", 5, ("few",)))
    assert before.search("serial0", 1, ("few",), weight=0.0)[0].chunk.source == "0.md"
    assert not any(h.chunk.source == "new.md" for h in before.search("brandnew words", 5))


def test_searches_at_the_same_time_find_the_same(large):
    from concurrent.futures import ThreadPoolExecutor

    index = Index(large / "a", Hashed())
    queries = [f"w{n} w{n + 7}" for n in range(40)]
    alone = [[h.chunk.source for h in index.search(q, 5)] for q in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: [h.chunk.source for h in index.search(q, 5)], queries))
    assert together == alone
