"""The program that a Ray cluster runs for a training job: `python -m inhouse.training.ray_job JOB OUT`.

It starts Ray Train's workers, wherever in the cluster there is room, and each runs `parcel.main`, as one of torchrun's
processes would. Workers that are lost with their node are started again and go on from the checkpoint in OUT.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from inhouse.errors import BackendError, ConfigError, InhouseError
from inhouse.files import write_text
from inhouse.training import parcel

RESTARTS = 3
ERROR = "error.txt"


def worker_count(processes: int, gpus: int) -> int:
    """How many workers train.

    Args:
        processes: training.processes; 0 for one per GPU, or one without a GPU.
        gpus: of the cluster.

    Raises:
        ConfigError: there are GPUs, and fewer than processes.
    """
    if gpus and processes > gpus:
        hint = "lower it, or add nodes to the cluster"
        raise ConfigError(f"training.processes = {processes}, and the Ray cluster has {gpus} GPUs", hint)
    return processes or max(1, gpus)


def work(config: dict[str, Any]) -> None:
    """One of the workers. An error that a user can mend goes into OUT, where it is not lost among Ray's messages.

    It is raised too, since the other workers may wait for this one; those that Ray starts in their place end at once.
    """
    out = Path(config["out"])
    if (out / ERROR).is_file():
        return
    try:
        parcel.main(Path(config["job"]), out)
    except InhouseError as error:
        write_text(out / ERROR, f"{error}; {error.hint}")
        raise


def main(folder: Path, out: Path) -> None:
    """Trains a job folder with Ray Train.

    Raises:
        ConfigError: Ray Train is not installed, or the cluster is too small.
        BackendError: the workers say why they cannot train.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        hint = 'run `pip install "inhouse[ray]"` on each of its machines'
        raise ConfigError(f"Ray Train is not installed on the cluster ({error})", hint) from error
    job, key = parcel.read_job(folder)
    (out / ERROR).unlink(missing_ok=True)
    ray.init(log_to_driver=True)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    trainer = TorchTrainer(
        work,
        train_loop_config={"job": str(folder), "out": str(out)},
        scaling_config=ScalingConfig(num_workers=worker_count(job.settings.processes, gpus), use_gpu=gpus > 0),
        run_config=RunConfig(
            name=key, storage_path=str(out / "ray"), failure_config=FailureConfig(max_failures=RESTARTS)
        ),
    )
    trainer.fit()
    if (out / ERROR).is_file():
        raise BackendError((out / ERROR).read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except InhouseError as error:
        sys.exit(f"{error}\n{error.hint}")
