"""An engine as a supervised child process: restarted when it dies, hangs, or uses too much memory.

The engine is any program that serves an OpenAI-compatible API on a loopback port. Whatever happens to it, the parent
lives on: a crash or a request that never ends costs the answers in progress, and the next ones wait for the new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from inhouse import process
from inhouse.errors import BackendError, InhouseError, RestartingError
from inhouse.types import Json, Silent

CHECK_S = 1.0  # between two looks at the process
START_S = 600.0  # for loading the weights
SLOW_S = 8.0  # without an answer to the probe and without a token, until it counts as not ready
STALL_S = 30.0  # and until it is restarted
SLOWER = 8  # times the longest wait for a probe that was answered, on slow machines
WAIT_S = 15.0  # that a request waits for a process that is being restarted
DYING_S = 2.0  # between the end of the connections and the end of the process
TOO_SOON_S = 30.0  # a process that dies sooner is restarted with a pause
PAUSES_S = (1.0, 5.0, 30.0)
LIVELY = {"OMP_WAIT_POLICY": "passive", "MALLOC_ARENA_MAX": "2"}  # threads that wait sleep; freed memory is returned
log = logging.getLogger("inhouse.gateway")


class Watched:
    """An engine's server, and what is known of it: whether it answers, and when it last did."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = ""
        self.trouble = ""  # why it does not answer now; "" if it does
        self.slow = ""  # the same, where it may still recover
        self.running = 0  # requests
        self.hung = False  # whether the last process was ended for not answering
        self._heard = self._said = time.monotonic()
        self._closed, self._look = threading.Event(), threading.Event()

    def heard(self) -> None:
        """Notes that the process has just sent a part of an answer."""
        self._heard = self._said = time.monotonic()

    @property
    def quiet_s(self) -> float:
        """Seconds since it sent a part of an answer."""
        return time.monotonic() - self._said

    def lost(self) -> None:
        """Notes that a connection broke, so that the watcher looks at once."""
        self.trouble = self.trouble or "it stopped"
        self._look.set()

    async def ready(self) -> None:
        """Waits for a process that is being restarted.

        Raises:
            RestartingError: it takes too long.
        """
        until = time.monotonic() + WAIT_S
        while self.trouble:
            if time.monotonic() > until or self._closed.is_set():
                raise RestartingError(f"{self.name}: {self.trouble}", "try again in a moment")
            await asyncio.sleep(0.05)


class Supervised(Watched):
    """One child process, and the thread that watches it.

    Args:
        module: whose `work` serves, and sends the event `ready` with its `url` once it does.
        job: for `work`.
        name: what errors and the log call it.
        probe: asks the process at this URL, within so many seconds, for something that it answers only while it works.
        most_mb: memory, beyond that of the process when it is ready, at which it is restarted.
        environment: variables of the process.
        group: whether it has children, which end with it and whose memory counts.
        started: called with the URL each time that the process is ready, before it counts as working.

    Raises:
        InhouseError: the process does not start; the error is its own.
    """

    def __init__(
        self, module: str, job: Json, name: str, probe: Callable[[str, float], None], most_mb: float,
        environment: Mapping[str, str] | None = None, group: bool = False,
        started: Callable[[str], None] = lambda url: None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        self.stall_s = STALL_S
        self._module, self._job, self._probe, self._most_mb = module, job, probe, most_mb
        self._environment, self._group = {**LIVELY, **(environment or {})}, group
        self._started = started
        self._child: subprocess.Popen[str] | None = None
        self._start()
        self._watcher = threading.Thread(target=self._watch, name="engine watcher", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    def close(self) -> None:
        """Ends the process at once."""
        self._closed.set()
        self._look.set()
        self.trouble = "closed"
        self._end()

    def memory_mb(self) -> float:
        """Resident memory of the process and its children; 0 where the system does not tell."""
        pages = 0
        for pid in tree(self.pid) if self._group else [self.pid]:
            with suppress(OSError, ValueError, IndexError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _start(self) -> None:
        child = self._child = process.start(self._module, self._job, self._environment, group=self._group)
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill(child)

        limit = threading.Timer(START_S, give_up)
        limit.daemon = True
        limit.start()
        try:
            facts = process.follow(child, Silent())
            if facts is not None:
                self._started(str(facts["url"]))
        except BaseException:
            self._end()
            raise
        finally:
            limit.cancel()
        if facts is None:
            self._end()
            if late.is_set():
                hint = "the machine is too busy or short of memory: stop other programs, then try again"
                raise BackendError(f"{self.name} did not start within {START_S:g} s", hint)
            raise BackendError(*process.death(self.name, child.returncode))
        self.url = str(facts["url"])
        self._began = time.monotonic()
        self._first_mb = self.memory_mb()
        self.heard()
        self.slow = ""
        if not self._closed.is_set():
            self.trouble = ""

    def _end(self) -> None:
        if child := self._child:
            process.kill(child)
            process.stop([child])

    def _watch(self) -> None:
        deaths = 0
        while not self._closed.is_set():
            self._look.wait(CHECK_S)
            self._look.clear()
            why = self._sick()
            if not why:
                self.trouble = "closed" if self._closed.is_set() else ""
                continue
            deaths = deaths + 1 if time.monotonic() - self._began < TOO_SOON_S else 0
            while why and not self._closed.is_set():
                self.trouble = why
                log.error("an engine is restarted", extra={"facts": {"engine": self.name, "reason": why}})
                self._end()
                if deaths and self._closed.wait(PAUSES_S[min(deaths, len(PAUSES_S)) - 1]):
                    return
                try:
                    self._start()
                    why = ""
                except InhouseError as error:
                    why, deaths = str(error), deaths + 1
        self._end()

    def _sick(self) -> str:
        """Why the process must be replaced; "" if it need not be."""
        assert self._child is not None
        if self._child.poll() is not None:
            return self._dead()
        grown = self.memory_mb() - self._first_mb
        if grown > self._most_mb and (not self.running or grown > 2 * self._most_mb):
            return f"it uses {grown:,.0f} MB more than at its start, at most {self._most_mb:,.0f} are allowed"
        began = time.monotonic()
        try:
            self._probe(self.url, min(self.stall_s, SLOW_S))
            self._heard = time.monotonic()
            self.slow = ""
            self.stall_s = max(self.stall_s, SLOWER * (time.monotonic() - began))
        except httpx.TimeoutException:
            quiet_s = time.monotonic() - self._heard
            self.slow = f"it has not answered for {quiet_s:.0f} s" if quiet_s >= min(self.stall_s, SLOW_S) else ""
            if quiet_s >= self.stall_s:
                self.hung = True
                return self.slow
        except httpx.HTTPError as error:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(DYING_S)
                return self._dead()
            return f"it does not accept connections ({type(error).__name__})"
        return ""

    def _dead(self) -> str:
        assert self._child is not None
        self.hung = False
        return process.death("it", self._child.returncode)[0]


def tree(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, thread.read_text().split())
    return found
