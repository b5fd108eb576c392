"""A document of known facts: paragraphs, a table, and every string as its author sees it."""

import random
from dataclasses import dataclass, field, replace
from datetime import date

from roundtrip.languages import LANGUAGES, MONTHS, Language

PLAINER = {
    "«": '"',
    "»": '"',
    "„": '"',
    "“": '"',
    "”": '"',
    "’": "'",
    "‘": "'",
    "\u202f": "\u00a0",
    "\N{MINUS SIGN}": "-",
}


@dataclass(frozen=True)
class Value:
    """What a cell shows; in a workbook, the value and number format that show `sheet`."""

    text: str
    raw: object = None
    code: str = "General"
    sheet: str = ""


@dataclass
class Story:
    """`rows` have the product first; `spans` are (first row, rows) of equal groups in the second column.

    `quoted` is one of the paragraphs that stands in a text box, a note, or a quoted mail. `noise` may be shown but need
    not be; the numbers of `hidden` must not be in the text.
    """

    language: Language
    draw: random.Random
    title: str = ""
    paragraphs: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    quoted: str = ""
    header: list[str] = field(default_factory=list)
    rows: list[list[Value]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    band: str = ""  # a cell above the header, over all columns but the first two
    noise: list[str] = field(default_factory=list)
    hidden: str = ""
    sheet: bool = False  # the table shows the values of a workbook
    noted: bool = False  # the document has something that may be left out, with a note
    encoding: str = "utf-8"  # has all characters of the story

    @property
    def shown(self) -> list[list[str]]:
        return [[v.sheet if self.sheet and v.sheet else v.text for v in row] for row in self.rows]


def grouped(number: float, language: Language, places: int = 2) -> str:
    decimal, thousands = language.separators
    return f"{abs(number):,.{places}f}".translate({ord("."): decimal, ord(","): thousands})


def price(draw: random.Random, language: Language) -> Value:
    pattern, number = (
        draw.choice(language.prices),
        draw.choice([draw.randint(1, 99), draw.randint(100, 20_000) / 100, 1234.5]),
    )
    places = 0 if isinstance(number, int) else 2
    text = pattern.format(n=grouped(number, language, places))
    digits = "#,##0.00" if places else "#,##0"
    shown = f"{number:,.{places}f}"
    code, sheet = draw.choice([
        (f"{digits}\\ [$€-407]", f"{shown} €"), (f"[$£-809]{digits}", f"£{shown}"), (f'"$"{digits}', f"${shown}"),
        (f"[$CHF]\\ {digits}", f"CHF {shown}"), (f"[$¥-411]{digits}", f"¥{shown}"), (f"[$-409]{digits}", shown),
        (f'{digits}" zł"', f"{shown} zł"), (f'_-* {digits}\\ "€"_-;\\-* {digits}\\ "€"_-', f"{shown} €"),
        (f'{digits}\\ "€";[Red]\\-{digits}\\ "€"', f"{shown} €"), (f'[>=100000]0.0,"k";{digits}', shown),
        (f'_("$"* {digits}_);_("$"* \\({digits}\\);_("$"* "-"??_);_(@_)', f"${shown}"), (f"[$₹-4009]\\ {digits}", f"₹ {shown}"), (f"{digits}\\ [$₽-419]", f"{shown} ₽"),
    ])  # fmt: skip
    return Value(text, number, code, sheet)


def day(draw: random.Random, language: Language) -> Value:
    on = date(draw.randint(2019, 2031), draw.randint(1, 12), draw.randint(1, 28))
    month = MONTHS[language.code].split()[on.month - 1] if language.code in MONTHS else ""
    text = draw.choice(language.dates).format(
        d=on.day, m=on.month, y=on.year, dd=f"{on.day:02}", mm=f"{on.month:02}", month=month
    )
    code, sheet = draw.choice([
        ("yyyy-mm-dd", f"{on:%Y-%m-%d}"), ("dd\\.mm\\.yyyy", f"{on:%d.%m.%Y}"), ("dd/mm/yyyy", f"{on:%d/%m/%Y}"),
        ('yyyy"年"m"月"d"日"', f"{on.year}年{on.month}月{on.day}日"), ("d-mmm-yyyy", f"{on.day}-{on:%b-%Y}"),
    ])  # fmt: skip
    return Value(text, on, code, sheet)


def percent(draw: random.Random, language: Language) -> Value:
    number = draw.choice([draw.randint(1, 99), draw.randint(10, 999) / 10])
    places = 0 if isinstance(number, int) else 1
    text = language.percent.format(n=grouped(number, language, places))
    code, sheet = draw.choice([(f"0{'.0' * places}%", f"{number}%"), (f"0{'.0' * places}\\ %", f"{number} %")])
    return Value(text, number / 100, code, sheet)


def negative(draw: random.Random, language: Language) -> Value:
    number = draw.randint(101, 99_999) / 100
    amount = draw.choice(language.prices).format(n=grouped(number, language))
    text = draw.choice(["-{}", "\N{MINUS SIGN}{}", "({})"]).format(amount)
    code, sheet = draw.choice([
        ("#,##0.00_);\\(#,##0.00\\)", f"({number:,.2f})"), ("#,##0.00;[Red]-#,##0.00", f"-{number:,.2f}"),
        ("#,##0.00\\ [$€-407];[Red]\\-#,##0.00\\ [$€-407]", f"-{number:,.2f} €"), ("0.00", f"-{number:.2f}"),
    ])  # fmt: skip
    return Value(text, -number, code, sheet)


def number_of(draw: random.Random) -> Value:
    """An article or account number, which keeps its zeros and all its digits."""
    digits = draw.randint(1000, 99_999)
    return draw.choice([
        Value(f"000{digits}", f"000{digits}", "@", f"000{digits}"), Value(f"{digits:09}", digits, "0" * 9, f"{digits:09}"),
        Value(f"DE-{digits:06}-17", f"DE-{digits:06}-17"), Value(f"4929{digits:05}1234567", f"4929{digits:05}1234567", "@"),
        Value(f"{digits:05}"[:2] + "-" + f"{digits:05}"[2:], digits, "00\\-000", f"{digits:05}"[:2] + "-" + f"{digits:05}"[2:]),
        Value(f"Nr. {digits}", digits, '"Nr. "0', f"Nr. {digits}"), Value(f"{digits}000000", digits * 10**6, "0", f"{digits}000000"),
        Value(f"12345{digits:05}", int(f"12345{digits:05}"), "General", f"12345{digits:05}"),
    ])  # fmt: skip


def unit(draw: random.Random, language: Language) -> Value:
    number = draw.randint(11, 990) / 10
    text = grouped(number, language, 1)
    name, code = draw.choice([("kg", '0.0" kg"'), ("m²", '0.0" m²"'), ("°C", '0.0" °C"'), ("km/h", '0.0" km/h"')])
    return Value(f"{text} {name}", number, code, f"{number} {name}")


def clock(draw: random.Random, language: Language) -> Value:
    hour, minute = draw.randint(10, 19), draw.choice(["00", "05", "30", "45"])
    return Value(language.time.format(h=hour, min=minute), (hour + int(minute) / 60) / 24, "hh:mm", f"{hour}:{minute}")


def duration(draw: random.Random) -> Value:
    hours, minutes = draw.randint(25, 99), draw.randint(10, 59)
    return Value(f"{hours}:{minutes}", (hours + minutes / 60) / 24, "[h]:mm", f"{hours}:{minutes}")


def story(code: str, seed: int) -> Story:
    """The same document for the same seed."""
    draw = random.Random(f"{code} {seed}")
    language = LANGUAGES[code]
    tale = Story(language, draw)
    tale.title = f"{language.columns[2]} {draw.randint(2019, 2031)}"
    products = draw.sample(language.products, len(language.products))
    makers = {"price": price, "date": day, "time": clock, "percent": percent, "negative": negative, "unit": unit}
    tale.facts.append(tale.title)
    for n, sentence in enumerate(draw.sample(language.sentences, len(language.sentences))):
        values = {name: make(draw, language).text for name, make in makers.items()}
        values |= {"id": number_of(draw).text, "product": products[n % len(products)]}
        text = sentence.format(**values)
        tale.facts.append(text)
        tale.paragraphs.append(text)
        if n % 2:
            tale.paragraphs.append(language.filler[n // 2])
    tale.quoted = tale.paragraphs[-1]
    tale.hidden = f"{draw.randint(10**9, 10**10)}"
    columns = draw.sample([2, 3, 4, 5, 6, 7], draw.randint(2, 5))
    by_column = {2: price, 3: day, 4: percent, 5: lambda d, _: number_of(d), 6: unit, 7: lambda d, _: duration(d)}
    names = [*language.columns, "kg / m²", "h:mm"]
    tale.header = [names[i] for i in (0, 1, *columns)]
    groups = sorted(draw.choices(range(len(language.groups)), k=min(5, len(products))))
    for n, group in enumerate(groups):
        cells = [by_column[i](draw, language) for i in columns]
        tale.rows.append([Value(products[n]), Value(language.groups[group]), *cells])
    if draw.random() < 0.3:
        tale.rows[0][0] = Value(f"{products[0]}\n({language.groups[0]})")
    if code == "ar" and draw.random() < 0.4:
        _spell(tale, {ord(str(n)): chr(0x660 + n) for n in range(10)})
    tale.band = f"{language.columns[0]} {draw.randint(41, 99)}-{draw.randint(101, 999)}" if draw.random() < 0.4 else ""
    _fit(tale, draw.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", *language.encodings, *language.encodings]))
    firsts = [n for n, group in enumerate(groups) if n == 0 or groups[n - 1] != group]
    tale.spans = [(first, groups.count(groups[first])) for first in firsts]
    return tale


def _spell(tale: Story, digits: dict[int, str]) -> None:
    """The story with other digits."""
    tale.paragraphs, tale.facts = ([text.translate(digits) for text in part] for part in (tale.paragraphs, tale.facts))
    tale.rows = [
        [
            replace(value, text=value.text.translate(digits), sheet=value.sheet or (value.text if value.raw else ""))
            for value in row
        ]
        for row in tale.rows
    ]
    tale.title, tale.quoted = tale.title.translate(digits), tale.paragraphs[-1]


def _fit(tale: Story, encoding: str) -> None:
    """The story with plainer marks where the encoding lacks them; in UTF-8 where it lacks anything else."""

    def plainer(text: str) -> str:
        return "".join(PLAINER.get(c, c) if c.encode(encoding, "replace") == b"?" else c for c in text)

    cells = [[replace(value, text=plainer(value.text)) for value in row] for row in tale.rows]
    lists = [list(map(plainer, part)) for part in (tale.paragraphs, tale.facts, tale.header)]
    try:
        "".join([*sum(lists, []), *(value.text for row in cells for value in row)]).encode(encoding)
    except UnicodeEncodeError:
        return
    tale.encoding, tale.rows = encoding, cells
    tale.paragraphs, tale.facts, tale.header = lists
    tale.title, tale.quoted, tale.band = plainer(tale.title), tale.paragraphs[-1], plainer(tale.band)
