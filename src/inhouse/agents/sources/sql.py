"""Queries as read tools: one SELECT with named parameters, over a connection that cannot write.

A SQLite file is opened read-only, with `PRAGMA query_only`, and with an authorizer that admits reading and functions
alone: no ATTACH, no PRAGMA, no extensions. On PostgreSQL the transaction is READ ONLY and rolled back, and statements
have a time limit. Values are bound, never pasted into the text, and a text with two statements is refused here and by
the databases.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from inhouse.agents.sources import rules as common
from inhouse.agents.sources.results import result_of
from inhouse.agents.sources.threads import in_thread
from inhouse.config.acting import ToolTable
from inhouse.errors import ConfigError
from inhouse.tools import Caller, Tool, ToolError
from inhouse.types import Digest, Json

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
CONNECT_S = 5
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock; some tenth of a millisecond
GRACE_S = 2.0  # that a thread gets to stop by itself
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*+'|"(?:[^"]|"")*+"|`(?:[^`]|``)*+`)|(?P<dollar>\$(?:[A-Za-z_]\w{0,60})?\$)|(?P<word>\w++)
    |(?P<note>--[^\n]*+|/\*)|(?P<cast>::)|:(?P<parameter>[A-Za-z_]\w{0,62})|(?P<other>[?@;\\:'"`]|\$\d)|(?P<space>\s++)""",
    re.VERBOSE,
)
_BEGINS = ("SELECT", "WITH")
_READING = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE))
_DENIED = frozenset(("load_extension", "fts3_tokenizer", "writefile", "readfile", "edit"))


class Query(NamedTuple):
    """A query: its parts, of which every second one is the name of a parameter."""

    parts: tuple[str, ...]

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.parts[1::2])

    def written(self, before: str, after: str, percent: str) -> str:
        """The text, with `before` and `after` around each name, and `percent` for each % of the query."""
        return "".join(
            f"{before}{part}{after}" if n % 2 else part.replace("%", percent) for n, part in enumerate(self.parts)
        )


class Database(Protocol):
    def rows(self, query: Query, values: Mapping[str, Json], most: int, timeout_s: float) -> list[dict[str, Any]]:
        """The first rows. Blocks.

        Raises:
            ToolError: the database refuses the query or cannot be reached.
        """
        ...


class SqlTool:
    """A tool that runs a query.

    Raises:
        ConfigError: it is no single SELECT, its parameters are not those of the schema, or there is no such database;
            the message begins with `place`.
    """

    def __init__(self, table: ToolTable, root: Path, place: str) -> None:
        schema = common.schema_of(table.parameters)
        self.tool: Tool = common.tool_of(
            table.name, table, default="read", origin="sql", place=place,
            description=table.description, parameters=schema,
        )  # fmt: skip
        if self.tool.effect == "write":
            raise ConfigError(f"{place}: effect: a query cannot write", "use a Python function or a service for writes")
        self._query = parsed(table.sql, f"{place}: sql")
        declared = frozenset(schema["properties"])
        if missing := sorted(self._query.parameters - declared):
            hint = 'write parameters = { day = { type = "string" } }'
            raise ConfigError(f"{place}: parameters: :{missing[0]} of the query is not among them", hint)
        if unused := sorted(declared - self._query.parameters):
            raise ConfigError(
                f"{place}: parameters: {unused[0]!r} does not stand in the query", f"write :{unused[0]} in it"
            )
        self._most = table.most_rows
        self._database = _database(table.database, root, f"{place}: database")

    async def run(self, arguments: Mapping[str, Json], key: Digest, caller: Caller) -> Json:
        """The rows as objects, at most `most_rows`.

        Raises:
            ToolError: the arguments do not fit, or the query failed or took too long; a query changes nothing.
        """
        common.check_arguments(self.tool, arguments)
        values, limit_s = common.with_defaults(self.tool, arguments), self.tool.timeout_s

        def work() -> Json:
            rows = self._database.rows(self._query, values, self._most, limit_s)
            return result_of(rows)

        try:
            async with asyncio.timeout(limit_s + GRACE_S):
                return await in_thread(work, self.tool.name)
        except TimeoutError as error:
            raise ToolError(f"{self.tool.name}: no result within {limit_s:g} s") from error
        except (ToolError, ValueError) as error:
            raise ToolError(f"{self.tool.name}: {error}") from error


def parsed(sql: str, at: str) -> Query:
    """
    Raises:
        ConfigError: it is not one SELECT or WITH with named parameters.
    """
    text = sql.strip()
    parts, first, ended = [""], "", False
    for kind, part in _tokens(text, at):
        if kind in ("space", "note"):
            parts[-1] += " "
            continue
        if ended:
            raise ConfigError(f"{at}: more than one statement", "write one tool for each query")
        if kind == "other" and part == ";":
            ended = True
            continue
        if kind == "other":
            hint = "write :name for a parameter; other placeholders and backslashes are not allowed"
            raise ConfigError(f"{at}: {part!r} is not allowed", hint)
        first = first or part.upper()
        if kind == "parameter":
            parts += [part, ""]
        else:
            parts[-1] += part
    if first not in _BEGINS:
        raise ConfigError(f"{at}: begins with {first or 'nothing'!r}", "a query begins with SELECT or WITH")
    return Query(tuple(parts))


def _tokens(text: str, at: str) -> Iterator[tuple[str, str]]:
    """What stands in a query; comments are skipped, so that nothing can hide in one."""
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:  # a sign, such as a parenthesis
            yield "sign", text[place]
            place += 1
            continue
        kind, end = str(found.lastgroup), found.end()
        if kind == "dollar" or found[0] == "/*":
            closing_mark = found[0] if kind == "dollar" else "*/"
            end = text.find(closing_mark, end) + len(closing_mark)
            if end < found.end() + len(closing_mark):
                raise ConfigError(f"{at}: {found[0]} is never closed", f"write {closing_mark} behind it")
        yield kind, found[kind] if kind == "parameter" else text[place:end]
        place = end


def _database(named: str, root: Path, at: str) -> Database:
    """The database that the key `database` names.

    Raises:
        ConfigError: there is none.
    """
    if not named:
        raise ConfigError(f"{at}: is missing", "name a SQLite file, or an environment variable with a database URL")
    if not VARIABLE.fullmatch(named):
        if "://" in named:
            raise ConfigError(f"{at}: is a URL", "put it into an environment variable, and name that here")
        return SqliteFile(root / Path(named).expanduser(), at)
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if named not in os.environ:
        raise ConfigError(f"{at}: environment variable {named} is not set", f"run `export {named}=postgresql://...`")
    try:
        url = make_url(os.environ[named])
    except (ArgumentError, ValueError):  # whose message would show the password
        raise ConfigError(
            f"{at}: the value of {named} is not a database URL", "write postgresql://USER@HOST/NAME"
        ) from None
    match url.get_backend_name():
        case "postgresql":
            return Postgres(url)
        case "sqlite" if url.database:
            return SqliteFile(root / url.database, at)
    raise ConfigError(f"{at}: {named} is a URL of {url.get_backend_name()}", "use postgresql:// or sqlite:///FILE")


class SqliteFile:
    """A SQLite file, opened read-only for each query."""

    def __init__(self, file: Path, at: str) -> None:
        if not file.parent.is_dir():  # the file itself may be made by another tool of the project
            raise ConfigError(f"{at}: there is no folder {file.parent}", "paths are relative to the project's folder")
        self._file = file.resolve()

    def rows(self, query: Query, values: Mapping[str, Json], most: int, timeout_s: float) -> list[dict[str, Any]]:
        ends = time.monotonic() + timeout_s
        try:
            connection = sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True, timeout=min(timeout_s, CONNECT_S))
            with closing(connection):
                connection.execute("PRAGMA query_only = ON")
                connection.set_authorizer(_only_reading)
                connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
                with closing(connection.execute(query.written(":", "", "%"), dict(values))) as cursor:
                    names = [column[0] for column in cursor.description]
                    return [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(most)]
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:  # an integer of more than 64 bits
            late = time.monotonic() > ends
            raise ToolError(f"no result within {timeout_s:g} s" if late else str(error)[: common.SHOWN]) from error


def _only_reading(action: int, first: str | None, second: str | None, database: str | None, within: str | None) -> int:
    allowed = action in _READING or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _DENIED)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class Postgres:
    """A PostgreSQL database, with a connection for each query."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def rows(self, query: Query, values: Mapping[str, Json], most: int, timeout_s: float) -> list[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row

        options = f"-c default_transaction_read_only=on -c statement_timeout={max(int(timeout_s * 1000), 1)}"
        text = cast("Any", query.written("%(", ")s", "%%"))  # of the settings
        try:
            with (
                psycopg.connect(
                    self._url, connect_timeout=CONNECT_S, options=options, row_factory=dict_row
                ) as connection,
                connection.cursor() as cursor,
            ):
                connection.read_only = True
                found = cast("Generator[dict[str, Any]]", cursor.stream(text, dict(values)))  # always one statement
                with closing(found):
                    rows = list(itertools.islice(found, most))
                connection.rollback()  # some functions write all the same, such as lo_create
                return rows
        except psycopg.errors.QueryCanceled as error:
            raise ToolError(f"no result within {timeout_s:g} s") from error
        except psycopg.Error as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ToolError(said[0][: common.SHOWN]) from error
