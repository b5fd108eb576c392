"""The commands of guardrails: show, explain, and test. Imports nothing heavy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, workspace_of

if TYPE_CHECKING:
    from inhouse.guardrails.measure import Explanation, RailQuality
    from inhouse.types import Record

SHOWN = 10  # texts that a rail got wrong
guard_app = typer.Typer(no_args_is_help=True, help="Guardrails: show, explain, test.")


@guard_app.command("show")
def guard_show(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show the active rails in their order, and their action on each side."""
    from inhouse.pipeline.ask import guards

    workspace = workspace_of(project, overrides, as_json)
    rows = [(g.rail.name, dict(sorted(g.actions.items())), g.fail_open) for g in guards(workspace)]
    if as_json:
        print(
            json.dumps([{"rail": n, "actions": a, "on_error": "open" if o else "closed"} for n, a, o in rows], indent=1)
        )
        return
    for name, actions, fail_open in rows:
        listed = ", ".join(f"{side}: {action}" for side, action in actions.items())
        print(f"{name:<13} {listed}  ({'text passes' if fail_open else 'goes to a person'} on error)")


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
    from inhouse.guardrails.measure import explain
    from inhouse.pipeline.ask import guards, loaded

    checked = _side(side)
    active = guards(workspace_of(project, overrides, as_json))
    seconds = loaded(active)
    explanations = asyncio.run(explain(active, checked, text, passage or ()))
    if as_json:
        _print_json(explanations)
    else:
        _print_explanations(explanations)
        print(f"Before that, loading the models took {seconds:.1f} s; a server does so once, when it starts.")


def _print_explanations(explanations: Sequence[Explanation]) -> None:
    for e in explanations:
        result = f"{e.action}: {e.reason} ({e.score:.2f})" if e.action else "no finding"
        print(f"{e.rail:<13} {result}  {e.ms:.0f} ms")
        for span in e.spans:
            print(f"{'':<14}{span.kind}: {span.text}")
        if e.replacement is not None:
            print(f"{'':<14}becomes: {e.replacement or '(removed)'}")


def _side(name: str) -> Any:
    from typing import get_args

    from inhouse.errors import ConfigError
    from inhouse.guardrails.rail import Side

    if name not in get_args(Side):
        raise ConfigError(f"--side {name}: unknown side", f"use one of {', '.join(get_args(Side))}")
    return name


def _print_json(rows: Sequence[Record]) -> None:
    print(json.dumps([r.model_dump(mode="json") for r in rows], indent=1, ensure_ascii=False))


@guard_app.command("test")
def guard_test(
    file: Annotated[
        Path,
        typer.Argument(help='JSONL: {"text", "rail", "bad": true or false, "side"?, "passages"?} per line.'),
    ],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Measure the rails on your own labeled lines: recall, precision, false alarms, time."""
    from inhouse.guardrails.measure import fitted_thresholds, quality, read_lines
    from inhouse.pipeline.ask import guards, loaded

    lines = read_lines(file)
    active = guards(workspace_of(project, overrides, as_json))
    loaded(active)
    rows = asyncio.run(quality(active, lines))
    if as_json:
        _print_json(rows)
        return
    _print_quality(rows)
    for rail, (threshold, f1) in fitted_thresholds(active, lines).items():
        print(f"guardrails.{rail}_threshold = {threshold:.3f} fits these lines best (F1 {f1:.3f})")


def _print_quality(rows: Sequence[RailQuality]) -> None:
    print(f"{'rail':<13}{'bad':>6}{'good':>6}{'recall':>8}{'precision':>11}{'false':>7}{'p95 ms':>8}")
    for r in rows:
        numbers = f"{r.recall:>8.3f}{r.precision:>11.3f}{r.false:>7.3f}{r.p95_ms:>8.1f}"
        print(f"{r.rail:<13}{r.bad:>6}{r.good:>6}{numbers}")
        for kind, texts in (("missed", r.missed), ("false alarm", r.false_alarms)):
            for text in texts[:SHOWN]:
                print(f"  {kind}: {text[:140]}")
