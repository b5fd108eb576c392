"""Approving what MCP servers say of their tools, with an entry of the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from inhouse.agents.mcp import Servers
from inhouse.agents.mcp_lock import Change
from inhouse.assembly.workspace import Workspace
from inhouse.store.actions import actor
from inhouse.store.audit import Audit


def approve_tools(
    workspace: Workspace, server: str, tools: Sequence[str]
) -> tuple[str, Sequence[Change], Mapping[str, str]]:
    """Approves what a server says now of the named tools, of all without names: writes mcp.lock, and records it.

    Returns:
        Who approved, what changed, and the tools that are refused with the reasons.

    Raises:
        InputError, ToolError: as for `Servers.approve`.
        BackendError: the ledger cannot be opened; then nothing is approved.
    """
    project, by = workspace.project, actor().name

    async def approved() -> tuple[Sequence[Change], Mapping[str, str]]:
        servers = Servers(project.mcp, project.root)
        try:
            return await servers.approve(server, tools, by)
        finally:
            await servers.close()

    with workspace.ledger() as ledger:
        changes, refused = asyncio.run(approved())
        made = [{"tool": change.tool, "kind": change.kind} for change in changes]
        Audit(ledger).act("tools approved", server, {"server": server, "changes": made, "refused": sorted(refused)})
    return by, changes, refused
