"""The cells of a sheet to Markdown: which of them are titles, headers and tables.

A blank row ends a table, and so do blank columns between two tables that stand side by side. Lines of one cell above a
table are text. A merged region has its value in every cell. What is hidden is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

MAX_REPEATED = 200_000  # cells of merged regions that get the region's value
_NUMERIC = re.compile(r"[^\w\s]{0,3}\s?(?:[A-Z]{3}\s)?\d[\d.,'\s]{0,30}(?:\s?[^\w\s]{1,2}|\s[A-Z]{3})?")
_YEAR = re.compile(r"(?:19|20)\d\d")

Region = tuple[int, int, int, int]
"""First row, first column, last row, last column of merged cells."""


class Cell(NamedTuple):
    """A cell's text as the spreadsheet shows it; `number` where it is a number and no date."""

    text: str
    number: bool = False
    region: Region | None = None


Row = dict[int, Cell]


class Sheet:
    """The cells of a sheet that exist, by row and column, and what is known of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[int, Row] = {}
        self.regions: list[Region] = []
        self.hidden_rows: set[int] = set()
        self.hidden_columns: list[tuple[int, int]] = []
        self.headers: set[int] = set()  # rows that the file names as headers of tables
        self.lines: list[str] = []  # comments, text of shapes

    def is_hidden_column(self, column: int) -> bool:
        return any(first <= column <= last for first, last in self.hidden_columns)

    def hidden(self) -> tuple[int, int]:
        """How many rows and columns with text are hidden."""
        rows = [row for row in self.hidden_rows if any(cell.text for cell in self.rows.get(row, {}).values())]
        columns = {c for row in self.rows.values() for c, cell in row.items() if cell.text and self.is_hidden_column(c)}
        return len(rows), len(columns)


class Table(NamedTuple):
    """What a table that was written hands on to one without a header below it."""

    columns: tuple[int, ...]
    header: tuple[str, ...]
    numeric: frozenset[int]


def markdown(sheet: Sheet) -> tuple[str, bool]:
    """The sheet as text and tables, without a heading; and whether all merged regions could be repeated."""
    complete = _repeat_regions(sheet)
    visible = {}
    for index in sorted(sheet.rows.keys() - sheet.hidden_rows):
        row = {c: cell for c, cell in sorted(sheet.rows[index].items()) if cell.text and not sheet.is_hidden_column(c)}
        if any(
            cell.region is None or cell.region[0] == index or cell.region[0] in sheet.hidden_rows
            for cell in row.values()
        ):
            visible[index] = row
        elif row:
            visible[index] = {}  # covered by regions from above: no blank row, and nothing to say
    parts: list[str] = []
    last: Table | None = None
    for block in _blocks(sheet, visible):
        written, last = _block([row for row in block if row], last)
        parts += written
    return "\n\n".join([*parts, *(["\n".join(sheet.lines)] if sheet.lines else [])]), complete


def counted(counts: Counter[str]) -> str:
    """What was counted, in words: "1 hidden sheet, 3 cells with an error"."""
    return ", ".join(f"{count} {_plural(name) if count > 1 else name}" for name, count in counts.items() if count)


def _plural(name: str) -> str:
    noun, of, rest = re.split(r"( (?:of|with) |$)", name, maxsplit=1)
    return f"{noun}s{of}{rest}"


def table(rows: Sequence[Row]) -> list[str]:
    """The rows of one table, from a document or a slide; lines of one cell above it are text."""
    titles, rest = _titles(rows)
    parts = ["\n".join(titles)] if titles else []
    if rest:
        parts += _table(rest, sorted({column for row in rest for column in row}), None)[0]
    return parts


def looks_numeric(text: str) -> bool:
    """Whether the text of a cell is a number, perhaps with a sign of a currency or unit: "$28", "4.5 %"."""
    return bool(_NUMERIC.fullmatch(text.strip()))


def _repeat_regions(sheet: Sheet) -> bool:
    """Puts the value of each merged region into all its cells, as far as the sheet's cells reach."""
    filled = [(i, c) for i, row in sheet.rows.items() for c, cell in row.items() if cell.text]
    bottom, right = max((i for i, _ in filled), default=0), max((c for _, c in filled), default=0)
    left = MAX_REPEATED
    for region in sheet.regions:
        first_row, first_column, last_row, last_column = region
        cell = sheet.rows.get(first_row, {}).get(first_column)
        if cell is None or not cell.text:
            continue
        rows = range(first_row, min(last_row, bottom) + 1)
        columns = range(first_column, min(last_column, right) + 1)
        left -= len(rows) * len(columns)
        if left < 0:
            return False
        for row in rows:
            own = sheet.rows.setdefault(row, {})
            own.update(dict.fromkeys(columns, cell._replace(region=region)))
    return True


def _blocks(sheet: Sheet, visible: Mapping[int, Row]) -> Iterator[list[Row]]:
    """Runs of rows without a blank row or a named header between them; hidden rows are no blank rows."""
    block: list[Row] = []
    before = 0
    hidden = sorted(sheet.hidden_rows)
    for index, row in visible.items():
        gap = index - before - 1
        apart = gap and gap > _between(hidden, before, index)
        named = index in sheet.headers and not any(cell.region for cell in visible.get(before, {}).values())
        if block and (apart or (named and _titles(block)[1])):
            yield block
            block = []
        block.append(row)
        before = index
    if block:
        yield block


def _between(numbers: Sequence[int], low: int, high: int) -> int:
    from bisect import bisect

    return bisect(numbers, high - 1) - bisect(numbers, low)


def _block(rows: list[Row], last: Table | None) -> tuple[list[str], Table | None]:
    """A run of rows as text and tables; `last` is the table before it."""
    titles, rows = _titles(rows)
    parts = ["\n".join(titles)] if titles else []
    if not rows:
        return parts, last
    columns = sorted({column for row in rows for column in row})
    groups = _side_by_side(rows, columns)
    if len(groups) == 1:
        written, last = _table(rows, columns, last)
        return [*parts, *written], last
    for group in groups:
        own = [{c: row[c] for c in group if c in row} for row in rows]
        for filled, run in groupby(own, bool):
            if filled:
                written, last = _block(list(run), last)
                parts += written
    return parts, last


def _titles(rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The lines of text above a table, and its rows; all rows are lines if no row has two cells."""
    columns = sorted({column for row in rows for column in row})
    titles: list[str] = []
    for at, row in enumerate(rows):
        following = rows[at + 1] if at + 1 < len(rows) else {}
        if len(columns) > 1 and not _is_title(row, following, columns):
            return titles, list(rows[at:])
        titles.append(" ".join(_items(row)))
    return titles, []


def _is_title(row: Row, following: Row, columns: Sequence[int]) -> bool:
    if len(_items(row)) == 1:
        (first, *others), words = row, all(not cell.number for cell in following.values())
        wide = row[first].region is not None and bool(others)
        return wide or first == columns[0] or (words and len(_items(following)) > 2)
    merged = any(cell.region for cell in row.values()) or columns[0] not in row
    sparse = not merged and 2 * len(row) <= len(columns) and 2 * len(row) <= len(following)
    return sparse and not any(cell.number for cell in (*row.values(), *following.values()))


def _items(row: Row) -> list[str]:
    """The texts of a row, that of a merged region once."""
    seen: set[Region] = set()
    texts = []
    for cell in row.values():
        if cell.region is None or cell.region not in seen:
            texts.append(" ".join(cell.text.split()))
        if cell.region is not None:
            seen.add(cell.region)
    return texts


def _side_by_side(rows: Sequence[Row], columns: Sequence[int]) -> list[list[int]]:
    """The columns of each table of those that stand side by side."""
    groups: list[list[int]] = [[columns[0]]]
    gaps: list[int] = []
    for before, column in pairwise(columns):
        if column - before > 1:
            groups.append([])
            gaps.append(column - before - 1)
        groups[-1].append(column)
    result = [groups[0]]
    for gap, right in zip(gaps, groups[1:], strict=True):
        if _are_apart(rows, result[-1], right, gap):
            result.append(right)
        else:
            result[-1] = [*result[-1], *right]
    return result


def _are_apart(rows: Sequence[Row], left: Sequence[int], right: Sequence[int], gap: int) -> bool:
    """Whether columns on both sides of a gap are two tables, not one with a narrow column to set a part off."""
    if len(left) < 2 or len(right) < 2:
        return False
    if gap > 1:
        return True
    names = [[rows[0][c].text for c in side if c in rows[0]] for side in (left, right)]
    if names[0] and names[0][:1] == names[1][:1]:
        return True
    keys = [row[right[0]] for row in rows[1:] if right[0] in row]
    if sum(cell.number for cell in keys) * 2 > len(keys):
        return False
    sides = [[i for i, row in enumerate(rows) if any(c in row for c in side)] for side in (left, right)]
    return sides[0] != sides[1] or any(len(n) == 1 for n in names)


def _table(rows: list[Row], columns: Sequence[int], last: Table | None) -> tuple[list[str], Table | None]:
    """A table, or several with the same header where a line across all columns stands between its rows."""
    rows = _with_groups(rows, columns)
    depth = _header_rows(rows, columns, last)
    body = rows[depth:]
    numeric = frozenset(c for c in columns if sum(c in row and row[c].number for row in body) * 2 > len(body))
    if depth:
        header = tuple(_joined(row[c].text for row in rows[:depth] if c in row) for c in columns)
    elif last is not None and set(columns) <= set(last.columns):
        columns, header = last.columns, last.header
    else:
        header = ("",) * len(columns)
    parts: list[str] = []
    run: list[Row] = []
    for row in body:
        if len(_items(row)) == 1 and len(row) == len(columns) > 1:
            parts += [_lines(header, run, columns)] if run else []
            parts += _items(row)
            run = []
        else:
            run.append(row)
    if run or not body:
        parts.append(_lines(header, run, columns))
    return parts, Table(tuple(columns), header, numeric)


def _with_groups(rows: list[Row], columns: Sequence[int]) -> list[Row]:
    """The rows; where the first one names groups of the columns that the second one names, each name in its group."""
    if len(rows) < 3 or columns[0] in rows[0] or any(cell.region for cell in rows[0].values()):
        return rows
    starts = sorted(rows[0])
    words = not any(c.number and not _YEAR.fullmatch(c.text) for row in rows[:2] for c in row.values())
    if len(starts) < 2 or 2 * len(starts) > len(rows[1]) or not words:
        return rows
    filled = {}
    for start, end in pairwise([*starts, columns[-1] + 1]):
        region = (0, start, 0, end - 1)
        filled.update({c: rows[0][start]._replace(region=region) for c in columns if start <= c < end})
    return [filled, *rows[1:]]


def _header_rows(rows: Sequence[Row], columns: Sequence[int], last: Table | None) -> int:
    """How many rows the header has: none where the first row is one of numbers, like those below it."""
    first, body = rows[0], rows[1:]
    if not body and last is not None and set(columns) <= set(last.columns):
        return 0
    numbers = [c for c, cell in first.items() if cell.number and not _YEAR.fullmatch(cell.text)]
    if numbers and not _counts([first[c].text for c in numbers]):
        numeric = {c for c in columns if sum(c in row and row[c].number for row in body) * 2 > len(body)}
        follows = last is not None and set(columns) <= set(last.columns) and bool(set(numbers) & last.numeric)
        if follows or not body or numeric <= set(numbers):
            return 0
    depth = 1
    for cell in first.values():
        if cell.region is not None and cell.region[3] > cell.region[1] and len(rows) > 2:
            below = rows[1].values()
            depth = 2 if below and not any(c.number and not _YEAR.fullmatch(c.text) for c in below) else depth
    return depth


def _counts(texts: Sequence[str]) -> bool:
    """Whether numbers are 1, 2, 3 ..., as names of columns may be."""
    if len(texts) < 3 or not all(text.isdecimal() and len(text) < 10 for text in texts):
        return False
    return all(int(b) - int(a) == 1 for a, b in pairwise(texts))


def _joined(texts: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(texts))


def _lines(header: Sequence[str], rows: Iterable[Row], columns: Sequence[int]) -> str:
    empty = Cell("")
    cells = [header, *([row.get(c, empty).text for c in columns] for row in rows)]
    lines = ["| " + " | ".join(" ".join(text.replace("|", "\\|").split()) for text in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(columns), *lines[1:]])
