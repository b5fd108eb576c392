"""The result of parsing a file, the error when it cannot be parsed, and the Markdown that several formats share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from pydantic import Field

from inhouse.errors import InputError
from inhouse.types import Place, Record

MARKDOWN = {"escape_underscores": False, "escape_asterisks": False, "table_infer_header": True}
"""Options of markitdown's converters."""
# An image cannot hold another one, and its parentheses nest once: so no part of a text is read again and again.
_IMAGE = re.compile(r"!\[([^\[\]]*)\]\((?:[^()]|\([^()]*\))*+\)")

_GAP = re.compile(r"(?<!\\)\|")


class Unreadable(InputError):
    """A file that cannot be read; the message is the reason, as the report shows it."""


class Parsed(Record):
    """`title` is the one in the file's metadata and may be empty; `note` says what is missing from `text`.

    `meta` has front matter, or the sender and date of a mail; `places` where each line stands, in a format with pages.
    """

    text: str
    title: str = ""
    note: str = ""
    meta: dict[str, str] = Field(default_factory=dict)
    places: tuple[Place, ...] = ()


def table(rows: Iterable[Sequence[str]], header: bool = True) -> str:
    """A Markdown table whose header is the first row, or empty; empty rows and columns are left out."""
    cells = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max(map(len, cells), default=0)
    used = [i for i in range(width) if any(i < len(row) and row[i] for row in cells)]
    lines = ["| " + " | ".join(row[i] if i < len(row) else "" for i in used) + " |" for row in cells]
    lines = lines if header or not lines else ["|" + "  |" * len(used), *lines]
    return "\n".join([*lines[:1], "|" + " --- |" * len(used), *lines[1:]]) if lines else ""


def one_line(rows: Sequence[Sequence[str]], header: bool = True) -> str:
    """A table in one line, for a cell that holds it: "In: 15, Out: 28; In: 16, Out: 29"."""
    names = rows[0] if header and len(rows) > 1 else [""] * max(map(len, rows), default=0)
    lines = (
        ", ".join(f"{name}: {cell}" if name else cell for name, cell in zip_longest(names, row, fillvalue="") if cell)
        for row in rows[header and len(rows) > 1 :]
    )
    return "; ".join(filter(None, lines))


def in_one_line(text: str) -> str:
    """The text; a table that `table` or grid.py wrote, row after row in one line."""
    if not text.startswith("| "):
        return text
    lines = [[cell.strip().replace("\\|", "|") for cell in _GAP.split(line[1:-1])] for line in text.split("\n")]
    return one_line([lines[0], *lines[2:]])


def images_as_text(markdown: str, keep_alt: bool = True) -> str:
    """The text with each image replaced by its description, or by nothing."""
    return _IMAGE.sub(r"\1" if keep_alt else "", markdown)
