"""Weights that are shared between processes (FSDP2), on CPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from interrupted import Ended, Ending
from jobs import SMALL, job, train

from inhouse.config.sections import Training
from inhouse.errors import ConfigError
from inhouse.training import parcel, sft
from inhouse.types import Silent

HERE = Path(__file__).parent
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_sharded_processes_learn_what_local_does(tiny, tmp_path, method):
    """The second of two batches has one row, so one of the two processes reads nothing that counts."""
    recipe = SMALL | {"method": method, "batch_size": 11}
    alone = train(Training(**recipe), tmp_path / "local", tiny)
    settings = Training(**recipe, backend="torchrun", processes=2, poll_s=0.1, sharding="fsdp")
    both = train(settings, tmp_path / "sharded", tiny)
    assert (both["processes"], both["steps"]) == (2, 2)
    assert both["weights_learned"] == alone["weights_learned"]
    for loss in ("loss", "validation_loss", "validation_loss_first"):
        assert both[loss] == pytest.approx(alone[loss], rel=1e-4)
    here, there = (tmp_path / place / ("weights" if method == "full" else "adapter") for place in ("local", "sharded"))
    assert {f.name for f in here.iterdir()} == {f.name for f in there.iterdir()}
    assert_same_weights(next(here.glob("*.safetensors")), next(there.glob("*.safetensors")))
    if method == "full":
        assert (here / "config.json").read_text() == (there / "config.json").read_text()


def assert_same_weights(one, other):
    from safetensors.torch import load_file

    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-5, name


@pytest.mark.slow
def test_a_checkpoint_goes_on_with_and_without_sharding(tiny, tmp_path, monkeypatch):
    """A run that is interrupted twice: begun by one process, continued by two that share its weights, ended by one."""
    settings = Training(**(SMALL | {"method": "full", "epochs": 3, "learning_rate": 1e-3}))
    train(settings, tmp_path / "whole", tiny)
    work = tmp_path / "cut"
    work.mkdir()
    monkeypatch.setattr(sft, "SAVE_EVERY_S", 0.0)
    with pytest.raises(Ended):
        sft.train(job(settings, tiny), work, Ending(2))
    assert steps_of(work) == 2
    sharded = Training(**settings.model_dump() | {"sharding": "fsdp"})
    parcel.write_job(job(sharded, tiny), "key", tmp_path / "job")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", HERE / "interrupted.py",
               tmp_path / "job", work, "2"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_WAIT_POLICY": "passive"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert steps_of(work) == 4
    assert sft.train(job(settings, tiny), work, Silent())["steps"] == 9
    assert_same_weights(*(tmp_path / place / "weights" / "model.safetensors" for place in ("whole", "cut")))


def steps_of(work):
    return json.loads((work / "checkpoint" / "state.json").read_text())["step"]


def test_sharding_that_cannot_be_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"cannot honor method = \"prompt_tuning\""):
        Training(sharding="fsdp", method="prompt_tuning")
    with pytest.raises(ConfigError, match="needs more than one process"):
        train(Training(**SMALL, sharding="fsdp"), tmp_path / "work", tiny)
    assert [f.name for f in (tmp_path / "work").iterdir()] == []
