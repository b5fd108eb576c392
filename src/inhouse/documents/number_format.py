"""Number formats of spreadsheets: a value as the spreadsheet shows it.

The codes are those of ECMA-376 part 1, 18.8.30 and 18.8.31. The one library that knows them (ssf, after SheetJS) had
no release since 2020 and fails with the Babel of today. Three rules differ from a spreadsheet program, on purpose: a
General number of up to 21 digits gets no exponent, so that account numbers keep all of them; padding takes no space;
and a date whose format depends on the reader's system (the short date, 14) is written as in ISO 8601, since 3/4 means
two days. Separators are those of English, in which the codes are written: the file does not know the author's.
"""

from __future__ import annotations

import functools
import locale
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import NamedTuple

BUILT_IN = {
    **{0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00"},
    **{5: '"$"#,##0_);\\("$"#,##0\\)', 6: '"$"#,##0_);\\("$"#,##0\\)'},
    **{7: '"$"#,##0.00_);\\("$"#,##0.00\\)', 8: '"$"#,##0.00_);\\("$"#,##0.00\\)'},
    **{9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??", 14: "yyyy-mm-dd"},
    **{15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss"},
    **{22: "yyyy-mm-dd h:mm", **dict.fromkeys([*range(27, 32), 36, *range(50, 59)], "yyyy-mm-dd")},
    **{**dict.fromkeys([32, 34], "h:mm"), **dict.fromkeys([33, 35], "h:mm:ss")},
    **{37: "#,##0_);\\(#,##0\\)", 38: "#,##0_);\\(#,##0\\)", 39: "#,##0.00_);\\(#,##0.00\\)"},
    **{40: "#,##0.00_);\\(#,##0.00\\)", 41: '#,##0_);\\(#,##0\\);"-"_)', 42: '"$"#,##0_);\\("$"#,##0\\);"$-"_)'},
    **{43: '#,##0.00_);\\(#,##0.00\\);"-"_)', 44: '"$"#,##0.00_);\\("$"#,##0.00\\);"$-"_)'},
    **{45: "mm:ss", 46: "[h]:mm:ss", 47: "mmss.0", 48: "##0.0E+0", 49: "@"},
}
"""The formats that a file names by number without writing their code."""

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_(?P<pad>.)|\*(?P<fill>.)|\[(?P<bracket>[^\[\]]*)\]'
    r"|(?P<general>general|standard)|(?P<half>am/pm|a/p|上午/下午)|(?P<exponent>e[+-])|(?P<fraction>(?<=s)\.0+|(?<=s\])\.0+)"
    r"|(?P<calendar>b[12])|(?P<date>y+|m+|d+|h+|s+|e+|b+|a{3,4}|g+)|(?P<digit>[0#?])|(?P<mark>[.,%/@;])|(?P<literal>.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?[\d.]+(?:e[+-]?\d+)?)", re.IGNORECASE)
_COLOR = re.compile(
    r"(?i)color\s*\d+|black|blue|cyan|green|magenta|red|white|yellow|dbnum\d|natnum\d+|hijri|~?buddhist"
)
_ELAPSED = re.compile(r"h+|m+|s+", re.IGNORECASE)
_DIGITS = Context(prec=400, rounding=ROUND_HALF_UP)
_DOUBLE = Context(prec=15, rounding=ROUND_HALF_UP)
_DAYS_1904 = 1462
MAX_CODE_CHARS = 255  # what spreadsheet programs accept; a longer code is taken for General
_ADDED_TIME = frozenset(["yyyy-mm-dd h:mm:ss", "yyyy-mm-dd hh:mm:ss"])  # what Python libraries write for any date


class Token(NamedTuple):
    """`kind` is the group of _TOKEN that matched; "literal" is text as it is shown, "elapsed" is [h], [m] or [s]."""

    kind: str
    text: str


class Section(NamedTuple):
    """One of the up to four parts of a format."""

    tokens: tuple[Token, ...]
    condition: tuple[str, Decimal] | None
    language: str

    def has(self, *kinds: str) -> bool:
        return any(token.kind in kinds for token in self.tokens)


class NumberFormat:
    """A format code, read once and applied to many values."""

    def __init__(self, code: str, since_1904: bool = False) -> None:
        self.since_1904 = since_1904
        general = code.strip().lower() in {"", "general", "standard"} or len(code) > MAX_CODE_CHARS
        sections = [] if general else _sections(code)
        self.added_time = code.lower() in _ADDED_TIME
        self.text_section = next((s for i, s in enumerate(sections) if i == 3 or s.has("mark@")), None)
        self.sections = [s for s in sections[:3] if s is not self.text_section]
        self.dates = any(section.has("date", "elapsed", "half") for section in self.sections)

    def text(self, value: str) -> str:
        """A text as the format shows it: mostly as it is."""
        if self.text_section is None:
            return value
        return "".join(value if kind == "mark@" else text for kind, text in self.text_section.tokens if kind != "pad")

    def number(self, raw: str) -> str:
        """A number, given as the file writes it, as the format shows it; empty if the format hides it."""
        value = decimal(raw)
        if value is None:
            return raw
        if not self.sections:
            return general(value)
        section, value = self._section(value)
        if section is None:
            return "-" * (value < 0) + general(abs(value))
        if section.has("date", "elapsed", "half"):
            if self.added_time and value == value.to_integral_value():
                section = _DATE
            shown = _date(section, value, self.since_1904)
            return general(value) if shown is None else _tidy(shown)
        sign = "-" if value < 0 else ""
        shown = _number(section, abs(value))
        return _tidy(sign + shown if any(c in "123456789" for c in shown) or not section.has("digit") else shown)

    def _section(self, value: Decimal) -> tuple[Section | None, Decimal]:
        """The section for a value, and the value without the sign that the section itself shows."""
        sections = self.sections
        if any(section.condition for section in sections[:2]):
            for index, section in enumerate(sections):
                if section.condition is None and index < 2 and index < len(sections) - 1:
                    if (value > 0 if index == 0 else value < 0) or (value == 0 and index == 0 and len(sections) < 3):
                        return section, value
                elif section.condition is None or _holds(section.condition, value):
                    negative = section.condition is not None and section.condition[0] in {"<", "<=", "="}
                    only = negative and section.condition is not None and section.condition[1] <= 0
                    return section, abs(value) if only else value
            return None, value
        if len(sections) == 1 or value > 0:
            return sections[0], value
        if value < 0:
            return sections[1], abs(value)
        return sections[2 if len(sections) > 2 else 0], value


@functools.lru_cache(maxsize=1024)
def number_format(code: str, since_1904: bool = False) -> NumberFormat:
    """The format of a code; codes that were read lately are kept."""
    return NumberFormat(code, since_1904)


def decimal(raw: str) -> Decimal | None:
    """The number that a file writes, with the 15 digits that a spreadsheet shows of a fraction; None if it is none."""
    try:
        value = Decimal(raw)
    except ArithmeticError:
        return None
    if not value.is_finite() or abs(value.adjusted()) > 310:
        return None
    return value if value == value.to_integral_value() else _DOUBLE.plus(value)


def general(value: Decimal) -> str:
    """A number in the format General: all digits of a whole number, a fraction in the eleven characters of a cell."""
    if value and not -20 <= value.adjusted() <= 20:
        return f"{_DIGITS.create_decimal(f'{value:.9e}').normalize():E}"
    if value == value.to_integral_value():
        return f"{value:f}".partition(".")[0] if value else "0"
    digits = max(value.adjusted(), 0) + 1
    places = max(10 - digits, 2) if value.adjusted() > -5 else 9 - value.adjusted()
    return _plain(round(value, places))


def serial(value: datetime, since_1904: bool = False) -> Decimal:
    """The number of a date, as spreadsheets count days."""
    gap = value - datetime(1904 if since_1904 else 1899, 1 if since_1904 else 12, 1 if since_1904 else 30)
    return Decimal(gap.days) + Decimal(gap.seconds) / 86400


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _tidy(shown: str) -> str:
    return " ".join(shown.replace("\N{NO-BREAK SPACE}", " ").split())


def _holds(condition: tuple[str, Decimal], value: Decimal) -> bool:
    sign, limit = condition
    return {
        "<": value < limit,
        "<=": value <= limit,
        ">": value > limit,
        ">=": value >= limit,
        "=": value == limit,
        "<>": value != limit,
    }[sign]


def _sections(code: str) -> list[Section]:
    """The sections of a code; what has no meaning for the shown text, such as colors, is left out."""
    sections: list[Section] = []
    tokens: list[Token] = []
    condition: tuple[str, Decimal] | None = None
    language = ""
    for match in _TOKEN.finditer(code):
        kind, text = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "mark" and text == ";":
            sections.append(Section(_with_minutes(tokens), condition, language))
            tokens, condition, language = [], None, ""
        elif kind == "bracket":
            if text.startswith("$"):
                sign, _, tag = text[1:].partition("-")
                language = _language(tag) or language
                tokens += [Token("literal", sign)] if sign else []
            elif found := _CONDITION.fullmatch(text):
                condition = found[1], Decimal(found[2])
            elif _ELAPSED.fullmatch(text):
                tokens.append(Token("elapsed", text.lower()))
            elif not _COLOR.fullmatch(text):
                tokens.append(Token("literal", text))
        elif kind == "mark":
            tokens.append(Token(f"mark{text}", text))
        elif kind in {"quoted", "escaped", "literal"}:
            tokens.append(Token("literal", text))
        elif kind not in {"fill", "calendar"}:
            tokens.append(Token(kind, " " if kind == "pad" else text))
    return [*sections, Section(_with_minutes(tokens), condition, language)]


def _with_minutes(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """The tokens, of which m and mm near hours or seconds mean minutes; letters beside digits are text ("0 EUR")."""
    if any(token.kind == "digit" for token in tokens):
        return tuple(Token("literal", token.text) if token.kind == "date" else token for token in tokens)
    result = list(tokens)
    times = [i for i, token in enumerate(tokens) if token.kind in {"date", "elapsed"}]
    for before, at, after in zip([None, *times], times, [*times[1:], None], strict=False):
        text = tokens[at].text.lower()
        if tokens[at].kind == "date" and text in {"m", "mm"}:
            past = before is not None and tokens[before].text[0] in "hH"
            if past or (after is not None and tokens[after].text[0] in "sS"):
                result[at] = Token("minute", text)
    return tuple(result)


_DATE = _sections("yyyy-mm-dd")[0]


@functools.cache
def _language(tag: str) -> str:
    """The language of the locale in a format: "407", "de-DE" and "1000407" are German. Empty if it is not known."""
    if re.fullmatch(r"[0-9A-Fa-f]{1,8}", tag):
        return locale.windows_locale.get(int(tag, 16) & 0xFFFF, "")
    return tag.split(",", maxsplit=1)[0].replace("-", "_")


@functools.cache
def _names(language: str) -> dict[str, dict[int, str]]:
    """Names of months (from 1) and days (from 0, a Monday), by the code that asks for them."""
    from babel import Locale, UnknownLocaleError

    try:
        names = Locale.parse(language or "en")
    except (UnknownLocaleError, ValueError):
        names = Locale("en")
    months, days = names.months["format"], names.days["format"]
    return {
        "mmm": months["abbreviated"],
        "mmmm": months["wide"],
        "mmmmm": {month: name[:1] for month, name in months["wide"].items()},
        "ddd": days["abbreviated"],
        "dddd": days["wide"],
        "aaa": days["abbreviated"],
        "aaaa": days["wide"],
    }


def _date(section: Section, value: Decimal, since_1904: bool) -> str | None:
    """A date or time; None when the number is none."""
    elapsed = section.has("elapsed")
    days = value + _DAYS_1904 if since_1904 and not elapsed else value
    if (days < 0 and not elapsed) or abs(days) >= 2_958_466:
        return None
    places = max((len(t.text) - 1 for t in section.tokens if t.kind == "fraction"), default=0)
    unit = Decimal(1).scaleb(-min(places, 6))
    seconds = _DIGITS.quantize(_DIGITS.multiply(abs(days), Decimal(86400)), unit)
    whole = int(seconds)
    early = 1 if 0 < days < 60 else 0  # spreadsheets count February 29, 1900, which there was not
    when = datetime(1899, 12, 30) + timedelta(days=whole // 86400 + early, seconds=whole % 86400)
    half_day = section.has("half")
    largest = max((_UNITS[t.text[0]] for t in section.tokens if t.kind == "elapsed"), default=0)
    shown = []
    for kind, text in section.tokens:
        code = text.lower()
        if kind == "elapsed":
            shown.append(str(whole // _UNITS[code[0]]).zfill(len(code)))
        elif kind == "fraction":
            shown.append(f"{seconds % 1:.{places}f}"[1:])
        elif kind == "half":
            first, second = text.split("/")
            shown.append(first if when.hour < 12 else second)
        elif kind in {"date", "minute"}:
            shown.append(_part(code if kind == "date" else f"{code}in", when, half_day, section.language))
        elif kind != "digit":
            shown.append(text)
    return "-" * (value < 0 and largest > 0) + "".join(shown)


_UNITS = {"h": 3600, "m": 60, "s": 1}


def _part(code: str, when: datetime, half_day: bool, language: str) -> str:
    """One part of a date; "min" and "mmin" are minutes."""
    hour = (when.hour % 12 or 12) if half_day else when.hour
    parts: dict[str, Callable[[], str]] = {
        "y": lambda: f"{when.year % 100:02}" if len(code) < 3 else f"{when.year}",
        "e": lambda: f"{when.year}",
        "b": lambda: f"{(when.year + 543) % 100:02}" if len(code) < 3 else f"{when.year + 543}",
        "h": lambda: str(hour).zfill(min(len(code), 2)),
        "s": lambda: str(when.second).zfill(min(len(code), 2)),
        "g": lambda: "",
    }
    if code in {"min", "mmin"}:
        return str(when.minute).zfill(len(code) - 2)
    if code[0] in parts:
        return parts[code[0]]()
    if len(code) < 3:
        return str(when.month if code[0] == "m" else when.day).zfill(len(code))
    names = _names(language)
    return str(
        names.get(code, names["mmmm" if code[0] == "m" else "dddd"])[when.month if code[0] == "m" else when.weekday()]
    )


def _number(section: Section, value: Decimal) -> str:
    """A number of at least 0 with the digits, signs and literals of its section."""
    tokens = list(section.tokens)
    kinds = [token.kind for token in tokens]
    value = value.scaleb(2 * kinds.count("mark%"))
    if "general" in kinds:
        shown = general(value)
        return "".join(shown if kind == "general" else text for kind, text in tokens)
    digits = [i for i, kind in enumerate(kinds) if kind == "digit"]
    if not digits:
        return "".join(text for kind, text in tokens if kind not in {"mark,"})
    slash = next((i for i in range(digits[0], len(kinds)) if kinds[i] == "mark/"), None)
    if slash is not None and slash < digits[-1] + 2:
        return _fraction(tokens, slash, value)
    last = digits[-1]
    while last + 1 < len(kinds) and kinds[last + 1] == "mark,":
        value = value.scaleb(-3)
        last += 1
    exponent = kinds.index("exponent") if "exponent" in kinds else None
    if exponent is not None:
        return _scientific(tokens, exponent, value)
    return _decimal_digits(tokens, value)


def _decimal_digits(tokens: Sequence[Token], value: Decimal) -> str:
    kinds = [token.kind for token in tokens]
    digits = [i for i, kind in enumerate(kinds) if kind == "digit"]
    point = kinds.index("mark.") if "mark." in kinds else len(kinds)
    whole, part = [i for i in digits if i < point], [i for i in digits if i > point]
    if point < len(kinds) and whole:  # thousands before the point scale too: 0,.0
        before = point - 1
        while kinds[before] == "mark,":
            value = value.scaleb(-3)
            before -= 1
    grouped = any(whole[0] < i < whole[-1] for i, kind in enumerate(kinds) if kind == "mark,") if whole else False
    rounded = _DIGITS.quantize(value, Decimal(1).scaleb(-len(part)))
    left, _, right = f"{rounded:f}".partition(".")
    left = left.lstrip("0")
    shown: dict[int, str] = {}
    width = max(len(left), len(whole))
    padded = left.rjust(width)
    for place, at in enumerate(reversed(whole)):  # from the last digit to the first, which takes all that are left
        taken = padded[: width - place] if place == len(whole) - 1 else padded[width - place - 1]
        taken = taken.replace(" ", {"0": "0", "?": " ", "#": ""}[tokens[at].text])
        shown[at] = _grouped(taken, place) if grouped else taken
    trailing = len(right.rstrip("0"))
    for place, at in enumerate(part):
        shown[at] = right[place] if place < trailing or tokens[at].text == "0" else " " * (tokens[at].text == "?")
    hidden = {"mark,"}
    return "".join(shown.get(i, "" if kind in hidden else text) for i, (kind, text) in enumerate(tokens))


def _grouped(digits: str, places: int) -> str:
    """Digits with a comma after each that has a multiple of three behind it; `places` more stand to the right."""
    count = len(digits)
    marks = (
        "," if (after := count - 1 - i + places) % 3 == 0 and after and digits[i].isdigit() else ""
        for i in range(count)
    )
    return "".join(digit + mark for digit, mark in zip(digits, marks, strict=True))


def _scientific(tokens: Sequence[Token], at: int, value: Decimal) -> str:
    mantissa, power = tokens[:at], tokens[at + 1 :]
    kinds = [token.kind for token in mantissa]
    point = kinds.index("mark.") if "mark." in kinds else len(kinds)
    step = max(kinds[:point].count("digit"), 1)
    places = kinds[point:].count("digit")
    exponent = value.adjusted() if value else 0
    exponent -= exponent % step
    rounded = _DIGITS.quantize(value.scaleb(-exponent), Decimal(1).scaleb(-places))
    if rounded and rounded.adjusted() >= step:
        exponent += step
        rounded = _DIGITS.quantize(value.scaleb(-exponent), Decimal(1).scaleb(-places))
    sign = "-" if exponent < 0 else "+" * tokens[at].text.endswith("+")
    return _decimal_digits(mantissa, rounded) + "E" + sign + _decimal_digits(power, Decimal(abs(exponent)))


def _fraction(tokens: Sequence[Token], slash: int, value: Decimal) -> str:
    """A number as a fraction: of the digits before the slash, the last run is the numerator."""
    kinds = [token.kind for token in tokens]
    start = slash
    while start and kinds[start - 1] == "digit":
        start -= 1
    end = slash + 1
    while end < len(kinds) and (kinds[end] == "digit" or tokens[end].text.isdigit()):
        end += 1
    fixed = "".join(token.text for token in tokens[slash + 1 : end])
    mixed = "digit" in kinds[:start]
    whole, rest = (int(value), Fraction(value % 1)) if mixed else (0, Fraction(value))
    if fixed.isdigit() and int(fixed):
        below = int(fixed)
        above = int(rest * below + Fraction(1, 2))
    else:
        near = rest.limit_denominator(10 ** min(max(end - slash - 1, 1), 9) - 1)
        above, below = near.numerator, near.denominator
    if mixed and above == below:
        whole, above = whole + 1, 0
    before = "".join(text for kind, text in tokens[:start] if kind != "digit").rstrip(" ")
    after = "".join(text for _, text in tokens[end:])
    parts = [str(whole)] if mixed and (whole or not above) else []
    return before + " ".join([*parts, *([f"{above}/{below}"] if above or not mixed else [])]) + after
