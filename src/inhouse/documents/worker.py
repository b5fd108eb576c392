"""Parsers run in separate processes, so that a file that hangs, crashes or uses up memory affects no other file.

A worker is this module run as a program. It reads requests and writes results as lines of JSON, with limited memory and
processor time and no network access. Not multiprocessing, which would import the caller's main program again.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from inhouse.documents.ocr import Ocr
from inhouse.documents.parse import parse
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.picture import page_picture
from inhouse.errors import BackendError
from inhouse.types import Box

TIMEOUT_S = 60.0  # of processor time: on a busy machine, the clock says little about a file
WAITING = 20  # times as long by the clock, for a parser that waits, and for systems that have no such timer
MEMORY_MB = 2000  # of address space; the libraries use 470 before the first file, OCR of a page 1500
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Worker:
    """One parser process, started with the first file and again after it ended. Use it from one thread.

    Args:
        timeout_s: processor time for a file, and again for each page of it that goes through OCR.
        memory_mb: address space.
        ocr: the mode and languages of Ocr.
    """

    def __init__(
        self,
        timeout_s: float = TIMEOUT_S,
        memory_mb: int = MEMORY_MB,
        ocr: tuple[str, Sequence[str]] = ("auto", ()),
    ) -> None:
        self.timeout_s = timeout_s
        self.memory_mb = memory_mb
        self.ocr = ocr
        self.process: subprocess.Popen[bytes] | None = None

    def parse(self, file: Path, suffix: str, progress: Callable[[str], None] = lambda label: None) -> Parsed:
        """Parses a file as `parse` does; `progress` gets a label before each page that goes through OCR.

        Raises:
            Unreadable: also when it takes too long or too much memory, or crashes the process.
        """
        mode, languages = self.ocr
        request = {"file": os.fspath(file), "suffix": suffix, "ocr": mode, "languages": list(languages)}
        return Parsed(**self._asked(request, progress))

    def picture(self, file: Path, page: int, box: Box) -> bytes:
        """A PNG of a page with a box marked, as `page_picture` makes it.

        Raises:
            Unreadable: as `parse` does.
        """
        answer = self._asked({"file": os.fspath(file), "suffix": file.suffix, "page": page, "box": list(box)})
        return base64.b64decode(answer["png"])

    def _asked(self, request: dict[str, Any], progress: Callable[[str], None] = lambda label: None) -> dict[str, Any]:
        if self.process is None or self.process.poll() is not None:
            self.close()
            self.process = self._started()
        process, clock_s = self.process, WAITING * self.timeout_s
        line: dict[str, Any] | None = {"progress": ""}
        self._send(process, {**request, "timeout_s": self.timeout_s})
        while line and "progress" in line:
            started = time.monotonic()
            if line["progress"]:
                progress(line["progress"])
            line = self._received(process, clock_s)
        if line is None:
            code = process.wait()
            if sys.platform != "win32" and code == -signal.SIGPROF:
                raise Unreadable(f"parsing took longer than {self.timeout_s:g} s of processor time")
            if time.monotonic() - started >= clock_s:
                raise Unreadable(f"parsing took longer than {clock_s:g} s")
            raise Unreadable(f"the parser crashed (exit code {code})")
        if "failed" in line:
            raise Unreadable(line["failed"])
        return line

    def stop(self) -> None:
        """Kills the process, which also ends a `parse` that is waiting in another thread."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            with suppress(BrokenPipeError), self.process:  # closes the pipes; a request may still be in one
                self.process = None

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: a file such as email.py in the current folder must not hide the standard library's
        command = [sys.executable, "-P", "-m", "inhouse.documents.worker", str(self.memory_mb)]
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env={**os.environ, **_ONE_THREAD}
            )
        except OSError as error:
            raise BackendError(f"cannot start a parser process ({error.strerror})", "free some memory") from error

    @staticmethod
    def _send(process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        if process.stdin is None:
            raise BackendError("the parser process has no pipes")
        with suppress(BrokenPipeError):  # it ended; then nothing is received
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()

    @staticmethod
    def _received(process: subprocess.Popen[bytes], clock_s: float) -> dict[str, Any] | None:
        """The next line of the process; None if it ended, or was ended because it took too long."""
        if process.stdout is None:
            raise BackendError("the parser process has no pipes")
        timer = threading.Timer(clock_s, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        return dict(json.loads(line)) if line.endswith(b"\n") else None


def _answer(request: dict[str, Any], begin: Callable[[str], None]) -> dict[str, Any]:
    try:
        if "page" in request:
            png = page_picture(Path(request["file"]), request["page"], tuple(request["box"]))
            return {"png": base64.b64encode(png).decode()}
        ocr = Ocr(request["ocr"], request["languages"], begin)
        return parse(Path(request["file"]).read_bytes(), request["suffix"], ocr).model_dump()
    except Unreadable as reason:
        return {"failed": str(reason)}
    except MemoryError:
        return {"failed": "parsing needs too much memory"}
    except RecursionError:
        return {"failed": "elements nested too deeply"}
    except Exception as error:  # parsers raise anything on damaged files; the report says what
        detail = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split())[:200])))
        return {"failed": f"damaged {request['suffix']} file ({detail})"}


def _closed_network(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        raise PermissionError(f"a parser must not use the network: {event} {args[1:2]}")


def _limit_memory(megabytes: int) -> None:
    if sys.platform == "linux":  # other systems do not enforce the limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1_000_000,) * 2)


def _limit_time(seconds: float) -> None:
    """Lets SIGPROF end this process after so many more seconds of processor time, of all threads; 0 is no limit."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> NoReturn:
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # keeps what a library prints out of the results
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _limit_memory(int(sys.argv[1]))
    sys.addaudithook(_closed_network)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(waiting,), daemon=True).start()

    def send(line: dict[str, Any]) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    while True:
        request = json.loads(waiting.get())
        limit_s = request["timeout_s"]

        def begin(label: str, limit_s: float = limit_s) -> None:
            send({"progress": label})
            _limit_time(limit_s)  # of this page, from now on

        _limit_time(limit_s)
        answer = _answer(request, begin)
        _limit_time(0)
        send(answer)


def _listen(waiting: queue.SimpleQueue[str]) -> None:
    """Passes requests on, and ends the process, even in the middle of a file, when its parent is gone."""
    for line in sys.stdin:
        waiting.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
