"""A Runner in other processes, where a check can be stopped: what hangs, crashes, or takes too much memory is killed.

A `Pool` has one host process (see `host`), which holds the rails of everything that is served, and forks of it that
check. Each fork has one text at a time, with all rails of a side, so killing it ends no other check. Linux only:
elsewhere a process cannot be forked safely.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from inhouse import errors, process
from inhouse.errors import BackendError, InhouseError, RestartingError
from inhouse.guardrails.rail import Finding, Rules, Side, Turn
from inhouse.guardrails.runner import TIMED_OUT, Result
from inhouse.text.cache import Recent
from inhouse.types import Json, canonical_json, digest_of

AVAILABLE = sys.platform == "linux"
LOAD_S = 300.0  # for the host to build the rails of a set, on a busy machine
FORK_S = 30.0  # for the host to make a process
CHECK_S = 0.5  # between two looks at the host
DYING_S = 2.0  # between the end of the connection and the end of the host
TOO_SOON_S = 30.0  # a host that ends sooner is restarted with a pause
PAUSES_S = (1.0, 5.0, 30.0)
CORES = os.cpu_count() or 1
PATIENCE_S = 0.5  # before one more process than there are cores is made
EXCHANGES = 1000  # whose process is remembered
TRIES = 2  # of a check whose process ended by itself, or was killed from outside
DIED = "failed (its process ended)"
HOST = "the process of the guardrails"
# A library's own threads would be missing in a fork.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
               "MALLOC_ARENA_MAX": "2"}  # fmt: skip
log = logging.getLogger(__name__)


class Pool:
    """The processes that check, started when first needed. Safe to use from several threads.

    Args:
        module: its `work` builds the rails in the host and calls `host.serve`.
        most: processes that check at the same time.
    """

    def __init__(self, module: str, most: int) -> None:
        self._module = module
        self._sets: dict[str, Json] = {}  # what each set of rails is made from
        self._rules: dict[str, tuple[Rules, ...]] = {}
        self._holders: Counter[str] = Counter()
        self._host: subprocess.Popen[str] | None = None
        self._control: socket.socket | None = None
        self._began = 0.0  # when the host had loaded all sets
        self._trouble = ""  # since when the host was lost until it is replaced
        self._closed, self._look = threading.Event(), threading.Event()
        self._watcher: threading.Thread | None = None
        self._generation = 0  # of the forks: those before it lack a set
        self._living: set[_Fork] = set()
        self._coming = 0  # processes that are being made
        self._free: list[_Fork] = []  # of these; the last one was used last
        self._homes: Recent[_Fork] = Recent(EXCHANGES)  # the process that last had an exchange
        self._gone: list[int] = []  # process IDs that the host still keeps
        self._asking, self._choosing = threading.RLock(), threading.Condition(threading.Lock())
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="rails")  # so there are never more forks than that

    @property
    def trouble(self) -> str:
        """Why nothing can be checked now; "" if it can."""
        host = self._host
        if self._trouble or not self._sets or host is None or host.poll() is None:
            return self._trouble
        return process.death(HOST, host.returncode)[0]

    def open(self, made_from: Json) -> Pooled:
        """The rails of a set, built in the host from a description; the same set is built once.

        Raises:
            InhouseError: the error of building them.
            BackendError: the processes cannot be started.
        """
        key = digest_of(made_from)
        with self._asking:
            if key not in self._sets:
                if not self._sets:
                    self._start()
                self._load(key, made_from)
                self._sets[key] = made_from
                self._retire()
            self._holders[key] += 1
            return Pooled(self, key, self._rules[key])

    def forget(self, key: str) -> None:
        """Gives a set back; the last holder's ends it, and with the last set the processes end."""
        with self._asking:
            self._holders[key] -= 1
            if self._holders[key]:
                return
            del self._sets[key], self._rules[key]
            if not self._sets:
                self._stop()
            else:
                with suppress(RestartingError):  # the next host does not load it
                    self._ask({"forget": key}, FORK_S)

    def close(self) -> None:
        """Ends the processes, whoever still uses them."""
        self._closed.set()
        self._look.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if host := self._host:  # whoever waits for it holds the lock
            host.kill()
        with self._asking:
            self._stop()

    async def run(self, asked: Mapping[str, Json], turn: Turn, limit_s: float) -> tuple[dict[int, Json], Json]:
        """Checks a text: the answers by rail, and what changed in the turn. After `limit_s` the check is stopped.

        Raises:
            RestartingError: the host is being restarted.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._check, asked, turn, limit_s)

    def _check(self, asked: Mapping[str, Json], turn: Turn, limit_s: float) -> tuple[dict[int, Json], Json]:
        line = json.dumps({**asked, "turn": turn.to_json()}).encode() + b"\n"
        answers: dict[int, Json] = {}
        for _ in range(TRIES):
            fork = self._taken(turn.id)
            answers, last = fork.check(line, limit_s)
            if last.get("leaving", True):
                self._bury(fork)
            else:
                self._put_back(fork)
            if "died" not in last:
                return answers, last.get("done", {})
            log.warning("a process of the guardrails ended in the middle of a check")
        return answers, {"failed": DIED}

    # --- forks --------------------------------------------------------------------------------------------------

    def _taken(self, exchange: str) -> _Fork:
        """The process that has the exchange, or else the free one that was used last, or a new one.

        Each process has caches that have to fill, so there are more than CORES only while some are stuck.
        """

        def chosen() -> bool:
            home = self._homes.get(exchange)
            return (
                home in self._free
                if home in self._living
                else bool(self._free) or len(self._living) + self._coming < CORES
            )

        with self._choosing:
            self._choosing.wait_for(chosen, PATIENCE_S)
            home = self._homes.get(exchange)
            fork = home if home in self._free else self._free[-1] if self._free else None
            if fork:
                self._free.remove(fork)
                self._homes[exchange] = fork
                return fork
            self._coming += 1
        try:
            fork = self._forked()
        finally:
            with self._choosing:
                self._coming -= 1
        self._homes[exchange] = fork
        return fork

    def _put_back(self, fork: _Fork) -> None:
        with self._choosing:
            if fork.generation == self._generation:
                self._free.append(fork)
                self._choosing.notify_all()
                return
        self._bury(fork)

    def _retire(self) -> None:
        """Lets processes go that lack a set: the free ones now, others after their check."""
        with self._choosing:
            self._generation += 1
            old, self._free = self._free, []
        for fork in old:
            self._bury(fork)

    def _bury(self, fork: _Fork) -> None:
        fork.channel.close()
        with self._choosing:
            self._living.discard(fork)
            self._choosing.notify_all()
            if self._host is fork.host and fork.host.poll() is None:  # else the system ended it with its host
                with suppress(ProcessLookupError):
                    os.kill(fork.pid, signal.SIGKILL)
                self._gone.append(fork.pid)

    def _forked(self) -> _Fork:
        """
        Raises:
            RestartingError: the host has ended, or builds rails.
        """
        if self.trouble or not self._asking.acquire(timeout=FORK_S):
            raise RestartingError(self.trouble or f"{HOST} is busy", "try again in a moment")
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    with self._choosing:
                        gone, self._gone = self._gone, []
                    pid = self._ask({"fork": gone}, FORK_S, [theirs.fileno()])["pid"]
                except BaseException:
                    ours.close()
                    raise
            assert self._host is not None
            fork = _Fork(pid, ours, self._host, self._generation)
            with self._choosing:
                self._living.add(fork)
            return fork
        finally:
            self._asking.release()

    # --- the host -----------------------------------------------------------------------------------------------

    def _load(self, key: str, made_from: Json) -> None:
        rules = self._ask({"load": key, "made_from": made_from}, LOAD_S)["rules"]
        self._rules[key] = tuple(Rules(*rule) for rule in rules)

    def _ask(self, request: Json, limit_s: float, descriptors: Sequence[int] = ()) -> Json:
        """The host's reply to a request.

        Raises:
            RestartingError: the host has ended or does not answer, and is being restarted.
            InhouseError: the error of the host.
        """
        if self._closed.is_set():
            raise BackendError("the server is stopping")
        if self._control is None:
            raise RestartingError(self._trouble, "try again in a moment")
        try:
            self._control.settimeout(limit_s)
            line = canonical_json(request).encode() + b"\n"
            sent = socket.send_fds(self._control, [line], list(descriptors))
            self._control.sendall(line[sent:])
            reply = b""
            while not reply.endswith(b"\n"):
                if not (data := self._control.recv(65536)):
                    raise ConnectionError("the process ended")
                reply += data
        except OSError as error:  # also a time-out
            raise self._lost(error, limit_s) from error
        match json.loads(reply):
            case {"error": name, "message": message, "hint": hint}:
                raise getattr(errors, name, InhouseError)(message, hint)
            case answer:
                return answer

    def _lost(self, error: OSError, limit_s: float) -> BackendError:
        """Gives up a host that ended or does not answer, so that the watcher starts another if anything needs it."""
        assert self._host is not None
        why = f"{HOST} did not answer within {limit_s:.0f} s"
        hint = "the machine is too busy or short of memory: stop other programs, then try again"
        if not isinstance(error, TimeoutError):
            with suppress(subprocess.TimeoutExpired):
                why, hint = process.death(HOST, self._host.wait(DYING_S))
        self._trouble = why if self._sets else ""
        self._stop()
        self._look.set()
        return (RestartingError if self._sets else BackendError)(why, hint)

    def _start(self) -> None:
        """Starts the host and loads the sets into it that were loaded before."""
        self._stop()
        ours, theirs = socket.socketpair()
        with theirs:
            self._host = process.start(
                self._module, {"control": theirs.fileno()}, ENVIRONMENT, follows=False, descriptors=[theirs.fileno()]
            )
        self._control = ours
        for key, made_from in self._sets.items():
            self._load(key, made_from)
        self._began = time.monotonic()
        if not self._watcher:
            self._watcher = threading.Thread(target=self._watch, name="guardrails watcher", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        """Restarts the host when it has ended, so that no question has to wait for its rails to be built."""
        deaths = 0
        while not self._closed.is_set():
            self._look.wait(CHECK_S)
            self._look.clear()
            if not (why := self.trouble):
                continue
            deaths = deaths + 1 if time.monotonic() - self._began < TOO_SOON_S else 0
            while why and not self._closed.is_set():
                self._trouble = why
                log.error("the guardrails are restarted", extra={"facts": {"reason": why}})
                if deaths and self._closed.wait(PAUSES_S[min(deaths, len(PAUSES_S)) - 1]):
                    return
                why = self._restarted()
                deaths += bool(why)

    def _restarted(self) -> str:
        """Restarts the host if anything needs it; returns why that failed, "" if it did not."""
        with self._asking:
            try:
                if self._sets:
                    self._start()
            except InhouseError as error:
                return str(error)
            self._trouble = ""
            return ""

    def _stop(self) -> None:
        self._retire()
        host, self._host, control, self._control = self._host, None, self._control, None
        self._gone.clear()
        if control:
            control.close()
        if host:
            host.kill()  # it holds nothing but memory; the system ends its forks with it
            process.stop([host])


class Pooled:
    """A Runner in the processes of a pool."""

    def __init__(self, pool: Pool, key: str, rules: Sequence[Rules]) -> None:
        self.rules = tuple(rules)
        self._pool, self._key = pool, key

    async def run(self, which: Sequence[int], side: Side, text: str, turn: Turn) -> list[Result]:
        """
        Raises:
            RestartingError: the processes are being restarted, so nothing can be checked.
        """
        asked = {"set": self._key, "which": list(which), "side": side, "text": text}
        limit_s, started = max(self.rules[n].timeout_s for n in which), time.perf_counter()
        try:
            answers, changes = await self._pool.run(asked, turn, limit_s)
        except RestartingError:
            raise
        except InhouseError as error:
            log.error("the guardrails cannot run: %s", error)
            answers, changes = {}, {"failed": DIED}
        failed = changes.pop("failed", TIMED_OUT)
        turn.change(changes)
        missing = {"failed": failed, "spent_s": time.perf_counter() - started}
        return [_result(answers.get(n, missing)) for n in which]

    def close(self) -> None:
        self._pool.forget(self._key)


class _Fork:
    """A process that checks, as the pool sees it."""

    def __init__(self, pid: int, channel: socket.socket, host: subprocess.Popen[str], generation: int) -> None:
        self.pid, self.channel, self.host, self.generation = pid, channel, host, generation
        self._rest = b""

    def check(self, line: bytes, limit_s: float) -> tuple[dict[int, Json], dict[str, Json]]:
        """The answers by rail, and the last line: with "done", or with "died"; empty after the limit."""
        answers: dict[int, Json] = {}
        until = time.monotonic() + limit_s
        try:
            self.channel.settimeout(limit_s)
            self.channel.sendall(line)
            while "rail" in (answer := self._line(until)):
                answers[answer["rail"]] = answer
            return answers, answer
        except TimeoutError:
            return answers, {}
        except OSError:
            return answers, {"died": True}

    def _line(self, until: float) -> dict[str, Json]:
        """
        Raises:
            OSError: there is none, as the process ended.
        """
        while b"\n" not in self._rest:
            self.channel.settimeout(max(until - time.monotonic(), 0.001))
            if not (data := self.channel.recv(65536)):
                raise ConnectionError("the process ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))


def _result(answer: Mapping[str, Json]) -> Result:
    finding = answer.get("finding")
    found = Finding.model_validate(finding) if finding else None
    return Result(found, answer["spent_s"], answer.get("failed", ""), answer.get("trace", ""))
