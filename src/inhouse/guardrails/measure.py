"""What rails report about single texts, and how good they are on labeled lines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from inhouse.chat import ChatRequest
from inhouse.errors import InputError
from inhouse.guardrails.rail import Action, Finding, Guard, Side, Turn
from inhouse.types import Message, Passage, Record

SIDES: tuple[Side, ...] = ("input", "output", "answer", "passages")
EXAMPLE = 'such as {"text": "...", "rail": "toxicity", "bad": true}'


class Quoted(Record):
    """A part of a text that a rail pointed out."""

    kind: str
    text: str


class Explanation(Record):
    """What one rail reports about a text. `action` is None where it reports nothing; `replacement` is what the text
    becomes, where the action changes it."""

    rail: str
    action: Action | None = None
    reason: str = ""
    score: float = 0.0
    spans: tuple[Quoted, ...] = ()
    replacement: str | None = None
    ms: float


class LabeledLine(BaseModel):
    """A text with a label, for one rail or for all that check its side. `where` is its file and line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    text: str
    bad: StrictBool
    rail: str | None = None
    side: Side | None = None
    passages: tuple[str, ...] = ()
    where: str


class RailQuality(Record):
    """How good a rail is on labeled lines. `false` is the share of the good lines that it reported; the last two are
    the texts that it got wrong."""

    rail: str
    bad: int
    good: int
    recall: float
    precision: float
    false: float
    p95_ms: float
    missed: tuple[str, ...]
    false_alarms: tuple[str, ...]


async def explain(guards: Sequence[Guard], side: Side, text: str, passages: Sequence[str] = ()) -> list[Explanation]:
    """One explanation per rail that checks the side."""
    explanations = []
    for guard in guards:
        if side not in guard.actions:
            continue
        finding, ms = await _checked(guard, side, text, turn_of(side, text, passages))
        if finding is None:
            explanations.append(Explanation(rail=guard.rail.name, ms=ms))
            continue
        action = finding.action or guard.actions[side]
        explanations.append(Explanation(
            rail=guard.rail.name, action=action, reason=finding.reason, score=finding.score, ms=ms,
            spans=tuple(Quoted(kind=s.kind, text=text[s.start : s.end]) for s in finding.spans),
            replacement=finding.replacement(text) if action in ("redact", "rewrite") else None,
        ))  # fmt: skip
    return explanations


async def _checked(guard: Guard, side: Side, text: str, turn: Turn) -> tuple[Finding | None, float]:
    """A rail's finding, and how long it took in milliseconds."""
    started = time.perf_counter()
    finding = await asyncio.to_thread(guard.rail.check, side, text, turn)
    return finding, (time.perf_counter() - started) * 1000


def turn_of(side: Side, text: str, passages: Sequence[str] = ()) -> Turn:
    """An exchange with `text` on that side."""
    question = text if side == "input" else ""
    given = [*passages, *([text] if side == "passages" else [])]
    request = ChatRequest(messages=(Message(role="user", content=question),))
    return Turn(request, tuple(Passage(source="given", title="", heading="", text=p) for p in given))


def read_lines(file: Path) -> list[LabeledLine]:
    """The labeled lines of a JSONL file.

    Raises:
        InputError: the file cannot be read, or a line is invalid; names the line and the key.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})", "name a JSONL file of labeled lines") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text ({error.reason})", "save it as UTF-8") from error
    lines = []
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{n}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error})", EXAMPLE) from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: not a JSON object", EXAMPLE)
        try:
            lines.append(LabeledLine(**{**row, "where": where}))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            hint = f'each line needs "text" and "bad", {EXAMPLE}'
            raise InputError(f"{where}: {key}: {first['msg'].lower()}", hint) from error
    return lines


def _side_of(line: LabeledLine, guards: Sequence[Guard]) -> Side:
    """The side that a line is for: the one it names, or the first one that its rail checks.

    Raises:
        InputError: names the line whose rail is off, or does not check that side.
    """
    sides = [s for s in SIDES if any(s in g.actions for g in guards if line.rail in (None, g.rail.name))]
    if not sides:
        on = ", ".join(dict.fromkeys(g.rail.name for g in guards)) or "none"
        name = f"rail {line.rail!r}" if line.rail else "rail"
        raise InputError(f"{line.where}: no {name} is on", f"guardrails.rails has {on}")
    side = line.side or sides[0]
    if side not in sides:
        raise InputError(f"{line.where}: no rail checks the side {side!r}", f"use one of {', '.join(sides)}")
    return side


async def quality(guards: Sequence[Guard], lines: Sequence[LabeledLine]) -> list[RailQuality]:
    """One row per rail. A line counts for its `rail`, or for every rail that checks its side where it names none.

    Raises:
        InputError: names the line that no rail checks.
    """
    sides = {line.where: _side_of(line, guards) for line in lines}
    rows = []
    for name in dict.fromkeys(g.rail.name for g in guards):
        checks = []
        for line in lines:
            side = sides[line.where]
            own = [g for g in guards if g.rail.name == name and side in g.actions]
            if line.rail in (None, name) and own:
                turn = turn_of(side, line.text, line.passages)
                results = [await _checked(g, side, line.text, turn) for g in own]
                reported = any(finding is not None for finding, _ in results)
                checks.append((line, reported, sum(ms for _, ms in results)))
        if checks:
            rows.append(_summed_up(name, checks))
    return rows


@runtime_checkable
class Scored(Protocol):
    """A rail over a classifier whose threshold is a setting."""

    name: str

    def probability_of(self, text: str) -> float: ...


def fitted_thresholds(guards: Sequence[Guard], lines: Sequence[LabeledLine]) -> dict[str, tuple[float, float]]:
    """For each rail whose threshold is a setting: the threshold with the highest F1 on the lines that name the rail,
    and that F1. A rail without good and bad lines is left out."""
    fitted = {}
    for rail in (g.rail for g in guards if isinstance(g.rail, Scored)):
        own = [line for line in lines if line.rail == rail.name]
        scored = sorted((rail.probability_of(line.text), line.bad) for line in own)
        bad = sum(is_bad for _, is_bad in scored)
        if not 0 < bad < len(scored):
            continue
        best = (0.0, 0.5)
        for at, (score, _) in enumerate(scored):
            caught = sum(is_bad for _, is_bad in scored[at:])
            below = scored[at - 1][0] if at else 0.0
            best = max(best, (2 * caught / (bad + len(scored) - at), (score + below) / 2))
        fitted[rail.name] = (best[1], best[0])
    return fitted


def _summed_up(rail: str, checks: Sequence[tuple[LabeledLine, bool, float]]) -> RailQuality:
    """A rail's quality over lines, each with whether the rail reported it and how long that took."""
    bad = [(line.text, reported) for line, reported, _ in checks if line.bad]
    good = [(line.text, reported) for line, reported, _ in checks if not line.bad]
    caught, false = sum(reported for _, reported in bad), sum(reported for _, reported in good)
    times = sorted(ms for *_, ms in checks)
    return RailQuality(
        rail=rail, bad=len(bad), good=len(good), recall=caught / max(len(bad), 1),
        precision=caught / max(caught + false, 1), false=false / max(len(good), 1),
        p95_ms=times[int(0.95 * (len(times) - 1))],
        missed=tuple(text for text, reported in bad if not reported),
        false_alarms=tuple(text for text, reported in good if reported),
    )  # fmt: skip
