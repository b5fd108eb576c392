"""The commands of a folder for devices: sync, measure. Nothing heavy at import."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

edge_app = typer.Typer(no_args_is_help=True, help="A folder made by `inhouse export --for edge`, on a device.")


@edge_app.command("sync")
def edge_sync(
    source: Annotated[str, typer.Option("--from", help="Folder or URL of releases; overrides edge.source.")] = "",
    house: Annotated[str, typer.Option("--to", help="URL of the server to report to; overrides edge.house.")] = "",
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Also install a release that is older.")] = False,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the newest release, send what happened here to the house, and bring replies back.

    A release is switched to once its signature and files are checked; a running server does so within a second or so.
    The audit log, hand-offs, and feedback are sent."""
    from inhouse.errors import ConfigError
    from inhouse.serving.sync import source_of, sync
    from inhouse.serving.upload import House, send

    workspace = workspace_of(project, overrides, quiet=True)
    settings = workspace.project.edge
    source, house, key = source or settings.source, house or settings.house, os.environ.get(settings.key_env, "")
    if not (source or house):
        raise ConfigError("edge.source and edge.house: neither is set", "set them, or use --from and --to")
    done: dict[str, object] = {}
    if house:  # first: what people are waiting for
        with workspace.ledger() as ledger, House(house, key) as at:
            sent = send(ledger, at)
        done["sent"] = sent.model_dump()
        tell(f"Sent {sent.entries} entries of the audit log, {sent.handoffs} hand-offs, {sent.feedback} opinions; "
             f"{sent.replies} replies came back", as_json)  # fmt: skip
        if sent.too_large:
            tell(f"warning: {sent.too_large} exchanges are too large to send; they stay on this device", as_json)
    if source:
        synced = sync(workspace, source_of(source, house, key), allow_older)
        done["release"] = synced.model_dump()
        news = f"Installed {synced.release} ({synced.bytes / 2**20:.1f} MB)" if synced.changed else "Nothing new"
        tell(f"{news}; in production: {synced.release}", as_json)
    if as_json:
        print_json(done)


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
