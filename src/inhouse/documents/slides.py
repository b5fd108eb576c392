"""Presentations (.pptx, .pptm, .ppsx, .potx) to Markdown: slide by slide, in reading order, with the speaker's notes.

The parts are read here, since markitdown's converter leaves out SmartArt and comments, shows hidden slides, reads two
columns line by line, and loses the number formats of charts and the merged cells of tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lxml import etree

from inhouse.documents.container import Container, Relation
from inhouse.documents.drawing import CX, DGM, A, C, chart, diagram, paragraphs, run_text, without_fallbacks
from inhouse.documents.grid import Cell, Row, counted, looks_numeric, table
from inhouse.documents.parsed import Parsed, Unreadable

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TITLES = frozenset(["title", "ctrTitle"])
_MARGINS = frozenset(["ftr", "hdr", "dt", "sldNum"])
_OVERLAP = 0.1  # of the smaller shape: so much two columns or rows may overlap

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in the units of the slide or group."""


class Shape(NamedTuple):
    """What a shape says, and where it is; without a place it keeps its place in the file."""

    texts: list[str]
    box: Box | None
    title: bool = False


def read_pptx(data: bytes) -> Parsed:
    """Returns the text of a presentation.

    Raises:
        Unreadable: encrypted, damaged, another kind of file, or it unpacks to far more than its size.
    """
    box = Container(data)
    main = box.main_part("ppt/presentation.xml")
    root = box.xml(main)
    if root is None:
        raise Unreadable(f"damaged Office file: it has no {main}")
    relations = box.relations(main)
    reader = _Reader(box)
    parts = []
    for entry in root.iterfind(f"{P}sldIdLst/{P}sldId"):
        relation = relations.get(entry.get(f"{_R}id", ""))
        if relation is not None and not relation.external:
            parts.append(reader.slide(relation.target))
    parts += [f"[page footer: {text}]" for text in reader.footers]
    note = f"{counted(reader.skipped)} skipped" if reader.skipped.total() else ""
    return Parsed(text="\n\n".join(filter(None, parts)), title=box.title(), note=note)


class _Reader:
    """What slides share while they are read."""

    def __init__(self, box: Container) -> None:
        self.box = box
        self.skipped: Counter[str] = Counter()
        self.footers: dict[str, None] = {}
        self.layouts: dict[str, dict[tuple[str, str], Box]] = {}

    def slide(self, part: str) -> str:
        root = self.box.xml(part)
        if root is None:
            self.skipped["missing slide"] += 1
            return ""
        if root.get("show") in {"0", "false"}:
            self.skipped["hidden slide"] += 1
            return ""
        without_fallbacks(root)
        tree = root.find(f"{P}cSld/{P}spTree")
        shapes = list(self._shapes(tree, self.box.relations(part), self._places(part))) if tree is not None else []
        titles = [" ".join(shape.texts) for shape in shapes if shape.title]
        texts = [text for shape in ordered([s for s in shapes if not s.title]) for text in shape.texts]
        body = "\n\n".join([*texts, *self._comments(part)])
        head = "\n".join(f"# {title}" for title in titles if title)
        notes = self._notes(part)
        slide = "\n".join(filter(None, (head, body)))
        return "\n\n".join(filter(None, (slide, f"### Notes:\n{notes}" if notes else "")))

    def _shapes(
        self, tree: etree._Element, relations: Mapping[str, Relation], places: Mapping[tuple[str, str], Box]
    ) -> Iterator[Shape]:
        for shape in tree:
            properties = next((e for e in shape.iterfind(f"./*/{P}cNvPr")), None)
            if properties is not None and properties.get("hidden") in {"1", "true"}:
                self.skipped["hidden shape"] += 1
                continue
            match shape.tag:
                case _ if shape.tag == f"{P}grpSp":
                    inner = ordered(list(self._shapes(shape, relations, places)))
                    texts = [text for one in inner for text in one.texts]
                    yield Shape(texts, _box(shape.find(f"{P}grpSpPr/{A}xfrm")))
                case _ if shape.tag == f"{P}graphicFrame":
                    yield Shape(self._frame(shape, relations), _box(shape.find(f"{P}xfrm")))
                case _ if shape.tag in {f"{P}sp", f"{P}cxnSp"}:
                    yield from self._text_shape(shape, places)
                case _ if shape.tag == f"{P}pic":
                    described = "" if properties is None else str(properties.get("descr", "")).strip()
                    self.skipped["undescribed picture"] += not described
                    if described:
                        yield Shape([f"[image: {' '.join(described.split())}]"], _box(shape.find(f"{P}spPr/{A}xfrm")))

    def _text_shape(self, shape: etree._Element, places: Mapping[tuple[str, str], Box]) -> Iterator[Shape]:
        body = shape.find(f"{P}txBody")
        if body is None:
            return
        holder = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
        kind = "" if holder is None else holder.get("type", "body")
        lines = _lines(body)
        if kind in _MARGINS:
            if kind in {"ftr", "hdr"}:
                self.footers.update(dict.fromkeys(lines))
            return
        own = _box(shape.find(f"{P}spPr/{A}xfrm"))
        if own is None and holder is not None:
            own = places.get(("idx", holder.get("idx", "0"))) or places.get(("type", kind))
        if lines:
            yield Shape([" ".join(lines)] if kind in _TITLES else ["\n".join(lines)], own, kind in _TITLES)

    def _frame(self, frame: etree._Element, relations: Mapping[str, Relation]) -> list[str]:
        """A table, a chart or SmartArt."""
        texts: list[str] = []
        for grid in frame.iter(f"{A}tbl"):
            texts += table([row for row in _rows(grid) if row])
        for reference in frame.iter(f"{DGM}relIds", f"{C}chart", f"{CX}chart"):
            relation = relations.get(reference.get(f"{_R}dm") or reference.get(f"{_R}id", ""))
            root = None if relation is None or relation.external else self.box.xml(relation.target)
            if root is not None:
                texts += diagram(root) if reference.tag.startswith(DGM) else chart(root)
        self.skipped["embedded object"] += sum(1 for _ in frame.iter(f"{P}oleObj"))
        return texts

    def _places(self, part: str) -> dict[tuple[str, str], Box]:
        """Where the layout of a slide, or else its master, puts placeholders, by their index and by their type."""
        layout = next(iter(self.box.related(part, "slideLayout")), "")
        if layout not in self.layouts:
            masters = self.box.related(layout, "slideMaster") if layout else []
            places: dict[tuple[str, str], Box] = {}
            for source in [*masters, layout]:
                root = self.box.xml(source) if source else None
                for shape in root.iter(f"{P}sp") if root is not None else ():
                    holder = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
                    box = _box(shape.find(f"{P}spPr/{A}xfrm"))
                    if holder is not None and box is not None:
                        places["type", holder.get("type", "body")] = box
                        if source == layout:
                            places["idx", holder.get("idx", "0")] = box
            self.layouts[layout] = places
        return self.layouts[layout]

    def _notes(self, part: str) -> str:
        lines: list[str] = []
        for notes in self.box.related(part, "notesSlide"):
            root = self.box.xml(notes)
            if root is None:
                continue
            without_fallbacks(root)
            for shape in root.iter(f"{P}sp"):
                holder, body = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph"), shape.find(f"{P}txBody")
                kind = "" if holder is None else holder.get("type", "body")
                if body is not None and kind not in _MARGINS | {"sldImg"}:
                    lines += _lines(body)
        return "\n".join(lines)

    def _comments(self, part: str) -> Iterator[str]:
        """Comments of both kinds: the older ones in p:text, the newer ones as paragraphs with their replies."""
        for comments in self.box.related(part, "comments"):
            root = self.box.xml(comments)
            for comment in root if root is not None else ():
                texts = [e.text or "" for e in comment.iter(f"{P}text")] or list(paragraphs(comment))
                if text := " / ".join(" ".join(text.split()) for text in texts if text.strip()):
                    yield f"[comment: {text}]"


def ordered(shapes: Sequence[Shape]) -> list[Shape]:
    """Shapes in reading order: columns from left to right, and rows from top to bottom (a recursive XY cut)."""
    placed = [(shape, shape.box) for shape in shapes if shape.box is not None and shape.texts]
    floating = [shape for shape in shapes if shape.box is None and shape.texts]
    return [*floating, *(shape for shape, _ in _cut(placed))]


def _cut(shapes: list[tuple[Shape, Box]]) -> list[tuple[Shape, Box]]:
    if len(shapes) < 2:
        return shapes
    columns = _groups(shapes, 0)
    if len(columns) > 1:
        return [shape for column in columns for shape in _cut(column)]
    bands: list[list[tuple[Shape, Box]]] = []
    for row in _groups(shapes, 1):  # rows that stand in the same columns belong together
        if bands and len(_groups([*bands[-1], *row], 0)) > 1:
            bands[-1] += row
        else:
            bands.append(row)
    if len(bands) > 1:
        return [shape for band in bands for shape in _cut(band)]
    return sorted(shapes, key=lambda s: (s[1][1], s[1][0]))


def _groups(shapes: list[tuple[Shape, Box]], axis: int) -> list[list[tuple[Shape, Box]]]:
    """Shapes in groups between which a straight line fits, from top to bottom or from left to right (axis 0)."""
    groups: list[list[tuple[Shape, Box]]] = []
    end = float("-inf")
    for shape in sorted(shapes, key=lambda s: s[1][axis]):
        start, stop = shape[1][axis], shape[1][axis + 2]
        if groups and start < end - _OVERLAP * min(stop - start, end - groups[-1][0][1][axis]):
            groups[-1].append(shape)
            end = max(end, stop)
        else:
            groups.append([shape])
            end = stop
    return groups


def _box(transform: etree._Element | None) -> Box | None:
    offset = None if transform is None else transform.find(f"{A}off")
    extent = None if transform is None else transform.find(f"{A}ext")
    if offset is None or extent is None:
        return None
    try:
        left, top = float(offset.get("x", "0")), float(offset.get("y", "0"))
        return left, top, left + float(extent.get("cx", "0")), top + float(extent.get("cy", "0"))
    except ValueError:
        return None


def _lines(body: etree._Element) -> list[str]:
    """The paragraphs of a text, with the numbers that the slide shows before them."""
    lines: list[str] = []
    counts: dict[int, int] = {}
    for paragraph in body.iterfind(f"{A}p"):
        text = " ".join(run_text(paragraph).split())
        if not text:
            continue
        properties = paragraph.find(f"{A}pPr")
        level = properties.get("lvl", "0") if properties is not None else "0"
        depth = int(level) if level.isdecimal() else 0
        numbered = None if properties is None else properties.find(f"{A}buAutoNum")
        counts = {k: v for k, v in counts.items() if k < depth or (k == depth and numbered is not None)}
        if numbered is None:
            lines.append(text)
            continue
        start = numbered.get("startAt", "1")
        counts[depth] = counts[depth] + 1 if depth in counts else int(start) if start.isdecimal() else 1
        lines.append(f"{_numbered(counts[depth], numbered.get('type', ''))} {text}")
    return lines


def _numbered(count: int, form: str) -> str:
    number = chr(96 + (count - 1) % 26 + 1) if form.startswith("alpha") else str(count)
    number = number.upper() if form.startswith("alphaUc") else number
    if form.endswith("ParenBoth"):
        return f"({number})"
    return number + (")" if form.endswith("ParenR") else ".")


def _rows(grid: etree._Element) -> Iterator[Row]:
    """The rows of a table; a cell that spans columns or rows stands in each of them."""
    above: dict[int, Cell] = {}
    for index, row in enumerate(grid.iterfind(f"{A}tr"), 1):
        cells: Row = {}
        before = Cell("")
        for column, cell in enumerate(row.iterfind(f"{A}tc")):
            text = " ".join(paragraphs(cell))
            own = Cell(text, looks_numeric(text))
            if cell.get("hMerge") in {"1", "true"}:
                own = before
            elif cell.get("vMerge") in {"1", "true"}:
                own = above.get(column, own)
            elif (span := cell.get("gridSpan", "1")) != "1" and span.isdecimal():
                own = own._replace(region=(index, column, index, column + int(span) - 1))
            above[column] = before = own
            if own.text:
                cells[column] = own
        yield cells
