"""The database of a project: its tables, opening and migrating it, and its errors.

SQLite in the project folder, or PostgreSQL by URL, both through SQLAlchemy Core; Alembic migrates the schema
(`migrations/`). Text of people and models may contain characters that a database rejects (PostgreSQL: NUL; both: lone
surrogates). Such text is stored as JSON, which escapes them. Columns that are searched by equality are labels: cleaned,
and cut to a length that an index can hold.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.store.turn import Turn
from inhouse.types import Json

SCHEMA = "0003"  # the newest revision in migrations/
WAIT_S = 3  # longest wait for a connection or a lock
STATEMENT_S = 5  # time limit of one statement of a write on PostgreSQL
UPGRADE_S = 60  # longest wait for another process that migrates the schema
LABEL_CHARS = 200
_CREATING = threading.Lock()
MIGRATION_LOCK = 0x696E686F757365  # "inhouse" in hex: one process at a time migrates a PostgreSQL schema


# --- values as columns hold them --------------------------------------------------------------------------------


def to_text(value: Json) -> str:
    """Canonical JSON that every database accepts: NUL is always escaped; lone surrogates make it all ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=sorted)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=sorted)
    return text


def label(text: str) -> str:
    """`text` without NUL and lone surrogates, at most LABEL_CHARS long; longer text is cut and ends in its digest."""
    if len(text) <= LABEL_CHARS and text.isascii() and "\0" not in text:
        return text
    if re.search("[\ud800-\udfff]", text):  # JSON returns two surrogates that form a pair as one character
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    clean = re.sub("[\0\ud800-\udfff]", "\ufffd", text)
    if len(clean) <= LABEL_CHARS:
        return clean
    return clean[: LABEL_CHARS - 64] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def to_ms(text: str) -> int:
    """An ISO 8601 time or day as milliseconds since 1970; UTC unless it names a time zone.

    Raises:
        InputError: `text` is not a time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is not a time", "write it as 2026-01-31 or 2026-01-31T12:00:00Z") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def to_iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


class Label(sa.TypeDecorator[str]):
    """A column for a name or ID that is searched by equality."""

    impl = sa.String(LABEL_CHARS)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else label(value)


class Body(sa.TypeDecorator[Json]):
    """A column for a value as JSON text, without loss on any database."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: sa.Dialect) -> str:
        return to_text(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Json:
        return None if value is None else json.loads(value)


# --- tables -----------------------------------------------------------------------------------------------------

METADATA = sa.MetaData()
NAMES = ("key", "model", "release", "arm", "experiment", "reason")
COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")
AMOUNTS = ("first_token_s", "latency_s", "cost_usd")
"""Columns of an exchange that are treated alike."""


def _column(name: str, kind: Any, *rest: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *rest, nullable=options.pop("nullable", False), **options)


AUDIT = sa.Table(
    "audit",
    METADATA,
    _column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    _column("kind", sa.String(16)),  # `chain` says which there are
    _column("id", Label, unique=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("user", Label, index=True),
    *(_column(name, Label) for name in NAMES),
    _column("confidence", sa.Double, nullable=True),
    *(_column(name, sa.BigInteger) for name in COUNTS),
    *(_column(name, sa.Double) for name in AMOUNTS),
    _column("content", sa.Text),  # the whole entry as JSON; empty if redacted
    _column("salt", sa.String(32)),
    _column("digest", sa.String(64)),  # of salt and content
    _column("hash", sa.String(64)),  # of the previous hash and every column except user, content, salt, and about
    _column("about", Label, server_default=""),  # what the entry is about, such as the ID of an exchange
)
_LIVE = AUDIT.c.experiment != ""
sa.Index("ix_audit_experiment", AUDIT.c.experiment, sqlite_where=_LIVE, postgresql_where=_LIVE)
ABOUT = AUDIT.c.about != sa.literal_column("''")  # a query uses the index if it has this condition in the same form
sa.Index("ix_audit_about", AUDIT.c.about, sqlite_where=ABOUT, postgresql_where=ABOUT)
"""Exchanges, redactions, and actions, each entry linked to the one before."""

HEAD = sa.Table(
    "audit_head",
    METADATA,
    _column("id", sa.Integer, primary_key=True, autoincrement=False),
    _column("seq", sa.BigInteger),
    _column("hash", sa.String(64)),
)
"""One row: the last entry of the audit log, so that a truncated chain is detected. Appending locks it."""

KEYS = sa.Table(
    "api_key",
    METADATA,
    _column("id", sa.String(32), primary_key=True),
    _column("digest", sa.String(64), unique=True),  # sha256 of the secret
    _column("name", Body),
    _column("role", sa.String(16)),
    _column("groups", Body),
    _column("expires_at", sa.String(40)),
    _column("per_minute", sa.Integer),
    _column("created_at", sa.String(40)),
    _column("revoked_at", sa.String(40)),
)

HANDOFFS = sa.Table(
    "handoff",
    METADATA,
    _column("id", sa.String(32), primary_key=True),
    _column("exchange_id", Label, unique=True),
    _column("at_ms", sa.BigInteger, index=True),
    _column("status", sa.String(16), index=True),
    _column("content", Body),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    _column("exchange_id", Label, primary_key=True),
    _column("user", Label, primary_key=True),
    _column("at_ms", sa.BigInteger),
    _column("thumb", sa.SmallInteger),
    _column("resolved", sa.Boolean, nullable=True),
    _column("comment", Body),
)

SESSIONS = sa.Table(
    "session",
    METADATA,
    _column("digest", sa.String(64), primary_key=True),  # sha256 of the token in the cookie
    _column("key", Label, index=True),  # ID of the API key, or "oidc:SUBJECT"
    _column("at_ms", sa.BigInteger),
    _column("seen_ms", sa.BigInteger),
    _column("until_ms", sa.BigInteger, index=True),
    _column("content", Body),
)
"""Who is signed in to the console."""

CALLS = sa.Table(
    "tool_call",
    METADATA,
    _column("key", sa.String(64), primary_key=True),  # digest of the conversation, the position, tool, and arguments
    _column("conversation", Label),
    _column("turn", sa.Integer),
    _column("ordinal", sa.Integer),
    _column("status", sa.String(16), index=True),
    _column("at_ms", sa.BigInteger),
    _column("until_ms", sa.BigInteger),
    _column("lease_ms", sa.BigInteger),
    _column("content", Body),
    sa.UniqueConstraint("conversation", "turn", "ordinal", name="uq_tool_call_position"),
)
"""Calls of tools: what agents did, are doing, or wait for a person to allow."""

TURNS = sa.Table(
    "turn",
    METADATA,
    _column("id", sa.String(64), primary_key=True),  # digest of conversation and number
    _column("conversation", Label),
    _column("number", sa.Integer),
    _column("exchange_id", Label, index=True),
    _column("owner", Label),
    _column("after", sa.String(64)),  # empty until the turn is complete
    _column("at_ms", sa.BigInteger),
    _column("content", Body),
    sa.UniqueConstraint("conversation", "number", name="uq_turn_number"),
    sa.Index("ix_turn_owner", "owner", "after"),
)
"""What is remembered of conversations with agents."""


# --- the database -----------------------------------------------------------------------------------------------


def engine_of(url: str) -> sa.Engine:
    """An engine for the database at a URL, as the ledger uses it.

    Raises:
        ConfigError: the URL is not a SQLite or PostgreSQL URL.
        BackendError: the SQLite file cannot be opened.
    """
    parsed = _parsed(url)
    return _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgres_engine(parsed)


def ledger_url(folder: Path, url: str = "") -> str:
    """The URL of a project's database: `url` if set, else a SQLite file in the store's folder."""
    return url or URL.create("sqlite", database=str(folder.absolute() / "ledger.sqlite")).render_as_string()


def open_ledger(folder: Path, url: str = "", url_env: str = "") -> Ledger:
    """Opens the database at the URL in the variable `url_env`, else at `url`, else SQLite in the store's folder.

    Raises:
        ConfigError: the variable is not set, or the URL is invalid.
        BackendError: the database cannot be opened.
    """
    if url_env and not (url := os.environ.get(url_env, "")):
        hint = "set it to the URL of the database"
        raise ConfigError(f"store.url_env: the environment variable {url_env} is not set", hint)
    return Ledger(ledger_url(folder, url))


class Ledger:
    """The database at `url`, opened and migrated to the newest schema.

    Raises:
        ConfigError: the URL is not a SQLite or PostgreSQL URL.
        BackendError: the database cannot be reached or written, or a newer inhouse migrated it.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self.place = self._url.database if self.sqlite else f"{self._url.host}:{self._url.port or 5432}"
        self._engine = _sqlite_engine(self._url) if self.sqlite else _postgres_engine(self._url)
        self._turn = Turn(Path(self._url.database or "")) if self.sqlite else None
        self._file = Path(self._url.database or "") if self.sqlite else None
        self._opened = _identity(self._file)
        self._writing = self._engine.execution_options(writes=True)
        snapshot = {} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reading = self._engine.execution_options(**snapshot)
        self.insert: Callable[[sa.Table], Any] = sqlite.insert if self.sqlite else postgresql.insert
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction with a consistent snapshot.

        Raises:
            BackendError: the database fails, in bounded time.
        """
        with self._reported("read"), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self, wait_s: float = WAIT_S) -> Iterator[Connection]:
        """A write transaction, committed at the end. SQLite runs one at a time across all processes.

        Raises:
            BackendError: the database fails, in bounded time. Nothing is written unless the commit itself failed.
        """
        self._check_file()
        turn = self._turn.taken(wait_s) if self._turn else nullcontext()
        with self._reported("written"), turn, self._writing.begin() as connection:
            yield connection

    def check(self) -> None:
        """Finds out whether the database can still be used. SQLite goes on writing to a file that was deleted, and what
        it writes is lost when the process ends.

        Raises:
            BackendError: its file was deleted or replaced, or its folder has become read-only.
        """
        self._check_file()
        if self._file and not os.access(self._file.parent, os.W_OK | os.X_OK, effective_ids=True):
            raise BackendError("the folder of the database is read-only", f"make {self._file.parent} writable")

    def _check_file(self) -> None:
        if self._file and _identity(self._file) != self._opened:
            hint = f"put {self._file} back, then start inhouse again"
            raise BackendError("the file of the database was deleted or replaced", hint)

    def wipe(self) -> None:
        """Removes overwritten data from SQLite's write-ahead log too, unless a reader still needs it."""
        if self._turn:
            with self._reported("written"), self._turn.taken(WAIT_S), self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                if raw is not None:
                    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._engine.dispose()
        if self._turn:
            self._turn.close()

    @contextmanager
    def _reported(self, done: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # Only the first line: the rest may quote rows.
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            hint = "check that the database is running and reachable, and that its disk is not full"
            raise BackendError(f"the database at {self.place} could not be {done}: {reason}", hint) from error

    def _migrate(self) -> None:
        with self.read() as connection:
            if _revision(connection) == SCHEMA:
                return
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with self.write(UPGRADE_S) as connection:
            if not self.sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{UPGRADE_S}s'")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            revision = _revision(connection)
            known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
            if revision and revision not in known:
                supported = f"this version of inhouse supports {SCHEMA}"
                hint = "a newer version of inhouse created it; install that version or a newer one"
                raise BackendError(f"the database at {self.place} has schema {revision}; {supported}", hint)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _identity(file: Path | None) -> tuple[int, int] | None:
    """What tells a file from another one under the same name; None where there is none."""
    try:
        found = os.stat(file) if file else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def bounded(connection: Connection) -> None:
    """Limits the time of each statement of this transaction. SQLite needs no limit: it only waits for its lock."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{STATEMENT_S}s'")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.drivername in {"postgres", "postgresql"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed is None or parsed.drivername not in {"sqlite", "postgresql+psycopg"} or not parsed.database:
        hint = "use postgresql+psycopg://user@host/name, or leave store.url empty for SQLite"
        raise ConfigError("store.url is not the URL of a PostgreSQL or SQLite database", hint)
    return parsed


def _revision(connection: Connection) -> str:
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or ""


def _sqlite_engine(url: URL) -> sa.Engine:
    file = Path(url.database or "")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private(file)
    except OSError as error:
        hint = "set store.path to a writable folder, or store.url to a database"
        raise BackendError(f"{file}: cannot be opened ({error.strerror})", hint) from error
    engine = sa.create_engine(url, hide_parameters=True, pool_timeout=WAIT_S, connect_args={"timeout": WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def prepare(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions begin explicitly, below
        _to_wal(raw)
        raw.execute("PRAGMA synchronous=FULL")  # a commit is on disk when it returns
        raw.execute("PRAGMA secure_delete=ON")  # what is redacted is overwritten

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _private(file: Path) -> None:
    """Lets only the owner read the file, since it contains what customers wrote. SQLite's side files get its mode.

    An existing file must not be opened here: closing it would drop all locks of this process on it (POSIX), also those
    of SQLite. Another process that closes the database would then delete the write-ahead log under this one.
    """
    with _CREATING:
        try:
            file.touch(0o600, exist_ok=False)
        except FileExistsError:
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
    if not os.access(file, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _to_wal(raw: Any) -> None:
    """Switches to the write-ahead log, retrying because SQLite does not wait for other processes here."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def _postgres_engine(url: URL) -> sa.Engine:
    limits = f"-c lock_timeout={WAIT_S}s -c idle_in_transaction_session_timeout=60s"
    arguments = {"connect_timeout": WAIT_S, "tcp_user_timeout": STATEMENT_S * 1000, "options": limits}
    # The ping lets the pool survive a restart of the server.
    return sa.create_engine(url, hide_parameters=True, pool_timeout=WAIT_S, pool_pre_ping=True, connect_args=arguments)
