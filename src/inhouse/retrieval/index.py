"""The index of a project: a LanceDB table with one row per chunk: its vector, its text and the groups that may read it.

A chunk is indexed with its document's title and its heading path: for full text as terms (terms.py), for the vector as
text, with the beginning of a document that has no headings. A new index is built from the previous one: chunks with the
same text at the same place keep their vectors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.config.sections import Retrieval
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.retrieval.chunk import chunk_document, document_digest
from inhouse.retrieval.terms import terms
from inhouse.text.hidden import hidden
from inhouse.types import Chunk, Digest, Document, Embedder, Json, Matrix, Progress, Step

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "chunks"
SETTINGS = "index.json"
VERSION = 7
BATCH = 256
WRITE_EVERY_S = 15.0  # each write makes a new file and a new version of the table
WRITE_ROWS = 8192
EVERYONE = "*"  # the group of chunks that everyone may read
EXACT_UP_TO_ROWS = 50_000  # up to here, comparing with every vector is fast and exact
ROWS_A_PARTITION = 2500
REBUILT_FROM = 0.2  # share of changed rows: recall falls when the partitions were made for other rows
PREFIX_WIDTH, WIDE = 180, 4  # some 45 tokens


class Part(NamedTuple):
    """A document to index; `cut` is only called when its chunks are not in the table."""

    document: Digest
    cut: Callable[[], Sequence[Chunk]]


def lancedb() -> Any:
    """The module, imported after setting the options that it only reads from the environment, and without pandas,
    which pyarrow imports (50 MB) wherever it is installed, to recognize its tables; none are given here."""
    # Below this percentage of visible rows, full text scores each of them. The default of 10 makes that four times as
    # slow as the full-text index.
    os.environ.setdefault("LANCE_FLAT_SEARCH_PERCENT_THRESHOLD", "2")
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns about every partition that an update leaves empty
    with hidden("lancedb", "pandas"):
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
    """Builds the index of `documents` in `out`, reusing `previous` if it has the same settings; returns counts.

    Raises:
        InputError: the documents contain no text.
    """
    parts = (
        Part(document_digest(d), partial(chunk_document, d, embedder.count_tokens, settings.chunk_tokens))
        for d in documents
    )
    with progress.step("embedding documents", len(documents)) as step:
        return {"documents": len(documents)} | index_parts(parts, embedder, settings, out, previous, step)


def index_parts(
    parts: Iterable[Part], embedder: Embedder, settings: Retrieval, out: Path, previous: Path | None, step: Step
) -> dict[str, Json]:
    """Indexes parts one by one: while chunks are embedded, the next ones are cut and the previous ones written.

    An interrupted build resumes: chunks that are already in the table are not embedded again.
    """
    made_with = {"version": VERSION, "embedder": embedder.name, "chunk_tokens": settings.chunk_tokens}
    database = out / "lance"
    copied = not database.exists() and previous is not None and made_with.items() <= (_settings(previous) or {}).items()
    if copied and previous:
        scratch = out / "lance.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(previous / "lance", scratch, copy_function=_linked)
        os.rename(scratch, database)
    table = lancedb().connect(database).create_table(TABLE, schema=_schema(embedder.dimensions), exist_ok=True)
    there, whole = _there(table, copied)
    wanted: set[str] = set()
    added = _add(table, _windows(parts, there, whole, wanted), embedder, step)
    if not wanted:
        raise InputError("the documents contain no text to index", "see report.json next to documents.jsonl")
    gone = sorted(there - wanted)
    for at in range(0, len(gone), BATCH):
        table.delete("id IN ({})".format(", ".join(f"'{key}'" for key in gone[at : at + BATCH])))
    _index_columns(table, len(wanted), added + len(gone))
    restricted = table.count_rows(f"NOT {visible_to([])}") > 0
    rows = table.search().select(["language"]).limit(len(wanted)).to_arrow()
    counts = {row["values"]: row["counts"] for row in rows["language"].value_counts().to_pylist() if row["values"]}
    write_text(out / SETTINGS, json.dumps({**made_with, "restricted": restricted, "languages": counts}, indent=1))
    return {"chunks": len(wanted), "added": added, "removed": len(gone), "kept": len(wanted) - added}


def _linked(source: str, target: str) -> None:
    """Hard-links a file of the table, since the engine never changes files, or copies it where links fail."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _there(table: Any, copied: bool) -> tuple[set[str], dict[str, list[str]]]:
    """Ids of the chunks in the table and, for a table copied from a finished index, the ids by document."""
    rows = table.search().select(["document", "id"]).limit(table.count_rows() or 1).to_arrow()
    ids = rows["id"].to_pylist()
    whole: dict[str, list[str]] = {}
    if copied:
        documents = rows["document"].combine_chunks().dictionary_encode()
        names = documents.dictionary.to_pylist()
        for name, key in zip(documents.indices.to_pylist(), ids, strict=True):
            whole.setdefault(names[name], []).append(key)
    return set(ids), whole


def _windows(
    parts: Iterable[Part], there: set[str], whole: dict[str, list[str]], wanted: set[str]
) -> Iterator[tuple[list[Chunk], int]]:
    """Chunks that are not `there`, about BATCH at a time, and the number of parts read; `wanted` gets all ids."""
    new: list[Chunk] = []
    count = 0
    for part in parts:
        count += 1
        if part.document in whole:
            wanted.update(whole[part.document])
            continue
        for chunk in part.cut():
            key = chunk.digest
            if key not in wanted and key not in there:
                new.append(chunk)
            wanted.add(key)
        if len(new) >= BATCH:
            yield new, count
            new, count = [], 0
    yield new, count


def _add(table: Any, windows: Iterable[tuple[list[Chunk], int]], embedder: Embedder, step: Step) -> int:
    """Writes the windows with their vectors, several at once; returns the number of chunks."""
    import pyarrow as pa

    ready: list[pa.Table] = []
    added, since = 0, time.monotonic()
    for new, vectors, count in _embedded(windows, embedder):
        ready.append(_rows(new, vectors, embedder.dimensions))
        added += len(new)
        step.advance(count)
        if sum(r.num_rows for r in ready) >= WRITE_ROWS or time.monotonic() - since > WRITE_EVERY_S:
            table.add(pa.concat_tables(ready))
            ready, since = [], time.monotonic()
    if any(r.num_rows for r in ready):
        table.add(pa.concat_tables(ready))
    return added


def _embedded(
    windows: Iterable[tuple[list[Chunk], int]], embedder: Embedder
) -> Iterator[tuple[list[Chunk], Matrix, int]]:
    """The windows with their vectors; while the caller uses one, the next is embedded, and at most one waits."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[list[Chunk], Future[Matrix], int] | None = None
        for new, count in windows:
            ahead = new, pool.submit(embedder.embed, [embedded_text(c) for c in new]), count
            if waiting:
                yield waiting[0], waiting[1].result(), waiting[2]
            waiting = ahead
        if waiting:
            yield waiting[0], waiting[1].result(), waiting[2]


def embedded_text(chunk: Chunk) -> str:
    """The text that a chunk's vector is computed from: the embedder reads its beginning, so what comes before the
    chunk's own text is cut when it is long, of a heading path its beginning."""
    before = _narrow(chunk.title), _narrow(chunk.heading[::-1])[::-1] or _narrow(chunk.lead)
    return "\n".join(filter(None, (*before, chunk.text)))


def _narrow(text: str) -> str:
    """The first PREFIX_WIDTH characters; those of East Asia take the room of several, as in tokens."""
    if len(text) * WIDE <= PREFIX_WIDTH:
        return text
    widths = accumulate(WIDE if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return "".join(c for c, width in zip(text, widths, strict=True) if width <= PREFIX_WIDTH)


def searched_text(chunk: Chunk) -> str:
    """The terms of a chunk for full-text search."""
    text = "\n".join(filter(None, (chunk.title, chunk.heading, chunk.text)))
    return " ".join(terms(text, (chunk.language,)))


def group_mark(group: str) -> str:
    """A group's name in filters: a hash, so that no name can change the meaning of a filter."""
    return hashlib.sha256(group.encode()).hexdigest()[:16]


def visible_to(groups: Iterable[str]) -> str:
    """The filter for rows that someone in `groups` may read, including those that everyone may read."""
    marks = ", ".join(f"'{mark}'" for mark in (EVERYONE, *(group_mark(g) for g in sorted(groups))))
    return f"array_has_any(access, [{marks}])"


def load_settings(folder: Path) -> dict[str, Json]:
    """The settings that the index in `folder` was built with.

    Raises:
        InputError: there is no complete index, or the file of its settings is damaged.
    """
    settings = _settings(folder)
    if settings is None:
        raise InputError(f"{folder}: no index found", "run `inhouse index` to build it")
    return settings


def _settings(folder: Path) -> dict[str, Json] | None:
    file = folder / SETTINGS
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
    except (ValueError, TypeError) as error:
        raise InputError(f"{file}: damaged", f"delete {folder} and run `inhouse index`") from error


def _schema(dimensions: int) -> pa.Schema:
    import pyarrow as pa

    text = ["id", "document", "source", "title", "groups", "language", "chunk", "indexed"]
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
        "language": [c.language for c in chunks],
        "chunk": [c.model_dump_json() for c in chunks],
        "indexed": [searched_text(c) for c in chunks],
        "start": [c.start for c in chunks],
        "access": [[group_mark(g) for g in sorted(c.access)] or [EVERYONE] for c in chunks],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
    }
    return pa.table(columns, schema=_schema(dimensions))


def _index_columns(table: Any, rows: int, changed: int) -> None:
    """Indexes the text and, in a large table, vectors, groups and documents; an existing index gets the new rows."""
    from lancedb.index import FTS, BTree, IvfRq, LabelList

    indexes: dict[str, Any] = {"indexed": FTS(base_tokenizer="whitespace", language="English")}
    if rows > EXACT_UP_TO_ROWS:
        quick = {"sample_rate": 64, "max_iterations": 20}  # of k-means: same recall in a third of the time
        indexes["vector"] = IvfRq(distance_type="cosine", num_partitions=partitions_of(rows), **quick)
        indexes |= {"access": LabelList(), "source": BTree()}
    older = timedelta(milliseconds=1)  # no other process has this table open, so no earlier version is needed
    table.optimize(cleanup_older_than=older, delete_unverified=True)
    there = {index.columns[0] for index in table.list_indices()}
    for column, config in indexes.items():
        if column not in there or changed > REBUILT_FROM * rows:
            table.create_index(column, config=config, replace=True)
    table.optimize(cleanup_older_than=older, delete_unverified=True)


def partitions_of(rows: int) -> int:
    """The number of partitions for the vectors of that many rows."""
    return max(1, rows // ROWS_A_PARTITION)


def probes_of(rows: int) -> int:
    """The number of partitions that a search reads: a quarter for a million rows, a smaller share for more."""
    return min(partitions_of(rows), math.ceil(5 * math.sqrt(partitions_of(rows))))
