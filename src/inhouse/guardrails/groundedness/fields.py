"""What an answer in JSON states: each key with its value, of which the value alone is compared with the sources.

Keys are words of the request and occur in no document. A unit in a key, as in `fee_usd` or `days`, must be the unit of
the number in the sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.text.numbers import numbers as numbers_in
from inhouse.text.words import value_of
from inhouse.types import Json


def fields(text: str) -> list[tuple[str, Json]] | None:
    """The keys, with underscores as spaces, and values at the leaves of a JSON object; None where the text is none."""
    stripped = text.strip()
    if not stripped.startswith("{"):
        return None
    try:
        value = json.loads(stripped)
        return list(_leaves("", value)) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def _leaves(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _leaves(f"{key} {name}".strip().replace("_", " "), inner)
        case list():
            for inner in value:
                yield from _leaves(key, inner)
        case _:
            yield key, value


def is_supported(key: str, value: float, evidence: Evidence) -> bool:
    """Whether a number is in the sources or the conversation, in a unit that the key does not rule out."""
    number = value_of(f"{abs(value):.10f}")
    if number in evidence.conversation:
        return True
    units = {unit for v, unit in evidence.numbers if v == number}
    known = {unit for _, unit in evidence.numbers if unit}
    wanted = {numbers_in(f"1 {word}")[0].unit for word in key.split()} & known
    return bool(units) and (not wanted or not units.isdisjoint(wanted | {""}))
