"""Alerts as they arrive: a signed webhook, Slack's format, mail over TLS; failures are kept and tried again."""

import asyncio
import datetime
import email
import json
import socketserver
import ssl
import threading
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inhouse.assembly.workspace import Workspace
from inhouse.cli.alerts import list_alerts, send_test
from inhouse.config.alerts import Alerts as Settings
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError
from inhouse.serving.alerts import Alerts, signature, tells_of_waiting
from inhouse.serving.watched import Waiting
from inhouse.store.alerts import Alert, AlertBox
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.tables import ALERTS

ALERT = Alert(kind="rollback", title="bank/2 was rolled back <now>", text="Errors & more.\nA lot.", severity="critical",
              link="/incidents", key="k")  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(ledger_url(tmp_path))
    yield ledger
    ledger.close()


@pytest.fixture
def receiver():
    """An HTTP server; `got` has paths, headers, and bodies, `status` is what it answers."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, self.headers, body))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.got, server.url = 200, got, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def project(**alerts):
    return Project(name="bank", alerts=Settings(**alerts))


def due_now(ledger):
    with ledger.write() as connection:
        connection.execute(ALERTS.update().values(next_ms=0))


# --- webhook and chat -------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_alert_signed(ledger, receiver, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    alerts = Alerts(project(webhook=f"{receiver.url}/hook", webhook_secret_env="SECRET", console_url="https://a.example/console/"), ledger)  # fmt: skip
    assert alerts.send(ALERT)
    assert not alerts.send(ALERT)  # the same within the hour
    alerts.deliver()
    alerts.deliver()
    ((path, headers, body),) = receiver.got
    told = json.loads(body)
    assert path == "/hook"
    assert told["link"] == "https://a.example/console/incidents"
    assert (told["project"], told["title"], told["severity"]) == ("bank", ALERT.title, "critical")
    assert headers["x-inhouse-signature"] == signature("s3cret", headers["x-inhouse-timestamp"], body)
    assert signature("other", headers["x-inhouse-timestamp"], body) != headers["x-inhouse-signature"]
    kept = AlertBox(ledger).recent()[0]
    assert (kept.status, kept.sent, headers["x-inhouse-alert"]) == ("sent", ("webhook",), kept.id)
    assert "s3cret" not in kept.model_dump_json()


def test_a_chat_gets_slacks_format(ledger, receiver, monkeypatch):
    monkeypatch.setenv("CHAT", f"{receiver.url}/services/T0/B0/xyz")
    alerts = Alerts(project(slack_env="CHAT"), ledger)
    alerts.send(ALERT)
    alerts.deliver()
    ((path, _, body),) = receiver.got
    told = json.loads(body)
    assert path == "/services/T0/B0/xyz"
    assert told["text"] == "[bank] bank/2 was rolled back &lt;now&gt;"
    assert told["attachments"][0]["text"].startswith(
        "Errors &amp; more.\nA lot.\n<http://127.0.0.1:8000/console/incidents|"
    )


def test_what_fails_is_kept_and_tried_again_at_that_channel_alone(ledger, receiver, monkeypatch, caplog):
    monkeypatch.setenv("CHAT", "http://127.0.0.1:9/services/secret")
    failed = []
    alerts = Alerts(project(webhook=receiver.url, slack_env="CHAT"), ledger, lambda: failed.append(1))
    alerts.send(ALERT)
    alerts.deliver()
    kept = AlertBox(ledger).recent()[0]
    assert (kept.status, kept.sent, kept.left, kept.failure) == (
        "waiting",
        ("webhook",),
        ("slack",),
        "slack: ConnectError",
    )
    assert len(failed) == 1
    assert "secret" not in caplog.text
    monkeypatch.setenv("CHAT", f"{receiver.url}/chat")
    due_now(ledger)
    Alerts(project(webhook=receiver.url, slack_env="CHAT"), ledger).deliver()  # another server
    assert [path for path, _, _ in receiver.got] == ["/", "/chat"]
    assert AlertBox(ledger).recent()[0].status == "sent"


def test_a_receiver_that_refuses_or_redirects_is_a_failure(ledger, receiver):
    alerts = Alerts(project(webhook=receiver.url), ledger)
    for status in (500, 302):
        receiver.status = status
        assert alerts.test() == {"webhook": f"the receiver answered {status}"}


async def test_a_server_delivers_beside_its_answers(ledger, receiver):
    alerts = Alerts(project(webhook=receiver.url), ledger)
    task = asyncio.create_task(alerts.run())
    await asyncio.to_thread(alerts.send, ALERT)
    for _ in range(500):
        await asyncio.sleep(0.02)
        if receiver.got:
            break
    assert receiver.got
    task.cancel()


def test_an_alert_that_cannot_be_kept_is_logged_and_stops_nobody(ledger, caplog):
    with ledger.write() as connection:
        ALERTS.drop(connection)
    assert not Alerts(project(), ledger).send(ALERT)
    assert "an alert could not be kept" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"slack_env": "NOT_SET"}, "alerts.slack_env: the environment variable NOT_SET"),
     ({"webhook": "http://x", "webhook_secret_env": "NOT_SET"}, "webhook_secret_env"),
     ({"smtp_host": "mail", "mail_to": ["a@b"]}, "a sender"),
     ({"smtp_host": "mail", "mail_to": ["a@b"], "mail_from": "a@b", "smtp_user": "u"}, "smtp_password_env")],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(ledger, settings, words):
    with pytest.raises(ConfigError, match=words):
        Alerts(project(**settings), ledger)


# --- mail -------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path):
    """Key and certificate of 127.0.0.1 in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    file = tmp_path / "mail.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def mailbox(certificate):
    """A mail server that knows STARTTLS; `said` are the commands, `mails` what it got, `plain` before TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            line, secure = self._open(self.request), False
            line.write(b"220 here\r\n")
            while command := line.readline().decode().strip():
                server.said.append((secure, command))
                verb = command.upper().split()[0]
                if verb == "EHLO":
                    line.write(
                        b"250-here\r\n250-AUTH PLAIN\r\n" + (b"" if secure else b"250-STARTTLS\r\n") + b"250 OK\r\n"
                    )
                elif verb == "STARTTLS":
                    line.write(b"220 go\r\n")
                    line.flush()
                    try:
                        self.request = context.wrap_socket(self.request, server_side=True)
                    except OSError:
                        return
                    line, secure = self._open(self.request), True
                elif verb == "DATA":
                    line.write(b"354 go\r\n")
                    body = []
                    while (part := line.readline()) != b".\r\n":
                        body.append(part)
                    server.mails.append(b"".join(body))
                    line.write(b"250 OK\r\n")
                elif verb == "QUIT":
                    line.write(b"221 bye\r\n")
                    return
                else:
                    line.write(b"235 OK\r\n" if verb == "AUTH" else b"250 OK\r\n")

        def finish(self):
            self.request.close()

        def _open(self, connection):
            return connection.makefile("rwb", buffering=0)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.said, server.mails, server.port = [], [], server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def mailing(mailbox, **more):
    return project(smtp_host="localhost", smtp_port=mailbox.port, mail_from="Bank <bot@bank.example>",
                   mail_to=["ann@bank.example", "bob@bank.example"], **more)  # fmt: skip


def test_a_mail_is_sent_over_tls_with_a_password(ledger, mailbox, certificate, monkeypatch):
    monkeypatch.setenv("PASSWORD", "pass word")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    alerts = Alerts(mailing(mailbox, smtp_user="bot", smtp_password_env="PASSWORD"), ledger)
    assert alerts.test() == {"mail": ""}
    message = email.message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert message["subject"] == "[bank] Test of inhouse alerts"
    assert message["to"] == "ann@bank.example, bob@bank.example"
    assert "http://127.0.0.1:8000/console/incidents" in message.get_content()
    assert all(secure for secure, command in mailbox.said if command.split()[0] in ("AUTH", "MAIL", "DATA"))


def test_a_certificate_that_is_not_trusted_gets_no_mail(ledger, mailbox):
    assert Alerts(mailing(mailbox), ledger).test() == {"mail": "SSLCertVerificationError"}
    assert mailbox.mails == []


def test_line_breaks_make_no_headers(ledger, mailbox):
    alerts = Alerts(mailing(mailbox, smtp_security="none"), ledger)
    alerts.send(ALERT.model_copy(update={"title": "a\r\nBcc: eve@example.com"}))
    alerts.deliver()
    message = email.message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert message["subject"] == "[bank] a Bcc: eve@example.com"
    assert message["bcc"] is None


# --- commands ---------------------------------------------------------------------------------------------------


def test_the_commands_send_one_and_list_them(tmp_path, receiver, capsys):
    (tmp_path / "inhouse.toml").write_text(f'name = "bank"\n[alerts]\nwebhook = "{receiver.url}"\n')
    send_test(tmp_path)
    assert capsys.readouterr().out.split() == ["webhook", "sent"]
    assert json.loads(receiver.got[0][2])["kind"] == "test"
    list_alerts(tmp_path)
    assert capsys.readouterr().out == "No alerts yet.\n"
    receiver.status = 500
    with pytest.raises(BackendError, match="the receiver answered 500"):
        send_test(tmp_path)
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n')
    with pytest.raises(ConfigError, match="no channel is set"):
        send_test(tmp_path)


def test_the_watch_needs_no_secrets_of_alerts(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    project = Project.model_validate({"name": "bank", "alerts": {"slack_env": "NOWHERE_SET"}}).at(tmp_path)
    workspace = Workspace(project)
    tells_of_waiting(workspace)(Waiting(kind="build", at="2026-11-30T12:00:00Z", text="It failed."))
    with workspace.ledger() as ledger, ledger.read() as connection:
        [kept] = connection.execute(ALERTS.select()).mappings().all()
    assert "slack" in str(dict(kept))


def test_what_the_watch_leaves_to_people_is_kept_for_delivery(tmp_path):
    workspace = Workspace(Project.model_validate({"name": "bank"}).at(tmp_path))
    tell = tells_of_waiting(workspace)
    waiting = Waiting(kind="release", at="2026-11-30T12:00:00Z", text="Release 2 is better; promote it.")
    tell(waiting)
    tell(waiting)
    with workspace.ledger() as ledger, ledger.read() as connection:
        kept = connection.execute(ALERTS.select()).mappings().all()
    assert [row["content"]["alert"]["title"] for row in kept] == ["The watch waits for a person: release"]
