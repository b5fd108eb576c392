"""The head of the audit log, kept where someone who can rewrite the database cannot rewrite it too.

Kinds of places: `file:PATH` (a share, a write-once disk), `syslog` (of this machine) or `syslog:HOST:PORT` (of another,
by UDP), `rfc3161:URL` (a time-stamp authority), and the URL of a second database. Each anchoring is an action in the
log, with the authority's token; files and databases are read back by `kept`, tokens are checked against the authority's
certificate. Syslog cannot be read back: compare by hand.
"""

from __future__ import annotations

import base64
import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from inhouse.errors import BackendError, ConfigError, GateError
from inhouse.store.audit import Audit
from inhouse.store.ledger import engine_of
from inhouse.store.tables import now_ms, to_iso
from inhouse.types import Json, Record

ANCHORED = "head anchored"
UNANCHORED = "anchoring failed"
TIMEOUT_S = 10
MOST = 1_000_000  # anchorings that are read back
LOG_SOCKETS = ("/dev/log", "/var/run/syslog")
AUTH_NOTICE = 4 * 8 + 5  # facility and severity of a syslog message
log = logging.getLogger("inhouse.gateway")

_ANCHORS = sa.Table(
    "inhouse_anchor",
    sa.MetaData(),
    sa.Column("project", sa.String(200), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("head", sa.String(100), nullable=False),
)


class Kept(Record):
    """A head that was kept, and when."""

    head: str
    at: str


class Place(Protocol):
    name: str

    def keep(self, head: str) -> dict[str, Json]:
        """Keeps a head, and returns what the log should know of it.

        Raises:
            BackendError: it could not be kept.
        """
        ...

    def kept(self, audit: Audit) -> list[Kept]:
        """The heads that were kept.

        Raises:
            BackendError: they cannot be read.
            GateError: one is forged.
        """
        ...


def place_of(anchor: str, root: Path, project: str, certificate: str = "") -> Place | None:
    """The place of the setting `audit.anchor`; None if it is empty.

    Raises:
        ConfigError: it is none.
    """
    kind, _, rest = anchor.partition(":")
    if not anchor:
        return None
    host, _, port = rest.rpartition(":")
    if anchor == "syslog":
        return _Syslog(project, next((s for s in LOG_SOCKETS if os.path.exists(s)), LOG_SOCKETS[0]))
    if kind == "syslog" and host and port.isdecimal():
        return _Syslog(project, (host, int(port)))
    if kind == "file" and rest:
        return _File(root / Path(rest).expanduser())
    if kind == "rfc3161" and rest.startswith(("https://", "http://")):
        return _Authority(rest, root / Path(certificate).expanduser() if certificate else None)
    if kind.startswith(("postgres", "sqlite")):
        return _Database(anchor, project)
    hint = "use file:PATH, syslog, syslog:HOST:PORT, rfc3161:URL, or the URL of a second database"
    raise ConfigError(f"audit.anchor: {kind}: not a place for heads", hint)


def kept_heads(audit: Audit, place: Place) -> list[Kept]:
    """The heads that were kept at a place, the oldest first.

    Raises:
        BackendError: they cannot be read.
        GateError: one is forged, or one that the log says was kept is not there.
    """
    kept = sorted(place.kept(audit), key=_order)
    if not isinstance(place, _Syslog):
        there = {k.head for k in kept}
        for action in audit.actions(what=[ANCHORED], limit=MOST):
            if action.facts["place"] == place.name and action.facts["head"] not in there:
                raise GateError(f"{place.name}: the head of entry {action.seq - 1} is not there", "it was deleted")
    return kept


def anchor(audit: Audit, place: Place) -> str:
    """Keeps the head of the log; returns it. Nothing is kept where no entry followed the last anchoring.

    Raises:
        BackendError: it could not be kept.
        GateError: the last head at the place is not one of this log.
    """
    last = audit.actions(limit=1)
    head = audit.head()
    seq = int(head.partition(":")[0])
    if last and last[0].what == ANCHORED and last[0].seq == seq and last[0].facts["place"] == place.name:
        return str(last[0].facts["head"])
    if isinstance(place, _File | _Database):  # the tokens of an authority are in the log
        _own(audit, place)
    facts = place.keep(head)
    audit.act(ANCHORED, facts={"head": head, "place": place.name, **facts})
    return head


def _own(audit: Audit, place: Place) -> None:
    kept = max(place.kept(audit), key=_order, default=None)
    if kept and not audit.has(kept.head):
        seq = kept.head.partition(":")[0]
        hint = "set another audit.anchor if this is a copy of another project, or was restored from an older backup"
        problem = f"entry {seq} of this log differs from the head kept at {kept.at[:19]}"
        raise GateError(f"{place.name}: {problem}: it was rewritten, or is the log of a copy of another project", hint)


def _order(kept: Kept) -> tuple[str, int]:
    return kept.at, int(kept.head.partition(":")[0])


class _File:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.name = str(file)

    def keep(self, head: str) -> dict[str, Json]:
        line = json.dumps({"at": to_iso(now_ms()), "head": head}) + "\n"
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a full disk cut off the last line
                    line = f"\n{line}"
                if os.write(descriptor, line.encode()) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unkept(str(self._file), error.strerror or str(error)) from error
        return {}

    def kept(self, audit: Audit) -> list[Kept]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        except (OSError, ValueError) as error:
            raise BackendError(f"{self._file}: the heads cannot be read ({type(error).__name__})") from error
        found = []
        for line in lines:
            with suppress(ValueError, TypeError):  # cut off; the log says which heads have to be there
                found.append(Kept(**json.loads(line)))
        return found


class _Syslog:
    """A syslog receiver: a socket of this machine, or an address that gets datagrams. Unlike the system's own function,
    this fails where nobody listens; only a receiver on another machine can be gone unnoticed."""

    def __init__(self, project: str, address: str | tuple[str, int]) -> None:
        self._project, self._address = project, address
        self.name = "syslog" if isinstance(address, str) else f"syslog {address[0]}:{address[1]}"

    def keep(self, head: str) -> dict[str, Json]:
        at = time.strftime("%b %d %H:%M:%S")
        line = f"<{AUTH_NOTICE}>{at} inhouse: audit head {head} of {self._project}".encode(errors="replace")
        try:
            with self._connected() as receiver:
                receiver.sendall(line + b"\0" * (receiver.type == socket.SOCK_STREAM))
        except OSError as error:
            raise _unkept(self.name, error.strerror or str(error)) from error
        return {}

    def _connected(self) -> socket.socket:
        if not isinstance(self._address, str):
            family, kind, _, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            return _socket(family, kind, address)
        try:
            return _socket(socket.AF_UNIX, socket.SOCK_DGRAM, self._address)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
            return _socket(socket.AF_UNIX, socket.SOCK_STREAM, self._address)

    def kept(self, audit: Audit) -> list[Kept]:
        return []


def _socket(family: int, kind: int, address: Any) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.settimeout(TIMEOUT_S)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


class _Authority:
    """A time-stamp authority (RFC 3161). It signs the digest of a head with the time; its tokens are in the log."""

    def __init__(self, url: str, certificate: Path | None) -> None:
        self._url, self._certificate = url, certificate
        self.name = url

    def keep(self, head: str) -> dict[str, Json]:
        import httpx
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

        request = TimestampRequestBuilder().data(head.encode()).hash_algorithm(HashAlgorithm.SHA256).build()
        headers = {"content-type": "application/timestamp-query"}
        try:
            answer = httpx.post(self._url, content=request.as_bytes(), headers=headers, timeout=TIMEOUT_S)
            token = answer.raise_for_status().content
            decode_timestamp_response(token)
        except (httpx.HTTPError, ValueError) as error:
            raise _unkept(self._url, type(error).__name__) from error
        self._check(head, token)
        return {"token": base64.b64encode(token).decode()}

    def kept(self, audit: Audit) -> list[Kept]:
        kept = []
        for action in audit.actions(what=[ANCHORED], limit=MOST):
            if token := action.facts.get("token"):
                head = str(action.facts["head"])
                kept.append(Kept(head=head, at=self._check(head, base64.b64decode(token))))
        return kept

    def _check(self, head: str, token: bytes) -> str:
        """The time of a valid token."""
        from cryptography.x509 import load_pem_x509_certificates
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

        if self._certificate is None:
            raise ConfigError(
                "audit.anchor_certificate is not set", "name a PEM file with the authority's certificates"
            )
        try:
            roots = load_pem_x509_certificates(self._certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._certificate}: no certificates", "name a PEM file") from error
        builder = VerifierBuilder()
        for root in roots:
            builder = builder.add_root_certificate(root)
        try:
            response = decode_timestamp_response(token)
            builder.build().verify_message(response, head.encode())
            return response.tst_info.gen_time.isoformat()
        except (VerificationError, ValueError) as error:
            raise GateError(f"the time stamp of head {head[:20]}... is not valid: {error}") from error


class _Database:
    name = "a second database"

    def __init__(self, url: str, project: str) -> None:
        self._url, self._project = url, project

    def keep(self, head: str) -> dict[str, Json]:
        with self._opened() as connection:
            _ANCHORS.create(connection, checkfirst=True)
            values = {"project": self._project[:200], "at": to_iso(now_ms()), "head": head}
            connection.execute(_ANCHORS.insert().values(values))
        return {}

    def kept(self, audit: Audit) -> list[Kept]:
        with self._opened() as connection:
            if not sa.inspect(connection).has_table(_ANCHORS.name):
                return []
            query = sa.select(_ANCHORS.c.head, _ANCHORS.c.at).where(_ANCHORS.c.project == self._project[:200])
            return [Kept(head=row.head, at=row.at) for row in connection.execute(query)]

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        engine = engine_of(self._url)
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise _unkept("the second database", reason) from error
        finally:
            engine.dispose()


def _unkept(place: str, reason: str) -> BackendError:
    return BackendError(f"{place}: the head of the audit log could not be kept ({reason})", "check audit.anchor")


@contextmanager
def anchored(audit: Audit, place: Place | None, every_s: float) -> Iterator[None]:
    """Anchors the head at the start of the block, every `every_s`, and at its end. Failures are logged as errors, and
    the next anchoring tries again."""
    if place is None:
        yield
        return
    stop = threading.Event()

    def once() -> None:
        try:
            anchor(audit, place)
        except Exception as error:  # of any kind: the server answers on
            log.error("the head of the audit log was not anchored: %s", error)
            with suppress(Exception):
                audit.act(UNANCHORED, facts={"why": str(error)[:300]})

    def run() -> None:
        while not stop.is_set():
            once()
            stop.wait(every_s)
        once()

    thread = threading.Thread(target=run, name="anchor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=2 * TIMEOUT_S)
