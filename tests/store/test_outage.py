"""The audit while its database fails, while processes share it, and after they were killed."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from inhouse.errors import BackendError
from inhouse.store import audit as module
from inhouse.store.audit import Audit
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url

WRITES = """
import asyncio, sys, uuid
from inhouse.store.audit import Audit
from inhouse.store.ledger import Ledger
from inhouse.store.tables import now_ms, to_iso
from inhouse.chat import Exchange
from inhouse.types import Message

async def ask(audit):
    while True:
        one = Exchange(id=uuid.uuid4().hex, at=to_iso(now_ms()), user="u", key="k", model="m", release="r", arm="a",
                       messages=(Message(role="user", content="q"),), answer="a" * 1000, reason="stop")
        await audit.append(one)
        print(one.id, flush=True)

async def main():
    audit = Audit(Ledger(sys.argv[1]))
    await asyncio.gather(*(ask(audit) for _ in range(8)))

asyncio.run(main())
"""


class Wire:
    """A way to the server that can be cut: connections are dropped and refused, or swallowed, until it is mended."""

    def __init__(self, host, port):
        self.server, self.pairs, self.state = (host, port), [], "up"
        self.open()

    def open(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.server)
            self.pairs += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=[a, b], daemon=True).start()

    def copy(self, a, b):
        try:
            while data := a.recv(65536):
                while self.state == "silent":
                    time.sleep(0.02)
                b.sendall(data)
        except OSError:
            pass

    def cut(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.pairs:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.pairs.clear()


@pytest.fixture
def wire(url):
    """A Wire to the PostgreSQL of this test, and the URL through it."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "postgresql":
        pytest.skip("SQLite has no wire")
    wire = Wire(parsed.host, parsed.port or 5432)
    yield wire, parsed.set(host="127.0.0.1", port=wire.port).render_as_string(hide_password=False)
    wire.state = "up"
    wire.cut()


async def fails(audit, exchange, within_s):
    started = time.monotonic()
    results = await asyncio.gather(*(audit.append(exchange()) for _ in range(5)), return_exceptions=True)
    assert all(type(r) is BackendError for r in results), results
    assert time.monotonic() - started < within_s
    assert audit.trouble


async def test_a_server_that_goes_and_comes_back(wire, exchange):
    wire, url = wire
    ledger = Ledger(url)
    audit, keys = Audit(ledger), Keys(ledger)
    _, secret = keys.create("ann", "user")
    kept = [exchange() for _ in range(20)]
    await asyncio.gather(*map(audit.append, kept[:10]))
    wire.cut()
    await fails(audit, exchange, within_s=8)
    with pytest.raises(BackendError):
        keys.check(secret)
    wire.open(wire.port)
    await asyncio.sleep(0.6)
    await asyncio.gather(*map(audit.append, kept[10:]))
    assert keys.check(secret)
    assert audit.trouble == ""
    assert all(audit.get(one.id) == one for one in kept)
    assert audit.verify().rows == 21, "the key that was created too"
    audit.close()
    ledger.close()


async def test_a_server_that_says_nothing(wire, exchange, monkeypatch):
    wire, url = wire
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 1)
    ledger = Ledger(url)
    audit = Audit(ledger)
    await audit.append(exchange())
    wire.state = "silent"
    started = time.monotonic()
    with pytest.raises(BackendError, match="within 1 s"):
        await audit.append(exchange())
    assert time.monotonic() - started < 4
    wire.state = "up"
    await audit.append(exchange())
    assert audit.verify().rows == 3  # the one that had to wait too
    audit.close()
    ledger.close()


async def test_backends_that_the_server_ends(url, exchange):
    if url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    ledger = Ledger(url)
    audit = Audit(ledger)
    results = []

    async def load():
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            one = exchange()
            try:
                await audit.append(one)
                results.append(one)
            except BackendError:
                results.append(None)

    async def end():
        server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        for _ in range(4):
            await asyncio.sleep(0.3)
            with server.connect() as connection:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                connection.exec_driver_sql(f"{others} AND pid <> pg_backend_pid()")

    await asyncio.gather(end(), *(load() for _ in range(4)))
    kept = [one for one in results if one]
    assert results[-1]
    assert all(audit.get(one.id) for one in kept)
    assert audit.verify().ok
    audit.close()
    ledger.close()


async def test_a_locked_file_fails_in_time_and_recovers(tmp_path, exchange):
    ledger = Ledger(ledger_url(tmp_path))
    audit = Audit(ledger)
    await audit.append(exchange())
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await fails(audit, exchange, within_s=8)
    assert "locked" in audit.trouble
    other.execute("ROLLBACK")
    other.close()
    await audit.append(exchange())
    assert audit.trouble == ""
    assert audit.verify().rows == 2
    audit.close()
    ledger.close()


async def test_a_full_disk_fails_and_recovers(tmp_path, exchange):
    ledger = Ledger(ledger_url(tmp_path))
    audit = Audit(ledger)
    await audit.append(exchange())

    def limit(pages):
        with ledger._engine.connect() as connection:  # the pool's one connection, which the writer takes next
            return connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()

    limit(1)  # SQLite then says that the disk is full
    long = exchange("fees " * 50_000)
    with pytest.raises(BackendError, match="full"):
        await audit.append(long)
    limit(1_000_000)
    await audit.append(long)
    assert audit.verify().rows == 2
    audit.close()
    ledger.close()


def test_processes_that_are_killed_leave_a_chain_that_holds_all_they_told(url):
    Ledger(url).close()
    told = []
    for _ in range(2):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITES, url], stdout=subprocess.PIPE, text=True, env=os.environ)
            for _ in range(2)
        ]
        firsts = [writer.stdout.readline() for writer in writers]  # both at work
        time.sleep(0.3)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for first, writer in zip(firsts, writers, strict=True):
            lines = (first + writer.communicate()[0]).split("\n")
            told += lines[:-1]  # the last may be cut
            assert len(lines) > 2
    ledger = Ledger(url)
    audit = Audit(ledger)
    verified = audit.verify()
    assert verified.ok, verified
    assert verified.rows >= len(told)
    kept = {exchange.id for _, exchange in audit.find(limit=100_000)}
    assert set(told) <= kept
    ledger.close()


async def test_several_loops_and_writers_share_one_chain(url, exchange):
    ledgers = [Ledger(url) for _ in range(2)]
    audits = [Audit(ledger) for ledger in ledgers]
    numbers = []

    async def many(audit):
        numbers.extend(await asyncio.gather(*(audit.append(exchange()) for _ in range(40))))

    threads = [threading.Thread(target=lambda a=audit: asyncio.run(many(a))) for audit in audits * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 161))
    assert audits[0].verify().rows == 160
    for audit, ledger in zip(audits, ledgers, strict=True):
        audit.close()
        ledger.close()
