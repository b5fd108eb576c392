"""Middleware: authentication, limits on size and time of a request, security headers, and unexpected errors."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inhouse.gateway import bodies
from inhouse.gateway.errors import INTERNAL, HttpError
from inhouse.store.keys import Key

READ_S = 15.0  # a request whose head or body takes longer to arrive is refused
WRITE_S = 15.0  # a client that reads nothing of its answer for longer is disconnected
SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}


class Door:
    """ASGI middleware around all routes, including the console.

    Args:
        app: the application.
        max_body: maximum size of a body in bytes.
        admit: admits a request or raises an HttpError; called before the body is read.
        weigh: the same, called with the key, if any, and the size of the body in bytes once it is read.
        finished: called after every request with scope, id, status, seconds, and the unexpected error, if any.
    """

    def __init__(
        self, app: ASGIApp, max_body: int, admit: Callable[[Scope], Awaitable[None]],
        weigh: Callable[[Key, int], None],
        finished: Callable[[Scope, str, int, float, Exception | None], None],
    ) -> None:  # fmt: skip
        self._app = app
        self._max_body = max_body
        self._admit = admit
        self._weigh = weigh
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, failed = time.perf_counter(), 0, None
        scope["inhouse.id"] = id = f"req-{uuid.uuid4().hex}"

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())
                present = {name.lower() for name, _ in headers}
                own = {**scope.get("inhouse.headers", {}), "x-request-id": id}
                more = [*SECURITY_HEADERS.items(), *((n.encode(), v.encode()) for n, v in own.items())]
                message = {**message, "headers": [*headers, *(pair for pair in more if pair[0] not in present)]}
            await send(message)

        scope = _plain(scope)
        try:
            await self._admit(scope)
            self._check_length(scope)
            body = await bodies.read(receive, self._max_body, READ_S)
            if body is not None:
                scope, body = bodies.decoded(scope, body, self._max_body)
                if (key := scope["inhouse.key"]) is not None:
                    self._weigh(key, len(body))
                await self._app(scope, bodies.again(body, receive), sending)
        except HttpError as error:
            if not status:
                await error.response()(scope, receive, sending)
        except Exception as error:
            failed = error
            if not status:
                await HttpError(500, INTERNAL, "server_error").response()(scope, receive, sending)
        finally:
            self._finished(scope, id, status, time.perf_counter() - started, failed)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value[:18]) > self._max_body):
                raise bodies.too_large(self._max_body)


def _plain(scope: Scope) -> Scope:
    """HEAD as GET, because the HTTP protocol leaves the body of the answer out, and API paths without a final slash."""
    changed = {"method": "GET"} if scope["method"] == "HEAD" else {}
    path = scope["path"]
    if path.startswith("/v1/") and path.endswith("/"):
        changed["path"] = path.rstrip("/")
    return {**scope, **changed} if changed else scope


class Timed:
    """Mixin for uvicorn's protocols: closes connections that do not send a complete request head in time, or whose
    client does not read."""

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]
        cycle: Any = getattr(self, "cycle", None)
        if cycle is not None and not cycle.response_complete:
            self._disarm()
        elif self._late is None:
            self._arm()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, in the form of all other errors."""
        transport: Any = self.transport  # type: ignore[attr-defined]
        body = HttpError(400, msg).response().body
        head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
        transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n\r\n".encode() + bytes(body))
        transport.close()

    def pause_writing(self) -> None:
        """The client has not read what was sent, and no more is written until it has."""
        super().pause_writing()  # type: ignore[misc]
        transport: Any = self.transport  # type: ignore[attr-defined]
        self._unread = asyncio.get_running_loop().call_later(WRITE_S, transport.abort)

    def resume_writing(self) -> None:
        self._read()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._read()
        super().connection_lost(exc)  # type: ignore[misc]

    def _arm(self) -> None:
        transport: Any = self.transport  # type: ignore[attr-defined]
        self._late = asyncio.get_running_loop().call_later(READ_S, transport.close)

    def _disarm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
