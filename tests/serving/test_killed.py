"""Processes of a server killed one after another: what cannot be answered is refused, readiness says why, and all of
them come back by themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from inhouse.guardrails.pool import AVAILABLE
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not AVAILABLE, reason="rails run in processes on Linux only")]
HERE = Path(__file__).parent
ASKED = {"messages": [{"role": "user", "content": "What does it cost?"}], "max_tokens": 2}
ANSWER_S = 20.0  # an answer that waits for an engine, or a refusal


@pytest.fixture
def server(tmp_path, weights):
    """The process ID of a server, and a client with a key."""
    ledger = Ledger(ledger_url(tmp_path))
    secret = Keys(ledger).create("tester", "admin")[1]
    ledger.close()
    command = [sys.executable, str(HERE / "killed_server.py"), str(tmp_path), str(weights / "model.gguf")]
    paths = [str(HERE.parent / "guardrails"), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        address = process.stdout.readline().decode().strip()
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {secret}"}, timeout=ANSWER_S) as client:
            becomes(client, 200)
            yield process.pid, client
        process.kill()


def becomes(client, status):
    """Waits until readiness has that status; returns what it says."""
    until = time.monotonic() + 90
    while (ready := _ready(client)).status_code != status:
        assert time.monotonic() < until
        time.sleep(0.02)
    return ready.json()["status"]


def _ready(client):
    try:
        return client.get("/readyz")
    except httpx.ConnectError:  # the socket is served in a moment
        return httpx.Response(0)


def child(parent, module):
    """The process ID of the parent's child that runs the module."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, status = (folder / "cmdline").read_text(), (folder / "status").read_text()
        except OSError:
            continue
        if module in words and f"PPid:\t{parent}\n" in status:
            return int(folder.name)
    raise AssertionError(f"no {module}")


def test_what_is_killed_comes_back_and_others_are_answered_meanwhile(server):
    parent, client = server
    for _ in range(2):
        assert client.post("/v1/chat/completions", json=ASKED).status_code == 200
        for module, named in (("hostile_rails", "guardrails"), ("llama_server", "engine")):
            killed = child(parent, module)
            os.kill(killed, signal.SIGKILL)
            assert named in becomes(client, 503)
            assert client.get("/v1/models").status_code == 200
            reply = client.post("/v1/chat/completions", json=ASKED)
            if module == "hostile_rails" or reply.status_code != 200:  # an answer may wait for an engine
                assert (reply.status_code, reply.json()["error"]["code"]) == (503, "model_restarting")
                assert reply.json()["error"]["type"] == "server_error"
                assert reply.headers["retry-after"] == "5"
            assert becomes(client, 200) == "ready"  # without another question
            assert child(parent, module) != killed
            assert client.post("/v1/chat/completions", json=ASKED).status_code == 200
