"""What a client receives is in the audit log before: killed in a stream, on a full disk, and what a stream begins with."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest
import sqlalchemy as sa

from inhouse.chat import Delta, Finish
from inhouse.gateway import chat
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url

CHAT = "/v1/chat/completions"
PROGRAM = """
import asyncio, sys
from pathlib import Path
from inhouse.chat import Delta, Finish
from inhouse.config.sections import Project
from inhouse.gateway import server
from inhouse.gateway.state import State
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger
from inhouse.store.traffic import Traffic

class Talking:
    name = "talking"
    async def stream(self, request):
        for n in range(int(sys.argv[2])):
            yield Delta(text=f"word{n} ")
            await asyncio.sleep(0.02)
        yield Finish(reason="stop")

class Models:
    def names(self): return ["custom"]
    def model(self, name): return Talking()
    async def refresh(self): return False
    def close(self): return None
    def trouble(self): return ""

ledger = Ledger(sys.argv[1])
state = State(Project(), Models(), Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger), Traffic(ledger))
bound = server.listen("127.0.0.1", 0)
server.serve(state, bound, lambda: print(server.address_of(bound), flush=True))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield ledger_url(tmp_path)
        return
    there = os.environ.get("INHOUSE_TEST_POSTGRES")
    if not there:
        pytest.skip("no PostgreSQL (INHOUSE_TEST_POSTGRES)")
    name = f"inhouse_wire_{os.getpid()}"
    admin = sa.create_engine(there, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield there.rpartition("/")[0] + f"/{name}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def serve(tmp_path):
    """serve(url, words) -> the process, the address, and the headers of a key."""
    script, processes = tmp_path / "program.py", []
    script.write_text(PROGRAM)

    def start(url, words=400):
        ledger = Ledger(url)
        secret = Keys(ledger).create("tester", "admin")[1]
        ledger.close()
        process = subprocess.Popen([sys.executable, str(script), url, str(words)], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        processes.append(process)
        return process, process.stdout.readline().strip(), {"Authorization": f"Bearer {secret}"}

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def texts(lines):
    for line in lines:
        if line.startswith("data: {"):
            yield "".join(c["delta"].get("content") or "" for c in json.loads(line[6:])["choices"])


def test_a_killed_server_leaves_what_it_sent(serve, url, ask):
    process, address, key = serve(url)
    got = ""
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.stream("POST", address + CHAT, json=ask("my question", stream=True), headers=key, timeout=30) as stream,
    ):
        for text in texts(stream.iter_lines()):
            got += text
            if "word30" in got:
                process.send_signal(signal.SIGKILL)
    assert "word30" in got
    assert "word399" not in got
    ledger = Ledger(url)
    audit = Audit(ledger)
    try:
        ((_, kept),) = audit.find()
        assert (kept.reason, kept.messages[0].content) == ("interrupted", "my question")
        assert kept.answer.startswith(got)
        assert len(kept.answer) - len(got) < 400  # one piece, which may be on its way
        assert audit.verify().ok
    finally:
        audit.close()
        ledger.close()


def test_a_question_is_there_while_the_model_thinks_and_before_anything_is_sent(gateway, ask):
    seen = []

    class Looking:
        name = "looking"

        async def stream(self, request):
            await asyncio.sleep(1.5)
            seen.append([e.reason for _, e in there.state.audit.find()][0])
            yield Delta(text="x")
            yield Finish(reason="stop")

    there = gateway({"custom": Looking(), "base": Thinking(0, 3, 0.3)})
    for stream in (False, True):
        there.http.post(CHAT, json=ask(stream=stream))
    assert seen == ["interrupted"] * 2
    with there.http.stream("POST", CHAT, json=ask(stream=True) | {"model": "base"}) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert there.state.audit.find()[0][1].reason == "interrupted"
        list(lines)
    assert [e.reason for _, e in there.state.audit.find()] == ["stop"] * 3
    assert there.state.audit.verify().ok


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.name == "posix" and os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False, capture_output=True
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(serve, small_disk, ask):
    _, address, key = serve(ledger_url(small_disk), 3)
    with httpx.Client(base_url=address, headers=key, timeout=30) as client:
        assert client.post(CHAT, json=ask()).status_code == 200
        assert client.get("/readyz").status_code == 200
        free = os.statvfs(small_disk)
        (small_disk / "other").write_bytes(b"x" * (free.f_bavail * free.f_frsize))
        codes = [client.post(CHAT, json=ask("long " * 20_000, stream=stream)) for stream in (False, True) * 3]
        assert {(c.status_code, c.json()["error"]["code"]) for c in codes} == {(503, "audit_unavailable")}
        time.sleep(2.1)  # after which a commit is no sign any more
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["status"].startswith("the audit log cannot be written: ")
        (small_disk / "other").unlink()
        assert client.get("/readyz").status_code == 200
        assert client.post(CHAT, json=ask("long " * 20_000)).status_code == 200
    ledger = Ledger(ledger_url(small_disk))
    assert Audit(ledger).verify().ok
    ledger.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_whose_file_is_gone(serve, tmp_path, ask, replaced):
    """SQLite would go on writing to the deleted file, and all of that would be lost with the process."""
    folder = tmp_path / "store"
    _, address, key = serve(ledger_url(folder), 3)
    file, kept = folder / "ledger.sqlite", folder / "kept"
    with httpx.Client(base_url=address, headers=key, timeout=30) as client:
        assert client.post(CHAT, json=ask()).status_code == 200
        assert client.get("/readyz").status_code == 200
        file.rename(kept)
        if replaced:
            shutil.copyfile(kept, file)
        ready, refused = client.get("/readyz"), client.post(CHAT, json=ask())
        assert (ready.status_code, refused.status_code) == (503, 503)
        assert ready.json()["status"].endswith("the file of the database was deleted or replaced")
        assert refused.json()["error"]["code"] == "audit_unavailable"
        kept.rename(file)
        assert client.get("/readyz").status_code == 200
        assert client.post(CHAT, json=ask()).status_code == 200


class Thinking:
    """A ChatModel that says nothing at first, and then a few tokens with pauses."""

    name = "thinking"

    def __init__(self, seconds, tokens=3, pause_s=0.0):
        self.seconds, self.tokens, self.pause_s = seconds, tokens, pause_s

    async def stream(self, request):
        await asyncio.sleep(self.seconds)
        for n in range(self.tokens):
            yield Delta(text=f"t{n} ")
            await asyncio.sleep(self.pause_s)
        yield Finish(reason="stop")


def test_a_stream_shows_life_before_the_model_speaks(gateway, ask, monkeypatch):
    monkeypatch.setattr(chat, "ALIVE_S", 0.3)
    there = gateway({"custom": Thinking(2.0)}, parallel=1)
    started, first = time.monotonic(), 0.0
    with there.http.stream("POST", CHAT, json=ask(stream=True)) as stream:
        lines = []
        for line in stream.iter_lines():
            first = first or time.monotonic() - started
            lines.append(line)
    assert first < 1.6  # FIRST_BYTE_S on a busy machine
    assert 2 <= lines.count(": keep-alive") <= 6
    assert "".join(texts(lines)) == "t0 t1 t2 "
    chunks = there.client.chat.completions.create(**ask(), stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "t0 t1 t2 "


def test_a_stream_that_waits_says_how_many_are_before_it(gateway, ask):
    there = gateway({"custom": Thinking(6), "base": Scripted(lambda r: "x")}, parallel=1)
    with there.http.stream("POST", CHAT, json=ask(stream=True)) as running:
        lines = running.iter_lines()
        next(lines)
        with there.http.stream("POST", CHAT, json=ask(stream=True) | {"model": "base"}) as waiting:
            assert waiting.headers["x-inhouse-queue"] == "1"
            assert next(waiting.iter_lines()) == ": queued, 1 before it is answered"


def test_tokens_of_a_stream_are_written_in_pieces(gateway, ask):
    there = gateway({"custom": Thinking(0, 60, 0.02)})
    written, sent = [], there.state.audit.sent

    async def counted(id, text):
        written.append(text)
        return await sent(id, text)

    there.state.audit.sent = counted
    with there.http.stream("POST", CHAT, json=ask(stream=True)) as stream:
        got = [text for text in texts(stream.iter_lines()) if text]
    assert "".join(got) == "".join(f"t{n} " for n in range(60))
    assert len(got) == 60  # each token is a chunk
    assert 2 <= len(written) <= 12
