"""Plots of costs as inline SVG, as those of the report: what a saving depends on, and options by volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from inhouse.evaluation.plots import SQUARE, WIDTH, _label, _svg, _tick, _ticks  # of this room

if TYPE_CHECKING:
    from markupsafe import Markup

LEFT, RIGHT, ROW = 230, 190, 30
KINDS = ("a", "b", "c", "d")  # of lines: solid, dashed, dotted, dash-dotted


class Bar(NamedTuple):
    """One input of a saving, in words, with its two ends in words and what the saving is there."""

    name: str
    low_text: str
    high_text: str
    low: float
    high: float


class Line(NamedTuple):
    """One option: what it costs by volume."""

    name: str
    monthly: Callable[[float], float]


def money(value: float) -> str:
    """US dollars, short: $1.2k, $3.4M."""
    size = abs(value)
    text = next((f"{size / unit:.3g}{name}" for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if size >= unit), "")
    return f"{'-' if value < 0 else ''}${text or f'{size:.3g}'}"


def tornado(net: float, bars: Sequence[Bar]) -> Markup:
    """The saving when each input is at its low and high end, the largest difference first."""
    if not bars:
        return _svg("", 10, "Nothing to vary.")
    ends = [e for b in bars for e in (b.low, b.high)]
    ticks = _ticks(min(net, 0.0, *ends), max(net, 0.0, *ends))
    low, high = ticks[0], ticks[-1]

    def x(v: float) -> float:
        return LEFT + (v - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT)

    bottom = 14 + ROW * len(bars)
    parts = [_tick(x(t), bottom, money(t), zero=t == 0) for t in ticks]
    for n, bar in enumerate(bars):
        y = 14 + ROW * n + ROW / 2
        first, last = sorted((x(bar.low), x(bar.high)))
        parts.append(_label(LEFT - 10, y, bar.name, "end"))
        parts.append(
            f'<rect class="won" x="{first:.1f}" y="{y - 9:.1f}" width="{max(last - first, 1.5):.1f}" height="18"/>'
        )
        texts = (bar.low_text, bar.high_text) if bar.low <= bar.high else (bar.high_text, bar.low_text)
        parts.append(_label(WIDTH - RIGHT + 12, y, f"{texts[0]} … {texts[1]}", "start"))
    parts.append(f'<line class="target" x1="{x(net):.1f}" x2="{x(net):.1f}" y1="10" y2="{bottom}"/>')
    parts.append(_label((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "net saving in a month, US dollars", "middle"))
    return _svg("".join(parts), bottom + 44, "What the net saving depends on")


def by_volume(lines: Sequence[Line], volume: float, crossings: Sequence[float]) -> Markup:
    """What options cost in a month by conversations in a month, both on logarithmic scales; `volume` is one's own."""
    top = max(10 * volume, *(1.5 * c for c in crossings), 1000.0)
    across = [10.0**n for n in range(1, math.ceil(math.log10(top)) + 1)]
    volumes = [across[0] * (across[-1] / across[0]) ** (n / 120) for n in range(121)]
    costs = [[max(line.monthly(v), 0.01) for v in volumes] for line in lines]
    least, most = (f(c for row in costs for c in row) for f in (min, max))
    up = [10.0**n for n in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)]
    side, left = SQUARE, 70.0

    def x(v: float) -> float:
        return left + math.log(v / across[0]) / math.log(across[-1] / across[0]) * 1.3 * side

    def y(v: float) -> float:
        return 20 + side - math.log(v / up[0]) / (math.log(up[-1] / up[0]) or 1) * side

    parts = [_tick(x(t), 20 + side, _count(t), zero=t == across[0], top=20) for t in across]
    for t in up:
        kind = "zero" if t == up[0] else "grid"
        parts.append(f'<line class="{kind}" x1="{left}" x2="{x(across[-1]):.1f}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>')
        parts.append(_label(left - 8, y(t), money(t), "end"))
    for n, (line, row) in enumerate(zip(lines, costs, strict=True)):
        points = " ".join(f"{x(v):.1f},{y(c):.1f}" for v, c in zip(volumes, row, strict=True))
        parts.append(f'<polyline class="curve kind-{KINDS[n % 4]}" points="{points}"/>')
        beside, at = x(across[-1]) + 16, 40 + 30 * n
        parts.append(f'<polyline class="curve kind-{KINDS[n % 4]}" points="{beside:.1f},{at} {beside + 34:.1f},{at}"/>')
        parts.append(_label(beside + 42, at, line.name, "start"))
    parts.append(f'<line class="target" x1="{x(volume):.1f}" x2="{x(volume):.1f}" y1="20" y2="{20 + side}"/>')
    parts.append(_label(x(volume), 12, "your volume", "middle"))
    parts.append(
        _label(left + 0.65 * side, side + 50, "conversations in a month; costs in US dollars a month", "middle")
    )
    return _svg("".join(parts), side + 60, "Cost of the options by volume", 1.3 * side + 290)


def _count(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
