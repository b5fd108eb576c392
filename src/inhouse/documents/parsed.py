"""What parsing a file gives, or why it cannot; shared by the parsers of all formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from inhouse.errors import InputError
from inhouse.types import Record


class Unreadable(InputError):
    """A file that cannot be read; the message is the reason as the report gives it."""


class Parsed(Record):
    """`title` is what the file's metadata says, which may be empty; `note` tells what was left out of `text`."""

    text: str
    title: str = ""
    note: str = ""
    meta: dict[str, str] = Field(default_factory=dict)


def table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose header is the first row; empty rows and columns are left out."""
    cells = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max(map(len, cells), default=0)
    used = [i for i in range(width) if any(i < len(row) and row[i] for row in cells)]
    lines = ["| " + " | ".join(row[i] if i < len(row) else "" for i in used) + " |" for row in cells]
    return "\n".join([*lines[:1], "|" + " --- |" * len(used), *lines[1:]]) if lines else ""
