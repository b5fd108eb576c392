"""Which of an engine's slots answers a request, so that nobody learns from its speed what others asked.

A slot keeps the processed prompt of its last request, and the next request in it reuses what both begin with. That
shows in the time and in the reported number of cached tokens, so only requests of the same scope may reuse it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Slot:
    id: int
    scope: str | None = None  # of its last request; None if there was none
    prompt: str = ""  # of its last request


class Slots:
    """The slots of one engine, for requests of any thread's event loop, first come, first served."""

    def __init__(self, count: int) -> None:
        self._free = [Slot(n) for n in range(count)]  # the least recently used first
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()

    @asynccontextmanager
    async def taken(self, scope: str, prompt: str) -> AsyncIterator[tuple[int, bool]]:
        """The number of a slot, and whether what it holds may be reused."""
        while (slot := self._take(scope, prompt)) is None:
            loop = asyncio.get_running_loop()
            place = (loop, loop.create_future())
            with self._lock:
                self._waiting.append(place)
            try:
                await place[1]
            except asyncio.CancelledError:
                self._next()  # it may have been woken just now
                raise
            finally:
                with self._lock:
                    if place in self._waiting:
                        self._waiting.remove(place)
        own, slot.scope, slot.prompt = slot.scope == scope, scope, prompt
        try:
            yield slot.id, own
        finally:
            with self._lock:
                self._free.append(slot)
            self._next()

    def _take(self, scope: str, prompt: str) -> Slot | None:
        """A free slot: the one of this scope with the longest common beginning, else the least recently used."""
        with self._lock:
            if not self._free:
                return None
            best = max(self._free, key=lambda s: _common(s.prompt, prompt) if s.scope == scope else 0)
            self._free.remove(best)
            return best

    def _next(self) -> None:
        with self._lock:
            while self._waiting:
                loop, woken = self._waiting.popleft()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_wake, woken)
                    return


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
