"""Training on this machine in processes that torchrun starts, with the same code as everywhere.

Each process takes its share of every batch, and the gradients are summed (data parallelism, as in DDP); weights are
not sharded. The processes end with the build that started them; the next one continues from the checkpoint.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from inhouse import process
from inhouse.config.training_backend import BackendName
from inhouse.errors import BackendError, ConfigError
from inhouse.training import parcel
from inhouse.training.job import TrainingJob
from inhouse.training.locks import ended
from inhouse.training.trainer import Estimate, Status, estimate_by_time, price
from inhouse.types import Json

LOG, LOCK = "torchrun.txt", "torchrun.lock"
END_S = 20.0


class Torchrun:
    """`torchrun` with as many processes as `training.processes` says."""

    name: BackendName = "torchrun"
    lasting = False

    def __init__(self, job: TrainingJob, work: Path) -> None:
        self._settings, self._key = job.settings, ""
        self._work = work
        self._child: subprocess.Popen[bytes] | None = None

    def estimate(self, job: TrainingJob) -> Estimate:
        return estimate_by_time(job)

    def find(self, key: str, interrupted: bool) -> str | None:
        return None  # jobs end with the process that started them

    def cancel(self, job_id: str) -> None:
        raise ConfigError("a training on this machine ends with its build", "press Ctrl-C there")

    def submit(self, job: TrainingJob, key: str, work: Path) -> str:
        folder, out, self._key = work / "job", work / "out", key
        with ended(work / LOCK, END_S) as lock:
            parcel.write_job(job, key, folder)
            command = [
                sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
                str(self._process_count()), "-m", "inhouse.training.parcel", str(folder), str(out), "--with-parent",
            ]  # fmt: skip
            with (work / LOG).open("wb") as log:
                self._child = subprocess.Popen(
                    command, env=self._variables(), stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=(lock,)
                )
        return f"process {self._child.pid}"

    def _process_count(self) -> int:
        import torch

        return self._settings.processes or max(1, torch.cuda.device_count())

    def _variables(self) -> dict[str, str]:
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "")
        return {
            **os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "OMP_NUM_THREADS": str(max(1, process.cores() // self._process_count())),
            "OMP_WAIT_POLICY": "passive", **({"GLOO_SOCKET_IFNAME": loopback} if loopback else {}),
        }  # fmt: skip

    def poll(self, job_id: str, work: Path) -> Status:
        assert self._child is not None
        code = self._child.poll()
        if code is None:
            share, note = parcel.progress_of(work / "out")
            return Status(state="running", share=share, note=note)
        if code == 0:
            return Status(state="done")
        return Status(state="failed", note=f"exit code {code}; see {work / LOG}")

    def fetch(self, job_id: str, work: Path) -> dict[str, Json]:
        facts = parcel.take(work / "out", self._key, self._settings.method, work)
        return facts | {"usd": price(facts["seconds"], self._settings.usd_per_hour)}

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin:
            child.stdin.close()  # its processes notice, and end
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise BackendError("torchrun does not end", "end its processes, then run the same command again") from error
