import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.errors import BackendError, InputError
from inhouse.store.artifacts import Store, locked, source_digest, write_text


def build_one(folder):
    write_text(folder / "a.txt", "one")
    return {"n": 1}


def test_made_once_found_again(tmp_path):
    store, calls = Store(tmp_path), []

    def build(folder):
        calls.append(folder)
        return build_one(folder)

    first = store.make("docs", {"a": 1}, [], build)
    again = Store(tmp_path).make("docs", {"a": 1}, [], build)
    assert first == again
    assert len(calls) == 1
    assert store.find("docs", {"a": 2}, []) is None
    child = store.make("index", {}, [first], build)
    assert [(d, a.kind) for d, a in store.lineage(child)] == [(0, "index"), (1, "docs")]
    assert store.get(child.key[:6]) == child
    assert store.latest("docs") == first
    with pytest.raises(InputError):
        store.get("nothing")


def test_the_latest_survives_a_copy_that_keeps_no_times(tmp_path):
    store = Store(tmp_path / "a")
    made = [store.make("docs", {"n": n}, [], build_one) for n in range(4)]
    store.touch(made[1])  # a build needs it again
    for chosen in made:
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
        os.utime(tmp_path / "b" / "artifacts" / "docs" / chosen.key / "manifest.json", (2e9, 2e9))  # copied last
        assert Store(tmp_path / "b").latest("docs").key == made[1].key
    shutil.rmtree(made[1].path)
    assert store.latest("docs") == made[3]


def test_an_artifact_of_a_newer_version_is_not_damaged(tmp_path):
    store = Store(tmp_path)
    file = Path(store.make("docs", {}, [], build_one).path) / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"mood": "calm"}))
    with pytest.raises(BackendError, match="does not know mood") as caught:
        store.all()
    assert "delete" not in caught.value.hint


def test_a_lock_that_cannot_be_written_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(BackendError, match="lock: cannot be written") as caught, locked(tmp_path / "lock"):
        pass
    assert "writable folder" in caught.value.hint


def test_the_store_of_another_user_is_not_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BackendError, match="it belongs to"):
        Store(tmp_path)


def test_a_failed_stage_leaves_no_artifact_and_its_work(tmp_path):
    store = Store(tmp_path)

    def fail(folder):
        (folder / "half").write_text("x")
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        store.make("docs", {}, [], fail)
    assert store.all() == []
    made = store.make("docs", {}, [], lambda folder: {"seen": (folder / "half").exists()})
    assert made.facts == {"seen": True}


def slow(root):
    def build(folder):
        (folder / "started").write_text("x")
        time.sleep(60)
        return {}

    Store(root).make("docs", {}, [], build)


def test_kill_9_then_again_and_no_two_at_once(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=slow, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 20
    while not list(tmp_path.rglob("started")) and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(BackendError, match="another run"):
        Store(tmp_path).make("docs", {}, [], build_one)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert Store(tmp_path).all() == []
    assert Store(tmp_path).make("docs", {}, [], build_one).facts == {"n": 1}


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "big"),
        RuntimeError("lance error: LanceError(IO): No space left on device (os error 28), writer.rs:191:9"),
    ],
)
def test_a_full_disk_is_a_clear_error(tmp_path, error):
    def full(folder):
        raise error

    with pytest.raises(BackendError, match=r"the stage 'docs' could not be written \(No space left on device\)"):
        Store(tmp_path).make("docs", {}, [], full)
    assert Store(tmp_path).all() == []


def test_other_errors_are_not_taken_for_the_disks(tmp_path):
    def broken(folder):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Store(tmp_path).make("docs", {}, [], broken)


def test_a_damaged_manifest_names_the_file(tmp_path):
    made = Store(tmp_path).make("docs", {}, [], build_one)
    with open(f"{made.path}/manifest.json", "w") as handle:
        handle.write("{")
    with pytest.raises(BackendError, match=r"manifest\.json"):
        Store(tmp_path).find("docs", {}, [])


def test_source_digest_follows_the_source(tmp_path):
    (tmp_path / "a.py").write_text("1")
    before = source_digest(tmp_path)
    (tmp_path / "notes.md").write_text("2")
    assert source_digest(tmp_path) == before
    (tmp_path / "head.safetensors").write_bytes(b"2")
    assert (weights := source_digest(tmp_path)) != before
    (tmp_path / "a.py").write_text("2")
    assert source_digest(tmp_path) not in (before, weights)


def test_what_a_stage_wanted_last_is_the_latest(tmp_path):
    store = Store(tmp_path)
    first = store.make("docs", {"n": 1}, [], lambda work: {})
    second = store.make("docs", {"n": 2}, [], lambda work: {})
    assert store.latest("docs") == second
    store.touch(first)
    assert store.latest("docs") == first
    assert store.latest("other") is None


# --- permissions --------------------------------------------------------------------------------------------------


def open_to_others(folder):
    return [str(p) for p in (folder, *folder.rglob("*")) if p.stat().st_mode & 0o077]


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_only_the_owner_reads_what_is_made(tmp_path, open_umask):
    store = Store(tmp_path / "new" / "store")

    def build(work):
        (work / "below").mkdir()
        (work / "below" / "file").write_text("x")
        (work / "run.sh").touch(mode=0o755)
        return {}

    made = store.make("weights", {}, [], build)
    assert open_to_others(tmp_path / "new" / "store" / "artifacts") == []
    assert os.access(f"{made.path}/run.sh", os.X_OK)
    assert store.cache("documents").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "store").stat().st_mode & 0o077 == 0


def test_an_older_store_is_closed_once(tmp_path, open_umask, caplog):
    (tmp_path / "store" / "artifacts" / "weights").mkdir(parents=True)
    (tmp_path / "store" / "artifacts" / "weights" / "model.gguf").write_text("x")
    for _ in range(2):
        Store(tmp_path / "store")
    assert open_to_others(tmp_path / "store") == []
    assert caplog.text.count("other users of this machine could read it") == 1


def test_commands_write_for_the_owner_alone_whatever_the_umask(tmp_path, open_umask):
    for arguments in (["init", f"{tmp_path}/bank"], ["keys", "create", "ann", "--project", f"{tmp_path}/bank"],
                      ["audit", "export", f"{tmp_path}/bank/log.jsonl", "--project", f"{tmp_path}/bank"]):  # fmt: skip
        subprocess.run([sys.executable, "-m", "inhouse.cli.main", *arguments], check=True, capture_output=True)
    assert (tmp_path / "bank" / ".inhouse" / "ledger.sqlite").exists()
    assert open_to_others(tmp_path / "bank") == []
