"""Hybrid search: BM25 full text and dense vectors, fused by a min-max convex combination.

score = w * dense + (1 - w) * text, where text is BM25 over the best BM25 and dense is cosine between the lowest and the
highest cosine of the candidates (Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval", eq. 3 with
the theoretical minimum of BM25). The access filter is part of both searches, so what someone may not read is never a
candidate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from inhouse.retrieval.index import TABLE, chunk_of, load_settings, visible_to
from inhouse.types import Chunk, Embedder, InputError, Passage, Record, Source

CANDIDATES = 100
DEFAULT_WEIGHT = 0.5
FUSION = "fusion.json"
_WORD = re.compile(r"\w+")


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


class Index:
    """An index opened for search.

    Args:
        folder: what `build_index` made.
        embedder: the embedder that it was built with.
        fusion: folder with fusion.json, None for equal weights.

    Raises:
        InputError: no index is there, or it was built with another embedder.
    """

    def __init__(self, folder: Path, embedder: Embedder, fusion: Path | None = None) -> None:
        import lancedb

        made_with = load_settings(folder)
        if made_with["embedder"] != embedder.name:
            text = f"{folder}: built with the embedder {made_with['embedder']}, not {embedder.name}"
            raise InputError(text, "`inhouse index` builds it anew")
        self._table = lancedb.connect(folder / "lance").open_table(TABLE)
        self._embedder = embedder
        tuned = json.loads((fusion / FUSION).read_text(encoding="utf-8")) if fusion else {}
        self.weight = float(tuned.get("weight", DEFAULT_WEIGHT))
        self.mention_boost = float(tuned.get("mention_boost", 1.0))

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
        return fuse(self.candidates(query, groups, sources), self.weight if weight is None else weight)[:k]

    def candidates(self, query: str, groups: Collection[str] = (), sources: Sequence[str] = ()) -> list[Hit]:
        """The best of either search, unfused: `score` is 0. One embedder call."""
        import numpy as np

        allowed = f"({visible_to(groups)})"
        if sources:
            names = ", ".join("'" + s.replace("'", "''") + "'" for s in sources)
            allowed += f" AND source IN ({names})"
        vector = self._embedder.embed([query])[0]
        near = (
            self._table.search(vector, vector_column_name="vector").distance_type("cosine")
            .where(allowed, prefilter=True).limit(CANDIDATES).to_list()
        )  # fmt: skip
        rows = {row["id"]: row for row in near}
        bm25: dict[str, float] = {}
        for row in self._matching(query, allowed):
            bm25[row["id"]] = float(row["_score"])
            rows.setdefault(row["id"], row)
        best = max(bm25.values(), default=1.0) or 1.0
        hits = []
        for key in sorted(rows):
            cosine = float(np.dot(np.asarray(rows[key]["vector"], dtype=np.float32), vector))
            hits.append(Hit(chunk=chunk_of(rows[key]), score=0, dense=cosine, text=bm25.get(key, 0.0) / best))
        return hits

    def _matching(self, query: str, allowed: str) -> list[dict[str, Any]]:
        from lancedb.query import MatchQuery

        words = " ".join(_WORD.findall(query))
        if not words:
            return []
        found: list[dict[str, Any]] = (
            self._table.search(MatchQuery(words, "indexed"), query_type="fts")
            .where(allowed, prefilter=True).limit(CANDIDATES).to_list()
        )  # fmt: skip
        return found

    def titles(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Title and access groups of each document, by its path."""
        columns = ["source", "title", "groups"]
        rows = self._table.search().select(columns).limit(self._table.count_rows() or 1).to_arrow().to_pylist()
        return {row["source"]: (row["title"], frozenset(json.loads(row["groups"]))) for row in rows}

    def chunks_of(self, source: str) -> list[Chunk]:
        """Every chunk of a document, in its order."""
        name = source.replace("'", "''")
        rows = self._table.search().where(f"source = '{name}'").limit(self._table.count_rows() or 1).to_list()
        return sorted((chunk_of(row) for row in rows), key=lambda c: c.start)


def fuse(hits: Iterable[Hit], weight: float) -> list[Hit]:
    """The candidates of one query scored and sorted, best first."""
    hits = list(hits)
    low = min((h.dense for h in hits), default=0.0)
    spread = max((h.dense for h in hits), default=1.0) - low or 1.0
    scored = [h.model_copy(update={"score": weight * (h.dense - low) / spread + (1 - weight) * h.text}) for h in hits]
    return sorted(scored, key=lambda h: (-h.score, h.chunk.source, h.chunk.start))


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
