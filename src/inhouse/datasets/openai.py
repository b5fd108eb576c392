"""Rows in the shape of OpenAI's fine-tuning files, for services that train on these.

A row that `inhouse import openai` made holds the text that it was read from. Where it still says the same, that text is
written, so that nothing changes on the way; a row that was edited, or that came from elsewhere, is put together anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from inhouse.datasets.importers.files import entries_of, records
from inhouse.datasets.importers.imported import Conversation, Report, Skipped
from inhouse.datasets.importers.openai import ORIGINAL, row_of
from inhouse.errors import InputError
from inhouse.files import replacing
from inhouse.types import Json

_OWN = ("messages", "chosen", "rejected", "tools", "parallel_tool_calls", "answer")


def export_rows(files: Sequence[Path], out: Path, mark: bool = False) -> Counter[str]:
    """Writes the rows of files that `inhouse import` wrote, one JSON object a line, whole or not at all.

    Args:
        files: conversations, preference rows, or questions with a reference; not of more than one kind.
        out: the file to write.
        mark: begin with a byte order mark, which Azure asks for.

    Returns:
        How many rows were written as they had been read ("unchanged"), and how many were put together ("composed").

    Raises:
        InputError: a file cannot be read, or a line is no row that can be exported.
    """
    if any(out.exists() and out.resolve() == file.resolve() for file in files):
        raise InputError(f"{out}: is one of the files to export", "choose another file with --out")
    counts: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    with replacing(out) as partial, partial.open("w", encoding="utf-8", newline="") as handle:
        handle.write("\ufeff" if mark else "")
        for place, row in _rows(files):
            text, kind = _original(row), _kind(row, place)
            kinds.setdefault(kind, place)
            if len(kinds) > 1:
                (one, first), (other, second) = kinds.items()
                what = f"{second} is a {other} row, and {first} a {one} row: a fine-tuning file holds one kind"
                raise InputError(what, "export each file by itself")
            counts["unchanged" if text else "composed"] += 1
            handle.write((text or json.dumps(composed(row), ensure_ascii=False)) + "\n")
    return counts


def composed(row: Mapping[str, Json]) -> dict[str, Json]:
    """A row of ours in OpenAI's shape."""
    messages, tools = list(row["messages"]), row.get("tools")
    more = {key: row[key] for key in ("parallel_tool_calls",) if key in row}
    if "rejected" in row:
        given = {"messages": messages, **({"tools": tools} if tools else {}), **more}
        return {"input": given, "preferred_output": row["chosen"], "non_preferred_output": row["rejected"]}
    answer = {"reference_answer": row["answer"]} if isinstance(row.get("answer"), str) else {}
    return {"messages": messages, **({"tools": tools} if tools else {}), **more, **answer}


def _original(row: Mapping[str, Json]) -> str:
    """The text that the row was read from, if it still says the same; else ""."""
    metadata = row.get("metadata")
    text = metadata.get(ORIGINAL) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return ""
    try:
        made = row_of(json.loads(text), str(row.get("id", "")), "", Report())
    except (ValueError, RecursionError):
        return ""
    again = {} if isinstance(made, Skipped) else _said(made)
    one_line = text.replace("\r", "").replace("\n", " ")  # an element of a list that was written over several lines
    return one_line if again == {k: row[k] for k in _OWN if k in row} else ""


def _said(made: Conversation) -> dict[str, Json]:
    row = made.row()
    return {k: row[k] for k in _OWN if k in row}


def _kind(row: Mapping[str, Json], place: str) -> str:
    if not isinstance(row.get("messages"), list):
        raise InputError(f"{place}: not a row of `inhouse import`: it has no `messages`", "export what it wrote")
    if "model" in row and "answer" in row:
        raise InputError(f"{place}: a stored completion, which is no row for training", "leave this file out")
    return "preference" if "rejected" in row else "reference" if "answer" in row else "conversation"


def _rows(files: Sequence[Path]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    for entry in entries_of(files):
        for _, number, row, error, _ in records(entry):
            if row is None:
                raise InputError(f"{entry.place}:{number}: {error}", "repair the line, or import again")
            yield f"{entry.place}:{number}", row
