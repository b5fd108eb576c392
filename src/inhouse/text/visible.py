"""A text as a reader sees it: without invisible characters and with every form of a letter or digit as the plain one.

Full-width, circled, mathematical, and small letters become plain (NFKC), tag characters become what they spell, and
direction marks, joiners, and other characters without a width go. Every character keeps its place in the original
text, so that what is found in the visible text can be replaced in the original.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

import regex

_ODD = regex.compile(r"[^\x09\x0a\x20-\x7e]")
_WITHOUT_WIDTH = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TAGS = 0xE0000  # characters that spell ASCII and are never shown
_LETTERS = {0x1F1E6: 26, 0x1F150: 26, 0x1F170: 26, 0x1F130: 26}  # first letter of a row of signs: of flags, in circles
_CIRCLE = "⭕"  # stands for an O
_SPACE, _DECIMAL = " ", "Nd"
MOST_SEEN = 8  # characters for one; the one with more (U+FDFA, 18) stays, or a short text would become a long one


class Visible(NamedTuple):
    """The visible text. `starts` has for each of its characters the offset in the original, `ends` where that ends."""

    text: str
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the visible text stands in the original."""
        return (self.starts[start], self.ends[end - 1]) if self.starts else (start, end)


def visible(text: str) -> Visible:
    """The text as it is seen; the text itself where it is plain ASCII."""
    if not _ODD.search(text):
        return Visible(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for at, char in enumerate(text):
        seen = char if "\x20" <= char <= "\x7e" or char in "\n\t" else _seen(char)
        parts.append(seen)
        starts += [at] * len(seen)
        ends += [at + 1] * len(seen)
    return Visible("".join(parts), tuple(starts), tuple(ends))


@lru_cache(maxsize=4096)
def _seen(char: str) -> str:
    """What is seen of a character: nothing, a space, or plain characters."""
    code = ord(char)
    if 0x20 <= code - _TAGS <= 0x7E:
        return chr(code - _TAGS)
    for first, count in _LETTERS.items():
        if first <= code < first + count:
            return chr(ord("a") + code - first)
    if char == _CIRCLE:
        return "o"
    if _WITHOUT_WIDTH.match(char):
        return ""
    if char.isspace() or code in (0x2800, 0x3164, 0xFFA0):  # the blank of Braille, and fillers
        return _SPACE
    if unicodedata.category(char) == _DECIMAL:
        return str(unicodedata.digit(char))
    if unicodedata.category(char) == "So" and (sign := _letter_sign(char)):
        return sign
    plain = unicodedata.normalize("NFKC", char)
    return plain if len(plain) <= MOST_SEEN else char


def _letter_sign(char: str) -> str:
    """The letter or digit of a sign that is one in a frame, such as a negative squared A."""
    before, _, last = unicodedata.name(char, "").rpartition(" ")
    framed = before.endswith(("LETTER", "DIGIT")) and ("CIRCLED" in before or "SQUARED" in before)
    return last.lower() if framed and len(last) == 1 else ""
