"""The index of a project: a LanceDB table with one row a chunk, its vector, its full text and who may read it.

What is indexed of a chunk is its document's title, its heading path and its text; for full text also the parts of
identifiers ("DiffExecutor"), for the vector also how a document without headings begins. An index is built beside the
one before it: unchanged chunks, the same text in the same place, are carried over with their vectors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.config.sections import Retrieval
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.retrieval.chunk import chunk_document, document_digest
from inhouse.types import Chunk, Digest, Document, Embedder, Json, Progress, Step

if TYPE_CHECKING:
    import pyarrow as pa

    from inhouse.types import Matrix

TABLE = "chunks"
SETTINGS = "index.json"
VERSION = 4
BATCH = 256
WRITE_EVERY_S = 15.0  # each write is a file of its own, and a version of the table
WRITE_ROWS = 8192
EVERYONE = "*"  # the mark of chunks without groups
EXACT_UP_TO_ROWS = 50_000  # below, comparing with every vector is fast and finds all
ROWS_A_PARTITION = 2500
REBUILT_FROM = 0.2  # share of rows that changed: partitions that were made for other rows find less
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Part(NamedTuple):
    """A document as the index takes it; `cut` is called only where its chunks are not there yet."""

    document: Digest
    cut: Callable[[], Sequence[Chunk]]


def lancedb() -> Any:
    """The engine, told before it wakes what it reads from the environment alone."""
    # Full text scores each visible row by itself where they are few; at 10 per cent, the engine's own limit, that takes
    # four times as long as its usual way.
    os.environ.setdefault("LANCE_FLAT_SEARCH_PERCENT_THRESHOLD", "2")
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every partition that an update leaves empty
    import lancedb as engine

    return engine


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
    parts = (
        Part(document_digest(d), partial(chunk_document, d, embedder.count_tokens, settings.chunk_tokens))
        for d in documents
    )
    with progress.step("cutting and embedding", len(documents)) as step:
        return {"documents": len(documents)} | index_parts(parts, embedder, settings, out, previous, step)


def index_parts(
    parts: Iterable[Part], embedder: Embedder, settings: Retrieval, out: Path, previous: Path | None, step: Step
) -> dict[str, Json]:
    """Draws the parts one by one: while chunks are embedded, the next are cut and those before are written.

    A build that was interrupted goes on: chunks that are in the table already are not embedded again.
    """
    made_with = {"version": VERSION, "embedder": embedder.name, "chunk_tokens": settings.chunk_tokens}
    database = out / "lance"
    carried = (
        not database.exists() and previous is not None and made_with.items() <= (_settings(previous) or {}).items()
    )
    if carried and previous:
        scratch = out / "lance.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(previous / "lance", scratch, copy_function=_linked)
        os.rename(scratch, database)
    table = _open_or_create(lancedb().connect(database), embedder.dimensions)
    there, whole = _there(table, carried)
    wanted: set[str] = set()
    added = _add(table, _windows(parts, there, whole, wanted), embedder, step)
    if not wanted:
        raise InputError("the documents hold no text to index", "see report.json of the documents for why")
    gone = sorted(there - wanted)
    for at in range(0, len(gone), BATCH):
        table.delete("id IN ({})".format(", ".join(f"'{key}'" for key in gone[at : at + BATCH])))
    _index_columns(table, len(wanted), added + len(gone))
    restricted = table.count_rows(f"NOT {visible_to([])}") > 0
    _write_json(out / SETTINGS, {**made_with, "restricted": restricted})
    return {"chunks": len(wanted), "added": added, "removed": len(gone), "kept": len(wanted) - added}


def _linked(source: str, target: str) -> None:
    """A second name for a file of the table, which is never written to once it is there; where that fails, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _there(table: Any, carried: bool) -> tuple[set[str], dict[str, list[str]]]:
    """Ids of the chunks in the table, and, where all of its documents are whole, the ids by document."""
    rows = table.search().select(["document", "id"]).limit(table.count_rows() or 1).to_arrow()
    ids = rows["id"].to_pylist()
    whole: dict[str, list[str]] = {}
    if carried:
        documents = rows["document"].combine_chunks().dictionary_encode()
        names = documents.dictionary.to_pylist()
        for name, key in zip(documents.indices.to_pylist(), ids, strict=True):
            whole.setdefault(names[name], []).append(key)
    return set(ids), whole


def _windows(
    parts: Iterable[Part], there: set[str], whole: dict[str, list[str]], wanted: set[str]
) -> Iterator[tuple[list[Chunk], int]]:
    """Chunks that are not `there`, some BATCH at a time, and how many parts were drawn; all go into `wanted`."""
    new: list[Chunk] = []
    drawn = 0
    for part in parts:
        drawn += 1
        if part.document in whole:
            wanted.update(whole[part.document])
            continue
        for chunk in part.cut():
            key = chunk.digest
            if key not in wanted and key not in there:
                new.append(chunk)
            wanted.add(key)
        if len(new) >= BATCH:
            yield new, drawn
            new, drawn = [], 0
    yield new, drawn


def _add(table: Any, windows: Iterable[tuple[list[Chunk], int]], embedder: Embedder, step: Step) -> int:
    """Writes the windows with their vectors, several at once; returns how many chunks they held."""
    import pyarrow as pa

    ready: list[pa.Table] = []
    added, since = 0, time.monotonic()
    for new, vectors, drawn in _embedded(windows, embedder):
        ready.append(_rows(new, vectors, embedder.dimensions))
        added += len(new)
        step.advance(drawn)
        if sum(r.num_rows for r in ready) >= WRITE_ROWS or time.monotonic() - since > WRITE_EVERY_S:
            table.add(pa.concat_tables(ready))
            ready, since = [], time.monotonic()
    if any(r.num_rows for r in ready):
        table.add(pa.concat_tables(ready))
    return added


def _embedded(
    windows: Iterable[tuple[list[Chunk], int]], embedder: Embedder
) -> Iterator[tuple[list[Chunk], Matrix, int]]:
    """The windows with their vectors; while one is taken, the next is embedded, and no more than one waits."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[list[Chunk], Future[Matrix], int] | None = None
        for new, drawn in windows:
            ahead = new, pool.submit(embedder.embed, [embedded_text(c) for c in new]), drawn
            if waiting:
                yield waiting[0], waiting[1].result(), waiting[2]
            waiting = ahead
        if waiting:
            yield waiting[0], waiting[1].result(), waiting[2]


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
    """The filter on rows that someone in `groups` may read; without groups, those that everyone may."""
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

    text = ["id", "document", "source", "title", "groups", "chunk", "indexed"]
    fields = [pa.field(name, pa.string()) for name in text]
    access = pa.field("access", pa.list_(pa.string()))
    vector = pa.field("vector", pa.list_(pa.float32(), dimensions))
    return pa.schema([*fields, pa.field("start", pa.int64()), access, vector])


def _rows(chunks: Sequence[Chunk], vectors: Any, dimensions: int) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "id": [c.digest for c in chunks],
        "document": [c.document for c in chunks],
        "source": [c.source for c in chunks],
        "title": [c.title for c in chunks],
        "groups": [json.dumps(sorted(c.access)) for c in chunks],
        "chunk": [c.model_dump_json() for c in chunks],
        "indexed": [searched_text(c) for c in chunks],
        "start": [c.start for c in chunks],
        "access": [[group_mark(g) for g in sorted(c.access)] or [EVERYONE] for c in chunks],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
    }
    return pa.table(columns, schema=_schema(dimensions))


def _index_columns(table: Any, rows: int, changed: int) -> None:
    """Full text, and for many rows vectors, groups and documents: new rows are added to what is indexed already."""
    from lancedb.index import FTS, BTree, IvfRq, LabelList

    wanted: dict[str, Any] = {"indexed": FTS(language="English", stem=True, remove_stop_words=True)}
    if rows > EXACT_UP_TO_ROWS:
        quick = {"sample_rate": 64, "max_iterations": 20}  # of k-means: a third of the time, the same recall
        wanted["vector"] = IvfRq(distance_type="cosine", num_partitions=partitions_of(rows), **quick)
        wanted |= {"access": LabelList(), "source": BTree()}
    older = timedelta(milliseconds=1)  # nobody else has this table open: no earlier version of it is needed
    table.optimize(cleanup_older_than=older, delete_unverified=True)
    there = {index.columns[0] for index in table.list_indices()}
    for column, config in wanted.items():
        if column not in there or changed > REBUILT_FROM * rows:
            table.create_index(column, config=config, replace=True)
    table.optimize(cleanup_older_than=older, delete_unverified=True)


def partitions_of(rows: int) -> int:
    """How many partitions the vectors of so many rows are sorted into."""
    return max(1, rows // ROWS_A_PARTITION)


def probes_of(rows: int) -> int:
    """How many partitions a search looks into: of 1 million rows a quarter, of more a smaller share."""
    return min(partitions_of(rows), math.ceil(5 * math.sqrt(partitions_of(rows))))


def _write_json(file: Path, value: Json) -> None:
    write_text(file, json.dumps(value, indent=1))
