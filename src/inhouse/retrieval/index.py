"""The index of a project: a LanceDB table with one row a chunk, its vector, its full text and who may read it.

What is indexed of a chunk is its document's title, its heading path and its text; for full text also the parts of
identifiers ("DiffExecutor"), for the vector also how a document without headings begins. An index is built beside the
one before it: unchanged chunks, the same text in the same place, are carried over with their vectors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inhouse.config import Retrieval
from inhouse.retrieval.chunk import chunk_document
from inhouse.types import Chunk, Document, Embedder, InputError, Json, Progress

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "chunks"
SETTINGS = "index.json"
VERSION = 2
BATCH = 256
CHUNK_FIELDS = ("document", "source", "title", "start", "end", "text", "heading", "lead", "groups")
EVERYONE = "*"  # the mark of chunks without groups
T = TypeVar("T")
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
EXACT_UP_TO_ROWS = 50_000  # below, comparing with every vector is fast and finds all


def build_index(
    documents: Sequence[Document],
    embedder: Embedder,
    settings: Retrieval,
    out: Path,
    previous: Path | None,
    progress: Progress,
) -> dict[str, Json]:
    """Builds the index of `documents` in `out`, from `previous` where that was built alike; returns counts."""
    chunks: list[Chunk] = []
    with progress.step("cutting into chunks", len(documents)) as step:
        for document in documents:
            chunks += chunk_document(document, embedder.count_tokens, settings.chunk_tokens)
            step.advance()
    if not chunks:
        raise InputError("the documents hold no text to index", "see report.json of the documents for why")
    return {"documents": len(documents)} | index_chunks(chunks, embedder, settings, out, previous, progress)


def index_chunks(
    chunks: Iterable[Chunk],
    embedder: Embedder,
    settings: Retrieval,
    out: Path,
    previous: Path | None,
    progress: Progress,
) -> dict[str, Json]:
    """The index of chunks that are cut already, as `build_index` makes it.

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
    wanted = {c.digest: c for c in chunks}
    there = set(table.search().select(["id"]).limit(table.count_rows() or 1).to_arrow()["id"].to_pylist())
    gone, new = there - wanted.keys(), [c for key, c in wanted.items() if key not in there]
    for some in _batches(sorted(gone)):
        table.delete("id IN ({})".format(", ".join(f"'{key}'" for key in some)))
    with progress.step("embedding", len(new)) as step:
        for batch in _batches(new):
            vectors = embedder.embed([embedded_text(c) for c in batch])
            table.add(_rows(batch, vectors, embedder.dimensions))
            step.advance(len(batch))
    _index_columns(table, len(wanted))
    _write_json(out / SETTINGS, made_with)
    return {"chunks": len(wanted), "added": len(new), "removed": len(gone), "kept": len(wanted) - len(new)}


def embedded_text(chunk: Chunk) -> str:
    """What the vector of a chunk is made of."""
    return "\n".join(filter(None, (chunk.title, chunk.heading or chunk.lead, chunk.text)))


def searched_text(chunk: Chunk) -> str:
    """What full text searches of a chunk."""
    return with_parts("\n".join(filter(None, (chunk.title, chunk.heading, chunk.text))))


def with_parts(text: str) -> str:
    """The text, and after it the words that its identifiers are put together of: "DiffExecutor", "Diff", "Executor"."""
    found = [_PART.findall(word) for word in _IDENTIFIER.findall(text)]
    parts = " ".join(part for some in found if len(some) > 1 for part in some)
    return f"{text}\n{parts}" if parts else text


def group_mark(group: str) -> str:
    """A group's name as filters hold it: a hash, so that no name can change the filter's meaning."""
    return hashlib.sha256(group.encode()).hexdigest()[:16]


def visible_to(groups: Iterable[str]) -> str:
    """The filter on rows that someone in `groups` may read."""
    marks = ", ".join(f"'{mark}'" for mark in (EVERYONE, *(group_mark(g) for g in sorted(groups))))
    return f"array_has_any(access, [{marks}])"


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

    text = ["id", "document", "source", "title", "heading", "lead", "text", "indexed", "groups"]
    fields = [pa.field(name, pa.string()) for name in text]
    offsets = [pa.field(name, pa.int64()) for name in ("start", "end")]
    access = pa.field("access", pa.list_(pa.string()))
    return pa.schema([*fields, *offsets, access, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _rows(chunks: Sequence[Chunk], vectors: Any, dimensions: int) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "id": [c.digest for c in chunks],
        "document": [c.document for c in chunks],
        "source": [c.source for c in chunks],
        "title": [c.title for c in chunks],
        "heading": [c.heading for c in chunks],
        "lead": [c.lead for c in chunks],
        "text": [c.text for c in chunks],
        "indexed": [searched_text(c) for c in chunks],
        "access": [[group_mark(g) for g in sorted(c.access)] or [EVERYONE] for c in chunks],
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
