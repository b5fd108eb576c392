"""Alerts to people: by webhook, by mail, and to chats that read Slack's format.

`send` writes to the database and returns; a task of the server delivers, in threads with time limits, so neither waits
for another machine. What cannot be delivered is tried again for hours, also by the next server. Secrets come from
environment variables and are in no message, log, or database.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial

import httpx

from inhouse.assembly.workspace import Workspace
from inhouse.config.alerts import Alerts as Settings
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError, InhouseError
from inhouse.serving.watched import Waiting
from inhouse.store.alerts import Alert, AlertBox, Kept
from inhouse.store.ledger import Ledger
from inhouse.store.tables import now_ms, to_iso

DELIVER_S = 1.0  # between two looks for what is to be sent
LIMIT_S = 10.0  # of one delivery
COLORS = {"info": "#4a6fa5", "warning": "#b7791f", "critical": "#c53030"}
log = logging.getLogger("inhouse.gateway")
Channel = Callable[[Alert, str, str], None]  # gets an alert, its ID, and when it was made


class Alerts:
    """The alerts of a project.

    Args:
        project: its [alerts] section says where they go.
        ledger: keeps them until they are delivered.
        failed: called when a delivery fails.

    Raises:
        ConfigError: the section names an environment variable that is not set, or a mail server without addresses.
    """

    def __init__(self, project: Project, ledger: Ledger, failed: Callable[[], object] = lambda: None) -> None:
        self._settings, self._box, self._failed = project.alerts, AlertBox(ledger), failed
        gateway = project.gateway
        self._home = project.alerts.console_url.rstrip("/") or f"http://{gateway.host}:{gateway.port}/console"
        self._project = project.name
        self.channels: Mapping[str, Channel] = self._opened()

    def send(self, alert: Alert, window_s: float | None = None) -> bool:
        """Keeps an alert for delivery, unless one with its key was sent within the window; whether it did.

        It never fails: what cannot be kept is logged. It waits for the database alone.
        """
        window = self._settings.window_minutes * 60 if window_s is None else window_s
        try:
            return bool(self._box.add(alert, list(self.channels), round(window * 1000)))
        except BackendError as error:
            self._failed()
            log.error("an alert could not be kept", exc_info=error, extra={"facts": {"alert": alert.title}})
            return False

    async def run(self) -> None:
        """Delivers what is due until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.deliver)
            except Exception as error:
                log.warning("alerts could not be looked for", exc_info=error)
            await asyncio.sleep(DELIVER_S)

    def deliver(self) -> None:
        """Sends what is due, each to the channels that do not have it yet.

        Raises:
            BackendError: the database fails.
        """
        while due := self._box.take():
            kept = due[0]
            sent, failures = [], []
            for name in kept.left:
                if why := self._sent(name, kept):
                    failures.append(f"{name}: {why}")
                else:
                    sent.append(name)
            status = self._box.done(kept, sent, "; ".join(failures))
            if failures:
                self._failed()
                facts = {"alert": kept.alert.title, "why": "; ".join(failures), "attempt": kept.attempts + 1}
                log.log(logging.ERROR if status == "failed" else logging.WARNING, "an alert was not delivered",
                        extra={"facts": facts})  # fmt: skip

    def test(self) -> dict[str, str]:
        """Sends a test alert to every channel now; by channel why it failed, "" where it did not.

        Raises:
            ConfigError: there is no channel.
        """
        if not self.channels:
            hint = "set alerts.webhook, alerts.slack_env, or alerts.smtp_host in the project file"
            raise ConfigError("alerts go nowhere: no channel is set", hint)
        alert = Alert(kind="test", title="Test of inhouse alerts", text="Alerts arrive here.", severity="info",
                      link="/incidents", key="test")  # fmt: skip
        kept = Kept(id="test", at=to_iso(now_ms()), alert=alert, status="waiting")
        return {name: self._sent(name, kept) for name in self.channels}

    def link(self, alert: Alert) -> str:
        """The address of the alert's page; "" if it has none."""
        return f"{self._home}{alert.link}" if alert.link.startswith("/") else ""

    def _sent(self, name: str, kept: Kept) -> str:
        """Sends an alert; why it failed, without what may be secret, "" if it did not."""
        if name not in self.channels:
            return "this channel is not set any more"
        try:
            self.channels[name](kept.alert, kept.id, kept.at)
        except InhouseError as error:
            return str(error)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, smtplib.SMTPException, ValueError) as error:
            return type(error).__name__  # its text may have the address, which is a secret of some chats
        return ""

    # --- channels -----------------------------------------------------------------------------------------------

    def _opened(self) -> dict[str, Channel]:
        settings, channels = self._settings, dict[str, Channel]()
        if settings.webhook:
            secret = _secret("webhook_secret_env", settings.webhook_secret_env) if settings.webhook_secret_env else ""
            channels["webhook"] = partial(self._webhook, settings.webhook, secret)
        if settings.slack_env:
            channels["slack"] = partial(self._slack, _secret("slack_env", settings.slack_env))
        if settings.smtp_host:
            if not (settings.mail_from and settings.mail_to):
                hint = "set alerts.mail_from and alerts.mail_to"
                raise ConfigError("alerts.smtp_host: mail needs a sender and someone to get it", hint)
            password = _secret("smtp_password_env", settings.smtp_password_env) if settings.smtp_user else ""
            channels["mail"] = partial(self._mail, settings, password)
        return channels

    def _webhook(self, url: str, secret: str, alert: Alert, id: str, at: str) -> None:
        told = {"id": id, "at": at, "project": self._project, **alert.model_dump(mode="json"), "link": self.link(alert)}
        body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        moment = str(int(time.time()))
        headers = {"Content-Type": "application/json", "X-Inhouse-Timestamp": moment, "X-Inhouse-Alert": id}
        if secret:
            headers["X-Inhouse-Signature"] = signature(secret, moment, body)
        _post(url, body, headers)

    def _slack(self, url: str, alert: Alert, id: str, at: str) -> None:
        body = json.dumps(slack(alert, self._project, self.link(alert))).encode()
        _post(url, body, {"Content-Type": "application/json"})

    def _mail(self, settings: Settings, password: str, alert: Alert, id: str, at: str) -> None:
        message = mail(settings, alert, self._project, self.link(alert), at)
        context = ssl.create_default_context()
        host, port = settings.smtp_host, settings.smtp_port
        if settings.smtp_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=LIMIT_S, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=LIMIT_S)
        with server:
            if settings.smtp_security == "starttls":
                server.starttls(context=context)
            if settings.smtp_user:
                server.login(settings.smtp_user, password)
            server.send_message(message)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What the header X-Inhouse-Signature must be: receivers compare it, and refuse old timestamps."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def tells_of_waiting(workspace: Workspace) -> Callable[[Waiting], None]:
    """Tells people what the watch leaves to them. A running server delivers it, so the watch needs no secrets."""
    settings = workspace.project.alerts
    given = {"webhook": settings.webhook, "slack": settings.slack_env, "mail": settings.smtp_host}
    channels, window_ms = [name for name, value in given.items() if value], round(settings.window_minutes * 60_000)

    def tell(waiting: Waiting) -> None:
        alert = Alert(
            kind="watch", title=f"The watch waits for a person: {waiting.kind}", text=waiting.text,
            severity="critical" if waiting.kind == "failed" else "warning",
            link="/drift" if waiting.kind == "drift" else "/home", key=f"watch:{waiting.kind}:{waiting.at}",
        )  # fmt: skip
        with workspace.ledger() as ledger:
            AlertBox(ledger).add(alert, channels, window_ms)

    return tell


def slack(alert: Alert, project: str, link: str) -> dict[str, object]:
    """An alert in Slack's format, which other chats read too."""

    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    title = f"[{escaped(project)}] {escaped(alert.title)}"
    more = f"{escaped(alert.text)}\n<{link}|Open the console>" if link else escaped(alert.text)
    return {
        "text": title,
        "attachments": [{"color": COLORS[alert.severity], "text": more, "mrkdwn_in": ["text"], "fallback": title}],
    }


def mail(settings: Settings, alert: Alert, project: str, link: str, at: str) -> EmailMessage:
    """An alert as a mail. Line breaks in a title are spaces."""
    message = EmailMessage()
    message["Subject"] = " ".join(f"[{project}] {alert.title}".split())
    message["From"], message["To"] = settings.mail_from, ", ".join(settings.mail_to)
    message["Date"] = formatdate(datetime.fromisoformat(at).astimezone(UTC).timestamp())
    message["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2].strip("> ") or "localhost")
    message.set_content("\n\n".join(part for part in (alert.text, link, f"{alert.severity}, {at}") if part))
    return message


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises:
    BackendError: the receiver did not accept it.
    """
    response = httpx.post(url, content=body, headers=headers, timeout=LIMIT_S, follow_redirects=False)
    if not response.is_success:
        raise BackendError(f"the receiver answered {response.status_code}")


def _secret(key: str, variable: str) -> str:
    if not variable or not (value := os.environ.get(variable, "")):
        problem = f"alerts.{key}: the environment variable {variable or '(none)'} is not set"
        raise ConfigError(problem, "set it, or leave the key empty")
    return value
