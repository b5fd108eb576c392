"""Markdown tables: their cells, and each row as a sentence that stands by itself.

Tables of reports are not as plain as Markdown has them: a title may stand in the header, a second row may go on with
the names of the columns, and a row with nothing but a name ("Current assets:") groups those below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

REMARKS = frozenset(["note", "notes", "remark", "remarks", "comment", "comments"])  # columns that nobody asks for
_RULE = re.compile(r"[ \t]*+\|?(?:[ \t]*+:?-*+:?[ \t]*+(?:\||$))*+[ \t]*+")
_CELL_GAP = re.compile(r"(?<!\\)\|")
_TOTAL = re.compile(
    r"(?:sub)?totals?\b|summe\b|gesamt|totale?\b|totaal\b|合计|合計|小计|小計|总计|總計|итого", re.IGNORECASE
)
_VALUE = re.compile(r".*?(?:[$€£¥] ?\d|\d ?%|\d[,.]\d{3}\b)|\W*\d{1,3}(?:[.,]\d{1,2})?\W*$")  # not a column's name
_EMPHASIS = re.compile(r"\*\*.+\*\*|__.+__|.+:")
HEADER_ROWS = 4  # names of columns may go on for as many rows


class Row(NamedTuple):
    """A row with the names of its columns, and where its line is in the text. `group` names the rows that it is one of,
    where a row of the table holds nothing but that name."""

    header: tuple[str, ...]
    cells: tuple[str, ...]
    start: int
    end: int
    group: str = ""


class Table(NamedTuple):
    """A table: the span of its text, where its rows begin, the names of its columns, its rows, and the title in its
    header, if there is one. Header and rows have equally many cells: those that lack some get empty ones."""

    start: int
    end: int
    body: int
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""

    @property
    def keys(self) -> int:
        """How many columns from the left it takes to tell the rows apart; 0 where not even all but one do."""
        for count in range(1, len(self.header)):
            if len({tuple(c.casefold() for c in row.cells[:count]) for row in self.rows}) == len(self.rows):
                return count
        return 0


def tables(text: str) -> Iterator[Table]:
    """The tables of a Markdown text, in order: a header, a line of dashes, and rows."""
    lines: list[tuple[int, int]] = []
    at = 0
    for line in [*text.split("\n"), ""]:
        if "|" in line:
            lines.append((at, at + len(line)))
        elif lines:
            rules = [n for n in range(1, len(lines)) if _is_rule(text[slice(*lines[n])])]
            for rule, following in zip(rules, [*rules[1:], len(lines) + 1], strict=False):
                if table := _table(text, lines[rule - 1], lines[rule + 1 : following - 1]):
                    yield table
            lines = []
        at += len(line) + 1


def row_sentence(row: Row, keys: int, about: str = "") -> str:
    """The row as a sentence: "Fee schedule: Service Money order: Fee $2.30 (up to $900)."; remarks stand in brackets.

    Args:
        row: of a table.
        keys: how many of its cells name it, from `Table.keys`; the first one if 0.
        about: what the table is about.
    """
    count = max(keys, 1)
    named = ", ".join(_pair(column, cell) for column, cell in zip(row.header[:count], row.cells, strict=False) if cell)
    pairs = zip(row.header[count:], row.cells[count:], strict=True)
    stated = [(column, cell) for column, cell in pairs if cell]
    values = ", ".join(_pair(column, cell) for column, cell in stated if column.lower() not in REMARKS)
    remarks = "".join(f" ({cell.rstrip('.')})" for column, cell in stated if column.lower() in REMARKS)
    parts = (part.rstrip(":") for part in (about, row.group, named, values))
    return (": ".join(filter(None, parts)).rstrip(".") + remarks).rstrip() + "."


def cell_starts(text: str, row: Row) -> list[int]:
    """Where the row's cells begin in the text; those that it lacks begin at its end."""
    line = text[row.start : row.end]
    inner = len(line) - len(line.lstrip())
    gaps = [gap.end() for gap in _CELL_GAP.finditer(line)]
    starts = gaps if line[inner : inner + 1] == "|" else [inner, *gaps]
    return [row.start + at for at in (starts + [len(line)] * len(row.cells))[: len(row.cells)]]


def _pair(column: str, cell: str) -> str:
    """The cell with the name of its column, unless it begins with that ("Article 5")."""
    own = cell.casefold().removeprefix(column.casefold())
    return cell if not column or (len(own) < len(cell) and not own[:1].isalnum()) else f"{column} {cell}"


def _table(text: str, first: tuple[int, int], lines: Sequence[tuple[int, int]]) -> Table | None:
    found = [_cells(text[start:end]) for start, end in (first, *lines)]
    width = max(map(len, found))
    header, *body = [(*cells, *[""] * (width - len(cells))) for cells in found]
    if len(found[0]) < 2 or not body:
        return None
    taken, header, title = _header(header, body)
    rows = tuple(_rows(header, len(found[0]), body[taken:], lines[taken:]))
    return Table(first[0], lines[-1][1], lines[taken][0], header, rows, title) if rows else None


def _header(header: tuple[str, ...], body: Sequence[tuple[str, ...]]) -> tuple[int, tuple[str, ...], str]:
    """How many rows belong to the header, the names of the columns, and the title of the table."""
    if not any(header):
        return (1, body[0], "") if _may_be_header(body) else (0, header, "")
    above = [header]
    if not header[0] or sum(map(bool, header)) == 1:
        for row in body[: min(HEADER_ROWS, len(body) - 1)]:
            if row[0] or not any(row) or any(map(_VALUE.match, row)):
                break
            above.append(row)
    if len(above) == 1:
        return 0, header, ""
    titles = [next(filter(None, row)) for row in above if sum(map(bool, row)) == 1]
    *spanning, last = [row for row in above if sum(map(bool, row)) > 1] or above[-1:]
    columns = zip(*map(_spread, spanning), last, strict=True)
    names = tuple(" ".join(dict.fromkeys(filter(None, column))) for column in columns)
    return len(above) - 1, names, ", ".join(dict.fromkeys(title.rstrip(" ,:") for title in titles))


def _may_be_header(body: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first row below an empty header names the columns: it has no figures, and all others have one."""
    first, *others = body
    figures = [any(c.isdigit() for cell in row for c in cell) for row in others]
    return (
        all(first) and len(set(first)) == len(first) and not any(c.isdigit() for c in "".join(first)) and all(figures)
    )


def _spread(row: tuple[str, ...]) -> tuple[str, ...]:
    """The names with each also in the empty cells after it, since it spans them."""
    filled: list[str] = []
    for n, cell in enumerate(row):
        filled.append(cell or (filled[-1] if n > 1 else ""))
    return tuple(filled)


def _rows(
    header: tuple[str, ...], columns: int, body: Sequence[tuple[str, ...]], spans: Sequence[tuple[int, int]]
) -> Iterator[Row]:
    groups: list[str] = []
    used = True  # whether a row has these groups
    last = max((n for n, cells in enumerate(body) if any(cells)), default=0)
    for n, (cells, span) in enumerate(zip(body, spans, strict=True)):
        if n < last and _is_group(cells, columns):
            groups = [] if used else groups
            groups.append(cells[0].strip("*_ ").rstrip(":"))
            used = False
        elif any(cells):
            groups = [] if used and _TOTAL.match(cells[0].strip("*_ ")) else groups
            yield Row(header, cells, *span, ", ".join(groups))
            used = True


def _is_group(cells: tuple[str, ...], columns: int) -> bool:
    """Whether a row holds one name alone: in its first cell, or in every cell, as merged ones are read."""
    first, *others = cells
    if not any(c.isalpha() for c in first):
        return False
    if any(others):
        return columns > 2 and len(set(cells[:columns])) == 1 and len(first) > 3
    return columns > 2 or bool(_EMPHASIS.fullmatch(first))


def _is_rule(line: str) -> bool:
    return line.count("-") > 1 and bool(_RULE.fullmatch(line.rstrip()))


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return tuple(" ".join(c.replace("\\|", "|").split()) for c in _CELL_GAP.split(inner))
