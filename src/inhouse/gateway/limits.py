"""Limits of the gateway: a queue that is fair to every key, rate limits per key, and time limits of connections."""

from __future__ import annotations

import asyncio
import hashlib
import math
import mmap
import struct
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from inhouse.gateway.errors import too_many
from inhouse.gateway.middleware import Timed

FADING_S = 45.0  # after which a second in a slot counts a third
FORGOTTEN_S = 0.05


@dataclass(eq=False)
class Place:
    """The place of one request in the queue."""

    key: str
    turn: asyncio.Future[None]  # done when it has a slot
    turns: int = 0  # before it, when it was admitted
    started: float = 0.0  # when it got a slot
    left: bool = False


class Queue:
    """At most `running` requests are processed at the same time, and `waiting` more wait in lines, one for each key.

    Free slots go to the lines in turn, so a key with many requests delays a request of another key by one turn only.
    Keys that had more than an equal share of the time in slots lately, as by a few long requests, have their turn after
    all others, and together at most half of the slots (or `per_key`), so that the next request of another key need not
    wait for theirs to end.
    When all places are taken, the newest request of the longest line gives way to a key with a shorter line.

    Args:
        running: number of slots.
        waiting: number of requests that may wait.
        per_key: number of slots that one key may have; 0 for three quarters of them, rounded up.
    """

    def __init__(self, running: int, waiting: int, per_key: int = 0) -> None:
        self.open = 0  # admitted requests, including those whose record is being written
        self.running = 0
        self._slots, self._waiting = running, waiting
        self._per_key = min(per_key or -(-3 * running // 4), running)
        self._for_over = per_key or max(1, running // 2)  # slots of all keys that are over their share
        self._places: Counter[str] = Counter()  # of each key, in lines and slots
        self._active: Counter[str] = Counter()  # slots of each key
        self._lines: dict[str, deque[Place]] = {}  # in the order of their next turns
        self._busy: set[Place] = set()  # those in slots
        self._spent: dict[str, tuple[float, float]] = {}  # seconds in slots, which fade, of each key; when it was added
        self._usual_s = 1.0  # moving average of the time in a slot

    @contextmanager
    def admitted(self, key: str) -> Iterator[Place]:
        """Admits a request to the line of its key.

        Raises:
            HttpError: 429 if the queue is full, with the estimated time until a place is free.
        """
        if self._places[key] >= self._per_key + self._waiting:
            raise self._full("this key has as many open requests as it may have", self._places[key])
        if self._places.total() >= self._slots + self._waiting and not self._displace(key):
            raise self._full("the queue is full", self._places.total())
        place = Place(key, asyncio.get_running_loop().create_future())
        self._places[key] += 1
        self.open += 1
        self._lines.setdefault(key, deque()).append(place)
        self._serve()
        place.turns = self.position(place)
        try:
            yield place
        finally:
            self.open -= 1
            self._leave(place)

    @asynccontextmanager
    async def slot(self, place: Place) -> AsyncIterator[None]:
        """Waits for a slot. The place in the queue is given back at the end.

        Raises:
            HttpError: 429 if the request had to give way to another key.
        """
        try:
            await place.turn
            yield
        finally:
            self._leave(place)

    def position(self, place: Place) -> int:
        """How many turns there are until the request gets a slot; 0 if it does not wait."""
        if place.started or place not in self._lines.get(place.key, ()):
            return 0
        ahead, before, over = self._lines[place.key].index(place), True, self._over()
        turns = ahead + 1
        for key, line in self._lines.items():
            if key == place.key:
                before = False
            elif (key in over) == (place.key in over):
                turns += min(len(line), ahead + before)
            elif place.key in over:
                turns += len(line)
        return turns

    @property
    def spare(self) -> bool:
        """Whether a slot is free that nobody waits for."""
        return self.running < self._slots and not self._lines

    def wait_s(self, turns: int) -> float:
        """The estimated time until so many turns have passed. Seconds."""
        return min(60.0, self._usual_s * turns / self._slots)

    def _full(self, why: str, places: int) -> Exception:
        wait_s = self.wait_s(places)
        return too_many(f"{why} ({places}); try again in about {max(1, round(wait_s))} s", wait_s)

    def _displace(self, key: str) -> bool:
        """Ends the newest waiting request of the longest line, if that line is longer than the key's will be."""
        longest = max(self._lines.values(), key=len, default=deque[Place]())
        if len(longest) < len(self._lines.get(key, ())) + 2:
            return False
        last = longest[-1]
        self._leave(last)
        if not last.turn.done():
            last.turn.set_exception(self._full("the queue is full, and this key has the most requests", len(longest)))
        return True

    def _serve(self) -> None:
        """Gives free slots to the lines."""
        while self._lines and self.running < self._slots:
            over = self._over()
            full = sum(self._active[key] for key in over) >= self._for_over
            may = [k for k in self._lines if self._active[k] < self._per_key and not (full and k in over)]
            if not may:
                return
            key = min(may, key=over.__contains__)
            line = self._lines.pop(key)
            place = line.popleft()
            if line:
                self._lines[key] = line
            self.running += 1
            self._active[key] += 1
            place.started = time.perf_counter()
            self._busy.add(place)
            if not place.turn.done():
                place.turn.set_result(None)

    def _leave(self, place: Place) -> None:
        if place.left:
            return
        place.left, key = True, place.key
        _less(self._places, key)
        if place.started:
            self.running -= 1
            _less(self._active, key)
            self._busy.discard(place)
            seconds, now = time.perf_counter() - place.started, time.perf_counter()
            self._usual_s += 0.1 * (seconds - self._usual_s)
            self._spent[key] = (self._faded(key, now) + FADING_S * (1 - math.exp(-seconds / FADING_S)), now)
            self._serve()
        elif place in (line := self._lines.get(key, deque())):
            line.remove(place)
            if not line:
                del self._lines[key]

    def _over(self) -> frozenset[str]:
        """The keys that had more than an equal share of the time in slots lately."""
        now = time.perf_counter()
        self._spent = {key: spent for key, spent in self._spent.items() if self._faded(key, now) >= FORGOTTEN_S}
        used = {key: self._faded(key, now) for key in self._spent}
        for place in self._busy:
            used[place.key] = used.get(place.key, 0.0) + FADING_S * (1 - math.exp((place.started - now) / FADING_S))
        share = self._slots * FADING_S / max(len(used.keys() | self._lines.keys()), 1)
        return frozenset(key for key, seconds in used.items() if seconds > share)

    def _faded(self, key: str, now: float) -> float:
        seconds, at = self._spent.get(key, (0.0, now))
        return seconds * math.exp((at - now) / FADING_S)


def _less(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


class Rate(NamedTuple):
    """How a key stands with its rate limit after a request."""

    limit: int  # in the period
    remaining: int
    reset_s: float  # until all of them are available again
    wait_s: float = 0.0  # until what was asked for is available; 0 if it was


class Rates:
    """Rate limits per key across all worker processes: GCRA, with one number per key in shared memory.

    A key may spend all requests of a period at once; after that it gets one every period / number of seconds.

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

    def take(self, key: str, most: int, count: int = 1, within_s: float = 60) -> Rate:
        """Counts a request, or so many units of another kind, unless the key has had its `most` in that time."""
        digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") | 1
        self._lock(True)
        try:
            place = self._place(digest)
            now, step = self._clock(), within_s / most
            due = max(struct.unpack_from("<d", self._memory, place + 8)[0], now)
            after_s = due + step * min(count, most) - now
            if after_s > within_s + 1e-6:
                return Rate(most, 0, due - now, after_s - within_s)
            struct.pack_into("<Qd", self._memory, place, digest, now + after_s)
            return Rate(most, int((within_s - after_s) / step + 1e-6), after_s)
        finally:
            self._lock(False)

    def _place(self, digest: int) -> int:
        """The offset of the key's number. Keys that have all their requests again give up their place."""
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
    """The fastest HTTP protocol of uvicorn on this machine, with time limits of its connections."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    return type("Protocol", (Timed, AutoHTTPProtocol), {})
