"""Word documents (.docx, .docm, .dotx, .dotm) to Markdown.

The parts are read here, since the converter of markitdown (mammoth) leaves out the numbers of headings, text boxes,
SmartArt, headers and comments, shows hidden text, and lets a superscript or a merged cell change a value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, zip_longest
from typing import NamedTuple

from lxml import etree

from inhouse.documents.container import Container, Relation
from inhouse.documents.drawing import CX, M, chart, diagram, lowered, math, paragraphs, raised, without_fallbacks
from inhouse.documents.grid import Cell, Row, counted, looks_numeric, table
from inhouse.documents.parsed import Parsed, Unreadable, in_one_line
from inhouse.documents.symbols import symbol, without_symbol_fonts
from inhouse.documents.word_styles import VAL, Numbering, Styles, W, style_of

_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_V = "{urn:schemas-microsoft-com:vml}"
_O = "{urn:schemas-microsoft-com:office:office}"
_WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
_GONE = frozenset([f"{W}del", f"{W}moveFrom"])
_PAGE_FIELD = re.compile(r"\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b")
_MAX_COLUMNS = 1000


class Piece(NamedTuple):
    """A piece of a paragraph's text in one format."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    link: str = ""


class Block(NamedTuple):
    """A paragraph, a list item or a table; items of a list follow one another without a blank line."""

    text: str
    item: bool = False


def read_docx(data: bytes) -> Parsed:
    """Returns the text of a Word document; its title style becomes a heading of level 1.

    Raises:
        Unreadable: encrypted, damaged, another kind of file, or it unpacks to far more than its size.
    """
    box = Container(data)
    main = box.main_part("word/document.xml")
    document = Document(box, main)
    blocks = document.blocks_of(main)
    if document.fields:  # a field without an end: its text is not hidden by it
        document = Document(box, main, with_fields=False)
        blocks = document.blocks_of(main)
    return Parsed(text=_joined([*blocks, *document.margins()]), title=box.title(), note=document.note())


def _joined(blocks: list[Block]) -> str:
    parts: list[str] = []
    before = Block("")
    for block in blocks:
        if block.text.strip():
            parts += [("\n" if before.item and block.item else "\n\n") if parts else "", block.text]
            before = block
    return "".join(parts)


class Document:
    """A document while it is read: its parts, how far fields and lists are, and what is left out."""

    def __init__(self, box: Container, main: str, with_fields: bool = True) -> None:
        self.box, self.main, self.with_fields = box, main, with_fields
        self.styles = Styles(self._first("styles"))
        self.numbering = Numbering(self._first("numbering"), self.styles)
        self.notes = {kind: self._notes(kind) for kind in ("footnotes", "endnotes", "comments")}
        self.relations: dict[str, Relation] = {}
        self.part = main
        self.fields: list[list[str]] = []  # the instruction of each open field, and "result" once that is reached
        self.pending: list[Block] = []  # notes and text boxes, which follow their paragraph
        settings = self._first("settings")
        even = None if settings is None else settings.find(f"{W}evenAndOddHeaders")
        self.even_pages = even is not None and even.get(VAL, "1") not in {"0", "false"}
        self.margin_ids: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()
        self.label = 0
        self.in_cell = 0

    def note(self) -> str:
        """What is not in the text."""
        return f"{counted(self.left_out)} left out" if self.left_out.total() else ""

    def blocks_of(self, part: str) -> list[Block]:
        """The text of the main part, or of a header."""
        root = self.box.xml(part)
        if root is None:
            raise Unreadable(f"damaged Office file: it has no {part}")
        without_fallbacks(root)
        body = root.find(f"{W}body")
        self.part, self.relations = part, self.box.relations(part)
        return self._blocks(root if body is None else body)

    def margins(self) -> list[Block]:
        """The text of headers and footers, each once."""
        seen: dict[str, None] = {}
        for identity, kind in self.margin_ids.items():
            relation = self.box.relations(self.main).get(identity)
            if relation is not None and not relation.external and self.box.read(relation.target):
                text = " ".join(" ".join(in_one_line(b.text) for b in self.blocks_of(relation.target)).split())
                if any(map(str.isalpha, text)):
                    seen[f"[page {kind}: {text}]"] = None
        return [Block(text) for text in seen]

    def _first(self, kind: str) -> etree._Element | None:
        return next((self.box.xml(part) for part in self.box.related(self.main, kind)), None)

    def _notes(self, kind: str) -> dict[str, etree._Element]:
        root = self._first(kind)
        if root is None:
            return {}
        without_fallbacks(root)
        return {note.get(f"{W}id", ""): note for note in root}

    def _blocks(self, parent: etree._Element) -> list[Block]:
        blocks: list[Block] = []
        for child in parent:
            match child.tag:
                case _ if child.tag == f"{W}p":
                    blocks += self._paragraph(child)
                case _ if child.tag == f"{W}tbl":
                    blocks += self._table(child)
                case _ if child.tag == f"{W}altChunk":
                    blocks += self._chunk(child)
                case _ if child.tag in _GONE:
                    self.left_out["tracked deletion"] += 1
                case _ if child.tag == f"{W}sectPr":
                    self._section(child)
                case _ if child.tag in _BLOCK_CONTAINERS:
                    blocks += self._blocks(child)
        return blocks

    def _section(self, properties: etree._Element) -> None:
        """Collects the headers and footers that a section shows: those of first or even pages may be switched off."""
        first = properties.find(f"{W}titlePg")
        shown = {"default", *(["first"] if first is not None and first.get(VAL, "1") not in {"0", "false"} else [])}
        shown |= {"even"} if self.even_pages else set()
        for kind in ("header", "footer"):
            for reference in properties.iterfind(f"{W}{kind}Reference"):
                if reference.get(f"{W}type", "default") in shown:
                    self.margin_ids.setdefault(reference.get(f"{_R}id", ""), kind)

    def _paragraph(self, paragraph: etree._Element) -> list[Block]:
        properties = paragraph.find(f"{W}pPr")
        if properties is not None and (section := properties.find(f"{W}sectPr")) is not None:
            self._section(section)
        outer, self.pending = self.pending, []
        pieces = list(self._inline(paragraph, style_of(properties) or self.styles.default))
        following = self._following(outer)
        level = self.styles.heading(properties)
        text = _markdown(pieces, plain=bool(level))
        if not text:
            return following
        label = self.numbering.label(properties)
        if level:
            head = f"{'#' * level} {label[0] + ' ' if label and label[0] != '-' else ''}"
            return [Block(head + " ".join(text.split())), *following]
        if label is not None:
            return [Block(f"{'  ' * label[1]}{label[0]} {text}", item=True), *following]
        return [Block(text), *following]

    def _following(self, outer: list[Block]) -> list[Block]:
        """What follows the paragraph or table that was read; in a cell, it follows the table instead."""
        following, self.pending = self.pending, outer
        if self.in_cell:
            outer += following
            return []
        return following

    def _inline(self, parent: etree._Element, style: str, link: str = "") -> Iterator[Piece]:
        for child in parent:
            tag = child.tag
            if tag == f"{W}r":
                yield from self._run(child, style, link)
            elif tag in _GONE:
                self.left_out["tracked deletion"] += 1
            elif tag == f"{W}hyperlink":
                target = self.relations.get(child.get(f"{_R}id", ""))
                yield from self._inline(child, style, target.target if target and target.external else "")
            elif tag == f"{W}fldSimple":
                if not (self.part != self.main and _PAGE_FIELD.match(child.get(f"{W}instr", ""))):
                    yield from self._inline(child, style, link)
            elif tag in {f"{M}oMath", f"{M}oMathPara"}:
                yield Piece(math(child))
            elif tag in _INLINE_CONTAINERS:
                yield from self._inline(child, style, link)

    def _run(self, run: etree._Element, style: str, link: str) -> Iterator[Piece]:
        properties = run.find(f"{W}rPr")
        hidden = self.styles.is_on(properties, style, "vanish")
        aligned = _SHIFTS.get(self.styles.value(properties, style, "vertAlign") or "")
        shift = aligned or _by_position(None if properties is None else properties.find(f"{W}position"))
        font = None if properties is None else properties.find(f"{W}rFonts")
        parts: list[str] = []
        for child in run:
            if child.tag == f"{W}fldChar":
                parts.append(self._field(child))
            elif child.tag == f"{W}instrText":
                if self.fields:
                    self.fields[-1][0] += child.text or ""
            elif self._shows_fields():
                text = self._character(child)
                if text and font is not None:
                    text = without_symbol_fonts(text, font.get(f"{W}ascii", ""))
                parts.append(shift(text) if shift and child.tag == f"{W}t" else text)
        text = "".join(parts)
        if hidden:
            self.left_out["hidden passage"] += bool(text.strip())
            return
        if text:
            bold, italic, *struck = (self.styles.is_on(properties, "", n) for n in ("b", "i", "strike", "dstrike"))
            yield Piece(text, bold, italic, any(struck), link)

    def _character(self, child: etree._Element) -> str:
        """What one element of a run shows; notes, comments and text boxes are put after the paragraph."""
        match child.tag.rpartition("}")[2]:
            case "t":
                return child.text or ""
            case "tab" | "ptab":
                return "\t"
            case "br" | "cr":
                return "\n"
            case "noBreakHyphen":
                return "-"
            case "sym":
                return symbol(child.get(f"{W}font", ""), child.get(f"{W}char", ""))
            case "footnoteReference" | "endnoteReference" as kind:
                return self._note(f"{kind.removesuffix('Reference')}s", child.get(f"{W}id", ""))
            case "commentReference":
                comment = self.notes["comments"].get(child.get(f"{W}id", ""))
                if comment is not None:
                    self.pending.append(Block(f"[comment: {self._flat(comment)}]"))
            case "ruby":
                return "".join(t.text or "" for t in child.iterfind(f"{W}rubyBase//{W}t"))
            case "drawing" | "pict" | "object":
                return self._drawing(child)
        return ""

    def _note(self, kind: str, identity: str) -> str:
        """The mark of a footnote or endnote, whose text follows the paragraph."""
        note = self.notes[kind].get(identity)
        if note is None:
            return ""
        self.label += 1
        mark = f"[^{self.label}]"
        self.pending.append(Block(f"{mark}: {self._flat(note)}", item=True))
        return mark

    def _flat(self, element: etree._Element) -> str:
        """The text of paragraphs and tables in one line, such as that of a cell or a note."""
        blocks = [block for block in self._blocks(element) if block.text.strip()]
        texts = [re.sub(r"^(?:#+|-) ", "", in_one_line(block.text).strip()).replace("**", "") for block in blocks]
        marks = ["; " if a.item and b.item else " " for a, b in pairwise(blocks)]
        return " ".join("".join(map("".join, zip_longest(texts, marks, fillvalue=""))).split())

    def _drawing(self, drawing: etree._Element) -> str:
        """Puts text boxes, diagrams and charts of a drawing after the paragraph; returns a picture's description."""
        self.left_out["embedded object"] += sum(1 for _ in drawing.iter(f"{_O}OLEObject"))
        boxes = [box for box in drawing.iter(f"{W}txbxContent") if not _is_inside(box, drawing)]
        for box in boxes:
            self.pending += self._blocks(box)
        words = [e.get("string", "") for e in drawing.iter(f"{_V}textpath")]  # WordArt, and watermarks
        self.pending += [Block(text) for text in (*words, *paragraphs(drawing)) if not boxes]
        for reference in drawing.iter(f"{_DGM}relIds", f"{_C}chart", f"{CX}chart"):
            relation = self.relations.get(reference.get(f"{_R}dm") or reference.get(f"{_R}id", ""))
            root = None if relation is None or relation.external else self.box.xml(relation.target)
            if root is not None:
                read = diagram if reference.tag.startswith(_DGM) else chart
                self.pending += [Block(text) for text in read(root)]
        embedded = (e for blip in drawing.iter(f"{_A}blip") if (e := self.relations.get(blip.get(f"{_R}embed", ""))))
        if not boxes and any(not relation.external for relation in embedded):
            described = next((str(e.get("descr", "")) for e in drawing.iter(f"{_WP}docPr")), "")
            self.left_out["undescribed picture"] += not described.strip()
            return described
        return ""

    def _field(self, mark: etree._Element) -> str:
        """Follows a field: its instruction is not shown, its result is. A check box shows whether it is checked."""
        kind = mark.get(f"{W}fldCharType")
        if not self.with_fields:
            return ""
        if kind == "begin":
            self.fields.append([""])
            box = mark.find(f"{W}ffData/{W}checkBox")
            if box is not None:
                checked = box.find(f"{W}checked")
                checked = box.find(f"{W}default") if checked is None else checked
                return "☒" if checked is not None and checked.get(VAL, "1") not in {"0", "false"} else "☐"
            choices = mark.find(f"{W}ffData/{W}ddList")
            if choices is not None:
                entries = [entry.get(VAL, "") for entry in choices.iterfind(f"{W}listEntry")]
                chosen = choices.find(f"{W}result")
                return next(iter(entries[int(chosen.get(VAL, "0")) if chosen is not None else 0 :]), "")
        elif kind == "separate" and self.fields:
            self.fields[-1].append("result")
        elif kind == "end" and self.fields:
            self.fields.pop()
        return ""

    def _shows_fields(self) -> bool:
        in_margin = self.part != self.main
        return all(len(f) > 1 and not (in_margin and _PAGE_FIELD.match(f[0])) for f in self.fields)

    def _chunk(self, chunk: etree._Element) -> list[Block]:
        """A file inside the document that Word shows as part of it: another document, HTML or text."""
        relation = self.relations.get(chunk.get(f"{_R}id", ""))
        data = self.box.read(relation.target) if relation is not None and not relation.external else b""
        name = relation.target if relation is not None else ""
        if name.endswith((".docx", ".docm")) and self.box.depth < 3:
            inner = Container(data, self.box.depth + 1)
            main = inner.main_part("word/document.xml")
            return Document(inner, main).blocks_of(main)
        if name.endswith((".htm", ".html", ".xhtml")):
            from bs4 import BeautifulSoup

            soup = BeautifulSoup(data, "html.parser")
            for invisible in soup(["script", "style", "title"]):
                invisible.decompose()
            return [Block(line.strip()) for line in soup.get_text("\n").split("\n")]
        if name.endswith(".txt"):
            return [Block(line) for line in data.decode("utf-8", "replace").split("\n")]
        self.left_out["embedded file"] += 1
        return []

    def _table(self, element: etree._Element) -> list[Block]:
        cells = [list(_children(row, f"{W}tc")) for row in _children(element, f"{W}tr")]
        if all(len(row) == 1 for row in cells):  # a frame around text
            return [block for (cell,) in cells for block in self._blocks(cell)]
        outer, self.pending = self.pending, []
        rows = list(self._rows(element))
        following = self._following(outer)
        return [*(Block(text) for text in table([row for row in rows if row])), *following]

    def _rows(self, element: etree._Element) -> Iterator[Row]:
        """The rows of a table, in which a cell that spans columns or rows stands in each of them."""
        above: dict[int, Cell] = {}
        for index, row in enumerate(_children(element, f"{W}tr"), 1):
            properties = row.find(f"{W}trPr")
            if properties is not None and properties.find(f"{W}del") is not None:
                self.left_out["tracked deletion"] += 1
                continue
            if properties is not None and properties.find(f"{W}hidden") is not None:
                self.left_out["hidden row"] += 1
                continue
            cells: Row = {}
            column = _int(properties, "gridBefore", 0)
            for cell in _children(row, f"{W}tc"):
                own = cell.find(f"{W}tcPr")
                span = max(_int(own, "gridSpan", 1), 1)
                merge = None if own is None else own.find(f"{W}vMerge")
                self.in_cell += 1
                text = self._flat(cell)
                self.in_cell -= 1
                shown = Cell(text, looks_numeric(text))
                if merge is not None and merge.get(VAL, "continue") == "continue" and column in above and not text:
                    shown = above[column]
                elif span > 1 or merge is not None:
                    shown = shown._replace(region=(index, column, index, column + span - 1))
                columns = range(column, min(column + span, _MAX_COLUMNS))
                for at in columns:
                    above[at] = shown
                cells.update({at: shown for at in columns if shown.text})
                column += span
            yield cells


_SHIFTS: dict[str, Callable[[str], str]] = {"superscript": raised, "subscript": lowered}


def _by_position(position: etree._Element | None) -> Callable[[str], str] | None:
    """How text is shown that stands higher or lower than its line by so many half points."""
    half_points = "0" if position is None else str(position.get(VAL, "0"))
    return lowered if half_points[:1] == "-" else raised if half_points.strip("0") else None


_BLOCK_CONTAINERS = {f"{W}{n}" for n in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag", "body")}
_BLOCK_CONTAINERS |= {f"{W}{n}" for n in ("footnote", "endnote", "comment", "txbxContent")}
_INLINE_CONTAINERS = {f"{W}{n}" for n in ("ins", "moveTo", "smartTag", "sdt", "sdtContent", "customXml", "dir", "bdo")}


def _children(parent: etree._Element, tag: str) -> Iterator[etree._Element]:
    """The rows of a table or the cells of a row, also those in content controls."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _INLINE_CONTAINERS:
            yield from _children(child, tag)


def _is_inside(box: etree._Element, drawing: etree._Element) -> bool:
    """Whether a text box is in another one of the same drawing, which is read with it."""
    for parent in box.iterancestors(f"{W}txbxContent", drawing.tag):
        return bool(parent is not drawing)
    return False


def _int(properties: etree._Element | None, name: str, otherwise: int) -> int:
    element = None if properties is None else properties.find(f"{W}{name}")
    text = "" if element is None else str(element.get(VAL, ""))
    return min(int(text), _MAX_COLUMNS) if text.isdecimal() else otherwise


def _markdown(pieces: list[Piece], plain: bool = False) -> str:
    """The text of a paragraph; pieces of one format are written as one."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1][1:] == piece[1:]:
            merged[-1] = merged[-1]._replace(text=merged[-1].text + piece.text)
        else:
            merged.append(piece)
    return "".join(piece.text if plain else _formatted(piece) for piece in merged).strip()


def _formatted(piece: Piece) -> str:
    text = piece.text.strip()
    if not text or not any(map(str.isalnum, text)):
        return piece.text
    marks = "".join(mark for on, mark in ((piece.bold, "**"), (piece.italic, "*"), (piece.strike, "~~")) if on)
    marked = f"{marks}{text}{marks[::-1]}"
    if piece.link and piece.link != text:
        marked = f"[{marked}]({piece.link})"
    start = piece.text.index(text)
    return piece.text[:start] + marked + piece.text[start + len(text) :]
