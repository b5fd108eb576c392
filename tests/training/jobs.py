"""A small training job, and how tests train it."""

from pathlib import Path

from inhouse.training import anywhere
from inhouse.training.job import TrainingJob
from inhouse.training.rows import Row
from inhouse.types import Message, Silent

SMALL = {"rank": 4, "alpha": 8, "epochs": 1, "batch_size": 4, "learning_rate": 5e-4, "precision": "fp32"}
NAMES = ("adapter_config.json", "adapter_model.safetensors")


def row(n):
    question = Message(role="user", content=f"What is the fee of plan {n}?")
    return Row(messages=(question,), target=f"The fee of plan {n} is {n * 3} dollars.", kind="grounded")


ROWS = tuple(row(n) for n in range(12))


def job(settings, base=Path("/nowhere"), rows=ROWS):
    return TrainingJob(rows=rows, validation=rows[:4], base=base, name="tiny", settings=settings, seed=7)


def train(settings, work, base=Path("/nowhere")):
    work.mkdir(exist_ok=True)
    return anywhere.train(job(settings, base), work, work, Silent())
