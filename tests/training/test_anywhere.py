"""Training through torchrun, commands, and fine-tuning APIs. The network is loopback, and the launcher a script."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from jobs import NAMES, SMALL, job, train

from inhouse.config.sections import Training
from inhouse.errors import BackendError, ConfigError
from inhouse.pipeline.sources import TRAINING
from inhouse.store.artifacts import source_digest
from inhouse.training import anywhere, local, parcel, trainer
from inhouse.types import Silent, digest_of

HERE = Path(__file__).parent
PACKAGE = Path(trainer.__file__).parents[1]
CREATE = {"v1": "POST /v1/fine_tuning/jobs", "together": "POST /together/fine-tunes"}
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]


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
        "usd": None, "seconds": 0, "failed": [],
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
        "fireworks": {"epochs": 3, "loraRank": 4, "batchSizeSamples": 8},
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


@pytest.mark.parametrize("status", ["401", "500"])
def test_a_finished_job_is_fetched_although_its_events_cannot_be_read(api, server, tmp_path, status):
    api(faults=[{"on": "GET /v1/fine_tuning/jobs/ftjob-1/events", "do": status, "times": 100}])
    assert train(remote(server), tmp_path / "work")["backend"]["job"] == "ftjob-1"
    assert (tmp_path / "work" / "adapter" / NAMES[1]).is_file()


def test_a_job_that_was_canceled_has_failed_and_the_next_run_makes_another(api, server, tmp_path):
    settings = remote(server)
    with closing(anywhere.trainer(job(settings), tmp_path, tmp_path)) as there:
        there.cancel(there.submit(job(settings), f"{trainer.key_of(job(settings))}-1", tmp_path))
    with pytest.raises(BackendError, match=r"ftjob-1 \(hosted\) failed: cancelled"):
        train(settings, tmp_path / "work")
    assert train(settings, tmp_path / "work")["backend"]["job"] == "ftjob-2"


def left(tmp_path, settings, state="submitted", submit=True):
    """A folder that a build left behind, and what `inhouse train --cancel` says of it, as often as it is called."""
    work = tmp_path / "artifacts" / "adapter" / "12ab.work"
    work.mkdir(parents=True)
    made, id = job(settings), ""
    if submit:
        with closing(anywhere.trainer(made, work, tmp_path)) as there:
            id = there.submit(made, f"{trainer.key_of(made)}-1", work)
    kept = trainer.Submission(
        backend=settings.backend, key=trainer.key_of(made), attempt=1, state=state, at=time.time() - 999,
        id=id if state == "submitted" else "",
    )  # fmt: skip
    (work / trainer.SUBMISSION).write_text(kept.model_dump_json())
    return lambda: anywhere.cancel(settings, tmp_path, [work.parent])


@pytest.mark.parametrize("state", ["submitted", "submitting"])
def test_a_job_is_canceled_at_a_service_and_again_does_no_harm(api, server, tmp_path, state):
    cancel = left(tmp_path, remote(server), state)
    assert cancel() == ["job ftjob-1 is canceled"]
    assert cancel() == ["job ftjob-1 had ended: cancelled"]


@pytest.mark.parametrize("state", ["submitted", "submitting"])
def test_a_job_is_canceled_in_a_queue(tmp_path, state):
    cancel = left(tmp_path, slurm(tmp_path, "sleep 30"), state)
    assert cancel() == ["job 1 is canceled"]
    assert (tmp_path / "queue" / "1" / "state").read_text() == "CANCELLED\n"
    assert cancel() == ["job 1 had ended: CANCELLED"]


def test_what_cannot_be_canceled_is_said(tmp_path):
    queue = slurm(tmp_path, "sleep 30", cancel="")
    assert anywhere.cancel(queue, tmp_path, [tmp_path]) == []
    cancel = left(tmp_path, queue)
    with pytest.raises(ConfigError, match=r"training\.command\.cancel is not set"):
        cancel()
    with pytest.raises(BackendError, match="job 1 was submitted to command, not ray"):
        anywhere.cancel(Training(backend="ray", ray={"address": "http://127.0.0.1:9"}), tmp_path, [tmp_path])
    for backend in ("local", "torchrun"):
        with pytest.raises(ConfigError, match="ends with its build"):
            anywhere.cancel(Training(backend=backend), tmp_path, [tmp_path])


def test_a_submission_that_made_no_job_needs_no_canceling(api, server, tmp_path):
    (said,) = left(tmp_path, remote(server), "submitting", submit=False)()
    assert said.endswith("-1: no job was made of it")
    assert not api()["jobs"]


def test_the_estimate_is_shown_before_a_job_is_made_and_failed_ones_count(api, server, tmp_path):
    labels = []

    class Seen(Silent):
        def step(self, label, total):
            labels.append((label, len(api()["jobs"])))
            return super().step(label, total)

    settings = remote(server, usd_per_million_tokens=1000, max_usd=9)
    work, made = tmp_path / "work", job(settings)
    work.mkdir()
    with closing(anywhere.trainer(made, work, work)) as there:
        there.cancel(there.submit(made, f"{trainer.key_of(made)}-1", work))
        usd = there.estimate(made).usd
    with pytest.raises(BackendError, match="failed: cancelled"):
        anywhere.train(made, work, work, Seen())
    assert labels[0] == (f"submitting to hosted: about {round(usd * 1000):,} tokens, about ${usd:,.4g}", 1)
    kept = json.loads((work / trainer.SUBMISSION).read_text())
    assert kept["failed"] == [{"id": "ftjob-1", "estimated_usd": usd, "note": "cancelled"}]
    low = settings.model_copy(update={"hosted": settings.hosted.model_copy(update={"max_usd": usd * 1.5})})
    with pytest.raises(ConfigError, match="1 failed attempts may have cost"):
        train(low, work)
    assert train(settings, work)["backend"]["failed"] == kept["failed"]


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
     ({"hosted": {"provider": "fireworks", "model": "m"}, "rank": 4, "alpha": 64}, "training.alpha = 64"),
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


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("sk-secret", "x", "has no name of a variable"), ("KEY_OF_TEST", "", "KEY_OF_TEST is empty"),
     ("KEY_OF_TEST", " \n", "KEY_OF_TEST is empty"), ("KEY_OF_TEST", "sk-secr\u00e9t", "KEY_OF_TEST has characters"),
     ("KEY_OF_TEST", "sk-secret sk-secret", "KEY_OF_TEST has characters")],
)  # fmt: skip
def test_what_is_no_key_is_refused_and_never_repeated(monkeypatch, name, value, error):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=error) as raised:
        anywhere.check(remote("http://127.0.0.1:1", api_key_env=name))
    assert "sk-" not in f"{raised.value} {raised.value.hint}"


def test_a_key_that_ends_in_a_new_line_is_sent_without_it(api, server, tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", "secret\n")
    train(remote(server, api_key_env="KEY_OF_TEST"), tmp_path / "work")
    assert {authorization for _, authorization in api()["seen"]} == {"Bearer secret"}


@pytest.mark.parametrize(
    "settings",
    [{"backend": "hosted", "hosted": {"url": "http://me:secret@host/v1", "model": "m"}},
     {"backend": "ray", "ray": {"address": "http://me:secret@host"}}],
)  # fmt: skip
def test_an_address_with_a_password_is_refused_and_never_repeated(settings):
    with pytest.raises(ConfigError, match="has a user or a password in it") as raised:
        anywhere.check(Training(**settings))
    assert "secret" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("settings", [{"url": "nonsense"}, {"url": "http://"}, {"url": "http://[::1"}])
def test_what_is_no_address_is_refused(settings):
    with pytest.raises(ConfigError, match="url is no address"):
        anywhere.check(remote("", **settings))


def test_a_folder_of_another_job_is_not_continued(api, server, tmp_path):
    train(remote(server), tmp_path / "work")
    with pytest.raises(BackendError, match="is of another job"):
        train(remote(server).model_copy(update={"epochs": 9.0}), tmp_path / "work")


def test_weights_of_another_job_are_refused(tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / parcel.RESULT).write_text('{"key": "a", "facts": {}, "seconds": 1}')
    with pytest.raises(BackendError, match="is the result of another job"):
        parcel.take(tmp_path, "b", "lora", tmp_path / "work")


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
