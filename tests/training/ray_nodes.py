"""A Ray cluster of two nodes on this machine, each with one processor for a worker."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

READY_S = 180


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def _node(python, log, *arguments):
    """`ray start` in the foreground, with all that it starts; ended at the end."""
    variables = {
        **os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_WAIT_POLICY": "passive",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }  # fmt: skip
    command = [python, "-c", "from ray.scripts.scripts import main; main()", "start", "--block", "--num-cpus", "1",
               "--object-store-memory", "100000000", *arguments]  # fmt: skip
    with log.open("ab") as out, subprocess.Popen(command, env=variables, stdout=out, stderr=out) as child:
        try:
            yield child
        finally:
            child.terminate()
            child.wait(60)


@contextmanager
def cluster(folder: Path, python: str = sys.executable):
    """Yields the address of its job server. `folder` must have a short path: Ray puts sockets there."""
    ports, log = (_free_port(), _free_port()), folder / "ray.txt"
    head = ("--head", "--node-ip-address", "127.0.0.1", "--port", str(ports[0]), "--dashboard-port", str(ports[1]),
            "--dashboard-host", "127.0.0.1", "--temp-dir", str(folder))  # fmt: skip
    address = f"http://127.0.0.1:{ports[1]}"
    with ExitStack() as nodes:
        nodes.enter_context(_node(python, log, *head))
        _until(lambda: _answers(f"{address}/api/version"), log)
        worker = ("--address", f"127.0.0.1:{ports[0]}", "--node-ip-address", "127.0.0.1")
        nodes.enter_context(_node(python, log, *worker))
        _until(lambda: _answers(f"{address}/nodes?view=summary").count(b'"raylet": {') >= 2, log)
        yield address


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


def _until(holds, log):
    end = time.monotonic() + READY_S
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"the cluster is not ready: {log.read_text()[-1000:]}")
        time.sleep(0.3)
