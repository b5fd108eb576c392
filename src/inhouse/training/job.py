"""A fine-tuning job as a value: complete, so that it can be sent to another process or another machine."""

from __future__ import annotations

from pathlib import Path

from inhouse.config.sections import Training
from inhouse.training.rows import Row
from inhouse.types import Record

ENDPOINT = "endpoint.json"  # what a training leaves where a service keeps the weights: where the model answers


class TrainingJob(Record):
    """What to train, on what, and how.

    Attributes:
        rows: what the model learns from.
        validation: the rows whose loss decides about early stopping.
        base: a folder with model.gguf or a Hugging Face folder, or a .gguf file.
        name: the name of the base model in the adapter's files.
        settings: the [training] section.
        seed: for initialization and order.
        start: an adapter of the same base that training goes on from; None for a new one.
    """

    rows: tuple[Row, ...]
    validation: tuple[Row, ...]
    base: Path
    name: str
    settings: Training
    seed: int
    start: Path | None = None
