"""The index of a project: a LanceDB table with one row a chunk, its vector, its full text and who may read it.

What is indexed of a chunk is its document's title, its heading path and its text. An index is built beside the one
before it: unchanged chunks, the same text in the same place, are carried over with their vectors.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inhouse.config import Retrieval
from inhouse.retrieval.chunk import chunk_document
from inhouse.types import Chunk, Document, Embedder, InputError, Json, Progress, Step

if TYPE_CHECKING:
    import pyarrow as pa

    from inhouse.types import Matrix

TABLE = "chunks"
SETTINGS = "index.json"
VERSION = 1
BATCH = 256
CHUNK_FIELDS = ("document", "source", "title", "start", "end", "text", "heading", "groups")
T = TypeVar("T")
EXACT_UP_TO_ROWS = 50_000  # below, comparing with every vector is fast and finds all


def build_index(
    documents: Sequence[Document],
    embedder: Embedder,
    settings: Retrieval,
    out: Path,
    previous: Path | None,
    progress: Progress,
) -> dict[str, Json]:
    """Builds the index of `documents` in `out`, from `previous` where that was built alike; returns counts.

    Raises:
        InputError: the documents hold no text.
    """
    cut = (chunk_document(d, embedder.count_tokens, settings.chunk_tokens) for d in documents)
    with progress.step("cutting and embedding", len(documents)) as step:
        return {"documents": len(documents)} | _index(cut, embedder, settings, out, previous, step)


def index_chunks(
    chunks: Sequence[Chunk],
    embedder: Embedder,
    settings: Retrieval,
    out: Path,
    previous: Path | None,
    progress: Progress,
) -> dict[str, Json]:
    """The index of chunks that are cut already, as `build_index` makes it."""
    with progress.step("embedding", len(chunks)) as step:
        return _index(([c] for c in chunks), embedder, settings, out, previous, step)


def _index(
    parts: Iterable[Sequence[Chunk]],
    embedder: Embedder,
    settings: Retrieval,
    out: Path,
    previous: Path | None,
    step: Step,
) -> dict[str, Json]:
    """Draws the parts one by one: while chunks are embedded, the next are cut and those before are written.

    A build that was interrupted goes on: chunks that are in the table already are not embedded again.
    """
    import lancedb

    made_with = {"version": VERSION, "embedder": embedder.name, "chunk_tokens": settings.chunk_tokens}
    database = out / "lance"
    if not database.exists() and previous and _settings(previous) == made_with:
        scratch = out / "lance.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(previous / "lance", scratch)
        os.rename(scratch, database)
    table = _open_or_create(lancedb.connect(database), embedder.dimensions)
    there = set(table.search().select(["id"]).limit(table.count_rows() or 1).to_arrow()["id"].to_pylist())
    wanted: set[str] = set()
    added = 0
    for new, vectors, drawn in _embedded(_windows(parts, there, wanted), embedder):
        if new:
            table.add(_rows(new, vectors, embedder.dimensions))
        added += len(new)
        step.advance(drawn)
    if not wanted:
        raise InputError("the documents hold no text to index", "see report.json of the documents for why")
    gone = there - wanted
    for some in _batches(sorted(gone)):
        table.delete("id IN ({})".format(", ".join(f"'{key}'" for key in some)))
    _index_columns(table, len(wanted))
    _write_json(out / SETTINGS, made_with)
    return {"chunks": len(wanted), "added": added, "removed": len(gone), "kept": len(wanted) - added}


def _windows(parts: Iterable[Sequence[Chunk]], there: set[str], wanted: set[str]) -> Iterator[tuple[list[Chunk], int]]:
    """Chunks that are not `there`, some BATCH at a time, and how many parts were drawn; all go into `wanted`."""
    new: list[Chunk] = []
    drawn = 0
    for part in parts:
        drawn += 1
        for chunk in part:
            key = chunk.digest
            if key not in wanted and key not in there:
                new.append(chunk)
            wanted.add(key)
        if len(new) >= BATCH:
            yield new, drawn
            new, drawn = [], 0
    yield new, drawn


def _embedded(
    windows: Iterable[tuple[list[Chunk], int]], embedder: Embedder
) -> Iterator[tuple[list[Chunk], Matrix, int]]:
    """The windows with their vectors; while one is taken, the next is embedded, and no more than one waits."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[list[Chunk], Future[Matrix], int] | None = None
        for new, drawn in windows:
            ahead = new, pool.submit(embedder.embed, [indexed_text(c) for c in new]), drawn
            if waiting:
                yield waiting[0], waiting[1].result(), waiting[2]
            waiting = ahead
        if waiting:
            yield waiting[0], waiting[1].result(), waiting[2]


def indexed_text(chunk: Chunk) -> str:
    """What is embedded and searched of a chunk."""
    return "\n".join(filter(None, (chunk.title, chunk.heading, chunk.text)))


def group_mark(group: str) -> str:
    """A group's name as filters hold it: a hash, so that no name can change the filter's meaning."""
    return hashlib.sha256(group.encode()).hexdigest()[:16]


def visible_to(groups: Iterable[str]) -> str:
    """The filter on rows that someone in `groups` may read."""
    allowed = [f"access LIKE '%|{group_mark(g)}|%'" for g in sorted(groups)]
    return " OR ".join(["access = ''", *allowed])


def load_settings(folder: Path) -> dict[str, Json]:
    """What the index in `folder` was built with.

    Raises:
        InputError: there is no whole index.
    """
    found = _settings(folder)
    if found is None:
        raise InputError(f"{folder}: no index here", "`inhouse index` builds it")
    return found


def _settings(folder: Path) -> dict[str, Json] | None:
    file = folder / SETTINGS
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _open_or_create(database: Any, dimensions: int) -> Any:
    return database.create_table(TABLE, schema=_schema(dimensions), exist_ok=True)


def _schema(dimensions: int) -> pa.Schema:
    import pyarrow as pa

    text = ["id", "document", "source", "title", "heading", "text", "indexed", "access", "groups"]
    fields = [pa.field(name, pa.string()) for name in text]
    offsets = [pa.field(name, pa.int64()) for name in ("start", "end")]
    return pa.schema([*fields, *offsets, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _rows(chunks: Sequence[Chunk], vectors: Any, dimensions: int) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "id": [c.digest for c in chunks],
        "document": [c.document for c in chunks],
        "source": [c.source for c in chunks],
        "title": [c.title for c in chunks],
        "heading": [c.heading for c in chunks],
        "text": [c.text for c in chunks],
        "indexed": [indexed_text(c) for c in chunks],
        "access": ["".join(f"|{group_mark(g)}|" for g in sorted(c.access)) for c in chunks],
        "groups": [json.dumps(sorted(c.access)) for c in chunks],
        "start": [c.start for c in chunks],
        "end": [c.end for c in chunks],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
    }
    return pa.table(columns, schema=_schema(dimensions))


def chunk_of(row: dict[str, Any]) -> Chunk:
    """The chunk that a table row holds; what is read are CHUNK_FIELDS."""
    same = {name: row[name] for name in CHUNK_FIELDS if name != "groups"}
    return Chunk(**same, access=frozenset(json.loads(row["groups"])))


def _index_columns(table: Any, rows: int) -> None:
    from lancedb.index import FTS, IvfRq

    if rows > EXACT_UP_TO_ROWS:
        table.create_index("vector", config=IvfRq(distance_type="cosine"), replace=True)
    table.create_index("indexed", config=FTS(language="English", stem=True, remove_stop_words=True), replace=True)
    table.optimize()


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _write_json(file: Path, value: Json) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.replace(partial, file)
