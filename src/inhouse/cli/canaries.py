"""More commands of releases: shadow, compare, guards, incidents. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, plain, print_json, short, workspace_of
from inhouse.cli.releases import Which, releases_of, share_of, show_serving

if TYPE_CHECKING:
    from inhouse.types import Estimate


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (shadow, compare, guards, incidents):
        app.command()(command)


def shadow(
    percent: Annotated[str, typer.Argument(help="Share of requests, such as 20%; 0% ends it.")],
    which: Which = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a release answer a copy of a share of requests, unseen, while the server has free slots."""
    from inhouse.serving.shadowing import set_shadow

    share = share_of(percent, "inhouse release shadow 20% 3")
    show_serving(set_shadow(releases_of(project), share, which), as_json)


def compare(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Compare the answers of a shadow release with those that users saw."""
    from inhouse.serving.comparing import compared

    name, report, differ = compared(workspace_of(project, None, quiet=True), which)
    if as_json:
        pairs = [pair.model_dump(mode="json") for pair in differ]
        print_json({"release": name, "report": report.model_dump(mode="json"), "differ": pairs})
        return
    print(f"{name} as a shadow: {report.requests} requests, {report.failed} failed")
    if report.same is not None:
        print(f"  same text              {report.same:.1%}")
        print(f"  say about the same     {_points(report.agreement)}")
        print(f"  handed to a person     {report.handed_off[1]} (shown to users: {report.handed_off[0]})")
        print(f"  estimated accuracy     {_points(report.confidence, '+')}")
        words = report.words
        print(f"  words per answer       {words.mean:+.1f} [{words.low:+.1f}, {words.high:+.1f}]" if words else "")
        print(f"  time to answer         {report.latency:.2f} times as long" if report.latency else "")
    for pair in differ:
        print(plain(f"\n  {short(pair.question)}\n    users saw: {short(pair.shown.answer)}"))
        print(plain(f"    shadow:    {short(pair.shadow.answer)}"))


def guards(project: At = HERE, as_json: AsJson = False) -> None:
    """Show how the guard metrics of the canary stand against production."""
    from inhouse.serving.comparing import guarded

    found = guarded(workspace_of(project, None, quiet=True))
    if as_json:
        print_json([standing.model_dump(mode="json") for standing in found])
        return
    print(f"{'metric':30} {'production':>18} {'canary':>18} {'tolerated':>10} {'evidence':>10} {'needed':>7}")
    for s in found:
        arms = [f"{_share(value)} of {n}" for value, n in zip(s.shown, s.answers, strict=True)]
        state = f"  {s.state}" if s.state else ""
        row = f"{s.title:30} {arms[0]:>18} {arms[1]:>18} {s.tolerated:>10.1%} {s.evidence:>10.3g} {s.needed:>7.0f}"
        print(row + state)


def incidents(project: At = HERE, as_json: AsJson = False) -> None:
    """List the canaries that were rolled back automatically, with the evidence."""
    from inhouse.store.audit import Audit
    from inhouse.store.incidents import incidents as found_in

    workspace = workspace_of(project, None, quiet=True)
    with workspace.ledger() as ledger:
        found = found_in(Audit(ledger))
    if as_json:
        print_json([incident.model_dump(mode="json") for incident in found])
        return
    for one in found:
        print(f"{one.at[:19]}  {one.release} ({one.percent:g}% of users) was rolled back to {one.production}")
        print(f"  {one.reason}")
        for id in one.examples:
            print(f"  inhouse audit show {id}")
    if not found:
        print("No incidents.")


def _points(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return "unknown"
    mean, low, high = (format(100 * v, f"{sign}.1f") for v in (estimate.mean, estimate.low, estimate.high))
    return f"{mean} [{low}, {high}] {'points' if sign else '%'}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
