"""A tree of HTML to Markdown: tables as grids, superscripts apart from numbers, and what markitdown leaves out.

Every row of a table gets as many cells as its header: a cell that spans rows or columns is repeated. Header rows become
one. A table that only lays out a page becomes paragraphs.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from inhouse.documents.parsed import MARKDOWN, images_as_text, one_line
from inhouse.text.html import html_text

Element = Any  # lxml.html.HtmlElement, which has no types
MAX_SPAN, MAX_CELLS = 200, 200_000
LONG_CELL = 600  # characters: a cell with more is a part of a page
_LONG_SPACE = re.compile(r"(?<!\s)(\s{200})\s++")  # the converter's time is the square of a run of spaces
_SUPER = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUB = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = ("p", "div", "li", "dt", "dd", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "section")


def tree(html: str) -> Element | None:
    """The root of a page, or of a part of one; None if there is nothing in it."""
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        html = _LONG_SPACE.sub(r"\1", html)
        root = document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:
        return None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        flat = document_fromstring("<p></p>")  # the parser stops at elements nested too deeply: their text at least
        flat.find(".//p").text = html_text(html)
        return flat
    return root


def markdown(root: Element) -> str:
    """The Markdown of a tree, which is changed."""
    from lxml.html import tostring
    from markitdown.converters import HtmlConverter

    _inline(root)
    for table in reversed(list(root.iter("table"))):  # the inner ones first
        _table(table)
    html: str = tostring(root, encoding="unicode")
    with warnings.catch_warnings():  # elements nested too deeply for Markdown become plain text
        warnings.simplefilter("ignore", UserWarning)
        return images_as_text(HtmlConverter().convert_string(html, **MARKDOWN).markdown)


def text_of(element: Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def _inline(root: Element) -> None:
    for element in list(
        root.iter("sup", "sub", "summary", "button", "legend", "q", "rp", "select", "textarea", "input")
    ):
        match element.tag:
            case "sup" | "sub":
                _raised(element)
            case "q":
                element.text, tail = f'"{element.text or ""}', '"'
                _append(element, tail)
                element.drop_tag()
            case "rp":
                element.drop_tag()
            case "select":
                options = [text_of(option) for option in element.iter("option")]
                element.tail = f" {', '.join(filter(None, options))} {element.tail or ''}"
                element.drop_tree()
            case "input":
                if element.get("type", "").lower() not in ("checkbox", "radio"):
                    element.drop_tree()
            case _:
                element.tag = "p" if element.tag in ("summary", "legend") else "span"
    for element in root.iter("span", "font"):
        if "line-through" in element.get("style", "").lower():
            element.tag = "del"
    for ruby in root.iter("rt"):
        if ruby.text and not (ruby.getprevious() is not None and ruby.getprevious().tag == "rp"):
            ruby.text, ruby.tail = f"({ruby.text}", f"){ruby.tail or ''}"


def _append(element: Element, text: str) -> None:
    """Adds text at the end of an element."""
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def _raised(element: Element) -> None:
    """Raised and lowered figures become Unicode's, since beside a number they would change it; H2O stays as it is.

    What Unicode lacks is put into brackets if it has a digit. So are references to notes.
    """
    text = text_of(element)
    if not text:
        element.drop_tree()
        return
    raised = element.tag == "sup"
    shown = text.translate(_SUPER if raised else _SUB)
    reference = raised and (element.find(".//a") is not None or text[0] == "[")
    if not (any(map(str.isdigit, text)) if raised else _before(element).isdigit()) and not reference:
        element.drop_tag()
        return
    note = raised and element.find(".//a") is not None and not text.isdigit()
    if note or any(c in "0123456789" or (c.isalpha() and c != "ⁿ") for c in shown):
        shown = f" {text}" if text[0] in "[(" else f" [{text}]"
    element.tail = shown + (element.tail or "")
    element.drop_tree()


def _before(element: Element) -> str:
    """The last character in front of an element, in its paragraph."""
    while element is not None:
        previous = element.getprevious()
        found = (previous.tail or text_of(previous)) if previous is not None else None
        if found is None and element.getparent() is not None:
            found = element.getparent().text or ""
        if found:
            return str(found[-1])
        element = previous if previous is not None else element.getparent()
        if element is None or element.tag in _BLOCKS:
            return ""
    return ""


def _table(table: Element) -> None:
    """Makes a table of a page a plain grid with one header row, in place."""
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
    rows.sort(key=lambda row: {"thead": 0, "tfoot": 2}.get(row.getparent().tag, 1))  # a footer may be written first
    if _only_layout(table, rows):
        for element in [table, *rows, *(cell for row in rows for cell in row), *table.iterchildren()]:
            if element.tag in ("table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption"):
                element.tag = "div"
        return
    grid = _grid(rows)
    if not grid:
        return
    from lxml.html import Element as new

    n = _header_rows(table, rows, grid)
    caption = next((child for child in table if child.tag == "caption"), None)
    title = text_of(caption) if caption is not None else ""
    header: Sequence[Element | str | None] = grid[0] if n == 1 else _joined(grid[:n]) or [""] * len(grid[0])
    parts: list[Element] = [_paragraph(title, new)] if title else []
    run: list[Sequence[Element | None]] = []
    written, grouped = False, not all(map(_is_line, grid[n:]))
    for cells, following in zip(grid[n:], [*grid[n + 1 :], []], strict=True):
        alone = grouped and _is_line(cells)
        if alone or (run and _is_head(cells) and following and not _is_head(following)):
            parts += [_plain([header, *run], new)] if run else []
            parts += [_paragraph(text_of(cells[0]), new)] if alone else []
            written, header, run = written or bool(run), header if alone else cells, []
        else:
            run.append(cells)
    parts += [_plain([header, *run], new)] if run or not written else []
    parts[-1].tail, table.tail = table.tail, None
    parent = table.getparent()
    at = parent.index(table)
    parent[at : at + 1] = parts


def _is_line(cells: Sequence[Element | None]) -> bool:
    """Whether a row is one cell across all columns, which names the rows below it and holds no value."""
    return len(cells) > 1 and cells[0] is not None and len(set(cells)) == 1 and not text_of(cells[0]).isdecimal()


def _is_head(cells: Sequence[Element | None]) -> bool:
    """Whether a row has names of columns, or of the rows below it, in the midst of a table."""
    return len(cells) > 1 and all(cell is not None and cell.tag == "th" for cell in cells)


def _paragraph(text: str, new: Any) -> Element:
    made = new("p")
    made.text = text
    return made


def _plain(rows: Sequence[Sequence[Element | str | None]], new: Any) -> Element:
    """A table whose first row is its header."""
    plain, body = new("table"), new("tbody")
    plain.append(body)
    for i, cells in enumerate(rows):
        row = new("tr")
        for cell in cells:
            row.append(_cell(cell, "td" if i else "th", new))
        body.append(row)
    return plain


def _only_layout(table: Element, rows: Sequence[Element]) -> bool:
    if table.get("role", "").lower() in ("presentation", "none"):
        return True
    cells = [cell for row in rows for cell in row if cell.tag in ("td", "th")]
    if any(cell.tag == "th" for cell in cells):
        return False
    if max((len(row) for row in rows), default=0) <= 1:
        return True
    parts = any(cell.find(f".//{tag}") is not None for cell in cells for tag in (*_HEADINGS, "table", "div/p", "hr"))
    return parts or any(len(text_of(cell)) > LONG_CELL for cell in cells)


def _span(cell: Element, name: str) -> int:
    value = re.match(r"\s*+(\d{1,4})", cell.get(name) or "")
    return int(value[1]) if value else 1


def _grid(rows: Sequence[Element]) -> list[list[Element | None]]:
    """The cells of a table by row and column, with each cell wherever it reaches."""
    grid: list[dict[int, Element]] = [{} for _ in rows]
    total = 0
    for y, row in enumerate(rows):
        x = 0
        for cell in (child for child in row if child.tag in ("td", "th")):
            while x in grid[y]:
                x += 1
            height = _span(cell, "rowspan") or len(rows)
            width = min(max(_span(cell, "colspan"), 1), MAX_SPAN)
            for below in range(y, min(y + height, len(rows))):
                if below > y and rows[below].getparent() is not row.getparent():
                    break
                total += width
                if total > MAX_CELLS:
                    return [list(line.values()) for line in grid]
                for column in range(x, x + width):
                    grid[below].setdefault(column, cell)
            x += width
    width = max((max(line, default=-1) + 1 for line in grid), default=0)
    return [[line.get(column) for column in range(width)] for line in grid if line]


def _header_rows(table: Element, rows: Sequence[Element], grid: Sequence[Sequence[Element | None]]) -> int:
    """How many rows are the header: those in thead, or the first ones that have th alone.

    The first one has to do if none says so, but not where each row begins with its own name.
    """
    head = [row for row in rows if row.getparent().tag == "thead"]
    if head:
        return sum(1 for row in head if len(row))
    if len(grid[0]) > 1 and all(
        cells[0] is not None and cells[0].tag == "th" and all(c is None or c.tag == "td" for c in cells[1:])
        for cells in grid
    ):
        return 0
    n = 0
    for cells in grid:
        if not all(cell is None or cell.tag == "th" for cell in cells) or n == 3:
            break
        n += 1
    return max(n, 1) if n < len(grid) else 1


def _joined(header: Sequence[Sequence[Element | None]]) -> list[str]:
    """One header row of several: the different words of each column, from top to bottom."""
    columns = []
    for cells in zip(*header, strict=True):
        words = [text_of(cell) for cell in cells if cell is not None]
        columns.append(" ".join(dict.fromkeys(word for word in words if word)))
    return columns


def _cell(cell: Element | str | None, tag: str, new: Any) -> Element:
    made = new(tag)
    if isinstance(cell, str):
        made.text = cell.replace("|", "\\|")
        return made
    if cell is None:
        return made
    made.text = cell.text
    for child in cell:
        made.append(copy.deepcopy(child))
    for inner in list(made.iter("table")):
        rows = [[text_of(c) for c in row] for row in inner.iter("tr")]
        inner.tail = f" {one_line(rows)} {inner.tail or ''}"
        inner.drop_tree()
    for element in made.iter():
        if element.text:
            element.text = element.text.replace("|", "\\|")
        if element is not made and element.tail:
            element.tail = element.tail.replace("|", "\\|")
    _on_one_line(made.iter(*_BLOCKS, "br", "ul", "ol", "dl"), made)
    return made


def _on_one_line(blocks: Iterable[Element], cell: Element) -> None:
    """Separates the lines and paragraphs of a cell by spaces, and list items by commas."""
    for block in list(blocks):
        if block is cell:
            continue
        separator = "; " if block.tag in ("li", "dd") and block.getnext() is not None else " "
        block.tail = separator + (block.tail or "")
        block.text = f" {block.text or ''}" if block.tag != "br" else block.text
        block.drop_tag()
