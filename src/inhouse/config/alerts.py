"""The keys of inhouse.toml for alerts: what is sent where when something needs a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section


class Alerts(Section):
    """Alerts go to every channel that is set. `inhouse alerts test` sends one."""

    webhook: str = ""
    """URL that gets each alert as JSON, by POST; empty for none."""
    webhook_secret_env: str = ""
    """Environment variable with a secret. The header X-Inhouse-Signature then has "sha256=" and the HMAC-SHA256, in
    hex, of the header X-Inhouse-Timestamp, a dot, and the body."""
    slack_env: str = ""
    """Environment variable with the URL of an incoming webhook of Slack, Mattermost, Rocket.Chat, or another chat that
    reads Slack's format; empty for none."""
    smtp_host: str = ""
    """Mail server; empty sends no mail."""
    smtp_port: int = Field(587, ge=1, le=65535)
    """Port of the mail server."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection to the mail server is encrypted. "none" is for a server on this machine."""
    smtp_user: str = ""
    """Name to sign in with; empty does not sign in."""
    smtp_password_env: str = ""
    """Environment variable with the password of that name."""
    mail_from: str = ""
    """Address of the sender."""
    mail_to: tuple[str, ...] = ()
    """Addresses that get each alert."""
    window_minutes: float = Field(60, ge=0)
    """The same alert is sent once in this time. Minutes."""
    console_url: str = ""
    """Address of the console as people reach it, such as https://assistant.example.com/console, for links; empty means
    the address that the server listens on."""
