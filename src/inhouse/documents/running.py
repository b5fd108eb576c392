"""Page headers and footers of a PDF: lines that stand at the edges of several pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from inhouse.documents.layout import Line, Page, space

MARGIN = 0.12  # share of the page's height, at either end, that holds headers and footers
MAX_ROW_GAP = 1.2  # between two rows of a table, relative to the size of their text; a page header stands farther off
MAX_HEADER_CHARS = 300  # longer lines are text, and comparing each number in them would take quadratic memory


def drop_running_lines(pages: list[Page], body: float) -> None:
    """Drops headers and footers: lines at the edges of several pages, equal except for the page number.

    Of a line in large type, which may be a title, the first copy is kept; the header of a table is kept on every page.
    """
    edges = [_edges(page) for page in pages]
    keys = [{id(line): _running_keys(line, i, body) for line in lines} for i, lines in enumerate(edges)]
    counts = Counter(key for page in keys for key in set().union(*page.values()))
    enough = 2 if len(pages) < 4 else 3
    kept: set[str] = set()
    for page, lines, own in zip(pages, edges, keys, strict=True):
        running = {id(line): line for line in lines if any(counts[key] >= enough for key in own[id(line)])}
        for number, line in list(running.items()):
            if line.size > 1.1 * body and line.text not in kept:
                kept.add(line.text)
                del running[number]
            elif counts[line.text] >= enough and _heads_table(
                line, [own for own in page.lines if id(own) not in running]
            ):
                del running[number]
        page.lines = [line for line in page.lines if id(line) not in running]


def _heads_table(line: Line, others: Iterable[Line]) -> bool:
    """Whether parts of a line stand right above those of another line, with no more than wrapped cells between."""
    parts, last = line.parts(), line
    for other in sorted(others, key=lambda other: -other.top):
        if other.top >= last.top:
            continue
        if space(last, other) > MAX_ROW_GAP:
            return False
        row = other.parts()
        over = sum(any(a.left < b.right and b.left < a.right for b in row) for a in parts)
        if len(row) > 1 and over > 1 - (len(parts) == 1):
            return True
        last = other
    return False


def _edges(page: Page) -> list[Line]:
    """The two outermost lines at each end, as far as they are in the margin."""
    lines, margin = sorted(page.lines, key=lambda line: line.top), MARGIN * page.height
    low = [line for line in lines[:2] if line.top < margin]
    return low + [line for line in lines[2:][-2:] if line.bottom > page.height - margin]


def _running_keys(line: Line, page: int, body: float) -> set[str]:
    """What a header has in common on all pages: its text, or its text with a number relative to the page number."""
    keys = {line.text}
    if line.size <= 1.1 * body and len(line.text) <= MAX_HEADER_CHARS:
        for number in re.finditer(r"\d{1,6}", line.text):
            keys.add(f"{line.text[: number.start()]}\0{int(number[0]) - page}{line.text[number.end() :]}")
        if re.fullmatch("[ivxlc]+", line.text):
            keys.add("\0roman")
    return keys
