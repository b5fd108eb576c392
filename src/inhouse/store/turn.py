"""A queue of the threads and processes that want to write to a SQLite file.

SQLite allows one writer at a time. Others retry at growing intervals, up to 0.1 s, while a busy process takes the lock
again in between: with two processes at 100 appends per second each, some appends waited a second. So writers queue
here first. Two file locks make the queue: the holder of `.next` writes next, and the holder of `.now` writes. A process
that has just written has to get `.next` again. The system frees both locks when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inhouse.errors import BackendError

LOOK_S = 0.0005


class Turn:
    """The queue of writers to `file`, with its lock files next to it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._threads = threading.Lock()
        self._next, self._now = _opened(file, ".next"), _opened(file, ".now")

    @contextmanager
    def taken(self, wait_s: float) -> Iterator[None]:
        """Waits for a turn and holds it.

        Raises:
            BackendError: the turn did not come within `wait_s`.
        """
        until = time.monotonic() + wait_s
        with ExitStack() as turn:
            if not self._threads.acquire(timeout=wait_s):
                raise self._late(wait_s)
            turn.callback(self._threads.release)
            with ExitStack() as line:
                for lock, till in ((self._next, line), (self._now, turn)):
                    while not _locked(lock):
                        if time.monotonic() > until:
                            raise self._late(wait_s)
                        time.sleep(LOOK_S)
                    till.callback(fcntl.flock, lock, fcntl.LOCK_UN)
            yield

    def close(self) -> None:
        os.close(self._next)
        os.close(self._now)

    def _late(self, wait_s: float) -> BackendError:
        hint = "check whether another inhouse process hangs or the disk is slow"
        return BackendError(f"{self._file}: other processes have kept it locked for {wait_s:g} s", hint)


def _opened(file: Path, suffix: str) -> int:
    beside = file.with_name(file.name + suffix)
    try:
        return os.open(beside, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise BackendError(f"{beside}: cannot be opened ({error.strerror})", "make its folder writable") from error


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
