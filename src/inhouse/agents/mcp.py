"""Tools of MCP servers as tools of agents: which are approved, by which rules they run, and how they are called.

A server is a stranger. Without a rule of ours, its tool writes and needs an approval for each call, whatever the server
says: its annotations can only make a rule stricter. Before each call the server is asked what it says of its tools; a
tool that is no longer what was approved does not run.

A result with `isError` is a failure of the tool (ToolError): the protocol does not promise that nothing was changed
then, and servers that change something before they fail need a rule with `check`. An answer that is lost leaves the
outcome unknown (BackendError). A server that asks for more input is refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from inhouse.agents import mcp_lock
from inhouse.agents.keywords import fits
from inhouse.agents.mcp_lock import APPROVE, Approved, Change, Offer, changes, named, refusal
from inhouse.agents.mcp_session import START_S, Session
from inhouse.config.acting import Above, McpServer, Rules
from inhouse.errors import ConfigError, InputError
from inhouse.tools import ALWAYS, NEVER, Caller, Effect, Tool, ToolError
from inhouse.types import Digest, Json

REVIEW = "inhouse tools diff"


class McpTool:
    """An approved tool of a server."""

    def __init__(self, session: Session, approved: Approved, rules: Rules) -> None:
        self.offer = approved.offer
        self.tool = ruled(session.name, approved.offer, rules)
        self._session = session

    async def run(self, arguments: Mapping[str, Json], key: Digest, caller: Caller) -> Json:
        """The result. The key goes to the server in `_meta`, under "inhouse/idempotency-key".

        Raises:
            ToolError: the tool failed, is no longer what was approved, or was not reached.
            BackendError: whether it ran is not known.
        """
        if not fits(dict(arguments), dict(self.offer.parameters)):
            raise ToolError(f"the arguments are not those of {self.tool.name}")
        now = {offer.name: offer for offer in await self._session.offers()}.get(self.offer.name)
        if now is None or now.digest != self.offer.digest:
            what = "is not what was approved" if now else "is gone"
            raise ToolError(
                f"{self.tool.name} was not called: MCP server {self._session.name} says that the tool {what}",
                f"review it with `{REVIEW} {self._session.name}`, then run `{APPROVE} {self._session.name}`",
            )
        return await self._session.call(self.offer.name, arguments, key, self.tool.timeout_s)


class Servers:
    """The MCP servers of a project. Nothing is started before a tool is called or listed.

    Args:
        settings: the tables [[mcp]].
        folder: of inhouse.toml and of mcp.lock.
        variables: of the environment, by default this process's.
        start_s: to open a session.

    Raises:
        ConfigError: the settings or the lock are wrong, or two tools have the same name.
    """

    def __init__(
        self, settings: Sequence[McpServer], folder: Path, variables: Mapping[str, str] | None = None,
        start_s: float = START_S,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._settings = {table.name: table for table in settings}
        if len(self._settings) < len(settings):
            raise ConfigError("two tables [[mcp]] have the same name", "name each server differently")
        given = os.environ if variables is None else variables
        self._sessions = {table.name: Session(table, folder, given, start_s) for table in settings}
        self._lock = mcp_lock.read(folder)
        self.tools: dict[str, McpTool] = {}
        for table in settings:
            self._add(table)

    def _add(self, table: McpServer) -> None:
        approved = self._lock.get(table.name, {})
        for name in table.tools:
            if name not in approved:
                hint = f"run `{APPROVE} {table.name}`"
                raise ConfigError(f"[[mcp]] {table.name}.tools: {name} is not an approved tool", hint)
        for name in sorted(table.tools or approved):
            tool = McpTool(self._sessions[table.name], approved[name], table.rules.get(name, Rules(approval=ALWAYS)))
            if tool.tool.name in self.tools:
                what = f"[[mcp]] {table.name}: two tools would be called {tool.tool.name}"
                raise ConfigError(what, "name the server differently, or list its tools in `tools`")
            self.tools[tool.tool.name] = tool

    async def diff(self, server: str) -> Sequence[Change]:
        """What a server says now that is not as approved.

        Raises:
            InputError: there is no such server.
            ToolError: it cannot be reached.
        """
        session = self._session(server)
        return changes(self._lock.get(server, {}), await session.offers())

    async def approve(self, server: str, names: Sequence[str], by: str) -> tuple[Sequence[Change], Mapping[str, str]]:
        """Approves what a server says now of the named tools, of all without names, and writes mcp.lock. Tools that are
        gone are forgotten.

        Returns:
            What changed, and the tools that are refused with the reasons.

        Raises:
            InputError: there is no such server or tool, or it says two things of one tool.
            ToolError: it cannot be reached.
        """
        session, before = self._session(server), self._lock.get(server, {})
        listed = await session.offers()
        offers = {offer.name: offer for offer in listed}
        if len(offers) < len(listed):
            raise InputError(f"MCP server {server} lists two tools of the same name", "have the server corrected")
        if missing := sorted(set(names) - offers.keys()):
            raise InputError(f"MCP server {server} has no tool {missing[0]}", f"it has {', '.join(sorted(offers))}")
        refused, kept = {}, {name: a for name, a in before.items() if name in offers}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        for name in sorted(names or offers):
            if why := await asyncio.to_thread(_unfit, server, offers, name):
                refused[name] = why
                kept.pop(name, None)
            elif name not in kept or kept[name].offer.digest != offers[name].digest:
                kept[name] = Approved(offer=offers[name], by=by, at=at)
        mcp_lock.write(self._folder, server, kept)
        self._lock[server] = kept
        done = [change for change in changes(before, offers.values()) if change.tool in kept or change.kind == "gone"]
        return [change for change in done if not names or change.tool in names or change.kind == "gone"], refused

    async def close(self) -> None:
        """Ends all sessions."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    def _session(self, server: str) -> Session:
        if server not in self._sessions:
            known = ", ".join(sorted(self._sessions)) or "none"
            raise InputError(f"there is no [[mcp]] server {server} in inhouse.toml", f"it has {known}")
        return self._sessions[server]


def ruled(server: str, offer: Offer, rules: Rules) -> Tool:
    """A tool by our rules, which the server's annotations can only make stricter: "destructiveHint" asks for an
    approval of every call unless our rule says approval = "never", "readOnlyHint" false makes it one that writes."""
    hints = offer.annotations
    destructive = hints.get("destructiveHint") is True
    effect: Effect = "read" if rules.effect == "read" and hints.get("readOnlyHint") is not False else "write"
    approval = NEVER if effect == "read" and not destructive else ALWAYS
    if "approval" in rules.model_fields_set:
        approval = rules.approval.above if isinstance(rules.approval, Above) else rules.approval
        if destructive and approval != NEVER:
            approval = ALWAYS
    return Tool(
        name=named(server, offer.name), description=offer.description, parameters=offer.parameters, effect=effect,
        idempotent=rules.idempotent, approval=approval, check=rules.check, undo=rules.undo,
        groups=frozenset(rules.groups), roles=frozenset(rules.roles), timeout_s=rules.timeout_s,
        origin=f"mcp:{server}",
    )  # fmt: skip


def _unfit(server: str, offers: Mapping[str, Offer], name: str) -> str:
    same = [other for other in offers if other != name and named(server, other) == named(server, name)]
    return f"{same[0]} would have the same name" if same else refusal(server, offers[name])
