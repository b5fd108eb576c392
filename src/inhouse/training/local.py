"""A fine-tune in this process, or by several, one a GPU: each is this module started as a program, with a job file.

Not a launcher around `inhouse train`: every process would then go through the other stages, which one must do. Here the
pipeline's process, which holds the stage's lock, starts the others, so a user sets `training.processes` and no more. A
program that another launcher started (torchrun, `accelerate launch`) and that calls `sft.train` joins its processes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from inhouse.config.sections import Training
from inhouse.errors import BackendError, InhouseError, InputError
from inhouse.training.rows import Row
from inhouse.types import Json, Progress, Record, Step

JOB = "job.json"


class Job(Record):
    """What the other processes are to do."""

    rows: tuple[Row, ...]
    validation: tuple[Row, ...]
    base: str
    name: str
    settings: Training
    seed: int
    work: str


def train(
    rows: Sequence[Row],
    validation: Sequence[Row],
    base: Path,
    name: str,
    settings: Training,
    seed: int,
    work: Path,
    progress: Progress,
) -> dict[str, Json]:
    """`sft.train`, by as many processes as the settings say; of several, progress and facts are the first one's.

    Raises:
        BackendError: a process died; the others are stopped.
    """
    from inhouse.training import sft

    processes = _wanted(settings)
    if processes == 1:
        return sft.train(rows, validation, base, name, settings, seed, work, progress)
    job = Job(
        rows=tuple(rows), validation=tuple(validation), base=str(base), name=name, settings=settings, seed=seed,
        work=str(work),
    )  # fmt: skip
    return _train_together(job, processes, progress)


def _wanted(settings: Training) -> int:
    """How many processes: as set, else one a GPU, else one; this alone where a launcher started it."""
    import torch

    if "LOCAL_RANK" in os.environ:
        return 1
    return settings.processes or max(1, torch.cuda.device_count())


def _train_together(job: Job, processes: int, progress: Progress) -> dict[str, Json]:
    work = Path(job.work)
    file = work / JOB
    file.write_text(job.model_dump_json(), encoding="utf-8")
    started = _started(file, processes)
    threading.Thread(target=_watch, args=(started,), daemon=True).start()
    last: dict[str, Json] = {}
    try:
        with progress.step("fine-tuning", 1) as step:
            for line in started[0].stdout or ():
                last = json.loads(line)
                if "share" in last:
                    step.advance(float(str(last["share"])), str(last["note"]))
        codes = [process.wait() for process in started]
    finally:
        _stop(started)
        for process in started:
            with process:  # waits for its end and closes its pipe
                pass
    if "failed" in last:
        raise InputError(str(last["failed"]), str(last["hint"]))
    if any(codes) or "facts" not in last:
        rank = next((n for n, code in enumerate(codes) if code > 0), 0)
        said = (_said(work, rank).read_text(encoding="utf-8").strip().splitlines() or ["nothing"])[-1]
        raise BackendError(f"a training process died (exit codes {codes}): {said}", f"see {_said(work, rank)}")
    for rank in range(processes):
        _said(work, rank).unlink()
    file.unlink()
    return dict(last["facts"])


def _started(file: Path, processes: int) -> list[subprocess.Popen[str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "")
    shared = {
        "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "OMP_NUM_THREADS": max(1, (os.cpu_count() or 1) // processes), "GLOO_SOCKET_IFNAME": loopback,
    }  # fmt: skip
    made = []
    for rank in range(processes):
        environment = os.environ | {
            k: str(v) for k, v in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items() if v != ""
        }
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        with _said(file.parent, rank).open("w", encoding="utf-8") as errors:
            made.append(
                subprocess.Popen(
                    [sys.executable, "-m", "inhouse.training.local", str(file)], env=environment, text=True,
                    stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL, stderr=errors,
                )
            )  # fmt: skip
    return made


def _said(work: Path, rank: int) -> Path:
    """Where a process's own messages go."""
    return work / f"process-{rank}.txt"


def _watch(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Stops all when one has failed: the others would wait for it."""
    while any(p.poll() is None for p in processes):
        if any(p.poll() for p in processes):
            _stop(processes)
        time.sleep(0.2)


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        with suppress(OSError):
            process.kill()


class _Lines:
    """A Progress that writes a line of JSON a step; fails once nobody reads, so that no process trains on alone."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints goes to the messages

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.write({"share": amount, "note": note})

    def write(self, said: dict[str, Json]) -> None:
        print(json.dumps(said), file=self.out, flush=True)


def main() -> None:
    from accelerate import PartialState

    from inhouse.training import sft

    job = Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = _Lines()
    try:
        facts = sft.train(
            job.rows, job.validation, Path(job.base), job.name, job.settings, job.seed, Path(job.work), lines
        )
        lines.write({"facts": facts})
    except InhouseError as error:  # all processes find the same fault, and the first tells it
        lines.write({"failed": str(error), "hint": error.hint})
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
