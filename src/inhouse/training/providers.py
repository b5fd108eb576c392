"""How fine-tuning APIs differ, as data: addresses, names of fields, words for states, and where weights are.

From the providers' public references (OpenAI, Together, Fireworks), read in 2026. `{id}`, `{key}`, and `{account}` in
an address are filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from inhouse.types import Json


@dataclass(frozen=True)
class Provider:
    """One fine-tuning API.

    Attributes:
        url: where it is; "" if the project says.
        upload: how a file is sent: OpenAI's multipart form, or a data set that is made first and then filled.
        upload_to: address that takes a file's form; "" where it is `files`.
        files: address of the files; for "dataset" also of a data set's state and content.
        jobs: address that lists jobs and makes them.
        job: address of one job.
        events: address of a job's events; "" if there are none.
        cancel: address that cancels a job.
        body: a setting, or "file", "model", "key" -> the dotted field of the request that carries it.
        fixed: dotted fields that every request has.
        takes: setting -> rule as in `trainer.HONORED`, besides the rules of all hosted services.
        key_field: the dotted field of a job, as listed, that holds the idempotency key.
        contains: the field holds more than the key.
        listed: the field of a list that has its entries.
        page: parameter that asks for the entries after one, or for a page.
        id_field: the field of a job with its id, or with a path that ends in it.
        states: its words for states.
        tokens: field with the tokens that were trained, from which it is billed.
        usd: field with the price in dollars; "" if it does not say.
        weights: how it gives the weights: not at all, as an archive at `download`, as result files, or as signed links.
        served: field of a job with the name under which the service answers with the trained model.
        download: address of the weights.
        error: dotted field with the reason of a failure.
    """

    url: str
    jobs: str
    job: str
    cancel: str
    body: dict[str, str]
    states: dict[str, str]
    key_field: str
    upload: Literal["form", "dataset"] = "form"
    upload_to: str = ""
    files: str = "/files"
    events: str = ""
    fixed: dict[str, Json] = field(default_factory=dict)
    takes: dict[str, str] = field(default_factory=dict)
    contains: bool = False
    listed: str = "data"
    page: str = "after"
    id_field: str = "id"
    tokens: str = "trained_tokens"
    usd: str = ""
    weights: Literal["none", "archive", "files", "links"] = "none"
    download: str = ""
    served: str = "fine_tuned_model"
    error: str = "error.message"


_OPENAI_STATES = {
    "validating_files": "queued", "queued": "queued", "running": "running", "paused": "queued", "succeeded": "done",
    "failed": "failed", "cancelled": "failed",
}  # fmt: skip
_SUPERVISED = "method.supervised.hyperparameters"
_OPENAI_BODY = {
    "file": "training_file", "model": "model", "seed": "seed", "key": "metadata.inhouse_key",
    "epochs": f"{_SUPERVISED}.n_epochs", "batch_size": f"{_SUPERVISED}.batch_size",
}  # fmt: skip

_OPENAI = Provider(
    url="https://api.openai.com/v1", jobs="/fine_tuning/jobs", job="/fine_tuning/jobs/{id}",
    events="/fine_tuning/jobs/{id}/events", cancel="/fine_tuning/jobs/{id}/cancel", body=_OPENAI_BODY,
    fixed={"method.type": "supervised"},
    takes={"method": "lora", "rank": "no", "alpha": "no", "learning_rate": "no"}, states=_OPENAI_STATES,
    key_field="metadata.inhouse_key",
)  # fmt: skip

PROVIDERS: dict[str, Provider] = {
    "openai": _OPENAI,
    "compatible": replace(
        _OPENAI, url="",
        body=_OPENAI_BODY | {
            "rank": f"{_SUPERVISED}.lora_rank", "alpha": f"{_SUPERVISED}.lora_alpha",
            "learning_rate": f"{_SUPERVISED}.learning_rate",
        },
        takes={"method": "lora"}, weights="files", download="/files/{id}/content",
    ),
    "together": Provider(
        url="https://api.together.xyz/v1", jobs="/fine-tunes", job="/fine-tunes/{id}",
        events="/fine-tunes/{id}/events", cancel="/fine-tunes/{id}/cancel", upload_to="/files/upload",
        body={
            "file": "training_file", "model": "model", "key": "suffix", "epochs": "n_epochs",
            "batch_size": "batch_size", "learning_rate": "learning_rate", "rank": "training_type.lora_r",
            "alpha": "training_type.lora_alpha", "seed": "random_seed",
        },
        fixed={"training_type.type": "Lora", "training_method.method": "sft"}, takes={"method": "lora"},
        states={
            "pending": "queued", "queued": "queued", "running": "running", "compressing": "running",
            "uploading": "running", "cancel_requested": "running", "cancelled": "failed", "error": "failed",
            "user_error": "failed", "completed": "done",
        },
        key_field="model_output_name", contains=True, page="", tokens="token_count", weights="archive",
        download="/finetune/download?ft_id={id}&checkpoint=adapter", error="status",
    ),
    "fireworks": Provider(
        url="https://api.fireworks.ai/v1", upload="dataset", files="/accounts/{account}/datasets",
        jobs="/accounts/{account}/supervisedFineTuningJobs?supervisedFineTuningJobId={key}",
        job="/accounts/{account}/supervisedFineTuningJobs/{id}",
        cancel="/accounts/{account}/supervisedFineTuningJobs/{id}:cancel",
        body={
            "file": "dataset", "model": "baseModel", "key": "displayName", "output": "outputModel",
            "epochs": "epochs", "rank": "loraRank", "learning_rate": "learningRate", "batch_size": "batchSizeSamples",
        },
        takes={"method": "lora", "alpha": "no"},
        states={
            "JOB_STATE_CREATING": "queued", "JOB_STATE_PENDING": "queued", "JOB_STATE_VALIDATING": "queued",
            "JOB_STATE_RUNNING": "running", "JOB_STATE_WRITING_RESULTS": "running", "JOB_STATE_COMPLETED": "done",
            "JOB_STATE_CREATING_INPUT_DATASET": "queued", "JOB_STATE_RE_QUEUEING": "queued", "JOB_STATE_IDLE": "queued",
            "JOB_STATE_PAUSED": "queued", "JOB_STATE_CANCELLING": "running", "JOB_STATE_EARLY_STOPPED": "done",
            "JOB_STATE_FAILED": "failed", "JOB_STATE_CANCELLED": "failed", "JOB_STATE_EXPIRED": "failed",
            "JOB_STATE_DELETING": "failed", "JOB_STATE_DELETING_CLEANING_UP": "failed", "JOB_STATE_DELETED": "failed",
            "JOB_STATE_ARCHIVED": "failed",
        },
        key_field="displayName", listed="supervisedFineTuningJobs", page="pageToken", id_field="name",
        tokens="", weights="links", download="/accounts/{account}/models/{key}:getDownloadEndpoint",
        error="status.message",
    ),
}  # fmt: skip
