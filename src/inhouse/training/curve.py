"""The loss curve of a training as SVG: no script, no font, no request; light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 360, 60, 30, 50
POINTS = 400  # of the training curve; each is the mean of its steps
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.train{fill:none;stroke:#9aa7b5;stroke-width:1.5}"
    ".held{fill:none;stroke:#0b6bcb;stroke-width:2.5}@media(prefers-color-scheme:dark){text{fill:#ddd}"
    ".grid{stroke:#444}.train{stroke:#778}.held{stroke:#6db3f8}}"
)


def draw(losses: Sequence[float], held: Sequence[tuple[int, float]], step_tokens: int) -> str:
    """Bits per byte by tokens: of the training text, and of held-out documents.

    Args:
        losses: of every step.
        held: step and loss of each evaluation.
        step_tokens: tokens of a step.
    """
    size = max(1, -(-len(losses) // POINTS))
    groups = [losses[n : n + size] for n in range(0, len(losses), size)]
    train = [(min(n * size + size, len(losses)), sum(g) / len(g)) for n, g in enumerate(groups)]
    seen = [v for _, v in [*train, *held]] or [1.0]
    low, high, last = 0.0, max(seen) * 1.05, max(1, len(losses))

    def x(step: float) -> float:
        return LEFT + step / last * (WIDTH - LEFT - 20)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in range(int(high) + 1):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        tokens = share * last * step_tokens
        label = f"{tokens / 1e6:.3g}M" if tokens >= 1e5 else f"{tokens / 1e3:.3g}k"
        parts.append(f'<text x="{x(share * last):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{label}</text>')
    for kind, points in (("train", train), ("held", held)):
        line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
    final = f"held out: {min((v for _, v in held), default=0):.3f} at its best"
    parts.append(f'<text x="{WIDTH - 20}" y="18" text-anchor="end">{final}; gray: training text</text>')
    parts.append(f'<text x="{LEFT - 40}" y="18">bits per byte</text>')
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">tokens</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Loss curve"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )
