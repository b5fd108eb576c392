"""Ray Train on a cluster of two nodes on this machine; the protocol alone is in test_anywhere.py."""

import tempfile
from pathlib import Path

import pytest

from inhouse.config.sections import Training
from inhouse.errors import BackendError
from inhouse.training import anywhere
from inhouse.training.job import TrainingJob
from inhouse.training.rows import Row
from inhouse.types import Message, Silent

pytest.importorskip("ray", reason='Ray is not installed: pip install "inhouse[ray]"')
RECIPE = {"rank": 4, "alpha": 8, "epochs": 1, "batch_size": 4, "learning_rate": 5e-4, "precision": "fp32"}
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]


def row(n):
    question = Message(role="user", content=f"What is the fee of plan {n}?")
    return Row(messages=(question,), target=f"The fee of plan {n} is {n * 3} dollars.", kind="grounded")


ROWS = tuple(row(n) for n in range(12))


@pytest.fixture(scope="module")
def address():
    from ray_nodes import cluster

    with tempfile.TemporaryDirectory(prefix="ray") as folder, cluster(Path(folder)) as address:
        yield address


def train(settings, work, base):
    work.mkdir()
    job = TrainingJob(rows=ROWS, validation=ROWS[:4], base=base, name="tiny", settings=settings, seed=7)
    return anywhere.train(job, work, work, Silent())


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_workers_on_two_nodes_learn_what_local_does(tiny, tmp_path, address, sharding):
    import sys

    alone = train(Training(**RECIPE), tmp_path / "local", tiny)
    place = {"address": address, "python": sys.executable}
    settings = Training(**RECIPE, backend="ray", processes=2, poll_s=0.2, sharding=sharding, ray=place)
    both = train(settings, tmp_path / "ray", tiny)
    assert both["processes"] == 2
    for loss in ("loss", "validation_loss", "validation_loss_first"):
        assert both[loss] == pytest.approx(alone[loss], rel=1e-4)
    left = sorted(f.name for f in (tmp_path / "ray").iterdir())
    assert left == ["adapter", "log.jsonl", "submission.json"]


def test_a_job_that_fails_says_why(tmp_path, address):
    import sys

    place = {"address": address, "python": sys.executable}
    settings = Training(**RECIPE, backend="ray", processes=2, poll_s=0.2, ray=place)
    with pytest.raises(BackendError, match=r"transformers cannot load it.*ray job logs inhouse-"):
        train(settings, tmp_path / "work", tmp_path / "no_model")
