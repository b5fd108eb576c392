"""The keys of inhouse.toml that say where training runs: on this machine, through a launcher, or at a provider."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from inhouse.config.section import Section

BackendName = Literal["local", "torchrun", "command", "hosted", "ray"]
ProviderName = Literal["openai", "together", "fireworks", "compatible"]


class CommandBackend(Section):
    """Commands run without a shell, in the project's folder. In each of them, {job} is the folder with the job, {out}
    the folder that must hold the result, {key} the key that is the same when a job is submitted again, and {id} the
    job's id."""

    submit: str = ""
    """Command that submits the job and prints its id as the first word of its last line, such as "sbatch --parsable
    --comment={key} deploy/training/slurm.sbatch {job} {out}"."""
    find: str = ""
    """Command that prints the id of the job with this {key}, and nothing if there is none. Without it, a submission
    that was interrupted is never repeated."""
    poll: str = ""
    """Command that prints the state of job {id} as its first word, such as PENDING, RUNNING, COMPLETED, or FAILED. No
    output means that the job has ended."""
    cancel: str = ""
    """Command that ends job {id}, for `inhouse train --cancel`."""
    copy_base: bool = False
    """Copy the base model into the job's folder, for machines that do not share this machine's disk."""
    timeout_s: float = Field(120, gt=0)
    """Longest run of one of these commands. Seconds."""


class HostedBackend(Section):
    """A service with a fine-tuning API. It receives the training rows, with the passages in them."""

    provider: ProviderName = "compatible"
    """Whose API it is; `compatible` is a server with OpenAI's API that lists the weights in a job's result_files."""
    url: str = ""
    """Address of the API, such as "https://host/v1"; empty for the provider's own."""
    api_key_env: str = ""
    """Environment variable that holds the API key."""
    model: str = ""
    """Name of the base model there. It must be the same model as model.base, since the parity gate compares them; with
    `endpoint` it may be any."""
    account: str = ""
    """Name of the account, for fireworks."""
    endpoint: bool = False
    """Consent to a provider that gives no weights (openai): the trained model stays there, and each question, with its
    history and the passages in its prompt, is sent there, in the verdict and by every release of it."""
    min_overlap: float = Field(0.8, ge=0, le=1)
    """Such a model is asked each test question twice; smallest mean overlap (ROUGE-L) of both answers that passes."""
    usd_per_million_tokens: float = Field(0, ge=0)
    """Price of a million training tokens, in US dollars, for the estimate; 0 where it is not known."""
    max_usd: float = Field(0, ge=0)
    """Do not submit a job whose estimate is more than this, in US dollars; 0 means no limit."""


class RayBackend(Section):
    """An existing Ray cluster whose machines see the project's folder under the same path, with `inhouse[train,ray]`
    installed. This machine needs no Ray."""

    address: str = "http://127.0.0.1:8265"
    """Address of the cluster's job server, which is its dashboard."""
    token_env: str = ""
    """Environment variable that holds the cluster's token, if it wants one."""
    python: str = "python"
    """Command that runs Python on the cluster's machines."""
    copy_base: bool = False
    """Copy the base model into the job's folder, for machines that see no other part of this machine's disk."""


class TrainingBackend(Section):
    """What `[training]` says about the place. Keys that are not set do not appear in keys of artifacts."""

    backend: BackendName = "local"
    """Where training runs, see docs/training.md: in this process or one per GPU (local), through torchrun on this
    machine, by a command of yours (Slurm, SkyPilot, Kubernetes), on a Ray cluster (ray), or through a fine-tuning API
    (hosted). A setting that a back-end cannot honor is refused."""
    sharding: Literal["none", "fsdp"] = "none"
    """How several processes keep the weights: each a whole copy (none), or each a part of every layer (fsdp), for
    models that do not fit on one GPU. Losses are the same up to rounding. For lora and full."""
    poll_s: float = Field(10, gt=0)
    """Time between two looks at a job elsewhere. Seconds."""
    usd_per_hour: float = Field(0, ge=0)
    """Price of an hour of the machines that train, in US dollars, for backend torchrun, command, and ray."""
    command: CommandBackend = CommandBackend()
    ray: RayBackend = RayBackend()
    hosted: HostedBackend = HostedBackend()

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the keys of this class that have their defaults: artifacts made before there were any stay valid."""
        data: dict[str, Any] = handler(self)
        for name, field in TrainingBackend.model_fields.items():
            if getattr(self, name) == field.default:
                data.pop(name, None)
        return data

    def recipe(self) -> dict[str, Any]:
        """What the result depends on: without prices, addresses of launchers, and times."""
        data = self.model_dump(mode="json", exclude=set(TrainingBackend.model_fields))
        if self.backend != "local":
            data["backend"] = self.backend
        if self.sharding != "none":
            data["sharding"] = self.sharding
        if self.backend == "hosted":
            data["hosted"] = {"provider": self.hosted.provider, "model": self.hosted.model}
        return data
