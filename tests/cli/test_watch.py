"""`inhouse watch`: what its commands print, what they refuse, and how a service of it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from inhouse.cli.main import app
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.monitoring.retests import FILE, Retest, Row, Told
from inhouse.monitoring.triggers import Decision, Loss, Trigger
from inhouse.serving.watched import Job, Memory, Pending, State, Waiting
from inhouse.store.artifacts import Store


@pytest.fixture
def project(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n')
    return tmp_path


@pytest.fixture
def call(project):
    return lambda *given: CliRunner().invoke(app, ["watch", *given, "--project", str(project)])


def full():
    decision = Decision(
        at="2026-11-30T12:00:00+00:00", action="build", reason="the loss costs $1,355 until a build pays",
        triggers=(Trigger(kind="topic", text="a new topic fails: 9 of 9 questions"),), waiting_usd=2310,
        waiting_low=640, waiting_high=3980, build_usd=480.15, horizon_days=22, pays=0.97,
        loss=Loss(mean=0.0385, sd=0.0142, drift=0.0004), days=40, requests=1000,
    )  # fmt: skip
    waiting = Waiting(kind="release", at="2026-11-30T13:00:00+00:00", text="bank/2 passed the gate\x1b[31m",
                      command="inhouse release promote 2", release="bank/2",
                      questions=tuple(f"question {n}?" for n in range(12)))  # fmt: skip
    job = Job(kind="index", started_at="2026-11-30T13:30:00+00:00", why="documents changed", step="testing")
    return State(looked_at="2026-11-30T12:30:00+00:00", job=job, decision=decision, waiting=(waiting,),
                 canary=Pending(release="bank/3", until="2026-12-01T12:00:00+00:00"))  # fmt: skip


def test_the_status_has_the_decision_with_its_figures_and_what_waits(call, project):
    Memory(project / ".inhouse").write(full())
    shown = call("status").stdout
    assert "In progress: a new index since 2026-11-30 13:30 UTC, testing: documents changed" in shown
    assert "Canary: bank/3 until 2026-12-01 12:00 UTC" in shown
    assert (
        "waiting costs $2,310 a month [640, 3,980], a build costs $480.15 and pays within 22 days with probability 97%; "
        "therefore build: the loss costs $1,355 until a build pays." in shown
    )
    assert "1,000 requests a day, 40.0 days since the last build, lost: 3.9% of the answers" in shown
    assert "topic: a new topic fails: 9 of 9 questions" in shown
    assert "inhouse release promote 2" in shown
    assert "and 2 more" in shown
    assert "\x1b" not in shown


def test_what_got_better_and_worse_is_shown_question_by_question(call, project):
    assert isinstance(call("compare").exception, InputError)
    good, wrong = Told(text="It costs $5.", outcome="right"), Told(text="No idea.\x1b[2J", outcome="wrong")
    rows = (
        Row(id="1", part="old", question="What is a wire?", reference="$5", before=good, after=wrong),
        Row(id="2", part="new", question="What is a card?", reference="$9", before=wrong, after=good),
        Row(id="3", part="old", question="What is a loan?", before=good, after=good),
    )
    retest = Retest(before="bank/1", after="bank/2", rows=rows)

    def build(out):
        (out / FILE).write_text(retest.model_dump_json())
        return {}

    Store(project / ".inhouse").make("retest", {}, [], build)
    shown = call("compare").stdout
    assert shown.startswith("bank/2 against bank/1: 1 better and 1 worse of 3 questions\nworse: What is a wire?")
    assert "    before (right): It costs $5.\n    after (wrong): No idea." in shown
    assert "better: What is a card?" in shown
    assert "loan" not in shown
    assert "\x1b" not in shown
    assert len(json.loads(call("compare", "--json").stdout)["rows"]) == 3


def test_before_the_first_look_the_status_says_so(call):
    shown = call("status")
    assert shown.exit_code == 0
    assert "Looked at the documents: never" in shown.stdout
    assert "Nothing waits for a person." in shown.stdout


def test_the_status_as_json_has_the_decisions(call, project):
    memory = Memory(project / ".inhouse")
    memory.write(full())
    memory.note(full().decision)
    found = json.loads(call("status", "--json").stdout)
    assert found["decision"]["build_usd"] == 480.15
    assert found["decisions"][0]["text"].endswith("until a build pays")
    assert "glance" not in found


def test_a_mark_is_in_the_audit_log_with_who_made_it(call, project):
    shown = call("mark", "Regulation Z wants the APR in every answer")
    assert shown.stdout.startswith("Marked, entry 1 of the audit log.")
    assert json.loads(call("mark", "another", "--json").stdout) == {"entry": 2}
    listed = CliRunner().invoke(app, ["audit", "actions", "--json", "--project", str(project)])
    if listed.exit_code == 0:
        assert "Regulation Z" in listed.stdout


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (("mark", "  "), ConfigError, "the mark has no text"),
        (("accept",), InputError, "no index waits"),
        (("--once",), InputError, "there is no release yet"),
        (("build",), BackendError, "another `inhouse watch`"),
    ],
)
def test_what_cannot_be_done_is_said(call, project, given, error, said):
    memory = Memory(project / ".inhouse")
    if error is BackendError:
        with memory.held():
            result = call(*given)
    else:
        result = call(*given)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


def test_options_must_follow_the_command(project):
    result = CliRunner().invoke(app, ["watch", "--project", str(project), "status"])
    assert isinstance(result.exception, ConfigError)
    assert "inhouse watch status ..." in str(result.exception)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_service_that_is_stopped_ends_cleanly_and_frees_its_lock(project, by):
    command = [sys.executable, "-m", "inhouse.cli.main", "watch", "--project", str(project), "--set",
               "watch.documents_every_s=0.05"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        assert "Watching" in process.stderr.readline()
        line = process.stderr.readline()
        while "error: there is no release yet" not in line:  # it goes on looking
            line = process.stderr.readline()
        time.sleep(0.1)
        process.send_signal(by)
        rest = process.stderr.read()
        assert process.wait(20) == 130
    assert "interrupted; run the same command again to continue" in rest
    assert "Traceback" not in rest
    with Memory(project / ".inhouse").held():
        pass
