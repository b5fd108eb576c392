"""Cuts documents into chunks that follow the document's structure and know their heading path.

A section (a heading with its text) is a chunk if it fits. Longer sections are cut between paragraphs, then list items,
then sentences, then words. Sections are never merged, so that an FAQ entry remains the answer to its question. Each row
of a table is a chunk: a sentence with the names of its columns, so that it says by itself what its values are. The text
of every other chunk is a span of the document's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from inhouse.text.sentences import SENTENCE_GAP
from inhouse.text.tables import Table, row_sentence, tables
from inhouse.types import Chunk, Digest, Document, digest_of

Count = Callable[[str], int]
Span = tuple[int, int]

LEAD_CHARS = 160
LONGEST_COUNTED_CHARS = 4000  # longer spans are cut without counting their tokens, which is slow
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.{0,300})$", re.MULTILINE)  # longer lines are text
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n+")
_LINES = re.compile(r"\n+")
_WORDS = re.compile(r"\s+")
CUTS = (_PARAGRAPHS, _LINES, SENTENCE_GAP, _WORDS)


def chunk_document(document: Document, count_tokens: Count, max_tokens: int) -> list[Chunk]:
    """The document's chunks in order, of at most `max_tokens` except for a single word that is longer."""
    digest = document_digest(document)
    sections = list(_sections(document))
    found = list(tables(document.text))
    lead = "" if len(sections) > 1 else " ".join(document.text[: 2 * LEAD_CHARS].split())[:LEAD_CHARS]
    return [
        Chunk(
            document=digest,
            source=document.source,
            title=document.title,
            start=start,
            end=end,
            text=text,
            heading=" > ".join(path),
            lead=lead if start >= LEAD_CHARS else "",
            access=document.access,
        )
        for path, span in sections
        for start, end, text in _pieces(document.text, span, found, count_tokens, max_tokens)
    ]


def _pieces(text: str, span: Span, found: Sequence[Table], count: Count, limit: int) -> Iterator[tuple[int, int, str]]:
    """The chunks of a section: where each is, and its text. A row too long for a chunk is cut like other text."""
    at = span[0]
    for table in (t for t in found if span[0] <= t.start < span[1]):
        yield from _prose(text, (at, table.start), count, limit)
        at = table.body
        for row in table.rows:
            yield from _prose(text, (at, row.start), count, limit)  # lines with more or fewer cells
            at = row.end
            said = row_sentence(row, table.keys)
            if len(said) <= LONGEST_COUNTED_CHARS and count(said) <= limit:
                yield row.start, row.end, said
            else:
                yield from _prose(text, (row.start, row.end), count, limit)
    yield from _prose(text, (at, span[1]), count, limit)


def _prose(text: str, span: Span, count: Count, limit: int) -> Iterator[tuple[int, int, str]]:
    for start, end in _packed(text, span, count, limit, CUTS):
        yield start, end, text[start:end]


def document_digest(document: Document) -> Digest:
    """A digest of everything that the document's chunks depend on, for `Chunk.document`."""
    return digest_of([document.source, document.title, document.text, sorted(document.access)])


def _sections(document: Document) -> Iterator[tuple[list[str], Span]]:
    """The heading path of each section, without the document's title, and the span of its text."""
    text = document.text
    fences = [m.start() for m in _FENCE.finditer(text)]
    path: list[tuple[int, str]] = []
    start = fences_before = 0
    for heading in _HEADING.finditer(text):
        while fences_before < len(fences) and fences[fences_before] < heading.start():
            fences_before += 1
        if fences_before % 2:  # inside a code block
            continue
        yield _named(path, document.title), (start, heading.start())
        level = len(heading[1])
        path = [p for p in path if p[0] < level] + [(level, heading[2].rstrip(" \t#") or heading[2][0])]
        start = heading.end()
    yield _named(path, document.title), (start, len(text))


def _named(path: list[tuple[int, str]], title: str) -> list[str]:
    names = [name for _, name in path]
    return names[1:] if names and names[0].casefold() == title.casefold() else names


def _packed(text: str, span: Span, count: Count, limit: int, cuts: Sequence[re.Pattern[str]]) -> list[Span]:
    """Spans of at most `limit` tokens: parts cut at the first pattern, joined with their neighbors while they fit."""
    span = _stripped(text, span)
    start, end = span
    if start >= end:
        return []
    if end - start <= LONGEST_COUNTED_CHARS and count(text[start:end]) <= limit:
        return [span]
    if not cuts:
        step = min(limit * 2, LONGEST_COUNTED_CHARS)  # a long word is cut by characters
        return [(at, min(at + step, end)) for at in range(start, end, step)]
    spans: list[Span] = []
    open_span: Span | None = None
    tokens = 0
    for part in _cut(text, span, cuts[0]):
        size = count(text[part[0] : part[1]]) if part[1] - part[0] <= LONGEST_COUNTED_CHARS else limit + 1
        if open_span and tokens + size <= limit:
            open_span, tokens = (open_span[0], part[1]), tokens + size
            continue
        if open_span:
            spans.append(open_span)
        open_span, tokens = (part, size) if size <= limit else (None, 0)
        if size > limit:
            spans.extend(_packed(text, part, count, limit, cuts[1:]))
    return [*spans, open_span] if open_span else spans


def _cut(text: str, span: Span, at: re.Pattern[str]) -> Iterator[Span]:
    start = span[0]
    for gap in at.finditer(text, *span):
        if gap.start() > start:
            yield start, gap.start()
        start = gap.end()
    if start < span[1]:
        yield start, span[1]


def _stripped(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
