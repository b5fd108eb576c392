"""Training anywhere: one job, several back-ends, and a file that remembers what was submitted.

A `Trainer` estimates, submits, polls, and fetches. `train` drives it: the file `submission.json` in the work folder is
written before and after the submission, so a build that was killed at any point finds its job again by the
job's id, or by its key, and submits nothing twice. `local` needs none of this and stays as it was.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from inhouse.config.sections import Training
from inhouse.config.training_backend import BackendName
from inhouse.errors import BackendError, ConfigError, RefusedError
from inhouse.files import write_text
from inhouse.training.job import TrainingJob
from inhouse.types import Json, Progress, Record, digest_of

SUBMISSION = "submission.json"
UNREACHABLE = 8  # looks at a job that may fail in a row; then the build ends, and the job goes on
KEY_CHARS = 20
TEMPORARY = ("job", "out", "torchrun.txt", "torchrun.lock", "submit.lock", "ray.id")
CHARS_PER_TOKEN = 4.0  # of English text, for estimates
HONORED: dict[str, dict[str, str]] = {
    "hosted": {
        "method": "lora, full", "epochs": "whole", "start": "no", "precision": "no", "processes": "no",
        "max_minutes": "no", "max_prompt_tokens": "no", "patience": "no", "prompt_tokens": "no",
        "sharding": "no",
    },
    "torchrun": {}, "command": {}, "ray": {}, "local": {},
}  # fmt: skip
"""Settings that a back-end cannot honor ("no"), or honors for whole numbers ("whole": epochs) or some values; it honors
all others. Providers differ further: see `Provider.takes`. A setting that has its default is not refused."""


class Estimate(Record):
    """What a job will need, as far as that is known: tokens read, minutes of training, US dollars."""

    tokens: int
    minutes: float | None = None
    usd: float | None = None


class Status(Record):
    """How a job stands; `share` is how much of it is done, from 0 to 1, where that is known."""

    state: Literal["queued", "running", "done", "failed"]
    share: float | None = None
    note: str = ""


class Attempt(Record):
    """A job that failed or was canceled, with what it was estimated to cost: services charge for what they trained."""

    id: str
    estimated_usd: float | None = None
    note: str = ""


class Submission(Record):
    """What is known of a submission, from before it was made to after its result was fetched. It holds no secrets."""

    backend: str
    key: str
    attempt: int = 0
    state: Literal["new", "submitting", "submitted", "failed", "fetched"] = "new"
    id: str = ""
    at: float = 0.0
    estimate: Estimate | None = None
    failed: tuple[Attempt, ...] = ()
    facts: dict[str, Json] = Field(default_factory=dict)

    @property
    def attempt_key(self) -> str:
        """The idempotency key: the same for each try to submit one attempt; another one after a job has failed."""
        return f"{self.key}-{self.attempt}"


class Trainer(Protocol):
    """A place where training runs.

    Attributes:
        lasting: whether its jobs go on when this process ends.
    """

    name: BackendName
    lasting: bool

    def estimate(self, job: TrainingJob) -> Estimate:
        """What the job will need. No network.

        Raises:
            ConfigError: the back-end cannot honor a setting, or a setting of its own is missing.
        """

    def find(self, key: str, interrupted: bool) -> str | None:
        """The id of the job with this key; None if there is certainly none.

        Args:
            key: the idempotency key.
            interrupted: whether a submission was begun whose end nobody saw; then it may only now take effect, and
                this waits until it has.

        Raises:
            BackendError: it cannot tell.
        """

    def submit(self, job: TrainingJob, key: str, work: Path) -> str:
        """Submits the job and returns its id. Whatever happens, it makes at most one job with this key.

        Raises:
            RefusedError: the job is refused, so none was made.
            BackendError: it is unknown whether one was made.
        """

    def poll(self, job_id: str, work: Path) -> Status:
        """How the job stands.

        Raises:
            RefusedError: nothing is known of this job.
            BackendError: the place cannot be reached now.
        """

    def fetch(self, job_id: str, work: Path) -> dict[str, Json]:
        """Puts `adapter/` or `weights/` into the folder `work`; returns the facts of the training, as `sft.train` does.

        It may be called again after it was interrupted.
        """

    def cancel(self, job_id: str) -> None:
        """Asks the place to end a job; whoever polls it then sees that it failed.

        Raises:
            ConfigError: nothing says how.
            BackendError: the place cannot be reached, or refuses.
        """

    def close(self) -> None:
        """Ends what runs in this process for jobs that are not `lasting`."""


def key_of(job: TrainingJob) -> str:
    """What is the same for equal jobs: rows, recipe, base, and seed, but not where files lie."""
    said = job.model_dump(mode="json", include={"rows", "validation", "name", "seed"})
    return digest_of([said, job.settings.recipe(), job.start is not None])[:KEY_CHARS]


def token_count(job: TrainingJob) -> int:
    """An estimate of the tokens that the job reads in all its passes over the rows."""
    chars = sum(sum(len(m.content) for m in row.messages) + len(row.target) for row in job.rows)
    return round(chars / CHARS_PER_TOKEN * job.settings.epochs)


def price(seconds: float | None, usd_per_hour: float) -> float | None:
    """US dollars for machines that run that long; None where the time or the price is not known."""
    return round(seconds / 3600 * usd_per_hour, 4) if seconds is not None and usd_per_hour else None


def estimate_by_time(job: TrainingJob) -> Estimate:
    """The estimate for machines that are paid by the hour: the time limit, if there is one."""
    minutes = job.settings.max_minutes or None
    usd = price(minutes * 60 if minutes else None, job.settings.usd_per_hour)
    return Estimate(tokens=token_count(job), minutes=minutes, usd=usd)


def refuse_keys(settings: Training, start: Path | None, name: str, rules: dict[str, str]) -> None:
    """Raises:
    ConfigError: a setting differs from its default, and the rules say that the back-end cannot honor it; names all.
    """
    refused = []
    for key, rule in rules.items():
        default = None if key == "start" else type(settings).model_fields[key].default
        value = start if key == "start" else getattr(settings, key)
        allowed = [default, *(part.strip() for part in rule.split(",") if rule != "no")]
        if value not in allowed and not (rule == "whole" and settings.epochs.is_integer()):
            hint = "an adapter to go on from" if key == "start" else f"training.{key} = {value!r}"
            refused.append(hint + (f" (the default is {default!r})" if key != "start" else ""))
    if refused:
        raise ConfigError(
            f'training.backend = "{name}" cannot honor {"; ".join(refused)}',
            "set these to their defaults, or choose another training.backend (docs/training.md has the table)",
        )


def train(trainer: Trainer, job: TrainingJob, work: Path, progress: Progress, poll_s: float) -> dict[str, Json]:
    """Trains the job with a back-end; a call that was killed is continued by calling again with the same folder.

    Returns:
        The facts of the training, and under "backend" where it ran, the job's id, and the costs: estimated and real.

    Raises:
        ConfigError: the back-end cannot honor the job.
        BackendError: the job failed, or the place cannot be reached; says whether the job goes on.
    """
    try:
        kept = _remembered(work, trainer.name, key_of(job))
        if kept.state != "fetched":
            kept = _trained(trainer, job, work, kept, progress, poll_s)
    finally:
        trainer.close()
    _clean(work)
    return kept.facts


def _trained(
    trainer: Trainer, job: TrainingJob, work: Path, kept: Submission, progress: Progress, poll_s: float
) -> Submission:
    estimate = trainer.estimate(job)
    if kept.state != "submitted" or not trainer.lasting:
        _refuse_costs(job, kept, estimate)
        with progress.step(f"submitting to {trainer.name}: {_said(estimate)}", 1) as step:
            step.advance()
        kept = _submitted(trainer, job, work, kept, estimate)
    _wait(trainer, kept, work, progress, poll_s)
    facts = trainer.fetch(kept.id, work)
    facts["backend"] = {
        "name": trainer.name, "job": kept.id, "key": kept.attempt_key, "estimated_usd": estimate.usd,
        "estimated_minutes": estimate.minutes, "usd": facts.pop("usd", None), "seconds": facts.pop("seconds", None),
        "failed": [a.model_dump(mode="json") for a in kept.failed],
    }  # fmt: skip
    kept = kept.model_copy(update={"state": "fetched", "facts": facts})
    _save(work, kept)
    return kept


def _said(estimate: Estimate) -> str:
    """The estimate in words, for who pays."""
    costs = "costs unknown" if estimate.usd is None else f"about ${estimate.usd:,.4g}"
    minutes = f", at most {estimate.minutes:g} minutes" if estimate.minutes else ""
    return f"about {estimate.tokens:,} tokens{minutes}, {costs}"


def _refuse_costs(job: TrainingJob, kept: Submission, estimate: Estimate) -> None:
    """Raises:
    ConfigError: with the attempts that failed, the job would cost more than training.hosted.max_usd.
    """
    most, spent = job.settings.hosted.max_usd, sum(a.estimated_usd or 0 for a in kept.failed)
    if job.settings.backend == "hosted" and most and spent and spent + (estimate.usd or 0) > most:
        what = f"{len(kept.failed)} failed attempts may have cost ${spent:.4g}, and another ${estimate.usd or 0:.4g}"
        raise ConfigError(f"{what}: more than training.hosted.max_usd = {most:g}", "look at the bill, then raise it")


def cancel(trainer: Trainer, work: Path) -> str:
    """Ends the job that a build left behind in this folder; says in words what became of it, "" if there is none.

    Raises:
        BackendError: the place cannot be reached, or the job is of another back-end.
    """
    file = work / SUBMISSION
    kept = Submission.model_validate(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None
    if kept is None or kept.state not in ("submitting", "submitted"):
        return ""
    if kept.backend != trainer.name:
        hint = f'set training.backend = "{kept.backend}" again, or end the job there'
        raise BackendError(f"job {kept.id or kept.key} was submitted to {kept.backend}, not {trainer.name}", hint)
    job_id = kept.id or trainer.find(kept.attempt_key, kept.state == "submitting")
    if job_id is None:
        return f"attempt {kept.attempt_key}: no job was made of it"
    status = trainer.poll(job_id, work)
    if status.state in ("done", "failed"):
        return f"job {job_id} had ended: {status.note or status.state}"
    trainer.cancel(job_id)
    return f"job {job_id} is canceled"


def _clean(work: Path) -> None:
    """Removes what only running jobs need; submission.json stays, as the record of where the weights come from."""
    for name in TEMPORARY:
        if (work / name).is_dir():
            shutil.rmtree(work / name)
        (work / name).unlink(missing_ok=True)


def _submitted(trainer: Trainer, job: TrainingJob, work: Path, kept: Submission, estimate: Estimate) -> Submission:
    interrupted = kept.state == "submitting"
    if not interrupted:
        update = {"state": "submitting", "attempt": kept.attempt + 1, "at": time.time(), "estimate": estimate}
        kept = kept.model_copy(update=update)
        _save(work, kept)
    found = trainer.find(kept.attempt_key, interrupted)
    try:
        job_id = found or trainer.submit(job, kept.attempt_key, work)
    except RefusedError:
        _save(work, kept.model_copy(update={"state": "failed"}))
        raise
    kept = kept.model_copy(update={"state": "submitted", "id": job_id})
    _save(work, kept)
    return kept


def _wait(trainer: Trainer, kept: Submission, work: Path, progress: Progress, poll_s: float) -> None:
    """Looks at the job until it is done; a place that cannot be reached is asked again."""
    shown, failures = 0.0, 0
    with progress.step(f"training ({trainer.name}, job {kept.id})", 1) as step:
        while True:
            try:
                status = trainer.poll(kept.id, work)
                failures = 0
            except RefusedError:
                raise
            except BackendError as error:
                failures += 1
                if failures >= UNREACHABLE:
                    hint = "the job goes on; run the same command again to look for its result"
                    raise BackendError(f"job {kept.id}: {error}", hint) from error
                status = Status(state="running", note=str(error))
            if status.state == "failed":
                usd = kept.estimate.usd if kept.estimate else None
                failed = (*kept.failed, Attempt(id=kept.id, estimated_usd=usd, note=status.note))
                _save(work, kept.model_copy(update={"state": "failed", "failed": failed}))
                hint = "run the same command again to submit a new job"
                raise BackendError(f"training job {kept.id} ({trainer.name}) failed: {status.note}", hint)
            share = 1.0 if status.state == "done" else max(shown, status.share or 0.0)
            step.advance(share - shown, status.note or status.state)
            shown = share
            if status.state == "done":
                return
            time.sleep(poll_s)


def _remembered(work: Path, backend: str, key: str) -> Submission:
    """What the folder says of an earlier call.

    Raises:
        BackendError: it is of another job or back-end, or cannot be read.
    """
    file = work / SUBMISSION
    if not file.is_file():
        return Submission(backend=backend, key=key)
    hint = f"end that job if it still runs, then delete {file}"
    try:
        kept = Submission.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise BackendError(f"{file}: cannot be read", hint) from error
    if (kept.backend, kept.key) != (backend, key):
        raise BackendError(
            f"{file}: is of another job ({kept.backend}, key {kept.key}, id {kept.id or 'unknown'})", hint
        )
    return kept


def _save(work: Path, kept: Submission) -> None:
    write_text(work / SUBMISSION, json.dumps(kept.model_dump(mode="json"), indent=1))
