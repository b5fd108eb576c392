"""One recipe trained in several places, and whether a client that is killed ever submits a training twice.

    python benchmarks/training_backends.py [--kills 100] [--ray-python PYTHON] [--only recipe|kills]

First the tiny random Llama is trained with one recipe: in this process, by torchrun in two processes with whole and
with shared weights (gloo), by a script that stands for Slurm, by a fine-tuning API on loopback that fails at times, and
on a Ray cluster of two nodes on this machine. `--ray-python` is an interpreter that has Ray; without, Ray is left out.

Then `kills` clients are killed with SIGKILL at lines spread evenly over a whole run, each with a separate job; for
`hosted` and `ray` (APIs on loopback) a fifth of them while the request that makes the job is under way, for
`command` the launcher is a script that queues jobs. Then clients run until one ends. Counts the jobs that were
submitted twice or never. `blind` is the same without the search for the job, to show what it is
good for. Prints tables, and writes JSON to `benchmarks/results/training_backends.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE.parent / "tests" / "training"


def said(program: str, *arguments: str) -> dict:
    """The JSON that a program prints."""
    command = [sys.executable, PROGRAMS / program, *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def show(rows: list[dict]) -> None:
    print(" | ".join(rows[0]))
    for row in rows:
        print(" | ".join(str(value) for value in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="clients of each back-end")
    parser.add_argument("--ray-python", default="", help="an interpreter that has Ray")
    parser.add_argument("--only", choices=("recipe", "kills"), help="one half; the results of the other are kept")
    options = parser.parse_args()
    file = HERE / "results" / "training_backends.json"
    written = json.loads(file.read_text()) if options.only and file.is_file() else {}
    if options.only != "kills":
        with tempfile.TemporaryDirectory() as folder:
            written["recipe"] = said("one_recipe.py", folder, *([options.ray_python] if options.ray_python else []))
        show(written["recipe"]["rows"])
    if options.only != "recipe":
        written["kills"] = kill(options.kills)
        show(written["kills"])
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(written, indent=1) + "\n")


def kill(count: int) -> list[dict]:
    """What became of the jobs of so many killed clients, by back-end."""
    rows = []
    for backend, more in (("hosted", ()), ("command", ()), ("ray", ()), ("hosted", ("blind",))):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            row = said("kills.py", backend, str(count if not more else 20), folder, *more)
        rows.append(row | {"seconds": round(time.monotonic() - started, 1)})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
