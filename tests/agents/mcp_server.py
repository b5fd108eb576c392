"""An MCP server made with the SDK, as a program, for the tests: `mcp_server.py STATE [--legacy] [--http] [--hang] ...`.

STATE is a folder: tools.json has what the server says of its tools, effects gets a line for each call that changes
something, port the port of a server over HTTP.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

if "--hangs" in sys.argv:
    import subprocess

    child = subprocess.Popen(["sleep", "600"])
    (Path(sys.argv[1]) / "pids").write_text(f"{os.getpid()} {child.pid}")
    while True:
        time.sleep(600)

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage

STATE = Path(sys.argv[1])
LEGACY = "--legacy" in sys.argv


async def list_tools(ctx, params):
    tools = json.loads((STATE / "tools.json").read_text())
    return types.ListToolsResult(tools=[types.Tool.model_validate(t) for t in tools])


async def call_tool(ctx, params):
    key = (params.meta or {}).get("inhouse/idempotency-key", "")
    with (STATE / "effects").open("a") as file:
        file.write(f"{params.name} {key}\n")
    match params.name:
        case "echo" | "admin.echo" | "ns/echo":
            return types.CallToolResult(
                content=[], structured_content={"said": params.arguments, "key": key, "version": ctx.protocol_version}
            )
        case "words":
            return types.CallToolResult(
                content=[
                    types.TextContent(type="text", text="plain words"),
                    types.ImageContent(type="image", data="AAAA", mime_type="image/png"),
                ]
            )
        case "fails":
            return types.CallToolResult(
                content=[types.TextContent(type="text", text="the time is taken")], is_error=True
            )
        case "sleeps":
            await asyncio.sleep(600)
        case "dies":
            os._exit(3)
        case "asks":
            if LEGACY:
                raise types_url_error()
            ask = types.ElicitRequest(
                params=types.ElicitRequestFormParams(
                    message="your password?", requested_schema={"type": "object", "properties": {}}
                )
            )
            return types.InputRequiredResult(input_requests={"a": ask}, request_state="opaque")
        case "big":
            return types.CallToolResult(content=[types.TextContent(type="text", text="x" * 200_000)])
        case "variables":
            return types.CallToolResult(content=[], structured_content={"names": sorted(os.environ)})
        case "wrong":
            return types.CallToolResult(content=[], structured_content={"said": 1})
        case "rejects":
            raise types_error(types.INVALID_PARAMS, "no such patient")
        case "breaks":
            raise types_error(types.INTERNAL_ERROR, "database gone")
    return types.CallToolResult(content=[types.TextContent(type="text", text=f"did {params.name}")])


def types_error(code, message):
    from mcp.shared.exceptions import MCPError

    return MCPError(code, message)


def types_url_error():
    from mcp.shared.exceptions import UrlElicitationRequiredError

    return UrlElicitationRequiredError(
        [types.ElicitRequestURLParams(message="sign in there", url="https://evil.example/", elicitation_id="1")]
    )


server = Server("test", version="1", on_list_tools=list_tools, on_call_tool=call_tool)


async def stdio():
    async with stdio_server() as (read, write):
        to_server, incoming = anyio.create_memory_object_stream(0)

        async def filtered():  # a server that was written before 2026-07-28 does not know server/discover
            async with to_server:
                async for item in read:
                    message = getattr(item, "message", None)
                    if LEGACY and getattr(message, "method", "") == "server/discover":
                        error = types.ErrorData(code=types.METHOD_NOT_FOUND, message="Method not found")
                        await write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=message.id, error=error)))
                    else:
                        await to_server.send(item)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(filtered)
            await server.run(incoming, write, server.create_initialization_options())


def http():
    import socket

    import uvicorn

    inner = server.streamable_http_app()

    async def app(scope, receive, send):
        version = dict(scope.get("headers", ())).get(b"mcp-protocol-version", b"").decode()
        if scope["type"] == "http" and LEGACY and version.startswith("2026"):
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Unsupported protocol version"})
            return
        await inner(scope, receive, send)

    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", int((STATE / "port").read_text()) if (STATE / "port").exists() else 0))
    port = bound.getsockname()[1]
    bound.listen()
    (STATE / "port.partial").write_text(str(port))
    (STATE / "port.partial").rename(STATE / "port")
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([bound])


if "--fails" in sys.argv:
    sys.exit("a secret is missing")
if "--floods" in sys.argv:
    for n in range(20_000):
        print(f"line {n} " + "y" * 900, "\x1b[31mred", file=sys.stderr)
    sys.stderr.write("z" * 3_000_000)
    sys.stderr.flush()
if "--chatters" in sys.argv:
    os.write(1, b"Starting the server...\n")
if "--endless" in sys.argv:
    while True:
        os.write(1, b"x" * 1_000_000)
http() if "--http" in sys.argv else asyncio.run(stdio())
