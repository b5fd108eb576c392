"""What an answer in JSON says: each key with its value, held against the sources by the value alone.

The keys are the asker's words and stand nowhere in a document; a unit in one, as in `fee_usd` or `days`, must be the
number's own in the sources.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

from inhouse.text import claims as wording
from inhouse.types import Json


def fields(text: str) -> list[tuple[str, Json]] | None:
    """The keys, underscores as spaces, and values at the ends of a JSON object; None where the text is none."""
    stripped = text.strip()
    if not stripped.startswith("{"):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return list(_ends("", value)) if isinstance(value, dict) else None


def _ends(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _ends(f"{key} {name}".strip().replace("_", " "), inner)
        case list():
            for inner in value:
                yield from _ends(key, inner)
        case _:
            yield key, value


def stands(key: str, value: float, numbers: Collection[tuple[str, str]], said: Collection[str]) -> bool:
    """Whether a number is in the sources or the conversation, in a unit that the key does not rule out.

    Args:
        key: of the value.
        value: the number.
        numbers: those of the sources, with their units, in the spelling of `wording.numbers`.
        said: those of the conversation.
    """
    number = wording.value_of(f"{abs(value):.10f}")
    if number in said:
        return True
    units = {unit for v, unit in numbers if v == number}
    known = {unit for _, unit in numbers if unit}
    wanted = {wording.numbers(f"1 {word}")[0].unit for word in key.split()} & known
    return bool(units) and (not wanted or not units.isdisjoint(wanted | {""}))
