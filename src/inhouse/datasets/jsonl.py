"""Rows on disk in OpenAI's fine-tuning format: one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from inhouse.files import write_text
from inhouse.types import Json


def write_rows(path: Path, rows: Iterable[Json]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
