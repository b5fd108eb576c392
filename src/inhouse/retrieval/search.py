"""Hybrid search: BM25 full text and dense vectors, fused by a min-max convex combination.

score = w * dense + (1 - w) * text, where text is BM25 divided by the best BM25, and dense is the cosine scaled to
[0, 1] between the lowest and the highest cosine of the candidates (Bruch et al. 2023, "An Analysis of Fusion Functions
for Hybrid Retrieval", eq. 3 with the theoretical minimum of BM25). A long query is embedded in pieces, and a chunk's
cosine is the highest to any of them. Both searches apply the access filter, so a chunk that someone may not read is
never a candidate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.errors import InputError
from inhouse.retrieval.index import EXACT_UP_TO_ROWS, TABLE, lancedb, load_settings, probes_of, visible_to
from inhouse.retrieval.ranking import Hit, Ranker, passage_of
from inhouse.retrieval.terms import terms
from inhouse.text.language import language
from inhouse.text.sentences import SENTENCE_END, windows
from inhouse.text.words import length_in_words, plain, words
from inhouse.types import TOGETHER, Chunk, Embedder, Matrix, Passage, Source, may_read

if TYPE_CHECKING:
    import pyarrow as pa

CANDIDATES = 100
REFINED = 6  # times CANDIDATES: the number of rows compared by their uncompressed vectors
FEW_ROWS = 1000  # if no more rows of a large index are visible, each is compared
READERS = 8
LONG_QUERY_WORDS = 60
PIECE_WORDS = 50
MOST_PIECES = 16
COMMON = 0.03  # share of the chunks: a question that is not in English is searched with the stems of these languages
FUSION = "fusion.json"
RETRIEVER_WEIGHT = 0.8  # of an embedder that was trained to retrieve; see docs/LOG.md, 2026-11-29
VOCABULARY_ROWS = 50_000

Reader = Callable[[Sequence[int]], list[Chunk]]


class Fusion(NamedTuple):
    """How the scores of a chunk are combined.

    `weight` is that of the dense score, in [0, 1]; the full-text score has the rest. `mention_boost` is added for
    documents that the conversation mentions.
    """

    weight: float = 0.4
    mention_boost: float = 1.0


class Results:
    """The results of both searches for one query, in columns; chunks are read only for the rows that are needed.

    Args:
        places: document and start of each row.
        keys: row ids in the table.
        dense: cosines, shape (rows,).
        text: BM25 divided by the best BM25, shape (rows,).
        read: returns the chunks of row ids, in their order.
    """

    def __init__(
        self, places: list[tuple[str, int]], keys: list[int], dense: Matrix, text: Matrix, read: Reader
    ) -> None:
        self.places = places
        self._keys, self._dense, self._text, self._read = keys, dense, text, read

    def scores(self, weight: float) -> list[float]:
        """The fused score of each row, with `weight` for the dense one."""
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
        """The chunks of the rows, with these scores."""
        chunks = self._read([self._keys[n] for n in rows])
        return [
            Hit(chunk=chunk, score=score, dense=float(self._dense[n]), text=float(self._text[n]))
            for n, score, chunk in zip(rows, scores, chunks, strict=True)
        ]

    def best(self, weight: float, k: int) -> list[Hit]:
        """The k best rows; of equal ones, the first by document and start."""
        scores = self.scores(weight)
        order = sorted(range(len(scores)), key=lambda n: (-scores[n], self.places[n]))[:k]
        return self.hits(order, [scores[n] for n in order])


class Places:
    """Document and start of each row of a table, in memory, about 50 bytes per row.

    Reading 200 of a million rows from the table would take 10 ms.
    """

    def __init__(self, table: Any, rows: int) -> None:
        import numpy as np

        columns = table.search().select(["source", "start"]).with_row_id(True).limit(rows or 1).to_arrow()
        keys = columns["_rowid"].to_numpy()
        order = np.argsort(keys)
        self._keys = keys[order]
        self._sources = columns["source"].combine_chunks().dictionary_encode().take(order)
        self._starts = columns["start"].to_numpy()[order]

    def of(self, keys: Sequence[int]) -> list[tuple[str, int]]:
        """Document and start of each row."""
        import numpy as np

        at = np.searchsorted(self._keys, np.array(keys, dtype=self._keys.dtype))
        return list(zip(self._sources.take(at).to_pylist(), self._starts[at].tolist(), strict=True))


class Index:
    """An index opened for search.

    Args:
        folder: written by `build_index`.
        embedder: the one that the index was built with.
        fusion: folder with fusion.json, and ranker.json if one was fitted; None means the default fusion.

    Raises:
        InputError: there is no index, it was built with another embedder, or fusion.json is missing or damaged.
    """

    def __init__(self, folder: Path, embedder: Embedder, fusion: Path | None = None) -> None:
        made_with = load_settings(folder)
        if made_with["embedder"] != embedder.name:
            text = f"{folder}: built with the embedder {made_with['embedder']}, not {embedder.name}"
            raise InputError(text, "run `inhouse index` to rebuild it")
        self._table = lancedb().connect(folder / "lance").open_table(TABLE)
        self._embedder = embedder
        self._rows = self._table.count_rows()
        self._restricted = bool(made_with["restricted"])
        languages = made_with["languages"]
        self._languages = sorted(n for n, count in languages.items() if count >= COMMON * sum(languages.values()))
        self._places = Places(self._table, self._rows)
        self._visible = lru_cache(1024)(self._table.count_rows)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="search")
        self.default = Fusion(RETRIEVER_WEIGHT) if embedder.sides else Fusion()
        self.fusion = read_fusion(fusion) if fusion else self.default
        self.ranker = Ranker.read(fusion) if fusion else None

    def search(
        self, query: str, k: int, groups: Collection[str] = (), weight: float | None = None, sources: Sequence[str] = ()
    ) -> list[Hit]:
        """The k best chunks, best first; fewer when fewer are visible.

        Deterministic: of equal scores, the first by document and start comes first.

        Args:
            query: plain text; nothing in it is read as query syntax.
            k: number of chunks.
            groups: access groups of the user; documents without groups are visible to everyone.
            weight: of the dense score, in [0, 1]; None means that of the index's fusion.
            sources: search only in these documents.
        """
        if not query.strip():
            return []
        return self.candidates(query, groups, sources).best(self.fusion.weight if weight is None else weight, k)

    def takes_english(self, query: str) -> bool:
        """Whether rules of English suit a question: it is in English, or too short to tell and hardly a document is in
        another language."""
        code = language(query)
        return code == "en" or not (code or set(self._languages) - {"en", ""})

    def embed(self, query: str) -> Matrix:
        """Unit vectors of the query's pieces, shape (pieces, dimensions); a short query is one piece."""
        return self._embedder.embed(pieces(query), query=True)

    def candidates(
        self, query: str, groups: Collection[str] = (), sources: Sequence[str] = (), vectors: Matrix | None = None
    ) -> Results:
        """The best rows of each search, not yet fused; `vectors` are those of the query, if already computed."""
        import numpy as np

        allowed = self._filter(groups, sources)
        reading = self._threads.submit(self._matching, query, allowed)
        if vectors is None:
            vectors = self.embed(query)
        few = bool(sources) or (allowed != "" and self._visible(allowed) <= FEW_ROWS)
        columns = ["vector"] if len(vectors) > 1 else []  # with one vector, the distance gives the cosine
        near = [self._near(vector, allowed, few, columns) for vector in vectors]
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
        keys = list(dense)
        return Results(
            self._places.of(keys), keys, np.array(list(dense.values()), dtype=np.float32),
            np.array([bm25.get(key, 0.0) / best for key in keys], dtype=np.float32), self._read,
        )  # fmt: skip

    def _read(self, keys: Sequence[int]) -> list[Chunk]:
        """The chunks of row ids, in their order."""
        if not keys:
            return []
        rows = self._table.take_row_ids(list(keys)).select(["chunk"]).with_row_id().to_arrow().to_pylist()
        by_key = {row["_rowid"]: row["chunk"] for row in rows}
        return [Chunk.model_validate_json(by_key[key]) for key in keys]

    def _filter(self, groups: Collection[str], sources: Sequence[str]) -> str:
        """The condition on rows as SQL; empty when every row is visible to everyone."""
        allowed = [visible_to(self._with_together(groups))] if self._restricted else []
        if sources:
            allowed.append("source IN ({})".format(", ".join(map(_quoted, sources))))
        return " AND ".join(allowed)

    def _with_together(self, groups: Collection[str]) -> set[str]:
        """The groups, and what only those may read who are in several of them."""
        several = {name for name in self._together if may_read([name], groups)}
        return several | {name for name in groups if TOGETHER not in name}

    @cached_property
    def _together(self) -> frozenset[str]:
        return frozenset(g for _, access, _ in self.outline().values() for g in access if TOGETHER in g)

    def _near(self, vector: Matrix, allowed: str, few: bool, columns: Sequence[str]) -> pa.Table:
        query = self._table.search(vector, vector_column_name="vector").distance_type("cosine")
        if allowed:
            query = query.where(allowed, prefilter=True)
        if self._rows > EXACT_UP_TO_ROWS and few:
            query = query.bypass_vector_index()
        elif self._rows > EXACT_UP_TO_ROWS:
            query = query.nprobes(probes_of(self._rows)).refine_factor(REFINED)
        return query.limit(CANDIDATES).select([*columns, "_distance"]).with_row_id(True).to_arrow()

    def _matching(self, query: str, allowed: str) -> pa.Table | None:
        from lancedb.query import MatchQuery

        clear = language(query)
        wanted = " ".join(terms(query, [] if clear == "en" else {clear, *self._languages}))
        if not wanted:
            return None
        match = self._table.search(MatchQuery(wanted, "indexed"), query_type="fts")
        if allowed:
            match = match.where(allowed, prefilter=True)
        return match.limit(CANDIDATES).select(["vector", "_score"]).with_row_id(True).to_arrow()

    def titles(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Title and access groups of each document, by its path."""
        return {source: (title, groups) for source, (title, groups, _) in self.outline().items()}

    def vocabulary(self) -> Counter[str]:
        """How many chunks have each word of letters, in lower case; of a large index, of VOCABULARY_ROWS chunks."""
        rows = self._table.search().select(["indexed"]).limit(min(self._rows, VOCABULARY_ROWS) or 1).to_arrow()
        found = (set(words(text)) for text in rows["indexed"].to_pylist())
        return Counter(w for some in found for w in some if w.isalpha())

    def outline(self) -> dict[str, tuple[str, frozenset[str], int]]:
        """Title, access groups and number of chunks of each document, by its path."""
        columns = ["source", "title", "groups"]
        rows = self._table.search().select(columns).limit(self._rows or 1).to_arrow()
        documents = rows.group_by(columns).aggregate([([], "count_all")]).to_pylist()
        return {d["source"]: (d["title"], frozenset(json.loads(d["groups"])), d["count_all"]) for d in documents}

    def external(self) -> frozenset[str]:
        """The paths of the documents that others may have written."""
        field = """chunk LIKE '%"trust":"external"%'"""  # in a text the quotes are escaped
        rows = self._table.search().where(field).select(["source"]).limit(self._rows or 1).to_arrow()
        return frozenset(rows["source"].to_pylist())

    def chunks_of(self, source: str) -> list[Chunk]:
        """Every chunk of a document, in order."""
        query = self._table.search().where(f"source = {_quoted(source)}").select(["chunk"])
        rows = query.limit(self._rows or 1).to_arrow()["chunk"].to_pylist()
        return sorted(map(Chunk.model_validate_json, rows), key=lambda c: c.start)


def _cosines(table: pa.Table, vectors: Matrix) -> list[float]:
    """For each row, the highest cosine to any of the vectors."""
    if "vector" not in table.column_names:
        return [1.0 - distance for distance in table["_distance"].to_pylist()]
    rows = table["vector"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, vectors.shape[1])
    highest: list[float] = (rows @ vectors.T).max(axis=1).tolist()
    return highest


def read_fusion(folder: Path) -> Fusion:
    """The fusion that `fit_fusion` wrote to a folder.

    Raises:
        InputError: its file is missing or damaged.
    """
    file = folder / FUSION
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Fusion(float(fields["weight"]), float(fields["mention_boost"]))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})", "run `inhouse build` to recreate it") from error
    except (ValueError, KeyError, TypeError) as error:
        hint = f"delete {folder} and run `inhouse build`"
        raise InputError(f"{file}: not a fusion file: weight and mention_boost must be numbers", hint) from error


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def pieces(query: str) -> list[str]:
    """A query of more than 60 words, cut between sentences into at most 16 pieces of up to 50 words."""
    length = length_in_words(query)
    if length <= LONG_QUERY_WORDS:
        return [query]
    if length == len(words(query)):
        return windows(query, PIECE_WORDS)[:MOST_PIECES] or [query]
    made = [""]
    for sentence in _sentences(query):
        if made[-1] and length_in_words(made[-1]) + length_in_words(sentence) > PIECE_WORDS:
            made.append("")
        made[-1] = f"{made[-1]} {sentence}".strip()
    return made[:MOST_PIECES]


def _sentences(query: str) -> Iterator[str]:
    """The sentences of a text without spaces between words; long ones are cut."""
    for sentence in filter(None, SENTENCE_END.split(query)):
        for line in [sentence] if length_in_words(sentence) <= PIECE_WORDS else sentence.split():
            yield from (line[at : at + PIECE_WORDS] for at in range(0, len(line), PIECE_WORDS))


def holds(passage: str, sentence: str) -> bool:
    """Whether the passage contains the sentence or, when a chunk border may cut it, its first half; or every cell of a
    table's row.

    Case, spacing and punctuation do not matter.
    """
    if sentence.count("|") > 1:
        return all(plain(cell) in plain(passage) for cell in sentence.split("|"))
    inside, wanted = plain(passage), plain(sentence)
    if not wanted:
        return False
    half = wanted[: max(len(wanted) // 2, 20)]
    return wanted in inside or (len(wanted) > 60 and half in inside)


def _with_cells(chunks: Sequence[Chunk], row: str) -> list[Chunk]:
    """Of a row that was cut because it is long, the chunk with most of its cells, two at least."""
    cells = {cell for cell in map(plain, row.split("|")) if cell}
    counts = [sum(cell in text for cell in cells) for text in (plain(c.text) for c in chunks)]
    best = max(counts, default=0)
    return [chunks[counts.index(best)]] if row.count("|") > 1 and best > 1 else []


def gold_passages(index: Index, question: str, sources: Sequence[Source], k: int = 4) -> list[Passage]:
    """The passages that contain the sources' sentences; for a document alone, its two best chunks for the question."""
    gold: dict[tuple[str, int], Passage] = {}
    for source in sources:
        if source.text:
            chunks = index.chunks_of(source.document)
            chunks = [c for c in chunks if holds(c.text, source.text)][:1] or _with_cells(chunks, source.text)
        else:
            chunks = [h.chunk for h in index.search(question, 2, sources=[source.document])]
        for c in chunks:
            gold[c.source, c.start] = passage_of(c, 1.0)
    return list(gold.values())[:k]
