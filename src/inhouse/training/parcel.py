"""A training job as a folder that another program trains, and its result as a folder.

The job folder has job.json, and the base model where the machines share no disk. The result folder has `adapter/`
or `weights/`, log.jsonl, and, written last, result.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.errors import BackendError
from inhouse.files import write_text
from inhouse.training.job import TrainingJob
from inhouse.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inhouse.types import Step

JOB, RESULT, PROGRESS = "job.json", "result.json", "progress.json"
TAKEN = ("adapter", "weights", "log.jsonl")


def write_job(job: TrainingJob, key: str, folder: Path, copy_base: bool = False) -> None:
    """Writes the job folder; job.json comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    base = job.base.resolve()
    if copy_base:
        copy = folder / "base" / base.name
        if base.is_dir():
            shutil.copytree(base, copy, dirs_exist_ok=True)
        else:
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(base, copy)
    data = job.model_dump(mode="json") | {"base": f"base/{base.name}" if copy_base else str(base)}
    if job.start:
        shutil.copytree(job.start, folder / "start", dirs_exist_ok=True)
        data["start"] = "start"
    write_text(folder / JOB, json.dumps({"key": key, "job": data}))


def read_job(folder: Path) -> tuple[TrainingJob, str]:
    """The job of a folder, and its key.

    Raises:
        BackendError: there is none.
    """
    try:
        data = json.loads((folder / JOB).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "the job was submitted from another folder, which gets its result; end it there"
        raise BackendError(f"{folder / JOB}: not there", hint) from error
    job = data["job"]
    job |= {name: str(folder.resolve() / job[name]) for name in ("base", "start") if job[name]}
    return TrainingJob.model_validate(job), data["key"]


def progress_of(out: Path) -> tuple[float | None, str]:
    """The share that is done and a note, as far as the result folder says."""
    try:
        data = json.loads((out / PROGRESS).read_text(encoding="utf-8"))
        return float(data["share"]), str(data["note"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, ""


def take(out: Path, key: str, method: str, work: Path) -> dict[str, Json]:
    """Moves a result into the folder `work`; may be called again after it was interrupted. `out` stays, without them.

    Returns:
        The facts of the training, with "seconds", the time that its processes ran.

    Raises:
        BackendError: the result is missing, of another job, or has no weights.
    """
    name = "weights" if method == "full" else "adapter"
    try:
        result = json.loads((out / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "the command must put it there; see the job's own messages"
        raise BackendError(f"{out / RESULT}: the job has ended without its result", hint) from error
    if result.get("key") != key:
        raise BackendError(f"{out / RESULT}: is the result of another job", f"delete {out} and run again")
    for part in TAKEN:
        if (out / part).exists():
            if (work / part).is_dir():
                shutil.rmtree(work / part)
            shutil.move(out / part, work / part)
    if not (work / name).is_dir():
        raise BackendError(f"{out}: the job has ended without {name}/", "see the job's own messages")
    return {**result["facts"], "seconds": result["seconds"]}


class Written:
    """A Progress that keeps a small file up to date."""

    def __init__(self, out: Path) -> None:
        self._out, self._share, self._at = out, 0.0, 0.0

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._share += amount
        if time.monotonic() - self._at > 1:
            write_text(self._out / PROGRESS, json.dumps({"share": min(self._share, 1.0), "note": note}))
            self._at = time.monotonic()


def main(folder: Path, out: Path) -> None:
    """Trains a job folder in this process, or as one of torchrun's; run by `python -m inhouse.training.parcel`."""
    from inhouse.training import local
    from inhouse.types import Silent

    job, key = read_job(folder)
    out.mkdir(parents=True, exist_ok=True)
    first = os.environ.get("RANK", "0") == "0"
    started = time.monotonic()
    facts = local.train(job, out, Written(out) if first else Silent())
    if first:
        seconds = round(time.monotonic() - started, 1)
        write_text(out / RESULT, json.dumps({"key": key, "facts": facts, "seconds": seconds}))


def _exit_with_parent() -> None:
    os.read(0, 1)  # nothing is ever sent: this returns when the parent is gone
    os._exit(1)


def run(arguments: list[str]) -> int:
    """The program: JOB OUT [--with-parent]."""
    import threading

    from inhouse.errors import InhouseError

    if "--with-parent" in arguments:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        main(Path(arguments[0]), Path(arguments[1]))
    except InhouseError as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
