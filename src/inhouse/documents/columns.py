"""The reading order of a page: columns of running text one after the other, rows of tables kept together.

PDFium gives lines in the order in which they were drawn. Where two columns were drawn row by row, it puts their lines
side by side, and a sentence of one column is cut by a sentence of the other. A gutter is a strip that no line crosses;
on both sides of it there is running text, or it is the gap between two columns of a table, whose rows are one line
each. Only where that is plain is the order changed: a price beside the wrong product is worse than any order.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from inhouse.documents.layout import Line, joined

MIN_LINES, SHORT_LINES = 3, 2  # of a column, and of a shorter one beside it
MIN_GUTTER = 0.7  # of the letters' height
ALIGNED = 3.0  # points by which the left edges of a column's lines may differ
MOST_GUTTERS = 6
FILLED = 0.6  # of its column's width: a line of running text is at least that wide, but for the end of a paragraph
LONG_LINE = 25  # letters; cells of tables are shorter
LETTERS = 0.65  # share of letters in running text
_BULLET = re.compile(r"[•◦▪‣●○■□–*·]\s|\(?\d{1,2}[.)]\s|[a-z]\)\s")
_UNFINISHED = re.compile(r"[^.!?:;。！？]\Z")
_FIGURE = re.compile(r"\d|^[-–—]$|^(?:yes|no|free|n/a|ja|nein|oui|non|sí|no)\b|[✓✔✗✘×]", re.IGNORECASE)


class Part(NamedTuple):
    """A part of a line: which line, which part of it, and what it is; `x` runs in the direction of reading."""

    number: int
    place: int
    line: Line
    x: tuple[float, float]


def reading_order(lines: list[Line]) -> list[Line]:
    """The lines in reading order; those that run across columns are cut, and rows of a table drawn in pieces joined."""
    level = [line for line in lines if line.right - line.left > 0.5 * line.size or len(line.text) < 3]
    if not _side_by_side(level):
        return lines
    right_to_left = sum(_right_to_left(line.text) for line in level) * 2 > len(level)
    parts = [
        Part(number, place, part, (-part.right, -part.left) if right_to_left else (part.left, part.right))
        for number, line in enumerate(lines)
        for place, part in enumerate(line.parts())
    ]
    ordered = _ordered(parts)
    if all(a is b for a, b in zip(ordered, parts, strict=True)):
        return lines
    out: list[list[Part]] = []
    for part in ordered:
        last = out[-1][-1] if out else None
        if last and (last.number, last.place + 1) == (part.number, part.place) and last.line is not part.line:
            out[-1].append(part)
        else:
            out.append([part])
    return [group[0].line if len(group) == 1 else joined([p.line for p in group]) for group in out]


def _side_by_side(lines: Sequence[Line]) -> bool:
    """Whether several lines stand beside others, or have wide gaps."""
    wide = sum(len(line.parts()) > 1 for line in lines)
    if wide >= SHORT_LINES:
        return True
    tops = sorted(lines, key=lambda line: -line.top)
    beside = sum(
        _overlap(a, b) > 0.3 * min(a.size, b.size) and (a.right < b.left or b.right < a.left) for a, b in pairwise(tops)
    )
    return beside + wide >= SHORT_LINES


def _overlap(a: Line, b: Line) -> float:
    return min(a.top, b.top) - max(a.bottom, b.bottom)


def _right_to_left(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return sum("\u0590" <= c <= "\u08ff" or "\ufb1d" <= c <= "\ufefc" for c in letters) * 2 > len(letters)


def _ordered(parts: list[Part]) -> list[Part]:
    for above, left, right, below in _bands(parts):
        if _reads(left) and _reads(right):
            rows = _blocks(left, right)
            middle = [part for block in rows for side in block for part in _ordered(side)]
            return [*_ordered(above), *middle, *_ordered(below)]
        if row_parts := _table_rows(left, right):
            return [*_ordered(above), *row_parts, *_ordered(below)]
    return parts


def _bands(parts: list[Part]) -> list[tuple[list[Part], list[Part], list[Part], list[Part]]]:
    """Parts above, left, right and below of each gutter, the longest first."""
    if len(parts) < MIN_LINES + SHORT_LINES:
        return []
    size = statistics.median(part.line.size for part in parts)
    width = MIN_GUTTER * size
    found = []
    for edge in _edges(parts):
        inside: list[Part] = []
        between = _headings_between(parts, edge)
        for part in [*sorted(parts, key=lambda p: -p.line.top), None]:
            if (
                part is not None
                and id(part.line) not in between
                and (part.x[1] <= edge - width or part.x[0] >= edge - ALIGNED)
            ):
                inside.append(part)
                continue
            left = [p for p in inside if p.x[1] <= edge - width]
            right = [p for p in inside if p.x[1] > edge - width]
            inside = []
            left = _without_tail(left, right)
            few, many = sorted((len(left), len(right)))
            if few >= SHORT_LINES and many >= MIN_LINES and _beside(left, right):
                found.append((len(left) + len(right), left, right))
    found.sort(key=lambda band: -band[0])
    return [_around(parts, left, right) for _, left, right in found]


def _headings_between(parts: Sequence[Part], edge: float) -> set[int]:
    """Lines left of the gutter that stand alone where the right column has a large space: headings over both."""
    lines = sorted(parts, key=lambda part: -part.line.top)
    right = [part for part in lines if part.x[0] >= edge - ALIGNED]
    left = [part for part in lines if part.x[1] < edge]
    if len(right) < 2 * SHORT_LINES or len(left) < 2 * SHORT_LINES:
        return set()
    pitch = _pitch(right)
    gaps = [(a.line.bottom, b.line.top) for a, b in pairwise(right) if a.line.bottom - b.line.bottom > 2.2 * pitch]
    alone = set()
    for before, part, after in zip(left, left[1:], left[2:], strict=False):
        apart = min(before.line.bottom - part.line.bottom, part.line.bottom - after.line.bottom) > 1.3 * pitch
        if apart and any(part.line.top <= upper + 0.3 * pitch and part.line.bottom >= lower for upper, lower in gaps):
            alone.add(id(part.line))
    return alone


def _edges(parts: Sequence[Part]) -> list[float]:
    """Where several lines begin, the most frequent first, but for the leftmost."""
    counts = Counter(round(part.x[0]) for part in parts)
    near = {x: sum(counts[x + d] for d in range(-2, 3)) for x in counts}
    first = min(near)
    chosen: list[int] = []
    for x in sorted(near, key=lambda x: (-near[x], x)):
        if near[x] >= SHORT_LINES and x > first + 2 * ALIGNED and all(abs(x - y) > 2 * ALIGNED for y in chosen):
            chosen.append(x)
    return [min(p.x[0] for p in parts if abs(p.x[0] - x) <= ALIGNED) for x in chosen[:MOST_GUTTERS]]


def _without_tail(left: list[Part], right: Sequence[Part]) -> list[Part]:
    """The left column without what follows below both: a heading, or text after a larger space."""
    if not left or not right:
        return left
    lowest = min(part.line.bottom for part in right)
    lines = sorted(left, key=lambda part: -part.line.top)
    pitch = _pitch(lines)
    size = statistics.median(part.line.size for part in lines)
    for n, (a, b) in enumerate(pairwise(lines), 1):
        under = b.line.top < lowest + 0.3 * size
        if under and (a.line.bottom - b.line.bottom > 1.6 * pitch or b.line.size > 1.15 * size):
            kept = {id(part.line) for part in lines[:n]}
            return [part for part in left if id(part.line) in kept]
    return left


def _pitch(lines: Sequence[Part]) -> float:
    """The usual distance from line to line."""
    steps = [a.line.bottom - b.line.bottom for a, b in pairwise(lines)]
    return statistics.median([step for step in steps if step > 0.3 * lines[0].line.size] or [lines[0].line.size])


def _beside(left: Sequence[Part], right: Sequence[Part]) -> bool:
    """Whether the two stand beside each other for most of the shorter one."""
    tops = [max(part.line.top for part in side) for side in (left, right)]
    bottoms = [min(part.line.bottom for part in side) for side in (left, right)]
    shorter = min(tops[0] - bottoms[0], tops[1] - bottoms[1])
    return min(tops) - max(bottoms) > 0.6 * shorter


def _around(
    parts: Sequence[Part], left: list[Part], right: list[Part]
) -> tuple[list[Part], list[Part], list[Part], list[Part]]:
    inside = {id(part.line) for part in (*left, *right)}
    middle = statistics.median(part.line.top for part in (*left, *right))
    rest = [part for part in parts if id(part.line) not in inside]
    above = [part for part in rest if part.line.top > middle]
    return above, left, right, [part for part in rest if part.line.top <= middle]


def _reads(parts: list[Part]) -> bool:
    """Whether the parts are columns of running text, or lists."""
    if _prose(parts):
        return True
    for above, left, right, below in _bands(parts):
        if len(above) + len(below) <= len(parts) // 4:
            return _reads(left) and _reads(right)
    return False


def _prose(parts: Sequence[Part]) -> bool:
    texts = [part.line.text for part in parts]
    joined_up = "".join(texts)
    visible = sum(not c.isspace() for c in joined_up)
    letters = sum(c.isalpha() for c in joined_up)
    if len(parts) < SHORT_LINES or letters < LETTERS * visible:
        return False
    if sum(bool(_BULLET.match(text)) for text in texts) >= 0.5 * len(texts):
        return True
    cased = sum(c.islower() or c.isupper() for c in joined_up) > 0.5 * letters
    wide = letters / len(texts)
    if wide < (9 if cased else 5):
        return False
    widths = sorted(part.x[1] - part.x[0] for part in parts)
    full = widths[int(0.8 * (len(widths) - 1))]
    if sum(width >= FILLED * full for width in widths) < 0.5 * len(widths):
        return False
    if not cased:
        return True
    ordered = [part.line.text for part in sorted(parts, key=lambda part: -part.line.top)]
    open_ends = [bool(_UNFINISHED.search(text)) for text in ordered[:-1]]
    runs = sum(unfinished and after[:1].islower() for unfinished, after in zip(open_ends, ordered[1:], strict=True))
    long = wide >= LONG_LINE and 2 * sum(open_ends) >= len(open_ends)  # German has many capitals
    return runs >= (0.15 if long else 0.3) * len(open_ends)


def _blocks(left: list[Part], right: list[Part]) -> list[tuple[list[Part], list[Part]]]:
    """The two columns, or the rows of a table whose cells have several lines: their spaces are at equal heights."""
    breaks = [_breaks(side) for side in (left, right)]
    size = left[0].line.size
    both = [y for y in breaks[0] if any(abs(y - other) < 0.6 * size for other in breaks[1])]
    if len(both) < 2 or len(both) < 0.7 * max(map(len, breaks)):
        return [(left, right)]
    edges = [float("inf"), *sorted(both, reverse=True), float("-inf")]
    rows = []
    for upper, lower in pairwise(edges):
        rows.append(tuple([p for p in side if lower < p.line.top <= upper] for side in (left, right)))
    return [(row[0], row[1]) for row in rows]


def _breaks(parts: Sequence[Part]) -> list[float]:
    """Heights at which a new paragraph begins after some space."""
    lines = sorted(parts, key=lambda part: -part.line.top)
    pitch = _pitch(lines)
    return [b.line.top + 0.1 for a, b in pairwise(lines) if a.line.bottom - b.line.bottom > 1.3 * pitch]


def _table_rows(left: Sequence[Part], right: Sequence[Part]) -> list[Part]:
    """The rows of a table that was drawn column by column, as parts of one line each; empty if it is none."""
    figures = sum(bool(_FIGURE.search(part.line.text)) and len(part.line.text) <= 24 for part in right)
    if figures < 0.6 * len(right):
        return []
    rows: list[list[Part]] = []
    for part in sorted((*left, *right), key=lambda p: -p.line.bottom):
        if rows and abs(rows[-1][0].line.bottom - part.line.bottom) < 0.3 * part.line.size:
            rows[-1].append(part)
        else:
            rows.append([part])
    whole = sum(len(row) > 1 for row in rows)
    apart = sum(len({part.number for part in row}) > 1 for row in rows)
    if whole < MIN_LINES or whole < 0.7 * len(rows) or apart < 0.5 * whole:
        return []
    out: list[Part] = []
    for number, row in enumerate(rows):
        cells = sorted(row, key=lambda part: part.x[0])
        out += [Part(-1 - number, place, part.line, part.x) for place, part in enumerate(cells)]
    return out
