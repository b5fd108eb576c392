"""The command that says where a project stands. Imports nothing heavy."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.roadmap import Learning, Roadmap

MARKS = {"done": "done", "next": "next", "later": "later", "not needed": "not needed"}
STYLES = {"done": "green", "next": "bold", "later": "dim", "not needed": "dim"}


def roadmap(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Say where the project stands, from data audit to scale, and what the evidence says is next."""
    from inhouse.serving.roadmap import ledger_of, standing

    workspace = workspace_of(project, overrides, as_json)
    tell("Looking at what was built, measured, and served", as_json)
    ledger = ledger_of(workspace)
    with closing(ledger) if ledger else nullcontext():
        found = standing(workspace, ledger, measure=True)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)


def _show(found: Roadmap) -> None:
    from inhouse.cli.terminal import print_line

    print_line(plain(found.headline), "bold")
    for number, stage in enumerate(found.stages, 1):
        print_line(f"\n{number}. {stage.title}: {MARKS[stage.state]}", STYLES[stage.state])
        print_line(f"   {plain(stage.summary)}")
        for f in stage.figures:
            print_line(plain(f"   {f.label}: {f.value}" + (f" ({f.detail})" if f.detail else "")), "dim")
        for step in stage.steps if stage.state != "not needed" else ():
            print_line(plain(f"   - {step.text}" + (f"  {step.command}" if step.command else "")))
    if found.evidence:
        print_line("\nWhat the evidence says", "bold")
    for line in found.evidence:
        print_line(f"   {plain(line)}")
    if found.learning:
        _show_learning(found.learning)


def _show_learning(learning: Learning) -> None:
    from inhouse.cli.terminal import print_line

    if learning.curve:
        print_line("\nAccuracy by the training examples near a question", "bold")
    for p in learning.curve:
        span = f"{p.low}" if p.low == p.high else f"{p.low} to {p.high}"
        e = p.right
        print_line(
            f"   {span:>9}: {100 * e.mean:.0f}% right [{100 * e.low:.0f}, {100 * e.high:.0f}] of {e.n} questions"
        )
    for t in learning.sizes:
        e = t.right
        print_line(f"   trained on {t.examples:,}: {100 * e.mean:.0f}% right [{100 * e.low:.0f}, {100 * e.high:.0f}]")
    for need in learning.needs:
        e = need.gain
        gain = f"{100 * e.mean:+.1f} points [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
        print_line(plain(f"   {need.topic}: about {need.examples} more examples, {gain}"))
