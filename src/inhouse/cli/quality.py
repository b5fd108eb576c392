"""The command of live accuracy. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.serving.quality import Figures

RESTS = {"": "", "reference": "the verdict", "labels": "labels", "both": "both"}


def quality(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Estimate the accuracy of live answers by week, and draw the answers that reviewers are asked to rate."""
    from inhouse.serving.quality import figures

    workspace = workspace_of(project, overrides, quiet=True)
    with workspace.ledger() as ledger:
        found = figures(workspace, ledger)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if not found.lines:
        tell("no release has answered a request yet")
        return
    _show(found)
    if found.drawn:
        tell(f"{found.drawn} answers of the last week wait for a rating, in the console under Quality")


def _show(found: Figures) -> None:
    """Prints a table of the weeks, what is not known, and the agreement of reviewers."""
    from rich import box
    from rich.table import Table

    from inhouse.cli.terminal import out, print_line

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("4 weeks to", "version", "accuracy", "rests on"):
        table.add_column(head, no_wrap=True)
    for head in ("labels", "answers", "handed"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in found.lines:
        e = row.estimated
        figure = "unknown" if e.mean is None else f"{e.mean:.0%} [{e.low:.0%}, {e.high:.0%}]"
        until = "now" if row.until == found.at else row.until[:10]
        counts = str(e.labels), f"{e.answers:,}", f"{row.handed_off:.1%}"
        table.add_row(until, row.release.rpartition("/")[2], figure, RESTS[e.method], *counts)
    out.print(table)
    latest = found.lines[0]
    if latest.estimated.why:
        print_line(f"{latest.release}: {latest.estimated.why}")
    pairs = found.agreement
    if pairs.kappa is not None:
        print_line(f"reviewers agree on {pairs.agree:.0%} of {pairs.pairs} answers, kappa {pairs.kappa:.2f} "
                   f"[{pairs.low:.2f} to {pairs.high:.2f}]")  # fmt: skip
