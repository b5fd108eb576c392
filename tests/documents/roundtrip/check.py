"""Documents made and read again: which facts are lost, and which numbers are in the text that no author wrote."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inhouse.documents import parse
from roundtrip import office, plain
from roundtrip.facts import Story, story
from roundtrip.languages import LANGUAGES

WRITERS: dict[str, Callable[[Story], bytes]] = {
    **{name: getattr(office, name) for name in ("docx", "xlsx", "pptx", "odt", "ods", "rtf")},
    **{name: getattr(plain, name) for name in ("html", "eml", "csv", "tsv", "md", "txt", "json", "epub", "pdf")},
}
BANDED = frozenset(
    {"docx", "xlsx", "pptx", "odt", "ods", "html", "epub", "eml", "rtf"}
)  # have cells over several columns
_NUMBER = re.compile(r"\d+(?:[.,:/'’٫٬-]\d+)*")
_IN_LINE = re.compile(r"(?<=[\u3000-\u9fff\uf900-\uffef])\s+|\s+(?=[\u3000-\u9fff\uf900-\uffef])")
_DASHES = {ord(c): "-" for c in "\u2010\u2011\u2012\u2013\u2014\u2212\uff0d"}


@dataclass(frozen=True)
class Result:
    """What is wrong with one document; all empty where nothing is. `skipped` says why it was not made or read."""

    format: str
    language: str
    seed: int
    wrong: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    note: str = ""
    skipped: str = ""

    @property
    def silent(self) -> bool:
        return bool(self.lost) and not self.note


def cases(count: int) -> Iterator[tuple[str, str, int]]:
    """Format, language and seed of as many documents, evenly over all formats and languages."""
    pairs = [(name, code) for name in WRITERS for code in LANGUAGES]
    # a step without a common factor visits formats and languages evenly, however few documents there are
    return ((*pairs[n * 37 % len(pairs)], n // len(pairs)) for n in range(count))


def flat(text: str) -> str:
    """The text on one line, without marks of Markdown and the spaces between Han and kana."""
    text = (
        unicodedata.normalize("NFC", text).translate(_DASHES).replace("\\", "").replace("**", "").replace("<br>", " ")
    )
    return _IN_LINE.sub("", " ".join(text.split()))


def ragged(text: str) -> list[str]:
    """The rows of Markdown tables that have more or fewer cells than the first one."""
    odd, width = [], 0
    for line in text.split("\n"):
        cells = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        width = width if cells and width else cells
        odd += [line] if cells != width else []
    return odd


def check(name: str, code: str, seed: int) -> Result:
    """Makes one document, reads it, and compares."""
    if f".{name}" not in parse.FORMATS:
        return Result(name, code, seed, skipped="the format is not read")
    tale = story(code, seed)
    try:
        data = WRITERS[name](tale)
    except plain.NotHere as reason:
        return Result(name, code, seed, skipped=str(reason))
    try:
        parsed = parse.parse(data, f".{name}")
    except parse.Unreadable as reason:
        return Result(name, code, seed, lost=(f"all: {reason}",), note=str(reason))
    text = flat(parsed.text)
    lost = [fact for fact in tale.facts if flat(fact) not in text]
    lines = [flat(line) for line in parsed.text.split("\n")]
    wrong = []
    for row in ([tale.header] if tale.rows else []) + tale.shown:
        cells = [flat(cell) for cell in row]
        if missing := [cell for cell in cells if cell not in text]:
            lost += missing
        elif name != "json" and not any(all(cell in line for cell in cells) for line in lines):
            wrong.append(f"not in one row: {row}")
    banded = name in BANDED and bool(tale.rows)
    if banded and flat(tale.band) not in text:
        lost.append(tale.band)
    author = flat(
        "\n".join([tale.band * banded, *tale.paragraphs, *tale.facts, *tale.header, *sum(tale.shown, []), *tale.noise])
    )
    known = set(_NUMBER.findall(author))
    after = "".join(
        lines[n + 1] for n, line in enumerate(lines[:-1]) if all(flat(cell) in line for cell in tale.header)
    )
    if tale.rows and not (banded and tale.band) and name not in ("json", "pdf") and "| --- |" not in after:
        wrong.append("the row of column names is no header")
    if tale.noted and not parsed.note:
        lost.append("a formula")
    wrong += [number for number in dict.fromkeys(_NUMBER.findall(text)) if number not in known]
    if text.count(flat(tale.quoted)) > 1:
        wrong.append(f"twice: {tale.quoted}")
    wrong += [f"a row without all cells: {line}" for line in ragged(parsed.text)]
    if (
        name == "pdf"
        and not lost
        and (places := [text.index(flat(part)) for part in tale.paragraphs]) != sorted(places)
    ):
        wrong.append("not in reading order")
    return Result(name, code, seed, tuple(wrong), tuple(lost), parsed.note)


def table(results: list[Result]) -> str:
    """Formats by languages: documents, "w" wrong values and "l" silent losses; "-" where none was made."""
    lines = ["format " + " ".join(f"{code:>7}" for code in LANGUAGES)]
    for name in WRITERS:
        cells = []
        for code in LANGUAGES:
            own = [r for r in results if (r.format, r.language) == (name, code) and not r.skipped]
            wrong, lost = sum(len(r.wrong) for r in own), sum(len(r.lost) for r in own if r.silent)
            bad = f" {wrong}w" * bool(wrong) + f" {lost}l" * bool(lost)
            cells.append(f"{len(own)}{bad}" if own else "-")
        lines.append(f"{name:<6} " + " ".join(f"{cell:>7}" for cell in cells))
    made = [r for r in results if not r.skipped]
    lines.append(
        f"{len(made)} documents: {sum(len(r.wrong) for r in made)} wrong values, "
        f"{sum(len(r.lost) for r in made if r.silent)} silent losses, {sum(len(r.lost) for r in made if not r.silent)} noted"
    )
    for (name, why), count in Counter((r.format, r.skipped) for r in results if r.skipped).items():
        lines.append(f"{name}: {count} not made: {why}")
    return "\n".join(lines)
