"""The command of the data audit. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, short, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.datasets.audit import DataAudit

STYLES = {"good": "green", "fair": "yellow", "poor": "bold red", "unknown": "dim"}
SHOWN = 10  # gaps and contradictions; --json and --html have all


def audit_data(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the results as a page to this file.")] = None,
    sample: Annotated[int, typer.Option(min=1, max=5000, help="Questions to compare with the documents.")] = 200,
    ask: Annotated[int, typer.Option(min=0, max=1000, help="Questions to ask the base model without a verdict.")] = 40,
) -> None:
    """Grade the documents and conversations: what they cover, lack, and contradict, and what they allow."""
    from dataclasses import replace

    from inhouse.datasets.audit import DataAudit
    from inhouse.pipeline.audit_data import audit_data as audited
    from inhouse.pipeline.child import make_in_child

    workspace = replace(workspace_of(project, overrides, as_json), delegate=make_in_child)
    tell("Grading the documents and conversations; nothing is trained", as_json)
    made = audited(workspace, sample, ask)
    audit = DataAudit.read(Path(made.path))
    if html:
        from inhouse.datasets.audit_page import write_page

        write_page(audit, html)
    if as_json:
        print_json(audit.model_dump(mode="json"))
        return
    _show(audit)
    tell(f"Everything that was found: {made.path}/audit.json" + (f", {html}" if html else ""))


def _show(audit: DataAudit) -> None:
    from inhouse.cli.terminal import out, print_line

    out.print(_grades(audit))
    for title, lines in (("To do", _todo(audit)), ("Gaps", _gaps(audit)), ("Contradictions", _conflicts(audit)),
                         ("Replies and documents that differ", _outdated(audit)), ("Use cases", _cases(audit)),
                         ("Files", _files(audit))):  # fmt: skip
        if lines:
            print_line(f"\n{title}", "bold")
        for line in lines:
            print_line(plain(line))


def _grades(audit: DataAudit) -> object:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("", "grade", "", "why", box=SIMPLE_HEAD, pad_edge=False)
    for g in audit.grades:
        table.add_row(g.title, Text(g.level, STYLES[g.level]), Text(plain(g.value)), Text(plain(g.why)))
    return table


def _todo(audit: DataAudit) -> list[str]:
    worst = sorted(
        (g for g in audit.grades if g.todo), key=lambda g: ["poor", "fair", "unknown", "good"].index(g.level)
    )
    return [f"  {g.title}: {g.todo}" for g in worst]


def _gaps(audit: DataAudit) -> list[str]:
    lines = []
    for gap in audit.gaps[:SHOWN]:
        what = "declined" if gap.declined else "no document"
        low, high = 100 * gap.share.low, 100 * gap.share.high
        count = f"{gap.size} question{'s' * (gap.size != 1)}"
        lines.append(f"  {count} [{low:.1f}% to {high:.1f}%], {what}: {short(gap.questions[0])}")
        lines += [f"      {short(question)}" for question in gap.questions[1:3]]
        lines += [f"      nearest: {', '.join(gap.nearest)}"] if gap.nearest else []
    return [*lines, *_more(len(audit.gaps))]


def _conflicts(audit: DataAudit) -> list[str]:
    lines = []
    for c in audit.conflicts[:SHOWN]:
        lines.append(f"  {' or '.join(c.figures) or 'opposites'}")
        for p in c.places:
            under = f", {p.heading}" if p.heading else ""
            lines.append(f"      {p.source}{under}{' (restricted)' if p.restricted else ''}: {short(p.text)}")
    return [*lines, *_more(len(audit.conflicts))]


def _outdated(audit: DataAudit) -> list[str]:
    lines = []
    for o in audit.outdated[:SHOWN]:
        lines += [f"  {short(o.question)}", f"      reply: {short(o.reply)}", f"      {o.source}: {short(o.passage)}"]
    return [*lines, *_more(len(audit.outdated))]


def _cases(audit: DataAudit) -> list[str]:
    lines = []
    for t in audit.cases.topics:
        right = f"{100 * t.right.mean:.0f}% right [{100 * t.right.low:.0f}, {100 * t.right.high:.0f}] of {t.asked}"
        lines.append(f"  {t.name}: {right}; such as: {short(t.wrong[0]) if t.wrong else ''}")
    return lines


def _files(audit: DataAudit) -> list[str]:
    rows = (*audit.files.unreadable, *audit.files.versions, *audit.files.duplicates)
    return [f"  {path}: {short(reason)}" for path, reason in rows[:SHOWN]] + _more(len(rows))


def _more(count: int) -> list[str]:
    return [f"  ... and {count - SHOWN} more (--json or --html FILE has all)"] if count > SHOWN else []
