"""Queries as tools, on SQLite and on a real PostgreSQL server: they read, and can do nothing else."""

import asyncio
import os
import sqlite3
import time
import uuid

import pytest
import sqlalchemy as sa

from inhouse.agents.sources import sql
from inhouse.agents.sources.sql import SqlTool
from inhouse.config.acting import ToolTable
from inhouse.errors import ConfigError
from inhouse.tools import Caller, ToolError

SERVER = os.environ.get("INHOUSE_TEST_POSTGRES", "")
SLOTS = "SELECT start, price FROM slots WHERE day = :day AND price <= :most ORDER BY start"
TYPES = {"day": {"type": "string"}, "most": {"type": "number", "default": 100}}
TABLE = """CREATE TABLE slots (day {date}, start {time}, price {money}, note TEXT);
INSERT INTO slots VALUES ('2026-12-02', '10:00', 45.5, 'first; visit'), ('2026-12-02', '11:00', 60, 'it''s :day'),
('2026-12-02', '12:00', 150, NULL), ('2026-12-03', '09:00', 20, '100 %');"""
SEQUENCE = "CREATE SEQUENCE n"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """What the key `database` has, and a way to look at the table."""
    if request.param == "sqlite":
        file = tmp_path / "salon.db"
        with sqlite3.connect(file) as connection:
            connection.executescript(TABLE.format(date="TEXT", time="TEXT", money="REAL"))
        connection.close()
        yield "salon.db", sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
        return
    if not SERVER:
        pytest.skip("INHOUSE_TEST_POSTGRES is not set to the URL of a PostgreSQL server")
    name = f"inhouse_tools_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = sa.make_url(SERVER).set(database=name)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE.format(date="DATE", time="TIME", money="NUMERIC").replace("%", "%%"))
        connection.exec_driver_sql(SEQUENCE)
    monkeypatch.setenv("SALON_DB", url.render_as_string(hide_password=False))
    yield "SALON_DB", engine
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def tool(database, tmp_path):
    def make(query, parameters=None, **more):
        table = ToolTable(name="t", sql=query, database=database[0], parameters=parameters or {}, **more)
        return SqlTool(table, tmp_path, "[[tool]] t")

    return make


def call(tool, **arguments):
    return asyncio.run(tool.run(arguments, "k", Caller()))


def rows(database):
    with database[1].connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM slots").scalar()


def test_rows_are_objects_with_texts_and_numbers(tool):
    found = call(tool(SLOTS, TYPES), day="2026-12-02")
    assert [r["price"] for r in found] == [45.5, 60]
    assert [r["start"][:5] for r in found] == ["10:00", "11:00"]
    assert call(tool("SELECT max(day) AS day FROM slots")) == [{"day": "2026-12-03"}]
    assert call(tool(SLOTS, TYPES), day="2030-01-01") == []
    made = tool(SLOTS, TYPES).tool
    assert (made.effect, made.origin, made.parameters["required"]) == ("read", "sql", ["day"])


def test_no_more_rows_than_allowed(tool):
    assert len(call(tool("SELECT * FROM slots", most_rows=3))) == 3
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    assert call(tool(many + " LIMIT 100000", most_rows=2)) == [{"i": 1}, {"i": 2}]


@pytest.mark.parametrize("value", [
    "2026-12-02' OR '1'='1", "'; DROP TABLE slots; --", "x' UNION SELECT note, 1 FROM slots --", "%", ":most", "\\'; DELETE FROM slots;",
])  # fmt: skip
def test_values_never_become_part_of_the_query(tool, database, value):
    by_note = tool("SELECT start FROM slots WHERE note = :note", {"note": {"type": "string"}})
    assert call(by_note, note=value) == []
    assert call(by_note, note="it's :day")[0]["start"].startswith("11:00")
    assert rows(database) == 4


def test_texts_comments_and_signs_in_the_query_stay_what_they_are(tool):
    query = """-- the notes; all of them :no
    SELECT ':day' AS a, 'it''s; 100 %' AS b, note /* :no ; */ AS "c;:d" FROM slots
    WHERE note LIKE '%isit' AND day = :day ; -- done"""
    found = call(tool(query, {"day": {"type": "string"}}), day="2026-12-02")
    assert found == [{"a": ":day", "b": "it's; 100 %", "c;:d": "first; visit"}]


@pytest.mark.parametrize(("query", "said"), [
    ("DELETE FROM slots", "begins with 'DELETE'"), ("INSERT INTO slots VALUES (1)", "begins with"), ("PRAGMA query_only = OFF", "begins with"),
    ("ATTACH 'x.db' AS x", "begins with"), ("DROP TABLE slots", "begins with"), ("EXPLAIN ANALYZE DELETE FROM slots", "begins with"),
    ("COPY slots TO PROGRAM 'sh'", "begins with"), ("SET transaction_read_only = off", "begins with"), ("VACUUM INTO 'x'", "begins with"),
    ("", "begins with 'nothing'"), ("-- SELECT 1", "begins with 'nothing'"), ("/* SELECT */ DELETE FROM slots", "begins with 'DELETE'"),
    ("(DELETE FROM slots)", "begins with"), ("SELECT 1; DELETE FROM slots", "more than one statement"), ("SELECT 1;;", "more than one"),
    ("SELECT 1; COMMIT; DROP TABLE slots", "more than one"), ("SELECT 1 /* ; */ ; /* */ DELETE FROM slots", "more than one"),
    ("SELECT 'a'';' ; DELETE FROM slots", "more than one"), ("SELECT ?", r"'\?' is not allowed"), ("SELECT @x", "not allowed"),
    ("SELECT $1", "not allowed"), ("SELECT 'open", "not allowed"), ("SELECT 1 /* open", "is never closed"), ("SELECT $$ open", "is never closed"),
    ("SELECT 1 \\; DELETE FROM slots", "not allowed"), ("SELECT :a", ":a of the query is not among them"),
])  # fmt: skip
def test_only_one_select_with_known_parameters(tool, query, said):
    with pytest.raises(ConfigError, match=rf"^\[\[tool\]\] t: .*{said}"):
        tool(query)


def test_an_unused_parameter_is_refused(tool):
    with pytest.raises(ConfigError, match="'day' does not stand in the query"):
        tool("SELECT 1", {"day": {"type": "string"}})
    with pytest.raises(ConfigError, match="effect: a query cannot write"):
        tool("SELECT 1", effect="write")


HIDDEN = {
    "sqlite": [
        "WITH x AS (SELECT 1) DELETE FROM slots", "WITH x AS (SELECT 1) INSERT INTO slots SELECT 1, 2, 3, 4", "SELECT load_extension('x')",
        "WITH x AS (SELECT 1) UPDATE slots SET price = 0", "SELECT * FROM pragma_query_only", "SELECT * FROM pragma_table_info('slots')",
        "SELECT writefile('x', 'y')", "SELECT fts3_tokenizer('simple')", "WITH x AS (SELECT 1) REPLACE INTO slots SELECT 1, 2, 3, 4",
    ],
    "postgres": [
        "WITH gone AS (DELETE FROM slots RETURNING 1) SELECT * FROM gone", "SELECT * INTO copied FROM slots", "SELECT * FROM slots FOR UPDATE",
        "WITH x AS (SELECT 1) INSERT INTO slots SELECT NULL, NULL, 1, '' FROM x", "SELECT setval('n', 5)", "SELECT nextval('n')",
        "SELECT set_config('transaction_read_only', 'off', false)", "SELECT E'a\\'; DELETE FROM slots; --'",
    ],
}  # fmt: skip


@pytest.mark.parametrize("number", range(9))
def test_what_hides_a_write_in_a_query_is_refused_by_the_database(tool, database, number):
    queries = HIDDEN["postgres" if database[0] == "SALON_DB" else "sqlite"]
    if number >= len(queries):
        pytest.skip("fewer on this database")
    with pytest.raises((ToolError, ConfigError)) as caught:
        call(tool(queries[number]))
    assert "no result within" not in str(caught.value)
    assert rows(database) == 4


@pytest.mark.parametrize(
    "text", ["SELECT 1; DELETE FROM slots", "DELETE FROM slots", "SELECT 1; COMMIT; DELETE FROM slots"]
)
def test_the_database_refuses_even_what_the_parser_would_let_pass(tool, database, text):
    made = tool("SELECT 1 AS one")
    made._query = sql.Query((text,))
    with pytest.raises(ToolError):
        call(made)
    assert rows(database) == 4


def test_what_a_function_leaves_is_rolled_back(tool, database):
    if database[0] != "SALON_DB":
        pytest.skip("PostgreSQL alone")
    assert call(tool("SELECT lo_create(4711) AS id, pg_sleep(0)::text AS slept")) == [{"id": 4711, "slept": ""}]
    with database[1].connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_largeobject_metadata").scalar() == 0


def test_attached_files_cannot_be_made(tmp_path, tool, database):
    if database[0] == "SALON_DB":
        pytest.skip("SQLite alone")
    made = tool("SELECT 1")
    for text in (
        f"ATTACH '{tmp_path / 'new.db'}' AS new",
        "PRAGMA query_only = OFF",
        f"VACUUM INTO '{tmp_path / 'new.db'}'",
    ):
        made._query = sql.Query((text,))
        with pytest.raises(ToolError):
            call(made)
    assert not (tmp_path / "new.db").exists()


def test_the_time_limit_holds(tool):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"no result within 0\.3 s"):
        call(tool(endless, timeout_s=0.3))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("given", [{}, {"day": 5}, {"day": "x", "most": "1"}, {"day": "x", "more": 1}])
def test_arguments_are_checked_against_the_schema(tool, given):
    with pytest.raises(ToolError):
        call(tool(SLOTS, TYPES), **given)


def test_errors_of_the_database_name_the_tool(tool):
    with pytest.raises(ToolError, match="^t: .*nothing"):
        call(tool("SELECT * FROM nothing"))
    with pytest.raises(ToolError, match="^t: "):  # a value that no column has
        call(tool("SELECT * FROM slots WHERE price < :n", {"n": {}}), n={"a": 1})


def test_a_result_has_a_form_in_json_and_a_size(tool, database):
    blob = "x'00ff'" if database[0] == "salon.db" else "'\\x00ff'::bytea".replace("\\", "")
    with pytest.raises(ToolError, match=r"result\[0\].a is of type bytes"):
        call(tool(f"SELECT {blob} AS a"))
    wide = "SELECT hex(zeroblob(600000)) AS a" if database[0] == "salon.db" else "SELECT repeat('x', 1200000) AS a"
    with pytest.raises(ToolError, match="at most 1,000,000"):
        call(tool(wide))


@pytest.mark.parametrize(("name", "value", "said"), [
    ("", None, "is missing"), ("none/none.db", None, "there is no folder"), ("NO_SUCH_URL", None, "is not set"),
    ("A_URL", "mysql://u:secret@h/d", "URL of mysql"), ("A_URL", "u:secret@h", "not a database URL"), ("postgresql://u:secret@h/d", None, "is a URL"),
])  # fmt: skip
def test_databases_that_are_not_there(tmp_path, monkeypatch, name, value, said):
    if value:
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"^\[\[tool\]\] t: database: .*{said}") as caught:
        SqlTool(ToolTable(name="t", sql="SELECT 1", database=name), tmp_path, "[[tool]] t")
    assert "secret" not in str(caught.value)


def test_a_server_that_is_gone_is_a_tool_error_without_the_password(tmp_path, monkeypatch):
    monkeypatch.setenv("A_URL", "postgresql+psycopg://ann:secret@127.0.0.1:1/shop")
    with pytest.raises(ToolError, match="^t: ") as caught:
        call(SqlTool(ToolTable(name="t", sql="SELECT 1", database="A_URL"), tmp_path, "[[tool]] t"))
    assert "secret" not in str(caught.value)
