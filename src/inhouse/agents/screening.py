"""What a model may read of what a tool returned: its texts, passed through the rail against indirect injection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from inhouse.types import Json

LEAST_WORDS = 4  # of a text that may be part of an order
Screen = Callable[[str], Awaitable[str]]
"""Returns the text as a model may read it, the same one if nothing is wrong with it."""


async def screened(value: Json, screen: Screen | None) -> Json:
    """The value with its texts screened: all of them at once, since an order may be spread over several, and one by one
    only if something is wrong. If the parts are harmless alone, only the screened text of the whole is left.

    Texts of fewer than LEAST_WORDS words, such as names, days, and amounts, are looked at alone: joined, a harmless
    list of free times reads like a strange text.
    """
    if screen is None:
        return value
    short = {text: await screen(text) for text in dict.fromkeys(_texts(value)) if len(text.split()) < LEAST_WORDS}
    value = _replaced(value, short)
    texts = [text for text in _texts(value) if len(text.split()) >= LEAST_WORDS]
    if not texts:
        return value
    whole = "\n".join(texts)
    clean = await screen(whole)
    if clean == whole:
        return value
    parts = {text: await screen(text) for text in dict.fromkeys(texts)}
    replaced = _replaced(value, parts)
    left = "\n".join(text for text in _texts(replaced) if len(text.split()) >= LEAST_WORDS)
    return replaced if await screen(left) == left else clean


def _texts(value: Json) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield key
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _replaced(value: Json, parts: dict[str, str]) -> Json:
    match value:
        case str():
            return parts.get(value, value)
        case dict():
            return {parts.get(key, key): _replaced(inner, parts) for key, inner in value.items()}
        case list():
            return [_replaced(inner, parts) for inner in value]
    return value
