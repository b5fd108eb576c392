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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from inhouse.gateway.errors import too_many
from inhouse.gateway.middleware import Headed


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


def protocol() -> type[asyncio.Protocol]:
    """The fastest HTTP protocol of uvicorn on this machine, with a time limit on request heads."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Plain
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as Plain  # type: ignore[assignment]
    return type("Protocol", (Headed, Plain), {})
