"""What a tool returns as JSON: dates and times as ISO 8601 texts, decimals as numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

from inhouse.types import Json

MOST_BYTES = 1_000_000  # of a result as JSON text
MOST_DEPTH = 50


def result_of(value: object) -> Json:
    """The JSON value.

    Raises:
        ValueError: it has no JSON form, or is too large; the message says where.
    """
    found = _json(value, "the result", 0)
    size = len(json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise ValueError(f"the result has {size:,} bytes, at most {MOST_BYTES:,} are allowed")
    return found


def _json(value: object, at: str, depth: int) -> Json:
    if depth > MOST_DEPTH:
        raise ValueError(f"{at[:80]}... is nested more than {MOST_DEPTH} levels deep")
    match value:
        case Enum():
            return _json(value.value, at, depth)
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case Decimal() if value.is_finite():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime() | date() | time():
            return value.isoformat()
        case UUID():
            return str(value)
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"{at} has the key {key!r}, which is not a text")
            return {str(key): _json(inner, f"{at}.{key}", depth + 1) for key, inner in value.items()}
        case list() | tuple():
            return [_json(inner, f"{at}[{n}]", depth + 1) for n, inner in enumerate(value)]
    shown = repr(value) if isinstance(value, float | Decimal) else f"of type {type(value).__name__}"
    raise ValueError(f"{at} is {shown}, which has no JSON form")
