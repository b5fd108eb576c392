"""Stages in child processes, from the command line: memory, Ctrl-C, kill -9 of either side."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow
HEAVY = ["torch", "transformers", "peft", "spacy", "onnxruntime", "lancedb", "xllamacpp", "numpy"]
MAIN = "from inhouse.cli.main import main; main()"
SLOW_TRAINING = ("--set", "training.epochs=4000", "--set", "training.patience=100000")


@pytest.fixture
def inhouse(built, models_dir):
    """Starts a command on the small project, in a process group of its own as a shell does."""

    def started(*arguments: str, code: str = MAIN) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments, "--project", str(built)], start_new_session=True, text=True,
            env={**os.environ, "INHOUSE_CACHE": str(models_dir.parent)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return started


def descendants(pid: int) -> list[int]:
    """Process ids of children, and of their children."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    pairs = [(int(a), int(b)) for a, b, stat in map(str.split, listed.splitlines()) if not stat.startswith("Z")]
    found = [pid]
    for parent in found:
        found += [child for child, above in pairs if above == parent]
    return found[1:]


def gone(pids: list[int], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        listed = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
        alive = {int(pid) for pid, stat in map(str.split, listed.splitlines()) if not stat.startswith("Z")}
        if not alive & set(pids):
            return True
        time.sleep(0.1)
    return False


def training(process: subprocess.Popen, folder, processes: int = 1) -> list[int]:
    """Waits until a checkpoint is there; the process ids below the command, the stage's first."""
    deadline = time.monotonic() + 300
    while not list(folder.glob(".inhouse/artifacts/adapter/*.work/checkpoint/state.json")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pids = descendants(process.pid)
    assert len(pids) == processes + (processes > 1)
    return pids


@pytest.fixture(autouse=True)
def no_half_trained_model(built):
    """A work folder of one test is not the start of the next."""
    yield
    for work in built.glob(".inhouse/artifacts/adapter/*.work"):
        subprocess.run(["rm", "-r", str(work)], check=True)


def test_the_parent_imports_nothing_heavy(inhouse):
    code = f"import sys\ntry: {MAIN}\nexcept SystemExit: pass\nprint([m for m in {HEAVY} if m in sys.modules])"
    command = inhouse("build", "--json", "--set", "parity.max_divergence_nats=0.2", code=code)
    out, errors = command.communicate()
    report, _, heavy = out.strip().rpartition("\n")
    assert json.loads(report)["kind"] == "report", errors
    assert heavy == "[]"
    assert errors == ""


def test_progress_and_artifacts_are_shown_line_by_line(inhouse):
    _, errors = inhouse("index", "--set", "retrieval.chunk_tokens=100").communicate()
    first, *made = [line for line in errors.splitlines() if not line.startswith("  ")]
    assert first == "Indexing the documents; unchanged chunks are kept"
    assert re.fullmatch(r"index [0-9a-f]{8} made in [\d.]+ s: .*chunks \d+.*", made[-1])


def test_an_error_in_a_child_ends_the_command_with_its_code(inhouse):
    command = inhouse("train", "--set", "training.max_prompt_tokens=64", "--set", "assistant.instructions=" + "be brief " * 80)  # fmt: skip
    _, errors = command.communicate()
    assert command.returncode == 3
    assert "error: no training row fits" in errors
    assert "hint: raise training.max_prompt_tokens" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_everything(inhouse, built, processes):
    command = inhouse("train", *SLOW_TRAINING, "--set", f"training.processes={processes}")
    pids = training(command, built, processes)
    os.killpg(command.pid, signal.SIGINT)
    _, errors = command.communicate(timeout=30)
    assert command.returncode == 130
    assert errors.rstrip().endswith("interrupted; run the same command again to continue")
    assert "Traceback" not in errors
    assert gone(pids)


@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_outlives_a_killed_parent(inhouse, built, processes):
    command = inhouse("train", *SLOW_TRAINING, "--set", f"training.processes={processes}")
    pids = training(command, built, processes)
    command.kill()
    command.communicate()
    assert gone(pids)


def test_a_killed_child_is_an_error_and_the_next_run_continues(inhouse, built):
    arguments = ("train", "--set", "training.epochs=5", "--set", "training.patience=1000")
    command = inhouse(*arguments)
    (child,) = training(command, built)
    os.kill(child, signal.SIGKILL)
    _, errors = command.communicate()
    assert command.returncode == 4
    assert "error: the stage 'train' was killed (SIGKILL)" in errors
    assert "out of memory" in errors.replace("\n", " ")
    again = inhouse(*arguments)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
