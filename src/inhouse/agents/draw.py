"""A procedure as a picture: SVG that a page can hold, and that stands by itself as a file.

Colors are the console's CSS variables with a light default; a separate file follows the reader's light or dark
setting. Every text of the procedure is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from inhouse.agents.flow import Edge, edges, links, reached
from inhouse.agents.layout import Arrow, Layout, laid_out, spread
from inhouse.agents.procedure import Procedure, State, written

FONT = "-apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, system-ui, sans-serif"
SIZE, SMALL, ROW = 12.0, 11.0, 16.0
INSIDE, MARGIN = 12.0, 24.0
COLUMN = 58.0  # of the words that say what a row is
WIDEST, LABEL = 240.0, 170.0
MOST_LINES = 3  # of what is said in a box; all of it is in the tooltip
START = 30.0  # space for the mark of the first state
HEAD = 9.0  # of an arrow
LOOP = 34.0  # width of an arrow from a state to itself
INK, SOFT, LINE, SURFACE = (
    "var(--ink,#15191c)",
    "var(--soft,#56616a)",
    "var(--strong-line,#c9d0d3)",
    "var(--surface,#fff)",
)
ACCENT, ACCENT_SOFT = "var(--accent,#0b6657)", "var(--accent-soft,#e3f1ee)"
GOOD, BAD, TWO = "var(--good,#17744a)", "var(--bad,#b02a24)", "var(--two,#3a62b5)"
STROKES = {"next": SOFT, "no": TWO, "error": BAD}
DARK = (
    "--ink:#e6eaec;--soft:#9aa5ae;--strong-line:#3a4249;--surface:#161a1d;--accent:#56c4ad;--accent-soft:#14302b;"
    "--good:#5fc48f;--bad:#f0857c;--two:#8fb0f0;background:#0f1214"
)
ALONE = f"<style>svg:root{{background:#f6f7f7}}@media(prefers-color-scheme:dark){{svg:root{{{DARK}}}}}</style>"
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[]{}\" "), set("mwMW@%&")


@dataclass
class Box:
    name: str
    rows: list[tuple[str, list[str]]]  # what it is, and its lines
    tooltip: str
    width: float
    stroke: str = LINE
    dashed: bool = False
    round: float = 6
    loops: list[list[str]] = field(default_factory=list)  # labels of the arrows from it to itself

    @property
    def height(self) -> float:
        text = 2 * INSIDE + ROW * (1 + sum(len(lines) for _, lines in self.rows)) - 4
        return max(text, INSIDE + sum(max(len(lines), 2) * ROW + 6 for lines in self.loops))


def svg(procedure: Procedure, at: str = "", inline: bool = False) -> str:
    """The picture. `at` is the state to highlight; `inline` leaves out what only a file needs."""
    unknown = sorted({e.target for e in edges(procedure)} - procedure.by_name.keys())
    names = [*procedure.by_name, *unknown]
    reachable = reached([names[0]], links(edges(procedure))) if names else set()
    boxes = [_box(procedure, name, name in reachable) for name in names]
    drawn = [edge for edge in edges(procedure) if edge.source != edge.target]
    labels = [_label(procedure, edge) for edge in drawn]
    for edge in edges(procedure):
        if edge.source == edge.target:
            boxes[names.index(edge.source)].loops.append(_label(procedure, edge))
    layout = laid_out(
        [_reach(box, first=i == 0) for i, box in enumerate(boxes)],
        [
            (names.index(e.source), names.index(e.target), _wide(lines) + 10 if lines else 0, ROW * len(lines) + 4)
            for e, lines in zip(drawn, labels, strict=True)
        ],
    )
    mark = f"p{procedure.digest[:10]}"
    parts = [_head(procedure, layout, mark, at, inline)]
    parts += _arrows(layout, boxes, drawn, mark)
    parts += [_drawn_box(box, layout, i, mark, box.name == at) for i, box in enumerate(boxes)]
    parts += [_drawn_label(layout, arrow, lines) for arrow, lines in zip(layout.arrows, labels, strict=True)]
    if not boxes:
        parts.append(f'<text x="0" y="{ROW}" fill="{SOFT}">no states</text>')
    return "".join([*parts, "</g></svg>\n"])


def _box(procedure: Procedure, name: str, reachable: bool) -> Box:
    state = procedure.by_name.get(name)
    if state is None:
        return _measured(Box(name, [("", ["there is no such state"])], name, 0, BAD, dashed=True))
    most = {"says": MOST_LINES, "confirms": MOST_LINES, "hands off": MOST_LINES}
    rows = [(what, _wrapped(text, WIDEST - COLUMN, SIZE, most.get(what, 99))) for what, text in _rows(state) if text]
    tooltip = "\n".join([name, *(f"{what}: {text}" for what, text in _rows(state) if text)])
    stroke = GOOD if state.end else TWO if state.hand_off else LINE
    return _measured(Box(name, rows, tooltip, 0, stroke, not reachable, 16 if state.end or state.hand_off else 6))


def _rows(state: State) -> list[tuple[str, str]]:
    call = state.call
    passed = f" with {', '.join(call.arguments)}" if call and call.arguments else ""
    called = f"{call.tool}{passed}{f', as {call.result}' if call.result else ''}" if call else ""
    return [
        ("forgets", ", ".join(state.forget)), ("says", state.say), ("asks for", ", ".join(state.collect)),
        ("confirms", state.confirm), ("calls", called), ("hands off", state.hand_off), ("ends", "done" * state.end),
    ]  # fmt: skip


def _measured(box: Box) -> Box:
    lines = [line for _, lines in box.rows for line in lines]
    inside = max([_width(line, SIZE) + COLUMN for line in lines] + [_width(box.name, SIZE) * 1.12 + 14])
    box.width = max(inside + 2 * INSIDE, 90)
    return box


def _reach(box: Box, first: bool) -> tuple[float, float, float]:
    loops = max((LOOP + _wide(lines) for lines in box.loops), default=0.0)
    return box.width / 2 + START * first, box.width / 2 + loops, box.height


def _label(procedure: Procedure, edge: Edge) -> list[str]:
    state = procedure.by_name[edge.source]
    text = {"no": "no", "error": "the call fails"}.get(edge.kind, edge.when)
    if edge.kind == "next" and not edge.when:
        text = "otherwise" if len(state.next) > 1 else "yes" if state.confirm and state.otherwise else ""
    return _wrapped(text, LABEL, SMALL, 99)


def _wrapped(text: str, width: float, size: float, most: int) -> list[str]:
    """The text in lines of at most this width; longer words are broken, and what is too much ends in an ellipsis."""
    lines = [""]
    for word in _clean(text).split():
        for piece in _pieces(word, width, size):
            joined = f"{lines[-1]} {piece}".strip()
            if _width(joined, size) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    lines = [line for line in lines if line]
    if len(lines) > most:
        lines = lines[:most]
        lines[-1] = next(
            lines[-1][:end] + "…"
            for end in range(len(lines[-1]), -1, -1)
            if _width(lines[-1][:end] + "…", size) <= width
        )
    return lines


def _pieces(word: str, width: float, size: float) -> list[str]:
    if _width(word, size) <= width:
        return [word]
    pieces = [""]
    for char in word:
        if pieces[-1] and _width(pieces[-1] + char, size) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def _width(text: str, size: float) -> float:
    """An upper estimate of the width in the fonts that a browser may take."""
    total = 0.0
    for char in text:
        if unicodedata.east_asian_width(char) in "WF":
            total += 1.05
        elif char in _NARROW:
            total += 0.4
        else:
            total += 1.0 if char in _WIDE else 0.76 if char.isupper() or ord(char) > 0x24F else 0.62
    return total * size


def _wide(lines: Sequence[str]) -> float:
    return max((_width(line, SMALL) for line in lines), default=0.0)


def _clean(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Cn", "Co") else " " for c in text)


def _safe(text: str) -> str:
    return escape(_clean(text))


def _head(procedure: Procedure, layout: Layout, mark: str, at: str, inline: bool) -> str:
    width, height = (side + 2 * MARGIN for side in layout.size)
    title = procedure.title or procedure.name
    markers = "".join(
        f'<marker id="{mark}-{kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        f'<path d="M0 1L9 5L0 9z" fill="{stroke}"/></marker>'
        for kind, stroke in STROKES.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" aria-labelledby="{mark}-title {mark}-desc" '
        f'font-family="{FONT}" font-size="{SIZE:g}">'
        f'<title id="{mark}-title">Procedure: {_safe(title)}</title>'
        f'<desc id="{mark}-desc">{_safe(described(procedure, at))}</desc>'
        f'{"" if inline else ALONE}<defs>{markers}</defs><g transform="translate({MARGIN:g} {MARGIN:g})">'
    )  # fmt: skip


def described(procedure: Procedure, at: str = "") -> str:
    """The picture in words."""
    if not procedure.states:
        return "There are no states."
    words = [f"{written(len(procedure.by_name))} states. It begins in {procedure.states[0].name}."]
    if at:
        words.append(f"The conversation is in {at}.")
    why = {"no": " after no", "error": " if the call fails"}
    for state in procedure.by_name.values():
        ways = [
            f"to {e.target}{why.get(e.kind, f' if {e.when}' if e.when else '')}"
            for e in edges(procedure)
            if e.source == state.name
        ]
        ends = " is an end" if state.end else " hands off to a person" if state.hand_off else ""
        words.append(f"{state.name}{ends or ' leads ' + ', '.join(ways) if ends or ways else ' leads nowhere'}.")
    return " ".join(words)


def _arrows(layout: Layout, boxes: list[Box], drawn: list[Edge], mark: str) -> list[str]:
    ports = _ports(layout, boxes)
    parts = []
    for i, (arrow, edge) in enumerate(zip(layout.arrows, drawn, strict=True)):
        dashes = "" if edge.kind == "next" else ' stroke-dasharray="5 3"'
        path = _path(layout, arrow, ports[i, arrow.source], ports[i, arrow.target])
        parts.append(
            f'<path d="{path}" fill="none" stroke="{STROKES[edge.kind]}" stroke-width="1.3"{dashes} '
            f'marker-end="url(#{mark}-{edge.kind})"/>'
        )
    return parts


def _path(layout: Layout, arrow: Arrow, start: tuple[float, float], end: tuple[float, float]) -> str:
    """Curves between the layers, straight through them, and straight at the end, where the head is."""
    near, far = (0, 1) if not arrow.turned else (1, 0)  # which edge of a layer is met first
    head = -HEAD if not arrow.turned else HEAD
    x, y = start[0], layout.bands[layout.nodes[arrow.source].layer][far]
    path = f"M{x:.1f} {start[1]:.1f}V{y:.1f}"
    for point in [*arrow.points, -1]:
        to, layer = (layout.nodes[point].x if point >= 0 else end[0]), arrow.target if point < 0 else point
        enter = layout.bands[layout.nodes[layer].layer][near] + (head if point < 0 else 0)
        middle = (y + enter) / 2
        path += f"C{x:.1f} {middle:.1f} {to:.1f} {middle:.1f} {to:.1f} {enter:.1f}"
        x, y = to, layout.bands[layout.nodes[layer].layer][far]
        path += f"V{y:.1f}" if point >= 0 else f"V{end[1]:.1f}"
    return path


def _ports(layout: Layout, boxes: list[Box]) -> dict[tuple[int, int], tuple[float, float]]:
    """Where each arrow meets its boxes, by arrow and box: close to the point that follows."""
    sides: dict[tuple[int, bool], list[tuple[float, int]]] = {}
    for i, arrow in enumerate(layout.arrows):
        for box, point in ((arrow.source, arrow.points[0]), (arrow.target, arrow.points[-1])):
            bottom = layout.nodes[point].layer > layout.nodes[box].layer
            sides.setdefault((box, bottom), []).append((layout.nodes[point].x, i))
    found = {}
    for (box, bottom), meeting in sides.items():
        node, half = layout.nodes[box], boxes[box].width / 2 - 14
        ordered = sorted(meeting)
        gap = min(16.0, 2 * half / max(len(ordered) - 1, 1))
        low = [min(max(x, node.x - half), node.x + half) - gap * k for k, (x, _) in enumerate(ordered)]
        placed = [x + gap * k for k, x in enumerate(spread(low, [1.0] * len(low)))]
        shift = max(0.0, placed[-1] - node.x - half) or min(0.0, placed[0] - node.x + half)
        for x, (_, i) in zip(placed, ordered, strict=True):
            found[i, box] = (x - shift, node.y + boxes[box].height if bottom else node.y)
    return found


def _drawn_box(box: Box, layout: Layout, index: int, mark: str, here: bool) -> str:
    node = layout.nodes[index]
    left, top = node.x - box.width / 2, node.y
    stroke, fill = (ACCENT, ACCENT_SOFT) if here else (box.stroke, SURFACE)
    dashes = ' stroke-dasharray="4 3"' if box.dashed else ""
    thick = 2.5 if here else 1.3
    now = ' aria-current="step"' if here else ""
    parts = [
        f"<g{now}><title>{_safe(box.tooltip)}{' (here)' if here else ''}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{box.round:g}" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="{thick}"{dashes}/>',
        _text([box.name], left + INSIDE, top + INSIDE + 9, ACCENT if here else INK, ' font-weight="650"'),
    ]
    y = top + INSIDE + 9 + ROW
    for what, lines in box.rows:
        parts.append(_text([what], left + INSIDE, y, SOFT, f' font-size="{SMALL:g}"'))
        parts.append(_text(lines, left + INSIDE + COLUMN, y, INK))
        y += ROW * len(lines)
    if index == 0:
        parts.append(
            f'<circle cx="{left - 24:.1f}" cy="{top + 18:.1f}" r="4.5" fill="{INK}"/>'
            f'<path d="M{left - 19:.1f} {top + 18:.1f}H{left - 1:.1f}" stroke="{SOFT}" stroke-width="1.3" '
            f'marker-end="url(#{mark}-next)"/>'
        )
    y = top + INSIDE
    for lines in box.loops:
        right = left + box.width
        parts.append(
            f'<path d="M{right:.1f} {y:.1f}c28 0 28 18 1 18" fill="none" stroke="{SOFT}" stroke-width="1.3" '
            f'marker-end="url(#{mark}-next)"/>'
        )
        parts.append(_text(lines, right + 26, y + 12, SOFT, f' font-size="{SMALL:g}"'))
        y += max(len(lines), 2) * ROW + 6
    return "".join([*parts, "</g>"])


def _drawn_label(layout: Layout, arrow: Arrow, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    node = layout.nodes[arrow.label]
    width = _wide(lines) + 8
    return (
        f'<rect x="{node.x - width / 2:.1f}" y="{node.y:.1f}" width="{width:.1f}" height="{node.height:.1f}" rx="4" '
        f'fill="{SURFACE}" stroke="{LINE}" stroke-width="0.8"/>'
        + _text(lines, node.x, node.y + 13.5, INK, f' font-size="{SMALL:g}" text-anchor="middle"')
    )


def _text(lines: Sequence[str], x: float, y: float, fill: str, more: str = "") -> str:
    spans = "".join(f'<tspan x="{x:.1f}" y="{y + ROW * i:.1f}">{_safe(line)}</tspan>' for i, line in enumerate(lines))
    return f'<text fill="{fill}"{more}>{spans}</text>'
