"""The command of drift. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, short, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.monitoring.alarms import DriftReport, Monitored
    from inhouse.monitoring.revisions import DocumentDrift

Since = Annotated[str, typer.Option(help="Begin of usual traffic; by default when the release was promoted.")]
Last = Annotated[bool, typer.Option("--last", help="Show the last look again instead of looking now.")]
SHOWN = 5  # documents of a kind that are listed


def drift(
    since: Since = "", last: Last = False, project: At = HERE, overrides: Set = None, as_json: AsJson = False
) -> None:  # fmt: skip
    """Compare live traffic with usual traffic, and documents with those of the release; say what to do. Also alerts."""
    from inhouse.errors import InputError
    from inhouse.serving.drift import latest, look
    from inhouse.serving.drift import tell as alert

    workspace = workspace_of(project, overrides, as_json)
    tell("Looking at drift; questions are embedded", as_json or last)
    kept = latest(workspace) if last else look(workspace, since)
    if kept and not last:
        alert(workspace, kept)
    if kept is None:
        raise InputError("nobody has looked at drift yet", "run `inhouse drift`")
    if as_json:
        print_json(kept.model_dump(mode="json"))
    else:
        _print(kept.report)


def _print(report: DriftReport) -> None:
    against = {"traffic": f"{report.usual_days} usual days", "tests": "the test questions", "nothing": "nothing yet"}
    begun = report.since[:16] or "the beginning"
    print(f"{report.release}: {report.requests:,} requests since {begun}, compared with {against[report.reference]}")
    print(f"on average at most {report.budget:g} false alarms in a month of daily looks")
    print()
    for monitor in report.monitors:
        _print_monitor(monitor)
    _print_documents(report.documents)
    if report.unread:
        tell("files have changed since the documents were read: run `inhouse index`, or `inhouse watch` to serve them")
    changed = [m.name for m in report.alarms]
    tell(f"changed: {', '.join(changed)}" if changed else "no alarm")


def _print_monitor(m: Monitored) -> None:
    from inhouse.cli.terminal import print_line

    print_line(plain(f"{m.state:18} {m.name}"), "bold" if m.state == "changed" else "")
    print_line(plain(f"    {m.says}"))
    if m.state != "changed":
        return
    for group in m.groups:
        of = f" ({', '.join(group.terms)})" if group.terms else ""
        print_line(
            plain(f"    group, {group.share:.1%}, usually {group.usual_share:.1%}: {short(group.question.text)}{of}")
        )
    for example in m.examples:
        print_line(plain(f"    > {short(example.text)}  [{example.exchange}]"), "dim")
    print_line(f"    Waiting costs {m.waiting}. {m.todo}")


def _print_documents(found: DocumentDrift) -> None:
    from inhouse.cli.terminal import print_line

    lines = [
        f"{'changed':18} {r.source} was {r.kind}{', with other figures' if r.figures else ''}" for r in found.changed
    ]
    lines += [f"{s.why:18} {s.source}, {s.date}: {short(s.text)}" for s in found.stale]
    lines += [f"{'contradicting':18} {c.sources[0]}: {short(c.texts[0])}\n{'':18} {c.sources[1]}: {short(c.texts[1])}"
              for c in found.contradicting]  # fmt: skip
    if lines:
        print()
        for line in lines[: 4 * SHOWN]:
            print_line("\n".join(plain(part) for part in line.split("\n")))
        if len(lines) > 4 * SHOWN:
            print(f"and {len(lines) - 4 * SHOWN} more; --json has all")
