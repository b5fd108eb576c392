"""Formats that are text: Markdown and other markups, tables in CSV, logs, settings, subtitles.

Front matter becomes metadata, and one line of the text, so that search finds it. Comments are for authors and go.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from inhouse.documents.clean import underlined_headings
from inhouse.documents.grid import looks_numeric
from inhouse.documents.parsed import Parsed, table
from inhouse.documents.text_tables import with_asciidoc_tables, with_tables, without_html
from inhouse.text.encoding import decode

_YAML = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_PAIR = re.compile(r"([A-Za-z][\w -]*):(.*)")
MAX_FRONT_CHARS, MAX_VALUES = 20_000, 200
_FOR_PROGRAMS = re.compile(
    r"title|layout|permalink|slug|weight|template|url|uid|id|guid|aliases|redirect.*|sidebar.*|nav.*|hide.*|toc|math|katex"
    r"|comments|image|cover|icon|css|cssclass.*|order|position|pagination.*|custom_edit_url|lang|locale|theme|draft_id"
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_COMMENT = re.compile(r"<!--|\{/\*|\{% comment %\}|^\[(?://|comment)\]: ?(?:#|<>) ?[\"'(].*[\"')][ \t]*$", re.MULTILINE)
_MARKS = ("<!--", "{/*", "{% comment %}", "[//]:", "[comment]:")
_ENDS = {"<!--": "-->", "{/*": "*/}", "{% comment %}": "{% endcomment %}"}
_RULE = re.compile(r"([^\w\s])\1{2,}[ \t]*")
_RST_COMMENT = re.compile(r"\.\.(?: (?!\[|_|\||[\w:.+-]+::).*)?")
_TIMING = re.compile(r"(?:\d+:)?\d\d:\d\d[.,]\d{3} --> ")
_VOICE = re.compile(r"<v(?:\.[\w.]+)? ([^<>]+)>")
_TAG = re.compile(r"</?[\w.:]+(?: [^<>]*)?>|\{\\an?\d\}")


def read_text(data: bytes) -> Parsed:
    text, note = decode(data)
    return Parsed(text=underlined_headings(with_tables(_lines_of(text))), note=note)


def read_markdown(data: bytes) -> Parsed:
    text, note = decode(data)
    meta, text, problem = front_matter(_lines_of(text))
    text, comments = without_comments(text)
    left_out = f"{comments} comment{'s' * (comments > 1)} left out" if comments else ""
    text = underlined_headings(with_tables(without_html(text, _code)))
    text = _with_metadata(text, meta)
    return Parsed(text=text, title=meta.get("title", ""), note=_joined(note, problem, left_out), meta=meta)


def _joined(*notes: str) -> str:
    return ", ".join(filter(None, notes))


def _lines_of(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def front_matter(text: str) -> tuple[dict[str, str], str, str]:
    """The values of front matter (YAML or TOML) by key, the text without it, and a note if it cannot be read.

    Values stay as they are written. Lists are joined by commas; the keys of nested values by dots.
    """
    if not text.startswith(("---", "+++")):
        return {}, text, ""
    block = _YAML.match(text) or _TOML.match(text)
    if block is None or len(block[1]) > MAX_FRONT_CHARS:
        return {}, text, ""
    pairs = _simple_pairs(block[1]) if text[0] == "-" else None
    if pairs is None:
        try:
            pairs = dict(_flat(tomllib.loads(block[1]) if text[0] == "+" else _yaml(block[1])))
        except (ValueError, RecursionError):
            lines = (_PAIR.match(line) for line in block[1].splitlines())
            pairs = {m[1].lower(): value for m in lines if m and (value := m[2].strip(" \t'\""))}
            return pairs, text[block.end() :] if pairs else text, "front matter is not valid: only plain lines are read"
    return pairs, text[block.end() :] if pairs else text, ""


def _simple_pairs(block: str) -> dict[str, str] | None:
    """Lines of `key: value` without YAML's signs, read quickly; None for everything else."""
    pairs = {}
    for line in block.splitlines():
        match = _PAIR.fullmatch(line)
        value = match[2].strip() if match else ""
        if match is None or value[:1] in "[{&*!|>%@`#'\"" or " #" in value or ": " in value:
            return None
        pairs[match[1].lower()] = value
    return {key: value for key, value in pairs.items() if value}


def _yaml(block: str) -> object:
    import yaml

    try:
        return yaml.load(block, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings, lists and dicts alone
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys and values, at most MAX_VALUES: aliases can stand for endless ones."""
    waiting, n = [(prefix, value)], 0
    while waiting and n < MAX_VALUES:
        key, value = waiting.pop()
        n += 1
        if isinstance(value, Mapping):
            dot = f"{key}." if key else ""
            waiting += [(f"{dot}{str(name).lower()}", inner) for name, inner in reversed(list(value.items()))]
        elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
            waiting += [(key if len(value) == 1 else f"{key}.{i + 1}", value[i]) for i in reversed(range(len(value)))]
        elif key and (words := _words(value)):
            yield key, words


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, (_words(item) for item in value[:MAX_VALUES])))
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(str(value).split())


def _with_metadata(text: str, meta: Mapping[str, str]) -> str:
    """The text with a line of its metadata under its title, without what is for programs alone."""
    said = {key: value for key, value in meta.items() if not _FOR_PROGRAMS.fullmatch(key.replace("-", "_"))}
    if not said:
        return text
    pairs = [f"{re.sub('[._-]', ' ', key)}: {value}".rstrip(".") for key, value in said.items()]
    line = ". ".join(pair[0].upper() + pair[1:] for pair in pairs) + "."
    start = text.lstrip("\n")
    first, _, rest = start.partition("\n")
    return f"{first}\n\n{line}\n{rest}" if first.startswith("# ") else f"{line}\n\n{start}"


def without_comments(text: str) -> tuple[str, int]:
    """Markdown without comments (of HTML, MDX, Jekyll, and as links) outside code, and how many there were."""
    if not any(mark in text for mark in _MARKS):
        return text, 0
    code = _code(text)
    kept, done, n = [], 0, 0
    while comment := _COMMENT.search(text, done):
        start, mark = comment.span()[0], comment[0]
        stop = text.find(_ENDS[mark], comment.end()) if mark in _ENDS else comment.end()
        inside = next((end for begin, end in code if begin <= start < end), 0)
        if inside or stop < 0:
            end = inside if inside else len(text) if stop < 0 and mark == "<!--" else comment.end()
            kept.append(text[done:end])
            done = end
            continue
        stop += len(_ENDS.get(mark, ""))
        kept.append(text[done:start])
        done, n = stop, n + 1
    return "".join([*kept, text[done:]]), n


def _code(text: str) -> list[tuple[int, int]]:
    """Where fenced code blocks and code within a line begin and end."""
    spans, fence, begin, at = [], "", 0, 0
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if match and not fence:
            fence, begin = match[1], at
        elif match and fence and match[1].startswith(fence) and not match[2].strip():
            spans.append((begin, at + len(line)))
            fence = ""
        elif not fence and "`" in line:
            ticks = [i for i, character in enumerate(line) if character == "`"]
            spans += [(at + a, at + b + 1) for a, b in zip(ticks[::2], ticks[1::2], strict=False)]
        at += len(line)
    return [*spans, (begin, at)] if fence else spans


def read_table(data: bytes, delimiters: str = ",;\t|") -> Parsed:
    """A Markdown table of CSV; the delimiter is the one that gives most rows the same number of cells."""
    text, note = decode(data)
    stated = re.match(r"(?i)sep=(.)(?:\r\n?|\n)", text)  # written for Excel
    if stated:
        text, delimiters = text[stated.end() :], stated[1]
    sample = re.match(r"(?s).{1,8192}(?=[\r\n]|\Z)", text)  # whole lines
    delimiter = max(delimiters, key=lambda sign: _regularity(sample[0] if sample else text[:8192], sign))
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    first = _header_row(rows)
    titles = ["".join(row).strip() for row in rows[:first]]
    parts = [table(part, header=not _is_data(part)) for part in _tables(rows[first:])]
    return Parsed(text="\n\n".join(filter(None, [*titles, *parts])), note=note)


def _tables(rows: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    """The rows of each table: a blank row ends one if names without numbers follow, and then rows with numbers."""
    part: list[Sequence[str]] = []
    for filled, group in groupby(rows, lambda row: any(map(str.strip, row))):
        block = list(group)
        names = filled and len(block) > 1 and sum(map(bool, block[0])) > 1 and not any(map(looks_numeric, block[0]))
        if part and names and any(map(looks_numeric, block[1])):
            yield part
            part = []
        part += block if filled else []
    if part:
        yield part


def _is_data(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is one of numbers like all the others, and no header; years and 1, 2, 3 may be names."""
    if len(rows) < 2 or sum(map(bool, rows[0])) < 2:
        return False
    numbers = [n for n, cell in enumerate(rows[0]) if looks_numeric(cell)]
    if all(re.fullmatch(r"(?:19|20)\d\d", rows[0][n]) or rows[0][n] == str(i + 1) for i, n in enumerate(numbers)):
        return False
    return any(all(n < len(row) and looks_numeric(row[n]) for row in rows if any(row)) for n in numbers)


def _header_row(rows: Sequence[Sequence[str]]) -> int:
    """The row with the names of the columns: the first with several cells, if those above are titles of one cell.

    The first row where most rows have one cell: their commas are part of the text.
    """
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    first = next((n for n, count in enumerate(filled) if count > 1), 0)
    alone = all(len(row) <= 1 for row in rows[:first]) or filled[first] == len(rows[first])
    return first if alone and 2 * sum(count > 1 for count in filled[first:]) > len(filled) - first else 0


def read_tsv(data: bytes) -> Parsed:
    return read_table(data, "\t,;|")


def _regularity(sample: str, delimiter: str) -> float:
    """Share of the rows that have as many cells as most rows, of those with two or more cells."""
    try:
        rows = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error:
        return -1.0
    usual = max(set(rows), key=rows.count, default=0)
    return rows.count(usual) / len(rows) + usual / 1000 if usual > 1 else 0.0


def read_settings(data: bytes) -> Parsed:
    """A log or a file of settings, as it is, in a code block: its lines are neither headings nor sentences."""
    text, note = decode(data)
    fence = "~~~~" if "```" in text else "```"
    body = _lines_of(text).strip("\n")
    return Parsed(text=f"{fence}\n{body}\n{fence}" if body.strip() else "", note=note)


def read_subtitles(data: bytes) -> Parsed:
    """What is said in subtitles (SRT and WebVTT), without times; speakers where they are named."""
    text, note = decode(data)
    said: list[str] = []
    speaker, skipping = "", False
    for line in _lines_of(text).split("\n"):
        words = line.strip()
        if not words or _TIMING.match(words) or words.isdigit() or words.startswith(("WEBVTT", "X-TIMESTAMP", "Kind:")):
            skipping = False if not words else skipping
            continue
        skipping |= words.startswith(("NOTE", "STYLE", "REGION"))
        voice = _VOICE.search(words)
        words = _TAG.sub("", words).strip()
        if skipping or not words or (said and said[-1].endswith(words)):  # live captions repeat the line before
            continue
        if voice and voice[1] != speaker:
            speaker = voice[1].strip()
            said.append(f"\n{speaker}: {words}")
        else:
            said.append(words)
    return Parsed(text="\n".join(said).strip(), note=note)


def read_rst(data: bytes) -> Parsed:
    """reStructuredText, with Markdown headings; the first kind of underline is the first level."""
    text, note = decode(data)
    lines, kept, levels = with_tables(_lines_of(text), columns=True).split("\n"), [], []
    comment = False
    for i, line in enumerate(lines):
        below = lines[i + 1] if i + 1 < len(lines) else ""
        comment = (comment and (not line.strip() or line[0] in " \t")) or bool(_RST_COMMENT.fullmatch(line))
        rule = _RULE.fullmatch(below)
        if comment:
            continue
        if rule and line.strip() and not _RULE.fullmatch(line) and len(below.strip()) >= len(line.strip()) // 2:
            if below[0] not in levels:
                levels.append(below[0])
            kept += ["", "#" * min(levels.index(below[0]) + 1, 6) + " " + line.strip(), ""]
        elif not (_RULE.fullmatch(line) and (_was_title(lines, i) or _is_overline(lines, i))):
            kept.append(line)
    return Parsed(text="\n".join(kept), note=note)


def _was_title(lines: list[str], i: int) -> bool:
    return i > 0 and bool(lines[i - 1].strip()) and not _RULE.fullmatch(lines[i - 1])


def _is_overline(lines: list[str], i: int) -> bool:
    return i + 2 < len(lines) and lines[i + 2].strip() == lines[i].strip() and bool(lines[i + 1].strip())


def _markup(heading: str, comment: str, attribute: str, block: str = "") -> Callable[[bytes], Parsed]:
    """A reader of a markup whose headings begin with a repeated sign."""
    heading_line, comment_line, pair = re.compile(heading), re.compile(comment), re.compile(attribute)

    def read(data: bytes) -> Parsed:
        text, note = decode(data)
        meta: dict[str, str] = {}
        kept: list[str] = []
        hidden, fence = False, ""
        for line in with_asciidoc_tables(with_tables(_lines_of(text))).split("\n"):
            low = line.strip().lower()
            if low.startswith(("----", "....", "#+begin_", "#+end_")):
                fence = "" if fence else low[:4]
                kept.append("```")
            elif fence:
                kept.append(line)
            elif block and line.rstrip() == block:
                hidden = not hidden
            elif match := pair.fullmatch(line):
                meta[match[1].lower()] = match[2].strip()
            elif match := heading_line.fullmatch(line):
                kept.append("#" * min(len(match[1]), 6) + " " + match[2].strip())
            elif not hidden and not comment_line.fullmatch(line):
                kept.append(line)
        meta = {key: value for key, value in meta.items() if value}
        return Parsed(text=_with_metadata("\n".join(kept), meta), title=meta.get("title", ""), note=note, meta=meta)

    return read


read_asciidoc = _markup(r"(={1,6}) (.+)", r"//(?!/).*", r":([A-Za-z][\w-]*):(.*)", block="////")
read_org = _markup(r"(\*{1,6}) (.+)", r"# .*|#|:(?:PROPERTIES|END|ID|CUSTOM_ID):.*", r"#\+(\w+):(.*)")
