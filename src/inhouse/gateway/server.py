"""Server processes: a single one, or a parent that binds the socket and supervises several workers.

A worker that is asked to stop drains: it finishes running requests and refuses new ones with 503; asked twice, it stops
at once. A terminal that is closed (SIGHUP) asks too, unless the signal is ignored, as by nohup. Workers are new
interpreters that inherit the socket. Each opens its own engine and index, and ends when its parent is gone.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from inhouse.errors import BackendError, ConfigError
from inhouse.gateway.app import create_app
from inhouse.gateway.limits import Rates, protocol
from inhouse.gateway.logs import logged_as_json
from inhouse.gateway.metrics import SHARED
from inhouse.gateway.state import State

THREADS = 32
LINGER_S = 3  # for connections that stay open after all requests are answered
CLOSE_S = 5  # for closing threads, engines, and the audit log
INTERRUPTED = 130  # exit code after Ctrl-C
RESTART_S = 1.0
TOO_SOON_S = 10.0  # a worker that ends sooner may have failed to start
MOST_TOO_SOON = 5  # such failures in a row
log = logging.getLogger("inhouse.gateway")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the address does not belong to this machine, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows it would let a second server take the port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        hint = "another server may use the port: choose another with --port, or 0 for any free one"
        raise ConfigError(f"gateway.port: cannot listen on {host}:{port} ({error.strerror})", hint) from error
    bound.listen(1024)
    bound.set_inheritable(True)
    return bound


def inherit(descriptor: int) -> socket.socket:
    """The listening socket of the parent process."""
    return socket.socket(fileno=descriptor)


def address_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn that drains before it stops. A second signal stops it immediately."""

    def __init__(self, config: uvicorn.Config, state: State, parent: int = 0) -> None:
        super().__init__(config)
        self._inhouse = state
        self._parent = parent  # process ID; 0 if there is none
        self._until: float | None = None  # when draining ends, even if requests are running

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._parent and sig != signal.SIGTERM:
            return  # the terminal sends it to all processes; the parent stops its workers
        if self._inhouse.draining:
            self.should_exit = self.force_exit = True
        self._drain()

    def _drain(self) -> None:
        if not self._inhouse.draining:
            self._inhouse.draining = True
            _end_within(self._inhouse.project.gateway.drain_s + LINGER_S + CLOSE_S)

    async def on_tick(self, counter: int) -> bool:
        if self._parent and os.getppid() != self._parent:
            self._drain()
        if self._inhouse.draining and not self.should_exit:
            drain_s, queue = self._inhouse.project.gateway.drain_s, self._inhouse.queue
            self._until = self._until or time.monotonic() + drain_s
            self.should_exit = not queue.open or time.monotonic() > self._until
        return await super().on_tick(counter)


def serve(state: State, bound: socket.socket, ready: Callable[[], None], parent: int = 0) -> None:
    """Serves at `bound` until it is asked to stop, then closes everything; calls `ready` once the models are open.

    Asked to stop before that, it ends the process at once: nothing is answered yet, and opening cannot be interrupted.

    Raises:
        InhouseError: the release in production cannot be opened.
    """
    # By default, the audit thread would keep other threads waiting for five milliseconds at a time.
    sys.setswitchinterval(0.001)
    config = uvicorn.Config(
        create_app(state), http=protocol(), lifespan="on", access_log=False, log_config=None,
        server_header=False, timeout_graceful_shutdown=LINGER_S, backlog=1024, h11_max_incomplete_event_size=65536,
    )  # fmt: skip
    server = Server(config, state, parent)
    signal.signal(signal.SIGTERM, lambda sig, frame: leave())
    if not parent:
        signal.signal(signal.SIGINT, lambda sig, frame: leave(INTERRUPTED))

    async def run() -> None:
        _on_hang_up(server.handle_exit)
        # For searches, embeddings, and key lookups, which wait more than they compute.
        asyncio.get_running_loop().set_default_executor(_Threads(THREADS, thread_name_prefix="gateway"))
        await state.fleet.refresh()
        # Open models stay open: collecting garbage among them would delay every request.
        gc.collect()
        gc.freeze()
        ready()
        log.info("ready", extra={"facts": {"address": address_of(bound), "models": list(state.fleet.names())}})
        await server.serve([bound])

    try:
        with logged_as_json(), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    finally:
        state.close()
        faulthandler.cancel_dump_traceback_later()


def _on_hang_up(handler: Callable[[int, FrameType | None], None]) -> None:
    if os.name == "posix" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


class _Threads(ThreadPoolExecutor):
    """Threads that are waited for only briefly when the server stops."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + (LINGER_S if wait else 0)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def _end_within(seconds: float) -> None:
    """Ends the process after that time whatever its threads do, also if one keeps the interpreter's lock."""

    def end() -> None:
        names = sorted(t.name for t in threading.enumerate() if not t.daemon)
        log.error("stopped before everything was closed", extra={"facts": {"threads": names}})
        leave(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    # In a thread that needs no lock. It would write where the threads are: not in a log of JSON lines.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    faulthandler.dump_traceback_later(seconds + 1, exit=True, file=nowhere)


def supervise(
    worker: Callable[[int, int], Sequence[str]], count: int, bound: socket.socket, drain_s: float = 30
) -> None:
    """Runs `count` workers and restarts them until asked to stop.

    Args:
        worker: makes the command line of a worker from two file descriptors: the socket, and the file of the rates.
        count: number of workers.
        bound: the listening socket.
        drain_s: for a worker to finish its answers; it is killed a few seconds later.

    Raises:
        BackendError: a worker does not start.
    """
    if os.name != "posix":
        raise ConfigError("gateway.workers: more than one worker needs Linux or macOS", "set it to 1")
    stopping, too_soon = False, 0

    def stop(sig: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:  # a second signal: they stop at once
            for process, _ in running:
                process.terminate()
        stopping = True

    running: list[tuple[subprocess.Popen[bytes], float]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    _on_hang_up(stop)
    with tempfile.TemporaryDirectory(prefix="inhouse-") as shared, tempfile.TemporaryFile() as rates:
        rates.truncate(Rates.SIZE)
        environment = {**os.environ, SHARED: shared}
        command = list(worker(bound.fileno(), rates.fileno()))

        def start() -> tuple[subprocess.Popen[bytes], float]:
            descriptors = (bound.fileno(), rates.fileno())
            return subprocess.Popen(command, env=environment, pass_fds=descriptors), time.monotonic()

        try:
            running += [start() for _ in range(count)]
            while not stopping:
                time.sleep(0.2)
                for n, (process, began) in enumerate(running):
                    if process.poll() is None or stopping:
                        continue
                    for file in Path(shared).glob(f"gauge_live*_{process.pid}.db"):
                        file.unlink()  # its gauges; its counters stay in the metrics
                    too_soon = too_soon + 1 if time.monotonic() - began < TOO_SOON_S else 0
                    # It printed the reason, or restarting does not help.
                    if process.returncode > 0 or too_soon > MOST_TOO_SOON:
                        raise BackendError(f"a worker ended with code {process.returncode}", "see its message above")
                    log.error("a worker ended", extra={"facts": {"code": process.returncode}})
                    time.sleep(RESTART_S)
                    running[n] = start()
        finally:
            _stop([process for process, _ in running], drain_s + LINGER_S + 2 * CLOSE_S)


def _stop(workers: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Lets the workers drain, and kills those that have not ended after so many seconds."""
    for process in workers:
        process.terminate()
    until = time.monotonic() + seconds
    for process in workers:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def leave(code: int = 0) -> NoReturn:
    """Ends the process at once: the exit handlers of some libraries take longer than draining."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def again(*arguments: str) -> list[str]:
    """The command line of inhouse with other arguments."""
    return [sys.executable, "-m", "inhouse.cli.main", *arguments]
