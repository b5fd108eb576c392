"""Chooses the back-end that `training.backend` names, and trains there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from inhouse.config.sections import Training
from inhouse.errors import ConfigError
from inhouse.training.job import TrainingJob
from inhouse.training.trainer import SUBMISSION, Trainer
from inhouse.training.trainer import cancel as cancel_in
from inhouse.training.trainer import train as train_with
from inhouse.types import Json, Progress


def trainer(job: TrainingJob, work: Path, root: Path) -> Trainer:
    """The back-end for a job; `root` is the project's folder.

    Raises:
        ConfigError: it lacks a setting.
    """
    name = job.settings.backend
    if name == "torchrun":
        from inhouse.training.torchrun import Torchrun

        return Torchrun(job, work)
    if name == "command":
        from inhouse.training.command import Command

        return Command(job, work, root)
    if name == "ray":
        from inhouse.training.ray_cluster import RayCluster

        return RayCluster(job, work)
    assert name == "hosted"
    from inhouse.training.hosted import Hosted

    return Hosted(job, work)


def check(settings: Training) -> None:
    """Whether the settings of the place can work, as far as they tell it. No network.

    Raises:
        ConfigError: the back-end lacks a setting or a secret, or cannot honor a setting.
    """
    name = settings.backend
    if settings.sharding == "fsdp" and _processes(settings) == 1:
        hint = "start several processes (training.processes, or nodes of a launcher), or remove training.sharding"
        raise ConfigError('training.sharding = "fsdp" needs more than one process', hint)
    if name == "command":
        from inhouse.training.command import check_commands

        check_commands(settings.command)
    elif name == "ray":
        from inhouse.training.api import check_url, key_of

        check_url("training.ray.address", settings.ray.address)
        key_of(settings.ray.token_env)
    elif name == "hosted":
        from inhouse.training.hosted import check_hosted

        check_hosted(settings)


def cancel(settings: Training, root: Path, folders: Iterable[Path]) -> list[str]:
    """Ends the jobs that builds left behind in these work folders; says what became of each. `root` is the project's
    folder.

    Raises:
        ConfigError: jobs of this back-end end with their build, or nothing says how to end one.
        BackendError: the place cannot be reached, or a job is of another back-end.
    """
    if settings.backend in ("local", "torchrun"):
        raise ConfigError("a training on this machine ends with its build", "press Ctrl-C there")
    check(settings)
    job = TrainingJob(rows=(), validation=(), base=root, name="", settings=settings, seed=0)
    places = [file.parent for folder in folders for file in sorted(folder.rglob(SUBMISSION))]
    said = []
    for place in places:
        with closing(trainer(job, place, root)) as there:
            said.append(cancel_in(there, place))
    return [words for words in said if words]


def _processes(settings: Training) -> int:
    """In how many processes the training runs; 0 where only the place knows it."""
    if settings.backend not in ("local", "torchrun") or "LOCAL_RANK" in os.environ:  # the latter is a launcher's
        return settings.processes if settings.backend == "ray" else 0
    if settings.processes:
        return settings.processes
    import torch

    return int(torch.cuda.device_count()) or 1


def train(job: TrainingJob, work: Path, root: Path, progress: Progress) -> dict[str, Json]:
    """Trains the job where its settings say; "local" is `local.train`, unchanged.

    Raises:
        ConfigError: the back-end cannot honor a setting.
        BackendError: the training failed.
    """
    check(job.settings)
    if job.settings.backend == "local":
        from inhouse.training import local

        return local.train(job, work, progress)
    return train_with(trainer(job, work, root), job, work, progress, job.settings.poll_s)
