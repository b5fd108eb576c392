"""A lock that a child process holds too, so that it also tells whether a child is gone whose parent was killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.errors import BackendError


@contextmanager
def ended(file: Path, wait_s: float) -> Iterator[int]:
    """Waits until no process holds the lock, takes it, and yields its descriptor for the child to inherit.

    Raises:
        BackendError: a process still holds it after `wait_s` seconds.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    hint = "wait until that process has ended, then run the same command again"
                    raise BackendError(f"{file}: a process of an earlier run still holds it", hint) from error
                time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)
