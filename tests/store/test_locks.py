"""A process that opens a ledger again keeps SQLite's locks, which tell other processes that it is in use."""

import subprocess
import sys

import sqlalchemy as sa

from inhouse.store.keys import Keys
from inhouse.store.ledger import open_ledger

OTHER = """
import sys
from pathlib import Path
from inhouse.store.keys import Keys
from inhouse.store.ledger import open_ledger
ledger = open_ledger(Path(sys.argv[1]))
print(*sorted(key.name for key in Keys(ledger).all()))
ledger.close()
"""


def names_elsewhere(folder):
    done = subprocess.run([sys.executable, "-c", OTHER, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_other_processes_see_what_is_written_after_they_opened_the_ledger(tmp_path):
    first = open_ledger(tmp_path)
    with first.read() as connection:
        connection.execute(sa.text("SELECT 1"))
    second = open_ledger(tmp_path)  # such as of another part of the server
    Keys(first).create("before", "user")
    assert names_elsewhere(tmp_path) == ["before"]  # closing must not delete the write-ahead log
    Keys(second).create("after", "user")
    assert names_elsewhere(tmp_path) == ["after", "before"]
    first.close()
    second.close()
    assert names_elsewhere(tmp_path) == ["after", "before"]


def test_a_readable_ledger_of_an_earlier_version_is_closed_to_others(tmp_path):
    (tmp_path / "ledger.sqlite").touch(mode=0o644)
    open_ledger(tmp_path).close()
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600
