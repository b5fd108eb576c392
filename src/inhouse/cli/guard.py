"""The verbs of the guardrails: test them on labelled lines, explain what they say of a text, calibrate confidence."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, workspace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inhouse.assembly.workspace import Workspace
    from inhouse.guardrails.rail import Guard, Side, Turn
    from inhouse.types import Artifact

guard_app = typer.Typer(no_args_is_help=True, help="Guardrails: show, explain, test.")


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
    app.add_typer(guard_app, name="guard")
    app.command()(calibrate)


def _guards(workspace: Workspace) -> list[Guard]:
    from inhouse.assembly.guard import guards_of

    return guards_of(workspace, workspace.project, workspace.store.latest("calibration"))


@guard_app.command("show")
def guard_show(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """The rails of the project in their order, and what each does on each side."""
    workspace = workspace_of(project, overrides, as_json)
    rows = [(g.rail.name, {str(k): str(v) for k, v in sorted(g.actions.items())}, g.opens) for g in _guards(workspace)]
    if as_json:
        print(
            json.dumps([{"rail": n, "actions": a, "on_error": "open" if o else "closed"} for n, a, o in rows], indent=1)
        )
        return
    for name, actions, opens in rows:
        said = ", ".join(f"{side}: {action}" for side, action in actions.items())
        print(f"{name:<12}{said}  (on error {'open' if opens else 'closed'})")


@guard_app.command("explain")
def guard_explain(
    text: Annotated[str, typer.Argument(help="A question, or an answer or a passage with --side.")],
    side: Annotated[str, typer.Option(help="input, passages, output or answer.")] = "input",
    passage: Annotated[list[str] | None, typer.Option(help="What the answer rests on; repeat for more.")] = None,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """What each rail says of a text, why, how sure it is, and how long it takes."""
    workspace = workspace_of(project, overrides, as_json)
    rows = asyncio.run(explain(_guards(workspace), _side(side), text, passage or ()))
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        score = f" ({row['score']:.2f})" if row["said"] else ""
        print(f"{row['rail']:<12}{row['said'] or 'nothing to say'}{score}  {row['ms']:.0f} ms")
        for s in row["spans"]:
            print(f"            {s['kind']}: {s['text']}")
        if row["becomes"] is not None:
            print(f"            becomes: {row['becomes']}")


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


def _side(name: str) -> Any:
    from typing import get_args

    from inhouse.errors import ConfigError
    from inhouse.guardrails.rail import Side

    if name not in get_args(Side):
        raise ConfigError(f"--side {name}: not a side", f"one of {', '.join(get_args(Side))}")
    return name


@guard_app.command("test")
def guard_test(
    file: Annotated[
        Path, typer.Argument(help='JSONL: {"text", "rail", "bad": true or false, "side"?, "passages"?} a line.')
    ],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """How good the rails are on your own labelled lines: precision, recall, false alarms, time."""
    workspace = workspace_of(project, overrides, as_json)
    rows = asyncio.run(quality(_guards(workspace), read_lines(file)))
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    print(f"{'rail':<12}{'bad':>6}{'good':>6}{'recall':>8}{'precision':>11}{'false':>7}{'p95 ms':>8}")
    for r in rows:
        print(
            f"{r['rail']:<12}{r['bad']:>6}{r['good']:>6}{r['recall']:>8.3f}{r['precision']:>11.3f}{r['false']:>7.3f}{r['p95_ms']:>8.1f}"
        )
        for kind in ("missed", "false_alarms"):
            for text in r[kind][:10]:
                print(f"  {kind.replace('_', ' ')}: {text[:140]}")


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


def calibrate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Fit the recommended arm's confidence on the validation questions, and choose the promise's threshold."""
    from inhouse.guardrails.confidence.calibration import fewest
    from inhouse.pipeline.calibrate import calibration

    workspace = workspace_of(project, overrides, as_json)
    artifact: Artifact = calibration(workspace)
    facts = artifact.facts
    if as_json:
        print(json.dumps(artifact.model_dump(mode="json"), indent=1))
        return
    print(
        f"{facts['asked']} questions, {facts['examples']} answers, {facts['right']:.0%} of them right.\n"
        f"Promise: at most {facts['promise']:.0%} wrong. Answered {facts['answered']:.0%} of the questions, "
        f"{facts['wrong']:.1%} of the answers wrong; calibration error {facts['error']:.3f}."
    )
    print("\nPromises, kept with 95 % confidence:\n  at most wrong   answered   wrong of these")
    for share, answered, wrong in facts["others"]:
        print(f"  {share:>13.0%}{answered:>11.0%}{wrong:>17.1%}" if answered else f"  {share:>13.0%}       none")
    if facts["min_support"] > workspace.project.guardrails.min_support:
        print(f"\nguardrails.min_support = {facts['min_support']} would cut more: of these, one right answer in 20.")
    if facts["answered"] == 0:
        print(
            "\nNo threshold keeps your promise: every answer would go to a person. Raise guardrails.max_wrong, or the "
            f"quality.\nIt takes {fewest(facts['promise'])} answers with at most one wrong among them."
        )
