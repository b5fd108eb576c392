"""The processes that check: a host, which builds the rails once, and its forks, which run them.

A fork takes milliseconds and shares the memory of the host, so one that hangs, crashes, or grows can be killed and
replaced at once. The host never runs a rail on a user's text. Requests and replies are lines of JSON: the host's on a
socket from `Pool`, a fork's on a socket that comes with the request for it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from inhouse.errors import InhouseError
from inhouse.guardrails.rail import Guard, Turn, checked
from inhouse.guardrails.runner import failure
from inhouse.types import Json, Passage

MEMORY_MB = 1024  # that a fork may allocate beside what it shares with the host
GROWN_MB = 384  # that a fork may keep; then it is replaced
CHECKS = 2000  # of one fork; then it is replaced
EXCHANGES = 16  # whose state a fork keeps beside what is JSON
THREADS = 8  # rails of a side that run at the same time
_PR_SET_PDEATHSIG = 1
Build = Callable[[Json], Sequence[Guard]]


def serve(control: socket.socket, build: Build) -> None:
    """Answers the requests of `Pool` until it closes the socket.

    Args:
        control: the socket.
        build: makes the rails of a set from its description.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the server ends its host itself
        signal.signal(number, signal.SIG_IGN)
    sets: dict[str, Sequence[Guard]] = {}
    while (request := _received(control)) is not None:
        asked, descriptors = request
        match asked:
            case {"load": key, "made_from": made_from}:
                _reply(control, _loaded(sets, key, made_from, build))
            case {"forget": key}:
                sets.pop(key, None)
                _reply(control, {})
            case {"fork": gone}:
                for pid in gone:  # only now may the system use their numbers again
                    with suppress(ChildProcessError):
                        os.waitpid(pid, 0)
                _reply(control, {"pid": _forked(control, descriptors[0], sets)})


def _loaded(sets: dict[str, Sequence[Guard]], key: str, made_from: Json, build: Build) -> Json:
    try:
        sets[key] = guards = build(made_from)
    except InhouseError as error:
        return {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    except Exception as error:
        traceback.print_exc()
        return {"error": "InhouseError", "message": f"the guardrails cannot be built ({error!r})", "hint": ""}
    gc.collect()
    gc.freeze()  # or the forks' garbage collection would copy the memory that they share
    return {"rules": [g.rules for g in guards]}


def _forked(control: socket.socket, descriptor: int, sets: Mapping[str, Sequence[Guard]]) -> int:
    """The process ID of a new fork, which serves the socket with that descriptor."""
    host = os.getpid()
    if pid := os.fork():
        os.close(descriptor)
        return pid
    try:
        control.close()
        _end_with(host)
        _limit_memory()
        _check_all(socket.socket(fileno=descriptor), sets)
    finally:
        os._exit(0)


def _check_all(channel: socket.socket, sets: Mapping[str, Sequence[Guard]]) -> None:
    """Checks until the socket closes."""
    sys.setswitchinterval(0.001)  # the rails of a side wait for each other's pure Python
    checker, began_mb = _Checker(channel), _resident_mb()
    with channel.makefile("rb") as lines:
        for count, line in enumerate(lines, 1):
            asked = json.loads(line)
            changes = checker.check(sets[asked["set"]], asked)
            grown = checker.out_of_memory or _resident_mb() - began_mb > GROWN_MB
            checker.send({"done": changes, "leaving": grown or count >= CHECKS})


class _Checker:
    """Runs the rails of one text after another, those of a side at the same time."""

    def __init__(self, channel: socket.socket) -> None:
        self.out_of_memory = False
        self._channel, self._sending = channel, threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS)
        self._states: OrderedDict[str, tuple[tuple[Passage, ...], dict[str, Any]]] = OrderedDict()

    def check(self, guards: Sequence[Guard], asked: Mapping[str, Json]) -> Json:
        """Sends each rail's result as it comes; returns what changed in the turn."""
        turn = Turn.from_json(asked["turn"])
        passages, kept = self._states.pop(turn.id, ((), {}))
        if passages == turn.passages:
            turn.state = kept | turn.state
        side, text, which = asked["side"], asked["text"], asked["which"]
        others = [self._threads.submit(self._run, n, guards[n], side, text, turn) for n in which[1:]]
        self._run(which[0], guards[which[0]], side, text, turn)
        wait(others)
        self._states[turn.id] = (turn.passages, turn.state)
        if len(self._states) > EXCHANGES:
            self._states.popitem(last=False)
        return turn.changes()

    def _run(self, number: int, guard: Guard, side: Any, text: str, turn: Turn) -> None:
        started = time.perf_counter()
        result: dict[str, Json] = {"rail": number}
        try:
            if finding := checked(guard.rail, side, text, turn):
                result["finding"] = finding.model_dump(mode="json", exclude_defaults=True)
        except Exception as error:
            result |= {"failed": failure(error), "trace": traceback.format_exc()}
            self.out_of_memory |= isinstance(error, MemoryError)
        self.send(result | {"spent_s": time.perf_counter() - started})

    def send(self, line: Json) -> None:
        with self._sending:
            self._channel.sendall(json.dumps(line).encode() + b"\n")


def _received(control: socket.socket) -> tuple[Json, list[int]] | None:
    """The next request and the descriptors that came with it; None once the socket is closed."""
    line, descriptors = b"", []
    while not line.endswith(b"\n"):
        data, new, *_ = socket.recv_fds(control, 65536, 1)
        if not data:
            return None
        line += data
        descriptors += new
    return json.loads(line), descriptors


def _reply(control: socket.socket, reply: Json) -> None:
    control.sendall(json.dumps(reply).encode() + b"\n")


def _end_with(host: int) -> None:
    """Lets the system kill this process when its host ends, however busy it is."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != host:  # it ended meanwhile
        os._exit(0)


def _limit_memory() -> None:
    import resource  # not on every system

    limit = (_status_kb("VmData") << 10) + (MEMORY_MB << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _resident_mb() -> int:
    """Memory that this process has for itself."""
    return _status_kb("RssAnon") >> 10


def _status_kb(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
