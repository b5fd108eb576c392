"""OpenDocument text, spreadsheets and presentations (.odt, .ods, .odp; flat .fodt, .fods, .fodp) to Markdown.

A cell of a spreadsheet holds what it shows beside its value (OpenDocument 1.3 part 3), so the shown text is taken as it
is. The XML is read here: odfpy and pandas lose merged cells, notes, and what is hidden.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping

from lxml import etree

from inhouse.documents.container import Container, parsed_xml
from inhouse.documents.drawing import lowered, raised, struck
from inhouse.documents.grid import Sheet, counted, markdown, table
from inhouse.documents.opendocument_tables import DRAW, OFFICE, SHOW, STYLE, TABLE, TEXT, fill, spread
from inhouse.documents.parsed import Parsed, Unreadable, in_one_line
from inhouse.documents.slides import Box, Shape, ordered
from inhouse.documents.word_styles import counted_as

SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_MATHML = "{http://www.w3.org/1998/Math/MathML}"
_MARGIN_FIELDS = {f"{TEXT}{n}" for n in ("page-number", "page-count", "date", "time")}
_UNITS = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}
_BLOCKS = {f"{TEXT}{n}" for n in ("section", "index-body", "index-title", "numbered-paragraph", "soft-page-break")}
_BLOCKS |= {
    f"{TEXT}{n}" for n in ("table-of-content", "illustration-index", "table-index", "bibliography", "user-index")
}


def read_odt(data: bytes) -> Parsed:
    """Returns the text of an OpenDocument text.

    Raises:
        Unreadable: encrypted, damaged, another kind of file, or it unpacks to far more than its size.
    """
    reader, body = _opened(data, "text")
    blocks = [*reader.blocks(body), *reader.margins()]
    return Parsed(text=_joined(blocks), title=reader.title(), note=reader.note("left out"))


def read_odp(data: bytes) -> Parsed:
    """Returns the text of an OpenDocument presentation, slide by slide, with the speaker's notes.

    Raises:
        Unreadable: as `read_odt`.
    """
    reader, body = _opened(data, "presentation")
    slides = []
    for page in body.iterchildren(f"{DRAW}page"):
        if reader.style(page.get(f"{DRAW}style-name"), "drawing-page", SHOW, "visibility") == "hidden":
            reader.left_out["hidden slide"] += 1
        else:
            slides.append(_slide(reader, page))
    return Parsed(text="\n\n".join(filter(None, slides)), title=reader.title(), note=reader.note("skipped"))


def read_ods(data: bytes) -> Parsed:
    """Returns the visible sheets of an OpenDocument spreadsheet.

    Raises:
        Unreadable: as `read_odt`.
    """
    reader, body = _opened(data, "spreadsheet")
    texts, notes = [], []
    for element in body.iterchildren(f"{TABLE}table"):
        if reader.style(element.get(f"{TABLE}style-name"), "table", TABLE, "display") == "false":
            reader.left_out["hidden sheet"] += 1
            continue
        sheet, complete = _sheet(reader, element)
        text, repeated = markdown(sheet)
        rows, columns = sheet.hidden()
        reader.left_out.update({"hidden row": rows, "hidden column": columns})
        texts.append(f"## {sheet.name}\n\n{text}" if text else "")
        notes += [] if complete and repeated else [f"sheet {sheet.name} has too many equal cells to show them all"]
    first = reader.note("skipped")
    if reader.formulas:
        notes.append(f"{counted(Counter(formula=reader.formulas))} without a value shown as formulas")
    return Parsed(
        text="\n\n".join(filter(None, texts)), title=reader.title(), note="; ".join(filter(None, [first, *notes]))
    )


def _joined(blocks: list[str]) -> str:
    """Blocks with blank lines between them, but for the items of a list, which begin with their mark and a tab."""
    parts: list[str] = []
    item = False
    for block in (b for b in blocks if b.strip()):
        now = block.startswith("\t")
        parts += [("\n" if item and now else "\n\n") if parts else "", block.removeprefix("\t")]
        item = now
    return "".join(parts)


def _opened(data: bytes, kind: str) -> tuple[_Reader, etree._Element]:
    """The reader of a file, and the body of its kind."""
    flat = not data.startswith((b"PK", b"\xd0\xcf"))
    box = None if flat else Container(data)
    if box is not None and b"encryption-data" in box.read("META-INF/manifest.xml"):
        raise Unreadable("encrypted: it needs a password")
    root = parsed_xml(data, "the file") if flat else box.xml("content.xml") if box is not None else None
    body = None if root is None else root.find(f"{OFFICE}body/{OFFICE}{kind}")
    if root is None or body is None:
        raise Unreadable(f"not the kind of file its extension says: it has no OpenDocument {kind}")
    styles = root if box is None else box.xml("styles.xml")
    meta = root if box is None else box.xml("meta.xml")
    return _Reader(box, [e for e in (styles, root) if e is not None], meta), body


class _Reader:
    """A file while it is read: its styles, how far lists and notes are counted, and what is left out."""

    def __init__(self, box: Container | None, roots: list[etree._Element], meta: etree._Element | None) -> None:
        self.box, self.roots, self.meta = box, roots, meta
        self.styles: dict[tuple[str, str], etree._Element] = {}
        self.lists: dict[str, etree._Element] = {}
        for root in roots:
            for style in root.iter(f"{STYLE}style"):
                self.styles[style.get(f"{STYLE}family", ""), style.get(f"{STYLE}name", "")] = style
            self.lists |= {e.get(f"{STYLE}name", ""): e for e in root.iter(f"{TEXT}list-style")}
        self.outline = next((e for root in roots for e in root.iter(f"{TEXT}outline-style")), None)
        self.headings: dict[int, int] = {}
        self.left_out: Counter[str] = Counter()
        self.pending: list[str] = []  # notes, comments and text boxes, which follow their paragraph
        self.in_cell = self.in_margin = self.notes = self.formulas = 0

    def title(self) -> str:
        found = None if self.meta is None else self.meta.find(".//{http://purl.org/dc/elements/1.1/}title")
        return "" if found is None else found.text or ""

    def note(self, what: str) -> str:
        return f"{counted(self.left_out)} {what}" if self.left_out.total() else ""

    def style(self, name: str | None, family: str, space: str, attribute: str) -> str:
        """A property that a style, or one that it is based on, sets; empty if none does."""
        for _ in range(20):
            style = self.styles.get((family, name or ""))
            if style is None:
                return ""
            for properties in style:
                if (value := properties.get(f"{space}{attribute}")) is not None:
                    return str(value)
            name = style.get(f"{STYLE}parent-style-name")
        return ""

    def blocks(self, parent: etree._Element) -> list[str]:
        """The paragraphs, lists and tables of an element, and the text of its shapes."""
        return [block for child in parent for block in self._block(child)]

    def _block(self, child: etree._Element) -> list[str]:
        tag = child.tag
        if tag in {f"{TEXT}p", f"{TEXT}h"}:
            return self._paragraph(child)
        if tag == f"{TEXT}list":
            return self._list(child, child.get(f"{TEXT}style-name", ""), 1)
        if tag == f"{TABLE}table":
            return self._table(child)
        if tag == f"{TEXT}tracked-changes":
            self.left_out["tracked deletion"] += sum(1 for _ in child.iter(f"{TEXT}deletion"))
        elif tag == f"{TEXT}section" and child.get(f"{TEXT}display") in {"none", "condition"}:
            self.left_out["hidden section"] += 1
        elif tag in _BLOCKS:
            return self.blocks(child)
        elif tag.startswith(DRAW):
            return self.shape(child)
        return []

    def _paragraph(self, paragraph: etree._Element) -> list[str]:
        if self.style(paragraph.get(f"{TEXT}style-name"), "paragraph", TEXT, "display") == "none":
            self.left_out["hidden passage"] += 1
            return []
        outer, self.pending = self.pending, []
        text = self.inline(paragraph).strip()
        following, self.pending = self.pending, outer
        if self.in_cell:
            self.pending += following
            following = []
        level = paragraph.get(f"{TEXT}outline-level", "1")
        if paragraph.tag == f"{TEXT}h" and text:
            depth = int(level) if level.isdecimal() else 1
            text = f"{'#' * min(max(depth, 1), 6)} {self._heading_number(depth)}{' '.join(text.split())}"
        elif text and self._is_title(paragraph.get(f"{TEXT}style-name")):
            text = f"# {' '.join(text.split())}"
        return [*([text] if text else []), *following]

    def _is_title(self, name: str | None) -> bool:
        style = self.styles.get(("paragraph", name or ""))
        return name == "Title" or (style is not None and style.get(f"{STYLE}parent-style-name") == "Title")

    def _heading_number(self, depth: int) -> str:
        if self.outline is None:
            return ""
        self.headings = {d: n for d, n in self.headings.items() if d <= depth}
        self.headings[depth] = self.headings.get(depth, 0) + 1
        return _label(self.outline, depth, self.headings)

    def _list(self, element: etree._Element, style: str, depth: int) -> list[str]:
        """The items of a list; each line of it begins with a tab, by which lines of lists are told."""
        lines: list[str] = []
        counts: dict[int, int] = {}
        for item in element.iterchildren(f"{TEXT}list-item", f"{TEXT}list-header"):
            marked = False
            for child in item:
                if child.tag == f"{TEXT}list":
                    lines += self._list(child, child.get(f"{TEXT}style-name", style), depth + 1)
                    continue
                for block in self._block(child):
                    label = ""
                    plain = not block.startswith(("#", "\t"))  # no heading, no note
                    if plain and not marked and item.tag == f"{TEXT}list-item":
                        start = item.get(f"{TEXT}start-value", "")
                        counts[depth] = int(start) if start.isdecimal() else counts.get(depth, 0) + 1
                        label = (_label(self.lists[style], depth, counts) if style in self.lists else "") or "- "
                        marked = True
                    lines.append(f"\t{'  ' * (depth - 1)}{label}{block}" if plain else block)
        return lines

    def inline(self, parent: etree._Element) -> str:
        """The text in a paragraph; what does not stand in its line is added to `pending`."""
        parts = [parent.text or ""]
        for child in parent:
            parts.append(self._inline_element(child))
            parts.append(child.tail or "")
        return "".join(parts)

    def _inline_element(self, child: etree._Element) -> str:
        tag = child.tag
        if not isinstance(tag, str) or (self.in_margin and tag in _MARGIN_FIELDS):
            return ""
        if tag.startswith(DRAW):
            self.pending += self.shape(child)
            return ""
        match tag.rpartition("}")[2]:
            case "s":
                count = child.get(f"{TEXT}c", "1")
                return " " * min(int(count) if count.isdecimal() else 1, 100)
            case "tab":
                return "\t"
            case "line-break":
                return "\n"
            case "span":
                return self._span(child)
            case "a":
                text, target = self.inline(child), child.get(_HREF, "")
                outside = text.strip() and target.startswith(("http:", "https:", "mailto:")) and target != text
                return f"[{text}]({target})" if outside else text
            case "note":
                body = child.find(f"{TEXT}note-body")
                self.notes += 1
                mark = f"[^{self.notes}]"
                if body is not None:
                    self.pending.append(f"\t{mark}: {self.flat(body)}")
                return mark
            case "annotation":
                self.pending.append(f"[comment: {self.flat(child)}]")
                return ""
            case "ruby":
                base = child.find(f"{TEXT}ruby-base")
                return "" if base is None else self.inline(base)
            case "hidden-text" | "hidden-paragraph":
                self.left_out["hidden passage"] += 1
                return ""
        return self.inline(child)

    def _span(self, span: etree._Element) -> str:
        name = span.get(f"{TEXT}style-name")
        if self.style(name, "text", TEXT, "display") == "none":
            self.left_out["hidden passage"] += 1
            return ""
        text = self.inline(span)
        if (self.style(name, "text", STYLE, "text-line-through-style") or "none") != "none":
            text = struck(text)
        position = (self.style(name, "text", STYLE, "text-position") or "0").split()[0]
        if position == "sub" or position.startswith("-"):
            return lowered(text)
        return raised(text) if position == "super" or position.rstrip("%").strip("0.") else text

    def flat(self, element: etree._Element) -> str:
        """The text of an element in one line, such as that of a cell or a note."""
        blocks = [in_one_line(block).lstrip("#") for block in self.blocks(element)]
        joined = "".join(f"; {b.strip().removeprefix('- ')}" if b.startswith("\t") else f" {b}" for b in blocks)
        return " ".join(joined.split()).removeprefix("; ")

    def shape(self, shape: etree._Element) -> list[str]:
        """The text of a shape, a frame or a group; of a picture, its description."""
        if shape.tag == f"{DRAW}frame":
            texts = [t for e in shape.iterchildren(f"{DRAW}text-box") for t in self.blocks(e)]
            texts += [t for e in shape.iterchildren(f"{TABLE}table") for t in self._table(e)]
            texts += [t for e in shape.iterchildren(f"{DRAW}object") for t in self._object(e)]
            words = shape.findtext(f"{SVG}desc") or shape.findtext(f"{SVG}title") or ""
            return texts or ([words] if words and shape.find(f"{DRAW}image") is not None else [])
        return self.blocks(shape)

    def _object(self, element: etree._Element) -> list[str]:
        """A chart, by its own table, or a formula."""
        path = posixpath.normpath(element.get(_HREF, ""))
        root = None if self.box is None or path.startswith((".", "/")) else self.box.xml(f"{path}/content.xml")
        root = element if root is None and len(element) else root
        if root is None:
            return []
        if (local := root.find(f".//{TABLE}table")) is not None:
            title = root.find(".//{urn:oasis:names:tc:opendocument:xmlns:chart:1.0}title")
            words = "" if title is None else self.flat(title)
            return [f"[chart: {words}]" if words else "[chart]", *self._table(local)]
        formula = "".join(e.text or "" for tag in ("mi", "mn", "mo", "mtext") for e in root.iter(f"{_MATHML}{tag}"))
        note = root.findtext(f".//{_MATHML}annotation") or formula
        return [" ".join(note.split())] if note else []

    def margins(self) -> list[str]:
        """The text of headers and footers, each once."""
        found: dict[str, None] = {}
        self.in_margin = 1
        for master in (m for root in self.roots for m in root.iter(f"{STYLE}master-page")):
            for child in master:
                kind = next((k for k in ("header", "footer") if child.tag.startswith(f"{STYLE}{k}")), "")
                if kind and child.get(f"{STYLE}display") != "false":
                    text = self.flat(child)
                    if any(map(str.isalpha, text)):
                        found[f"[page {kind}: {text}]"] = None
        return list(found)

    def _table(self, element: etree._Element) -> list[str]:
        outer, self.pending = self.pending, []
        self.in_cell += 1
        sheet = Sheet("")
        complete = fill(self, element, sheet)
        self.in_cell -= 1
        following, self.pending = self.pending, outer
        if self.in_cell:
            self.pending += following
            following = []
        if not complete:
            self.left_out["repeated cell"] += 1
        for row, column, last_row, last_column in sheet.regions:
            spread(sheet.rows, (row, column, last_row, last_column))
        return [*table([dict(sorted(row.items())) for _, row in sorted(sheet.rows.items()) if row]), *following]


def _sheet(reader: _Reader, element: etree._Element) -> tuple[Sheet, bool]:
    sheet = Sheet(element.get(f"{TABLE}name", ""))
    complete = fill(reader, element, sheet, comments=True)
    for shapes in element.iterchildren(f"{TABLE}shapes"):
        sheet.lines += [block.strip() for block in reader.blocks(shapes)]
    return sheet, complete


def _label(style: etree._Element, depth: int, counts: Mapping[int, int]) -> str:
    """The label of a list item or heading with a space behind it; empty for a bullet or none."""
    level = next((e for e in style if e.get(f"{TEXT}level") == str(depth)), None)
    form = "" if level is None else level.get(f"{STYLE}num-format", "")
    if level is None or not form:
        return ""
    shown = level.get(f"{TEXT}display-levels", "1")
    first = depth - (int(shown) if shown.isdecimal() else 1) + 1
    start = level.get(f"{TEXT}start-value", "1")
    offset = int(start) - 1 if start.isdecimal() else 0
    names = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
    numbers = [
        counted_as(counts.get(d, 1) + (offset if d == depth else 0), names.get(form, ""))
        for d in range(first, depth + 1)
    ]
    return f"{level.get(f'{STYLE}num-prefix', '')}{'.'.join(numbers)}{level.get(f'{STYLE}num-suffix', '')} "


def _slide(reader: _Reader, page: etree._Element) -> str:
    shapes = list(_shapes(reader, page))
    titles = [" ".join(" ".join(s.texts).split()) for s in shapes if s.title]
    texts = [text for s in ordered([s for s in shapes if not s.title]) for text in s.texts]
    comments = [f"[comment: {reader.flat(e)}]" for e in page.iterchildren(f"{OFFICE}annotation")]
    body = "\n\n".join(filter(None, [*texts, *comments]))
    notes = [b for e in page.iterchildren(f"{SHOW}notes") for b in reader.blocks(e)]
    slide = "\n".join(filter(None, [*(f"# {title}" for title in titles if title), body]))
    return "\n\n".join(filter(None, (slide, f"### Notes:\n{_joined(notes)}" if _joined(notes) else "")))


def _shapes(reader: _Reader, parent: etree._Element) -> Iterator[Shape]:
    for shape in parent:
        if not str(shape.tag).startswith(DRAW) or shape.get(f"{SHOW}placeholder") == "true":
            continue
        if shape.tag == f"{DRAW}g":
            inner = list(_shapes(reader, shape))
            boxes = [s.box for s in inner if s.box is not None]
            around = tuple(f(b[i] for b in boxes) for i, f in enumerate((min, min, max, max))) if boxes else None
            yield Shape([t for s in ordered(inner) for t in s.texts], around)  # type: ignore[arg-type]
            continue
        text = _joined(reader.shape(shape))
        title = shape.get(f"{SHOW}class") == "title"
        if text:
            yield Shape([text], _place(shape), title)


def _place(shape: etree._Element) -> Box | None:
    numbers = []
    for name in ("x", "y", "width", "height"):
        length = shape.get(f"{SVG}{name}", "")
        try:
            numbers.append(float(length[:-2]) * _UNITS[length[-2:]])
        except (ValueError, KeyError):
            return None
    left, top, width, height = numbers
    return left, top, left + width, top + height
