"""Rich Text Format to Markdown: text by its code pages, tables, raised figures; not what is hidden or deleted.

Written here because striprtf, the library with a license that fits, glues raised figures to numbers ($28 and a note 1
become $281), and keeps hidden and deleted text. Groups that a reader does not know are skipped where they say so
(`\\*`), as the specification (RTF 1.9.1) asks.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from inhouse.documents.drawing import lowered, raised
from inhouse.documents.parsed import Parsed, Unreadable, table

SAME_EDGE = 60  # twips between the edges of cells that stand in one column
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)|\\"
)
_SKIPPED = frozenset(
    """fonttbl colortbl stylesheet info pict header headerl headerr headerf footer footerl footerr footerf nonshppict
    fldinst shprslt do listtable listoverridetable revtbl rsidtbl generator themedata colorschememapping datastore
    latentstyles xmlnstbl sp atnid atnauthor atntime atndate atnref bkmkstart bkmkend tc xe rxe txe object pnseclvl
    filetbl mmathPr wgrffmtfilter ftnsep ftnsepc aftnsep aftnsepc docvar userprops private objdata""".split()  # noqa: SIM905
)
_KEPT = frozenset({"shpinst", "shptxt", "annotation", "ud", "pn", "pntext", "fldrslt", "pntxtb", "pntxta"})
_SIGNS = {"emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
          "rdblquote": "”", "tab": "\t", "line": "\n", "emspace": " ", "enspace": " ", "qmspace": " ",
          "~": "\xa0", "_": "-", "-": "", "{": "{", "}": "}", "\\": "\\"}  # fmt: skip
_CHARSETS = {77: "mac-roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "cp950", 161: "cp1253",
             162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251",
             222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850"}  # fmt: skip


@dataclass
class _State:
    """The formatting of a group."""

    skipped: bool = False
    starred: bool = False
    hidden: bool = False
    shift: int = 0  # 1 raised, -1 lowered
    codepage: str = "cp1252"
    fallback: int = 1  # bytes that follow a character in Unicode for older readers
    into: str = ""  # the note or property that the text belongs to
    label: bool = False  # the number or bullet of a list item


class _Edge(NamedTuple):
    """Where a cell ends, in twips, and the words that merge the cell with the one to its left or above."""

    at: int
    merged: frozenset[str]


@dataclass
class _Reader:
    """What was read so far."""

    blocks: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    rows: list[tuple[list[str], list[_Edge]]] = field(default_factory=list)
    edges: list[_Edge] = field(default_factory=list)  # of the row that is being read
    merged: set[str] = field(default_factory=set)  # what is known of the next edge
    notes: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)  # the text of a footnote or comment that is being read
    pending: bytes = b""
    title: str = ""
    hidden: int = 0
    level: int = 0
    in_table: bool = False
    default: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    font: int = 0

    def write(self, text: str, state: _State) -> None:
        if state.hidden:
            self.hidden += len(text)
            return
        if state.shift:
            text = raised(text) if state.shift > 0 else lowered(text)
        (self.aside if state.into else self.text).append(text)

    def flush(self, state: _State) -> None:
        if self.pending:
            data, self.pending = self.pending, b""
            if not state.skipped:
                self.write(data.decode(state.codepage, "replace"), state)

    def end_paragraph(self) -> None:
        words = _joined(self.text)
        self.text.clear()
        if self.in_table:
            self.cells[-1:] = [f"{self.cells[-1]} {words}".strip()] if self.cells else [words]
            return
        self.end_table()
        if words:
            mark = "#" * self.level + " " if 0 < self.level <= 6 and "\n" not in words else ""
            self.blocks.append(mark + words)

    def end_cell(self) -> None:
        words = _joined(self.text)
        self.text.clear()
        if not self.cells:
            self.cells = [""]
        self.cells[-1] = f"{self.cells[-1]} {words}".strip()
        self.cells.append("")

    def end_row(self) -> None:
        self.rows.append((self.cells[:-1] if self.cells and not self.cells[-1] else self.cells, self.edges))
        self.cells = []

    def end_table(self) -> None:
        if self.rows:
            self.blocks.append(table(_grid(self.rows)))
            self.rows = []


def _grid(rows: Sequence[tuple[list[str], list[_Edge]]]) -> list[list[str]]:
    """The cells of a table; one over several rows or columns repeats, so that all rows have as many."""
    widest = max(len(cells) for cells, _ in rows)
    spread = any(len(cells) != widest for cells, _ in rows) and all(len(edges) >= len(cells) for cells, edges in rows)
    columns: list[int] = []
    for at in sorted({edge.at for _, edges in rows for edge in edges} if spread else ()):
        columns += [at] if not columns or at - columns[-1] > SAME_EDGE else []
    grid: list[list[str]] = []
    for cells, edges in rows:
        line: list[str] = []
        for n, cell in enumerate(cells):
            merged = edges[n].merged if n < len(edges) else frozenset()
            end = bisect_left(columns, edges[n].at - SAME_EDGE) + 1 if spread else n + 1
            above = grid[-1][len(line)] if grid and len(line) < len(grid[-1]) else ""
            beside = line[-1] if line else ""
            text = cell or (above if "clvmrg" in merged else beside if "clmrg" in merged else "")
            line += [text] * (end - len(line))
        grid.append(line)
    return grid


def _joined(parts: list[str]) -> str:
    text = "".join(parts)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip()


def read_rtf(data: bytes) -> Parsed:
    """The text of a file in Rich Text Format.

    Raises:
        Unreadable: it is another kind of file.
    """
    start = data.find(b"{\\rtf", 0, 200)
    if start < 0:
        raise Unreadable("not a file in Rich Text Format")
    reader, state = _Reader(), _State()
    stack: list[_State] = []
    skip, at = 0, start  # bytes of fallback still to be skipped
    while match := _TOKEN.match(data, at):
        at = match.end()
        word, number, byte, sign, brace, raw = match.groups()
        if byte or raw:
            found = bytes([int(byte, 16)]) if byte else raw
            reader.pending += found[skip:]
            skip = max(0, skip - len(found))
            continue
        if word == b"u" and number and not state.skipped:
            reader.flush(state)
            reader.write(chr(int(number) % 65536), state)
            skip = state.fallback
            continue
        if not (word or sign or brace):
            continue
        reader.flush(state)
        skip = 0
        if brace == b"{":
            stack.append(replace(state))
        elif brace:
            _close(reader, state, stack)
            state = stack.pop() if stack else _State()
            if not stack:
                break
        elif sign == b"*":
            state.starred = True
        elif word == b"bin":
            at += max(int(number or 0), 0)
        else:
            name = (word or sign or b"").decode("ascii", "replace")
            _control(reader, state, name, int(number) if number else None)
    reader.flush(state)
    reader.end_paragraph()
    reader.end_table()
    note = f"hidden or deleted text left out ({reader.hidden} characters)" if reader.hidden else ""
    return Parsed(text="\n\n".join([*reader.blocks, *reader.notes]), title=reader.title, note=note)


def _close(reader: _Reader, state: _State, stack: list[_State]) -> None:
    """The end of a group: a footnote, comment or title is complete."""
    if state.into and (not stack or stack[-1].into != state.into):
        words = _joined(reader.aside)
        reader.aside.clear()
        if state.into == "title":
            reader.title = words
        elif words:
            reader.notes.append(f"[{state.into.capitalize()}: {words}]")


def _control(reader: _Reader, state: _State, name: str, number: int | None) -> None:
    on = number != 0
    starred, state.starred = state.starred, False
    if name in _SKIPPED or (starred and name not in _KEPT):
        state.skipped = True
    elif name in ("title", "footnote", "annotation"):
        state.into, state.skipped = "comment" if name == "annotation" else name, False
        state.shift = 0
    elif name == "ud":
        state.skipped = False
    elif name == "upr":
        state.skipped = True
    elif name == "f" and number is not None:
        state.codepage, reader.font = reader.fonts.get(number, reader.default), number
    elif name == "fcharset":
        reader.fonts[reader.font] = _CHARSETS.get(number or 0, reader.default)
    elif name == "ansicpg" and number:
        state.codepage = reader.default = _codec(number)
    elif name in ("mac", "pc", "pca"):
        state.codepage = reader.default = {"mac": "mac-roman", "pc": "cp437", "pca": "cp850"}[name]
    elif name == "uc":
        state.fallback = number or 0
    elif name == "htmlrtf":
        state.skipped = on
    elif not state.skipped:
        _format(reader, state, name, number, on)


def _format(reader: _Reader, state: _State, name: str, number: int | None, on: bool) -> None:
    if name in ("par", "sect", "page", "column", "\n", "\r"):
        if state.into:
            reader.aside.append(" ")
        else:
            reader.end_paragraph()
    elif name in ("cell", "nestcell"):
        reader.end_cell()
    elif name == "row":
        reader.end_row()
    elif name in ("v", "deleted"):
        state.hidden = on
    elif name in ("super", "sub", "up", "dn", "nosupersub"):
        state.shift = 0 if name == "nosupersub" or not on else 1 if name in ("super", "up") else -1
    elif name in _SIGNS:
        reader.write(_SIGNS[name], state)
    else:
        _arrange(reader, state, name, number)


def _arrange(reader: _Reader, state: _State, name: str, number: int | None) -> None:
    """What a paragraph is: a part of a table, a heading, or the number of a list item."""
    match name:
        case "intbl":
            reader.in_table = True
        case "trowd":
            reader.edges, reader.merged = [], set()
        case "clvmrg" | "clmrg":
            reader.merged.add(name)
        case "cellx":
            reader.edges.append(_Edge(number or 0, frozenset(reader.merged)))
            reader.merged = set()
        case "listtext" | "pntext":
            state.label = True
        case "pard" if not state.label:
            reader.in_table, reader.level = False, 0
        case "outlinelevel":
            reader.level = (number or 0) + 1
        case "plain":
            state.hidden, state.shift, state.codepage = False, 0, reader.default


def _codec(codepage: int) -> str:
    name = {65001: "utf-8", 10000: "mac-roman", 936: "gb18030", 1361: "johab"}.get(codepage, f"cp{codepage}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"
