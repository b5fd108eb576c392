"""Characters of the symbol fonts of Word documents, which stand in a private area of Unicode, as usual characters."""

from __future__ import annotations

_SYMBOL = dict(
    zip(
        range(0x41, 0x5B),
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ",
        strict=True,
    )
) | dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True))
_SYMBOL |= {
    0x22: "∀",
    0x24: "∃",
    0x27: "∍",
    0x40: "≅",
    0x5E: "⊥",
    0x7E: "∼",
    0xA0: "€",
    0xA2: "′",
    0xA3: "≤",
    0xA5: "∞",
}
_SYMBOL |= {
    0xAB: "↔",
    0xAC: "←",
    0xAD: "↑",
    0xAE: "→",
    0xAF: "↓",
    0xB0: "°",
    0xB1: "±",
    0xB2: "″",
    0xB3: "≥",
    0xB4: "×",
}
_SYMBOL |= {
    0xB5: "∝",
    0xB6: "∂",
    0xB7: "•",
    0xB8: "÷",
    0xB9: "≠",
    0xBA: "≡",
    0xBB: "≈",
    0xBC: "…",
    0xC5: "⊕",
    0xC6: "∅",
}
_SYMBOL |= {
    0xC7: "∩",
    0xC8: "∪",
    0xCC: "⊂",
    0xCE: "∈",
    0xD0: "∠",
    0xD1: "∇",
    0xD2: "®",
    0xD3: "©",
    0xD4: "™",
    0xD5: "∏",
}
_SYMBOL |= {
    0xD6: "√",
    0xD7: "⋅",
    0xD8: "¬",
    0xD9: "∧",
    0xDA: "∨",
    0xDB: "⇔",
    0xDC: "⇐",
    0xDE: "⇒",
    0xE5: "∑",
    0xF2: "∫",
}
_WINGDINGS = {
    0x28: "☎",
    0x2A: "✉",
    0x4A: "☺",
    0x6C: "●",
    0x6E: "■",
    0x6F: "☐",
    0x71: "☐",
    0x72: "☐",
    0x76: "❖",
    0x9F: "•",
}
_WINGDINGS |= {
    0xA7: "▪",
    0xA8: "☐",
    0xD8: "➢",
    0xDF: "←",
    0xE0: "→",
    0xE1: "↑",
    0xE2: "↓",
    0xE8: "➔",
    0xEF: "⇦",
    0xF0: "⇨",
}
_WINGDINGS |= {0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"}
_WINGDINGS_2 = {0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x97: "•", 0xA3: "☐"}
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2}
_PRIVATE = range(0xF000, 0xF100)


def symbol(font: str, code: str) -> str:
    """The character of a font with a code in hexadecimal digits; a known unknown (U+FFFD) if no table has it."""
    try:
        number = int(code, 16)
    except ValueError:
        return ""
    if number in _PRIVATE or font.lower() in _FONTS:
        table = _FONTS.get(font.lower(), {})
        known = table.get(number & 0xFF)
        plain = chr(number & 0xFF) if table is _SYMBOL and 0x20 <= number & 0xFF < 0x7F else ""
        return known or plain or "\N{REPLACEMENT CHARACTER}"
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def without_symbol_fonts(text: str, font: str) -> str:
    """Text with the characters of symbol fonts replaced; most text has none."""
    known = font.lower() in _FONTS
    if not known and not any(ord(c) in _PRIVATE for c in text):
        return text
    table = _FONTS.get(font.lower(), _SYMBOL)
    return "".join(table.get(ord(c) & 0xFF, c) if ord(c) in _PRIVATE or (known and ord(c) < 256) else c for c in text)
