"""Training on a Ray cluster: the protocol, with a job server on loopback, and Ray Train itself on a cluster of two nodes
on this machine, where Ray is installed."""

import importlib.util
import shlex
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from jobs import SMALL, job, train

from inhouse.config.sections import Training
from inhouse.errors import BackendError, ConfigError
from inhouse.training import anywhere, ray_job, trainer

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "inhouse[ray]"'
)


def ray(server, **more):
    return Training(backend="ray", poll_s=0.01, usd_per_hour=2, ray={"address": server} | more)


def test_a_ray_cluster_is_sent_the_job_under_its_key(api, server, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_TEST", "secret-token-of-test")
    facts = train(ray(server, python="/opt/my python/bin/python", token_env="TOKEN_OF_TEST"), tmp_path / "work")
    seen = api()
    (made,) = seen["jobs"]
    assert made["submission_id"] == facts["backend"]["job"]
    assert facts["backend"]["job"].startswith(f"inhouse-{facts['backend']['key']}-")
    assert sorted(f.name for f in (tmp_path / "work").iterdir()) == ["adapter", "submission.json"]
    words = shlex.split(made["asked"]["entrypoint"])
    assert words[-4:-2] == ["-m", "inhouse.training.ray_job"]
    assert [Path(w) for w in words[-2:]] == [tmp_path / "work" / "job", tmp_path / "work" / "out"]
    assert facts["backend"]["usd"] == pytest.approx(60 / 3600 * 2, abs=1e-4)
    assert {authorization for _, authorization in seen["seen"]} == {"Bearer secret-token-of-test"}


@pytest.mark.parametrize("fault", ["429", "500", "500 after", "cut before", "cut after"])
def test_a_fault_while_ray_is_asked_leaves_one_job(api, server, tmp_path, fault):
    api(faults=[{"on": "POST /api/jobs/", "do": fault}])
    train(ray(server), tmp_path / "work")
    assert len(api()["jobs"]) == 1


def test_a_ray_cluster_refuses_a_second_job_and_the_first_is_found(api, server, tmp_path):
    """Two clients that both believe that there is no such job: the store of the cluster decides."""
    settings = ray(server)
    ids = set()
    for _ in range(2):
        with closing(anywhere.trainer(job(settings), tmp_path, tmp_path)) as there:
            ids.add(there.submit(job(settings), "key-1", tmp_path))
    assert {made["submission_id"] for made in api()["jobs"]} == ids
    assert len(ids) == 1


def test_a_ray_job_of_another_folder_is_not_taken_for_this_one(api, server, tmp_path):
    """Its result goes to that folder, which may no longer exist."""
    for name in ("one", "other"):
        train(ray(server), tmp_path / name)
        assert (tmp_path / name / "adapter").is_dir()
    assert len(api()["jobs"]) == 2


def test_a_ray_job_that_was_stopped_has_failed_and_the_next_run_makes_another(api, server, tmp_path):
    settings = ray(server)
    (tmp_path / "work").mkdir()
    with closing(anywhere.trainer(job(settings), tmp_path / "work", tmp_path)) as there:
        there.cancel(there.submit(job(settings), f"{trainer.key_of(job(settings))}-1", tmp_path / "work"))
    with pytest.raises(BackendError, match=r"\(ray\) failed: STOPPED \(more: ray job logs inhouse-"):
        train(settings, tmp_path / "work")
    assert train(settings, tmp_path / "work")["backend"]["key"].endswith("-2")


def test_a_cluster_that_was_started_anew_has_lost_its_jobs(api, server, tmp_path):
    settings = ray(server)
    (tmp_path / "work").mkdir()
    kept = trainer.Submission(
        backend="ray", key=trainer.key_of(job(settings)), attempt=1, state="submitted", id="inhouse-gone"
    )
    (tmp_path / "work" / trainer.SUBMISSION).write_text(kept.model_dump_json())
    with pytest.raises(BackendError, match="knows no job inhouse-gone"):
        train(settings, tmp_path / "work")
    assert api()["jobs"] == []


def test_workers_are_counted_by_gpus():
    assert [ray_job.worker_count(*n) for n in ((0, 0), (3, 0), (0, 4), (2, 4))] == [1, 3, 4, 2]
    with pytest.raises(ConfigError, match=r"training\.processes = 5, and the Ray cluster has 4 GPUs"):
        ray_job.worker_count(5, 4)


# --- a real cluster


@pytest.fixture(scope="module")
def address():
    from ray_nodes import cluster

    with tempfile.TemporaryDirectory(prefix="ray") as folder, cluster(Path(folder)) as address:
        yield address


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_workers_on_two_nodes_learn_what_local_does(tiny, tmp_path, address, sharding):
    alone = train(Training(**SMALL), tmp_path / "local", tiny)
    place = {"address": address, "python": sys.executable}
    settings = Training(**SMALL, backend="ray", processes=2, poll_s=0.2, sharding=sharding, ray=place)
    both = train(settings, tmp_path / "ray", tiny)
    assert both["processes"] == 2
    for loss in ("loss", "validation_loss", "validation_loss_first"):
        assert both[loss] == pytest.approx(alone[loss], rel=1e-4)
    left = sorted(f.name for f in (tmp_path / "ray").iterdir())
    assert left == ["adapter", "log.jsonl", "submission.json"]


@needs_ray
@pytest.mark.slow
def test_a_ray_job_that_fails_says_why(tmp_path, address):
    place = {"address": address, "python": sys.executable}
    settings = Training(**SMALL, backend="ray", processes=2, poll_s=0.2, ray=place)
    with pytest.raises(BackendError, match=r"transformers cannot load it.*ray job logs inhouse-"):
        train(settings, tmp_path / "work", tmp_path / "no_model")
