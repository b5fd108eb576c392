"""How pages show figures, times and settings: template filters. None of them makes HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from inhouse.types import Json

NOTHING = "–"


def when(at: str) -> str:
    """An ISO time as "2026-11-25 14:03", UTC."""
    time = _moment(at)
    return f"{time:%Y-%m-%d %H:%M}" if time else at


def ago(at: str, now: datetime) -> str:
    """How long ago an ISO time was, in the largest unit."""
    time = _moment(at)
    if time is None:
        return at
    seconds = max((now - time).total_seconds(), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def _moment(at: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def count(value: float | None) -> str:
    return _of(value, "{:,.0f}".format)


def _of(value: float | None, shown: Callable[[float], str]) -> str:
    return NOTHING if value is None or math.isnan(value) else shown(value)


def percent(share: float | None, digits: int = 0) -> str:
    return _of(share, lambda s: f"{100 * s:.{digits}f}%")


def points(share: float | None) -> str:
    """A share in points of a hundred."""
    return _of(share, lambda s: f"{100 * s:.1f}")


def signed(share: float | None) -> str:
    return _of(share, lambda s: f"{100 * s:+.1f}")


def seconds(value: float | None) -> str:
    """A time: milliseconds below one second."""
    return _of(value, lambda s: f"{1000 * s:.0f} ms" if s < 1 else f"{s:.1f} s")


def usd(value: float | None) -> str:
    return _of(value, lambda v: f"${v:,.2f}" if v >= 1 else f"${v:.4f}" if v >= 0.001 else f"${v:.6f}")


def size(chars: int) -> str:
    return f"{chars:,}" if chars < 10_000 else f"{chars / 1000:,.0f} k"


def query(values: Mapping[str, Json], **changed: Json) -> str:
    """The query string of `values` with changes, empty ones left out."""
    return "?" + urlencode({k: v for k, v in {**values, **changed}.items() if v not in ("", None)})


def box(edges: Sequence[float]) -> str:
    """A box on a page as an address has it."""
    return ",".join(f"{edge:.3f}" for edge in edges)


def flat(values: Mapping[str, Json], prefix: str = "") -> list[tuple[str, str]]:
    """Settings by dotted key, with their values as text."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            pairs += flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            pairs.append((name, ", ".join(map(str, value)) or NOTHING))
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)  # as in a project file
            pairs.append((name, NOTHING if value in ("", None, {}) else text))
    return pairs


FILTERS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (when, ago, count, percent, points, signed, seconds, usd, size, query, box, flat)
}
