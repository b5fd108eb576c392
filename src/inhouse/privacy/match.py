"""What a recognizer finds."""

from __future__ import annotations

import re
from typing import NamedTuple

_EXTENSION = re.compile(r",?[ \t]{0,3}\(?(?:x|ext\.?|extension|durchwahl)[ \t]{0,3}[:#]?[ \t]{0,3}\d{1,6}\b\)?", re.I)
_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_NO_SPACES = re.compile(f"[{_SCRIPTS}]")
_FULL_WIDTH = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: 0x20, 0x30FC: 0x2D, 0x2212: 0x2D, 0x2010: 0x2D}


class Match(NamedTuple):
    """Personal data in a text; `sure` if its shape or the words around it prove the kind."""

    kind: str
    start: int
    end: int
    sure: bool


def with_extension(text: str, end: int) -> int:
    """Where the extension of the phone number that ends at `end` ends; `end` where it has none."""
    match = _EXTENSION.match(text, end)
    return match.end() if match else end


def whole(value: str, pattern: str) -> str:
    """A pattern for a value that stands by itself; letters of scripts without spaces have no borders."""
    before = rf"(?<![^\W{_SCRIPTS}])" if value[0].isalnum() and spaced(value[0]).strip() else ""
    after = rf"(?![^\W{_SCRIPTS}])" if value[-1].isalnum() and spaced(value[-1]).strip() else ""
    return f"{before}{pattern}{after}"


def spaced(text: str) -> str:
    """The text, as long as before, with spaces for letters of scripts without spaces, and plain for full-width digits:
    so that numbers in Chinese or Japanese have borders."""
    return text if text.isascii() else _NO_SPACES.sub(" ", text.translate(_FULL_WIDTH))
