"""Codes that a text may be written in: escapes, Base64, hex, binary, Morse, Braille, spelling alphabets, ciphers.

Decoding is a guess, so only what becomes readable text counts.
"""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

USUAL = frozenset(
    word
    for line in (Path(__file__).parent / "usual.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for word in line.split()
)
"""Words by which a decoded text is recognized."""
MOST_CHARS = 20_000  # of a decoded text
PRINTABLE = 0.95
_ESCAPE = re.compile(
    r"\\{1,4}u\{?([0-9a-fA-F]{4,6})\}?|\\U([0-9a-fA-F]{8})|\\{1,4}x([0-9a-fA-F]{2})|[uU]\+([0-9a-fA-F]{4,6})\s?"
)
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}){1,2000}")
_PERCENT_CODED = re.compile(r"%25(?=[0-9a-fA-F]{2})")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2}){3,2000}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,20000}+={0,2}")
_BASE32 = re.compile(r"\b[A-Z2-7]{16,20000}+={0,6}")
_HEX = re.compile(r"(?:(?:0x|\\x|&#x)?[0-9a-fA-F]{2}[;,:\s-]{0,2}){8,9000}+")
_DECIMAL = re.compile(r"(?:(?:&#)?\b1?\d{2}\b[;,\s-]{0,3}){8,9000}+")
_OCTAL = re.compile(r"(?:\\?\b[01]?[0-7]{2}\b[;,\s-]{0,3}){8,9000}+")
_BINARY = re.compile(r"(?:\b0?[01]{7}\b[ ,\n]{0,3}){4,9000}+|[01]{56,20000}+")
_MORSE = re.compile(r"[.·•‧_‐‑‒–—−-][.·•‧_‐‑‒–—− /|\n-]{18,20000}")
_WRAPPED = re.compile(r"(?<=[A-Za-z0-9+/]{40})\s{1,3}(?=[A-Za-z0-9+/]{8})")
_MORSE_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
MORSE = dict(zip(_MORSE_SIGNS.split(), string.ascii_lowercase + string.digits, strict=True))
_BRAILLE_DOTS = (1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53)
BRAILLE = dict(zip((chr(0x2800 + n) for n in _BRAILLE_DOTS), string.ascii_lowercase, strict=True))
_SPELLING = (
    "alfa|alpha bravo charlie delta echo foxtrot golf hotel india juliet|juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey|whisky xray|x-ray yankee zulu"
)
_SPELLED = {word: words[0] for words in _SPELLING.split() for word in words.split("|")}
_PIG = re.compile(r"\b([a-z]{1,20})ay\b", re.IGNORECASE)
_ATBASH = str.maketrans(string.ascii_letters, string.ascii_lowercase[::-1] + string.ascii_uppercase[::-1])


def unescaped(text: str) -> str:
    """The text with escapes of programs, URLs, and mails replaced by what they stand for."""
    if "\\" in text or "+" in text:
        text = _ESCAPE.sub(lambda m: _char(next(filter(None, m.groups()))), text)
    if "%" in text:
        text = _PERCENT_CODED.sub("%", text)
        text = _PERCENT.sub(lambda m: _text(unquote_to_bytes(m[0])) or m[0], text)
    if "=" in text:
        text = _QUOTED.sub(lambda m: _text(bytes.fromhex(m[0].replace("=", ""))) or m[0], text)
    return text.replace("\\n", "\n").replace("\\t", " ").replace('\\"', '"') if "\\" in text else text


def _char(code: str) -> str:
    number = int(code, 16)
    return chr(number) if 0x20 <= number < 0x110000 and not 0xD800 <= number < 0xE000 else " "


def decoded(text: str) -> list[str]:
    """What the parts of a text say that are in a code, one entry for each code that gives readable text."""
    found: list[str] = []
    text = _WRAPPED.sub("", text)
    for pattern, decode in _CODES:
        parts = [d for m in pattern.finditer(text) if (d := decode(m[0]))]
        if parts:
            found.append("\n".join(parts)[:MOST_CHARS])
    if any("\u2800" < c < "\u2840" for c in text):
        found.append("".join(BRAILLE.get(c, " " if c == "\u2800" else c) for c in text))
    tokens = text.split()
    if sum(t.lower().strip(".,") in _SPELLED for t in tokens) > 5:
        found.append(_from_spelled(tokens))
    return found


def restored(text: str) -> str:
    """The text with its parts that are in a code replaced by what they say."""
    for pattern, decode in _CODES:
        text = pattern.sub(lambda m, d=decode: f" {said} " if (said := d(m[0])) else m[0], text)  # type: ignore[misc]
    return text


def _from_spelled(tokens: list[str]) -> str:
    letters = [_SPELLED.get(t.lower().strip(".,-/|"), "" if t.strip(".,-/|") == "" else t) for t in tokens]
    return " ".join(w[0] if t.lower().strip(".,-/|") in _SPELLED else w
                    for t, w in zip(tokens, letters, strict=True))  # fmt: skip


def _text(data: bytes) -> str:
    """The bytes as text; empty if they are none."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    plain = sum(c.isprintable() or c in "\n\t" for c in text)
    letters = sum(c.isalpha() or c == " " for c in text)
    return text if text and plain >= PRINTABLE * len(text) and 2 * letters >= len(text) else ""


def _readable(text: str) -> str:
    """A decoded text of several characters, mostly letters; empty otherwise."""
    letters = sum(c.isalpha() or c.isspace() for c in text)
    return text if len(text) >= 6 and letters >= 0.8 * len(text) else ""


def _base64(part: str) -> str:
    body = part.rstrip("=").replace("-", "+").replace("_", "/")
    if body.islower() or body.isdigit() or (body.isupper() and body.isalpha()):
        return ""  # a word, a number
    try:
        data = base64.b64decode(body[: len(body) // 4 * 4] if len(body) % 4 == 1 else body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return ""
    return _readable(_text(data))


def _base32(part: str) -> str:
    body = part.rstrip("=")
    try:
        return _readable(_text(base64.b32decode(body + "=" * (-len(body) % 8))))
    except (binascii.Error, ValueError):
        return ""


def _hex(part: str) -> str:
    digits = re.sub(r"0x|\\x|&#x|[^0-9a-fA-F]", "", part)
    return _readable(_text(bytes.fromhex(digits[: len(digits) // 2 * 2])))


def _numbers(base: int) -> Callable[[str], str]:
    def decode(part: str) -> str:
        codes = [int(n, base) for n in re.findall(r"\d+", part)]
        return _readable("".join(chr(c) for c in codes)) if all(31 < c < 127 for c in codes) else ""

    return decode


def _binary(part: str) -> str:
    groups = part.replace(",", " ").split()
    bits = groups[0] if len(groups) == 1 else ""
    sizes = (8, 7) if bits else (0,)
    for size in sizes:
        cut = [bits[n : n + size] for n in range(0, len(bits) - size + 1, size)] if size else groups
        if text := _readable("".join(chr(int(g, 2)) for g in cut if g)):
            return text
    return ""


def _morse(part: str) -> str:
    text = re.sub("[·•‧]", ".", re.sub("[_‐‑‒–—−]", "-", part))
    words = [[MORSE.get(sign, "") for sign in word.split()] for word in re.split(r"\s*[/|\n]\s*|\s{3,}", text)]
    return _readable(" ".join("".join(word) for word in words)) if all(map(all, words[:-1])) else ""


_CODES: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_BASE64, _base64),
    (_BASE32, _base32),
    (_HEX, _hex),
    (_DECIMAL, _numbers(10)),
    (_OCTAL, _numbers(8)),
    (_BINARY, _binary),
    (_MORSE, _morse),
)


def ciphers(text: str) -> Iterator[tuple[int, str]]:
    """The text by each cipher, with a number for `deciphered`: shifts 1 to 25, then the others."""
    for kind in (*range(1, 26), *_OTHERS):
        yield kind, deciphered(kind, text)


def deciphered(kind: int, text: str) -> str:
    return _OTHERS[kind](text) if kind in _OTHERS else text.translate(_SHIFTS[kind])


def _from_pig(word: str) -> str:
    """A word of pig Latin without its "ay": the consonants at its end go to the front, as many as make a usual word."""
    turned = [
        word.removesuffix("w"),
        word.removesuffix("y"),
        *(word[-n:] + word[:-n] for n in range(1, min(4, len(word)))),
    ]
    return next((t for t in turned if t in USUAL), turned[-1])


def _shift(n: int) -> dict[int, int]:
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    return str.maketrans(lower + upper, lower[n:] + lower[:n] + upper[n:] + upper[:n])


_SHIFTS = {n: _shift(n) for n in range(1, 26)}
_OTHERS: dict[int, Callable[[str], str]] = {
    26: lambda text: text.translate(_ATBASH),
    27: lambda text: text[::-1],
    28: lambda text: " ".join(word[::-1] for word in text.split()),
    29: lambda text: _PIG.sub(lambda m: _from_pig(m[1].lower()), text),
}
