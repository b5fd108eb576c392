"""Documents cut into chunks that follow the document's own structure and know their heading path.

A section (a heading with its text) is a chunk when it fits; longer ones are cut between paragraphs, table rows and list
items, then between sentences, then between words. Sections are never merged: an FAQ entry stays an answer to its own
question. Every chunk's text is a span of the document's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from inhouse.types import Chunk, Digest, Document, digest_of

Count = Callable[[str], int]
Span = tuple[int, int]

LEAD_CHARS = 160
LONGEST_COUNTED_CHARS = 4000  # longer spans are cut by characters first: counting tokens of a huge line is slow
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n+")
_LINES = re.compile(r"\n+")
_SENTENCES = re.compile(r"(?<=[.!?。؟])[ \t\n]+(?=\S)")
_WORDS = re.compile(r"\s+")


def chunk_document(document: Document, count_tokens: Count, max_tokens: int) -> list[Chunk]:
    """The document's chunks in order; none is longer than `max_tokens`, save a single word that is."""
    digest = document_digest(document)
    sections = list(_sections(document))
    lead = "" if len(sections) > 1 else " ".join(document.text[: 2 * LEAD_CHARS].split())[:LEAD_CHARS]
    return [
        Chunk(
            document=digest,
            source=document.source,
            title=document.title,
            start=start,
            end=end,
            text=document.text[start:end],
            heading=" > ".join(path),
            lead=lead if start >= LEAD_CHARS else "",
            access=document.access,
        )
        for path, span in sections
        for start, end in _pieces(document.text, span, count_tokens, max_tokens)
    ]


def document_digest(document: Document) -> Digest:
    """What its chunks know a document by: the same where they would be the same."""
    return digest_of([document.source, document.title, document.text, sorted(document.access)])


def _sections(document: Document) -> Iterator[tuple[list[str], Span]]:
    """Heading paths, without the title, with the span of the text below each."""
    text = document.text
    fences = [m.start() for m in _FENCE.finditer(text)]
    path: list[tuple[int, str]] = []
    start = 0
    passed = 0
    for heading in _HEADING.finditer(text):
        while passed < len(fences) and fences[passed] < heading.start():
            passed += 1
        if passed % 2:  # inside a code block
            continue
        yield _named(path, document.title), (start, heading.start())
        level = len(heading[1])
        path = [p for p in path if p[0] < level] + [(level, heading[2])]
        start = heading.end()
    yield _named(path, document.title), (start, len(text))


def _named(path: list[tuple[int, str]], title: str) -> list[str]:
    names = [name for _, name in path]
    return names[1:] if names and names[0].casefold() == title.casefold() else names


def _pieces(text: str, span: Span, count: Count, limit: int) -> list[Span]:
    return _packed(text, span, count, limit, [_PARAGRAPHS, _LINES, _SENTENCES, _WORDS])


def _packed(text: str, span: Span, count: Count, limit: int, cuts: list[re.Pattern[str]]) -> list[Span]:
    """Spans within `limit` tokens: neighbours cut at the first pattern are put together while they fit."""
    span = _stripped(text, span)
    start, end = span
    if start >= end:
        return []
    if end - start <= LONGEST_COUNTED_CHARS and count(text[start:end]) <= limit:
        return [span]
    if not cuts:
        step = min(limit * 2, LONGEST_COUNTED_CHARS)  # a word without spaces: by characters
        return [(at, min(at + step, end)) for at in range(start, end, step)]
    found: list[Span] = []
    open_span: Span | None = None
    tokens = 0
    for part in _cut(text, span, cuts[0]):
        size = count(text[part[0] : part[1]]) if part[1] - part[0] <= LONGEST_COUNTED_CHARS else limit + 1
        if open_span and tokens + size <= limit:
            open_span, tokens = (open_span[0], part[1]), tokens + size
            continue
        if open_span:
            found.append(open_span)
        open_span, tokens = (part, size) if size <= limit else (None, 0)
        if size > limit:
            found.extend(_packed(text, part, count, limit, cuts[1:]))
    return [*found, open_span] if open_span else found


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
