"""The writer of the audit log: one thread per process that commits all queued entries as one group.

A group waits for the disk once, however many entries it has, so throughput grows with the load. Several processes can
append to one chain: the row of the head (PostgreSQL) or the write lock (SQLite) keeps them in order. If the database
fails, all callers in the group get the error. The next group tries again, so the writer recovers with the database.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError

from inhouse.errors import BackendError, InhouseError
from inhouse.store.budgets import Settlement, settle
from inhouse.store.chain import append, head_of
from inhouse.store.ledger import Ledger, bounded
from inhouse.store.tables import SESSIONS

GROUP = 500  # maximum entries per commit
FRESH_S = 2.0  # a commit within this time shows that the log can be written
PROBE = {"digest": "probe", "key": "", "at_ms": 0, "seen_ms": 0, "until_ms": 0, "content": " " * 16_000}
MOST_WAITING = 20_000

Result = int | Exception


@dataclass(frozen=True, eq=False)
class Waiting:
    entry: Callable[[], dict[str, Any]]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[int]
    settlement: Settlement | None = None


class Writer:
    """The thread that appends to the audit log of a ledger. It starts with the first entry."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.trouble = ""
        self._written_at = -FRESH_S

    def check(self) -> None:
        """Looks for the database's file, then writes and erases a row as large as an entry, unless a commit succeeded
        just now.

        Raises:
            BackendError: the database cannot be written.
        """
        try:
            self._ledger.check()
            if not self.trouble and time.monotonic() - self._written_at < FRESH_S:
                return
            with self._ledger.write() as connection:
                bounded(connection)
                connection.execute(SESSIONS.insert(), PROBE)
                connection.execute(SESSIONS.delete().where(SESSIONS.c.digest == PROBE["digest"]))
        except BackendError as error:
            self.trouble = str(error)
            raise
        self.trouble, self._written_at = "", time.monotonic()

    def put(self, entry: Callable[[], dict[str, Any]], settlement: Settlement | None = None) -> asyncio.Future[int]:
        """Queues an entry, which the thread makes, with what is settled in the same transaction. The future gets its
        number or the error.

        Cancelling the future does not stop the write.

        Raises:
            BackendError: too many entries are queued, or the writer is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        with self._lock:
            if self._closed:
                raise BackendError("the audit log is closed", "the server is stopping")
            if self._queue.qsize() >= MOST_WAITING:
                hint = "check that the disk of the database is fast enough"
                raise BackendError(f"{MOST_WAITING} entries are waiting for the audit log", hint)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()
            self._queue.put(Waiting(entry, loop, future, settlement))
        return future

    def close(self) -> None:
        """Writes what is queued and stops the thread."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            try:
                results = self._commit(group)
            except Exception as error:  # of any kind: callers must get it, and the thread must continue
                failed = BackendError(f"the audit log could not be written ({type(error).__name__})")
                failed.__cause__ = error
                self.trouble = str(failed)
                results = [failed] * len(group)
            _return(group, results)

    def _take(self) -> list[Waiting]:
        """Waits for an entry and takes all that are queued; an empty group stops the writer."""
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
        entries: list[dict[str, Any] | Exception] = []
        for waiting in group:
            try:
                entries.append(waiting.entry())
            except Exception as error:  # only of this entry
                entries.append(error)
        pairs = zip(entries, (waiting.settlement for waiting in group), strict=True)
        numbers = iter(self._append([(entry, with_it) for entry, with_it in pairs if isinstance(entry, dict)]))
        return [next(numbers) if isinstance(entry, dict) else entry for entry in entries]

    def _append(self, entries: list[tuple[dict[str, Any], Settlement | None]]) -> list[Result]:
        if not entries:
            return []
        try:
            with self._ledger.write() as connection:
                bounded(connection)
                last = append(connection, head_of(connection), [entry for entry, _ in entries])
                if settlements := [settlement for _, settlement in entries if settlement]:
                    settle(connection, settlements)
        except BackendError as error:
            if isinstance(error.__cause__, IntegrityError | DataError):
                if len(entries) > 1:  # one rejected entry must not fail the others
                    return [result for entry in entries for result in self._append([entry])]
            else:
                self.trouble = str(error)
            return [error] * len(entries)
        self.trouble, self._written_at = "", time.monotonic()
        return list(range(last - len(entries) + 1, last + 1))


def _return(group: list[Waiting], results: list[Result]) -> None:
    """Sets the result of each future in its event loop, with one call per loop because each call wakes it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Result]]] = defaultdict(list)
    for waiting, result in zip(group, results, strict=True):
        by_loop[waiting.loop].append((waiting.future, result))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, pairs)
        except RuntimeError:  # the loop is closed, so nobody is waiting
            continue


def _deliver(pairs: list[tuple[asyncio.Future[int], Result]]) -> None:
    for future, result in pairs:
        if future.done():  # the caller is gone
            continue
        if isinstance(result, int):
            future.set_result(result)
        else:
            future.set_exception(_copy(result))


def _copy(error: Exception) -> Exception:
    """A copy for one caller: one error raised in several tasks would collect all their tracebacks."""
    if not isinstance(error, InhouseError):
        return error
    copy = type(error)(str(error), error.hint)
    copy.__cause__ = error.__cause__
    return copy
