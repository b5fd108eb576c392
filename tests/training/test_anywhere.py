"""Training through torchrun, commands, and fine-tuning APIs. The network is loopback, and the launcher a script."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from inhouse.config.sections import Training
from inhouse.errors import BackendError, ConfigError
from inhouse.pipeline.sources import TRAINING
from inhouse.store.artifacts import source_digest
from inhouse.training import anywhere, hosted, local, parcel, ray_job, trainer
from inhouse.training import api as api_of_jobs
from inhouse.training.job import TrainingJob
from inhouse.training.rows import Row
from inhouse.types import Message, Silent, digest_of

HERE = Path(__file__).parent
PACKAGE = Path(trainer.__file__).parents[1]
SMALL = {"rank": 4, "alpha": 8, "epochs": 1, "batch_size": 4, "learning_rate": 5e-4, "precision": "fp32"}
CREATE = {"v1": "POST /v1/fine_tuning/jobs", "together": "POST /together/fine-tunes"}
NAMES = ("adapter_config.json", "adapter_model.safetensors")
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]


def row(n):
    question = Message(role="user", content=f"What is the fee of plan {n}?")
    return Row(messages=(question,), target=f"The fee of plan {n} is {n * 3} dollars.", kind="grounded")


ROWS = tuple(row(n) for n in range(12))


def job(settings, base=Path("/nowhere"), rows=ROWS):
    return TrainingJob(rows=rows, validation=rows[:4], base=base, name="tiny", settings=settings, seed=7)


def train(settings, work, base=Path("/nowhere")):
    work.mkdir(exist_ok=True)
    return anywhere.train(job(settings, base), work, work, Silent())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(api_of_jobs, "PAUSE_S", 0.01)
    monkeypatch.setattr(hosted, "SETTLE_S", 0.05)


@pytest.fixture(scope="module")
def server():
    program = [sys.executable, HERE / "fine_tuning_api.py"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        child.stdin.close()


@pytest.fixture
def api(server, tmp_path):
    """Talks to the server's other side; the weights that it gives are `tmp_path/theirs`."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / NAMES[0]).write_text('{"r": 4, "base_model_name_or_path": "theirs/model"}')
    (theirs / NAMES[1]).write_bytes(os.urandom(5000))

    def control(**values):
        data = json.dumps(values).encode() if values else None
        with urllib.request.urlopen(urllib.request.Request(f"{server}/control", data)) as answer:
            return json.load(answer)

    control(clear=True, faults=[], adapter=str(theirs))
    return control


def remote(server, path="v1", **more):
    keys = {"url": f"{server}/{path}", "model": "theirs/model"} | more
    return Training(backend="hosted", poll_s=0.01, rank=4, alpha=8, hosted=keys)


# --- what does not change


def test_existing_artifacts_stay_valid():
    """The digests are those of the settings and of the source before there were other back-ends."""
    assert digest_of(Training().model_dump(mode="json")).startswith("e522c0684f0ce1df")
    assert Training().recipe() == Training().model_dump(mode="json")
    changed = Training(backend="command", usd_per_hour=3, command={"submit": "x", "poll": "y"})
    assert Training.model_validate(changed.model_dump(mode="json")) == changed
    assert changed.recipe() == {**Training().recipe(), "backend": "command"}


def test_the_source_of_a_training_is_named_completely():
    """What local training imports of its room is in the list, in the order in which a folder would be read."""
    code = (
        "import sys, inhouse.training.sft, inhouse.training.local, inhouse.training.preference, inhouse.training.gguf"
    )
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(*(m for m in sys.modules if m.startswith('inhouse.training.')))"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    used = {f"training/{name.rpartition('.')[2]}.py" for name in shown.stdout.split()}
    assert used <= set(TRAINING)
    assert sorted(TRAINING) == TRAINING
    assert source_digest(*(PACKAGE / f for f in TRAINING)) != source_digest(*(PACKAGE / f for f in TRAINING[1:3]))


@pytest.mark.slow
def test_local_is_the_training_that_it_was(tiny, tmp_path):
    (tmp_path / "before").mkdir()
    before = local.train(job(Training(**SMALL), tiny), tmp_path / "before", Silent())
    now = train(Training(**SMALL), tmp_path / "now", tiny)
    assert {f.name for f in (tmp_path / "now").rglob("*")} == {f.name for f in (tmp_path / "before").rglob("*")}
    for file in (tmp_path / "before" / "adapter").iterdir():
        assert file.read_bytes() == (tmp_path / "now" / "adapter" / file.name).read_bytes()
    assert now.keys() == before.keys()
    assert now["validation_loss"] == before["validation_loss"]


# --- one recipe, several places


@pytest.mark.slow
def test_torchrun_learns_what_local_does(tiny, tmp_path):
    alone = train(Training(**SMALL), tmp_path / "local", tiny)
    settings = Training(**SMALL, backend="torchrun", processes=2, poll_s=0.1, usd_per_hour=36)
    both = train(settings, tmp_path / "torchrun", tiny)
    assert both["processes"] == 2
    assert both["steps"] == alone["steps"] == 3
    for loss in ("loss", "validation_loss", "validation_loss_first"):
        assert both[loss] == pytest.approx(alone[loss], rel=1e-4)
    assert both["backend"]["usd"] == pytest.approx(both["backend"]["seconds"] * 0.01, rel=0.01)
    assert sorted(f.name for f in (tmp_path / "torchrun").iterdir()) == ["adapter", "log.jsonl", "submission.json"]
    assert train(settings, tmp_path / "torchrun", tiny) == both  # it was fetched: nothing is trained again


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
    from interrupted import Ended, Ending

    from inhouse.training import sft

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
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_WAIT_POLICY": "passive"},
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


@pytest.mark.slow
def test_torchrun_says_why_it_failed(tmp_path):
    settings = Training(**SMALL, backend="torchrun", processes=1, poll_s=0.1)
    with pytest.raises(BackendError, match=r"torchrun.*failed: exit code 1; see .*torchrun\.txt"):
        train(settings, tmp_path / "work", tmp_path / "no_model")
    assert "transformers cannot load it" in (tmp_path / "work" / "torchrun.txt").read_text()


def slurm(tmp_path, run, **more):
    queue = tmp_path / "queue"
    queue.mkdir(exist_ok=True)
    tool = HERE / "fake_slurm"
    command = {"submit": f"{tool} submit {queue} {{key}} {run}", "find": f"{tool} find {queue} {{key}}",
               "poll": f"{tool} state {queue} {{id}}", "cancel": f"{tool} cancel {queue} {{id}}"} | more  # fmt: skip
    return Training(**SMALL, backend="command", poll_s=0.1, command=command)


@pytest.mark.slow
def test_a_queue_trains_a_folder_that_has_all_it_needs(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    moved = tmp_path / "model"
    shutil.copytree(tiny, moved)
    run = f"{sys.executable} -m inhouse.training.parcel {{job}} {{out}}"
    alone = train(Training(**SMALL), tmp_path / "local", moved)
    facts = train(slurm(tmp_path, run, copy_base=True), tmp_path / "work", moved)
    assert facts["validation_loss"] == alone["validation_loss"]
    here, there = ((tmp_path / place / "adapter") for place in ("local", "work"))
    assert (here / NAMES[1]).read_bytes() == (there / NAMES[1]).read_bytes()
    configs = [json.loads((place / NAMES[0]).read_text()) for place in (here, there)]
    for config in configs:
        config["target_modules"].sort()  # PEFT writes a set
    assert configs[0] == configs[1]
    assert facts["backend"] | {"seconds": 0} == {
        "name": "command", "job": "1", "key": facts["backend"]["key"], "estimated_usd": None, "estimated_minutes": None,
        "usd": None, "seconds": 0,
    }  # fmt: skip


def test_a_queue_whose_job_fails_is_named_and_the_next_run_submits_another(tmp_path):
    with pytest.raises(BackendError, match=r"training job 1 \(command\) failed: FAILED"):
        train(slurm(tmp_path, "false"), tmp_path / "work")
    facts = train(slurm(tmp_path, f"{HERE / 'pretends_to_train'} {{job}} {{out}} {{key}}"), tmp_path / "work")
    assert facts["backend"]["job"] == "2"
    assert facts["backend"]["key"].endswith("-2")


def test_a_job_that_leaves_the_queue_without_a_result_has_failed(tmp_path):
    with pytest.raises(BackendError, match=r"it has left the queue without .*result\.json"):
        train(slurm(tmp_path, "true"), tmp_path / "work")


def test_an_interrupted_submission_is_looked_up_or_not_repeated(tmp_path):
    settings = slurm(tmp_path, f"{HERE / 'pretends_to_train'} {{job}} {{out}} {{key}}")
    (tmp_path / "work").mkdir()
    before = trainer.Submission(
        backend="command", key=trainer.key_of(job(settings)), attempt=1, state="submitting", at=time.time()
    )
    (tmp_path / "work" / trainer.SUBMISSION).write_text(before.model_dump_json())
    blind = settings.model_copy(update={"command": settings.command.model_copy(update={"find": ""})})
    with pytest.raises(BackendError, match="nothing tells whether job .*-1 exists"):
        train(blind, tmp_path / "work")
    assert not list((tmp_path / "queue").iterdir())
    assert train(settings, tmp_path / "work")["backend"]["job"] == "1"


@pytest.mark.parametrize(
    ("command", "error"),
    [({"poll": "echo MAYBE"}, "unknown state, 'MAYBE'"), ({"submit": "true"}, "printed no job id"),
     ({"submit": "/no/such/program"}, "No such file"), ({"submit": ""}, "needs training.command.submit"),
     ({"submit": "sh -c 'echo no partition >&2; exit 3'"}, r"failed \(exit code 3\): no partition")],
)  # fmt: skip
def test_commands_that_do_not_work_are_named(tmp_path, command, error):
    with pytest.raises((BackendError, ConfigError), match=error):
        train(slurm(tmp_path, "true", **command), tmp_path / "work")


def test_values_in_commands_meet_no_shell(tmp_path):
    work = tmp_path / "work; touch broken #"
    train(slurm(tmp_path, f"{HERE / 'pretends_to_train'} {{job}} {{out}} {{key}}"), work)
    assert not list(tmp_path.rglob("broken"))


# --- fine-tuning APIs


@pytest.mark.parametrize(
    ("provider", "path", "account"),
    [("compatible", "v1", ""), ("together", "together", ""), ("fireworks", "fireworks", "me")],
)
def test_weights_come_back_from_each_provider(api, server, tmp_path, provider, path, account, monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", "secret-key-of-test")
    more = {"account": account, "provider": provider, "api_key_env": "KEY_OF_TEST"}
    settings = remote(server, path, **more, usd_per_million_tokens=8)
    facts = train(settings.model_copy(update={"alpha": 32}), tmp_path / "work")
    theirs = (tmp_path / "theirs" / NAMES[1]).read_bytes()
    assert (tmp_path / "work" / "adapter" / NAMES[1]).read_bytes() == theirs
    assert json.loads((tmp_path / "work" / "adapter" / NAMES[0]).read_text())["base_model_name_or_path"] == "tiny"
    assert facts["examples"] == 12
    assert facts["backend"]["estimated_usd"] > 0
    assert facts["backend"]["usd"] == {"compatible": 0.04, "together": 0.056, "fireworks": None}[provider]
    seen = api()
    assert len(seen["jobs"]) == 1
    assert seen["files"][0]["rows"] == 12
    assert all(authorization == "Bearer secret-key-of-test" for _, authorization in seen["seen"])
    assert not [f for f in (tmp_path / "work").rglob("*") if f.is_file() and b"secret-key" in f.read_bytes()]
    asked, sent = json.dumps(seen["jobs"][0]["asked"]), {
        "compatible": {"n_epochs": 3, "batch_size": 8, "lora_rank": 4, "lora_alpha": 32, "seed": 7},
        "together": {"n_epochs": 3, "batch_size": 8, "lora_r": 4, "lora_alpha": 32, "random_seed": 7},
        "fireworks": {"epochs": 3, "loraRank": 4},
    }[provider]  # fmt: skip
    assert [name for name, value in sent.items() if f'"{name}": {value}' not in asked] == []


@pytest.mark.parametrize("fault", ["429", "500", "500 after", "cut before", "cut after", "expired"])
def test_a_fault_while_a_job_is_made_leaves_one_job(api, server, tmp_path, fault):
    api(faults=[{"on": CREATE["v1"], "do": fault}])
    train(remote(server), tmp_path / "work")
    seen = api()
    assert len(seen["jobs"]) == 1
    assert len(seen["files"]) == (2 if fault == "expired" else 1)


def test_one_job_of_many_is_found_page_by_page(api, server, tmp_path):
    made = remote(server)
    train(made, tmp_path / "first")
    for n in range(7):
        other = job(made.model_copy(update={"epochs": n + 4.0}))
        with closing(anywhere.trainer(other, tmp_path, tmp_path)) as there:
            there.submit(other, f"other-{n}", tmp_path)
    train(made, tmp_path / "second")  # another folder, the same job: it is not paid for twice
    assert len(api()["jobs"]) == 8


def test_faults_while_a_job_runs_do_not_end_the_build(api, server, tmp_path):
    faults = [{"on": "GET /v1/fine_tuning/jobs/ftjob-1", "do": do, "times": 2} for do in ("500", "cut before", "429")]
    api(faults=faults)
    train(remote(server), tmp_path / "work")
    assert len(api()["jobs"]) == 1


def test_a_job_that_was_canceled_has_failed_and_the_next_run_makes_another(api, server, tmp_path):
    settings = remote(server)
    with closing(anywhere.trainer(job(settings), tmp_path, tmp_path)) as there:
        there.cancel(there.submit(job(settings), f"{trainer.key_of(job(settings))}-1", tmp_path))
    with pytest.raises(BackendError, match=r"ftjob-1 \(hosted\) failed: cancelled"):
        train(settings, tmp_path / "work")
    assert train(settings, tmp_path / "work")["backend"]["job"] == "ftjob-2"


def test_a_refusal_is_final(api, server, tmp_path):
    api(faults=[{"on": CREATE["v1"], "do": "401"}])
    with pytest.raises(BackendError, match="HTTP status 401"):
        train(remote(server), tmp_path / "work")
    assert api()["jobs"] == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"epochs": 0.5}, "cannot honor training.epochs = 0.5"), ({"max_minutes": 8}, r"cannot honor training.max_minutes = 8.0 \(the default is 0\)"),
     ({"precision": "bf16", "patience": 9}, "training.precision = 'bf16'.*training.patience = 9"),
     ({"sharding": "fsdp"}, "training.sharding = 'fsdp'"),
     ({"method": "prompt_tuning"}, "training.method = 'prompt_tuning'"),
     ({"hosted": {"provider": "openai", "model": "m"}, "rank": 16, "alpha": 32}, "gives no weights.*sent there"),
     ({"hosted": {"url": "http://x", "model": "m", "endpoint": True}}, "compatible gives weights"),
     ({"hosted": {"provider": "openai", "model": "m"}, "learning_rate": 1e-4, "rank": 16, "alpha": 32},
      "openai.*training.learning_rate"),
     ({"hosted": {"provider": "fireworks", "model": "m"}, "batch_size": 4, "alpha": 32}, "training.batch_size = 4"),
     ({"hosted": {"provider": "fireworks", "model": "m"}, "alpha": 32}, "needs training.hosted.account"),
     ({"hosted": {"url": "", "model": "m"}}, "needs training.hosted.url"),
     ({"hosted": {"url": "http://x", "model": "m", "max_usd": 1}}, "cannot be estimated"),
     ({"hosted": {"url": "http://x", "model": "m", "max_usd": 1e-9, "usd_per_million_tokens": 9}}, "is estimated to cost"),
     ({"hosted": {"url": "http://x", "model": "m", "api_key_env": "NO_SUCH_KEY"}}, "NO_SUCH_KEY is not set"),
     ({"backend": "ray", "ray": {"token_env": "NO_SUCH_KEY"}}, "NO_SUCH_KEY is not set")],
)  # fmt: skip
def test_what_cannot_be_honored_is_refused_by_name(api, server, tmp_path, settings, error):
    whole = remote(server).model_dump() | settings
    with pytest.raises(ConfigError, match=error):
        train(Training.model_validate(whole), tmp_path / "work")
    assert not (tmp_path / "work" / trainer.SUBMISSION).exists()
    assert api()["jobs"] == []


def test_a_folder_of_another_job_is_not_continued(api, server, tmp_path):
    train(remote(server), tmp_path / "work")
    with pytest.raises(BackendError, match="is of another job"):
        train(remote(server).model_copy(update={"epochs": 9.0}), tmp_path / "work")


def test_weights_of_another_job_are_refused(tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / parcel.RESULT).write_text('{"key": "a", "facts": {}, "seconds": 1}')
    with pytest.raises(BackendError, match="is the result of another job"):
        parcel.take(tmp_path, "b", "lora", tmp_path / "work")


# --- Ray


def ray(server, **more):
    return Training(backend="ray", poll_s=0.01, usd_per_hour=2, ray={"address": server} | more)


def test_a_ray_cluster_is_sent_the_job_under_its_key(api, server, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN_OF_TEST", "secret-token-of-test")
    facts = train(ray(server, python="/opt/my python/bin/python", token_env="TOKEN_OF_TEST"), tmp_path / "work")
    seen = api()
    (made,) = seen["jobs"]
    assert made["submission_id"] == facts["backend"]["job"] == f"inhouse-{facts['backend']['key']}"
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
    key = f"{trainer.key_of(job(settings))}-1"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with closing(anywhere.trainer(job(settings), tmp_path / name, tmp_path)) as there:
            assert there.submit(job(settings), key, tmp_path / name) == f"inhouse-{key}"
    assert len(api()["jobs"]) == 1


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


# --- kill -9


def counts_of(tmp_path, *arguments):
    done = subprocess.run(
        [sys.executable, HERE / "kills.py", *arguments[:2], tmp_path, *arguments[2:]],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("backend", ["hosted", "command", "ray"])
def test_a_killed_client_never_submits_twice(tmp_path, backend):
    """`benchmarks/training_backends.py` kills 100 of each."""
    counts = counts_of(tmp_path, backend, "15")
    assert counts["killed"] >= 13
    assert (counts["twice"], counts["never"]) == (0, 0)


def test_a_client_that_does_not_look_for_its_job_submits_twice(tmp_path):
    assert counts_of(tmp_path, "hosted", "5", "blind")["twice"] > 0
