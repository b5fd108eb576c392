"""Markdown tables: their cells, and each row as a sentence that stands by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

REMARKS = frozenset(["note", "notes", "remark", "remarks", "comment", "comments"])  # columns that nobody asks for
_RULE_CELL = re.compile(r":?-+:?")
_CELL_GAP = re.compile(r"(?<!\\)\|")


class Row(NamedTuple):
    """A row with the names of its columns, and where its line is in the text."""

    header: tuple[str, ...]
    cells: tuple[str, ...]
    start: int
    end: int


class Table(NamedTuple):
    """A table: the span of its text, where its rows begin, the names of its columns, and the rows that have as many
    cells as the header."""

    start: int
    end: int
    body: int
    header: tuple[str, ...]
    rows: tuple[Row, ...]

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
        if line.count("|") > 1:
            lines.append((at, at + len(line)))
        elif lines:
            if table := _table(text, lines):
                yield table
            lines = []
        at += len(line) + 1


def row_sentence(row: Row, keys: int, about: str = "") -> str:
    """The row as a sentence: "Fee schedule: Money order: Fee $2.30 (up to $900)."; remarks stand in brackets.

    Args:
        row: of a table.
        keys: how many of its cells name it, from `Table.keys`; the first one if 0.
        about: what the table is about.
    """
    count = max(keys, 1)
    named = ", ".join(filter(None, row.cells[:count]))
    pairs = zip(row.header[count:], row.cells[count:], strict=True)
    stated = [(column, cell) for column, cell in pairs if cell]
    values = ", ".join(f"{column} {cell}".strip() for column, cell in stated if column.lower() not in REMARKS)
    remarks = "".join(f" ({cell.rstrip('.')})" for column, cell in stated if column.lower() in REMARKS)
    return (": ".join(filter(None, (about, named, values))).rstrip(".") + remarks).rstrip() + "."


def _table(text: str, lines: list[tuple[int, int]]) -> Table | None:
    cells = [_cells(text[start:end]) for start, end in lines]
    rule = cells[1] if len(cells) > 2 else ()
    if len(cells[0]) < 2 or not any(rule) or not all(_RULE_CELL.fullmatch(c) for c in rule if c):
        return None
    header = cells[0]
    rows = tuple(
        Row(header, own, *span)
        for own, span in zip(cells[2:], lines[2:], strict=True)
        if len(own) == len(header) and any(own)
    )
    return Table(lines[0][0], lines[-1][1], lines[2][0], header, rows) if rows else None


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return tuple(" ".join(c.replace("\\|", "|").split()) for c in _CELL_GAP.split(inner))
