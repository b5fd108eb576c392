"""What rails say of single texts, and how good they are on labeled lines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inhouse.guardrails.rail import Guard, Side, Turn


async def explain(guards: Sequence[Guard], side: Side, text: str, passages: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row a rail that looks at the side."""
    import time

    rows = []
    for guard in guards:
        if side not in guard.actions:
            continue
        turn = turn_of(side, text, passages)
        started = time.perf_counter()
        found = await asyncio.to_thread(guard.rail.check, side, text, turn)
        ms = (time.perf_counter() - started) * 1000
        action = (found.action or guard.actions[side]) if found else ""
        changes = found is not None and action in ("redact", "rewrite")
        rows.append({
            "rail": guard.rail.name, "said": f"{action}: {found.reason}" if found else "",
            "score": found.score if found else 0.0, "ms": ms,
            "spans": [{"kind": s.kind, "text": text[s.start : s.end]} for s in (found.spans if found else ())],
            "becomes": found.replacement(text) if found and changes else None,
        })  # fmt: skip
    return rows


def turn_of(side: Side, text: str, passages: Sequence[str] = ()) -> Turn:
    """An exchange in which `text` stands on that side."""
    from inhouse.chat import ChatRequest
    from inhouse.guardrails.rail import Turn
    from inhouse.types import Message, Passage

    question = text if side == "input" else ""
    told = [*passages, *([text] if side == "passages" else [])]
    request = ChatRequest(messages=(Message(role="user", content=question),))
    return Turn(request, tuple(Passage(source="given", title="", heading="", text=p) for p in told))


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The labelled lines.

    Raises:
        InputError: names the line that is not as it should be.
    """
    from inhouse.errors import InputError

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    rows = []
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}:{n}: not JSON ({error})") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not isinstance(row.get("bad"), bool):
            raise InputError(
                f'{file}:{n}: needs "text" and "bad"', 'such as {"text": "...", "rail": "toxicity", "bad": true}'
            )
        rows.append({**row, "at": f"{file}:{n}"})
    return rows


def _looked_at(row: dict[str, Any], guards: Sequence[Guard]) -> Side:
    """The side that a line is for: its own, or the one that its rail looks at.

    Raises:
        InputError: names the line whose rail is not on, or does not look at that side.
    """
    from inhouse.errors import InputError

    every: tuple[Side, ...] = ("input", "output", "answer", "passages")
    sides = [s for s in every if any(s in g.actions for g in guards if row.get("rail") in (None, g.rail.name))]
    if not sides:
        on = ", ".join(dict.fromkeys(g.rail.name for g in guards)) or "none"
        raise InputError(f"{row['at']}: no rail {row.get('rail', '')!r} is on", f"guardrails.rails has {on}")
    side: Side = row.get("side", sides[0])
    if side not in sides:
        raise InputError(f"{row['at']}: nothing looks at the side {side!r} here", f"one of {', '.join(sides)}")
    return side


async def quality(guards: Sequence[Guard], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a rail: a line counts for its `rail`, or for every rail of its side where it names none.

    Raises:
        InputError: names the line that no rail looks at.
    """
    import time

    found, sides = [], {row["at"]: _looked_at(row, guards) for row in rows}
    for name in dict.fromkeys(g.rail.name for g in guards):
        mine = [r for r in rows if r.get("rail", name) == name]
        hits: list[tuple[bool, bool, str, float]] = []
        for row in mine:
            side = sides[row["at"]]
            turn = turn_of(side, row["text"], row.get("passages", ()))
            own = [g for g in guards if g.rail.name == name and side in g.actions]
            if not own:
                continue
            started = time.perf_counter()
            said = [await asyncio.to_thread(g.rail.check, side, row["text"], turn) for g in own]
            hits.append((row["bad"], any(said), row["text"], (time.perf_counter() - started) * 1000))
        if not hits:
            continue
        bad = [h for h in hits if h[0]]
        good = [h for h in hits if not h[0]]
        caught, false = sum(h[1] for h in bad), sum(h[1] for h in good)
        found.append({
            "rail": name, "bad": len(bad), "good": len(good), "recall": caught / max(len(bad), 1),
            "precision": caught / max(caught + false, 1), "false": false / max(len(good), 1),
            "p95_ms": sorted(h[3] for h in hits)[int(0.95 * (len(hits) - 1))],
            "missed": [h[2] for h in bad if not h[1]], "false_alarms": [h[2] for h in good if h[1]],
        })  # fmt: skip
    return found
