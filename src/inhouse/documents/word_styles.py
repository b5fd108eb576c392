"""Styles and numbering of Word documents: which paragraph is a heading, which text is hidden, and the numbers of lists.

Numbers of headings and list items are not in the text of a document: they are counted here, as Word does when it shows
them (ECMA-376 part 1, 17.9), so that a reference to "section 2.1" finds it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
VAL = f"{W}val"
_HEADING = re.compile(r"heading (\d)")
_OFF = frozenset(["0", "false", "off", "none"])
_HAN = "〇一二三四五六七八九"
_HAN_FORMS = frozenset([
    "chineseCounting", "chineseCountingThousand", "taiwaneseCounting", "taiwaneseCountingThousand", "japaneseCounting",
    "ideographDigital", "taiwaneseDigital",
])  # fmt: skip
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщэюя"
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
_MAX_CHAIN = 20  # of styles that are based on one another
_ROMAN = {
    1000: "m",
    900: "cm",
    500: "d",
    400: "cd",
    100: "c",
    90: "xc",
    50: "l",
    40: "xl",
    10: "x",
    9: "ix",
    5: "v",
} | {
    4: "iv",
    1: "i",
}


class Style(NamedTuple):
    """A style as far as it matters for the text."""

    name: str
    based_on: str
    run: etree._Element | None
    paragraph: etree._Element | None


class Level(NamedTuple):
    """A level of a list: `text` has %1 for the number of the first level, and so on."""

    form: str
    text: str
    start: int


class Styles:
    """The styles of a document by their ids."""

    def __init__(self, root: etree._Element | None) -> None:
        self.styles: dict[str, Style] = {}
        self.default = ""
        for style in root.iterfind(f"{W}style") if root is not None else ():
            name = style.find(f"{W}name")
            based = style.find(f"{W}basedOn")
            identity = style.get(f"{W}styleId", "")
            self.styles[identity] = Style(
                "" if name is None else name.get(VAL, "").lower(),
                "" if based is None else based.get(VAL, ""),
                style.find(f"{W}rPr"),
                style.find(f"{W}pPr"),
            )
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") in {"1", "true", "on"}:
                self.default = identity
        self._levels: dict[str, int] = {}
        self._values: dict[tuple[str, str], str | None] = {}

    def chain(self, identity: str) -> list[Style]:
        """A style and those that it is based on."""
        found: list[Style] = []
        while identity in self.styles and len(found) < _MAX_CHAIN:
            found.append(self.styles[identity])
            identity = found[-1].based_on
        return found

    def heading(self, properties: etree._Element | None) -> int:
        """The level of a heading, 1 to 6; 0 for another paragraph."""
        if properties is None:
            return 0
        outline = properties.find(f"{W}outlineLvl")
        if outline is not None:
            level = outline.get(VAL, "9")
            return min(int(level) + 1, 6) if level.isdecimal() and int(level) < 9 else 0
        identity = style_of(properties)
        if identity not in self._levels:
            self._levels[identity] = self._style_heading(identity)
        return self._levels[identity]

    def _style_heading(self, identity: str) -> int:
        for style in self.chain(identity):
            if style.name == "title":
                return 1
            if found := _HEADING.fullmatch(style.name):
                return min(int(found[1]), 6) or 1
            outline = None if style.paragraph is None else style.paragraph.find(f"{W}outlineLvl")
            if outline is not None and outline.get(VAL, "9").isdecimal() and int(outline.get(VAL, "9")) < 9:
                return min(int(outline.get(VAL, "0")) + 1, 6)
        return 0

    def value(self, run: etree._Element | None, paragraph_style: str, name: str) -> str | None:
        """A property of a run by its name ("vanish"), its own or that of its styles; None if nothing sets it."""
        styles = [paragraph_style]
        if run is not None:
            own = run.find(f"{W}{name}")
            if own is not None:
                return str(own.get(VAL, "1"))
            named = run.find(f"{W}rStyle")
            styles = [*([] if named is None else [named.get(VAL, "")]), paragraph_style]
        for identity in styles:
            if (identity, name) not in self._values:
                found = (s.run.find(f"{W}{name}") for s in self.chain(identity) if s.run is not None)
                self._values[identity, name] = next((str(e.get(VAL, "1")) for e in found if e is not None), None)
            if (value := self._values[identity, name]) is not None:
                return value
        return None

    def is_on(self, run: etree._Element | None, paragraph_style: str, name: str) -> bool:
        value = self.value(run, paragraph_style, name)
        return value is not None and value.lower() not in _OFF

    def number_properties(self, properties: etree._Element | None) -> tuple[str, int] | None:
        """The list and level that a paragraph belongs to, by itself or by its style; None if to none."""
        if properties is None:
            return None
        found = [properties, *(s.paragraph for s in self.chain(style_of(properties)) if s.paragraph is not None)]
        identity, level = None, None
        for element in found:
            numbering = element.find(f"{W}numPr")
            if numbering is None:
                continue
            number, depth = numbering.find(f"{W}numId"), numbering.find(f"{W}ilvl")
            identity = number.get(VAL) if identity is None and number is not None else identity
            level = depth.get(VAL) if level is None and depth is not None else level
        if identity in {None, "0"}:
            return None
        return str(identity), min(int(level), 8) if level and level.isdecimal() else 0


class Numbering:
    """The lists of a document, and how far each is counted."""

    def __init__(self, root: etree._Element | None, styles: Styles) -> None:
        self.styles = styles
        self.levels: dict[str, dict[int, Level]] = {}
        self.lists: dict[str, str] = {}  # the abstract list of each list: lists of one count on
        self.counts: dict[str, dict[int, int]] = {}
        self.restarts: dict[tuple[str, int], int] = {}
        if root is None:
            return
        abstract = {e.get(f"{W}abstractNumId", ""): _levels(e) for e in root.iterfind(f"{W}abstractNum")}
        for number in root.iterfind(f"{W}num"):
            identity, base = number.get(f"{W}numId", ""), number.find(f"{W}abstractNumId")
            self.lists[identity] = "" if base is None else base.get(VAL, "")
            self.levels[identity] = dict(abstract.get(self.lists[identity], {}))
            for override in number.iterfind(f"{W}lvlOverride"):
                level = _number(override.get(f"{W}ilvl"), 0)
                own, start = override.find(f"{W}lvl"), override.find(f"{W}startOverride")
                if own is not None:
                    self.levels[identity][level] = _level(own)
                if start is not None:
                    self.restarts[identity, level] = _number(start.get(VAL), 1)

    def label(self, properties: etree._Element | None) -> tuple[str, int] | None:
        """The label of a paragraph ("2.1", or "-" for a bullet) and its level; None if it has none. Counts on."""
        place = self.styles.number_properties(properties)
        if place is None or place[1] not in self.levels.get(place[0], {}):
            return None
        identity, level = place
        levels = self.levels[identity]
        counts = self.counts.setdefault(self.lists[identity], {})
        restart = self.restarts.pop((identity, level), None)
        if restart is not None:
            counts[level] = restart
        else:
            counts[level] = counts[level] + 1 if level in counts else levels[level].start
        for deeper in [n for n in counts if n > level]:
            del counts[deeper]
        if levels[level].form == "bullet":
            return "-", level
        if levels[level].form == "none":
            return None
        text = re.sub(
            r"%(\d)",
            lambda m: counted_as(
                counts.get(int(m[1]) - 1, levels[int(m[1]) - 1].start if int(m[1]) - 1 in levels else 1),
                levels[int(m[1]) - 1].form if int(m[1]) - 1 in levels else "decimal",
            ),
            levels[level].text,
        )
        return (text.strip(), level) if text.strip() else None


def style_of(properties: etree._Element | None) -> str:
    """The id of a paragraph's style; empty if it names none."""
    style = None if properties is None else properties.find(f"{W}pStyle")
    return "" if style is None else str(style.get(VAL, ""))


def _levels(abstract: etree._Element) -> dict[int, Level]:
    return {_number(level.get(f"{W}ilvl"), 0): _level(level) for level in abstract.iterfind(f"{W}lvl")}


def _level(level: etree._Element) -> Level:
    values = {name: level.find(f"{W}{name}") for name in ("numFmt", "lvlText", "start")}
    form, text, start = ("" if e is None else str(e.get(VAL, "")) for e in values.values())
    return Level(form or "decimal", text, _number(start, 1))


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 7 else otherwise


def counted_as(number: int, form: str) -> str:
    """A number of a list in one of its formats; a format that is not known here is written in digits."""
    match form:
        case "lowerLetter" | "upperLetter" if number > 0:
            text = chr(97 + (number - 1) % 26) * min((number - 1) // 26 + 1, 10)
        case "lowerRoman" | "upperRoman" if 0 < number < 4000:
            text, left = "", number
            for value, sign in _ROMAN.items():
                text += sign * (left // value)
                left %= value
        case "decimalZero":
            return f"{number:02}"
        case "decimalEnclosedCircle" | "decimalEnclosedCircleChinese" if 0 < number <= 20:
            return chr(0x245F + number)
        case _ if form in _HAN_FORMS and 0 < number < 100:
            tens, ones = divmod(number, 10)
            if form in {"ideographDigital", "taiwaneseDigital"}:
                return "".join(_HAN[int(digit)] for digit in str(number))
            return ("" if tens == 0 else "十" if tens == 1 else f"{_HAN[tens]}十") + (_HAN[ones] if ones else "")
        case "russianLower" | "russianUpper" if 0 < number <= len(_RUSSIAN):
            return _RUSSIAN[number - 1].upper() if form.endswith("Upper") else _RUSSIAN[number - 1]
        case "ordinal" if number > 0:
            ending = "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
            return f"{number}{ending}"
        case _:
            return str(number)
    return text.upper() if form.startswith("upper") else text
