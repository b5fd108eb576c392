"""The commands of tools: list, call. Imports nothing heavy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Groups, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.tools import Tool

TITLES = ("name", "source", "effect", "approval", "check", "groups")
tools_app = typer.Typer(no_args_is_help=True, help="Tools of agents: list, call, approve, diff.")


@tools_app.command("list")
def tools_list(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show the tools that agents may call, and the rules for each."""
    from inhouse.assembly.tools import tools_of

    tools = [runs.tool for runs in tools_of(workspace_of(project, overrides, as_json).project).values()]
    if as_json:
        print_json([tool.model_dump(mode="json") for tool in tools])
        return
    if not tools:
        tell("There are no tools; add a [[tool]] or [[openapi]] table to inhouse.toml, see docs/agents.md")
        return
    rows = [TITLES, *map(_row, tools)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(TITLES))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(tool: Tool) -> tuple[str, ...]:
    approval = tool.approval if tool.approval in ("never", "always") else f"above: {tool.approval}"
    effect = f"{tool.effect}, idempotent" if tool.idempotent and tool.effect == "write" else tool.effect
    return tool.name, tool.origin, effect, approval, tool.check or "-", ", ".join(sorted(tool.groups)) or "everybody"


@tools_app.command("call")
def tools_call(
    name: Annotated[str, typer.Argument(help="Name of the tool.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its arguments.")] = None,
    project: At = HERE,
    overrides: Set = None,
    groups: Groups = None,
) -> None:
    """Call a tool that reads, and print what it returns. The call is not recorded."""
    from inhouse.assembly.tools import tools_of
    from inhouse.errors import InputError
    from inhouse.tools import Caller

    tools = tools_of(workspace_of(project, overrides, True).project)
    if name not in tools:
        raise InputError(f"there is no tool {name!r}", "`inhouse tools list` shows them")
    tool = tools[name].tool
    if tool.effect == "write":
        hint = "let an agent call it, as in `inhouse chat`: approvals and the record of calls belong to it"
        raise InputError(f"{name} may change something, and writes run through agents only", hint)
    given = _arguments(tool, arguments or ())
    tell(f"Calling {name} as it is: the call is not recorded, and its result is not screened")
    print_json(asyncio.run(tools[name].run(given, "", Caller(role="admin", groups=frozenset(groups or ())))))


def _arguments(tool: Tool, given: Sequence[str]) -> dict[str, Any]:
    """The arguments by name; values are JSON, or texts where the tool wants a text or they are no JSON.

    Raises:
        ConfigError: one is not KEY=VALUE.
    """
    from inhouse.errors import ConfigError

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text}: not KEY=VALUE", "write it like day=2026-12-01")
        schema = tool.parameters.get("properties", {}).get(key, {})
        try:
            found[key] = value if schema.get("type") == "string" else json.loads(value)
        except ValueError:
            found[key] = value
    return found
