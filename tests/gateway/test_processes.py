"""The gateway as processes: drained by SIGTERM, workers replaced when they die, one rate for all of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import pytest

from inhouse.gateway import server
from inhouse.store.audit import Audit
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and inherited sockets")
CHAT = "/v1/chat/completions"
PROGRAM = """
import asyncio, ctypes, os, sys, time
from pathlib import Path
from inhouse.config.gateway import Gateway
from inhouse.config.sections import Project
from inhouse.gateway import server
from inhouse.gateway.limits import Rates
from inhouse.gateway.state import State
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic

class Models:
    def names(self): return ["custom"]
    def model(self, name): return Scripted(lambda r: str(os.getpid()), seconds=float(sys.argv[2]))
    async def refresh(self):
        if os.environ.get("STUCK") == "start":
            print("opening", flush=True)
            await asyncio.to_thread(time.sleep, 600)
        if os.environ.get("STUCK") == "thread":
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
        return False
    def trouble(self): return ""
    def close(self):
        if os.environ.get("STUCK") == "lock":
            ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock

def state(rates=None):
    ledger = Ledger(ledger_url(Path(sys.argv[1])))
    return State(Project(gateway=Gateway(drain_s=float(os.environ.get("DRAIN", 20)))), Models(), Audit(ledger), Keys(ledger), Inbox(ledger),
                 Feedback(ledger), Traffic(ledger), rates=Rates(rates))

if len(sys.argv) > 4:
    socket, rates = int(sys.argv[4]), int(sys.argv[5])
    server.serve(state(rates), server.inherit(socket), lambda: print("up", os.getpid(), flush=True), os.getppid())
else:
    bound = server.listen("127.0.0.1", 0)
    print(server.address_of(bound), flush=True)
    if sys.argv[3] == "1":
        server.serve(state(), bound, lambda: print("up", os.getpid(), flush=True))
    else:
        server.supervise(lambda *fds: [sys.executable, *sys.argv[:4], *map(str, fds)], int(sys.argv[3]), bound)
"""


@pytest.fixture
def program(tmp_path):
    """program(seconds, workers) -> the process, its address, process ids of its workers, and a client with a key."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    processes, clients, ledgers = [], [], []

    def start(seconds=0.0, workers=1, per_minute=0):
        ledger = Ledger(ledger_url(tmp_path))
        secret = Keys(ledger).create("tester", "admin", per_minute=per_minute)[1]
        command = [sys.executable, str(script), str(tmp_path), str(seconds), str(workers)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        url = process.stdout.readline().strip()
        pids = [int(process.stdout.readline().split()[1]) for _ in range(workers)]
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=30)
        processes.append(process)
        clients.append(client)
        ledgers.append(ledger)
        while True:  # the models are open; the socket is served in a moment
            try:
                if client.get("/readyz").status_code == 200:
                    return process, url, pids, client, ledger
            except httpx.TransportError:
                time.sleep(0.05)

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
    for client in clients:
        client.close()
    for ledger in ledgers:
        ledger.close()


def ask(client):
    answer = client.post(
        CHAT, json={"messages": [{"role": "user", "content": "who?"}]}, headers={"Connection": "close"}
    )
    return answer.status_code, answer.json()


def gone(pid, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_sigterm_finishes_what_runs_and_refuses_what_comes(program):
    process, url, _, client, ledger = program(seconds=3)
    answers = []
    running = threading.Thread(target=lambda: answers.append(ask(client)))
    running.start()
    time.sleep(0.7)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    refused = client.post(CHAT, json={"messages": [{"role": "user", "content": "late"}]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert httpx.get(f"{url}/readyz").status_code == 503
    running.join()
    assert answers[0][0] == 200
    assert process.wait(15) == 0
    audit = Audit(ledger)
    assert audit.get(answers[0][1]["id"]) is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_terminal_is_no_reason_to_break_off_answers(program, workers):
    process, _, pids, client, ledger = program(seconds=3, workers=workers)
    answers = []
    running = threading.Thread(target=lambda: answers.append(ask(client)))
    running.start()
    time.sleep(0.7)
    for pid in {process.pid, *pids}:  # a terminal tells every process
        os.kill(pid, signal.SIGHUP)
    running.join()
    assert answers[0][0] == 200
    assert process.wait(30) == 0
    assert Audit(ledger).get(answers[0][1]["id"]).reason == "stop"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_stops_at_once(program, workers):
    process, _, _, client, ledger = program(seconds=600, workers=workers)

    got = []

    def asked():
        with suppress(httpx.TransportError):
            question = {"messages": [{"role": "user", "content": "who?"}]}
            got.append(client.post(CHAT, json=question, timeout=60).status_code)

    running = threading.Thread(target=asked)
    running.start()
    audit = Audit(ledger)
    while not audit.find():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0  # it drains for 20 s
    running.join()
    assert got in ([], [500], [503])
    assert [e.reason for _, e in audit.find()] in (["interrupted"], ["cancelled"])
    assert audit.verify().ok


@pytest.mark.parametrize("stuck", ["thread", "lock"])
def test_sigterm_ends_the_server_whatever_is_stuck(program, monkeypatch, stuck):
    monkeypatch.setenv("STUCK", stuck)
    monkeypatch.setenv("DRAIN", "1")
    process, *_ = program()
    process.send_signal(signal.SIGTERM)
    process.wait(1 + server.LINGER_S + server.CLOSE_S + 5)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, server.INTERRUPTED)])
def test_a_server_that_is_still_starting_ends_at_once(tmp_path, sent, code):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(tmp_path), "0", "1"]
    environment = {**os.environ, "STUCK": "start"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline()
            assert process.stdout.readline() == "opening\n"
            process.send_signal(sent)
            assert process.wait(20) == code
        finally:
            process.kill()


def test_workers_share_rates_and_are_replaced(program):
    process, _, pids, client, ledger = program(workers=2, per_minute=60)
    said = [ask(client) for _ in range(70)]
    assert {body["choices"][0]["message"]["content"] for status, body in said if status == 200} == set(map(str, pids))
    assert sum(status == 200 for status, _ in said) <= 59 + 20  # readiness took none; the rest came by the second
    assert any(status == 429 for status, _ in said)
    os.kill(pids[0], signal.SIGKILL)
    replaced = int(process.stdout.readline().split()[1])
    assert replaced not in pids
    audit = Audit(ledger)
    assert audit.verify().ok
    assert len(audit.find(limit=1000)) == sum(status == 200 for status, _ in said)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert gone(pids[1])
    assert gone(replaced)


def test_workers_end_with_their_parent(program):
    process, _, pids, _, _ = program(workers=2)
    process.kill()
    assert all(gone(pid) for pid in pids)
