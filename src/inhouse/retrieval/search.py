"""Hybrid search: BM25 full text and dense vectors, fused by a min-max convex combination.

score = w * dense + (1 - w) * text, where text is BM25 over the best BM25 and dense is cosine between the lowest and the
highest cosine of the candidates (Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval", eq. 3 with
the theoretical minimum of BM25). A long query is embedded in pieces; a chunk's cosine is that to the nearest of them.
The access filter is part of both searches, so what someone may not read is never a candidate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.errors import InputError
from inhouse.retrieval.index import (
    EXACT_UP_TO_ROWS,
    TABLE,
    lancedb,
    load_settings,
    probes_of,
    visible_to,
    with_parts,
)
from inhouse.types import Chunk, Embedder, Passage, Record, Source

if TYPE_CHECKING:
    import pyarrow as pa

    from inhouse.types import Matrix

CANDIDATES = 100
REFINED = 6  # times the candidates: so many are compared by their whole vectors
FEW_ROWS = 1000  # visible in a large index: each is compared
READERS = 8
DEFAULT_WEIGHT = 0.4
DEFAULT_BOOST = 1.0  # of a document that the conversation mentions
LONG_QUERY_WORDS = 60
PIECE_WORDS = 50
MOST_PIECES = 16
FUSION = "fusion.json"
_WORD = re.compile(r"\w+")
_SENTENCES = re.compile(r"(?<=[.!?。؟])\s+|\n+")


Reader = Callable[[Sequence[int]], list[Chunk]]


class Hit(Record):
    """A chunk found. `score` in [0, 1]; `dense` is its cosine, `text` its share of the best BM25."""

    chunk: Chunk
    score: float
    dense: float
    text: float

    @property
    def passage(self) -> Passage:
        c = self.chunk
        return Passage(source=c.source, title=c.title, heading=c.heading, text=c.text, score=self.score)


class Found:
    """What the two searches found for one query, in columns: the chunks are read only of what is wanted.

    Args:
        places: document and start of each row.
        keys: row ids in the table.
        dense: cosines, (rows,).
        text: shares of the best BM25, (rows,).
        read: gives the chunks of row ids, in their order.
    """

    def __init__(
        self, places: list[tuple[str, int]], keys: list[int], dense: Matrix, text: Matrix, read: Reader
    ) -> None:
        self.places = places
        self._keys, self._dense, self._text, self._read = keys, dense, text, read

    def scores(self, weight: float) -> list[float]:
        """The fused score of each row."""
        if not len(self._dense):
            return []
        low = self._dense.min()
        spread = self._dense.max() - low or 1.0
        fused: list[float] = (weight * (self._dense - low) / spread + (1 - weight) * self._text).tolist()
        return fused

    @cached_property
    def texts(self) -> list[str]:
        return [chunk.text for chunk in self._read(self._keys)]

    def hits(self, rows: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        """The chunks of the rows, with the scores given for them."""
        chunks = self._read([self._keys[n] for n in rows])
        return [
            Hit(chunk=chunk, score=score, dense=float(self._dense[n]), text=float(self._text[n]))
            for n, score, chunk in zip(rows, scores, chunks, strict=True)
        ]

    def best(self, weight: float, k: int) -> list[Hit]:
        """The k best, ties by place."""
        scores = self.scores(weight)
        order = sorted(range(len(scores)), key=lambda n: (-scores[n], self.places[n]))[:k]
        return self.hits(order, [scores[n] for n in order])


class Places:
    """Where each row of a table stands, in memory: read from the table, 200 of a million rows take 10 ms.

    Some 50 bytes a row.
    """

    def __init__(self, table: Any, rows: int) -> None:
        import numpy as np

        read = table.search().select(["source", "start"]).with_row_id(True).limit(rows or 1).to_arrow()
        keys = read["_rowid"].to_numpy()
        order = np.argsort(keys)
        self._keys = keys[order]
        self._sources = read["source"].combine_chunks().dictionary_encode().take(order)
        self._starts = read["start"].to_numpy()[order]

    def of(self, keys: Sequence[int]) -> list[tuple[str, int]]:
        """Document and offset of each row."""
        import numpy as np

        at = np.searchsorted(self._keys, np.array(keys, dtype=self._keys.dtype))
        return list(zip(self._sources.take(at).to_pylist(), self._starts[at].tolist(), strict=True))


class Index:
    """An index opened for search.

    Args:
        folder: what `build_index` made.
        embedder: the embedder that it was built with.
        fusion: folder with fusion.json, None for the defaults.

    Raises:
        InputError: no index is there, or it was built with another embedder.
    """

    def __init__(self, folder: Path, embedder: Embedder, fusion: Path | None = None) -> None:
        made_with = load_settings(folder)
        if made_with["embedder"] != embedder.name:
            text = f"{folder}: built with the embedder {made_with['embedder']}, not {embedder.name}"
            raise InputError(text, "`inhouse index` builds it anew")
        self._table = lancedb().connect(folder / "lance").open_table(TABLE)
        self._embedder = embedder
        self._rows = self._table.count_rows()
        self._restricted = bool(made_with["restricted"])
        self._places = Places(self._table, self._rows)
        self._visible = lru_cache(1024)(self._table.count_rows)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="search")
        tuned = json.loads((fusion / FUSION).read_text(encoding="utf-8")) if fusion else {}
        self.weight = float(tuned.get("weight", DEFAULT_WEIGHT))
        self.mention_boost = float(tuned.get("mention_boost", DEFAULT_BOOST))

    def search(
        self,
        query: str,
        k: int,
        groups: Collection[str] = (),
        weight: float | None = None,
        sources: Sequence[str] = (),
    ) -> list[Hit]:
        """The k best chunks, best first; fewer when fewer may be read.

        Args:
            query: plain text; no part of it is syntax.
            k: how many.
            groups: access groups of whoever asks; documents without groups are for everyone.
            weight: of the dense score, in [0, 1]; None takes the tuned one.
            sources: search these documents only.

        Deterministic: ties fall to the lower chunk digest.
        """
        if not query.strip():
            return []
        return self.candidates(query, groups, sources).best(self.weight if weight is None else weight, k)

    def embed(self, query: str) -> Matrix:
        """Unit vectors of the query's pieces, (pieces, dimensions); one that is not long is one piece."""
        return self._embedder.embed(pieces(query))

    def candidates(
        self, query: str, groups: Collection[str] = (), sources: Sequence[str] = (), vectors: Matrix | None = None
    ) -> Found:
        """The best of either search, not yet fused; `vectors` are the query's where they are known already."""
        import numpy as np

        allowed = self._filter(groups, sources)
        reading = self._threads.submit(self._matching, query, allowed)
        if vectors is None:
            vectors = self.embed(query)
        few = bool(sources) or (allowed != "" and self._visible(allowed) <= FEW_ROWS)
        wanted = ["vector"] if len(vectors) > 1 else []  # else the distance says the cosine
        near = [self._near(vector, allowed, few, wanted) for vector in vectors]
        matching = reading.result()
        dense: dict[int, float] = {}
        bm25: dict[int, float] = {}
        for table in (*near, matching):
            if table is None or not table.num_rows:
                continue
            keys = table["_rowid"].to_pylist()
            for key, cosine in zip(keys, _cosines(table, vectors), strict=True):
                dense[key] = max(cosine, dense.get(key, -1.0))
            if "_score" in table.column_names:
                bm25 = dict(zip(keys, table["_score"].to_pylist(), strict=True))
        best = max(bm25.values(), default=1.0) or 1.0
        found = sorted(zip(self._places.of(list(dense)), dense, strict=True))
        keys = [key for _, key in found]
        return Found(
            [place for place, _ in found], keys, np.array([dense[key] for key in keys], dtype=np.float32),
            np.array([bm25.get(key, 0.0) / best for key in keys], dtype=np.float32), self._read,
        )  # fmt: skip

    def _read(self, keys: Sequence[int]) -> list[Chunk]:
        """The chunks in rows of the table."""
        if not keys:
            return []
        rows = self._table.take_row_ids(list(keys)).select(["chunk"]).with_row_id().to_arrow().to_pylist()
        by_key = {row["_rowid"]: row["chunk"] for row in rows}
        return [Chunk.model_validate_json(by_key[key]) for key in keys]

    def _filter(self, groups: Collection[str], sources: Sequence[str]) -> str:
        """The condition on rows; empty where all may be read by anyone."""
        allowed = [visible_to(groups)] if self._restricted else []
        if sources:
            allowed.append("source IN ({})".format(", ".join(map(_quoted, sources))))
        return " AND ".join(allowed)

    def _near(self, vector: Matrix, allowed: str, few: bool, columns: Sequence[str]) -> pa.Table:
        asked = self._table.search(vector, vector_column_name="vector").distance_type("cosine")
        if allowed:
            asked = asked.where(allowed, prefilter=True)
        if self._rows > EXACT_UP_TO_ROWS and few:
            asked = asked.bypass_vector_index()
        elif self._rows > EXACT_UP_TO_ROWS:
            asked = asked.nprobes(probes_of(self._rows)).refine_factor(REFINED)
        return asked.limit(CANDIDATES).select([*columns, "_distance"]).with_row_id(True).to_arrow()

    def _matching(self, query: str, allowed: str) -> pa.Table | None:
        from lancedb.query import MatchQuery

        words = " ".join(_WORD.findall(with_parts(query)))
        if not words:
            return None
        asked = self._table.search(MatchQuery(words, "indexed"), query_type="fts")
        if allowed:
            asked = asked.where(allowed, prefilter=True)
        return asked.limit(CANDIDATES).select(["vector", "_score"]).with_row_id(True).to_arrow()

    def titles(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Title and access groups of each document, by its path."""
        return {source: (title, groups) for source, (title, groups, _) in self.outline().items()}

    def outline(self) -> dict[str, tuple[str, frozenset[str], int]]:
        """Title, access groups and number of chunks of each document, by its path."""
        columns = ["source", "title", "groups"]
        rows = self._table.search().select(columns).limit(self._rows or 1).to_arrow()
        named = rows.group_by(columns).aggregate([([], "count_all")]).to_pylist()
        return {r["source"]: (r["title"], frozenset(json.loads(r["groups"])), r["count_all"]) for r in named}

    def chunks_of(self, source: str) -> list[Chunk]:
        """Every chunk of a document, in its order."""
        asked = self._table.search().where(f"source = {_quoted(source)}").select(["chunk"])
        rows = asked.limit(self._rows or 1).to_arrow()["chunk"].to_pylist()
        return sorted(map(Chunk.model_validate_json, rows), key=lambda c: c.start)


def _cosines(table: pa.Table, vectors: Matrix) -> list[float]:
    """Of each row the cosine to the nearest of the vectors."""
    if "vector" not in table.column_names:
        return [1.0 - distance for distance in table["_distance"].to_pylist()]
    rows = table["vector"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, vectors.shape[1])
    nearest: list[float] = (rows @ vectors.T).max(axis=1).tolist()
    return nearest


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def pieces(query: str) -> list[str]:
    """The query cut between sentences into pieces of some 50 words, when it is longer than 60; 16 at most."""
    if len(_WORD.findall(query)) <= LONG_QUERY_WORDS:
        return [query]
    found: list[list[str]] = [[]]
    for sentence in _SENTENCES.split(query):
        words = sentence.split()
        if found[-1] and len(found[-1]) + len(words) > PIECE_WORDS:
            found.append([])
        found[-1] += words
    return [" ".join(words) for words in found[:MOST_PIECES] if words] or [query]


def plain(text: str) -> str:
    """Lower-case words alone, to find a sentence again whatever its spacing and punctuation."""
    return " ".join(_WORD.findall(text.casefold()))


def holds(passage: str, sentence: str) -> bool:
    """Whether the passage has the sentence in it, or, for one that a chunk border cuts, most of it."""
    inside, wanted = plain(passage), plain(sentence)
    if not wanted:
        return False
    half = wanted[: max(len(wanted) // 2, 20)]
    return wanted in inside or (len(wanted) > 60 and half in inside)


def gold_passages(index: Index, question: str, sources: Sequence[Source], k: int = 4) -> list[Passage]:
    """The passages that hold the given sentences; where only a document is named, its chunks nearest the question."""
    found: dict[tuple[str, int], Passage] = {}
    for source in sources:
        if source.text:
            chunks = [c for c in index.chunks_of(source.document) if holds(c.text, source.text)][:1]
        else:
            chunks = [h.chunk for h in index.search(question, 2, sources=[source.document])]
        for c in chunks:
            found[c.source, c.start] = Passage(
                source=c.source, title=c.title, heading=c.heading, text=c.text, score=1.0
            )
    return list(found.values())[:k]
