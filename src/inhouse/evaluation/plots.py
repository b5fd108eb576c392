"""The report's plots as inline SVG: no script, no font and no request; colors come from the page's style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from inhouse.certificate import CascadeReport, CurvePoint
from inhouse.verdict import ConfidenceResults, Report

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, LEFT, RIGHT, ROW, SQUARE = 720, 170, 150, 34, 340
MIDDLE = (LEFT + WIDTH - RIGHT) / 2
Scale = Callable[[float], float]


def gains(report: Report) -> Markup:
    """Gains in accuracy with their intervals, a zero line, and the figures beside them."""
    rows = [(gain.name, gain.metrics["accuracy"]) for gain in report.gains if "accuracy" in gain.metrics]
    if not rows:
        return _svg("", 10, "No gains to show: only one arm was run.")
    low = min(0.0, *(e.low for _, e in rows))
    high = max(0.0, *(e.high for _, e in rows))
    ticks = _ticks(100 * low, 100 * high)
    low, high = min(low, ticks[0] / 100), max(high, ticks[-1] / 100)

    def x(v: float) -> float:
        return float(LEFT + (v - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT))

    bottom = 14 + ROW * len(rows)
    parts = [_tick(x(t / 100), bottom, f"{t:+.0f}" if t else "0", zero=t == 0) for t in ticks]
    for n, (name, e) in enumerate(rows):
        y = 14 + ROW * n + ROW / 2
        clear = "clear" if e.low > 0 or e.high < 0 else "unclear"
        parts.append(_label(LEFT - 10, y, name, "end"))
        parts.append(f'<line class="bar {clear}" x1="{x(e.low):.1f}" x2="{x(e.high):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="dot {clear}" cx="{x(e.mean):.1f}" cy="{y}" r="5"/>')
        figures = f"{100 * e.mean:+.1f} [{100 * e.low:+.0f}, {100 * e.high:+.0f}]"
        parts.append(_label(WIDTH - RIGHT + 12, y, figures, "start"))
    parts.append(_label(MIDDLE, bottom + 34, "gain in accuracy in points, with 95% intervals", "middle"))
    return _svg("".join(parts), bottom + 44, "Gains in accuracy with their intervals")


def latencies(report: Report) -> Markup:
    """p50, p95 and p99 of whole answers by arm."""
    rows = [(arm, row.latency_ms) for arm, row in report.arms.items()]
    ticks = _ticks(0, max(ms.p99 for _, ms in rows) / 1000)
    high = ticks[-1] or 1

    def x(ms: float) -> float:
        return float(LEFT + ms / 1000 / high * (WIDTH - LEFT - RIGHT))

    bottom = 34 + ROW * len(rows)
    parts = [_tick(x(t * 1000), bottom, f"{t:g}", zero=t == 0, top=28) for t in ticks]
    for n, mark in enumerate(("p50", "p95", "p99")):
        parts.append(_mark(mark, LEFT + 8 + 60 * n, 12))
        parts.append(_label(LEFT + 18 + 60 * n, 12, mark, "start"))
    for n, (arm, ms) in enumerate(rows):
        y = 34 + ROW * n + ROW / 2
        parts.append(_label(LEFT - 10, y, arm, "end"))
        parts.append(f'<line class="span" x1="{x(ms.p50):.1f}" x2="{x(ms.p99):.1f}" y1="{y}" y2="{y}"/>')
        parts += [_mark("p99", x(ms.p99), y), _mark("p95", x(ms.p95), y), _mark("p50", x(ms.p50), y)]
        parts.append(_label(WIDTH - RIGHT + 12, y, f"{ms.p50 / 1000:.1f} / {ms.p99 / 1000:.1f} s", "start"))
    parts.append(_label(MIDDLE, bottom + 34, "seconds to the end of the answer; figures: p50 / p99", "middle"))
    return _svg("".join(parts), bottom + 44, "Latency by arm")


def best_arm(report: Report) -> str | None:
    """The recommended arm, or if that is base the most elaborate of the others; None if there is no other."""
    if report.recommendation and report.recommendation.arm != "base":
        return report.recommendation.arm
    return next((a for a in ("tuned+rag", "rag", "prompt") if a in report.arms), None)


def risk_coverage(results: ConfidenceResults) -> Markup:
    """Share of wrong answers by share of questions answered, the most confident first; the error target as a line."""
    most = max(p.wrong for p in results.curve)
    kept = results.error_target if results.error_target < 1 else 0.0  # none is kept
    ticks = _ticks(0, 100 * max(most, kept, 0.1))
    parts, x, y = _square([0, 20, 40, 60, 80, 100], ticks, "% of questions answered", "% of answers wrong")
    if kept:
        level = y(100 * kept)
        parts.append(f'<line class="target" x1="{x(0):.1f}" x2="{x(100):.1f}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(_label(x(100), level - 12, f"error target: {100 * kept:g}%", "end"))
    points = " ".join(f"{x(100 * p.answered):.1f},{y(100 * p.wrong):.1f}" for p in results.curve)
    parts.append(f'<polyline class="curve" points="{points}"/>')
    if results.calibrated and results.answered:
        at, wrong = 100 * results.answered / results.questions, 100 * results.wrong / results.answered
        parts.append(f'<circle class="dot clear" cx="{x(at):.1f}" cy="{y(wrong):.1f}" r="6"/>')
        parts.append(_label(x(at), y(wrong) + 18, "served", "middle"))
    return _svg("".join(parts), SQUARE + 60, "Wrong answers by questions answered", SQUARE + 120)


def reliability(results: ConfidenceResults) -> Markup:
    """Share of right answers by confidence, in groups of equal size; calibrated confidence is on the diagonal."""
    parts, x, y = _square([0, 20, 40, 60, 80, 100], [0, 20, 40, 60, 80, 100], "% confidence", "% of answers right")
    parts.append(f'<line class="zero" x1="{x(0):.1f}" x2="{x(100):.1f}" y1="{y(0):.1f}" y2="{y(100):.1f}"/>')
    for b in results.bins:
        sure, right = 100 * b.confidence, 100 * b.right
        title = f"<title>{b.n} answers: {sure:.0f}% confidence, {right:.0f}% right</title>"
        parts.append(f'<circle class="dot clear" cx="{x(sure):.1f}" cy="{y(right):.1f}" r="6">{title}</circle>')
    return _svg("".join(parts), SQUARE + 60, "Right answers by confidence", SQUARE + 120)


def cost_quality(report: CascadeReport) -> Markup:
    """Quality of a cascade by its cost, with the certified thresholds, the plain ones, and each rung alone.

    Where the top rung costs nothing, by the share of questions that go up to it.
    """
    free = not report.top.usd

    def place(p: CurvePoint) -> tuple[float, float]:
        return (100 * p.share_up if free else 1000 * p.usd), 100 * p.quality

    curve = sorted(map(place, report.curve))
    marks = [
        ("rung", f"{r.name} alone", ((0.0 if free else 1000 * r.usd), 100 * (1 - r.error))) for r in report.rungs[:-1]
    ]
    marks.append(("top", f"{report.rungs[-1].name} alone", place(report.top)))
    for kind, label, found in (
        ("plain", "without a bound", report.plain),
        ("certified", "certified", report.certified),
    ):
        marks += [(kind, label, place(found))] if found else []
    seen = [*curve, *(at for _, _, at in marks)]
    across, up = _ticks(0, max(x for x, _ in seen)), _ticks(min(y for _, y in seen), max(y for _, y in seen))
    under = "% of questions to the top rung" if free else "US dollars for 1,000 questions"
    parts, x, y = _square(across, up, under, "% of answers right")
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve)
    parts.append(f'<polyline class="curve" points="{points}"/>')
    beside = SQUARE + 90.0
    for n, (kind, label, (a, b)) in enumerate(marks):
        parts += [
            _spot(kind, x(a), y(b)),
            _spot(kind, beside, 40 + 44 * n),
            _label(beside + 16, 40 + 44 * n, label, "start"),
        ]
        cost = f"{a:.3g}% up" if free else f"${a:,.2f}" if a >= 1 else f"${a:.2g}"
        parts.append(_label(beside + 16, 58 + 44 * n, f"{b:.1f}% right, {cost}", "start"))
    return _svg("".join(parts), SQUARE + 60, "Quality of the cascade by its cost", SQUARE + 320)


def _spot(kind: str, x: float, y: float) -> str:
    if kind == "top":
        return f'<rect class="spot top" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
    if kind == "rung":
        return f'<path class="spot rung" d="M{x:.1f} {y - 7:.1f} l6 12 h-12 z"/>'
    return f'<circle class="spot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'


def _square(across: Sequence[float], up: Sequence[float], under: str, beside: str) -> tuple[list[str], Scale, Scale]:
    """Axes of a square plot with their grid, and their scales."""
    left = 60.0

    def x(v: float) -> float:
        return left + (v - across[0]) / (across[-1] - across[0]) * SQUARE

    def y(v: float) -> float:
        return 20 + SQUARE - (v - up[0]) / (up[-1] - up[0]) * SQUARE

    parts = [_tick(x(t), 20 + SQUARE, f"{t:g}", zero=t == across[0], top=20) for t in across]
    for t in up:
        kind = "zero" if t == up[0] else "grid"
        parts.append(
            f'<line class="{kind}" x1="{x(across[0]):.1f}" x2="{x(across[-1]):.1f}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        )
        parts.append(_label(left - 10, y(t), f"{t:g}", "end"))
    parts.append(_label(left + SQUARE / 2, SQUARE + 50, under, "middle"))
    parts.append(_label(left - 10, 6, beside, "start"))
    return parts, x, y


def changed(report: Report) -> Markup:
    """By tag, how many questions the best arm got right that base got wrong, and the other way round."""
    best = best_arm(report)
    counts: dict[str, list[int]] = {}
    for row in report.table:
        if best is None or "base" not in row.answers:
            break
        ours, theirs = (row.answers[arm].scores.get("accuracy", 0.0) for arm in (best, "base"))
        if abs(ours - theirs) < 0.25:
            continue
        for tag in row.tags[:1] or ("all questions",):
            counts.setdefault(tag, [0, 0])[ours < theirs] += 1
    rows = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))[:14]
    if not rows:
        return _svg("", 10, "No question was answered better or worse.")
    most = max(max(c) for _, c in rows)
    unit = (WIDTH - RIGHT - LEFT) / 2 / (most + 1)
    bottom = 30 + 26 * len(rows)
    parts = [f'<line class="zero" x1="{MIDDLE}" x2="{MIDDLE}" y1="22" y2="{bottom}"/>']
    parts += [_label(MIDDLE - 8, 12, "base is better", "end"), _label(MIDDLE + 8, 12, f"{best} is better", "start")]
    for n, (tag, (won, lost)) in enumerate(rows):
        y = 30 + 26 * n
        parts.append(_label(LEFT - 10, y + 9, tag[:24], "end"))
        parts.append(f'<rect class="won" x="{MIDDLE}" y="{y}" width="{unit * won:.1f}" height="18"/>')
        parts.append(
            f'<rect class="lost" x="{MIDDLE - unit * lost:.1f}" y="{y}" width="{unit * lost:.1f}" height="18"/>'
        )
        if won:
            parts.append(_label(MIDDLE + unit * won + 6, y + 9, str(won), "start"))
        if lost:
            parts.append(_label(MIDDLE - unit * lost - 6, y + 9, str(lost), "end"))
    return _svg("".join(parts), bottom + 8, f"Questions on which {best} or base is better")


def _ticks(low: float, high: float) -> list[float]:
    """About five round values that span the range."""
    import math

    span = (high - low) or 1.0
    rough = span / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(s * size for s in (1, 2, 5, 10) if s * size >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _tick(x: float, bottom: float, text: str, zero: bool, top: float = 10) -> str:
    kind = "zero" if zero else "grid"
    line = f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
    return line + _label(x, bottom + 14, text, "middle")


def _mark(kind: str, x: float, y: float) -> str:
    if kind == "p50":
        return f'<circle class="p50" cx="{x:.1f}" cy="{y}" r="6"/>'
    if kind == "p95":
        return f'<rect class="p95" x="{x - 5:.1f}" y="{y - 5}" width="10" height="10"/>'
    return f'<path class="p99" d="M{x:.1f} {y - 7} l6 12 h-12 z"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(body: str, height: float, title: str, width: float = WIDTH) -> Markup:
    from markupsafe import Markup

    # Every text in it has gone through html.escape.
    return Markup(  # noqa: S704
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
