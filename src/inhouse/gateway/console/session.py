"""Who is signed in and what their role may open; and the signer of what a sign-in form and a provider bring back.

A session is a row of the ledger (`store.sessions`), and its token is in a cookie that scripts cannot read and other
sites cannot send. It ends with its API key, and role and groups are looked up at each request: those of the key, or
what the project file makes of the claims of a person who signed in at a provider. The signer's secret is a file in the
store's folder that only its owner may read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from inhouse.errors import BackendError
from inhouse.files import replacing
from inhouse.store.artifacts import locked
from inhouse.store.keys import KeyRole
from inhouse.types import Json, Record

COOKIE = "inhouse_console"
SECRET_FILE = "console.secret"  # noqa: S105  the name of the file
SECRET_BYTES = 32

ADMIN: KeyRole = "admin"
REVIEWER: KeyRole = "reviewer"
AUDITOR: KeyRole = "auditor"
USER: KeyRole = "user"
PAGES: Mapping[str, frozenset[KeyRole]] = {
    "playground": frozenset({ADMIN, REVIEWER, AUDITOR, USER}),
    "inbox": frozenset({ADMIN, REVIEWER}),
    "verdict": frozenset({ADMIN}),
    "cascade": frozenset({ADMIN}),
    "knowledge": frozenset({ADMIN, REVIEWER}),
    "data": frozenset({ADMIN, REVIEWER}),
    "traffic": frozenset({ADMIN}),
    "quality": frozenset({ADMIN, REVIEWER}),
    "agents": frozenset({ADMIN}),
    "experiments": frozenset({ADMIN}),
    "audit": frozenset({ADMIN, REVIEWER, AUDITOR}),
    "run": frozenset({ADMIN, REVIEWER, AUDITOR}),
    "actions": frozenset({ADMIN, AUDITOR}),
    "settings": frozenset({ADMIN}),
}


class Session(Record):
    """Someone signed in. `key` is the id of their API key, or "oidc:SUBJECT"; `csrf` is in each of their forms.

    `claims` are what the provider said of a person.
    """

    key: str
    name: str
    role: KeyRole
    groups: frozenset[str] = frozenset()
    csrf: str
    claims: dict[str, Json] = Field(default_factory=dict)

    def may(self, page: str) -> bool:
        return self.role in PAGES.get(page, ())

    def may_read(self, groups: frozenset[str]) -> bool:
        """Whether they may see an answer to someone in `groups`: it may quote what only those may read."""
        return self.role == ADMIN or groups <= self.groups


class Signer:
    """Signs values and reads them back; a signature for one purpose is refused for another."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, purpose: str, value: Json) -> str:
        body = base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()
        return f"{body}.{self._mac(purpose, body)}"

    def read(self, purpose: str, text: str) -> Json:
        """The value, None if the signature is wrong."""
        body, _, mac = text.partition(".")
        if not hmac.compare_digest(self._mac(purpose, body).encode(), mac.encode("utf-8", "replace")):
            return None
        try:
            return json.loads(base64.urlsafe_b64decode(body))
        except (ValueError, binascii.Error):
            return None

    def _mac(self, purpose: str, body: str) -> str:
        mac = hmac.new(self._secret, f"{purpose}:{body}".encode("utf-8", "replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def secret_in(folder: Path) -> bytes:
    """The store's secret, made on first use; processes that start at the same time get the same one.

    Raises:
        BackendError: it cannot be written or read, or others may read it.
    """
    file = folder / SECRET_FILE
    try:
        if not file.exists():
            with locked(folder / "locks" / SECRET_FILE, wait=True):
                if not file.exists():  # another process may have been first
                    with replacing(file, 0o600) as partial:
                        partial.write_bytes(secrets.token_bytes(SECRET_BYTES))
        if file.stat().st_mode & 0o077:
            raise BackendError(f"{file}: other users may read it", f"delete it, or run chmod 600 {file}")
        secret = file.read_bytes()
    except OSError as error:
        problem = f"{file}: cannot store the secret for sessions ({error.strerror})"
        raise BackendError(problem, "make the folder writable") from error
    if len(secret) != SECRET_BYTES:
        raise BackendError(f"{file}: damaged", "delete it; a new one is made")
    return secret
