"""One open session with an MCP server, of either era of the protocol, and what it says and answers.

The session is opened when it is first needed, kept, opened again in the background when it ends, and closed by
`close`. Every request is sent once: a call whose answer is lost is reported as such, and nobody repeats it. The SDK's
`Client.call_tool`, which sends some calls again and answers what servers ask of people, is not used. Nothing is offered
to servers: no sampling, no roots, no elicitation, no log.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx2
import mcp_types as types
from mcp.client.auth import OAuthFlowError
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from inhouse import __version__
from inhouse.agents.mcp_auth import Machine, secure, told
from inhouse.agents.mcp_lock import Offer
from inhouse.agents.mcp_stdio import environment, program
from inhouse.config.acting import McpServer
from inhouse.errors import BackendError, ConfigError
from inhouse.tools import ToolError
from inhouse.types import Digest, Json, canonical_json

KEY = "inhouse/idempotency-key"  # in `_meta` of a call
START_S = 20.0  # to open a session; the SDK gives a server of an unknown era ten seconds of it
LIST_S = 10.0  # for a page of tools
PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # between two tries to open a session
MOST_PAGES, MOST_TOOLS = 20, 500
MOST_BYTES = 8 << 20  # of a response
MOST_RESULT = 64_000  # characters that a model gets
MOST_SAID = 500  # characters of an error of the server
CONNECT_S = 10.0
REJECTED = (types.METHOD_NOT_FOUND, types.INVALID_PARAMS)  # codes of a call that was not run
ENDING = (
    types.CONNECTION_CLOSED,
    types.INVALID_REQUEST,
    types.PARSE_ERROR,
)  # codes after which a new session is opened
CLOSE_S = 10.0
log = logging.getLogger("inhouse.mcp")
_RESULT: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


class Session:
    """The session with one server. It belongs to the event loop in which it is used; the next one opens its own.

    Args:
        settings: of the server.
        folder: of the project, in which programs run.
        variables: of the environment.
        start_s: to open a session.

    Raises:
        ConfigError: the settings contradict each other, or name a variable that is not set.
    """

    def __init__(
        self, settings: McpServer, folder: Path, variables: Mapping[str, str], start_s: float = START_S
    ) -> None:
        self.name = settings.name
        self._settings, self._folder, self._variables, self._start_s = settings, folder, variables, start_s
        check(settings, variables)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._live: _Live | None = None
        self._why, self._tries = "", 0
        self._keeper: asyncio.Task[None] | None = None
        self._scope: anyio.CancelScope | None = None
        self._news, self._wanted = asyncio.Condition(), asyncio.Event()

    async def offers(self) -> list[Offer]:
        """What the server says of its tools now.

        Raises:
            ToolError: it cannot be reached, or says too much.
        """
        try:
            return await self._listed(await self._open())
        except _Lost:  # it ended since it was last used; nothing was called yet
            try:
                return await self._listed(await self._open())
            except _Lost as error:
                raise self._unavailable(str(error)) from None

    async def call(self, tool: str, arguments: Mapping[str, Json], key: Digest, timeout_s: float) -> Json:
        """What a tool returns: its structured content, or else its text.

        Raises:
            ToolError: the server could not be reached, rejects the call, reports that it failed, or asks for more.
            BackendError: the answer was lost, so whether the tool ran is not known.
        """
        live = await self._open()
        said = {"name": tool, "arguments": dict(arguments), "_meta": {KEY: key}}
        params = types.CallToolRequestParams.model_validate(said)
        try:
            result = await live.session.send_request(types.CallToolRequest(params=params), _RESULT, timeout_s)
        except MCPError as error:
            if error.code in REJECTED:
                raise ToolError(f"MCP server {self.name} rejects the call of {tool}: {_cut(error.message)}") from None
            if error.code == types.URL_ELICITATION_REQUIRED:
                raise self._asks(tool) from None
            if error.code in ENDING:
                live.ended.set()
            raise self._lost(tool, _cut(error.message)) from None
        except ValidationError:
            raise self._lost(tool, "its answer is not one of the protocol") from None
        except Exception as error:
            live.ended.set()
            raise self._lost(tool, _leaf(error)) from None
        if isinstance(result, types.InputRequiredResult):
            raise self._asks(tool)
        if result.is_error:
            raise ToolError(f"MCP server {self.name}, tool {tool}: {_cut(_text(result)) or 'it failed'}")
        return _value(result)

    async def close(self) -> None:
        """Ends the session and the program."""
        self._closed = True
        if self._loop is not asyncio.get_running_loop():
            return
        self._wanted.set()
        if live := self._open_now():
            live.ended.set()
        elif self._scope:
            self._scope.cancel()
        if self._keeper and not (await asyncio.wait({self._keeper}, timeout=CLOSE_S))[0] and self._scope:
            self._scope.cancel()
            await asyncio.wait({self._keeper})

    # --- opening ------------------------------------------------------------------------------------------------

    async def _open(self) -> _Live:
        """The session, once it is open.

        Raises:
            ToolError: it cannot be opened.
        """
        if self._closed:
            raise self._unavailable("it is closed")
        if self._loop is not (loop := asyncio.get_running_loop()):  # the last one canceled its tasks when it ended
            self._forget()
            self._loop = loop
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"MCP server {self.name}")
        self._wanted.set()
        async with self._news:
            tries = self._tries
            await self._news.wait_for(lambda: self._closed or self._tries > tries or self._open_now())
        if not (live := self._open_now()):
            raise self._unavailable(self._why)
        return live

    def _open_now(self) -> _Live | None:
        return None if self._live is None or self._live.ended.is_set() else self._live

    async def _keep(self) -> None:
        """Opens a session, waits for its end, and opens the next one."""
        pause_s = PAUSE_S
        while not self._closed:
            self._wanted.clear()
            began = anyio.current_time()
            opened, why = await self._one()
            if anyio.current_time() - began > LONGEST_PAUSE_S:
                pause_s = PAUSE_S
            if not self._closed:
                log.warning("MCP server %s: %s", self.name, why)
            async with self._news:
                self._live, self._why = None, "it is closed" if self._closed else why
                self._tries += not opened
                self._news.notify_all()
            try:
                async with asyncio.timeout(0 if self._closed else pause_s):
                    await self._wanted.wait()
            except TimeoutError:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one(self) -> tuple[bool, str]:
        """One session from its beginning to its end: whether it was opened, and why it ended."""
        opened, ended = False, asyncio.Event()
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self._start_s) as self._scope:
                async with self._transport(ended) as transport:
                    info = types.Implementation(name="inhouse", version=__version__)
                    async with Client(transport, cache=None, client_info=info) as client:
                        self._scope.deadline, opened = math.inf, True
                        async with self._news:
                            self._live = _Live(client.session, ended)
                            self._news.notify_all()
                        await ended.wait()
        except Exception as error:
            return opened, _leaf(error)
        return opened, "its session ended" if opened else f"it did not start within {self._start_s:g} s"

    @asynccontextmanager
    async def _transport(self, ended: asyncio.Event) -> AsyncIterator[AbstractAsyncContextManager[Any]]:
        settings = self._settings
        if settings.command:
            variables = environment(settings.env, self._variables)
            yield program(settings.command, variables, self._folder, self.name, ended.set)
            return
        headers = {"accept-encoding": "identity", "user-agent": f"inhouse/{__version__}"}
        auth: httpx2.Auth | None = None
        if settings.client_id:
            secret = self._variables[settings.client_secret_env]
            auth = Machine(settings.url, settings.issuer, settings.client_id, secret, settings.scopes)
        elif settings.key_env:
            headers["authorization"] = f"Bearer {self._variables[settings.key_env]}"
        timeout = httpx2.Timeout(CONNECT_S, read=None)  # every request has a limit already
        async with httpx2.AsyncClient(headers=headers, auth=auth, timeout=timeout, transport=_Bounded()) as http:
            yield streamable_http_client(settings.url, http_client=http)

    # --- asking -------------------------------------------------------------------------------------------------

    async def _listed(self, live: _Live) -> list[Offer]:
        tools: list[types.Tool] = []
        cursor: str | None = None
        try:
            for _ in range(MOST_PAGES):
                params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
                with anyio.fail_after(LIST_S):
                    page = await live.session.list_tools(params=params)
                tools, cursor = [*tools, *page.tools], page.next_cursor
                if cursor is None or len(tools) > MOST_TOOLS:
                    break
        except Exception as error:
            live.ended.set()
            raise _Lost("it does not list its tools" if isinstance(error, TimeoutError) else _leaf(error)) from None
        if cursor is not None or len(tools) > MOST_TOOLS:
            raise self._unavailable(f"it has more than {MOST_TOOLS} tools")
        return [_offer(tool) for tool in tools]

    def _unavailable(self, why: str) -> ToolError:
        return ToolError(f"MCP server {self.name} is not available: {why}", f"see [[mcp]] {self.name} in inhouse.toml")

    def _lost(self, tool: str, why: str) -> BackendError:
        return BackendError(
            f"MCP server {self.name}, tool {tool}: whether it ran is not known ({why})",
            "find out at the system behind it, and settle the call",
        )

    def _asks(self, tool: str) -> ToolError:
        return ToolError(
            f"MCP server {self.name}, tool {tool}: it asks for more input before it runs, which is not given",
            "call it with all it needs; nothing is asked of people on behalf of servers",
        )


class _Live(NamedTuple):
    """An open session, and the event of its end."""

    session: ClientSession
    ended: asyncio.Event


class _Lost(Exception):
    """The session ended while it was asked for tools."""


class _Bounded(httpx2.AsyncHTTPTransport):
    """HTTP without compression, whose responses have a largest size."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.RemoteProtocolError("it compresses what was to be sent plainly")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise httpx2.ReadError(f"it sent more than {MOST_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def check(settings: McpServer, variables: Mapping[str, str]) -> None:
    """Raises:
    ConfigError: the settings of a server contradict each other, or name a variable that is not set.
    """
    place = f"[[mcp]] {settings.name}"
    if not settings.name.replace("_", "").replace("-", "").isalnum() or not settings.name.isascii():
        raise ConfigError(f"{place}: name has other characters than letters, digits, _ and -", "choose another name")
    if bool(settings.command) == bool(settings.url):
        raise ConfigError(f"{place}: set either command or url", "command for a program, url for HTTP")
    if settings.client_id and not (settings.issuer and settings.client_secret_env):
        raise ConfigError(
            f"{place}: client_id needs issuer and client_secret_env",
            "issuer is the URL of the authorization server, as its metadata names it",
        )
    if settings.client_id and settings.key_env:
        raise ConfigError(f"{place}: key_env and client_id exclude each other", "remove one of them")
    for name in filter(None, (*settings.env, settings.key_env, settings.client_secret_env)):
        if not variables.get(name):
            raise ConfigError(f"{place}: the environment variable {name} is not set", "set it, and start again")
    secret = settings.key_env or settings.client_id
    for url in filter(None, (secret and settings.url, settings.issuer)):
        if not secure(url):
            raise ConfigError(f"{place}: secrets are not sent to {url}", "use https")


def _offer(tool: types.Tool) -> Offer:
    hints = tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True) if tool.annotations else {}
    return Offer(
        name=tool.name, description=tool.description or "", parameters=dict(tool.input_schema), annotations=hints
    )


def _value(result: types.CallToolResult) -> Json:
    value = result.structured_content if result.structured_content is not None else _text(result)
    text = value if isinstance(value, str) else canonical_json(value)
    return value if len(text) <= MOST_RESULT else f"{text[:MOST_RESULT]}... [cut from {len(text):,} characters]"


def _text(result: types.CallToolResult) -> str:
    def said(block: types.ContentBlock) -> str:
        return block.text if isinstance(block, types.TextContent) else f"[{block.type}: not text]"

    return "\n".join(said(block) for block in result.content)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}..."


def _leaf(error: BaseException) -> str:
    """What is wrong, in words without secrets."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OAuthFlowError):
        return told(error)
    if isinstance(error, MCPError | OSError | httpx2.HTTPError):
        return f"{type(error).__name__}: {_cut(str(error))}" if str(error) else type(error).__name__
    return type(error).__name__
