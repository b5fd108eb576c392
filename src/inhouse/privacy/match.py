"""What a recognizer finds, and how many values are found again, in time linear in the text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_EXTENSION = re.compile(r",?[ \t]{0,3}\(?(?:x|ext\.?|extension|durchwahl)[ \t]{0,3}[:#]?[ \t]{0,3}\d{1,6}\b\)?", re.I)
_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_NO_SPACES = re.compile(f"[{_SCRIPTS}]")
_WITH_BORDER = re.compile(rf"[^\W{_SCRIPTS}]")
_FULL_WIDTH = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: 0x20, 0x30FC: 0x2D, 0x2212: 0x2D, 0x2010: 0x2D}


class Match(NamedTuple):
    """Personal data in a text; `sure` if its shape or the words around it prove the kind."""

    kind: str
    start: int
    end: int
    sure: bool


class Parts:
    """Parts of a text that do not overlap."""

    def __init__(self, parts: Iterable[tuple[int, int]] = ()) -> None:
        self._parts = sorted(parts)

    def overlapping(self, start: int, end: int) -> list[tuple[int, int]]:
        """Those that have a character between start and end, the last first."""
        at = bisect_left(self._parts, (end,))
        found = []
        while at and self._parts[at - 1][1] > start:
            at -= 1
            found.append(self._parts[at])
        return found

    def add(self, start: int, end: int) -> None:
        self._parts.insert(bisect_left(self._parts, (start, end)), (start, end))

    def remove(self, start: int, end: int) -> None:
        del self._parts[bisect_left(self._parts, (start, end))]


def with_extension(text: str, end: int) -> int:
    """Where the extension of the phone number that ends at `end` ends; `end` where it has none."""
    match = _EXTENSION.match(text, end)
    return match.end() if match else end


def whole(value: str, pattern: str) -> str:
    """A pattern for a value that stands by itself; letters of scripts without spaces have no borders."""
    before = rf"(?<![^\W{_SCRIPTS}])" if _has_border(value[0]) else ""
    after = rf"(?![^\W{_SCRIPTS}])" if _has_border(value[-1]) else ""
    return f"{before}{pattern}{after}"


def spaced(text: str) -> str:
    """The text, as long as before, with spaces for letters of scripts without spaces, and plain for full-width digits:
    so that numbers in Chinese or Japanese have borders."""
    return text if text.isascii() else _NO_SPACES.sub(" ", text.translate(_FULL_WIDTH))


def with_values(text: str, new: Mapping[str, str]) -> str:
    """The text with each value that stands by itself replaced, the longest first.

    Values are looked up, not searched for: an alternative for each would try all of them at each character.
    """
    lengths: dict[str, set[int]] = {}
    for value in new:
        if len(value) > 1 or spaced(value).strip():
            lengths.setdefault(value[0], set()).add(len(value))
    longest = {first: sorted(some, reverse=True) for first, some in lengths.items()}
    done, at = [], 0
    for start, first in enumerate(text):
        for length in longest.get(first, ()) if start >= at else ():
            value = text[start : start + length]
            if len(value) == length and value in new and _stands_alone(text, start, start + length):
                done += [text[at:start], new[value]]
                at = start + length
                break
    return "".join([*done, text[at:]])


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit goes on before or after the part, as `whole` has it."""
    before, after = _WITH_BORDER.match(text[max(start - 1, 0) : start]), _WITH_BORDER.match(text[end : end + 1])
    return not (before and _has_border(text[start])) and not (after and _has_border(text[end - 1]))


def _has_border(character: str) -> bool:
    return character.isalnum() and bool(spaced(character).strip())
