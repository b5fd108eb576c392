"""The tables of OpenDocument files: cells with what they show, spans, repetitions, and what is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lxml import etree

from inhouse.documents.grid import MAX_REPEATED, Cell, Row, Sheet, looks_numeric
from inhouse.documents.number_format import decimal, general

_SPACE = "urn:oasis:names:tc:opendocument:xmlns:{}:1.0"
OFFICE, TEXT, TABLE, DRAW, STYLE, SHOW = (
    f"{{{_SPACE.format(n)}}}" for n in ("office", "text", "table", "drawing", "style", "presentation")
)
_ROW_GROUPS = {f"{TABLE}{n}" for n in ("table-row-group", "table-rows", "table-header-rows")}
_COLUMN_GROUPS = {f"{TABLE}{n}" for n in ("table-column-group", "table-columns", "table-header-columns")}
_CELLS = {f"{TABLE}table-cell", f"{TABLE}covered-table-cell"}


class Reader(Protocol):
    """What reads the text of a cell. `pending` takes notes and comments, `formulas` counts those without a value."""

    pending: list[str]
    formulas: int

    def flat(self, element: etree._Element) -> str: ...


def fill(reader: Reader, element: etree._Element, sheet: Sheet, comments: bool = False) -> bool:
    """Puts the cells of a table that have text into a sheet; whether all that repeat could be put."""
    column = 1
    for entry in _within(element, f"{TABLE}table-column", _COLUMN_GROUPS):
        count = _count(entry, "number-columns-repeated")
        if entry.get(f"{TABLE}visibility") in {"collapse", "filter"}:
            sheet.hidden_columns.append((column, column + count - 1))
        column += count
    left = MAX_REPEATED
    index = 1
    for entry in _within(element, f"{TABLE}table-row", _ROW_GROUPS):
        count = _count(entry, "number-rows-repeated")
        row = _row(reader, entry, index, sheet, comments)
        left -= max(count - 1, 0) * len(row)
        if row and left < 0:
            return False
        if row:
            sheet.rows.update({index + i: dict(row) for i in range(count)})
        if row and entry.get(f"{TABLE}visibility") in {"collapse", "filter"}:
            sheet.hidden_rows.update(range(index, index + count))
        index += count
    return True


def _within(parent: etree._Element, tag: str, groups: set[str]) -> Iterator[etree._Element]:
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in groups:
            yield from _within(child, tag, groups)


def _row(reader: Reader, entry: etree._Element, index: int, sheet: Sheet, comments: bool) -> Row:
    row: Row = {}
    column = 1
    for cell in entry:
        if cell.tag not in _CELLS:
            continue
        count = _count(cell, "number-columns-repeated")
        if cell.tag == f"{TABLE}table-cell" and len(cell) + len(cell.attrib):
            shown = _cell(reader, cell)
            if shown.text and count <= MAX_REPEATED // 100:
                row.update(dict.fromkeys(range(column, column + count), shown))
            across, down = _count(cell, "number-columns-spanned"), _count(cell, "number-rows-spanned")
            if shown.text and (across > 1 or down > 1):
                sheet.regions.append((index, column, index + down - 1, column + across - 1))
            if comments:
                seen = entry.get(f"{TABLE}visibility", "visible") == "visible" and not sheet.is_hidden_column(column)
                about = f" (on {shown.text or 'an empty cell'})]"
                sheet.lines += [f"{line[:-1]}{about}" for line in reader.pending if seen]
                reader.pending = []
        column += count
    return row


def _cell(reader: Reader, cell: etree._Element) -> Cell:
    """What a cell shows: its paragraphs, or its value where a program wrote no text."""
    kind = cell.get(f"{OFFICE}value-type", "")
    for note in cell.iterchildren(f"{OFFICE}annotation"):
        reader.pending.append(f"[comment: {reader.flat(note)}]")
    text = reader.flat(cell)
    number = kind in {"float", "currency", "percentage"} or (not kind and looks_numeric(text))
    if text:
        return Cell(text, number)
    value = cell.get(f"{OFFICE}value")
    if value is not None and (parsed := decimal(value)) is not None:
        if kind == "percentage":
            return Cell(f"{general(parsed * 100)}%", True)
        return Cell(f"{cell.get(f'{OFFICE}currency', '')} {general(parsed)}".strip(), True)
    for name in ("date-value", "time-value", "boolean-value", "string-value"):
        if found := cell.get(f"{OFFICE}{name}"):
            return Cell(str(found))
    formula = cell.get(f"{TABLE}formula", "")
    if formula and not kind:
        reader.formulas += 1
        return Cell(formula.partition(":")[2] or formula)
    return Cell("")


def _count(element: etree._Element, name: str) -> int:
    text = element.get(f"{TABLE}{name}", "1")
    return min(max(int(text), 1), 1 << 20) if text.isdecimal() and len(text) < 9 else 1


def spread(rows: dict[int, Row], region: tuple[int, int, int, int]) -> None:
    """Puts the value of merged cells of a small table into each of them."""
    cell = rows.get(region[0], {}).get(region[1])
    if cell is None:
        return
    last = min(region[3], max(column for row in rows.values() for column in row) if any(rows.values()) else 0)
    columns = range(region[1], max(last, region[1]) + 1)
    for index, row in rows.items():
        if region[0] <= index <= region[2]:
            row.update(dict.fromkeys(columns, cell._replace(region=region)))
