"""Time and peak memory of every stage of `inhouse build`.

    python benchmarks/build.py [--project examples/first_national_bank] [--store EMPTY_FOLDER] [--quick]

Builds into an empty store, by default a temporary one. Reads the resident memory of the process tree twice a second
from /proc and attributes it to the stage that ends next. Shared pages count once for each process. Prints a table, and
writes JSON to `benchmarks/results/build.json`. `--quick` trains for one minute and asks 12 questions.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
MADE = re.compile(r"^(\w+) [0-9a-f]{8} made in ")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def resident_mb(root: int) -> float:
    """Resident memory of a process and all its descendants."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            sizes[int(folder.name)] = int(folder.joinpath("statm").read_text().split()[1]) * PAGE_MB
        except (OSError, ValueError):
            continue  # the process has ended

    def within(pid: int) -> bool:
        while pid > 1:
            if pid == root:
                return True
            pid = parents.get(pid, 0)
        return False

    return sum(size for pid, size in sizes.items() if within(pid))


def measure(project: Path, store: Path, settings: list[str]) -> list[dict[str, object]]:
    """One row per stage, in order of their ends.

    Raises:
        CalledProcessError: the build failed.
    """
    command = [str(Path(sys.executable).with_name("inhouse")), "build", "--project", str(project),
               "--set", f"store.path={store}", *(part for s in settings for part in ("--set", s))]  # fmt: skip
    rows: list[dict[str, object]] = []
    peak, done = 0.0, threading.Event()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            peak = max(peak, resident_mb(process.pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    started = time.monotonic()
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        if made := MADE.match(line):
            rows.append({"stage": made[1], "seconds": round(time.monotonic() - started, 1), "peak_mb": round(peak)})
            started, peak = time.monotonic(), 0.0
    done.set()
    thread.join()
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=HERE.parent / "examples" / "first_national_bank")
    parser.add_argument("--store", type=Path, help="an empty folder; default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="one minute of training, 12 questions")
    given = parser.parse_args()
    settings = ["training.max_minutes=1", "evaluation.max_questions=12"] if given.quick else []
    with tempfile.TemporaryDirectory() as store:
        rows = measure(given.project.resolve(), (given.store or Path(store)).resolve(), settings)
    print(f"{'stage':<12}{'time':>10}{'peak memory':>13}")
    for row in rows:
        print(f"{row['stage']:<12}{row['seconds']:>8} s{row['peak_mb']:>10} MB")
    print(f"{'build':<12}{sum(r['seconds'] for r in rows):>8.1f} s")
    out = HERE / "results" / "build.json"
    out.parent.mkdir(exist_ok=True)
    result = {"project": given.project.name, "quick": given.quick, "cores": os.cpu_count(), "stages": rows}
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
