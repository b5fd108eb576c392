import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from inhouse.errors import BackendError
from inhouse.store.turn import Turn

HOLDS = """
import sys, time; from pathlib import Path; from inhouse.store.turn import Turn
with Turn(Path(sys.argv[1])).taken(5):
    print("held", flush=True)
    time.sleep(60)
"""


def in_line(file):
    """Waits until somebody is next in line."""
    with open(file.with_name(file.name + ".next")) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(0.001)


def test_who_has_written_gets_in_line_behind_who_waits(tmp_path):
    file = tmp_path / "db"
    ours, theirs, order = Turn(file), Turn(file), []

    def wait():
        with theirs.taken(10):
            order.append("theirs")

    for _ in range(10):
        with ours.taken(10):
            waiting = threading.Thread(target=wait)
            waiting.start()
            in_line(file)
        with ours.taken(10):
            order.append("ours")
        waiting.join()
    assert order == ["theirs", "ours"] * 10


def test_one_at_a_time_among_threads_and_processes(tmp_path):
    turns, inside, most = [Turn(tmp_path / "db") for _ in range(2)], [], []

    def work(turn):
        for _ in range(20):
            with turn.taken(20):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=[turn]) for turn in turns * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 120


def test_a_turn_that_does_not_come_is_told_in_time_and_comes_when_its_holder_dies(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "db")], stdout=subprocess.PIPE, env=os.environ
    )
    holder.stdout.readline()
    turn = Turn(tmp_path / "db")
    started = time.monotonic()
    with pytest.raises(BackendError, match="locked for 0.2 s"), turn.taken(0.2):
        pass
    assert time.monotonic() - started < 2
    holder.kill()
    holder.communicate()
    with turn.taken(5):
        pass
    turn.close()
