"""Heads that are kept elsewhere show a log that was rewritten as a whole."""

import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inhouse.errors import BackendError, ConfigError, GateError
from inhouse.store import anchors
from inhouse.store.anchors import anchor, anchored, kept_heads, place_of
from inhouse.store.audit import Audit
from inhouse.store.chain import START, append
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.tables import AUDIT, HEAD

SETTINGS = """
[tsa]
default_tsa = own
[own]
serial = {0}/serial
crypto_device = builtin
signer_cert = {0}/tsa.pem
signer_key = {0}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
tsa_name = yes
ess_cert_id_alg = sha256
[ext]
extendedKeyUsage = critical,timeStamping
"""


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, input=given).stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A time-stamp authority on loopback, by `openssl ts`; its URL and its root certificate."""
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "serial").write_text("01")
    (folder / "tsa.cnf").write_text(SETTINGS.format(folder))
    key = ["-newkey", "rsa:2048", "-nodes"]
    openssl(
        "req",
        "-x509",
        *key,
        "-keyout",
        f"{folder}/ca.key",
        "-out",
        f"{folder}/ca.pem",
        "-subj",
        "/CN=root",
        "-days",
        "2",
    )
    openssl("req", *key, "-keyout", f"{folder}/tsa.key", "-out", f"{folder}/tsa.csr", "-subj", "/CN=stamps")
    openssl("x509", "-req", "-in", f"{folder}/tsa.csr", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key",
            "-CAcreateserial", "-out", f"{folder}/tsa.pem", "-days", "1", "-extfile", f"{folder}/tsa.cnf", "-extensions", "ext")  # fmt: skip

    class Stamps(BaseHTTPRequestHandler):
        def log_message(self, *_):
            return None

        def do_POST(self):
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["content-length"])))
            openssl(
                "ts",
                "-reply",
                "-config",
                f"{folder}/tsa.cnf",
                "-queryfile",
                f"{folder}/query",
                "-out",
                f"{folder}/reply",
            )
            body = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Stamps)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"rfc3161:http://127.0.0.1:{server.server_port}/tsr", folder / "ca.pem"
    server.shutdown()
    thread.join()
    server.server_close()


def rewrite(ledger):
    """Writes the whole chain anew with another answer, as someone could who owns the database."""
    with ledger.write() as connection:
        rows = [dict(row) for row in connection.execute(AUDIT.select().order_by(AUDIT.c.seq)).mappings()]
        connection.execute(AUDIT.delete())
        connection.execute(HEAD.update().values(seq=0, hash=START))
        rows[0] |= {"arm": "base"}
        append(connection, (0, START), [{k: v for k, v in row.items() if k not in ("seq", "hash")} for row in rows])


@pytest.fixture
def local(tmp_path):
    ledger = Ledger(ledger_url(tmp_path))
    audit = Audit(ledger)
    yield audit, ledger
    audit.close()
    ledger.close()


@pytest.mark.parametrize("kind", ["file", "database", "authority"])
async def test_a_log_that_was_rewritten_is_found(local, exchange, kind, tmp_path, authority):
    audit, ledger = local
    stamps, root = authority
    setting = {"file": "file:heads.jsonl", "database": f"sqlite:///{tmp_path}/second.sqlite", "authority": stamps}[kind]
    place = place_of(setting, tmp_path, "bank", str(root))
    await audit.append(exchange())
    first = anchor(audit, place)
    await audit.append(exchange())
    second = anchor(audit, place)
    assert anchor(audit, place) == second, "nothing happened since"
    kept = kept_heads(audit, place)
    assert [k.head for k in kept] == [first, second]
    assert all(k.at[:3] == "202" for k in kept)
    assert audit.verify(*(k.head for k in kept)).ok
    assert [a.what for a in audit.actions()] == ["head anchored", "head anchored"]
    rewrite(ledger)
    assert audit.verify().ok, "the chain alone does not show it"
    found = audit.verify(*(k.head for k in kept))
    assert (found.ok, found.broken_at) == (False, 1)
    assert "kept elsewhere" in found.reason


async def test_a_head_that_is_gone_or_forged_is_found(local, exchange, tmp_path, authority):
    audit, ledger = local
    place = place_of("file:heads.jsonl", tmp_path, "bank")
    await audit.append(exchange())
    anchor(audit, place)
    (tmp_path / "heads.jsonl").unlink()
    with pytest.raises(GateError, match="the head of entry 1 is not there"):
        kept_heads(audit, place)
    (tmp_path / "heads.jsonl").write_text("{}\n")
    with pytest.raises(GateError, match="the head of entry 1 is not there"):
        kept_heads(audit, place)
    (tmp_path / "heads.jsonl").write_bytes(b"\xff")
    with pytest.raises(BackendError, match="cannot be read"):
        kept_heads(audit, place)
    stamps, root = authority
    authority_place = place_of(stamps, tmp_path, "bank", str(root))
    anchor(audit, authority_place)
    head = audit.actions(limit=1)[0].facts
    audit.act("head anchored", facts={**head, "head": "1:" + "0" * 64})  # a token of another head
    with pytest.raises(GateError, match="is not valid"):
        kept_heads(audit, authority_place)


async def test_a_log_that_was_rewritten_before_it_was_anchored_again_is_found(local, exchange, tmp_path):
    audit, ledger = local
    place = place_of("file:heads.jsonl", tmp_path, "bank")
    await audit.append(exchange())
    await audit.append(exchange())
    anchor(audit, place)
    with ledger.write() as connection:  # also what says that a head was kept is gone
        connection.execute(AUDIT.delete().where(AUDIT.c.kind == "action"))
    rewrite(ledger)
    assert audit.verify().ok
    with pytest.raises(GateError, match=r"heads\.jsonl: entry 2 of this log differs"):
        anchor(audit, place)
    kept = kept_heads(audit, place)
    assert not audit.verify(*(k.head for k in kept)).ok


async def test_a_copy_of_a_project_does_not_spoil_the_heads_of_the_other(local, exchange, tmp_path):
    audit, ledger = local
    place = place_of("file:heads.jsonl", tmp_path, "bank")
    await audit.append(exchange())
    anchor(audit, place)
    ledger.wipe()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "copy")
    await audit.append(exchange())
    anchor(audit, place)
    copy = Ledger(ledger_url(tmp_path / "copy"))
    other = Audit(copy)
    await other.append(exchange())
    with pytest.raises(GateError, match="copy of another project"):
        anchor(other, place)
    assert audit.verify(*(k.head for k in kept_heads(audit, place))).ok
    other.close()
    copy.close()


async def test_a_line_cut_off_by_a_full_disk_is_no_head(local, exchange, tmp_path):
    audit, _ = local
    place = place_of("file:heads.jsonl", tmp_path, "bank")
    await audit.append(exchange())
    anchor(audit, place)
    with (tmp_path / "heads.jsonl").open("a") as heads:
        heads.write('{"at": "2026')
    await audit.append(exchange())
    anchor(audit, place)
    kept = kept_heads(audit, place)
    assert len(kept) == 2
    assert audit.verify(*(k.head for k in kept)).ok


def test_settings_that_are_no_place_are_refused(tmp_path):
    assert place_of("", tmp_path, "bank") is None
    for setting in ("file:", "nowhere", "syslog:", "syslog:here", "rfc3161:here", "https://stamps.example"):
        with pytest.raises(ConfigError, match=r"audit\.anchor"):
            place_of(setting, tmp_path, "bank")
    place = place_of("rfc3161:http://127.0.0.1:1/", tmp_path, "bank")
    with pytest.raises(BackendError, match="could not be kept"):
        place.keep("1:" + "0" * 64)


@pytest.mark.parametrize("kind", ["datagrams", "stream", "udp"])
async def test_a_syslog_receiver_gets_the_head(local, exchange, tmp_path, monkeypatch, kind):
    audit, _ = local
    await audit.append(exchange())
    file = str(tmp_path / "log")
    monkeypatch.setattr(anchors, "LOG_SOCKETS", (file, "/nowhere"))
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        receiver.bind(("127.0.0.1", 0) if kind == "udp" else file)
        setting = f"syslog:127.0.0.1:{receiver.getsockname()[1]}" if kind == "udp" else "syslog"
        if kind == "stream":
            receiver.listen()
        head = anchor(audit, place_of(setting, tmp_path, "bank"))
        with receiver.accept()[0] if kind == "stream" else receiver.dup() as got:
            line = got.recv(1000).decode()
    assert line.startswith("<37>")
    assert f" inhouse: audit head {head} of bank" in line


async def test_a_head_that_no_syslog_receiver_got_is_not_anchored(local, exchange, tmp_path, monkeypatch):
    audit, _ = local
    await audit.append(exchange())
    monkeypatch.setattr(anchors, "LOG_SOCKETS", (str(tmp_path / "log"),))
    place = place_of("syslog", tmp_path, "bank")
    with pytest.raises(BackendError, match="syslog: the head of the audit log could not be kept"):
        anchor(audit, place)
    assert audit.actions() == []


def test_a_place_that_comes_back_gets_the_head(local, tmp_path, caplog):
    audit, _ = local
    audit.act("tried")
    place = place_of("file:share/heads.jsonl", tmp_path, "bank")
    with anchored(audit, place, 0.05):
        until = time.monotonic() + 30
        while "was not anchored" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        (tmp_path / "share").mkdir()
        while not kept_heads(audit, place) and time.monotonic() < until:
            time.sleep(0.01)
    kept = kept_heads(audit, place)
    assert audit.verify(*(k.head for k in kept)).ok
    assert {a.what for a in audit.actions()} == {"tried", "head anchored", "anchoring failed"}


async def test_a_server_anchors_at_start_and_stop_and_says_when_it_cannot(local, exchange, tmp_path, caplog):
    audit, _ = local
    place = place_of("file:heads.jsonl", tmp_path, "bank")
    await audit.append(exchange())
    with anchored(audit, place, 3600):
        await audit.append(exchange())
    assert len(kept_heads(audit, place)) in (1, 2)
    assert audit.verify(*(k.head for k in kept_heads(audit, place))).ok
    with anchored(audit, place_of("file:none/heads", tmp_path, "bank"), 3600):
        pass
    assert "was not anchored" in caplog.text
    assert audit.actions(limit=1)[0].what == "anchoring failed"
    assert os.stat(tmp_path / "heads.jsonl").st_mode & 0o077 == 0
