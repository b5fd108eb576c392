"""The database of a project: opening and migrating it, and its errors. `tables` has what is in it.

SQLite in the project folder, or PostgreSQL by URL, both through SQLAlchemy Core; Alembic migrates the schema
(`migrations/`).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from inhouse.errors import BackendError, ConfigError
from inhouse.store.turn import Turn

SCHEMA = "0004"  # the newest revision in migrations/
WAIT_S = 3  # longest wait for a connection or a lock
STATEMENT_S = 5  # time limit of one statement of a write on PostgreSQL
UPGRADE_S = 60  # longest wait for another process that migrates the schema
_CREATING = threading.Lock()
MIGRATION_LOCK = 0x696E686F757365  # "inhouse" in hex: one process at a time migrates a PostgreSQL schema


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
