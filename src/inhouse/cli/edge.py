"""The commands of a folder for devices: sync, measure. Nothing heavy at import."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.serving.rounds import Round

edge_app = typer.Typer(no_args_is_help=True, help="A folder made by `inhouse export --for edge`, on a device.")


@edge_app.command("sync")
def edge_sync(
    source: Annotated[str, typer.Option("--from", help="Folder or URL of releases; overrides edge.source.")] = "",
    house: Annotated[str, typer.Option("--to", help="URL of the server to report to; overrides edge.house.")] = "",
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Also install a release that is older.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0, help="Minutes from one sync to the next; 0 syncs once and ends.")
    ] = 0,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the newest release, send what happened here to the house, and bring replies back.

    A release is switched to once its signature and files are checked; a running server does so within a second or so.
    The audit log, hand-offs, and feedback are sent. If the house or the network is down, the device keeps answering,
    and nothing is lost: the next sync continues. With --every, a failed sync is repeated sooner."""
    from inhouse.errors import ConfigError
    from inhouse.serving.rounds import exchange, rounds

    workspace = workspace_of(project, overrides, quiet=True)
    own = workspace.project.edge
    settings = own.model_copy(update={"source": source or own.source, "house": house or own.house})
    if not (settings.source or settings.house):
        raise ConfigError("edge.source and edge.house: neither is set", "set them, or use --from and --to")
    key = os.environ.get(settings.key_env, "")
    for done in rounds(lambda: exchange(workspace, settings, key, allow_older), 60 * every):
        _print_round(done, as_json)
        for error in done.failed if every else done.failed[:-1]:
            tell(f"warning: {error}. {error.hint}".rstrip())
    if done.failed:
        raise done.failed[-1]


def _print_round(done: Round, as_json: bool) -> None:
    sent, release = done.sent, done.release
    if as_json:
        halves = {"sent": sent, "release": release}
        shown = {name: half.model_dump() for name, half in halves.items() if half}
        print_json(shown | ({"failed": [str(error) for error in done.failed]} if done.failed else {}))
        return
    if sent:
        tell(f"Sent {sent.entries} entries of the audit log, {sent.handoffs} hand-offs, {sent.feedback} opinions; "
             f"{sent.replies} replies came back")  # fmt: skip
        if sent.too_large:
            tell(f"warning: {sent.too_large} exchanges are too large to send; they stay on this device")
    if release:
        news = f"Installed {release.release} ({release.bytes / 2**20:.1f} MB)" if release.changed else "Nothing new"
        tell(f"{news}; in production: {release.release}")


@edge_app.command("measure")
def edge_measure(
    questions: Annotated[
        list[str] | None, typer.Argument(help="Questions to ask; by default one about each of some documents.")
    ] = None,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Serve the folder for a moment, ask questions, and print the memory of all processes and the time of answers."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.footprint import LIMIT_MB, footprint

    workspace = workspace_of(project, overrides, quiet=True)
    tell("Serving the folder with a separate database, and asking questions", as_json)
    found = footprint(workspace, [part for text in overrides or () for part in ("--set", text)], questions or [])
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for process in found.processes:
        print_line(f"  {process.pss_mb:6.0f} MB  ({process.rss_mb:.0f} MB with what is shared)  {process.name}")
    print_line(f"  {found.pss_mb:6.0f} MB  resident, all processes")
    print_line(f"  {found.disk_mb:6.0f} MB  on disk")
    print_line(f"Answers: p50 {found.p50_s:.2f} s, p95 {found.p95_s:.2f} s of {found.questions} questions")
    if found.pss_mb > LIMIT_MB:
        tell(f"warning: more than {LIMIT_MB} MB of memory; docs/edge.md says what needs how much")
