"""Where the boxes and arrows of a drawing go: layers from top to bottom, few crossings, nothing on top of another.

Loops are opened by turning their last arrow around; each box gets the layer below the lowest that leads to it. An arrow
passes every layer between as a separate point, and its label is one of these points, as wide and high as the text, so
that labels keep their distance like boxes. Orders are improved by sweeps over the layers (barycenters); positions are
the closest to those of their neighbors that keep the order and the distances (pool adjacent violators).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GAP_X, GAP_Y = 22.0, 20.0
POINT = 10.0  # width of an arrow that passes a layer
SWEEPS = 12
LINE = 8.0  # how much more a straight arrow counts than a box in the middle


@dataclass
class Node:
    """A box, or the point of an arrow in a layer. `x` is its center, from which it reaches `left` and `right`."""

    left: float
    right: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0  # the top
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    point: bool = False


@dataclass
class Arrow:
    """Between two boxes; `points` are the nodes between them, from its source on, of which `label` is one."""

    source: int
    target: int
    width: float = 0.0
    height: float = 0.0
    points: list[int] = field(default_factory=list)
    label: int = -1
    turned: bool = False


@dataclass
class Layout:
    nodes: list[Node]
    arrows: list[Arrow]
    bands: list[tuple[float, float]]  # top and bottom of each layer

    @property
    def size(self) -> tuple[float, float]:
        return max((n.x + n.right for n in self.nodes), default=0), self.bands[-1][1] if self.bands else 0


def laid_out(boxes: Sequence[tuple[float, float, float]], arrows: Sequence[tuple[int, int, float, float]]) -> Layout:
    """Lays out boxes of (left, right, height), and arrows of (source, target, width and height of the label or 0).

    The first box is where one begins to read. Arrows from a box to itself must be left out.
    """
    nodes = [Node(*box) for box in boxes]
    drawn = [Arrow(*arrow) for arrow in arrows]
    _turn(len(nodes), drawn)
    _layers(nodes, drawn)
    for arrow in drawn:
        _points(nodes, arrow)
    layers = _ordered(nodes)
    _across(nodes, layers, drawn)
    return Layout(nodes, drawn, _down(nodes, layers))


def _turn(count: int, arrows: list[Arrow]) -> None:
    """Turns the arrows around that lead back to where a depth-first walk is coming from."""
    leaving: list[list[Arrow]] = [[] for _ in range(count)]
    for arrow in arrows:
        leaving[arrow.source].append(arrow)
    state = [0] * count  # 1 on the way, 2 done
    for first in range(count):
        waiting = [] if state[first] else [(first, iter(leaving[first]))]
        state[first] = state[first] or 1
        while waiting:
            at, rest = waiting[-1]
            following = next(rest, None)
            if following is None:
                state[at] = 2
                waiting.pop()
            elif state[following.target] == 1:
                following.turned = True
            elif not state[following.target]:
                state[following.target] = 1
                waiting.append((following.target, iter(leaving[following.target])))


def _ends(arrow: Arrow) -> tuple[int, int]:
    """The upper and the lower box."""
    return (arrow.target, arrow.source) if arrow.turned else (arrow.source, arrow.target)


def _layers(nodes: list[Node], arrows: list[Arrow]) -> None:
    """Two layers for each step down, so that there is one between for labels."""
    entering = [0] * len(nodes)
    below: list[list[int]] = [[] for _ in nodes]
    for upper, lower in map(_ends, arrows):
        entering[lower] += 1
        below[upper].append(lower)
    waiting = [i for i, count in enumerate(entering) if not count]
    while waiting:
        at = waiting.pop()
        for lower in below[at]:
            nodes[lower].layer = max(nodes[lower].layer, nodes[at].layer + 2)
            entering[lower] -= 1
            if not entering[lower]:
                waiting.append(lower)


def _points(nodes: list[Node], arrow: Arrow) -> None:
    """Adds the points of an arrow in the layers between its boxes; the label is the one next to its source."""
    upper, lower = _ends(arrow)
    previous = upper
    labeled = nodes[lower].layer - 1 if arrow.turned else nodes[upper].layer + 1
    for layer in range(nodes[upper].layer + 1, nodes[lower].layer):
        with_label = layer == labeled and arrow.width > 0
        half = max(arrow.width / 2, POINT / 2) if with_label else POINT / 2
        nodes.append(Node(half, half, arrow.height if with_label else 0, layer, point=True))
        arrow.points.append(len(nodes) - 1)
        if with_label:
            arrow.label = len(nodes) - 1
        _link(nodes, previous, len(nodes) - 1)
        previous = len(nodes) - 1
    _link(nodes, previous, lower)
    if arrow.turned:
        arrow.points.reverse()


def _link(nodes: list[Node], upper: int, lower: int) -> None:
    nodes[upper].below.append(lower)
    nodes[lower].above.append(upper)


def _ordered(nodes: list[Node]) -> list[list[int]]:
    """The nodes of each layer from left to right, with few crossings."""
    layers: list[list[int]] = [[] for _ in range(max((n.layer for n in nodes), default=-1) + 1)]
    seen: set[int] = set()
    for first in range(len(nodes)):  # depth first, so that a branch stands together
        waiting = [first]
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                layers[nodes[at].layer].append(at)
                waiting.extend(reversed(nodes[at].below))
    best, fewest = [list(layer) for layer in layers], _crossings(nodes, layers)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _sort(nodes, layers, layer, down)
        crossings = _crossings(nodes, layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _sort(nodes: list[Node], layers: list[list[int]], layer: list[int], down: bool) -> None:
    place = {at: i for every in layers for i, at in enumerate(every)}

    def middle(at: int) -> float:
        beside = nodes[at].above if down else nodes[at].below
        return sum(place[n] for n in beside) / len(beside) if beside else place[at]

    layer.sort(key=middle)


def _crossings(nodes: list[Node], layers: list[list[int]]) -> int:
    place = {at: i for layer in layers for i, at in enumerate(layer)}
    count = 0
    for layer in layers:
        lines = [(place[at], place[to]) for at in layer for to in nodes[at].below]
        count += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(lines) for c, d in lines[:i])
    return count


def _across(nodes: list[Node], layers: list[list[int]], arrows: list[Arrow]) -> None:
    """Sets x: every box near the middle of its neighbors, then the points of an arrow below one another."""
    chain = {point: arrow.points for arrow in arrows for point in arrow.points}
    for layer in layers:
        _place(nodes, layer, dict.fromkeys(layer, 0.0), dict.fromkeys(layer, 1.0))
    for sweep in range(6 * SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted, weight = {}, {}
            for at in layer:
                beside = (nodes[at].above if down else nodes[at].below) if sweep < SWEEPS else _beside(nodes[at])
                weight[at] = float(len(beside)) or 0.01
                if sweep >= SWEEPS and at in chain:
                    beside, weight[at] = chain[at], LINE
                wanted[at] = sum(nodes[n].x for n in beside) / len(beside) if beside else nodes[at].x
            _place(nodes, layer, wanted, weight)
    shift = min((n.x - n.left for n in nodes), default=0.0)
    for node in nodes:
        node.x -= shift


def _beside(node: Node) -> list[int]:
    return [*node.above, *node.below]


def _place(nodes: list[Node], layer: list[int], wanted: Mapping[int, float], weight: Mapping[int, float]) -> None:
    starts, total = [], 0.0
    for i, at in enumerate(layer):
        if i:
            gap = POINT if nodes[at].point and nodes[layer[i - 1]].point else GAP_X
            total += nodes[layer[i - 1]].right + gap + nodes[at].left
        starts.append(total)
    placed = spread([wanted[at] - s for at, s in zip(layer, starts, strict=True)], [weight[at] for at in layer])
    for at, start, x in zip(layer, starts, placed, strict=True):
        nodes[at].x = x + start


def spread(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The values that never decrease and are closest to the wanted ones, by weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted, weights, strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, u, n), (b, v, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [((a * u + b * v) / (u + v), u + v, n + m)]
    return [value for value, _, count in blocks for _ in range(count)]


def _down(nodes: list[Node], layers: list[list[int]]) -> list[tuple[float, float]]:
    """Sets y; the farther arrows go across between two layers, the more space is there."""
    bands: list[tuple[float, float]] = []
    top = 0.0
    for layer in layers:
        height = max((nodes[at].height for at in layer), default=0.0)
        for at in layer:
            nodes[at].y = top + ((height - nodes[at].height) / 2 if nodes[at].point else 0)
        bands.append((top, top + height))
        farthest = max((abs(nodes[at].x - nodes[to].x) for at in layer for to in nodes[at].below), default=0.0)
        top += height + GAP_Y + min(farthest / 12, 36)
    return bands
