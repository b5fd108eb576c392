"""A fine-tune on this machine: in this process, or in several child processes, one per GPU.

There is no launcher around `inhouse train`, since each of its processes would run the other stages too. The process
that holds the stage's lock starts the others instead, and a user only sets `training.processes`. A program that was
started by another launcher (torchrun, `accelerate launch`) and calls `sft.train` joins that launcher's processes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from inhouse import process
from inhouse.config.sections import Training
from inhouse.errors import BackendError
from inhouse.training.job import TrainingJob
from inhouse.types import Json, Progress


def train(job: TrainingJob, work: Path, progress: Progress) -> dict[str, Json]:
    """`sft.train` in as many processes as the settings say; progress and facts are those of the first.

    Raises:
        BackendError: a process died; the others are stopped.
    """
    # OpenMP reads this when torch is imported. Otherwise its threads spin while they wait for one that has lost its
    # core to another program, and a step takes several times as long (docs/LOG.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from inhouse.training import sft

    count = _process_count(job.settings)
    return sft.train(job, work, progress) if count == 1 else _train_together(job, count, work, progress)


def _process_count(settings: Training) -> int:
    """The number that is set, else one per GPU, else one; one where a launcher started this process."""
    import torch

    if "LOCAL_RANK" in os.environ:
        return 1
    return settings.processes or max(1, torch.cuda.device_count())


def _train_together(job: TrainingJob, count: int, work: Path, progress: Progress) -> dict[str, Json]:
    children = _start_all(job, count, work)
    threading.Thread(target=_kill_all_when_one_fails, args=(children,), daemon=True).start()
    try:
        facts = process.follow(children[0], progress)
        codes = [child.wait() for child in children]
    finally:
        process.stop(children)
    if facts is None or any(codes):
        rank = next((n for n, code in enumerate(codes) if code > 0), 0)
        last = (_log(work, rank).read_text(encoding="utf-8").strip().splitlines() or ["no message"])[-1]
        raise BackendError(f"a training process died (exit codes {codes}): {last}", f"see {_log(work, rank)}")
    for rank in range(count):
        _log(work, rank).unlink()
    return facts


def _start_all(job: TrainingJob, count: int, work: Path) -> list[subprocess.Popen[str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "")
    shared = {
        "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        "OMP_NUM_THREADS": max(1, process.cores() // count),
        **({"GLOO_SOCKET_IFNAME": loopback} if loopback else {}),
    }  # fmt: skip
    request = {"job": job.model_dump(mode="json"), "work": str(work)}
    children = []
    for rank in range(count):
        variables = {k: str(v) for k, v in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        with _log(work, rank).open("w", encoding="utf-8") as log:
            children.append(process.start(__name__, request, variables, follows=rank == 0, log=log))
    return children


def _log(work: Path, rank: int) -> Path:
    """Where a process's messages go."""
    return work / f"process-{rank}.txt"


def _kill_all_when_one_fails(children: Sequence[subprocess.Popen[str]]) -> None:
    """The others would wait for it."""
    while any(child.poll() is None for child in children):
        if any(child.poll() for child in children):
            for child in children:
                with suppress(OSError):
                    child.kill()
        time.sleep(0.2)


def work(request: Json, progress: Progress) -> dict[str, Json]:
    """Called by inhouse.process in each of several training processes."""
    from inhouse.training import sft

    return sft.train(TrainingJob.model_validate(request["job"]), Path(request["work"]), progress)
