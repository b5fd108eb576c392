"""Lines of text on a page with the boxes of their characters, as PDFium finds them.

PDFium extracts text with its fonts about 30 times as fast as pdfplumber, which markitdown uses, and keeps the cells of
a row on one line. The text comes in one call, the boxes one by one: they tell columns, superscripts, cells, and where
on the page a sentence stands. All boxes are in points of the page as it is shown, from its bottom left corner.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from inhouse.types import Box, Numbers

Rectangle = tuple[float, float, float, float]  # left, bottom, right, top in points
Codes = Any  # of characters: uint32, shape (characters,)
Mask = Any  # bool, shape (characters,)

HYPHEN = 2  # PDFium's mark for a hyphen at the end of a line; it does not mark the end of that line
RIGHT_TO_LEFT = 0x590  # letters from here on may run to the left; those before never do
WIDE_GAP = 0.8  # times the letters' height: more than the widest space of justified text
SMALL = 0.85  # of the line's letters: what is smaller may be a superscript
RAISED = 0.12  # of the letters' height, from baseline to baseline
MOST_RAISED = 4  # characters; more are a small text beside a large one
_BOLD = re.compile(rb"(?i)bold|black|heavy|demi")
_SUPERSCRIPTS = dict(zip(map(ord, "0123456789+-\u2212=()n"), map(ord, "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ"), strict=True))
_SUBSCRIPTS = dict(zip(map(ord, "0123456789"), map(ord, "₀₁₂₃₄₅₆₇₈₉"), strict=True))
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "ĳ": "ij", "Ĳ": "IJ"}
)


@dataclass(eq=False)
class Line:
    """A line of text, or a part of it. `size` is the height of its letters; `codes` and `boxes` have its characters.

    `level` is that of a heading; 0 is text, -1 a row of a table, and -2 what is no part of the text around it.
    """

    codes: Codes
    boxes: Numbers  # shape (characters, 4); of a space that PDFium put in, anything
    bold: bool = False
    level: int = 0

    def __post_init__(self) -> None:
        self.text = text_of(self.codes)
        seen = self.boxes[self.codes > 32]
        self.left, self.bottom = (float(v) for v in seen[:, :2].min(axis=0))
        self.right, self.top = (float(v) for v in seen[:, 2:].max(axis=0))
        self.size = _median(seen[:, 3] - seen[:, 1])

    @property
    def box(self) -> Rectangle:
        return self.left, self.bottom, self.right, self.top

    def part(self, which: Mask) -> Line | None:
        """The line of some of the characters, by a mask; None if nothing of them can be seen."""
        if not np.any(which & (self.codes > 32)):
            return None
        return Line(self.codes[which], self.boxes[which], self.bold, self.level)

    def inside(self, box: Rectangle) -> Mask:
        """A mask of the characters whose middle is in the box; a space is inside when both its neighbors are."""
        if not (self.left < box[2] and box[0] < self.right and self.bottom < box[3] and box[1] < self.top):
            return np.zeros(len(self.codes), bool)
        x, y = (self.boxes[:, :2] + self.boxes[:, 2:]).T / 2
        within = (box[0] < x) & (x < box[2]) & (box[1] < y) & (y < box[3])
        seen = self.codes > 32
        places = np.arange(len(seen))
        before = np.maximum.accumulate(np.where(seen, places, 0))
        after = np.minimum.accumulate(np.where(seen, places, len(seen) - 1)[::-1])[::-1]
        return within[before] & within[after]

    def parts(self) -> list[Line]:
        """The line cut at wide gaps."""
        seen = np.flatnonzero(self.codes > 32)
        left, right = self.boxes[seen, 0], self.boxes[seen, 2]
        gaps = np.maximum(left[1:] - right[:-1], left[:-1] - right[1:])  # in both directions of writing
        cuts = seen[1:][gaps > WIDE_GAP * self.size]
        if not len(cuts):
            return [self]
        edges = [0, *cuts.tolist(), len(self.codes)]
        return [Line(self.codes[a:b], self.boxes[a:b], self.bold) for a, b in pairwise(edges)]


def placed(text: str, box: Rectangle, level: int = 0) -> Line:
    """A line whose text does not come from the page's characters; each gets an equal share of the box."""
    codes = np.array(list(map(ord, text)), np.uint32)
    edges = np.linspace(box[0], box[2], len(codes) + 1)
    sides = np.full((2, len(codes)), [[box[1]], [box[3]]])
    return Line(codes, np.stack([edges[:-1], sides[0], edges[1:], sides[1]], axis=1), False, level)


def joined(lines: Sequence[Line]) -> Line:
    """One line of several parts, in this order, with spaces between them."""
    space, nowhere = np.array([32], np.uint32), np.zeros((1, 4), np.float32)
    codes = [array for line in lines for array in (line.codes, space)][:-1]
    boxes = [array for line in lines for array in (line.boxes, nowhere)][:-1]
    return Line(np.concatenate(codes), np.concatenate(boxes), all(line.bold for line in lines))


def space(before: Line, line: Line) -> float:
    """The space between two lines, relative to their size; negative where the text continues in a new column."""
    return (before.bottom - line.top) / max(min(before.size, line.size), 1.0)


@dataclass
class Page:
    """The lines of a page in points, its size as it is shown, and what else is on it.

    `turn` is how far the page must be turned clockwise, in degrees, for its text to be upright; `pictures` are the
    boxes of its larger pictures, `drawn` is the number of all pictures and paths.
    """

    lines: list[Line]
    width: float
    height: float
    rules: int = 0
    drawn: int = 0
    pictures: list[Rectangle] = field(default_factory=list)
    turn: int = 0
    unmapped: float = 0.0  # share of its glyphs that have no characters

    def fractions(self, box: Rectangle) -> Box:
        """(left, top, right, bottom) as shares of the page's width and height, from its top left corner."""
        left, bottom, right, top = turned(np.array([box]), -self.turn % 360, self.width, self.height)[0].tolist()
        width, height = (self.height, self.width) if self.turn % 180 else (self.width, self.height)

        def share(value: float, of: float) -> float:
            return round(min(max(value / (of or 1.0), 0.0), 1.0), 3)

        return share(left, width), share(height - top, height), share(right, width), share(height - bottom, height)


def turned(boxes: Numbers, degrees: int, width: float, height: float) -> Numbers:
    """Boxes on a page of this size after it was turned clockwise."""
    left, bottom, right, top = boxes.T
    match degrees:
        case 90:
            columns = [bottom, width - right, top, width - left]
        case 180:
            columns = [width - right, height - top, width - left, height - bottom]
        case 270:
            columns = [height - top, left, height - bottom, right]
        case _:
            return boxes
    return np.stack(columns, axis=1)


def text_of(codes: Codes) -> str:
    """The text of characters, with ligatures as letters; characters beyond 65535 may come as two halves."""
    text = "".join(map(chr, codes[(codes > 31) | (codes == 10) | (codes == HYPHEN)].tolist()))
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_LIGATURES)
    return text.strip()


def page_lines(page: Any) -> tuple[list[Line], float, float, int, float]:
    """The lines of a page in PDFium's order, its width, height and turn, and the share of glyphs without characters."""
    from pypdfium2 import raw

    text_page = page.get_textpage()
    handle, count = text_page.raw, text_page.count_chars()
    codes = _codes(handle, count)
    boxes = _boxes(handle, codes)
    left, bottom, right, top = page.get_bbox()
    rotation = page.get_rotation()
    width, height = right - left, top - bottom
    boxes = turned(boxes - np.array([left, bottom, left, bottom], np.float32), rotation, width, height)
    if rotation % 180:
        width, height = height, width
    spans = _spans(codes)
    turn = _turn(codes, boxes, spans)
    boxes = turned(boxes, turn, width, height)
    if turn % 180:
        width, height = height, width
    upright = (rotation + turn) % 360 == 0
    spans = _unbroken(codes, boxes, _cut(codes, boxes, spans))
    lines = [_line(handle, codes, boxes, start, end, upright) for start, end in spans]
    if turn and sum(a.top < b.top for a, b in pairwise(lines)) > len(lines) / 2:  # in the order of the page as it lies
        lines.sort(key=lambda line: -line.top)
    seen = np.flatnonzero(codes > 32)
    some = seen[:: max(len(seen) // 40, 1)].tolist()
    errors = sum(raw.FPDFText_HasUnicodeMapError(handle, i) == 1 for i in some)
    private = int(np.sum((codes >= 0xE000) & (codes <= 0xF8FF)) + np.sum(codes == 0xFFFD))
    unmapped = max(errors / len(some), private / len(seen)) if some else 0.0
    return lines, width, height, turn, unmapped


def _codes(handle: Any, count: int) -> Codes:
    """The characters, one for each box: where the text leaves some out or has pairs for one, they come one by one."""
    from pypdfium2 import raw

    buffer: Any = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(handle, 0, count, buffer) if count else 1
    codes = np.frombuffer(buffer, np.uint16)[:count].astype(np.uint32)
    if written - 1 != count or np.any((codes >= 0xD800) & (codes < 0xE000)):
        codes = np.array([raw.FPDFText_GetUnicode(handle, i) for i in range(count)], np.uint32)
    codes[codes == 0xFFFE] = HYPHEN
    return codes


def _boxes(handle: Any, codes: Codes) -> Numbers:
    """The boxes of the characters. Within a plain word only those of its ends are asked for: that halves the time."""
    from pypdfium2 import raw

    if not len(codes):
        return np.empty((0, 4), np.float32)
    seen = codes > 32
    starts, ends = seen.copy(), seen.copy()
    starts[1:] &= ~seen[:-1]
    ends[:-1] &= ~seen[1:]
    words = np.cumsum(starts)
    special = seen & ((codes < 58) | (codes >= RIGHT_TO_LEFT))  # figures may have superscripts; others have no spaces
    known = np.flatnonzero(starts | ends | (seen & np.isin(words, words[special])))
    array: Any = (raw.FS_RECTF * len(known))()
    get = raw.FPDFText_GetLooseCharBox
    for i, one in zip(known.tolist(), array, strict=True):
        get(handle, i, one)
    edges = np.frombuffer(array, np.float32).reshape(len(known), 4)[:, [0, 3, 2, 1]]
    if not len(known):
        return np.zeros((len(codes), 4), np.float32)
    places = np.arange(len(codes))
    return np.stack([np.interp(places, known, side) for side in edges.T], axis=1).astype(np.float32)


def _median(values: Numbers) -> float:
    """As numpy's, but for few values ten times as fast."""
    return float(np.sort(values)[len(values) // 2])


def _spans(codes: Codes) -> list[tuple[int, int]]:
    """Start and end of each line that has something to see, without spaces around it."""
    seen = np.flatnonzero((codes > 32) | (codes == HYPHEN))
    cuts = np.flatnonzero((codes == 10) | (codes == HYPHEN)) + 1
    edges = [0, *np.searchsorted(seen, cuts).tolist(), len(seen)]
    spans = [(int(seen[a]), int(seen[b - 1]) + 1) for a, b in pairwise(edges) if b > a]
    return [(start, end) for start, end in spans if end - start > 1 or codes[start] > 32]


def _cut(codes: Codes, boxes: Numbers, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, cut where PDFium goes on with the next line, as it does before a single letter."""
    seen = np.flatnonzero(codes > 32)
    a, b = boxes[seen[:-1]], boxes[seen[1:]]
    size = a[:, 3] - a[:, 1]
    falls = np.flatnonzero((b[:, 3] < a[:, 1] + 0.1 * size) & (b[:, 0] < a[:, 0] - size))
    starts = {start for start, _ in spans}
    cuts = [(int(seen[n]) + 1, int(seen[n + 1])) for n in falls.tolist() if int(seen[n + 1]) not in starts]
    out, at = [], 0
    for start, end in spans:
        begin = start
        while at < len(cuts) and cuts[at][1] < end:
            if cuts[at][1] > begin:
                out.append((begin, cuts[at][0]))
                begin = cuts[at][1]
            at += 1
        out.append((begin, end))
    return out


def _unbroken(codes: Codes, boxes: Numbers, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, those as one that PDFium broke in the middle of a line.

    It does so after a superscript, and in a row of a table beside a cell of one letter.
    """
    if len(spans) < 2:
        return list(spans)
    starts, ends = np.array(spans).T
    a, b = boxes[ends[:-1] - 1], boxes[starts[1:]]
    heights = np.stack([a[:, 3] - a[:, 1], b[:, 3] - b[:, 1]])
    shared = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    gaps, size = b[:, 0] - a[:, 2], heights.max(axis=0)
    beside = (shared > 0.5 * heights.min(axis=0)) & (-0.1 * size < gaps) & (gaps < 0.5 * size)
    last, first = ends[:-1] - 1, starts[1:]
    single = (
        (last == starts[:-1])
        | (codes[last - 1] <= 32)
        | (first + 1 == ends[1:])
        | (codes[np.minimum(first + 1, len(codes) - 1)] <= 32)
    )
    beside |= single & (shared > 0.8 * heights.max(axis=0)) & (gaps >= 0.5 * size)
    out = [spans[0]]
    for n, (start, end) in enumerate(spans[1:]):
        before = out[-1][1]
        if beside[n] and codes[before - 1] != HYPHEN:
            codes[before:start] = 0
            codes[before] = 32 if gaps[n] > 0.12 * size[n] else 0
            out[-1] = out[-1][0], end
        else:
            out.append((start, end))
    return out


def _turn(codes: Codes, boxes: Numbers, spans: Sequence[tuple[int, int]]) -> int:
    """How to turn the page, in degrees, if most of its text runs upwards or downwards."""
    some = np.array([(start, end - start) for start, end in spans if end - start > 2])
    if not len(some):
        return 0
    starts, sizes = some.T
    moved = boxes[starts + 2] - boxes[starts]
    across, up = moved[:, 0] + moved[:, 2], moved[:, 1] + moved[:, 3]
    level = np.abs(across) >= np.abs(up)
    flows = {
        180: level & (across < 0) & (codes[starts] < RIGHT_TO_LEFT),
        90: ~level & (up > 0),
        270: ~level & (up <= 0),
    }
    turn = max(flows, key=lambda flow: int(sizes[flows[flow]].sum()))
    return turn if 2 * sizes[flows[turn]].sum() > sizes.sum() else 0


def _line(handle: Any, codes: Codes, boxes: Numbers, start: int, end: int, upright: bool) -> Line:
    from pypdfium2 import raw

    own, area = codes[start:end], boxes[start:end]
    seen = np.flatnonzero(own > 32)
    bold, name, flags = True, ctypes.create_string_buffer(128), ctypes.c_int()
    for i in (start + seen[[0, len(seen) // 2, -1]]).tolist():
        raw.FPDFText_GetFontInfo(handle, i, name, len(name), flags)
        bold = bold and bool(_BOLD.search(name.value) or raw.FPDFText_GetFontWeight(handle, i) >= 600)
    if upright:
        heights = area[seen, 3] - area[seen, 1]
        size = _median(heights)
        if heights.min() < SMALL * size:
            own, keep = _with_raised(lambda i: _baseline(handle, start + i), own, area, seen, size)
            own, area = own[keep], area[keep]
    return Line(own, area, bold)


def _baseline(handle: Any, i: int) -> float:
    from pypdfium2 import raw

    x, y = ctypes.c_double(), ctypes.c_double()
    raw.FPDFText_GetCharOrigin(handle, i, x, y)
    return y.value


def _with_raised(
    baseline: Callable[[int], float], codes: Codes, boxes: Numbers, seen: Any, size: float
) -> tuple[Codes, Mask]:
    """The characters with superscripts as such, and which of them stay: a space before a superscript goes.

    A superscript is smaller, stands on a higher baseline, and touches a letter of the line: a raised 1 after "$28" must
    not make it "$281". Subscripts are only marked between digits.
    """
    codes, keep = codes.copy(), np.ones(len(codes), bool)
    heights = boxes[seen, 3] - boxes[seen, 1]
    small = heights < SMALL * size
    at = 0
    while at < len(seen):
        end = at + 1
        while small[at] and end < len(seen) and small[end] and heights[end] == heights[at]:
            end += 1
        beside = at - 1 if at else end
        if small[at] and end - at <= MOST_RAISED and beside < len(seen) and not small[beside]:
            run, other = seen[at:end], int(seen[beside])
            gap = boxes[run[0], 0] - boxes[other, 2] if at else boxes[other, 0] - boxes[run[-1], 2]
            raised = baseline(int(run[0])) - baseline(other)
            digits = 48 <= codes[other] <= 57 or (end < len(seen) and 48 <= codes[seen[end]] <= 57)
            if abs(raised) > RAISED * size and gap < 0.4 * size and (raised > 0 or digits):
                marks = _SUPERSCRIPTS if raised > 0 else _SUBSCRIPTS
                codes[run] = [marks.get(code, code) for code in codes[run].tolist()]
                keep[(other + 1 if at else 0) : run[0]] = False
        at = end
    return codes, keep
