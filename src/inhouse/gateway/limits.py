"""Limits of the gateway: a bounded queue, rate limits per key, and a time limit on request heads."""

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
    """At most `running` requests are processed at the same time and `waiting` more are queued; others are refused."""

    def __init__(self, running: int, waiting: int) -> None:
        self.size = running + waiting
        self.open = 0  # admitted requests, including those whose record is being written
        self.running = 0
        self._slots = asyncio.Semaphore(running)
        self._parallel = running
        self._usual_s = 1.0  # moving average of the time in a slot

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Admits a request to the queue.

        Raises:
            HttpError: 429 if the queue is full, with the estimated time until a place is free.
        """
        if self.open >= self.size:
            raise too_many("the queue is full", min(60, self._usual_s * self.open / self._parallel))
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a processing slot, first come, first served."""
        async with self._slots:
            self.running += 1
            started = time.perf_counter()
            try:
                yield
            finally:
                self.running -= 1
                self._usual_s += 0.1 * (time.perf_counter() - started - self._usual_s)


class Rates:
    """Rate limits per key across all worker processes: GCRA, with one number per key in shared memory.

    A key may spend a whole minute's requests at once; after that it gets one request every 60 / per_minute seconds.

    Args:
        descriptor: a file of `SIZE` bytes that the workers share; None keeps the numbers in this process.
        clock: the time in seconds.
    """

    PLACES = 16384
    SIZE = PLACES * 16

    def __init__(self, descriptor: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = descriptor
        self._clock = clock
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, self.SIZE)

    def wait_s(self, key: str, per_minute: int) -> float:
        """Counts a request and returns 0 if the key may make it now; else how long to wait. Seconds."""
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
        """The offset of the key's number. Keys without requests for a minute give up their place."""
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
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    return type("Protocol", (Headed, AutoHTTPProtocol), {})
