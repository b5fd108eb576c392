"""Rows on disk: OpenAI's fine-tuning format, one JSON a line, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from inhouse.types import Json


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text by way of a temporary file beside it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_rows(path: Path, rows: Iterable[Json]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
