"""Who appends to the audit: one thread a process commits whatever waits as one group.

A group waits for the disk once, however many entries it has, so the rate grows with the load. The head's row
(PostgreSQL) or the write lock (SQLite) lets several processes append to one chain. When the database fails, those that
wait are told so; the next group tries anew, and so the writer recovers when the database does.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy.exc import DataError, IntegrityError

from inhouse.chat import Exchange
from inhouse.errors import BackendError, InhouseError
from inhouse.store.chain import append, entry_of, head_of
from inhouse.store.ledger import Ledger, bounded

GROUP = 500  # most entries of one commit
MOST_WAITING = 20_000

Result = int | Exception


@dataclass(frozen=True, eq=False)
class Waiting:
    exchange: Exchange
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[int]


class Writer:
    """The thread that appends to a ledger's audit; it starts with the first entry."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.trouble = ""

    def put(self, exchange: Exchange) -> asyncio.Future[int]:
        """Queues an exchange; the future gets its number or the error. It is written even when the future is cancelled.

        Raises:
            BackendError: too many wait, or the writer is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        with self._lock:
            if self._closed:
                raise BackendError("the audit is closed", "the server is stopping")
            if self._queue.qsize() >= MOST_WAITING:
                raise BackendError(f"{MOST_WAITING} exchanges wait for the audit", "see that its disk keeps up")
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
            self._queue.put(Waiting(exchange, loop, future))
        return future

    def close(self) -> None:
        """Writes what waits and ends the thread."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            try:
                results = self._commit(group)
            except Exception as error:  # whatever it is, those that wait must hear of it and the thread go on
                failed = BackendError(f"the audit could not be written ({type(error).__name__})")
                failed.__cause__ = error
                self.trouble = str(failed)
                results = [failed] * len(group)
            _tell(group, results)

    def _take(self) -> list[Waiting]:
        """Waits for an entry, and takes all that are there; nothing when the writer is to end."""
        group: list[Waiting] = []
        try:
            while len(group) < GROUP:
                entry = self._queue.get() if not group else self._queue.get_nowait()
                if entry is None:
                    if group:
                        self._queue.put(None)
                    break
                group.append(entry)
        except queue.Empty:
            pass
        return group

    def _commit(self, group: list[Waiting]) -> list[Result]:
        entries: list[dict[str, object] | Exception] = []
        for waiting in group:
            try:
                entries.append(entry_of(waiting.exchange))
            except Exception as error:  # of this one alone
                entries.append(error)
        good = [entry for entry in entries if isinstance(entry, dict)]
        numbers = iter(self._append(good))
        return [next(numbers) if isinstance(entry, dict) else entry for entry in entries]

    def _append(self, entries: list[dict[str, object]]) -> list[Result]:
        if not entries:
            return []
        try:
            with self._ledger.write() as connection:
                bounded(connection)
                last = append(connection, head_of(connection), entries)
        except BackendError as error:
            if isinstance(error.__cause__, IntegrityError | DataError):
                if len(entries) > 1:  # one that the database refuses must not take the others with it
                    return [result for entry in entries for result in self._append([entry])]
            else:
                self.trouble = str(error)
            return [error] * len(entries)
        self.trouble = ""
        return list(range(last - len(entries) + 1, last + 1))


def _tell(group: list[Waiting], results: list[Result]) -> None:
    """Gives each future its result, in its own loop: one call a loop, as each call wakes it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Result]]] = defaultdict(list)
    for waiting, result in zip(group, results, strict=True):
        by_loop[waiting.loop].append((waiting.future, result))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, pairs)
        except RuntimeError:  # the loop is closed, so nobody waits
            continue


def _deliver(pairs: list[tuple[asyncio.Future[int], Result]]) -> None:
    for future, result in pairs:
        if future.done():  # its caller has gone
            continue
        if isinstance(result, int):
            future.set_result(result)
        else:
            future.set_exception(_own(result))


def _own(error: Exception) -> Exception:
    """An error for one caller alone: raised in several tasks, one would gather all their tracebacks."""
    if not isinstance(error, InhouseError):
        return error
    own = type(error)(str(error), error.hint)
    own.__cause__ = error.__cause__
    return own
