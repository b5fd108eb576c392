"""Old binary Excel workbooks (.xls) to Markdown, through xlrd, which knows their number formats and what is hidden."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from inhouse.documents.container import OLE, refuse_encrypted
from inhouse.documents.drawing import lowered, raised
from inhouse.documents.grid import Cell, Sheet, counted, markdown
from inhouse.documents.number_format import NumberFormat, number_format
from inhouse.documents.parsed import Parsed, Unreadable


def is_binary_workbook(data: bytes) -> bool:
    """Whether a file is of the old binary kind; many programs call HTML, text, or a new workbook .xls."""
    return data.startswith((OLE, b"\x09\x08", b"\x09\x04", b"\x09\x02", b"\x09\x00"))


def read_old_xls(data: bytes) -> Parsed:
    """Returns a binary workbook's visible sheets; values are written as the spreadsheet shows them.

    Raises:
        Unreadable: encrypted, damaged, or another kind of file.
    """
    import xlrd

    refuse_encrypted(data)
    try:
        book = xlrd.open_workbook(file_contents=data, formatting_info=True, ragged_rows=True, logfile=io.StringIO())
    except (xlrd.XLRDError, xlrd.compdoc.CompDocError) as error:
        if "encrypted" in str(error).lower():
            raise Unreadable("encrypted: it needs a password") from error
        raise Unreadable(f"damaged or no Excel workbook ({error})") from error
    left_out: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    texts, notes = [], []
    for source in book.sheets():
        if source.visibility:
            left_out["hidden sheet"] += 1
            continue
        sheet = _sheet(book, source, errors)
        text, complete = markdown(sheet)
        rows, columns = sheet.hidden()
        left_out.update({"hidden row": rows, "hidden column": columns})
        texts.append(f"## {sheet.name}\n\n{text}" if text else "")
        notes += [] if complete else [f"merged cells of sheet {sheet.name} are too many to repeat their values"]
    first = [f"{counted(left_out)} skipped"] if left_out.total() else []
    if errors:
        first.append(f"{counted(Counter({'cell with an error': errors.total()}))} ({', '.join(errors)})")
    return Parsed(text="\n\n".join(filter(None, texts)), note="; ".join([*first, *notes]))


def _sheet(book: Any, source: Any, errors: Counter[str]) -> Sheet:
    sheet = Sheet(source.name)
    sheet.regions = [(top, left, bottom - 1, right - 1) for top, bottom, left, right in source.merged_cells]
    sheet.hidden_rows = {row for row, info in source.rowinfo_map.items() if info.hidden}
    sheet.hidden_columns = [(column, column) for column, info in source.colinfo_map.items() if info.hidden]
    for row in range(source.nrows):
        for column, cell in enumerate(source.row(row)):
            shown = _cell(book, source, row, column, cell)
            if shown.text.strip():
                sheet.rows.setdefault(row, {})[column] = shown
                if cell.ctype == 5:
                    errors[shown.text] += 1
    for (row, column), note in source.cell_note_map.items():
        if row not in sheet.hidden_rows and not sheet.is_hidden_column(column):
            about = sheet.rows.get(row, {}).get(column, Cell("")).text or "an empty cell"
            sheet.lines.append(f"[comment: {' '.join(note.text.split())} (on {about})]")
    return sheet


def _cell(book: Any, source: Any, row: int, column: int, cell: Any) -> Cell:
    form = _format(book, cell.xf_index)
    match cell.ctype:
        case 1:
            runs = source.rich_text_runlist_map.get((row, column))
            return Cell(form.text(_rich(book, cell.value, runs) if runs else cell.value))
        case 2 | 3:
            return Cell(form.number(repr(cell.value)), not form.dates)
        case 4:
            return Cell("TRUE" if cell.value else "FALSE")
        case 5:
            from xlrd.biffh import error_text_from_code

            return Cell(error_text_from_code.get(cell.value, "#ERROR"))
    return Cell("")


def _format(book: Any, style: int | None) -> NumberFormat:
    known = style is not None and style < len(book.xf_list)
    entry = book.format_map.get(book.xf_list[style].format_key) if known else None
    return number_format("General" if entry is None else entry.format_str, bool(book.datemode))


def _rich(book: Any, text: str, runs: list[tuple[int, int]]) -> str:
    """A text with superscripts; `runs` tells from where on each font holds."""
    ends = [start for start, _ in runs[1:]] + [len(text)]
    parts = [text[: runs[0][0]]]
    for (start, font), end in zip(runs, ends, strict=True):
        shift = book.font_list[font].escapement if font < len(book.font_list) else 0
        part = text[start:end]
        parts.append(raised(part) if shift == 1 else lowered(part) if shift == 2 else part)
    return "".join(parts)
