"""Training on an existing Ray cluster, through its job server; the workers are those of Ray Train (`ray_job`).

Ray's submission id is made of the job's key and of a number that the work folder keeps, since the result comes into
this folder. The cluster's store takes an id once and refuses it ever after. So a request to submit may be sent as often
as needed: only one can make a job. This machine needs no Ray, since the job server speaks HTTP (Ray's documentation,
"Ray Jobs REST API").
"""

from __future__ import annotations

import secrets
import shlex
import time
from pathlib import Path
from urllib.parse import quote

from inhouse.config.training_backend import BackendName
from inhouse.errors import BackendError, RefusedError
from inhouse.files import write_text
from inhouse.training import parcel, ray_job
from inhouse.training.api import TRIES, Api, MissingError, pause_s
from inhouse.training.job import TrainingJob
from inhouse.training.trainer import Estimate, Status, estimate_by_time, price
from inhouse.types import Json

STATES = {"PENDING": "queued", "RUNNING": "running", "SUCCEEDED": "done", "FAILED": "failed", "STOPPED": "failed"}
MESSAGE_CHARS = 300
FOLDER_ID = "ray.id"


class RayCluster:
    """Jobs of a Ray cluster; see `[training.ray]`."""

    name: BackendName = "ray"
    lasting = True

    def __init__(self, job: TrainingJob, work: Path) -> None:
        self._settings, self._ray, self._work = job.settings, job.settings.ray, work.resolve()
        self._api = Api(self._ray.address, self._ray.token_env)

    def estimate(self, job: TrainingJob) -> Estimate:
        return estimate_by_time(job)

    def find(self, key: str, interrupted: bool) -> str | None:
        job_id = self._id(key)
        try:
            self._api.repeated("GET", _path(job_id))
        except MissingError:
            return None  # and if a request is still under way, the cluster refuses this one or that one
        return job_id

    def submit(self, job: TrainingJob, key: str, work: Path) -> str:
        folder, out = self._work / "job", self._work / "out"
        parcel.write_job(job, key, folder, self._ray.copy_base)
        out.mkdir(exist_ok=True)
        command = [*shlex.split(self._ray.python), "-m", "inhouse.training.ray_job", str(folder), str(out)]
        body = {"entrypoint": shlex.join(command), "submission_id": self._id(key), "metadata": {"inhouse_key": key}}
        for attempt in range(TRIES):
            try:
                self._api.once("POST", "/api/jobs/", json=body)
                return self._id(key)
            except BackendError as error:
                if found := self.find(key, interrupted=True):
                    return found
                if isinstance(error, RefusedError) or attempt == TRIES - 1:
                    raise
                time.sleep(pause_s(attempt))
        raise AssertionError

    def poll(self, job_id: str, work: Path) -> Status:
        out = self._work / "out"
        try:
            job = self._api.once("GET", _path(job_id))
        except MissingError:
            if (out / parcel.RESULT).is_file():  # the cluster forgot it after it ended
                return Status(state="done")
            hint = "was the cluster started anew? Then delete " + str(self._work / "submission.json")
            raise RefusedError(f"{self._ray.address} knows no job {job_id}", hint) from None
        word = str(job.get("status"))
        if word not in STATES:
            raise RefusedError(f"{self._ray.address} says that job {job_id} is {word!r}", "look at the job there")
        if STATES[word] == "failed":
            return Status(state="failed", note=f"{_reason(job, out)} (more: ray job logs {job_id})")
        share, note = parcel.progress_of(out)
        return Status.model_validate({"state": STATES[word], "share": share, "note": note or word.lower()})

    def fetch(self, job_id: str, work: Path) -> dict[str, Json]:
        _, key = parcel.read_job(self._work / "job")
        facts = parcel.take(self._work / "out", key, self._settings.method, work)
        return facts | {"usd": price(facts["seconds"], self._settings.usd_per_hour)}

    def cancel(self, job_id: str) -> None:
        """Ends the job."""
        self._api.repeated("POST", _path(job_id) + "/stop")

    def close(self) -> None:
        self._api.close()

    def _id(self, key: str) -> str:
        file = self._work / FOLDER_ID
        if not file.is_file():
            write_text(file, secrets.token_hex(4))
        return f"inhouse-{key}-{file.read_text(encoding='utf-8')}"


def _reason(job: dict[str, Json], out: Path) -> str:
    """Why a job failed: what its workers said, or else the end of what Ray says."""
    if (out / ray_job.ERROR).is_file():
        return (out / ray_job.ERROR).read_text(encoding="utf-8")[:MESSAGE_CHARS]
    said = [line for line in str(job.get("message") or "").splitlines() if line.strip()]
    return " ".join(said[-2:])[-MESSAGE_CHARS:] or str(job["status"])


def _path(job_id: str) -> str:
    return f"/api/jobs/{quote(job_id, safe='')}"
