"""Tables that are drawn with signs in a text, and those of HTML in Markdown, as plain tables of Markdown.

Search and the prompt know tables by their pipes. In "+---+" grids of pandoc, reStructuredText and MySQL, in boxes,
below the rules of psql and Org, and in reStructuredText's columns below "====", nobody could else tell cells apart.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from inhouse.documents.parsed import table

MAX_HTML_CHARS = 1_000_000  # of a table in HTML; a longer one stays as it is
_BOX = {
    **dict.fromkeys(map(ord, "┌┬┐├┼┤└┴┘╔╦╗╠╬╣╚╩╝┏┳┓┣╋┫┗┻┛╭╮╰╯╒╤╕╞╪╡╘╧╛╓╥╖╟╫╢╙╨╜┍┯┑┝┿┥┕┷┙┠┨┡┩╇"), "+"),
    **dict.fromkeys(map(ord, "─━═┄┈╌"), "-"), **dict.fromkeys(map(ord, "│┃║"), "|"),
}  # fmt: skip
_SIGNS = ("+-", "-+", "+=", "│", "┃", "║")
_GRID_RULE = re.compile(r"[ \t]*+\+(?:[-=:]++\+)++[ \t]*+")
_PIPE_RULE = re.compile(r"[ \t]*+\|?(?:[-:]++\+)++[-:]++\|?[ \t]*+")  # of psql and Org
_COLUMNS = re.compile(r"[ \t]*+={2,}+(?:[ \t]++={2,}+)++[ \t]*+")
_UNDERLINE = re.compile(r"[ \t]*+-[- \t]*+")
_ATTRIBUTES = re.compile(r"\[.{0,200}cols=\"(?:(\d{1,2})\*|([^\"]{1,200}))")
_ASCIIDOC_CELL = re.compile(r"(?:(?<=\s)|^)(?:(\d{1,2})\+)?[<^>]?[aehlmsv]?\|")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]{0,1000}>", re.IGNORECASE)
_RAISED = re.compile(r"<(su[pb])>([^<>\n]{1,60})</\1>", re.IGNORECASE)
_LAYOUT_TAG = re.compile(
    r"</?(?:details|summary|div|span|center|font|p|b|i|u|em|strong|small|kbd|mark|ins)(?:\s[^<>]{0,500})?>",
    re.IGNORECASE,
)
_STRUCK_TAG = re.compile(r"</?(?:del|strike|s)>", re.IGNORECASE)
_BREAK = re.compile(r"<br[ \t]{0,9}/?>", re.IGNORECASE)
_SUPER = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUB = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


def with_tables(text: str, columns: bool = False) -> str:
    """The text in which drawn tables are those of Markdown; `columns` are those of reStructuredText below "===="."""
    if not any(sign in text for sign in (*_SIGNS, *(["=="] if columns else []))):
        return text
    lines, kept, at, fence = text.split("\n"), list[str](), 0, ""
    while at < len(lines):
        mark = _FENCE.match(lines[at])
        if mark and not (fence and not mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        used, rows = (0, []) if fence else _drawn(lines, at, columns)
        if used:
            kept += [*([""] if kept and kept[-1].strip() else []), _written(rows)]
            kept += [""] if at + used < len(lines) and lines[at + used].strip() else []
        kept += lines[at : at + 1] if not used else []
        at += used or 1
    return "\n".join(kept)


def _drawn(lines: Sequence[str], at: int, columns: bool) -> tuple[int, list[list[str]]]:
    """How many lines the table that begins here has, and its rows; 0 if there is none."""
    line = lines[at].translate(_BOX)
    if _GRID_RULE.fullmatch(line):
        return _grid(lines, at)
    if columns and _COLUMNS.fullmatch(line):
        return _by_columns(lines, at)
    if "|" in line and at + 1 < len(lines) and _PIPE_RULE.fullmatch(lines[at + 1].translate(_BOX)):
        return _with_rule(lines, at)
    return 0, []


def _written(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table of Markdown, whose first row may be empty; a frame around text as its text."""
    if max(map(len, rows), default=0) == 1:
        return "\n\n".join(row[0] for row in rows if row[0])
    return table(rows, header=len(rows) < 2 or any(rows[0]))


def _spaced(line: str) -> str:
    """The line with a NUL after each wide character, so that places in it are those on the screen."""
    return "".join(c + "\0" * (unicodedata.east_asian_width(c) in "WF") for c in line) if not line.isascii() else line


def _grid(lines: Sequence[str], at: int) -> tuple[int, list[list[str]]]:
    block: list[str] = []
    for line in lines[at:]:
        drawn = _spaced(line.translate(_BOX).strip())
        if not drawn.startswith(("+", "|")) or not drawn.endswith(("+", "|")):
            break
        block.append(drawn)
    rules = [n for n, line in enumerate(block) if _GRID_RULE.fullmatch(line)]
    if len(rules) < 2 or rules[-1] == rules[0] + 1:
        return 0, []
    block = block[: rules[-1] + 1]
    places = sorted({i for n in rules for i, c in enumerate(block[n]) if c == "+"})
    lines_are_rows = len(rules) == 3 and not any("=" in block[n] for n in rules)
    rows: list[list[list[str]]] = []
    fresh = [True] * (len(places) - 1)
    header = 1
    for line in block[1:]:
        segments = [line[a + 1 : b] for a, b in pairwise(places)]
        ruled = [bool(s) and not s.strip("-=:+") for s in segments]
        if any(ruled) and ("+" in line):
            fresh = [new or rule for new, rule in zip(fresh, ruled, strict=True)]
            if not all(ruled):  # a cell that spans rows goes on
                rows.append([[] if rule else rows[-1][n] for n, rule in enumerate(ruled)] if rows else [])
                fresh = [False] * len(fresh)
            else:
                header = len(rows) if "=" in line and line is not block[-1] else header
                continue
        elif all(fresh) or lines_are_rows:
            rows.append([[] for _ in segments])
            fresh = [False] * len(fresh)
        if rows and rows[-1]:
            _put(line, places, ruled, rows[-1])
    cells = [[" ".join(filter(None, cell)).replace("\0", "") for cell in row] for row in rows]
    top = [" ".join(dict.fromkeys(filter(None, names))) for names in zip(*cells[:header], strict=False)]
    return len(block), [top, *cells[header:]]


def _put(line: str, places: Sequence[int], ruled: Sequence[bool], row: list[list[str]]) -> None:
    """Adds the texts of a line to the cells of a row; one that spans columns is in each of them."""
    start = 0
    for end in range(1, len(places)):
        at = places[end]
        if end < len(places) - 1 and line[at : at + 1] not in ("|", "+"):
            continue
        words = line[places[start] + 1 : at].strip()
        for cell in row[start:end] if not ruled[start] else []:
            if words and not (cell and cell[-1] == words and cell is row[start - 1]):
                cell.append(words)
        start = end


def _with_rule(lines: Sequence[str], at: int) -> tuple[int, list[list[str]]]:
    """A header, a rule with "+", and rows with pipes; rules between the rows are left out."""
    rows = []
    count = lines[at].strip().strip("|").count("|")
    end = at
    for end in range(at, len(lines) + 1):
        line = lines[end].translate(_BOX) if end < len(lines) else ""
        if _PIPE_RULE.fullmatch(line):
            continue
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if len(cells) != count + 1 or count < 1:
            break
        rows.append(cells)
    return (end - at, rows) if len(rows) > 1 else (0, [])


def _by_columns(lines: Sequence[str], at: int) -> tuple[int, list[list[str]]]:
    """A simple table of reStructuredText: its cells stand below the runs of "="."""
    starts = [m.start() for m in re.finditer(r"=+", lines[at])]
    above: list[str] = []
    rules = [at]
    for n in range(at + 1, min(at + 2000, len(lines))):
        if _COLUMNS.fullmatch(lines[n]):
            rules.append(n)
            if n + 1 >= len(lines) or not lines[n + 1].strip() or len(rules) == 3:
                break
    if len(rules) < 2:
        return 0, []
    rows: list[list[str]] = []
    for line, following in pairwise(lines[at + 1 : rules[-1] + 1]):
        if not line.strip() or _COLUMNS.fullmatch(line) or _UNDERLINE.fullmatch(line):
            continue
        spans = _UNDERLINE.fullmatch(following)
        first = [m.start() for m in re.finditer(r"-+", following)] if spans else starts
        shown = _spaced(line)
        runs = [shown[a:b].replace("\0", "").strip() for a, b in zip(first, [*first[1:], len(shown)], strict=True)]
        cells = [runs[max(bisect(first, start) - 1, 0)] for start in starts]
        if spans and not rows:
            above = cells
        elif above:
            rows.append([" ".join(dict.fromkeys(filter(None, pair))) for pair in zip(above, cells, strict=True)])
            above = []
        elif cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells, strict=True)]
    return rules[-1] - at + 1, rows if len(rules) > 2 else [[""] * len(starts), *rows]


def with_asciidoc_tables(text: str) -> str:
    """The text in which tables of AsciiDoc ("|===") are those of Markdown; a cell over columns is in each of them."""
    if "|===" not in text:
        return text
    kept: list[str] = []
    cells: list[str] | None = None
    columns, last = 0, 1
    for line in text.split("\n"):
        if line.strip() == "|===" and cells is None:
            cells, columns = [], 0
            if kept and (found := _ATTRIBUTES.search(kept[-1])):
                columns = int(found[1]) if found[1] else found[2].count(",") + 1
            if kept and kept[-1].startswith("["):
                kept.pop()
        elif line.strip() == "|===":
            rows = [cells[n : n + columns] for n in range(0, len(cells or []), max(columns, 1))] if cells else []
            kept += ["", table(rows), ""]
            cells = None
        elif cells is None:
            kept.append(line)
        else:
            more, *others = _ASCIIDOC_CELL.split(line)
            if more.strip() and cells:
                cells[-last:] = [f"{cells[-1]} {more.strip()}"] * last
            for span, cell in zip(others[::2], others[1::2], strict=True):
                last = max(int(span or 1), 1)
                cells += [cell.strip()] * last
            columns = columns or len(cells)
    return text if cells is not None else "\n".join(kept)


def without_html(text: str, code: Callable[[str], list[tuple[int, int]]]) -> str:
    """Markdown whose tables in HTML are Markdown's, and without tags that say how words look, outside of code."""
    if "</" not in text and "<br" not in text:
        return text
    parts, done = [], 0
    for start, end in [*code(text), (len(text), len(text))]:
        if start > done:
            parts.append(_plain("".join(_html_tables(text[done:start]))))
        parts.append(text[max(start, done) : end])
        done = max(end, done)
    return "".join(parts)


def _html_tables(text: str) -> Iterator[str]:
    done = depth = start = 0
    for tag in _TABLE_TAG.finditer(text):
        depth = max(depth + (-1 if tag[1] else 1), 0)
        if depth == 1 and not tag[1]:
            start = tag.start()
        elif depth == 0 and tag[1] and start >= done and tag.end() - start <= MAX_HTML_CHARS:
            from inhouse.documents.markup import markdown, tree

            root = tree(text[start : tag.end()])
            if root is not None:
                yield from (text[done:start], "\n\n", markdown(root).strip(), "\n\n")
                done = tag.end()
    yield text[done:]


def _plain(text: str) -> str:
    text = _RAISED.sub(_shifted, text)
    text = _BREAK.sub(" ", text)
    return _STRUCK_TAG.sub("~~", _LAYOUT_TAG.sub("", text))


def _shifted(found: re.Match[str]) -> str:
    """Raised or lowered text: digits as Unicode has them, so that they change no number; a mark in brackets."""
    words = found[2].strip()
    if not any(map(str.isdigit, words)):
        return words
    shown = words.translate(_SUPER if found[1].lower() == "sup" else _SUB)
    return f" [{words}]" if any(c in "0123456789" or (c.isalpha() and c != "ⁿ") for c in shown) else shown
