"""Cuts documents into chunks that follow the document's structure and know their heading path.

A section (a heading with its text) is a chunk if it fits. Longer sections are cut between paragraphs, then list items,
sentences, clauses, words, and characters. Sections are never merged, so that an FAQ entry remains the answer to its
question. Each row of a table is a chunk: a sentence with the table's caption and the names of its columns, so that it
says by itself what its values are. A row that is too long becomes several such sentences. The text of every other chunk
is a span of the document's text.
"""

from __future__ import annotations

import math
import re
from bisect import bisect, bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import regex

from inhouse.text.language import language
from inhouse.text.sentences import SENTENCE_END
from inhouse.text.tables import Row, Table, cell_starts, row_sentence, tables
from inhouse.types import Box, Chunk, Digest, Document, Place, digest_of

Count = Callable[[str], int]
Span = tuple[int, int]
Piece = tuple[int, int, str]

LEAD_CHARS = 160
LONGEST_COUNTED_CHARS = 4000  # longer spans are cut without counting their tokens, which is slow
CHARS_A_TOKEN = 6  # without spaces; a tokenizer that does not know a script takes a whole line for one token
LONGEST_GRAPHEME = 32
CAPTION_CHARS, TITLE_CHARS = 150, 80  # of a line that says that it is one, and of any line without an end
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.{0,300})$", re.MULTILINE)  # longer lines are text
_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n+")
_LINES = re.compile(r"\n+")
_CLAUSES = re.compile(r"(?<=[,;:])\s+|(?<=[，、；：،؛၊])\s*")
_WORDS = re.compile(r"\s+")
_GRAPHEME = regex.compile(r"\X")
CUTS = (_PARAGRAPHS, _LINES, SENTENCE_END, _CLAUSES, _WORDS)
_NUMBERED = re.compile(
    r"(?:table|tabelle|tab\.|tableau|tabla|cuadro|tabela|tabella|tabel|tabell|taulukko|tablo|таблица|таблиця|表|표|ตาราง)"
    r"\s*(?:\d|[ivx]+\b|:|[一二三四五六七八九十])",
    re.IGNORECASE,
)
_ABOVE = re.compile(
    r"(?:\*\*[^*]+\*\*|__[^_]+__|.*[^.!?])[:：]$|\*\*[^*]+\*\*$|__[^_]+__$"
    r"|.{0,60}\b(?:in|en|em) (?:\w{1,20} )?"
    r"(?:thousand|million|billion|tausend|t?eur|mio|mrd|tsd|usd|chf|gbp|dollar|[$€£¥%]).{0,20}$",
    re.IGNORECASE,
)
"""A line that says what the table below it holds: "Table 3. Fees", "**Fees**", "Our fees:", "(in millions)"."""
_NO_CAPTION = re.compile(r"[#|>+]|[-*] |\d+[.)] |```|~~~|<")


def size_in_tokens(count_tokens: Count, text: str) -> int:
    """The tokens of a text; at least those that its characters would be in a script that the tokenizer knows."""
    return max(count_tokens(text), math.ceil((len(text) - text.count(" ")) / CHARS_A_TOKEN))


def chunk_document(document: Document, count_tokens: Count, max_tokens: int) -> list[Chunk]:
    """The document's chunks in order, of at most `max_tokens` each, as `size_in_tokens` counts them."""
    size = partial(size_in_tokens, count_tokens)
    digest = document_digest(document)
    sections = list(_sections(document))
    found = list(tables(document.text))
    lead = "" if len(sections) > 1 else " ".join(document.text[: 2 * LEAD_CHARS].split())[:LEAD_CHARS]
    known = document.meta.get("language")
    spoken = language(document.text) if known is None else str(known)
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
            language=spoken,
            access=document.access,
            trust=document.trust,
            page=page,
            box=box,
        )
        for path, span in sections
        for start, end, text in _pieces(document.text, span, found, size, max_tokens)
        for page, box in [_place(document.places, start, end)]
    ]


def _place(places: Sequence[Place], start: int, end: int) -> tuple[int, Box | None]:
    """The page on which a span begins, and the box of its lines there; 0 and None in a format without pages."""
    first = max(bisect(places, start, key=lambda place: place.start) - 1, 0)
    lines = places[first : bisect_left(places, end, key=lambda place: place.start)]
    if not lines:
        return 0, None
    left, top, right, bottom = zip(*(line.box for line in lines if line.page == lines[0].page), strict=True)
    return lines[0].page, (min(left), min(top), max(right), max(bottom))


def _pieces(text: str, span: Span, found: Sequence[Table], count: Count, limit: int) -> Iterator[Piece]:
    """The chunks of a section: where each is, and its text."""
    at = span[0]
    for table in (t for t in found if span[0] <= t.start < span[1]):
        yield from _prose(text, (at, table.start), count, limit)
        about = ": ".join(dict.fromkeys(filter(None, (*_captions(text, span, table), table.title))))
        at = table.body
        unsaid = any(name and not any(row.cells[n] for row in table.rows) for n, name in enumerate(table.header))
        if unsaid or max(map(len, table.header)) > limit // 2:  # or names that rows may have to shorten
            yield from _prose(text, (table.start, at), count, limit)
        for row in table.rows:
            if row.start - at > limit // 2:  # so do names of groups
                yield from _prose(text, (at, row.start), count, limit)
            at = row.end
            yield from _of_row(text, table, row, about, count, limit)
        at = table.end
    yield from _prose(text, (at, span[1]), count, limit)


def _prose(text: str, span: Span, count: Count, limit: int) -> Iterator[Piece]:
    for start, end in _packed(text, span, count, limit, CUTS):
        yield start, end, text[start:end]


def _captions(text: str, span: Span, table: Table) -> Iterator[str]:
    """The lines right above and below the table, where they say what it holds."""
    before = text[max(span[0], table.start - 2 * CAPTION_CHARS) : table.start].rstrip()
    paragraph, _, above = before.rpartition("\n")
    below = text[table.end : min(span[1], table.end + 2 * CAPTION_CHARS)].lstrip().partition("\n")[0]
    alone = len(above) <= TITLE_CHARS and (not paragraph.strip() or paragraph.endswith("\n"))
    titled = _NUMBERED.match(above) or _ABOVE.match(above) or (alone and above[-1:].isalnum())
    for line, says in ((above.strip(), titled), (below.strip(), _NUMBERED.match(below))):
        if says and len(line) <= CAPTION_CHARS and not _NO_CAPTION.match(line):
            yield line.strip("*_:： ").rstrip(".")


def _of_row(text: str, table: Table, row: Row, about: str, count: Count, limit: int) -> Iterator[Piece]:
    """The row as a sentence; where that is too long, several sentences, each with the names of row and columns."""
    whole = row_sentence(row, table.keys, about)
    if len(whole) <= LONGEST_COUNTED_CHARS and count(whole) <= limit:
        yield row.start, row.end, whole
        return
    keys, starts = max(table.keys, 1), cell_starts(text, row)
    about, group = (_shortened(part, count, limit // 8) for part in (about, row.group))
    most = [limit // 8 // keys] * keys + [limit // 4] * (len(row.header) - keys)
    header = tuple(_shortened(name, count, tokens) for name, tokens in zip(row.header, most, strict=True))
    names = tuple(_shortened(cell, count, limit // 4 // keys) for cell in row.cells[:keys])

    def said(columns: Sequence[int], cells: Sequence[str]) -> str:
        some = Row((*header[:keys], *(header[n] for n in columns)), (*names, *cells), row.start, row.end, group)
        return row_sentence(some, keys, about)

    pieces: list[tuple[int, str]] = []
    together: list[int] = []
    for n in range(len(row.cells)):
        cell = row.cells[n]
        if not cell or (n < keys and names[n] == cell):
            continue
        more = [*together, n]
        if together and count(said(more, [row.cells[m] for m in more])) > limit:
            pieces.append((starts[together[0]], said(together, [row.cells[m] for m in together])))
            together, more = [], [n]
        if count(said([n], [cell])) <= limit:
            together = more
            continue
        room = max(limit - count(said([n], ["-"])), 1)
        for start, end in _packed(cell, (0, len(cell)), count, room, CUTS):
            pieces.append((starts[n] + start, said([n], [cell[start:end]])))
    if together:
        pieces.append((starts[together[0]], said(together, [row.cells[m] for m in together])))
    pieces = pieces or [(row.start, said([], []))]
    ends = [*(start for start, _ in pieces[1:]), row.end]
    yield from ((start, max(end, start), said) for (start, said), end in zip(pieces, ends, strict=True))


def _shortened(text: str, count: Count, limit: int) -> str:
    """The beginning of a text that is longer than `limit` tokens, with "…" for the rest."""
    if len(text) <= LONGEST_COUNTED_CHARS and count(text) <= limit:
        return text
    start, end = next(iter(_packed(text, (0, len(text)), count, max(limit - 1, 1), CUTS)))
    return text[start:end] + "…"


def document_digest(document: Document) -> Digest:
    """A digest of everything that the document's chunks depend on, for `Chunk.document`."""
    parts = [document.source, document.title, document.text, sorted(document.access), *document.places]
    if document.trust != "trusted":
        parts.append(document.trust)
    return digest_of(parts)


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
        return list(_by_characters(text, span, count, limit))
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
    if open_span:
        spans.append(open_span)
    # Some tokenizers make more tokens of parts together than of each alone.
    fit = [count(text[a:b]) <= limit for a, b in spans]
    return [s for span, fits in zip(spans, fit, strict=True)
            for s in ([span] if fits else _packed(text, span, count, limit, cuts[1:]))]  # fmt: skip


def _by_characters(text: str, span: Span, count: Count, limit: int) -> Iterator[Span]:
    """A word without any border cut into spans that fit, between characters as they are seen."""
    at, end = span
    while at < end:
        window = text[at : min(at + limit * CHARS_A_TOKEN + LONGEST_GRAPHEME, end)]
        borders = [b for g in _GRAPHEME.finditer(window) for b in range(g.start(), g.end(), LONGEST_GRAPHEME)][1:]
        if at + len(window) == end:
            borders.append(len(window))
        fits = bisect(borders, limit, key=lambda border: count(window[:border]))
        cut = at + borders[max(fits - 1, 0)] if borders else end
        yield at, cut
        at = cut


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
