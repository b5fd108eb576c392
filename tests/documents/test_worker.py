"""A file that hangs, crashes or uses up memory affects no other file."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from inhouse.documents.parsed import Unreadable
from inhouse.documents.worker import Worker


@pytest.fixture
def worker(tmp_path):
    """A running worker; `tmp_path` has small.csv, which it has read, and slow.html, which takes it some time."""
    (tmp_path / "small.csv").write_text("a,b\n1,2\n")
    (tmp_path / "slow.html").write_text("<p>x <b>y</b></p>" * 400_000)
    worker = Worker(memory_mb=700)
    worker.parse(tmp_path / "small.csv", ".csv")
    yield worker
    worker.close()


def test_a_file_that_takes_too_much_processor_time_fails_and_the_next_is_read(worker, tmp_path, monkeypatch):
    monkeypatch.setattr("inhouse.documents.worker.WAITING", 1000)  # the machine that runs this may be busy
    worker.timeout_s = 0.5
    with pytest.raises(Unreadable, match=r"longer than 0\.5 s of processor time"):
        worker.parse(tmp_path / "slow.html", ".html")
    worker.timeout_s = 60
    assert worker.parse(tmp_path / "small.csv", ".csv").text.startswith("| a | b |")


def test_a_file_that_waits_is_stopped_by_the_clock(worker, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")  # opening it waits for a writer
    worker.timeout_s = 0.05
    started = time.monotonic()
    with pytest.raises(Unreadable, match=r"longer than 1 s$"):
        worker.parse(tmp_path / "pipe.csv", ".csv")
    assert time.monotonic() - started >= 1
    worker.timeout_s = 60
    assert worker.parse(tmp_path / "small.csv", ".csv").text


def test_time_without_a_processor_does_not_count(worker, tmp_path):
    worker.timeout_s = 0.5
    os.kill(worker.process.pid, signal.SIGSTOP)
    resume = threading.Timer(1, os.kill, (worker.process.pid, signal.SIGCONT))
    resume.start()
    assert worker.parse(tmp_path / "small.csv", ".csv").text
    resume.join()


def test_a_crash_fails_one_file_and_the_next_is_read(worker, tmp_path):
    crash = threading.Timer(0.3, os.kill, (worker.process.pid, signal.SIGSEGV))
    crash.start()
    with pytest.raises(Unreadable, match=r"crashed \(exit code -11\)"):
        worker.parse(tmp_path / "slow.html", ".html")
    crash.join()
    assert worker.parse(tmp_path / "small.csv", ".csv").text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_a_file_that_uses_up_memory(tmp_path):
    worker = Worker(memory_mb=200)
    (tmp_path / "small.csv").write_text("a,b\n1,2\n")
    (tmp_path / "wide.csv").write_text("a,b,c\n" + "x,y,z\n" * 900_000)
    with pytest.raises(Unreadable, match="too much memory"):
        worker.parse(tmp_path / "wide.csv", ".csv")
    assert worker.parse(tmp_path / "small.csv", ".csv").text
    worker.close()


def test_a_worker_killed_between_files_is_started_again(worker, tmp_path):
    worker.process.kill()
    worker.process.wait()
    assert worker.parse(tmp_path / "small.csv", ".csv").text


def test_a_worker_ends_in_the_middle_of_a_file_when_its_parent_is_gone(worker, tmp_path):
    request = {"file": str(tmp_path / "slow.html"), "suffix": ".html", "timeout_s": 60}
    worker.process.stdin.write(json.dumps(request).encode() + b"\n")
    worker.process.stdin.flush()
    time.sleep(0.5)
    worker.process.stdin.close()
    assert worker.process.wait(timeout=3) == 0


def test_deeply_nested_html_is_read(worker, tmp_path):
    (tmp_path / "deep.html").write_text("<div>" * 5000 + "core" + "</div>" * 5000)
    assert worker.parse(tmp_path / "deep.html", ".html").text == "core"


def test_a_parser_has_no_network_access():
    program = (
        "import socket, sys; from inhouse.documents.worker import _closed_network; sys.addaudithook(_closed_network);"
        "socket.create_connection(('{}', 80), 1)"
    )
    for host in ("192.0.2.1", "bank.example"):
        run = subprocess.run([sys.executable, "-c", program.format(host)], capture_output=True, text=True, check=False)
        assert "PermissionError: a parser must not use the network" in run.stderr
