"""An adapter of the base model, trained from rows, as it is served beside the base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inhouse.assembly.arms import ADAPTER, ADAPTER_GGUF
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Training
from inhouse.models.catalog import WEIGHTS
from inhouse.training.rows import Row
from inhouse.types import Artifact, Json


def train_adapter(
    workspace: Workspace, served: Artifact, rows: Sequence[Row], validation: Sequence[Row], settings: Training,
    out: Path,
) -> dict[str, Json]:  # fmt: skip
    """Writes the adapter into `out`, as PEFT writes it and as adapter.gguf; returns facts of the training. An
    interrupted training goes on from its checkpoint in `out`. Rows may be for members of a group only, so the training
    is on this machine whatever `training.backend` says."""
    from inhouse.training import gguf, local
    from inhouse.training.job import TrainingJob

    project = workspace.project
    job = TrainingJob(
        rows=tuple(rows), validation=tuple(validation), base=workspace.base, name=project.model.base,
        settings=settings.model_copy(update={"method": "lora", "backend": "local"}), seed=project.seed,
    )  # fmt: skip
    facts = local.train(job, out, workspace.progress)
    gguf.adapter_to_gguf(out / ADAPTER, workspace.base_gguf or Path(served.path) / WEIGHTS, out / ADAPTER_GGUF)
    return facts
