import os

import pytest

from inhouse.errors import BackendError
from inhouse.store import sums as module
from inhouse.store.sums import Sums


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "model.gguf").write_bytes(b"x" * 10_000)
    (made / "below" / "part").write_bytes(b"y")
    return made


def test_what_was_changed_added_or_taken_away_is_named(folder):
    expected = Sums().folder(folder)
    assert sorted(expected) == ["below/part", "model.gguf"]
    assert Sums().problem(folder, expected) == ""
    (folder / "below" / "more").write_bytes(b"")
    assert Sums().problem(folder, expected) == f"{folder}/below/more: was added"
    (folder / "below" / "part").write_bytes(b"z")
    assert Sums().problem(folder, expected) == f"{folder}/below/part: was changed"
    (folder / "below" / "part").unlink()
    assert Sums().problem(folder, expected) == f"{folder}/below/part: is gone"


def test_a_file_is_read_once_and_again_when_it_was_touched(folder, tmp_path, monkeypatch):
    read, kept = [], tmp_path / "cache" / "sums.json"
    hash_of = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda file: (read.append(file.name), hash_of(file))[1])
    for expected in (["model.gguf", "part"], []):  # the second run reads what the first one kept
        sums = Sums(kept)
        sums.folder(folder)
        sums.keep()
        assert sorted(read) == expected
        read.clear()
    assert kept.stat().st_mode & 0o077 == 0
    file = folder / "model.gguf"
    before = file.stat()
    file.write_bytes(b"z" * 10_000)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size and time of change
    assert Sums(kept).folder(folder)["model.gguf"].sha256 == hash_of(file)
    assert read == ["model.gguf"]
    kept.write_text("{ damaged")
    Sums(kept).folder(folder)
    assert read == ["model.gguf", "part", "model.gguf"]


def test_what_is_written_after_it_was_checked_is_seen(folder):
    sums = Sums()
    sums.folder(folder)
    assert sums.changed() == ""
    (folder / "model.gguf").write_bytes(b"w" * 10_000)
    assert sums.changed() == str(folder / "model.gguf")


def test_a_file_that_cannot_be_read_is_named(folder):
    with pytest.raises(BackendError, match="nothing"):
        Sums().of(folder / "nothing")
