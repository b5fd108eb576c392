"""The commands of guardrails: show, explain, test, and calibrate. Nothing heavy at import."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, workspace_of

if TYPE_CHECKING:
    from inhouse.types import Artifact
from inhouse.guardrails.measure import explain, quality, read_lines

guard_app = typer.Typer(no_args_is_help=True, help="Guardrails: show, explain, test.")


@guard_app.command("show")
def guard_show(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show the active rails in their order, and their action on each side."""
    from inhouse.pipeline.ask import guards

    workspace = workspace_of(project, overrides, as_json)
    rows = [(g.rail.name, {str(k): str(v) for k, v in sorted(g.actions.items())}, g.opens) for g in guards(workspace)]
    if as_json:
        print(
            json.dumps([{"rail": n, "actions": a, "on_error": "open" if o else "closed"} for n, a, o in rows], indent=1)
        )
        return
    for name, actions, opens in rows:
        shown = ", ".join(f"{side}: {action}" for side, action in actions.items())
        print(f"{name:<14}{shown}  ({'text passes' if opens else 'goes to a person'} on error)")


@guard_app.command("explain")
def guard_explain(
    text: Annotated[str, typer.Argument(help="A question; with --side, an answer or a passage.")],
    side: Annotated[str, typer.Option(help="input, passages, output, or answer.")] = "input",
    passage: Annotated[
        list[str] | None, typer.Option(help="A passage that the answer is based on; repeat for more.")
    ] = None,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show what each rail finds in a text, why, with which score, and how long it takes."""
    from inhouse.pipeline.ask import guards

    workspace = workspace_of(project, overrides, as_json)
    rows = asyncio.run(explain(guards(workspace), _side(side), text, passage or ()))
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for row in rows:
        score = f" ({row['score']:.2f})" if row["said"] else ""
        print(f"{row['rail']:<14}{row['said'] or 'no finding'}{score}  {row['ms']:.0f} ms")
        for s in row["spans"]:
            print(f"              {s['kind']}: {s['text']}")
        if row["becomes"] is not None:
            print(f"              becomes: {row['becomes']}")


def _side(name: str) -> Any:
    from typing import get_args

    from inhouse.errors import ConfigError
    from inhouse.guardrails.rail import Side

    if name not in get_args(Side):
        raise ConfigError(f"--side {name}: unknown side", f"one of {', '.join(get_args(Side))}")
    return name


@guard_app.command("test")
def guard_test(
    file: Annotated[
        Path, typer.Argument(help='JSONL: {"text", "rail", "bad": true or false, "side"?, "passages"?} per line.')
    ],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Measure the rails on your own labeled lines: precision, recall, false alarms, time."""
    from inhouse.pipeline.ask import guards

    workspace = workspace_of(project, overrides, as_json)
    rows = asyncio.run(quality(guards(workspace), read_lines(file)))
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    print(f"{'rail':<14}{'bad':>6}{'good':>6}{'recall':>8}{'precision':>11}{'false':>7}{'p95 ms':>8}")
    for r in rows:
        print(
            f"{r['rail']:<14}{r['bad']:>6}{r['good']:>6}{r['recall']:>8.3f}{r['precision']:>11.3f}{r['false']:>7.3f}{r['p95_ms']:>8.1f}"
        )
        for kind in ("missed", "false_alarms"):
            for text in r[kind][:10]:
                print(f"  {kind.replace('_', ' ')}: {text[:140]}")


def calibrate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Fit the confidence of the recommended arm on validation questions, for the error target."""
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
        f"Error target {facts['promise']:.0%}: {facts['answered']:.0%} of the questions are answered, "
        f"{facts['wrong']:.1%} of these answers are wrong. Calibration error {facts['error']:.3f}."
    )
    print("\nError targets, each met with 95% confidence:\n   error target   answered   of these wrong")
    for share, answered, wrong in facts["others"]:
        print(f"  {share:>13.0%}{answered:>11.0%}{wrong:>17.1%}" if answered else f"  {share:>13.0%}       none")
    if facts["min_support"] > workspace.project.guardrails.min_support:
        print(f"\nguardrails.min_support = {facts['min_support']} would cut more, including one right answer in 20.")
    if facts["answered"] == 0:
        print(
            "\nNo threshold meets your error target, so every answer would go to a person. Raise guardrails.max_wrong, "
            f"or improve the model.\nMeeting it takes {fewest(facts['promise'])} answers with at most one wrong."
        )
