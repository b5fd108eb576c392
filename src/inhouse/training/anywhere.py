"""Chooses the back-end that `training.backend` names, and trains there."""

from __future__ import annotations

from pathlib import Path

from inhouse.training.job import TrainingJob
from inhouse.training.trainer import Trainer
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


def train(job: TrainingJob, work: Path, root: Path, progress: Progress) -> dict[str, Json]:
    """Trains the job where its settings say; "local" is `local.train`, unchanged.

    Raises:
        ConfigError: the back-end cannot honor a setting.
        BackendError: the training failed.
    """
    if job.settings.backend == "local":
        from inhouse.training import local

        return local.train(job, work, progress)
    return train_with(trainer(job, work, root), job, work, progress, job.settings.poll_s)
