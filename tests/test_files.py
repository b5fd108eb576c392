import os
import signal
import stat
import subprocess
import sys

import pytest

from inhouse.files import remove_leftovers, replacing, write_text

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from inhouse.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half of the new te")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_text_replaces_the_old_file(tmp_path):
    file = tmp_path / "new folder" / "a.txt"
    write_text(file, "old")
    write_text(file, "naïve\r\nline\n")
    assert file.read_bytes() == "naïve\r\nline\n".encode()


def test_the_old_file_stays_when_the_writer_fails(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def fail() -> None:
        with replacing(file) as partial:
            partial.write_text("half of the new te")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "\ud800")
    assert file.read_text() == "old"
    write_text(file, "\ud800", errors="replace")
    assert file.read_text() == "?"


def test_a_kill_leaves_the_old_file_and_a_leftover_that_can_be_removed(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with replacing(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


def test_two_writers_at_once_do_not_mix(tmp_path):
    file = tmp_path / "a.txt"
    with replacing(file) as one, replacing(file) as other:
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one"  # the block that ends last wins
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_private_file_is_private_from_its_first_byte(tmp_path):
    file = tmp_path / "secret"
    with replacing(file, 0o600) as partial:
        assert mode_of(partial) == 0o600
        partial.write_bytes(b"x")
    assert mode_of(file) == 0o600


def test_the_permissions_of_the_replaced_file_are_kept(tmp_path):
    file = tmp_path / "secret"
    write_text(file, "old", mode=0o600)
    write_text(file, "new")
    assert mode_of(file) == 0o600


def test_a_new_file_has_the_permissions_that_the_process_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a.txt") == 0o640


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    write_text(tmp_path / "file", "x")
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "a.txt", "x")
