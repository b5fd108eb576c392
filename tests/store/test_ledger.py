import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.store.ledger import SCHEMA, Ledger, ledger_url
from inhouse.store.tables import METADATA, label, to_iso, to_ms, to_text

OPEN = "import sys; from inhouse.store.ledger import Ledger; sys.stdin.read(1); Ledger(sys.argv[1]).close()"


def test_the_schema_made_by_migrations_is_that_of_the_tables(ledger):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with ledger.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        made = sa.MetaData()
        made.reflect(connection)
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == SCHEMA
    for name, table in METADATA.tables.items():
        assert [c.name for c in made.tables[name].columns] == [c.name for c in table.columns]
        assert {i.name for i in made.tables[name].indexes} == {i.name for i in table.indexes}


def test_many_processes_open_a_new_database_at_once(url):
    openers = [
        subprocess.Popen([sys.executable, "-c", OPEN, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [opener.communicate(b"x")[1].decode() for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, said
    Ledger(url).close()


def test_a_newer_schema_is_refused(url):
    ledger = Ledger(url)
    with ledger.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    ledger.close()
    with pytest.raises(BackendError, match="schema 9999") as caught:
        Ledger(url)
    assert "newer" in caught.value.hint


def test_a_failed_transaction_leaves_nothing(ledger):
    def fail():
        with ledger.write() as connection:
            connection.execute(sa.text("UPDATE audit_head SET seq = 7"))
            raise InputError("no")

    with pytest.raises(InputError):
        fail()
    with ledger.read() as connection:
        assert connection.execute(sa.text("SELECT seq FROM audit_head")).scalar() == 0


def test_errors_say_where_and_quote_neither_rows_nor_passwords(ledger):
    values = {"id": "a", "exchange_id": "b", "at_ms": 1, "status": "waiting", "content": "SECRET"}
    twice = METADATA.tables["handoff"].insert().values([values, values])
    with pytest.raises(BackendError) as caught, ledger.write() as connection:
        connection.execute(twice)
    assert "SECRET" not in str(caught.value) + str(caught.value.__cause__)
    with pytest.raises(BackendError) as caught:
        Ledger("postgresql://ann:PASSWORD@127.0.0.1:1/none")
    assert "127.0.0.1:1" in str(caught.value)
    assert "PASSWORD" not in str(caught.value) + caught.value.hint + str(caught.value.__cause__)


@pytest.mark.parametrize("url", ["mysql://host/name", "postgresql+psycopg2://host/name", "not a url", "sqlite://"])
def test_other_databases_are_refused(url):
    with pytest.raises(ConfigError, match=r"store\.url"):
        Ledger(url)


def test_sqlite_is_durable_and_the_owners_alone(tmp_path):
    ledger = Ledger(ledger_url(tmp_path / "new" / "100 % ours"))
    with ledger.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    for file in (tmp_path / "new" / "100 % ours").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    ledger.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BackendError, match=str(tmp_path)):
        Ledger(ledger_url(tmp_path))


NOBODY = 65534


def test_a_folder_that_becomes_read_only_is_told():
    with tempfile.TemporaryDirectory() as folder:
        if root := os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            ledger = Ledger(ledger_url(Path(folder)))
            ledger.check()
            os.chmod(folder, 0o500)
            with pytest.raises(BackendError, match="the folder of the database is read-only"):
                ledger.check()
            os.chmod(folder, 0o700)
            ledger.check()
            ledger.close()
        finally:
            if root:
                os.seteuid(0)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "ledger.sqlite").write_text("no database, but long enough to be looked at as one" * 100)
    with pytest.raises(BackendError, match=r"ledger\.sqlite"):
        Ledger(ledger_url(tmp_path))


def test_times_and_texts():
    assert to_iso(to_ms("2026-01-31T12:00:00.123+01:00")) == "2026-01-31T11:00:00.123+00:00"
    assert all(to_ms(to_iso(ms)) == ms for ms in range(1_764_100_955_000, 1_764_100_956_000))
    assert to_text({"b": {1}, "a": "\0\ud800é"}) == '{"a":"\\u0000\\ud800\\u00e9","b":[1]}'
    assert label(label("x" * 500)) == label("x" * 500) != label("x" * 501)
