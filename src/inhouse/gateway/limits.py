"""What keeps the gateway standing: a bounded queue, rates per key, and the door that every request comes through.

The door refuses bodies that are too large or come too slowly, closes responses to browsers of other origins, and turns
a programming error into a 500 that tells nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
import struct
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from inhouse.gateway.wire import error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


class HttpError(HTTPException):
    """A refusal in OpenAI's error shape."""

    def __init__(
        self, status: int, message: str, type: str = "invalid_request_error", code: str | None = None,
        param: str | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(status, message, dict(headers or {}))
        self.body = error_body(message, type, code, param)

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status_code, self.headers)


def too_many(message: str, retry_s: float) -> HttpError:
    code = "rate_limit_exceeded"
    return HttpError(429, message, code, code, headers={"Retry-After": str(max(1, round(retry_s + 0.5)))})


def unavailable(message: str, code: str, headers: Mapping[str, str] | None = None) -> HttpError:
    return HttpError(503, message, "server_error", code, headers={"Retry-After": "5", **(headers or {})})


class Queue:
    """At most `running` requests at the engine, and `waiting` more in the house; further ones are refused."""

    def __init__(self, running: int, waiting: int) -> None:
        self.size = running + waiting
        self.open = 0  # requests in the house, those whose record is being written among them
        self.running = 0
        self._slots = asyncio.Semaphore(running)
        self._parallel = running
        self._usual_s = 1.0  # how long the engine takes, a moving average

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """A place in the house.

        Raises:
            HttpError: 429, with how long it will take until there is one.
        """
        if self.open >= self.size:
            raise too_many("too many requests are waiting", min(60, self._usual_s * self.open / self._parallel))
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place at the engine, first come first served."""
        async with self._slots:
            self.running += 1
            started = time.perf_counter()
            try:
                yield
            finally:
                self.running -= 1
                self._usual_s += 0.1 * (time.perf_counter() - started - self._usual_s)


class Rates:
    """How often each key may ask, in all worker processes together: GCRA, one number a key, in shared memory.

    A key may use its minute at once, then comes to one request every 60 / per_minute seconds.

    Args:
        descriptor: a file of `SIZE` bytes that the workers share; None keeps the numbers in this process.
    """

    PLACES = 16384
    SIZE = PLACES * 16

    def __init__(self, descriptor: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = descriptor
        self._clock = clock
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, self.SIZE)

    def wait_s(self, key: str, per_minute: int) -> float:
        """0 where the key may ask now, which counts as asking; else how long it has to wait. Seconds."""
        if not per_minute:
            return 0.0
        digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") | 1
        self._lock(True)
        try:
            place = self._place(digest)
            now, step = self._clock(), 60 / per_minute
            due = max(struct.unpack_from("<d", self._memory, place + 8)[0], now)
            if due - now > 60 - step + 1e-6:
                return float(due - now - (60 - step))
            struct.pack_into("<Qd", self._memory, place, digest, due + step)
            return 0.0
        finally:
            self._lock(False)

    def _place(self, digest: int) -> int:
        """Where the key's number stands; keys that ask no more give up their place after a minute."""
        first = digest % self.PLACES
        free = None
        for n in range(first, first + 64):
            place = n % self.PLACES * 16
            holder, due = struct.unpack_from("<Qd", self._memory, place)
            if holder == digest:
                return place
            if free is None and due <= self._clock():
                free = place
            if not holder:
                break
        return first * 16 if free is None else free

    def _lock(self, take: bool) -> None:
        if self._file is not None:
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_EX if take else fcntl.LOCK_UN)


class Door:
    """ASGI middleware around everything, the console too.

    Args:
        admit: lets a request in, or raises an HttpError; asked before anything of the body is read.
        said: told of every request when it is over: scope, id, status, seconds, and the error that was not foreseen.
    """

    def __init__(
        self, app: ASGIApp, max_body: int, body_s: float, admit: Callable[[Scope], Awaitable[None]],
        said: Callable[[Scope, str, int, float, Exception | None], None],
    ) -> None:  # fmt: skip
        self._app = app
        self._max_body = max_body
        self._body_s = body_s
        self._admit = admit
        self._said = said

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
                there = {name.lower() for name, _ in message.get("headers", ())}
                more = [
                    (name.encode(), value.encode())
                    for name, value in {**SECURITY_HEADERS, "x-request-id": id}.items()
                    if name.encode() not in there
                ]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        try:
            await self._admit(scope)
            self._check_length(scope)
            await self._app(scope, self._counted(receive), sending)
        except HttpError as error:
            if not status:
                await error.response()(scope, receive, sending)
        except Exception as error:
            failed = error
            if not status:
                await HttpError(500, "the server made a mistake", "server_error").response()(scope, receive, sending)
        finally:
            self._said(scope, id, status, time.perf_counter() - started, failed)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value[:18]) > self._max_body):
                raise self._too_large()

    def _too_large(self) -> HttpError:
        # The rest of the body is not read: the connection cannot be used again.
        return HttpError(413, f"the body is longer than {self._max_body} bytes", headers={"Connection": "close"})

    def _counted(self, receive: Receive) -> Receive:
        """The body as it comes, until it is too long or takes too long."""
        size, whole, until = 0, False, asyncio.get_running_loop().time() + self._body_s

        async def receiving() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HttpError(408, "the body came too slowly", headers={"Connection": "close"}) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self._max_body:
                raise self._too_large()
            return message

        return receiving


class Headed:
    """Mixed into uvicorn's protocols: a connection that does not bring a whole request head in time is closed."""

    head_s = 15.0
    _late: asyncio.TimerHandle | None = None

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

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)  # type: ignore[misc]

    def _arm(self) -> None:
        transport: Any = self.transport  # type: ignore[attr-defined]
        self._late = asyncio.get_running_loop().call_later(self.head_s, transport.close)

    def _disarm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def protocol(head_s: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, the fastest on this machine, with a limit on slow heads. Seconds."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Plain
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Plain  # type: ignore[assignment]
    return type("Protocol", (Headed, Plain), {"head_s": head_s})
