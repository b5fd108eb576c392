"""Whether a client that is killed ever submits a training twice.

    python benchmarks/training_backends.py [--kills 100]

`kills` clients are killed with SIGKILL at lines spread evenly over a whole run, each with a separate job; for
`hosted` (a fine-tuning API on loopback) a fifth of them while the request that makes the job is under way, for
`command` the launcher is a script that queues jobs. Then clients run until one ends. Counts the jobs that were
submitted twice or never. `blind` is the same without the search for the job, to show what it is
good for. Prints a table, and writes JSON to `benchmarks/results/training_backends.json`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "tests" / "training" / "kills.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="clients of each back-end")
    kills = parser.parse_args().kills
    rows = []
    for backend, more in (("hosted", ()), ("command", ()), ("hosted", ("blind",))):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, PROGRAM, backend, str(kills if not more else 20), folder, *more],
                stdout=subprocess.PIPE,
                check=True,
            )
        rows.append(json.loads(done.stdout) | {"seconds": round(time.monotonic() - started, 1)})
    names = list(rows[0])
    print(" | ".join(names))
    for row in rows:
        print(" | ".join(str(row[name]) for name in names))
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "training_backends.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
