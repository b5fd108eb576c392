"""Child processes: results, progress, errors and deaths, as the parent sees them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from inhouse import process
from inhouse.errors import BackendError, GateError, InputError, RefusedError
from inhouse.types import Silent

HEAD = """
import os, signal, sys, time
from inhouse import errors
def work(job, progress):
"""


@pytest.fixture
def child_module(tmp_path, monkeypatch):
    """Writes a module whose `work` has the given body, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(body: str) -> str:
        (tmp_path / "a_child.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.splitlines()))
        return "a_child"

    return written


class Recorder(Silent):
    """Keeps every call as a line."""

    def __init__(self):
        self.calls = []

    @contextmanager
    def step(self, label, total):
        self.calls.append(f"begin {label} {total}")
        yield _RecorderStep(self.calls, label)
        self.calls.append(f"end {label}")


class _RecorderStep:
    def __init__(self, calls, label):
        self.calls, self.label = calls, label

    def advance(self, amount=1, note=""):
        self.calls.append(f"advance {self.label} {amount} {note}".strip())


def test_the_result_of_a_child_is_returned(child_module):
    module = child_module("return {'double': 2 * job['n']}")
    assert process.run(module, {"n": 21}, "it", Silent()) == {"double": 42}


def test_progress_of_a_child_is_passed_on(child_module):
    module = child_module(
        "with progress.step('outer', 2) as a, progress.step('inner', None) as b:\n"
        "    a.advance()\n"
        "    b.advance(0.5, 'half')\n"
        "return {}"
    )
    recorder = Recorder()
    process.run(module, {}, "it", recorder)
    assert recorder.calls == [
        "begin outer 2", "begin inner None", "advance outer 1", "advance inner 0.5 half", "end inner", "end outer",
    ]  # fmt: skip


def test_prints_of_a_child_go_to_standard_error(child_module, capfd):
    process.run(child_module("print('hello'); os.system('echo there'); return {}"), {}, "it", Silent())
    out, errors = capfd.readouterr()
    assert out == ""
    assert sorted(errors.split()) == ["hello", "there"]


@pytest.mark.parametrize("error", [InputError, GateError, RefusedError])
def test_an_error_of_a_child_arrives_as_it_was_raised(child_module, error):
    module = child_module(f"raise errors.{error.__name__}('a “bad” file', 'repair it')")
    with pytest.raises(error) as raised:
        process.run(module, {}, "it", Silent())
    assert (type(raised.value), str(raised.value), raised.value.hint) == (error, "a “bad” file", "repair it")


def test_a_killed_child_is_named_with_its_signal_and_the_likely_reason(child_module):
    module = child_module("os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(BackendError, match=r"the stage was killed \(SIGKILL\)") as raised:
        process.run(module, {}, "the stage", Silent())
    assert "out of memory" in raised.value.hint


def test_a_crashed_child_is_named_with_its_signal(child_module):
    module = child_module("os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(BackendError, match="the stage was ended by SIGSEGV"):
        process.run(module, {}, "the stage", Silent())


def test_an_unexpected_error_of_a_child_shows_its_traceback(child_module, capfd):
    with pytest.raises(BackendError, match=r"the stage failed unexpectedly \(exit code 1\)"):
        process.run(child_module("raise ZeroDivisionError('by nothing')"), {}, "the stage", Silent())
    assert "ZeroDivisionError: by nothing" in capfd.readouterr().err


def test_a_file_in_the_current_folder_replaces_no_library(child_module, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "random.py").write_text("raise SystemExit('the wrong random')")
    monkeypatch.chdir(tmp_path / "here")
    module = child_module("import random; return {'file': random.__file__}")
    assert str(tmp_path) not in process.run(module, {}, "it", Silent())["file"]


@pytest.mark.parametrize("body", ["time.sleep(60)", "while True: pass"])
def test_a_child_exits_when_its_parent_is_killed(child_module, tmp_path, body):
    module = child_module(f"open(job, 'w').write(str(os.getpid())); os.rename(job, job + '.written')\n{body}")
    file = tmp_path / "pid"
    code = f"from inhouse import process; from inhouse.types import Silent; process.run('{module}', {str(file)!r}, '', Silent())"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=variables)
    until(tmp_path.joinpath("pid.written").exists)
    pid = int(tmp_path.joinpath("pid.written").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not running(pid))


def running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return False


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has arenas")
def test_a_process_that_saves_memory_has_no_arena_for_each_thread(tmp_path):
    code = """
import ctypes, sys, threading
from inhouse.process import save_memory
if sys.argv[1] == "save":
    save_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(16)
def allocate():
    together.wait()
    libc.malloc(5000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
[t.start() for t in threads], [t.join() for t in threads]
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""

    def arenas(how):
        command = [sys.executable, "-c", code, how, str(tmp_path / how)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert arenas("save") <= 2 < arenas("spend")
