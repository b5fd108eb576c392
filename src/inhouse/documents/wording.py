"""What a text says, without how it is laid out: texts with the same wording state the same facts.

Layout is case, spacing, line breaks and the hyphens at them, page numbers, quotation marks, sentence punctuation, and
the marks of Markdown. Everything else counts, in every script: each word, number, sign, unit, symbol and table cell, in
order. Where a mark may be either, it counts, because keeping two copies costs little and losing a version is wrong:
the point of 1.5, the minus of -5 or 5-, the brackets of (5), the case of "US" and "5 MW", the comma of "No, refunds".

Han, kana, Thai, Lao, Khmer and Burmese are compared by character, because their lines break anywhere.
"""

from __future__ import annotations

import re
import unicodedata

_NOT = "no|not|never|nein|nicht|nie|niemals|non|não|nunca|jamais|nee|niet|nej|nei|inte|ikke|не|нет|нельзя|hayır|لا"
_NOT_UNSPACED = "不|否|没有|沒有|いいえ|いや|ไม่"
_PAGE = (
    "page|seite|página|pagina|pág|strona|str|страница|стр|сторінка|sayfa|side|sida|sivu|oldal|p|ページ|頁|页|第|صفحة"
)
_DASH = "-\u2010-\u2015\u2212\ufe58\ufe63"
_MONEY = "$€£¥₹₽₩"
# A search is fast where a pattern begins with the characters that it looks for, so what is before them comes second.
# Lines without words: rules, fences, and the line below the header of a table. A cell of the latter has two dashes.
_RULE = re.compile(r"^(?=.*(?:--|==|\*[ \t]*\*|__|```|~~~|:-|-:))[ \t|:=+*_~`-]++$", re.MULTILINE)
_PAGE_NUMBER = re.compile(
    rf"^[{_DASH} \t#*_|]*+(?:{_PAGE})[ \t.:]*+\d{{1,4}}[ \t]*+(?:[页頁][ \t]*+)?"
    rf"(?:(?:of|von|de|di|van|z|ze|из|av|af|sur|/|共)[ \t]*+\d{{1,4}}[ \t]*+[页頁]?)?[{_DASH} \t*_|]*+$",
    re.MULTILINE | re.IGNORECASE,
)
_LINE_START = re.compile(
    rf"^[ \t]*+(?:>[> \t]*+(?![ \t{_MONEY}]*\d))?"
    rf"(?:#{{1,6}}[ \t]++|[*•‣▪●◦■□·⁃∙][ \t]++|[{_DASH}+][ \t]++(?![{_MONEY}]?\d))?",
    re.MULTILINE,
)
_LINE_BREAK_HYPHEN = re.compile(r"[-\u2010](?<=[^\W\d_].)[ \t]*+\n\s*+(?=[^\W\d_])")
_EMPHASIS = re.compile(r"\*(?<![\d*].)\*{0,2}(?![\s*])([^*\n]++)(?<!\s)\*{1,3}")
_QUOTED = re.compile(r'["“”„«](?<!\d.)([^"“”„«»\n]*+)["“”»]')
_BREAK_TAG = re.compile(r"<br ?/?>", re.IGNORECASE)
_BEHIND_NOT = "|".join(
    rf"(?<={word}{space}.)"
    for word in (*(rf"\b{word}" for word in _NOT.split("|")), *_NOT_UNSPACED.split("|"))
    for space in ("", "[ \t]")
)
_BESIDE_NOT = re.compile(
    rf"[{_DASH}.,;:!…،、。](?:(?<=[,،、])(?=\s*+(?:(?:{_NOT})\b|{_NOT_UNSPACED}))|(?:{_BEHIND_NOT})(?:(?<![{_DASH}])|(?!\d)))",
    re.IGNORECASE,
)
# Marks that count because of what is beside them.
_MARK = re.compile(
    rf"[{_DASH}.,:·'’٫٬ʼ\"”(](?:"
    rf"(?<=\d[{_DASH}.,:·'’٫٬])(?=\d)"  # 1.5, 1,000, 10:30, 1'000, 2-3
    rf"|(?<![^\s(].)(?<=[.,])(?=\d)"  # .5
    rf"|(?<!\w.)(?<=[{_DASH}])(?=[ \t]?[{_MONEY}]?\d)"  # -5, -$5, a fee - $5
    rf"|(?<=\d[\-\u2212\u2013])(?![{_DASH}\w])"  # 5-
    rf"|(?<=\w[\-\u2010\u2011\u2212\u2013'’ʼ])(?=\w)"  # re-sign, A-5, it's
    rf"|(?<=\d[\"'”’])(?!\w)"  # 5"
    rf"|(?<=\()(?=[^\w\s()]{{0,2}}\d[\d.,'’ ]*+[^\w()]{{0,2}}\)))"  # (5)
)
_SHORT_CAPITALS = re.compile(r"[A-ZÀ-ÞΑ-ΩА-Я](?<!\w.)[A-ZÀ-ÞΑ-ΩА-Я]{1,2}(?!\w)")  # US, IT, WHO
_UNIT = re.compile(r"\d[ \t]?[^\W\d_]{1,3}(?!\w)")  # 5 mW, 5 MW
_CAPITAL = re.compile("[A-ZÀ-ÖØ-ÞΑ-ΩА-Я]")
_CASE = "\ufdd0"  # before a letter whose case counts; a code point that no text has
_KEPT = dict(zip(".,:·'-(\"", map(chr, range(0xFDD1, 0xFDD9)), strict=True))  # a mark that counts -> its stand-in
_KEPT |= {"’": _KEPT["'"], "ʼ": _KEPT["'"], "”": _KEPT['"'], "٫": _KEPT[","], "٬": _KEPT["."]}
_COUNTING = frozenset("%‰‱&@§/†‡?*#′″•‣·٪~|")  # punctuation that always counts
_LOOSE = frozenset("`´¨\ufffd")  # symbols that never do
_UNSPACED = re.compile(
    "[\u0e00-\u0e4f\u0e80-\u0ecf\u1000-\u103f\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


class _Widths(dict[int, str]):
    """Full and half width, ligatures and other shapes of a character as that character; superscripts stay apart."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind, _, points = unicodedata.decomposition(character).partition(" ")
        same = kind in ("<wide>", "<narrow>", "<compat>", "<font>", "<initial>", "<medial>", "<final>", "<isolated>")
        plain = unicodedata.normalize("NFKC", character) if same and points else character
        self[code] = plain if unicodedata.category(character)[0] in "LNSP" else character
        return self[code]


class _Words(dict[int, str]):
    """A character as it counts: lower case, a symbol apart from its neighbors, loose punctuation as a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F or character == "\u0640":  # joiners, variants, Arabic kashida
            plain = ""
        elif _UNSPACED.match(character):
            plain = f" {character} "
        elif category[0] in "LM":
            plain = character.casefold()
        elif category == "Nd":
            plain = str(unicodedata.decimal(character))
        elif category[0] == "N" or category == "Co":
            plain = character
        elif character in _COUNTING or (category[0] == "S" and character not in _LOOSE):
            plain = f" {'%' if character == '٪' else character} "
        else:
            plain = {"؟": " ? ", "\u301c": " ~ "}.get(character, " ")
        self[code] = plain
        return plain


_WIDTHS, _WORDS = _Widths(), _Words()
_WORDS.update({ord(stand_in): mark for mark, stand_in in reversed(_KEPT.items())} | {ord(_CASE): "^"})


def wording(text: str) -> str:
    """The words, numbers, signs and symbols of a text, separated by single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_WIDTHS))
    text = _PAGE_NUMBER.sub("", _RULE.sub("", text))
    text = _LINE_START.sub("", _BREAK_TAG.sub(" ", text))
    text = _LINE_BREAK_HYPHEN.sub("", text)
    text = _EMPHASIS.sub(r" \1 ", text)
    text = _QUOTED.sub(r" \1 ", text)
    text = _BESIDE_NOT.sub(f" {_KEPT[',']} ", text)
    text = _MARK.sub(_kept, text)
    if _CAPITAL.search(text) and not text.isupper():
        text = _UNIT.sub(_case_kept, text)
        lines = text.split("\n")
        text = "\n".join(line if line.isupper() else _SHORT_CAPITALS.sub(_case_kept, line) for line in lines)
    return " ".join(text.translate(_WORDS).split())


def _kept(mark: re.Match[str]) -> str:
    return _KEPT.get(mark[0], _KEPT["-"])


def _case_kept(letters: re.Match[str]) -> str:
    return _CAPITAL.sub(rf"{_CASE}\g<0>", letters[0])
