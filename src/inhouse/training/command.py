"""Training through commands of the user's: Slurm, SkyPilot, Kubernetes, or any other launcher.

The command that submits inherits a lock. If this process is killed meanwhile, the next one waits for the lock, so it
looks for the job only when the command can no longer make one.
"""

from __future__ import annotations

import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

from inhouse.config.training_backend import BackendName, CommandBackend
from inhouse.errors import BackendError, ConfigError, RefusedError
from inhouse.training import parcel
from inhouse.training.job import TrainingJob
from inhouse.training.locks import ended
from inhouse.training.trainer import Estimate, Status, estimate_by_time, price
from inhouse.types import Json

LOCK = "submit.lock"
EMPTY = 4  # looks in a row that say nothing, before a job without a result has failed: lists and shared disks lag
QUEUED = {"PENDING", "PD", "QUEUED", "CONFIGURING", "CF", "INIT", "STARTING", "SUBMITTED", "REQUEUED", "SUSPENDED"}
RUNNING = {"RUNNING", "R", "COMPLETING", "CG", "RECOVERING", "ACTIVE", "SETTING_UP", "STOPPING"}
DONE = {"COMPLETED", "CD", "SUCCEEDED", "COMPLETE", "DONE"}
FAILED = {
    "FAILED", "F", "CANCELLED", "CA", "TIMEOUT", "TO", "NODE_FAIL", "NF", "OUT_OF_MEMORY", "OOM", "PREEMPTED", "PR",
    "BOOT_FAIL", "BF", "DEADLINE", "DL", "FAILED_SETUP", "FAILED_NO_RESOURCE", "FAILED_CONTROLLER", "STOPPED", "ERROR",
}  # fmt: skip
"""States in the words of Slurm, SkyPilot, Kubernetes, and Ray."""


def check_commands(commands: CommandBackend) -> None:
    """Raises:
    ConfigError: a command that every job needs is not set.
    """
    for key in ("submit", "poll"):
        if not getattr(commands, key):
            hint = "set it; deploy/training/ has examples for Slurm, SkyPilot, and Kubernetes"
            raise ConfigError(f'training.backend = "command" needs training.command.{key}', hint)


class Command:
    """Jobs that commands submit, find, and look at; see `[training.command]`."""

    name: BackendName = "command"
    lasting = True

    def __init__(self, job: TrainingJob, work: Path, root: Path) -> None:
        self._settings, self._command = job.settings, job.settings.command
        self._work, self._root, self._empty = work.resolve(), root, 0
        check_commands(self._command)

    def estimate(self, job: TrainingJob) -> Estimate:
        return estimate_by_time(job)

    def find(self, key: str, interrupted: bool) -> str | None:
        if not self._command.find:
            if not interrupted:
                return None
            raise BackendError(
                f"a submission was interrupted, and nothing tells whether job {key} exists",
                "set training.command.find; or look for the job yourself, and if there is none, delete "
                f"{self._work / 'submission.json'}",
            )
        with ended(self._work / LOCK, self._command.timeout_s):
            return _last_word(self._run("find", key=key))

    def submit(self, job: TrainingJob, key: str, work: Path) -> str:
        parcel.write_job(job, key, self._work / "job", self._command.copy_base)
        (self._work / "out").mkdir(exist_ok=True)
        with ended(self._work / LOCK, self._command.timeout_s) as lock:
            printed = self._run("submit", key=key, lock=lock)
        job_id = _last_word(printed)
        if not job_id:
            hint = "it must print the job's id as the first word of its last line"
            raise BackendError("training.command.submit printed no job id", hint)
        return job_id

    def poll(self, job_id: str, work: Path) -> Status:
        word = (self._run("poll", job_id=job_id).split() or [""])[0].strip("+").upper()
        share, note = parcel.progress_of(self._work / "out")
        has_result = (self._work / "out" / parcel.RESULT).is_file()
        self._empty = 0 if word else self._empty + 1
        if word in DONE or (not word and has_result):
            return Status(state="done")
        if word in RUNNING:
            return Status(state="running", share=share, note=note)
        if word in QUEUED:
            return Status(state="queued", note="queued")
        if word in FAILED:
            return Status(state="failed", note=word)
        if not word and self._empty < EMPTY:
            return Status(state="running", note="not in the queue")
        if not word:
            return Status(state="failed", note=f"it has left the queue without {self._work / 'out' / parcel.RESULT}")
        hint = "use a command that prints PENDING, RUNNING, COMPLETED, or FAILED"
        raise RefusedError(f"training.command.poll printed an unknown state, {word!r}", hint)

    def fetch(self, job_id: str, work: Path) -> dict[str, Json]:
        _, key = parcel.read_job(self._work / "job")
        facts = parcel.take(self._work / "out", key, self._settings.method, work)
        return facts | {"usd": price(facts["seconds"], self._settings.usd_per_hour)}

    def cancel(self, job_id: str) -> None:
        """Ends the job."""
        if not self._command.cancel:
            raise ConfigError("training.command.cancel is not set", "set it, or end the job yourself")
        self._run("cancel", job_id=job_id)

    def close(self) -> None:
        return None

    def _run(self, which: str, key: str = "", job_id: str = "", lock: int | None = None) -> str:
        """What a command prints; without a shell, so that nothing in the values is taken for one.

        Raises:
            BackendError: it cannot be started, takes too long, or fails.
        """
        values = {"{job}": str(self._work / "job"), "{out}": str(self._work / "out"), "{key}": key, "{id}": job_id}
        words = []
        for word in shlex.split(getattr(self._command, which)):
            filled = word
            for name, value in values.items():
                filled = filled.replace(name, value)
            words.append(filled)
        with ExitStack() as stack:
            try:
                child = stack.enter_context(
                    subprocess.Popen(
                        words, cwd=self._root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True, errors="replace",
                        pass_fds=() if lock is None else (lock,),
                        start_new_session=lock is not None,  # Ctrl-C must not end half of a submission
                    )
                )  # fmt: skip
                printed, said = child.communicate(timeout=self._command.timeout_s)
            except OSError as error:
                raise RefusedError(f"training.command.{which}: {error}", "is the program installed?") from error
            except subprocess.TimeoutExpired as error:
                child.kill()
                raise BackendError(f"training.command.{which} takes too long", "raise its timeout_s") from error
        if child.returncode:
            last = (said.strip().splitlines() or ["no message"])[-1]
            raise BackendError(f"training.command.{which} failed (exit code {child.returncode}): {last}")
        return printed


def _last_word(text: str) -> str | None:
    """The first word of the last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].split()[0] if lines else None
