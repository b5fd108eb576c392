"""Excel workbooks (.xlsx, .xlsm) to Markdown: each visible sheet as a heading, its tables and its text.

The parts are read here and not by a library (openpyxl, calamine) because only cells that exist may cost time, because
number formats, merged regions, comments and what is hidden are needed together, and because those refuse workbooks of
the strict variant or with a style they do not know. Formulas that were never calculated are computed by formualizer.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lxml import etree

from inhouse.documents.container import Container
from inhouse.documents.drawing import diagram, lowered, paragraphs, raised, struck, without_fallbacks
from inhouse.documents.grid import Cell, Region, Sheet, counted, markdown
from inhouse.documents.number_format import BUILT_IN, NumberFormat, number_format, serial
from inhouse.documents.parsed import Parsed, Unreadable

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_R_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_THREADED = "{http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments}"
_CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ROUNDED = re.compile(r"-?\d\.\d{1,17}[Ee]\+?(?:1[5-9]|20)$")  # what is left of a whole number of 16 to 21 digits
_RANDOM = re.compile(r"(?i)\brand(?:between|array)?\s?\(")
_PRINT_CODE = re.compile(r'&"[^"]*"|&[LCR]|&K[0-9A-F]{6}|&\d{1,3}|&[BIUESXYGOH]|&[PNDTFAZ]')
_CLOCKS = datetime(2001, 1, 1, tzinfo=UTC), datetime(2012, 7, 17, 9, 30, tzinfo=UTC)
_CALCULATION_S = 10.0
_LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384


class Formula(NamedTuple):
    """A formula in a visible sheet: where it is, its text (empty where it shares another's) and its stored value."""

    sheet: str
    row: int
    column: int
    text: str
    stored: str


class Book:
    """What the sheets of a workbook share, and what is counted for the note."""

    def __init__(self, box: Container, main: str, root: etree._Element) -> None:
        properties = root.find(f"{S}workbookPr")
        self.since_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
        calculation = root.find(f"{S}calcPr")
        self.recalculate = calculation is not None and calculation.get("fullCalcOnLoad") in {"1", "true"}
        self.strings = [
            _rich(item) for part in box.related(main, "sharedStrings") for item in box.elements(part, f"{S}si")
        ]
        self.formats = _formats(box, main, self.since_1904)
        self.formulas: list[Formula] = []
        self.styles: dict[tuple[str, int, int], NumberFormat] = {}
        self.errors: Counter[str] = Counter()
        self.concealed = 0
        self.rounded = 0
        self.random = False

    def format(self, style: str | None) -> NumberFormat:
        index = int(style) if style and style.isdecimal() else 0
        return self.formats[index] if index < len(self.formats) else self.formats[0]


def read_xlsx(data: bytes) -> Parsed:
    """Returns a workbook's visible sheets; values are written as the spreadsheet shows them.

    Raises:
        Unreadable: encrypted, damaged, another kind of file, or it unpacks to far more than its size.
    """
    box = Container(data)
    main = box.main_part("xl/workbook.xml")
    if main.endswith(".bin"):
        raise Unreadable("binary workbook (.xlsb): save it as .xlsx")
    root = box.xml(main)
    if root is None:
        raise Unreadable(f"damaged Office file: it has no {main}")
    book = Book(box, main, root)
    relations = box.relations(main)
    sheets: list[Sheet] = []
    hidden = Counter[str]()
    for entry in root.iter(f"{S}sheet"):
        relation = relations.get(entry.get(_R_ID, ""))
        if entry.get("state", "visible") != "visible":
            hidden["hidden sheet"] += 1
        elif relation is None or relation.kind != "worksheet":
            hidden["sheet of a chart or macro"] += 1
        else:
            sheets.append(_sheet(box, relation.target, entry.get("name", ""), book))
    notes = [_fill_formulas(data, book, sheets)]
    texts = []
    for sheet in sheets:
        text, complete = markdown(sheet)
        rows, columns = sheet.hidden()
        hidden.update({"hidden row": rows, "hidden column": columns})
        texts.append(f"## {sheet.name}\n\n{text}" if text else "")
        notes += [] if complete else [f"merged cells of sheet {sheet.name} are too many to repeat their values"]
    return Parsed(text="\n\n".join(filter(None, texts)), title=box.title(), note=_note(hidden, book, notes))


def _note(hidden: Counter[str], book: Book, notes: list[str]) -> str:
    parts = [f"{counted(hidden)} skipped"] if hidden.total() else []
    if book.errors:
        parts.append(f"{counted(Counter({'cell with an error': book.errors.total()}))} ({', '.join(book.errors)})")
    if book.concealed:
        parts.append(f"{counted(Counter({'value': book.concealed}))} left out that the number format hides")
    if book.rounded:
        long = counted(Counter({"number with more than 15 digits": book.rounded}))
        parts.append(f"{long}: a spreadsheet keeps 15, so the last ones may be wrong; enter such numbers as text")
    return "; ".join([*parts, *filter(None, notes)])


def _sheet(box: Container, part: str, name: str, book: Book) -> Sheet:
    sheet = Sheet(name)
    printed: list[str] = []
    row_index = 0
    tags = [f"{S}{tag}" for tag in ("row", "col", "mergeCell", "autoFilter", "oddHeader", "oddFooter")]
    for element in box.elements(part, *tags):
        match element.tag.rpartition("}")[2]:
            case "row":
                row_index = _index(element.get("r"), row_index + 1)
                if element.get("hidden") in {"1", "true"} or element.get("ht") == "0":
                    sheet.hidden_rows.add(row_index)
                if row := _row(element, row_index, sheet, book):
                    sheet.rows[row_index] = row
            case "col":
                if element.get("hidden") in {"1", "true"} or element.get("width") == "0":
                    sheet.hidden_columns.append((_index(element.get("min"), 0), _index(element.get("max"), 0)))
            case "mergeCell":
                if region := _region(element.get("ref", "")):
                    sheet.regions.append(region)
            case "autoFilter":
                sheet.headers |= _first_row(element)
            case kind:
                text = " ".join(_PRINT_CODE.sub(" ", element.text or "").replace("&&", "&").split())
                if any(map(str.isalnum, text)) and not text.isdecimal():
                    printed.append(f"[{'page header' if kind == 'oddHeader' else 'page footer'}: {text}]")
    roots = [root for table in box.related(part, "table") if (root := box.xml(table)) is not None]
    sheet.headers.update(*(_first_row(root) for root in roots if root.get("headerRowCount") != "0"))
    sheet.lines = [*_shapes(box, part), *_comments(box, part, sheet), *printed]
    return sheet


def _row(element: etree._Element, index: int, sheet: Sheet, book: Book) -> dict[int, Cell]:
    row: dict[int, Cell] = {}
    column = 0
    for cell in element.iterchildren(f"{S}c"):
        place = _CELL.fullmatch(cell.get("r", ""))
        column = _column(place[1]) if place else column + 1
        value = cell.findtext(f"{S}v") or ""
        formula = cell.find(f"{S}f")
        kind, form = cell.get("t", "n"), book.format(cell.get("s"))
        if formula is not None and kind != "str" and (not value or (book.recalculate and kind == "n")):
            if index not in sheet.hidden_rows and not sheet.is_hidden_column(column):
                book.formulas.append(Formula(sheet.name, index, column, formula.text or "", value))
                book.styles[sheet.name, index, column] = form
            book.random = book.random or bool(_RANDOM.search(formula.text or ""))
            row[column] = Cell(" ", True)
        if shown := _shown(cell, kind, value, form, book):
            row[column] = shown
    return row


def _shown(cell: etree._Element, kind: str, value: str, form: NumberFormat, book: Book) -> Cell | None:
    """A cell as the spreadsheet shows it; None if it has no value."""
    if kind == "inlineStr":
        inline = cell.find(f"{S}is")
        text = form.text(_rich(inline)) if inline is not None else ""
        return Cell(text) if text.strip() else None
    if not value.strip():
        return None
    match kind:
        case "s":
            text = book.strings[int(value)] if value.isdecimal() and int(value) < len(book.strings) else ""
            return Cell(form.text(text)) if text.strip() else None
        case "str":
            return Cell(form.text(_unescaped(value)))
        case "e":
            book.errors[value] += 1
            return Cell(value)
        case "b":
            return Cell("TRUE" if value in {"1", "true"} else "FALSE")
        case "d":
            return Cell(_iso_date(value, form, book.since_1904))
    text = form.number(value)
    book.rounded += bool(_ROUNDED.match(value)) and not form.dates and text.strip("0123456789., ") == ""
    if not text and form.sections and value.strip("0.-"):
        book.concealed += 1
    return Cell(text, not form.dates)


def _iso_date(value: str, form: NumberFormat, since_1904: bool) -> str:
    """A date that the strict variant writes as text."""
    with suppress(ValueError):
        when = datetime.fromisoformat(value.rstrip("Z"))
        return form.number(str(serial(when, since_1904))) if form.dates else value
    return value


def _rich(item: etree._Element) -> str:
    """The text of a shared or inline string, without the phonetic guide of Japanese."""
    direct = item.find(f"{S}t")
    parts = [direct.text or ""] if direct is not None else []
    for run in item.iterchildren(f"{S}r"):
        text = run.findtext(f"{S}t") or ""
        place = run.find(f"{S}rPr/{S}vertAlign")
        shift = "" if place is None else place.get("val", "")
        strike = run.find(f"{S}rPr/{S}strike")
        text = struck(text) if strike is not None and strike.get("val", "1") not in {"0", "false"} else text
        parts.append(raised(text) if shift == "superscript" else lowered(text) if shift == "subscript" else text)
    return _unescaped("".join(parts).replace("~~~~", ""))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text) if "_x" in text else text


def _formats(box: Container, main: str, since_1904: bool) -> list[NumberFormat]:
    """The number format of each style, by its index."""
    codes: dict[int, str] = dict(BUILT_IN)
    styles: list[NumberFormat] = []
    for part in box.related(main, "styles"):
        root = box.xml(part)
        for entry in root.iter(f"{S}numFmt") if root is not None else ():
            if entry.get("numFmtId", "").isdecimal():
                codes[int(entry.get("numFmtId", "0"))] = entry.get("formatCode", "")
        for entry in root.iterfind(f"{S}cellXfs/{S}xf") if root is not None else ():
            number = entry.get("numFmtId", "0")
            styles.append(number_format(codes.get(int(number) if number.isdecimal() else 0, "General"), since_1904))
    return styles or [number_format("General")]


def _shapes(box: Container, part: str) -> Iterator[str]:
    """The text of shapes and SmartArt, and the titles of charts."""
    for drawing in box.related(part, "drawing"):
        root = box.xml(drawing)
        if root is not None:
            without_fallbacks(root)
            yield from paragraphs(root)
        for data in box.related(drawing, "diagramData"):
            yield from diagram(root) if (root := box.xml(data)) is not None else ()
        for chart in box.related(drawing, "chart"):
            root = box.xml(chart)
            title = None if root is None else root.find(".//{*}chart/{*}title")
            yield from (f"[chart: {text}]" for text in paragraphs(title)) if title is not None else ()


def _comments(box: Container, part: str, sheet: Sheet) -> Iterator[str]:
    """Notes and comments on visible cells, each with the cell it belongs to."""
    found: dict[str, list[str]] = {}
    for threads in box.related(part, "threadedComment"):
        for comment in box.elements(threads, f"{_THREADED}threadedComment"):
            found.setdefault(comment.get("ref", ""), []).append(comment.findtext(f"{_THREADED}text") or "")
    threaded = set(found)
    for notes in box.related(part, "comments"):
        for comment in box.elements(notes, f"{S}comment"):
            text = comment.find(f"{S}text")
            if text is not None and comment.get("ref", "") not in threaded:
                found.setdefault(comment.get("ref", ""), []).append(_rich(text))
    for ref, texts in found.items():
        place = _CELL.fullmatch(ref)
        if place and int(place[2]) not in sheet.hidden_rows and not sheet.is_hidden_column(_column(place[1])):
            cell = sheet.rows.get(int(place[2]), {}).get(_column(place[1]))
            on = f"{ref}, {cell.text}" if cell and cell.text.strip() else ref
            yield f"[comment on {on}: {' / '.join(' '.join(text.split()) for text in texts)}]"


def _fill_formulas(data: bytes, book: Book, sheets: list[Sheet]) -> str:
    """Computes formulas that have no value, or shows their text; returns what to say about them."""
    stored = [formula.stored for formula in book.formulas if formula.stored]
    if any(value.strip("0.-") for value in stored):  # somebody calculated them: what has a value keeps it
        book.formulas = [formula for formula in book.formulas if not formula.stored]
    if not book.formulas:
        return ""
    compute = (lambda formula, form: None) if book.random else _calculator(data)
    rows = {sheet.name: sheet.rows for sheet in sheets}
    computed = 0
    for formula in book.formulas:
        form = book.styles[formula.sheet, formula.row, formula.column]
        cell = compute(formula, form)
        computed += cell is not None
        text = f"={formula.text}" if formula.text else "=?"
        rows[formula.sheet][formula.row][formula.column] = cell or Cell(text)
    total = Counter({"formula": len(book.formulas)})
    note = f"{counted(total)} without a value: {computed} computed here"
    if computed < len(book.formulas):
        note += f", {len(book.formulas) - computed} shown as formulas; open and save the file in a spreadsheet program"
    return note


def _calculator(data: bytes) -> Callable[[Formula, NumberFormat], Cell | None]:
    """What knows the values of formulas; it returns None for one that cannot be computed, or not today as tomorrow."""
    import formualizer

    workbooks: list[Any] = []
    timer = threading.Timer(_CALCULATION_S, lambda: [workbook.cancel() for workbook in workbooks])
    timer.start()
    try:
        for clock in _CLOCKS:
            workbooks.append(formualizer.load_workbook_bytes(data))
            workbooks[-1].set_temporal_egress("serial")
            workbooks[-1].set_deterministic_clock(clock)
            workbooks[-1].evaluate_all()
    except Exception:  # the library raises many types; formulas are then shown as text, with a note
        return lambda formula, form: None
    finally:
        timer.cancel()

    def value(formula: Formula, form: NumberFormat) -> Cell | None:
        place = formula.sheet, formula.row, formula.column
        try:
            found, again = (workbook.get_value(*place) for workbook in workbooks)
        except Exception:
            return None
        if found != again:
            return None
        match found:
            case bool():
                return Cell("TRUE" if found else "FALSE")
            case int() | float():
                return Cell(form.number(repr(found)), not form.dates)
            case str():
                return Cell(form.text(found))
        return None

    return value


def _index(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 8 else otherwise


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number


def _first_row(element: etree._Element) -> set[int]:
    """The first row of the range of a table or filter, which is its header."""
    corner = _CELL.fullmatch(element.get("ref", "").partition(":")[0])
    return {int(corner[2])} if corner else set()


def _region(reference: str) -> Region | None:
    corners = [_CELL.fullmatch(corner) for corner in reference.split(":")]
    if len(corners) != 2 or corners[0] is None or corners[1] is None:
        return None
    (first, last) = ((int(c[2]), _column(c[1])) for c in corners if c is not None)
    return first[0], first[1], min(last[0], _LAST_ROW), min(last[1], _LAST_COLUMN)
