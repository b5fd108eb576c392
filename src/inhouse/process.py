"""Child processes that report: work that takes much memory, or may crash, in a process that gives it all back.

The child is this module as a program: it calls `work(job, progress)` of the module that its command line names. The
parent sends the job as one line of JSON and keeps that pipe open. The child answers with events, one JSON object per
line: the steps of its progress, then its result or its error. What libraries print goes to standard error. Ctrl-C is
for the parent to handle. When the pipe from the parent closes, for whatever reason, the child exits at once, so nothing
keeps running for a parent that is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import IO, TYPE_CHECKING, NoReturn

from inhouse import errors
from inhouse.errors import BackendError, InhouseError

if TYPE_CHECKING:
    from inhouse.types import Json, Progress, Step

_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8  # of malloc.h
EXIT_S = 5.0  # for a child to notice that the pipe is closed; then it is killed
RUN_AGAIN = "run the same command again; it continues where it stopped"

# --- the parent's side ------------------------------------------------------------------------------------------


def cores() -> int:
    """How many cores this process may use: a container or `taskset` may leave fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def save_memory() -> None:
    """Lets this process keep less free memory where the C library is glibc: two arenas, not one for each thread."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, 128 * 1024)


def run(module: str, job: Json, name: str, progress: Progress) -> dict[str, Json]:
    """Runs one child to its end and returns its result; `name` is what error messages call it.

    Raises:
        InhouseError: the error of the child, of the same class.
        BackendError: the child crashed or was killed.
    """
    child = start(module, job)
    try:
        result = follow(child, progress)
    finally:
        stop([child])
    if result is None:
        raise BackendError(*death(name, child.returncode))
    return result


def start(
    module: str,
    job: Json,
    environment: Mapping[str, str] | None = None,
    follows: bool = True,
    log: IO[str] | None = None,
    descriptors: Sequence[int] = (),
    group: bool = False,
) -> subprocess.Popen[str]:
    """Starts a child and sends it the job.

    Args:
        module: full name of the module whose `work` does the job.
        job: any JSON value.
        environment: variables besides those of this process.
        follows: whether its events are read; those of another child are dropped.
        log: where its standard error goes; by default to that of this process.
        descriptors: that the child inherits, under the same numbers.
        group: whether it leads a process group, whose processes all end with it.

    Raises:
        BackendError: the system cannot start a process.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **(environment or {})}
    try:
        child = subprocess.Popen(  # -P: a file such as random.py in the current folder must not replace the library's
            [sys.executable, "-P", "-m", "inhouse.process", module], env=variables, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE if follows else subprocess.DEVNULL, stderr=log,
            pass_fds=descriptors, start_new_session=group,
        )  # fmt: skip
    except OSError as error:
        raise BackendError(f"a process cannot be started ({error.strerror})", "free some memory") from error
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it died already: its exit code tells why
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
    return child


def follow(child: subprocess.Popen[str], progress: Progress) -> dict[str, Json] | None:
    """Passes the child's progress on until its result, or until it is ready to serve, and returns what it says then;
    None when it ended without.

    Raises:
        InhouseError: the error of the child.
    """
    steps: dict[int, tuple[ExitStack, Step]] = {}
    with ExitStack() as all_steps:
        for line in child.stdout or ():
            match json.loads(line):
                case {"begin": number, "label": label, "total": total}:
                    context = all_steps.enter_context(ExitStack())
                    steps[number] = context, context.enter_context(progress.step(label, total))
                case {"advance": number, "amount": amount, "note": note}:
                    steps[number][1].advance(amount, note)
                case {"end": number}:
                    steps.pop(number)[0].close()
                case {"result": result} | {"ready": result}:  # ready: it goes on serving
                    return dict(result)
                case {"error": name, "message": message, "hint": hint}:
                    raise getattr(errors, name, InhouseError)(message, hint)
    return None


def stop(children: Sequence[subprocess.Popen[str]]) -> None:
    """Ends the children that still run, and waits for all."""
    for child in children:
        with suppress(BrokenPipeError):
            if child.stdin:
                child.stdin.close()
    for child in children:
        try:
            child.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()


def kill(child: subprocess.Popen[str]) -> None:
    """Ends the child at once, and the processes of its group if it leads one, also if it has ended already."""
    if leads(child.pid):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def leads(pid: int) -> bool:
    """Whether there is a process group that this process leads, or led."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


def death(name: str, code: int) -> tuple[str, str]:
    """Message and hint for a child that ended without a result."""
    if code >= 0:
        return f"{name} failed unexpectedly (exit code {code})", "the messages above say why"
    try:
        by = signal.Signals(-code).name
    except ValueError:
        by = f"signal {-code}"
    if by == "SIGKILL":
        return (
            f"{name} was killed (SIGKILL)",
            f"the machine is probably out of memory: free some, or use a smaller model; {RUN_AGAIN}",
        )
    return f"{name} was ended by {by}", RUN_AGAIN


# --- the child's side -------------------------------------------------------------------------------------------


class Events:
    """A Progress that writes its events for the parent; safe to use from several threads."""

    def __init__(self, out: IO[str]) -> None:
        self._out, self._lock, self._begun = out, threading.Lock(), 0

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        self._begun += 1
        number = self._begun
        self.send(begin=number, label=label, total=total)
        yield _ReportedStep(self, number)
        self.send(end=number)

    def send(self, **event: Json) -> None:
        with self._lock:
            print(json.dumps(event), file=self._out, flush=True)


class _ReportedStep:
    def __init__(self, events: Events, number: int) -> None:
        self._events, self._number = events, number

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._events.send(advance=self._number, amount=amount, note=note)


def main(module: str) -> NoReturn:
    """Does the parent's job and reports how it went. The exit code is not 0 when nothing could be reported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    events = Events(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    code = 0
    try:
        events.send(result=import_module(module).work(job, events))
    except InhouseError as error:
        events.send(error=type(error).__name__, message=str(error), hint=error.hint)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what the libraries do at exit takes longer than some of the work


def _exit_with_parent() -> None:
    os.read(0, 1)  # nothing more is sent, so this returns when the pipe closes
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
