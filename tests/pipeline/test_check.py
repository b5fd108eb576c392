"""`inhouse check` says what will not be read before anything runs."""

import itertools
import os
import time

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.private import Private
from inhouse.config.sections import Project, Upstream
from inhouse.documents.kinds import OLE
from inhouse.errors import ConfigError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline.check import _budgets, _documents, _flops, _machine, _private, _secrets, _training
from inhouse.pipeline.pretrain import check_pretraining
from inhouse.pipeline.trainable import check_trainable
from inhouse.store.keys import Keys


def test_documents_that_cannot_be_read_are_warned_of(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    for name, data in {"a.md": b"Text", "b.doc": OLE, "c.doc": OLE, "d.zip": b"PK", "e.rtf": b"{\\rtf1 Text}"}.items():
        (tmp_path / "documents" / name).write_bytes(data)
    project = load_project(tmp_path)
    items, files = _documents(tmp_path / "documents", project.documents)
    assert len(files) == 5
    assert [(item.subject, item.ok, item.warning) for item in items] == [
        ("documents", True, True),
        ("not read", True, True),
        ("not read", True, True),
    ]
    assert items[0].detail.startswith("2 files that can be read, 3 that cannot, ")
    assert items[1].detail == ".doc: old Word format: save it as .docx (2 files such as b.doc)"
    assert items[2].detail == ".zip: unpack it and put the files here (d.zip)"


def test_documents_of_which_none_can_be_read_are_a_problem(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    project = load_project(tmp_path)
    (tmp_path / "documents").mkdir()
    assert not _documents(tmp_path / "documents", project.documents)[0][0].ok
    (tmp_path / "documents" / "a.zip").write_bytes(b"PK")
    assert not _documents(tmp_path / "documents", project.documents)[0][0].ok


def test_what_may_leave_is_shown_and_a_policy_that_cannot_hold_is_a_problem():
    cloud = Upstream(name="cloud", url="http://127.0.0.1:1/v1")
    table = Private(upstream="cloud", groups={"support": "surrogates"})
    assert _private(Project(upstream=(cloud,))) == []
    (item,) = _private(Project(upstream=(cloud,), private=(table,)))
    assert (item.ok, item.detail) == (True, "cloud: local-only, surrogates for support")
    (item,) = _private(Project(private=(table,)))
    assert not item.ok
    assert "there is no [[upstream]] of this name" in item.detail


def test_time_that_other_programs_take_does_not_count_for_the_estimate(monkeypatch):
    alone = _flops()
    waited = itertools.count(step=3600)  # each look at the clock finds an hour gone
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(waited)))
    assert _flops() > alone / 100


def test_a_busy_machine_is_warned_of(tmp_path, monkeypatch):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    workspace = Workspace(load_project(tmp_path))
    for load, warned in ((0.3, False), (1000.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, load, load))
        cores = next(item for item in _machine(workspace) if item.subject == "cores")
        assert (cores.ok, cores.warning) == (True, warned)
        assert ("load 1000" in cores.detail) == warned


def project_with(tmp_path, arms, **tables):
    return Project.model_validate({"evaluation": {"arms": ["base", *arms]}, **tables}).at(tmp_path)


@pytest.mark.parametrize(
    ("training", "problem"),
    [({"backend": "hosted"}, "needs training.hosted.url"),
     ({"backend": "hosted", "hosted": {"url": "http://127.0.0.1:1"}}, "needs training.hosted.model"),
     ({"backend": "hosted", "hosted": {"provider": "openai", "model": "m", "endpoint": True, "api_key_env": "UNSET"}},
      "environment variable UNSET is not set"),
     ({"backend": "command"}, "needs training.command.submit"),
     ({"backend": "ray", "ray": {"token_env": "UNSET"}}, "environment variable UNSET is not set"),
     ({"sharding": "fsdp", "processes": 1}, "needs more than one process"),
     ({"backend": "torchrun", "sharding": "fsdp", "processes": 1}, "needs more than one process")],
)  # fmt: skip
def test_a_place_that_cannot_train_is_a_problem(tmp_path, training, problem):
    (item,) = _training(project_with(tmp_path, ["tuned"], training=training))
    assert not item.ok
    assert problem in item.detail
    assert _training(project_with(tmp_path, [], training=training)) == []


def test_a_place_that_can_train_is_none(tmp_path):
    sharded = {"sharding": "fsdp", "processes": 2}
    command = {"backend": "command", "command": {"submit": "x", "poll": "y"}, "sharding": "fsdp"}  # the job decides
    for training in ({}, sharded, command):
        assert _training(project_with(tmp_path, ["tuned"], training=training)) == []


@pytest.mark.parametrize(
    ("arm", "tables", "problem"),
    [("cpt", {"pretraining": {"general_share": 0.5, "chat_share": 0.5}}, "leave no room for documents"),
     ("cpt", {"pretraining": {"general": ["nowhere.txt"]}}, "nowhere.txt: no such file"),
     ("cpt", {"pretraining": {"general": ["short.txt"]}}, "fewer than two paragraphs of more than 20 words"),
     ("tuned+feedback", {"feedback": {"preferences": ["nowhere.jsonl"]}}, "nowhere.jsonl: no such file")],
)  # fmt: skip
def test_what_cannot_be_learned_is_a_problem_before_anything_is_trained(tmp_path, arm, tables, problem):
    (tmp_path / "short.txt").write_text("A heading.\n\n" + "Rivers flow to the sea. " * 8)
    project = project_with(tmp_path, [arm], **tables)
    assert [problem in item.detail for item in _training(project) if not item.ok] == [True]
    for check in (check_trainable, *([check_pretraining] if arm == "cpt" else [])):
        with pytest.raises((ConfigError, InputError), match=problem):
            check(project)
    assert _training(project_with(tmp_path, [], **tables)) == []


def test_budgets_of_keys_that_nobody_can_use_are_warned_of(tmp_path):
    budgets = (
        {"per": "key", "of": "shop", "usd": 1},
        {"per": "key", "of": "shpo", "usd": 1},
        {"per": "user", "of": "x", "usd": 1},
    )
    workspace = Workspace(Project(budget=budgets).at(tmp_path), Catalog(tmp_path))
    assert _budgets(workspace) == []  # nothing was served, so there are no keys yet
    with workspace.ledger() as ledger:
        Keys(ledger).create("shop", "user")
    (item,) = _budgets(workspace)
    assert (item.ok, item.warning) == (True, True)
    assert "shpo of" in item.detail
    assert "shop" not in item.detail


def test_environment_variables_that_are_not_set_are_warned_of(monkeypatch):
    monkeypatch.setenv("HOOK", "s3cret")
    monkeypatch.delenv("CHAT", raising=False)
    project = Project(
        alerts={"webhook": "https://x.example", "webhook_secret_env": "HOOK", "slack_env": "CHAT"},
        upstream=({"name": "large", "url": "https://y.example/v1", "model": "m", "api_key_env": "CHAT"},),
    )
    (item,) = _secrets(project)
    assert item.warning
    assert item.detail.endswith("upstream.api_key_env names CHAT; alerts.slack_env names CHAT") or item.detail.endswith(
        "alerts.slack_env names CHAT; upstream.api_key_env names CHAT"
    )
    monkeypatch.setenv("CHAT", "https://z.example")
    assert _secrets(project) == []


def test_an_arm_that_learned_from_feedback_without_its_partner_is_warned_of(tmp_path):
    (item,) = _training(project_with(tmp_path, ["tuned", "tuned+feedback+rag"]))
    assert item.warning
    assert item.detail.startswith("evaluation.arms has tuned+feedback+rag but not tuned+rag:")
    both = ["tuned", "tuned+rag", "tuned+feedback", "tuned+feedback+rag"]
    assert _training(project_with(tmp_path, both)) == []


def test_pre_training_that_runs_elsewhere_than_set_is_warned_of(tmp_path):
    training = {"backend": "torchrun", "processes": 2, "sharding": "fsdp"}
    first, second = _training(project_with(tmp_path, ["cpt+tuned"], training=training))
    assert first.warning
    assert second.warning
    assert "this machine, in one process" in first.detail
    assert 'training.backend = "torchrun", training.sharding = "fsdp", training.processes = 2' in first.detail
    assert second.detail.endswith('training.backend = "torchrun" is not for it')
    assert _training(project_with(tmp_path, ["cpt"])) == []
