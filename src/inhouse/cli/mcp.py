"""The commands of the Model Context Protocol: mcp, tools approve, tools diff. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Groups, Set, print_json, tell, workspace_of
from inhouse.errors import InhouseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from inhouse.agents.mcp import Servers
    from inhouse.agents.mcp_lock import Change

    T = TypeVar("T")

Server = Annotated[str, typer.Argument(help="Name of the MCP server in inhouse.toml.")]
CHANGED = 5  # exit code of diff: a gate did not pass


def mcp(
    project: At = HERE,
    overrides: Set = None,
    key: Annotated[
        str, typer.Option(help="ID of the API key to answer for; by default the user of this machine.")
    ] = "",
    groups: Groups = None,
) -> None:
    """Serve the release in production to a program over standard input and output, by the Model Context Protocol."""
    from inhouse.cli.terminal import show_error
    from inhouse.errors import ConfigError
    from inhouse.serving.start import leave, speak

    try:
        if key and groups:
            raise ConfigError("--group cannot be given with --key", "a key has its groups already")
        speak(workspace_of(project, overrides, True), key, groups or ())
    except InhouseError as error:
        show_error(error)
        leave(error.exit_code)


def tools_approve(
    server: Server,
    tools: Annotated[list[str] | None, typer.Argument(help="Tools to approve; by default all of the server.")] = None,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Approve what an MCP server says of its tools now, and write mcp.lock; keep the file in version control."""
    from inhouse.cli.terminal import print_line
    from inhouse.pipeline.approvals import approve_tools

    by, changes, refused = approve_tools(workspace_of(project, overrides, True), server, tools or ())
    if as_json:
        print_json({"changes": [c.model_dump(mode="json") for c in changes], "refused": refused})
    else:
        _show(changes)
        for name, why in refused.items():
            print_line(f"refused  {ascii(name)[1:-1][:100]}: {why}")
        tell(f"Approved as {by}: {len(changes)} change{'' if len(changes) == 1 else 's'} in mcp.lock")
    if refused:
        raise typer.Exit(CHANGED)


def tools_diff(server: Server, project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show what an MCP server says of its tools now that is not as approved; exits with 5 if anything is not."""
    changes = _with_servers(project, overrides, lambda servers: servers.diff(server))
    if as_json:
        print_json([c.model_dump(mode="json") for c in changes])
    elif changes:
        _show(changes)
    else:
        tell("Every tool is as approved")
    if changes:
        raise typer.Exit(CHANGED)


def add_to(tools_app: typer.Typer) -> None:
    """Adds the commands that approve tools of MCP servers."""
    tools_app.command("approve")(tools_approve)
    tools_app.command("diff")(tools_diff)


def _with_servers(project: Path, overrides: Set, ask: Callable[[Servers], Awaitable[T]]) -> T:
    """What is asked of the project's servers, which are ended afterwards."""
    import asyncio

    from inhouse.agents.mcp import Servers

    settings = workspace_of(project, overrides, True).project

    async def asked() -> T:
        servers = Servers(settings.mcp, settings.root)
        try:
            return await ask(servers)
        finally:
            await servers.close()

    return asyncio.run(asked())


def _show(changes: Sequence[Change]) -> None:
    from inhouse.cli.terminal import print_line

    for change in changes:
        print_line(f"{change.kind:8} {ascii(change.tool)[1:-1][:100]}")
        for line in change.lines[2:]:
            print_line(f"  {line}")
