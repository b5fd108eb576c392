"""PDF to Markdown: text in reading order, headings by font size and weight, ruled tables, no page headers.

pdfplumber only finds the cells of tables, on pages that have ruled lines; all text comes from `layout`. Pages whose
text is a picture, or whose glyphs have no characters, go through OCR.
"""

from __future__ import annotations

import io
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from inhouse.documents.clean import clean_text
from inhouse.documents.columns import reading_order
from inhouse.documents.forms import annotated, inserted
from inhouse.documents.layout import Line, Page, Rectangle, page_lines, placed, space, turned
from inhouse.documents.ocr import UNREAD, Ocr, pages_named, rows_of
from inhouse.documents.parsed import Parsed, Unreadable, table
from inhouse.documents.running import drop_running_lines
from inhouse.types import Place

MIN_RULES = 4  # a page with fewer drawn lines has no table
MAX_BEFORE = 65_536  # bytes before the start of a PDF, such as the header of a mail
PICTURE, LARGE_PICTURE = 0.02, 0.25  # shares of the page: smaller ones are logos; a large one may hold text
FEW_LETTERS = 20  # on a page that is nearly empty, such as one with a stamp and a scan
OUTLINES = 40  # drawn shapes on a page without text: letters as curves
GARBLED, PARTLY = 0.5, 0.05  # shares of glyphs without characters
GARBLED_LETTERS, SAMPLED_LINES = 120, 12  # fewer letters tell nothing
_NOT_HEADING = re.compile(r"[.,;:]$|(\. ?){4}|\.{4}")  # the end of a sentence, or the dots in a table of contents
_HYPHENS = "\x02\ufffe\u00ad-\u2010"
_COMPOUND = re.compile(r"(?<!\w)[^\W\d_]++[-\u2010][^\W\d_]++")
_LAST_WORD, _FIRST_WORD = re.compile(r"[^\W\d_]{1,40}\Z"), re.compile(r"[^\W\d_]{1,40}")
_WORD = re.compile(r"[a-z]{4,}", re.IGNORECASE | re.ASCII)


def read_pdf(data: bytes, ocr: Ocr | None = None) -> Parsed:
    """Returns the text of a PDF that opens without a password; pages without text are read by `ocr`.

    Raises:
        Unreadable: encrypted, truncated beyond repair, or not a PDF.
    """
    import pypdfium2 as pdfium

    ocr, notes, left_out = ocr or Ocr(), [], Counter[str]()
    data, document, note = opened(data)
    notes.append(note)
    comments: list[tuple[int, Line]] = []
    pages = []
    broken = []
    for i in range(len(document)):
        try:
            page, over = _page(document, i, left_out)
        except pdfium.PdfiumError:
            broken.append(i + 1)
            page, over = Page([], 612, 792), []
        for line in over:
            comments.append((i, line))
        pages.append(page)
    notes += [f"{pages_named(broken)}: damaged, not read"] if broken else []
    notes += _pictures(document, pages, ocr)
    _arrange(pages)
    notes.append(_place_tables(data, pages, [i for i, page in enumerate(pages) if page.rules >= MIN_RULES]))
    for i, line in comments:
        pages[i].lines.append(line)
    text, places = _markdown(pages)
    if names := [str(document.get_attachment(i).get_name()) for i in range(document.count_attachments())]:
        notes.append(f"attachments skipped: {', '.join(names)}")
    notes += [f"left out: {count} {what}{'s' * (count > 1)}" for what, count in left_out.items()]
    title = str(document.get_metadata_value("Title") or "")
    return Parsed(text=text, title=title, note="; ".join(filter(None, notes)), meta=ocr.meta(), places=places)


def markdown_of(pages: list[Page]) -> tuple[str, tuple[Place, ...]]:
    """The text of pages without ruled tables, and where each line of it stands."""
    _arrange(pages)
    return _markdown(pages)


def _arrange(pages: list[Page]) -> None:
    """Puts the lines in reading order, without those that repeat on each page, and finds the headings."""
    body = _body_size(pages)
    drop_running_lines(pages, body)
    for page in pages:
        page.lines = reading_order(page.lines)
    _mark_headings(pages, body)


def opened(data: bytes) -> tuple[bytes, Any, str]:
    """The bytes of the PDF without what stands before and after it, the document, and a note if its end is missing."""
    import pypdfium2 as pdfium

    start = data[:MAX_BEFORE].find(b"%PDF-")
    if start < 0:
        raise Unreadable("not a PDF file")
    end = data.rfind(b"%%EOF")
    cut = end < 0 or re.search(rb"\d{1,10} \d{1,10} obj\b", data[end:]) is not None
    whole = data[start:] if cut else data[start : end + 5] + b"\n"
    reason = ""
    for part in dict.fromkeys((whole, data)):  # offsets may count from the start of the file
        try:
            document = pdfium.PdfDocument(part)
            document.init_forms()
            next(n for n in range(len(document)) if _loads(document, n))
        except StopIteration:
            reason = reason or "no page can be loaded"
            continue
        except pdfium.PdfiumError as error:
            if "password" in str(error).lower():
                raise Unreadable("encrypted: it needs a password") from error
            reason = reason or str(error)
            continue
        note = "truncated: the end of the PDF is missing, so pages or values may be missing" if cut else ""
        return part, document, note
    raise Unreadable("truncated: the end of the PDF is missing" if cut else f"damaged PDF ({reason})")


def _loads(document: Any, i: int) -> bool:
    import pypdfium2 as pdfium

    try:
        document[i].close()
    except pdfium.PdfiumError:
        return False
    return True


def _page(document: Any, i: int, left_out: Counter[str]) -> tuple[Page, list[Line]]:
    """A page, and the comments on it."""
    from pypdfium2 import raw

    page = document[i]
    lines, width, height, turn, unmapped = page_lines(page)
    comments = []
    if raw.FPDFPage_GetAnnotCount(page):
        for kind, line in annotated(document, page, turn, left_out):
            if kind == "comment":
                comments.append(placed(f"[Comment: {line.text}]", line.box, level=-2))
            else:
                lines = inserted(lines, line)
    result = Page(lines, width, height, turn=turn, unmapped=unmapped)
    wanted = [raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING]
    for thing in page.get_objects(filter=wanted):
        result.drawn += 1
        result.rules += thing.type == raw.FPDF_PAGEOBJ_PATH
        if thing.type == raw.FPDF_PAGEOBJ_IMAGE:
            result.pictures.append(_picture(page, thing, turn))
    result.pictures = [box for box in result.pictures if _share(box, result) >= PICTURE]
    return result, comments


def _picture(page: Any, thing: Any, turn: int) -> Rectangle:
    left, bottom, right, top = page.get_bbox()
    a, b, c, d = thing.get_bounds() if not thing.level else (left, bottom, right, top)
    box = np.array([[max(a, left) - left, max(b, bottom) - bottom, min(c, right) - left, min(d, top) - bottom]])
    width, height, rotation = right - left, top - bottom, page.get_rotation()
    box = turned(box, rotation, width, height)
    box = turned(box, turn, *((height, width) if rotation % 180 else (width, height)))
    return tuple(box[0].tolist())


def _share(box: Rectangle, page: Page) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0) / ((page.width * page.height) or 1.0)


def _pictures(document: Any, pages: list[Page], ocr: Ocr) -> list[str]:
    """Reads pages whose text is a picture; returns notes on them, and on pictures that hold none."""
    empty, silent, unread = [], 0, []
    glyphs = [i for i, page in enumerate(pages, 1) if _garbled(page)]
    todo = {i: pictures for i, page in enumerate(pages, 1) if (pictures := _to_read(page)) or i in glyphs}
    for i, page in enumerate(pages, 1):
        if i not in todo:
            silent += sum(not _covered(box, page) for box in page.pictures)
            empty += [i] if not page.lines else []
    for n, (i, pictures) in enumerate(todo.items(), 1):
        page = pages[i - 1]
        page.lines = [] if page.unmapped > GARBLED and i in glyphs else page.lines
        if not ocr.ready:
            unread.append(i)
            continue
        read, degrees = ocr.page(document[i - 1], i, f"OCR of page {i}, {n} of {len(todo)}")
        if i in glyphs and read:
            page.lines = []
        read = _fitted(page, read, degrees)
        whole = len(page.lines) == 0 or not pictures
        fresh = [line for line in read if not any(_inside(line, old.box) for old in page.lines)]
        page.lines += rows_of([line for line in fresh if whole or any(_inside(line, box) for box in pictures)])
        silent += 0 if fresh else max(len(pictures), 1)
    notes = [ocr.note()]
    if unread:
        notes.append(f"{pages_named(unread)}: {UNREAD} ({ocr.why_not})")
    if wrong := [i for i in glyphs if i in unread]:
        notes.append(f"{pages_named(wrong)}: glyphs without characters, left out")
    elif glyphs:
        notes.append(f"{pages_named(glyphs)}: glyphs without characters, read with OCR")
    if partly := [i for i, page in enumerate(pages, 1) if PARTLY < page.unmapped <= GARBLED and i not in glyphs]:
        notes.append(f"{pages_named(partly)}: some glyphs without characters, so words may be wrong")
    if empty and any(page.lines for page in pages):
        notes.append(f"{len(empty)} of {len(pages)} pages have no text")
    if silent:
        notes.append(f"{silent} picture{'s' * (silent > 1)} without text")
    return notes


def _fitted(page: Page, read: list[Line], degrees: int) -> list[Line]:
    """Lines of a page that OCR turned, as the page's other lines are; without any, the page is turned too."""
    if not page.lines:
        if (degrees - page.turn) % 180:
            page.width, page.height = page.height, page.width
        page.turn = degrees
    change, (width, height) = (page.turn - degrees) % 360, (page.width, page.height)
    if change % 180:
        width, height = height, width
    if not change:
        return read
    return [placed(line.text, tuple(turned(np.array([line.box]), change, width, height)[0].tolist())) for line in read]


def _to_read(page: Page) -> list[Rectangle]:
    """The pictures on a page that may hold text; the whole page if its text may be drawn as curves."""
    if not page.pictures and page.drawn < OUTLINES:
        return []
    letters = sum(c.isalnum() for line in page.lines for c in line.text)
    least = PICTURE if letters < FEW_LETTERS else LARGE_PICTURE
    found = [box for box in page.pictures if _share(box, page) >= least and not _covered(box, page)]
    curves = page.drawn >= OUTLINES and letters < FEW_LETTERS and not page.pictures
    return found or ([(0.0, 0.0, page.width, page.height)] if curves else [])


def _inside(line: Line, box: Rectangle) -> bool:
    x, y = (line.left + line.right) / 2, (line.bottom + line.top) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _covered(box: Rectangle, page: Page) -> bool:
    """Whether text lies over a picture: it is a background, or a scan with a layer of text. A stamp covers no scan."""
    letters = sum(c.isalnum() for line in page.lines if _inside(line, box) for c in line.text)
    return letters >= (FEW_LETTERS if _share(box, page) >= LARGE_PICTURE else 1)


def _garbled(page: Page) -> bool:
    """Whether the text is no words of any language: fonts whose codes are other letters than their glyphs show."""
    text = "\n".join(line.text for line in page.lines[:SAMPLED_LINES])
    if page.unmapped <= GARBLED and not text.isascii():
        return False
    words = _WORD.findall(text)
    letters = "".join(words)
    vowels = sum(letters.count(c) for c in "aeiouyAEIOUY")
    if page.unmapped > GARBLED:  # they may still be right: fonts of scientific texts have no names for their glyphs
        small = sum(map(str.islower, letters))
        return (
            2 * len(letters) < sum(map(str.isalpha, text)) or vowels < 0.25 * len(letters) or 2 * small < len(letters)
        )
    without = sum(not re.search("[aeiouy]", word, re.IGNORECASE) for word in words)
    return len(letters) >= GARBLED_LETTERS and vowels < 0.2 * len(letters) and without > 0.4 * len(words)


def _body_size(pages: list[Page]) -> float:
    """The font size of most characters."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += len(line.text)
    return max(sizes, key=lambda size: (sizes[size], -size), default=0.0)


def _mark_headings(pages: list[Page], body: float) -> None:
    """Marks short lines in larger type, or in bold within plain text, as headings: the larger, the higher the level."""
    lines = [line for page in pages for line in page.lines]
    bold_text = sum(len(line.text) for line in lines if line.bold) > 0.4 * sum(len(line.text) for line in lines)

    def ranked(line: Line) -> float:
        if (
            line.level < 0
            or len(line.text) > 120
            or _NOT_HEADING.search(line.text)
            or sum(map(str.isalpha, line.text)) < 3
        ):
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
            line.level = min(line.level, 0)


def _place_tables(data: bytes, pages: list[Page], ruled: list[int]) -> str:
    """Replaces the lines of tables on the ruled pages with rows of Markdown tables; returns a note when that fails."""
    if not ruled:
        return ""
    import pdfplumber
    from pdfminer.layout import LTChar

    try:
        with pdfplumber.open(io.BytesIO(data)) as document:
            for i in ruled:
                page = document.pages[i]
                page.layout._objs = [
                    thing for thing in page.layout if not isinstance(thing, LTChar)
                ]  # half of its time
                for found in page.find_tables():
                    _place(pages[i], _cells(found, page.cropbox, pages[i]))
                page.close()
    except Exception as error:  # pdfminer has no common error class; the rows stay as text
        return f"tables read as lines of text ({type(error).__name__})"
    return ""


def _cells(found: Any, crop: Rectangle, page: Page) -> list[list[Rectangle]]:
    """The box of each cell of a table, row by row; a cell that spans several places has each of them."""
    rows = [list(row.cells) for row in found.rows]
    boxes = [cell for row in rows for cell in row if cell]
    width, height = (page.height, page.width) if page.turn % 180 else (page.width, page.height)

    def middle(cells: Iterable[Any], low: int) -> float:
        narrowest = min((cell for cell in cells if cell), key=lambda cell: cell[low + 2] - cell[low], default=None)
        return (narrowest[low] + narrowest[low + 2]) / 2 if narrowest else -1.0

    columns = [middle((row[c] for row in rows if c < len(row)), 0) for c in range(max(map(len, rows), default=0))]
    whole = []
    for row in rows:
        y = middle(row, 1)
        cells = []
        for c, x in enumerate(columns):
            own = row[c] if c < len(row) else None
            over = own or next((b for b in boxes if b[0] < x < b[2] and b[1] < y < b[3]), None)
            x0, top, x1, bottom = over or (-1.0, -1.0, -1.0, -1.0)
            edges = (x0 - crop[0], height - (bottom - crop[1]), x1 - crop[0], height - (top - crop[1]))
            cells.append(tuple(turned(np.array([edges]), page.turn, width, height)[0].tolist()))
        whole.append(cells)
    return whole


def _place(page: Page, boxes: list[list[Rectangle]]) -> None:
    """Puts a table in the place of its lines. Text on these lines that is in no cell stays; a title above is a line."""
    cells = {box for row in boxes for box in row}
    all_of_it = _around(cells)
    inside = [line for line in page.lines if line.level >= 0 and np.any(line.inside(all_of_it))]
    texts = {box: _cell(box, inside) for box in cells}
    kept = [([texts[box] for box in row], row) for row in boxes if any(texts[box] for box in row)]
    if len(kept) < 2 or max(len(set(row)) for _, row in kept) < 2 or not inside:
        return
    first = page.lines.index(inside[0])
    new: list[Line] = []
    while len(kept) > 2 and len(set(kept[0][1])) == 1:  # one cell over the whole width is a title
        title, row = kept.pop(0)
        new.append(placed(title[0], row[0]))
    lines = table(texts for texts, _ in kept).split("\n")
    lines[:2] = ["\n".join(lines[:2])]
    new += [placed(line, _around(row), level=-1) for line, (_, row) in zip(lines, kept, strict=True)]
    before, after = page.lines[:first], page.lines[first:]
    page.lines = [*before, *new, *filter(None, (_outside(line, cells) if line in inside else line for line in after))]


def _cell(box: Rectangle, lines: Iterable[Line]) -> str:
    parts = (line.part(line.inside(box)) for line in lines)
    texts = [part.text for part in parts if part is not None]
    return _joined_words(texts)


def _joined_words(texts: Iterable[str]) -> str:
    out = ""
    for text in texts:
        if out[-1:] in ("\x02", "\ufffe", "\u00ad") and text[:1].islower():
            out = out[:-1] + text
        else:
            out = f"{out} {text}".strip()
    return out.replace("\x02", "-").replace("\ufffe", "-")


def _outside(line: Line, cells: Iterable[Rectangle]) -> Line | None:
    """The part of a line that is in none of the cells."""
    return line.part(~np.any([line.inside(box) for box in cells], axis=0))


def _around(boxes: Iterable[Rectangle]) -> Rectangle:
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


def _spacing(pages: list[Page]) -> float:
    """The usual space between the lines of a paragraph."""
    return statistics.median([space(*pair) for page in pages for pair in pairwise(page.lines)] or [0.0])


def _markdown(pages: list[Page]) -> tuple[str, tuple[Place, ...]]:
    """The text of the pages, and where each line of it stands."""
    spacing = _spacing(pages)
    broken = any(line.text[-1:] in _HYPHENS for page in pages for line in page.lines)
    lines = (line.text for page in pages for line in page.lines if broken)
    words = {word.lower() for text in lines for word in _COMPOUND.findall(text)}
    parts: list[str] = []
    places: list[Place] = []
    length = 0
    ended = ""  # the last line as it was, with a hyphen at its end
    for number, page in enumerate(pages, 1):
        for between, line in _separated(page, spacing):
            plain = line.text.isascii() and line.text.isprintable()  # most lines: cleaning takes a tenth of the time
            text = line.text if plain else clean_text(line.text)
            if not text:
                continue
            gap = ("\n\n" if between is None else between) if parts else ""
            if line.level <= 0:
                text = re.sub(r"^#", r"\\#", text)
            elif gap != " ":
                text = f"{'#' * line.level} {text}"
            hyphen = _hyphen(ended, text, words) if gap == "\n" or between is None else None
            if hyphen is not None:
                cut = len(parts[-1].rstrip(_HYPHENS))
                length -= len(parts[-1]) - cut
                parts[-1] = parts[-1][:cut]
                gap = hyphen
            parts += [gap, text]
            places.append(Place(length + len(gap), number, page.fractions(line.box)))
            length += len(gap) + len(text)
            ended = line.text if line.level == 0 else ""
    return "".join(parts), tuple(places)


def _hyphen(before: str, text: str, words: set[str]) -> str | None:
    """What joins a line that ends with a hyphen to the next one: nothing, or the hyphen of a compound; None if neither.

    "-" at the end of a line breaks a word, unless the document has the word with a hyphen elsewhere, or what follows
    begins with a capital or a digit.
    """
    if not before or before[-1] not in _HYPHENS:
        return None
    start, end = _LAST_WORD.search(before[:-1]), _FIRST_WORD.match(text)
    if not start or not end:
        return "-" if before[-2:-1].isdigit() and text[:1].isdigit() else None
    whole = f"{start[0]}-{end[0]}".lower()
    return "-" if not text[0].islower() or whole in words else ""


def _separated(page: Page, spacing: float) -> Iterator[tuple[str | None, Line]]:
    """The lines with what stands before each: None on a new page, else a line break, a blank line, or a space."""
    before: Line | None = None
    for line in page.lines:
        if before is None:
            yield None, line
        else:
            apart = space(before, line) > spacing + 0.25
            heading = line.level == before.level > 0 and not apart  # a heading over two lines
            if heading:
                yield " ", line
            elif line.level == before.level == -1 and "\n" not in line.text:
                yield "\n", line
            else:
                yield ("\n\n" if apart or line.level != before.level or line.level else "\n"), line
        before = line
