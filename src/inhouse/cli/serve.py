"""The command that serves the release in production. Nothing heavy at import."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, At, Set, workspace_of
from inhouse.errors import InhouseError

if TYPE_CHECKING:
    from pathlib import Path

    from inhouse.serving.start import Started


def serve(
    project: At = HERE,
    overrides: Set = None,
    host: Annotated[str, typer.Option(help="Address to listen on; overrides gateway.host.")] = "",
    port: Annotated[int | None, typer.Option(help="Port; overrides gateway.port. 0 picks a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of processes; overrides gateway.workers.")] = None,
    inherited: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Serve the release in production over HTTP with an OpenAI-compatible API, and the web console."""
    from inhouse.cli.terminal import show_error
    from inhouse.serving.start import leave

    try:
        _serve(project, overrides, {"host": host or None, "port": port, "workers": workers}, inherited)
    except InhouseError as error:
        show_error(error)
        leave(error.exit_code)


def _serve(project: Path, overrides: Set, given: dict[str, str | int | None], inherited: str) -> None:
    from inhouse.serving.releases import fixed
    from inhouse.serving.start import start, work

    settings = [*(overrides or ()), *(f"gateway.{key}={value}" for key, value in given.items() if value is not None)]
    workspace = workspace_of(project, settings, False)
    if inherited:
        work(workspace, inherited)
    for section in fixed(settings):
        hint = "set it in inhouse.toml, then run inhouse evaluate, inhouse release and inhouse release promote"
        print(f"warning: --set {section} does not change answers: a release fixes it when it is made; {hint}",
              file=sys.stderr)  # fmt: skip
    options = [part for text in settings for part in ("--set", text)]
    start(workspace, ("serve", "--project", str(project), *options), _ready)


def _ready(started: Started) -> None:
    release = started.release
    print(f"Serving {release.name}/{release.version} ({release.arm}) at {started.address}/v1", flush=True)
    if started.first_key:
        print(f"First admin key (shown only once): {started.first_key}", flush=True)
