"""The watch over a project whose artifacts are real folders with made-up contents: documents, decisions, builds, kills.

The store, the ledger, the files, the lock, and the processes that are killed are real; indexes and answers are made up.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.documents.folder import folder_digest
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.monitoring.alarms import DriftReport, Kept, Monitored
from inhouse.monitoring.retests import FILE, Retest, Row, Told
from inhouse.monitoring.triggers import Decision
from inhouse.serving import watching
from inhouse.serving.occasions import earlier
from inhouse.serving.releases import MEASURED, Releases, label
from inhouse.serving.watched import Job, Memory, State
from inhouse.serving.watching import Stages, Watch, mark
from inhouse.store.audit import Audit
from inhouse.types import Document, Estimate
from inhouse.verdict import ArmResult, Gain, Percentiles, Recommendation, Report, Subject

SETTINGS = {
    "watch.documents_every_s": "0.01", "watch.every_minutes": "1000000", "release.arm": "rag",
    "retrieval.embedder": "minilm-l6-v2", "guardrails.rails": "[]", "watch.drift_days": "0",
}  # fmt: skip


def gained(mean):
    return Estimate(mean=mean, low=mean - 0.05, high=mean + 0.05, n=40)


class Bank:
    """A project with its documents, and stages that make artifacts of made-up contents and count their calls."""

    def __init__(self, root, **settings):
        self.root, self.settings = root, {**SETTINGS, **settings}
        (root / "inhouse.toml").write_text('name = "bank"\n')
        (root / "documents").mkdir()
        (root / "documents" / "fees.md").write_text("# Fees\n\nA wire costs $20.\n")
        self.calls, self.outcomes, self.said, self.alerts = [], ("right", "right"), [], []
        self.outdated, self.builds = False, 0

    @property
    def workspace(self):
        return Workspace(load_project(self.root, self.settings))

    @property
    def releases(self):
        return Releases(self.workspace)

    @property
    def state(self):
        return Memory(self.workspace.store.root).read()

    def watch(self):
        return Watch(self.workspace, Stages(self.index, self.build, self.compare), self.said.append, self.alerts.append)

    def write(self, text, name="fees.md"):
        (self.root / "documents" / name).write_text(f"# Fees\n\n{text}\n")

    def index(self, workspace):
        self.calls.append("index")
        settings, store = workspace.project.documents, workspace.store
        folder = workspace.project.path(settings.path)
        inputs = {"documents": settings.model_dump(mode="json"), "content": folder_digest(folder, settings)}
        read = [Document(source=f.name, text=f.read_text(), title="Fees", meta={"modified": str(f.stat().st_mtime)})
                for f in sorted(folder.glob("*.md"))]  # fmt: skip

        def build(out: Path):
            (out / "documents.jsonl").write_text("".join(d.model_dump_json() + "\n" for d in read))
            return {"failures": []}

        documents = store.make("documents", inputs, [], build)
        return store.make("index", {"of": "index"}, [documents], lambda out: {"documents": len(read)})

    def build(self, workspace):
        self.calls.append("build")
        store, at = workspace.store, self.index(workspace)
        parents = [store.make(kind, {"of": kind, "build": self.builds}, [], lambda out: {}) for kind in
                   ("weights", "fusion", "dataset")]  # fmt: skip
        ms = Percentiles(p50=1, p95=2, p99=3)
        arms = {arm: ArmResult(metrics={"accuracy": gained(0.8), "wrong": gained(0.02)}, latency_ms=ms,
                               first_token_ms=ms, prompt_tokens=1, answer_tokens=1, usd_per_1000=0, seconds=1, failed=0)
                for arm in ("base", "rag")}  # fmt: skip
        figures = {"accuracy": gained(0.2), "unsupported": gained(-0.1)}
        report = Report(subject=Subject(project="bank", base_model="b"), questions=40, arms=arms,
                        gains=(Gain(arm="rag", over="base", metrics=figures),),
                        recommendation=Recommendation(arm="rag", sentence="Use rag."))  # fmt: skip
        settings = {s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}

        def write(out: Path):
            (out / "report.json").write_text(report.model_dump_json())
            return {"recommended": "rag"}

        return store.make("report", {"name": "bank", **settings, "build": self.builds}, [at, *parents], write)

    def compare(self, workspace, before, after, changed=(), whole=False):
        self.calls.append("compare")
        part = "old" if whole else "affected"
        told = [Told(text="t", outcome=o) for o in self.outcomes]
        rows = (
            Row(id="1", part=part, question="What is a wire?", outdated=self.outdated, before=told[0], after=told[1]),
        )
        found = Retest(before=label(before), after=label(after), changed=tuple(changed), tests=1, affected=1, rows=rows)

        def build(out: Path):
            (out / FILE).write_text(found.model_dump_json())
            return {}

        store = workspace.store
        parents = [store.open("report", after.report)]
        if not whole:
            at = store.open("index", after.index)
            parents = [store.open("documents", at.parents[0]), at, *parents]
        return store.make("retest", {"rows": found.digest, "after": after.index}, parents, build)

    def actions(self):
        with self.workspace.ledger() as ledger:
            return [a.what for a in Audit(ledger).actions(about="watch")][::-1]


@pytest.fixture
def bank(tmp_path, models_dir):
    return opened(tmp_path)


def opened(root, **settings):
    """A bank with a release in production."""
    made = Bank(root, **settings)
    made.build(made.workspace)
    made.releases.promote(label(made.releases.make()))
    made.calls.clear()
    return made


def production(bank):
    return bank.releases.get("production")


# --- documents --------------------------------------------------------------------------------------------------


def test_unchanged_documents_cost_nothing(bank):
    bank.watch().once()
    assert bank.calls == []
    assert not bank.state.waiting


def test_a_changed_document_is_indexed_tested_and_in_production(bank):
    first = production(bank)
    bank.write("A wire costs $25.")
    bank.watch().once()
    now = production(bank)
    assert bank.calls == ["index", "compare"]
    assert (now.version, now.index != first.index, now.report) == (2, True, first.report)
    assert {k: getattr(now, k) for k in ("weights", "fusion", "arm", "config", "settings")} == {
        k: getattr(first, k) for k in ("weights", "fusion", "arm", "config", "settings")
    }
    assert [r.text for r in now.gate if r.name == "affected"] == ["affected: 0 better and 0 worse of 1 questions"]
    assert {f"retest/{now.retest}", f"index/{now.index}"} <= now.pins.keys()
    assert not any(c.problem for c in bank.releases.verify(label(now)))
    assert bank.actions() == ["watch indexed"]
    assert bank.state.changed == ("fees.md",)
    bank.watch().once()
    assert bank.calls == ["index", "compare"]  # nothing changed since


def test_the_release_before_is_one_rollback_away(bank):
    bank.write("A wire costs $25.")
    bank.watch().once()
    assert bank.releases.rollback().production == "bank/1"
    bank.watch().once()
    assert production(bank).version == 1  # what a person took back stays so until documents change again
    bank.write("A wire costs $26.")
    bank.watch().once()
    assert production(bank).version == 3


def test_a_second_change_is_tested_against_the_first(bank):
    for fee in (25, 30):
        bank.write(f"A wire costs ${fee}.")
        bank.watch().once()
    assert production(bank).version == 3
    assert bank.releases.serving().earlier == ("bank/1", "bank/2")


def test_a_file_that_was_only_touched_changes_nothing(bank):
    os.utime(bank.root / "documents" / "fees.md", (1, 1))
    bank.watch().once()
    assert bank.calls == []
    assert production(bank).version == 1


def test_an_index_that_makes_answers_worse_waits_for_a_person(bank):
    bank.write("Nobody knows.")
    bank.outcomes = ("right", "wrong")
    bank.watch().once()
    assert production(bank).version == 1
    [waiting] = bank.state.waiting
    assert "Not released: affected: 0 better and 1 worse of 1 questions" in waiting.text
    assert waiting.questions == ("What is a wire?",)
    assert [a.kind for a in bank.alerts] == ["index"]
    bank.watch().once()
    assert bank.calls == ["index", "compare"]  # the same change is not tried again
    assert len(bank.alerts) == 1


def test_a_person_may_take_it_all_the_same_and_is_named(bank):
    bank.write("Nobody knows.")
    bank.outcomes = ("right", "wrong")
    bank.watch().once()
    release = bank.watch().accept()
    assert label(production(bank)) == label(release) == "bank/2"
    assert any("accepted by" in r.text for r in release.gate)
    assert "watch accepted" in bank.actions()
    assert not bank.state.waiting
    with pytest.raises(InputError, match="no index waits"):
        bank.watch().accept()


def test_changing_it_back_leaves_nothing_to_wait_for(bank):
    text = (bank.root / "documents" / "fees.md").read_text()
    bank.write("Nobody knows.")
    bank.outcomes = ("right", "wrong")
    bank.watch().once()
    (bank.root / "documents" / "fees.md").write_text(text)
    bank.watch().once()
    assert not bank.state.waiting
    assert production(bank).version == 1
    bank.write("Nobody knows.")
    bank.watch().once()
    assert [w.kind for w in bank.state.waiting] == ["index"]


@pytest.mark.parametrize("why", ["person", "canary", "experiment"])
def test_what_a_person_decides_is_not_promoted(tmp_path, models_dir, why):
    bank = opened(tmp_path, **({"watch.index": "person"} if why == "person" else {}))
    if why != "person":
        bank.builds = 1
        bank.build(bank.workspace)
        bank.releases.make()
        bank.calls.clear()
    if why == "canary":
        bank.releases.canary(10, "2")
    if why == "experiment":
        bank.releases.start("test", {"1": 1, "2": 1})
    bank.write("A wire costs $25.")
    bank.watch().once()
    [waiting] = [w for w in bank.state.waiting if w.kind == "index"]
    assert production(bank).version == 1
    assert waiting.command == f"inhouse release promote {3 if why != 'person' else 2}"
    assert why == "person" or f"{why} is live" in waiting.text
    if why == "canary":  # once that has ended, the index goes on by itself
        bank.releases.rollback()
        bank.watch().once()
        assert production(bank).version == 3
        assert not bank.state.waiting


def test_outdated_references_are_asked_for(bank):
    bank.write("A wire costs $25.")
    bank.outcomes, bank.outdated = ("right", "wrong"), True
    bank.watch().once()
    assert production(bank).version == 2
    [waiting] = bank.state.waiting
    assert (waiting.kind, waiting.questions) == ("references", ("What is a wire?",))


def test_a_folder_that_is_being_written_to_is_left_alone(bank, monkeypatch):
    counter = iter(range(1000))
    monkeypatch.setattr(watching, "look", lambda folder: str(next(counter)))
    bank.watch().once()
    assert bank.calls == []
    assert any("being written to" in line for line in bank.said)


def test_documents_that_cannot_be_read_wait_for_a_person_and_serve_what_there_was(bank):
    bank.write("A wire costs $25.")

    def broken(workspace):
        bank.calls.append("index")
        raise InputError("fees.md: cannot be read", "repair it")

    watch = Watch(bank.workspace, Stages(broken, bank.build, bank.compare), bank.said.append)
    watch.once()
    watch.once()
    [waiting] = bank.state.waiting
    assert waiting.text == "the new index failed: fees.md: cannot be read (repair it)"
    assert bank.calls == ["index"]
    assert production(bank).version == 1
    assert bank.state.job is None


def test_a_release_without_documents_is_left_as_it_is(bank, monkeypatch):
    monkeypatch.setattr(watching, "reads", lambda release: False)
    bank.write("A wire costs $25.")
    bank.watch().once()
    assert bank.calls == []


# --- builds -----------------------------------------------------------------------------------------------------


def test_a_marked_change_is_built_compared_and_stops_at_the_gate(bank):
    mark(bank.workspace, "The regulator wants the APR in every answer")
    bank.builds, bank.outcomes = 1, ("wrong", "right")
    state = bank.watch().once()
    assert bank.calls == ["build", "index", "compare"]
    assert state.decision.action == "build"
    assert "marked: The regulator wants the APR" in state.decision.triggers[0].text
    [waiting] = bank.state.waiting
    assert waiting.command == "inhouse release promote 2"
    assert "1 better and 0 worse of 1 questions" in waiting.text
    assert production(bank).version == 1
    assert bank.actions() == ["change marked", "watch built", "watch waits"]
    bank.calls.clear()
    assert bank.watch().once().decision.action == "wait"  # the mark is from before the build
    assert bank.calls == []


def test_a_change_that_is_marked_during_a_build_is_not_lost(bank):
    mark(bank.workspace, "rule")
    bank.builds = 1

    def build(workspace):
        mark(bank.workspace, "another rule")
        return bank.build(workspace)

    Watch(bank.workspace, Stages(bank.index, build, bank.compare), bank.said.append).once()
    bank.releases.promote("2")
    decision = bank.watch().once().decision
    assert [t.text for t in decision.triggers if "another rule" in t.text]


def test_an_alert_that_fails_keeps_what_waits(bank):
    def fails(waiting):
        raise ConfigError("alerts.slack_env: SLACK is not set", "set it")

    mark(bank.workspace, "rule")
    bank.builds = 1
    Watch(bank.workspace, Stages(bank.index, bank.build, bank.compare), bank.said.append, fails).once()
    assert [w.kind for w in bank.state.waiting] == ["release"]
    assert any("no alert of it: alerts.slack_env: SLACK is not set" in line for line in bank.said)


def test_an_automatic_canary_that_nobody_asked_is_not_promoted(tmp_path, models_dir):
    bank = opened(tmp_path, **{"watch.promote": "automatic", "watch.canary_hours": "0"})
    bank.builds = 1
    bank.watch().build("test")
    bank.watch().once()
    assert production(bank).version == 1
    [waiting] = bank.state.waiting
    assert waiting.text == "bank/2 stays a canary: it gave fewer than 30 answers"
    bank.settings["watch.canary_answers"] = "0"
    bank.watch().once()
    assert (production(bank).version, bank.state.waiting) == (2, ())


def test_a_person_builds_where_the_first_build_of_the_watch_failed(bank):
    def broken(workspace):
        raise BackendError("the stage 'train' was killed (SIGKILL)", "free some memory")

    mark(bank.workspace, "rule")
    Watch(bank.workspace, Stages(bank.index, broken, bank.compare), bank.said.append).once()
    assert [w.kind for w in bank.state.waiting] == ["build"]
    time.sleep(0.01)
    bank.builds = 2
    bank.build(bank.workspace)
    bank.releases.promote(label(bank.releases.make()))
    assert not bank.watch().once().waiting


def test_what_a_person_promoted_waits_no_more(bank):
    mark(bank.workspace, "rule")
    bank.builds = 1
    bank.watch().once()
    bank.releases.promote("2")
    bank.watch().once()
    assert not bank.state.waiting


def test_an_empty_mark_is_refused(bank):
    with pytest.raises(ConfigError, match="no text"):
        mark(bank.workspace, " ")


def test_a_build_from_the_same_is_no_new_release(bank):
    state = bank.watch().build("a person asked for it")
    assert not state.waiting
    assert any("nothing to build" in line for line in bank.said)
    assert len(bank.releases.all()) == 1


def test_an_automatic_build_is_a_canary_and_then_in_production(tmp_path, models_dir):
    bank = opened(
        tmp_path,
        **{
            "watch.promote": "automatic",
            "watch.canary_percent": "25",
            "watch.canary_hours": "0",
            "watch.canary_answers": "0",
        },
    )
    bank.builds = 1
    bank.write("A wire costs $25.")
    bank.watch().build("test")
    bank.calls.clear()
    canary = bank.releases.serving().canary
    assert (canary.release, canary.percent) == ("bank/2", 25)
    bank.watch().once()
    assert production(bank).version == 2
    assert bank.state.canary is None
    assert bank.calls == []  # it has the documents as they are


def test_a_build_that_answers_worse_is_no_automatic_canary(tmp_path, models_dir):
    bank = opened(tmp_path, **{"watch.promote": "automatic", "watch.canary_percent": "25"})
    bank.builds, bank.outcomes = 1, ("right", "wrong")
    bank.watch().build("test")
    assert bank.releases.serving().canary is None
    [waiting] = bank.state.waiting
    assert waiting.text.endswith("No automatic canary: old: 0 better and 1 worse of 1 questions")
    assert (waiting.command, waiting.questions) == ("inhouse release canary 25% 2", ("What is a wire?",))


def test_documents_that_the_canary_has_already_wait_for_it(tmp_path, models_dir):
    bank = opened(tmp_path, **{"watch.promote": "automatic", "watch.canary_hours": "1"})
    bank.builds = 1
    bank.write("A wire costs $25.")
    bank.watch().build("test")
    bank.calls.clear()
    bank.watch().once()
    assert bank.calls == []
    bank.write("A wire costs $30.")
    bank.watch().once()
    assert bank.calls == ["index", "compare"]


def test_a_canary_that_was_rolled_back_is_not_promoted(tmp_path, models_dir):
    bank = opened(tmp_path, **{"watch.promote": "automatic", "watch.canary_hours": "0", "watch.canary_answers": "0"})
    bank.builds = 1
    bank.watch().build("test")
    bank.releases.rollback()
    bank.watch().once()
    assert production(bank).version == 1
    assert [w.text for w in bank.state.waiting] == ["bank/2 was a canary, and was rolled back"]


def test_a_build_that_the_gate_refuses_waits_for_a_person(tmp_path, models_dir):
    bank = opened(tmp_path)
    bank.settings["release.max_wrong"] = "0.01"
    bank.builds = 1
    bank.watch().build("test")
    [waiting] = bank.state.waiting
    assert waiting.text.startswith("release refused: wrong answers of rag")
    assert len(bank.releases.all()) == 1
    mark(bank.workspace, "rule")
    bank.calls.clear()
    bank.watch().once()
    assert bank.calls == []  # it would be refused again
    assert any("the last build still waits" in line for line in bank.said)


def test_a_build_that_fails_is_not_tried_again_until_a_person_says_so(bank):
    def broken(workspace):
        bank.calls.append("build")
        raise BackendError("the stage 'train' was killed (SIGKILL)", "free some memory")

    mark(bank.workspace, "rule")
    watch = Watch(bank.workspace, Stages(bank.index, broken, bank.compare), bank.said.append)
    watch.once()
    watch.once()
    assert bank.calls == ["build"]
    [waiting] = bank.state.waiting
    assert (waiting.kind, waiting.command) == ("build", "inhouse watch build")
    bank.builds = 1
    assert [w.kind for w in bank.watch().build("a person asked for it").waiting] == ["release"]


def test_a_build_by_hand_counts_as_one(bank):
    mark(bank.workspace, "rule")
    bank.settings["release.max_wrong"] = "0.01"
    bank.builds = 1
    bank.watch().once()
    assert [w.kind for w in bank.state.waiting] == ["build"]
    bank.settings["release.max_wrong"] = "0.1"
    time.sleep(0.01)
    bank.builds = 2
    bank.build(bank.workspace)
    bank.releases.promote(label(bank.releases.make()))
    state = bank.watch().once()
    assert not state.waiting
    assert state.decision.days < 1
    assert not [t for t in state.decision.triggers if t.kind == "marked"]


def test_decisions_are_kept_with_their_figures_once_a_day(bank):
    for _ in range(3):
        bank.watch().once()
    [kept] = Memory(bank.workspace.store.root).decisions(10)
    assert kept.text.startswith("waiting costs $0 a month [0, 0], a build costs $480.00")
    memory = Memory(bank.workspace.store.root)
    memory.note(kept.model_copy(update={"at": "2099-01-01T00:00:00+00:00"}))
    assert len(memory.decisions(10)) == 2
    with (memory._folder / "decisions.jsonl").open("a") as lines:
        lines.write('{"at": "cut o')
    assert len(memory.decisions(10)) == 2


# --- one at a time, and killed -----------------------------------------------------------------------------------

KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_watching as t
bank = t.Bank.__new__(t.Bank)
bank.__dict__.update(json := {"root": Path(sys.argv[2]), "settings": dict(t.SETTINGS), "calls": [], "said": [],
    "alerts": [], "outcomes": ("right", "right"), "outdated": False, "builds": 1})
where = sys.argv[3]
def slow(make):
    def made(*given, **more):
        print("at", where, flush=True)
        time.sleep(60)
    return made
setattr(bank, where, slow(getattr(bank, where)))
if where == "index":
    bank.write("A wire costs $25.")
    bank.watch().once()
else:
    bank.watch().build("killed in the middle")
"""


@pytest.mark.parametrize("where", ["index", "build", "compare"])
def test_a_killed_watch_frees_its_lock_and_the_next_one_continues(bank, where):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(bank.root), where]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        assert process.stdout.readline() == f"at {where}\n"
        with pytest.raises(BackendError, match="another `inhouse watch` of this project runs"):
            bank.watch().once()
        os.kill(process.pid, signal.SIGKILL)
    assert production(bank).version == 1
    bank.builds = 1
    bank.watch().once()
    assert bank.state.job is None
    if where == "index":
        assert production(bank).version == 2
    elif where == "build":
        assert bank.state.waiting[0].command == "inhouse release promote 2"
        assert any("continuing with the build" in line for line in bank.said)
    else:  # the release was made; what it is compared with is asked again
        assert len(bank.releases.all()) == 2
        assert bank.state.waiting[0].command == "inhouse release promote 2"


def test_a_damaged_state_says_what_to_do(bank):
    bank.watch().once()
    (bank.root / ".inhouse" / "watch" / "state.json").write_text("{")
    with pytest.raises(BackendError, match="damaged") as caught:
        bank.watch().once()
    assert "delete it" in caught.value.hint


def test_the_state_is_what_was_written(tmp_path):
    memory = Memory(tmp_path)
    assert memory.read() == State()
    decision = Decision(at="2026-01-01T00:00:00+00:00", action="wait", reason="r")
    state = State(job=Job(kind="build", started_at="x", why="y"), decision=decision, content={"a": [1]})
    memory.write(state)
    assert memory.read() == state
    assert json.loads((tmp_path / "watch" / "state.json").read_text())["job"]["why"] == "y"
    assert (tmp_path / "watch" / "state.json").stat().st_mode & 0o77 == 0


def test_the_loop_goes_on_after_an_error_and_ends_with_ctrl_c(bank, monkeypatch):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", sleep)
    watch = bank.watch()
    monkeypatch.setattr(watch, "_look", lambda: (_ for _ in ()).throw(BackendError("the disk is full", "free some")))
    with pytest.raises(KeyboardInterrupt):
        watch.run()
    assert bank.said == ["error: the disk is full (free some)"] * 2
    monkeypatch.setattr(watching.time, "sleep", time.sleep)
    bank.watch().once()  # the lock is free


def test_alarms_of_drift_wait_for_a_person_who_is_told_once(tmp_path, monkeypatch):
    bank, looks = opened(tmp_path, **{"watch.drift_days": "1"}), []

    def look(workspace):
        looks.append(workspace)
        alarm = Monitored(
            name="errors", area="operation", state="changed", says=f"{len(looks)}% fail.", todo="Read on."
        )
        report = DriftReport(made_at="", release="", since="", until="", reference="traffic", usual_days=14, requests=9,
                             monitors=(alarm,) if len(looks) < 3 else ())  # fmt: skip
        return Kept(report=report)

    monkeypatch.setattr(watching.drift, "look", look)
    for days in (0, 0, 2, 4):
        state = bank.state
        if days:
            back = earlier(state.drifted_at, 2)
            Memory(bank.workspace.store.root).write(state.model_copy(update={"drifted_at": back}))
        bank.watch().once()
        if days < 4:
            assert [w.text for w in bank.state.waiting if w.kind == "drift"] == [
                f"{len(looks)}% fail. Waiting costs an unknown amount a day. Read on."
            ]
    assert len(looks) == 3
    assert [w.kind for w in bank.alerts if w.kind == "drift"] == ["drift"]
    assert not [w for w in bank.state.waiting if w.kind == "drift"]
