"""PDF to Markdown: text in reading order, headings by font size and weight, ruled tables, no page headers.

PDFium extracts text with its fonts about 30 times as fast as pdfplumber, which markitdown uses, and keeps the cells of
a row on one line. pdfplumber only reads the tables of pages that have ruled lines.
"""

from __future__ import annotations

import ctypes
import io
import re
import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from inhouse.documents.parsed import Parsed, Unreadable, table

MIN_RULES = 4  # a page with fewer drawn lines has no table
MARGIN = 0.12  # share of the page's height, at either end, that holds headers and footers
MAX_HEADER_CHARS = 300  # longer lines are text, and comparing each number in them would take quadratic memory
_BOLD = re.compile(rb"(?i)bold|black|heavy|demi")
_NOT_HEADING = re.compile(r"[.,;:]$|(\. ?){4}|\.{4}")  # the end of a sentence, or the dots in a table of contents
_SPLIT_WORD = re.compile("[\x02\ufffe]\n?")  # PDFium's mark for a hyphen that only breaks a word at the end of a line


@dataclass
class _Line:
    """A line of text: `top` and `bottom` in points from the bottom of the page, `size` the height of its letters."""

    text: str
    top: float
    bottom: float
    size: float
    bold: bool
    level: int = 0  # of a heading; 0 for text, -1 for a table


@dataclass
class _Page:
    lines: list[_Line]
    height: float
    rules: int


def read_pdf(data: bytes) -> Parsed:
    """Returns the text of a PDF that opens without a password.

    Raises:
        Unreadable: encrypted, truncated, or not a PDF.
    """
    import pypdfium2 as pdfium  # type: ignore[import-untyped]

    if b"%PDF-" not in data[:1024]:
        raise Unreadable("not a PDF file")
    if b"%%EOF" not in data[-2048:]:
        raise Unreadable("truncated: the end of the PDF is missing")
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        reason = "encrypted: it needs a password" if "password" in str(error).lower() else f"damaged PDF ({error})"
        raise Unreadable(reason) from error
    pages = [_page(document[i]) for i in range(len(document))]
    blank = sum(not page.lines for page in pages)
    body = _body_size(pages)
    _drop_running_lines(pages, body)
    _mark_headings(pages, body)
    ruled = [i for i, page in enumerate(pages) if page.rules >= MIN_RULES]
    note = _place_tables(data, pages, ruled)
    spacing = _spacing(pages)
    text = "\n\n".join(filter(None, (_markdown(page, spacing) for page in pages)))
    if blank and text:
        note = "; ".join(filter(None, [note, f"{blank} of {len(pages)} pages have no text"]))
    title = str(document.get_metadata_value("Title") or "")
    return Parsed(text=text, title=title, note=note)


def _page(page: Any) -> _Page:
    from pypdfium2 import raw

    text_page = page.get_textpage()
    lines: list[_Line] = []
    start, codes = 0, [raw.FPDFText_GetUnicode(text_page, i) for i in range(text_page.count_chars())]
    for end, code in enumerate([*codes, 10]):
        if code == 10:
            if line := _line(text_page, codes, start, end):
                lines.append(line)
            start = end + 1
    return _Page(lines, page.get_height(), sum(1 for _ in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH])))


def _line(text_page: Any, codes: list[int], start: int, end: int) -> _Line | None:
    from pypdfium2 import raw

    visible = [i for i in range(start, end) if codes[i] > 32]
    if not visible:
        return None
    utf16 = b"".join(chr(code).encode("utf-16-le", "surrogatepass") for code in codes[start:end] if code != 13)
    samples = (visible[0], visible[len(visible) // 2], visible[-1])
    boxes = [text_page.get_charbox(i, loose=True) for i in samples]
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    bold = True
    for i in samples:
        raw.FPDFText_GetFontInfo(text_page, i, name, len(name), flags)
        bold = bold and bool(_BOLD.search(name.value) or raw.FPDFText_GetFontWeight(text_page, i) >= 600)
    return _Line(
        utf16.decode("utf-16-le", "replace").strip(),
        top=max(box[3] for box in boxes),
        bottom=min(box[1] for box in boxes),
        size=statistics.median(box[3] - box[1] for box in boxes),
        bold=bold,
    )


def _body_size(pages: list[_Page]) -> float:
    """The font size of most characters."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += len(line.text)
    return max(sizes, key=lambda size: (sizes[size], -size), default=0.0)


def _drop_running_lines(pages: list[_Page], body: float) -> None:
    """Drops headers and footers: lines at the edges of several pages, equal except for the page number.

    Of a line in large type, which may be a title, the first copy is kept.
    """
    edges = [_edges(page) for page in pages]
    keys = [{id(line): _running_keys(line, i, body) for line in lines} for i, lines in enumerate(edges)]
    counts = Counter(key for page in keys for key in set().union(*page.values()))
    enough = 2 if len(pages) < 4 else 3
    kept: set[str] = set()
    for page, lines, own in zip(pages, edges, keys, strict=True):
        running = {id(line): line for line in lines if any(counts[key] >= enough for key in own[id(line)])}
        for number, line in list(running.items()):
            if line.size > 1.1 * body and line.text not in kept:
                kept.add(line.text)
                del running[number]
        page.lines = [line for line in page.lines if id(line) not in running]


def _edges(page: _Page) -> list[_Line]:
    """The two outermost lines at each end, as far as they are in the margin."""
    lines, margin = sorted(page.lines, key=lambda line: line.top), MARGIN * page.height
    low = [line for line in lines[:2] if line.top < margin]
    return low + [line for line in lines[2:][-2:] if line.bottom > page.height - margin]


def _running_keys(line: _Line, page: int, body: float) -> set[str]:
    """What a header has in common on all pages: its text, or its text with a number relative to the page number."""
    keys = {line.text}
    if line.size <= 1.1 * body and len(line.text) <= MAX_HEADER_CHARS:
        for number in re.finditer(r"\d{1,6}", line.text):
            keys.add(f"{line.text[: number.start()]}\0{int(number[0]) - page}{line.text[number.end() :]}")
        if re.fullmatch("[ivxlc]+", line.text):
            keys.add("\0roman")
    return keys


def _mark_headings(pages: list[_Page], body: float) -> None:
    """Marks short lines in larger type, or in bold within plain text, as headings: the larger, the higher the level."""
    lines = [line for page in pages for line in page.lines]
    bold_text = sum(len(line.text) for line in lines if line.bold) > 0.4 * sum(len(line.text) for line in lines)

    def ranked(line: _Line) -> float:
        if len(line.text) > 120 or _NOT_HEADING.search(line.text) or sum(map(str.isalpha, line.text)) < 3:
            return 0.0
        if line.size > 1.15 * body:
            return round(line.size)
        return body if line.bold and not bold_text and line.size > 0.95 * body else 0.0

    levels = sorted({size for line in lines if (size := ranked(line))}, reverse=True)
    for line in lines:
        if size := ranked(line):
            line.level = min(levels.index(size) + 1, 4)
    if sum(line.level > 0 for line in lines) > 0.5 * len(lines):
        for line in lines:
            line.level = 0


def _place_tables(data: bytes, pages: list[_Page], ruled: list[int]) -> str:
    """Replaces the lines of tables on the ruled pages with Markdown tables; returns a note when that fails."""
    if not ruled:
        return ""
    import pdfplumber

    try:
        with pdfplumber.open(io.BytesIO(data)) as document:
            for i in ruled:
                page = document.pages[i]
                for ruled_table in page.find_tables():
                    _place(pages[i], ruled_table.bbox, ruled_table.extract())
                page.close()
    except Exception as error:  # pdfminer has no common error class; the rows stay as text
        return f"tables read as lines of text ({type(error).__name__})"
    return ""


def _place(page: _Page, box: tuple[float, float, float, float], rows: list[list[str | None]]) -> None:
    cells = [[cell or "" for cell in row] for row in rows]
    inside = [line for line in page.lines if box[1] < page.height - (line.top + line.bottom) / 2 < box[3]]
    words = {word for row in cells for cell in row for word in cell.split()}
    whole = words >= {word for line in inside for word in line.text.split()}  # otherwise a line beside it would be lost
    if len(cells) < 2 or max(map(len, cells)) < 2 or not inside or not whole:
        return
    first = page.lines.index(inside[0])
    placed = _Line(table(cells), inside[0].top, inside[-1].bottom, inside[0].size, bold=False, level=-1)
    page.lines = [line for line in page.lines if line not in inside]
    page.lines.insert(first, placed)


def _gap(before: _Line, line: _Line) -> float:
    """The space between two lines, relative to their size; negative where the text continues in a new column."""
    return (before.bottom - line.top) / max(min(before.size, line.size), 1.0)


def _spacing(pages: list[_Page]) -> float:
    """The usual space between the lines of a paragraph."""
    return statistics.median([_gap(*pair) for page in pages for pair in pairwise(page.lines)] or [0.0])


def _markdown(page: _Page, spacing: float) -> str:
    parts: list[str] = []
    before: _Line | None = None
    for line in page.lines:
        if before is not None:
            apart = _gap(before, line) > spacing + 0.25
            if line.level == before.level > 0 and not apart:  # a heading over two lines
                parts += [" ", line.text]
                before = line
                continue
            parts.append("\n\n" if apart or line.level != before.level or line.level else "\n")
        text = line.text if line.level else re.sub(r"^#", r"\\#", line.text)
        parts.append("#" * line.level + " " * (line.level > 0) + text)
        before = line
    return _SPLIT_WORD.sub("", "".join(parts))
