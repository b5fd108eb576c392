"""MCP servers that are programs: their process, its standard input and output, and what it writes to standard error.

The SDK's own transport keeps a line of any length in memory and lets the server write to our standard error without
end. Here both are bounded, and the process ends with all its children.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

MOST_LINE = 8 << 20  # bytes of a message
LONGEST_LOGGED = 500  # characters of a line
LOGGED_PER_MINUTE = 60  # lines
ENDS_S = 2.0  # for the program to end once its input is closed, and again once it is told to
GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
log = logging.getLogger("inhouse.mcp")

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


def environment(names: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """What a program gets of the variables: those by which it runs at all, and the named ones that are set."""
    return get_default_environment() | {name: variables[name] for name in names if name in variables}


@asynccontextmanager
async def program(
    command: Sequence[str], variables: Mapping[str, str], folder: Path, name: str, ended: Callable[[], None]
) -> AsyncIterator[Streams]:
    """Runs a server for the length of the block.

    Args:
        command: the program and its arguments.
        variables: its environment.
        folder: where it runs.
        name: what the log calls it.
        ended: called when it has ended or closed its output.

    Raises:
        OSError: it cannot be started.
    """
    process = await anyio.open_process(command, env=dict(variables), cwd=folder, start_new_session=True)
    assert process.stdout is not None
    assert process.stdin is not None
    stdin = process.stdin
    assert process.stderr is not None
    to_session, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)

    async def read(output: ByteReceiveStream) -> None:
        async with to_session:  # closing it tells the session that there is no more
            with suppress(*GONE):
                async for line in _lines(output, name):
                    await to_session.send(_message(line))
        ended()

    async def write() -> None:
        async with from_session:
            with suppress(*GONE):
                async for message in from_session:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await stdin.send(text.encode() + b"\n")
                return
        await to_session.aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, process.stdout)
        tasks.start_soon(write)
        tasks.start_soon(_log, process.stderr, name)
        try:
            yield incoming, outgoing
        finally:
            with anyio.CancelScope(shield=True):
                outgoing.close()
                incoming.close()
                await _end(process)
            tasks.cancel_scope.cancel()


async def _lines(output: ByteReceiveStream, name: str) -> AsyncIterator[bytes]:
    """The lines that a server writes, until it ends or writes one that is too long."""
    rest = bytearray()
    async for chunk in output:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > MOST_LINE:
            log.warning("MCP server %s wrote a message of more than %d bytes and is ended", name, MOST_LINE)
            return


def _message(line: bytes) -> Incoming:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _log(errors: ByteReceiveStream, name: str) -> None:
    """Logs what a server writes to its standard error, as far as it is not too much, and reads it all, so that the
    server is never kept waiting."""
    rest, minute, logged = "", 0.0, 0
    with suppress(*GONE):
        async for chunk in errors:
            *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
            rest = rest[:LONGEST_LOGGED]
            if time.monotonic() - minute > 60:
                minute, logged = time.monotonic(), 0
            for line in lines[: max(LOGGED_PER_MINUTE - logged, 0)]:
                log.info("MCP server %s: %s", name, line[:LONGEST_LOGGED].encode("unicode_escape").decode())
            if logged < LOGGED_PER_MINUTE <= logged + len(lines):
                log.warning("MCP server %s writes too much: nothing more is logged for a minute", name)
            logged += len(lines)


async def _end(process: Process) -> None:
    """Closes the input of the program, and ends it and its children if it does not end by itself."""
    assert process.stdin
    with suppress(*GONE):
        await process.stdin.aclose()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(process, number)
        with anyio.move_on_after(ENDS_S):
            while process.returncode is None:  # noqa: ASYNC110 - wait() also waits for children that have the pipes
                await anyio.sleep(0.01)
            break
    _signal(process, signal.SIGKILL)  # the children that it left
    with anyio.move_on_after(ENDS_S), suppress(*GONE):
        await process.aclose()


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.kill()
