"""The Model Context Protocol, of either era: three tools for programs that speak it, over HTTP or standard input.

`search` finds passages that the caller's groups may read, `ask` asks the custom model, and `hand_over` puts a question
into the inbox. An answer takes the path of every other one (`chat.Answer`): queue, guardrails, audit log, inbox. No
resources and no prompts are offered, and nothing is asked of the client.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import Message as Event

from inhouse import __version__
from inhouse.chat import Exchange
from inhouse.errors import InhouseError
from inhouse.gateway.auth import count, hand_over, weigh
from inhouse.gateway.chat import Answer, unrecorded
from inhouse.gateway.errors import INTERNAL, HttpError, unavailable
from inhouse.gateway.logs import logged_as_json
from inhouse.gateway.state import State
from inhouse.gateway.wire import ChatBody
from inhouse.store.actions import ACTING, Actor
from inhouse.store.keys import Key
from inhouse.types import Message

LONGEST = 100_000  # characters of a question
MODEL, PERSON = "custom", "person"
Context = ServerRequestContext[Any, Any]
Who = Callable[[Context, int], Awaitable[Key]]
"""Whose request it is; the number is its size in bytes. Raises an HttpError for a caller who may not ask now."""
log = logging.getLogger("inhouse.gateway")


class Search(BaseModel):
    """Finds the passages of the documents that answer a question best. Returns them with their sources."""

    model_config = ConfigDict(extra="forbid", strict=True)
    query: str = Field(min_length=1, max_length=LONGEST, description="Words or a question.")
    k: int = Field(5, ge=1, le=20, description="Number of passages.")


class Ask(BaseModel):
    """Asks the assistant, which answers from the documents, and names its sources."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: str = Field(min_length=1, max_length=LONGEST, description="The question, complete in itself.")


class HandOver(BaseModel):
    """Leaves a question to a person, who answers later. Returns the ID of the hand-off."""

    model_config = ConfigDict(extra="forbid", strict=True)
    question: str = Field(min_length=1, max_length=LONGEST, description="The question, complete in itself.")


class Offered(NamedTuple):
    """A tool: its arguments, with its description, what it does, and the hints for clients."""

    arguments: type[BaseModel]
    run: Callable[[State, Key, Any], Awaitable[str]]
    reads: bool

    def listed(self, name: str) -> types.Tool:
        hints = types.ToolAnnotations(
            read_only_hint=self.reads, destructive_hint=False, idempotent_hint=self.reads, open_world_hint=False
        )
        schema = self.arguments.model_json_schema()
        about = schema.pop("description")
        return types.Tool(name=name, description=about, input_schema=schema, annotations=hints)


def over_http(state: State) -> StreamableHTTPSessionManager:
    """The ASGI application of /mcp. Each request stands for itself, so that any worker can answer it; it was admitted
    like every other one."""

    async def admitted(context: Context, size: int) -> Key:
        key: Key = context.request.scope["inhouse.key"]  # type: ignore[union-attr]
        return key

    return StreamableHTTPSessionManager(
        _server(state, admitted), json_response=True, stateless=True,
        max_request_body_size=state.project.gateway.max_body_kb * 1024,
    )  # fmt: skip


def over_stdio(state: State, key: Callable[[], Key]) -> None:
    """Speaks with one program over standard input and output until the input ends, then closes the models.

    Args:
        state: as of a gateway.
        key: for whom; called for each request. Raises an InhouseError if the key does not hold.
    """

    async def admitted(context: Context, size: int) -> Key:
        try:
            holder = await asyncio.to_thread(key)
        except InhouseError as error:
            raise HttpError(401, str(error)) from error
        count(state, {}, holder)
        weigh(state, holder, size)
        await state.fleet.refresh()
        return holder

    async def run() -> None:
        await state.fleet.refresh()
        server = _server(state, admitted)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    try:
        with logged_as_json():
            asyncio.run(run())
    finally:
        state.close()


def _server(state: State, who: Who) -> Server[Any]:
    async def tools(context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool.listed(name) for name, tool in TOOLS.items()])

    async def call(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        try:
            key = await who(context, len(json.dumps(arguments)))
            ACTING.set(Actor(id=key.id, name=key.name, at="mcp"))
            return _said(await _run(state, key, params.name, arguments))
        except HttpError as error:
            return _said(str(error.body["error"]["message"]), failed=True)
        except MCPError:
            raise
        except Exception as error:
            log.error("internal error in a tool", exc_info=error)
            return _said(INTERNAL, failed=True)

    instructions = f"Answers about {state.project.name}, from its documents." if state.project.name else None
    return Server("inhouse", version=__version__, instructions=instructions, on_list_tools=tools, on_call_tool=call)


async def _run(state: State, key: Key, name: str, arguments: Mapping[str, Any]) -> str:
    if name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, f"there is no tool {name[:64]}; there are {', '.join(TOOLS)}")
    tool = TOOLS[name]
    try:
        given = tool.arguments.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise HttpError(400, f"{'.'.join(map(str, first['loc'])) or 'arguments'}: {first['msg']}") from None
    return await tool.run(state, key, given)


async def _search(state: State, key: Key, given: Search) -> str:
    if state.insight is None:
        raise unavailable("there is no index", "no_index")
    with state.embedding.admitted(key.id) as place:
        async with state.embedding.slot(place):
            found = await asyncio.to_thread(state.insight.search, given.query, given.k, frozenset(key.groups))
    passages = []
    for n, match in enumerate(found, 1):
        chunk = match.chunk
        title = " > ".join(filter(None, (chunk.title, chunk.heading)))
        source = (
            chunk.source if chunk.trust == "trusted" else f"{chunk.source}, {chunk.trust}: others may have written it"
        )
        passages.append(f"[{n}] {title} ({source})\n{chunk.text}")
    return "\n\n".join(passages) or "Nothing was found."


async def _ask(state: State, key: Key, given: Ask) -> str:
    asked = ChatBody.model_validate({"model": MODEL, "messages": [{"role": "user", "content": given.question}]})
    sent: list[Event] = []

    async def receive() -> Event:  # the client stays: if it leaves, this task is canceled
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: Event) -> None:
        sent.append(event)

    await Answer(state, key, asked)({"type": "http"}, receive, send)
    body = json.loads(b"".join(event.get("body", b"") for event in sent[1:]))
    if sent[0]["status"] != 200:
        raise HttpError(sent[0]["status"], body["error"]["message"])
    ours = body["inhouse"]
    sources = dict.fromkeys(f"[{c['passage']}] {c['source']}" for c in ours["citations"] or ())
    said = [body["choices"][0]["message"]["content"] or ""]
    said += ["Sources: " + ", ".join(sources)] if sources else []
    said += [f"A person takes over; the hand-off is {ours['handoff']}."] if ours["handoff"] else []
    return "\n\n".join(said)


async def _hand_over(state: State, key: Key, given: HandOver) -> str:
    hand_over(state, key.id)
    exchange = Exchange(
        id=f"mcp-{uuid.uuid4().hex}", at=datetime.now(UTC).isoformat(timespec="milliseconds"), user=key.id, key=key.id,
        model=PERSON, release="", arm="", messages=(Message(role="user", content=given.question),), answer="",
        reason="stop", groups=frozenset(key.groups),
    )  # fmt: skip
    try:
        await state.audit.append(exchange)
        id = await asyncio.to_thread(state.inbox.add, exchange, "requested")
    except Exception as error:  # of any kind: what is not recorded is not done
        state.metrics.audit_failures.inc()
        log.error("a question could not be recorded", exc_info=error)
        raise unrecorded() from error
    state.metrics.handoffs.labels(PERSON).inc()
    return f"The question is in the inbox, and a person will answer it. The hand-off is {id}."


def _said(text: str, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)


TOOLS: Mapping[str, Offered] = {
    "search": Offered(Search, _search, reads=True),
    "ask": Offered(Ask, _ask, reads=False),
    "hand_over": Offered(HandOver, _hand_over, reads=False),
}
