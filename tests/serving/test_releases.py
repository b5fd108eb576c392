"""The gate, promoting and going back, over a store whose artifacts are real folders with made-up contents."""

import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.serving.open import settings_of
from inhouse.serving.releases import MEASURED, Releases, label
from inhouse.store.audit import Audit
from inhouse.types import Estimate
from inhouse.verdict import ArmResult, Gain, Parity, Percentiles, Recommendation, Report, Subject

ARMS = ("base", "prompt", "rag", "tuned", "tuned+rag")


def gained(low, mean=0.2):
    return Estimate(mean=mean, low=low, high=2 * mean - low, n=40)


def result(wrong=0.02):
    """An arm's result, whatever it is."""
    ms = Percentiles(p50=1, p95=2, p99=3)
    return ArmResult(metrics={"accuracy": gained(0.1), "wrong": gained(0.0, wrong)}, latency_ms=ms, first_token_ms=ms, prompt_tokens=1,
                     answer_tokens=1, usd_per_1000=0, seconds=1, failed=0)  # fmt: skip


def write_verdict(
    workspace, recommended="tuned+rag", accuracy=0.1, unsupported=-0.1, parity=True, wrong=0.02, **inputs
):
    """A report with its parents; accuracy and unsupported are lower ends of intervals of the gain over base."""

    def make(kind, parents=(), facts=None, **more):
        return workspace.store.make(kind, {"of": kind, **more}, parents, lambda work: facts or {})

    parents = [make(kind) for kind in ("weights", "index", "fusion", "dataset", "adapter", "parity")]
    figures = {"accuracy": gained(accuracy), "unsupported": gained(unsupported, 0.0)}
    report = Report(
        subject=Subject(project="bank", base_model="b", parity=Parity(passed=parity)),
        questions=40,
        arms={arm: result(wrong) for arm in ARMS},
        gains=tuple(Gain(arm=arm, over="base", metrics=figures) for arm in ARMS[1:]),
        recommendation=Recommendation(arm=recommended, sentence="Do not customize."),
    )

    def build(work: Path):
        (work / "report.json").write_text(report.model_dump_json())
        row = {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "metadata": {"id": "1"},
        }
        (work / "few_shot.jsonl").write_text(json.dumps(row) + "\n")
        return {"recommended": recommended}

    settings = {s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}
    made = {
        "name": workspace.project.name,
        **settings,
        "figures": [accuracy, unsupported, parity, recommended, wrong],
        **inputs,
    }
    return workspace.store.make("report", made, parents, build)


@pytest.fixture
def open_site(tmp_path):
    def opened(**overrides):
        (tmp_path / "inhouse.toml").write_text('name = "The Bank, Ltd."\n')
        return Workspace(load_project(tmp_path, overrides))

    return opened


@pytest.fixture
def releases(open_site):
    """Three releases of three verdicts."""
    workspace = open_site()
    made = Releases(workspace)
    for n in range(3):
        write_verdict(workspace, accuracy=0.1 + n / 100)
        made.make()
    return made


# --- the gate ---------------------------------------------------------------------------------------------------


def test_a_release_names_what_its_arm_needs(open_site):
    workspace = open_site()
    verdict = write_verdict(workspace)
    made = Releases(workspace).make()
    keys = {workspace.store.latest(kind).key for kind in ("weights", "adapter", "index", "fusion")}
    assert (label(made), made.arm, made.report) == ("the-bank-ltd/1", "tuned+rag", verdict.key)
    assert {made.weights, made.adapter, made.index, made.fusion} == keys
    assert made.settings["model"] == workspace.project.model.model_dump(mode="json")
    assert all(rule.passed for rule in made.gate)
    assert [a.kind for depth, a in workspace.store.lineage(workspace.store.latest("release")) if depth == 1][
        0
    ] == "report"


@pytest.mark.parametrize(
    ("arm", "adapter", "index"), [("rag", False, True), ("prompt", False, False), ("tuned", True, False)]
)
def test_arms_without_adapter_or_index_are_released_too(open_site, arm, adapter, index):
    workspace = open_site()
    write_verdict(workspace, arm, parity=arm == "tuned")
    made = Releases(workspace).make()
    assert (bool(made.adapter), bool(made.index), bool(made.fusion)) == (adapter, index, index)
    assert ("few_shot" in made.settings) == (arm == "prompt")


@pytest.mark.parametrize(
    ("verdict", "overrides", "said"),
    [
        ({"accuracy": 0.019}, {}, r"accuracy of tuned\+rag over base: \+20\.0 \[\+1\.9, \+38\.1\] points; the interval must start above \+2\.0"),
        ({"unsupported": 0.001}, {}, r"unsupported of tuned\+rag over base: .*; it must not be worse"),
        ({"wrong": 0.5}, {}, r"wrong answers of tuned\+rag: 50\.0% .* of all questions; at most"),
        ({"wrong": 0.02}, {"release.max_wrong": "0.01"}, "at most 1%"),
        ({"parity": False}, {}, "the parity check did not pass"),
        ({}, {"release.no_worse": '["judged"]'}, r"judged of tuned\+rag was not measured"),
        ({"recommended": "base"}, {}, "the base model needs no release"),
        ({"accuracy": -0.1, "parity": False}, {}, r"accuracy of tuned.*; the parity check did not pass"),
    ],
)  # fmt: skip
def test_the_gate_says_which_rule_failed(open_site, verdict, overrides, said):
    workspace = open_site(**overrides)
    write_verdict(workspace, **verdict)
    with pytest.raises(GateError, match=said) as caught:
        Releases(workspace).make()
    assert caught.value.exit_code == 5
    assert not Releases(workspace).all()


def test_the_gate_is_in_the_project_file(open_site):
    write_verdict(open_site(), accuracy=0.05, unsupported=0.1)
    assert Releases(open_site(**{"release.no_worse": "[]"})).make()
    with pytest.raises(GateError):
        Releases(open_site(**{"release.no_worse": "[]", "evaluation.smallest_gain": "0.06"})).make()


def test_settings_are_those_of_the_verdict_not_of_the_file_now(open_site):
    write_verdict(open_site(**{"assistant.instructions": "Say what is true."}))
    made = Releases(open_site(**{"assistant.instructions": "Sell."})).make()
    assert made.settings["assistant"]["instructions"] == "Say what is true."


def test_the_same_verdict_is_the_same_release_and_versions_count_up(releases, open_site):
    assert [label(r) for r in releases.all()] == [f"the-bank-ltd/{n}" for n in (1, 2, 3)]
    assert releases.make().version == 3
    assert Releases(open_site(**{"release.name": "other"})).make().version == 4


def test_a_bad_release_name_is_refused(releases, open_site):
    with pytest.raises(ConfigError, match="invalid release name"):
        Releases(open_site(**{"release.name": "No Name"})).make()


def test_without_a_verdict_there_is_no_release(open_site):
    with pytest.raises(InputError, match="no verdict"):
        Releases(open_site()).make()


# --- what is served ---------------------------------------------------------------------------------------------


def test_finding(releases):
    assert releases.get().version == 3
    assert releases.get("2") == releases.get("the-bank-ltd/2")
    for nothing in ("9", "other/1", "production", "canary"):
        with pytest.raises(InputError):
            releases.get(nothing)
    releases.promote("1")
    assert releases.get("production").version == 1


def test_promote_and_roll_back(releases):
    with pytest.raises(InputError, match="no earlier production"):
        releases.rollback()
    for n in (1, 2, 3):
        assert releases.promote(str(n)).production == f"the-bank-ltd/{n}"
    assert releases.promote("3").revision == 3  # there already
    assert releases.rollback().production == "the-bank-ltd/2"
    assert releases.rollback().production == "the-bank-ltd/1"
    with pytest.raises(InputError):
        releases.rollback()
    texts = [change.text for change in releases.serving().history]
    assert texts[-2:] == ["Rolled back: the-bank-ltd/3", "Rolled back: the-bank-ltd/2"]
    assert releases.serving().revision == 5


def test_a_canary_is_taken_back_first(releases):
    with pytest.raises(ConfigError, match="needs a release in production"):
        releases.canary(10, "2")
    releases.promote("1")
    releases.promote("2")
    for percent in (0, 100, -1, 120, float("nan")):
        with pytest.raises(ConfigError, match="not between"):
            releases.canary(percent, "3")
    with pytest.raises(ConfigError, match="in production already"):
        releases.canary(10, "2")
    releases.canary(10, "3")
    assert releases.canary(50, "3").canary.percent == 50
    assert releases.get("canary").version == 3
    back = releases.rollback()
    assert (back.production, back.canary) == ("the-bank-ltd/2", None)
    assert releases.rollback().production == "the-bank-ltd/1"
    releases.canary(10, "3")
    promoted = releases.promote("3")
    assert (promoted.production, promoted.canary, promoted.earlier) == ("the-bank-ltd/3", None, ("the-bank-ltd/1",))


def test_an_experiment_from_start_to_end(releases):
    releases.promote("1")
    releases.promote("2")
    live = releases.start(arms={"base": 1, "production": 3}).experiment
    assert (live.name, live.arms, live.metric) == (
        "base against the-bank-ltd/2",
        {"base": 1, "the-bank-ltd/2": 3},
        "resolved",
    )
    for refused in (lambda: releases.promote("3"), lambda: releases.canary(5, "3"), releases.start):
        with pytest.raises(ConfigError, match="is live"):
            refused()
    with pytest.raises(ConfigError, match="the arms are"):
        releases.weights({"base": 1, "3": 1})
    changed = releases.weights({"2": 1, "base": 0}).experiment
    assert changed.arms == {"base": 0, "the-bank-ltd/2": 1}
    assert changed.since > live.since
    assert releases.stop().experiment is None
    assert releases.experiment(live.name).arms == changed.arms
    with pytest.raises(ConfigError, match="already"):
        releases.start()
    with pytest.raises(ConfigError, match="no experiment is live"):
        releases.stop()


def test_going_back_ends_the_experiment_that_serves_what_is_taken_back(releases):
    releases.promote("1")
    releases.promote("2")
    releases.start("a", {"base": 1, "2": 1})
    back = releases.rollback()
    assert (back.production, back.experiment, back.past[0].name) == ("the-bank-ltd/1", None, "a")
    releases.promote("3")
    releases.start("b", {"1": 1, "2": 1})
    assert releases.rollback().experiment.name == "b"


@pytest.mark.parametrize("arms", [{"base": 1}, {"base": 1, "9": 1}, {"1": 1, "production": 1}, {"base": -1, "1": 1},
                                  {"base": 0, "1": 0}, {"base": 1, "1": float("inf")}])  # fmt: skip
def test_arms_that_make_no_split_are_refused(releases, arms):
    releases.promote("1")
    with pytest.raises((ConfigError, InputError)):
        releases.start("x", arms)
    with pytest.raises(ConfigError, match="colon"):
        releases.start("x:y", {"base": 1, "1": 1})
    assert releases.serving().experiment is None


def test_many_at_once_lose_no_change(releases):
    releases.promote("1")
    threads = [threading.Thread(target=releases.canary, args=(n + 1, "2")) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    serving = releases.serving()
    assert serving.revision == len(serving.history) == 13


def test_a_damaged_file_is_named(releases, open_site):
    (open_site().store.root / "serving.json").write_text("{")
    with pytest.raises(BackendError, match=r"serving\.json: damaged"):
        releases.serving()


def test_a_release_that_was_rewritten_with_its_sums_is_named(releases, open_site):
    releases.promote("2")
    assert releases.altered() == ""
    made = next(a for a in open_site().store.all("release") if a.facts["version"] == 2)
    file = Path(made.path) / "manifest.json"
    before, manifest = file.read_text(), json.loads(file.read_text())
    manifest["facts"]["settings"]["guardrails"]["rails"] = []
    file.write_text(json.dumps(manifest))
    assert releases.altered() == "release the-bank-ltd/2 was changed outside of inhouse"
    assert [c.problem for c in releases.verify("2") if c.problem][0] == releases.altered()
    file.write_text(before)
    assert releases.altered() == ""


def test_what_is_served_is_what_was_recorded(releases, open_site):
    releases.promote("1")
    file = open_site().store.root / "serving.json"
    earlier = file.read_text()
    releases.promote("2")
    file.write_text(earlier)
    assert releases.altered() == "serving serving.json was changed outside of inhouse"
    releases.promote("3")
    assert releases.altered() == ""
    file.unlink()
    assert "was deleted" in releases.altered()


def test_releases_of_an_earlier_version_are_recorded_when_a_server_starts(releases, open_site):
    ledger = open_site().store.root / "ledger.sqlite"
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()
    releases.note()
    releases.note()
    with open_site().ledger() as opened:
        assert [a.what for a in Audit(opened).actions()] == ["releases found"]
    made = max(open_site().store.all("release"), key=lambda a: a.facts["version"])
    file = Path(made.path) / "manifest.json"
    file.write_text(file.read_text().replace('"arm": "tuned+rag"', '"arm": "base"'))
    assert "the-bank-ltd/3 was changed" in releases.altered()


@contextmanager
def killed_recording(monkeypatch, killed):
    record = Releases._record

    def killed_in(self, *given):
        if killed == "after the record":
            record(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Releases, "_record", killed_in)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("killed", ["before the record", "after the record"])
def test_a_promotion_that_was_killed_is_done_or_not(releases, open_site, monkeypatch, killed):
    releases.promote("1")
    file = open_site().store.root / "serving.json"
    before = file.read_text()
    with killed_recording(monkeypatch, killed):
        releases.promote("2")
    assert file.read_text() == before
    with releases.still():
        pass
    assert releases.serving().production == f"the-bank-ltd/{2 if killed == 'after the record' else 1}"
    assert releases.altered() == ""
    assert [f.name for f in file.parent.glob("serving*")] == ["serving.json"]
    assert releases.promote("3").production == "the-bank-ltd/3"


@pytest.mark.parametrize("killed", ["before the record", "after the record"])
def test_a_release_that_was_killed_while_it_was_made_is_there_or_not(releases, open_site, monkeypatch, killed):
    workspace = open_site()
    write_verdict(workspace, accuracy=0.2)
    with killed_recording(monkeypatch, killed):
        releases.make()
    partial = workspace.store.root / ".release.next.json.1-ab.partial"
    partial.write_text("{")
    assert releases.altered() == ""
    made = killed == "after the record"
    assert releases.get().version == (4 if made else 3)
    assert not partial.exists()
    assert not list(workspace.store.root.glob("release*"))
    assert releases.make().version == 4
    assert len(releases.all()) == 4


def written(artifact, facts):
    """Writes a manifest with other facts, as another version of inhouse might."""
    file = Path(artifact.path) / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"facts": facts}))


def test_a_release_of_another_version_says_so(releases, open_site):
    workspace = open_site()
    made = workspace.store.latest("release")
    newer = made.facts["settings"]["guardrails"] | {"mood": "calm"}
    written(made, made.facts | {"settings": made.facts["settings"] | {"guardrails": newer}})
    for file in workspace.store.root.glob("ledger.sqlite*"):  # nothing is recorded of it
        file.unlink()
    for refused in (releases.verify, lambda: settings_of(workspace, releases.get())):
        with pytest.raises(InputError, match=r"release the-bank-ltd/3: .* does not know the setting guardrails\.mood"):
            refused()
    written(made, made.facts | {"mood": "calm"})
    with pytest.raises(InputError, match="does not know mood"):
        releases.all()
    (workspace.store.root / "serving.json").write_text('{"mood": 1}')
    with pytest.raises(BackendError, match="does not know mood") as caught:
        releases.serving()
    assert "delete" not in caught.value.hint


def test_a_canary_is_an_experiment_too(releases):
    releases.promote("1")
    releases.canary(20, "2")
    experiment = releases.experiment()
    assert (experiment.name, experiment.arms) == (
        "canary the-bank-ltd/2",
        {"the-bank-ltd/1": 80, "the-bank-ltd/2": 20},
    )
    assert experiment.since == releases.serving().canary.since
    assert releases.results().conclusion.startswith("Too early to judge the-bank-ltd/2")


# --- the verbs --------------------------------------------------------------------------------------------------


def told(folder, *arguments):
    from typer.testing import CliRunner

    from inhouse.cli.main import app

    done = CliRunner().invoke(app, [*arguments, "--project", str(folder)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_the_verbs_say_what_is_served(open_site, tmp_path):
    workspace = open_site()
    write_verdict(workspace)
    made = told(tmp_path, "release", "--set", "release.name=bot")
    assert made.startswith("Release bot/1: tuned+rag")
    assert "accuracy of tuned+rag over base: +20.0 [+10.0, +30.0] points" in made
    assert "bot/1 already exists" in told(tmp_path, "release", "--set", "release.name=bot")
    write_verdict(workspace, accuracy=0.15)
    told(tmp_path, "release", "--set", "release.name=bot")
    assert told(tmp_path, "release", "promote", "1") == "Served now: production bot/1.\n"
    assert (
        told(tmp_path, "release", "canary", "10%") == "Served now: production bot/1, canary bot/2 for 10% of users.\n"
    )
    assert "canary 10%" in told(tmp_path, "release", "list")
    assert told(tmp_path, "release", "promote") == "Served now: production bot/2. A rollback would return to bot/1.\n"
    assert told(tmp_path, "release", "rollback") == "Served now: production bot/1.\n"
    shown = told(tmp_path, "release", "show", "2")
    assert "assistant.max_tokens = 128" in shown
    assert "Rolled back: bot/2; production bot/1" in shown
    assert json.loads(told(tmp_path, "release", "list", "--json"))[1]["version"] == 2


async def test_an_experiment_is_shown_from_the_audit(releases, tmp_path):
    from inhouse.assembly.workspace import Workspace
    from inhouse.chat import Exchange
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback
    from inhouse.types import Message

    releases.promote("1")
    began = told(tmp_path, "experiment", "start", "base=1", "production=1", "--name", "worth it")
    assert "experiment 'worth it': base 50%, the-bank-ltd/1 50%, decided by resolved" in began
    assert "Too early" in told(tmp_path, "experiment", "show")
    ledger = Workspace(load_project(tmp_path)).open_ledger()
    audit, feedback = Audit(ledger), Feedback(ledger)
    try:
        for n in range(150):
            arm, good = ("base", n % 10 == 0) if n % 2 else ("the-bank-ltd/1", n % 10 != 0)
            await audit.append(Exchange(
                id=f"x{n}", at=releases.serving().history[-1].at, user=f"u{n}", key="k", model="custom", release=arm, arm="rag",
                messages=(Message(role="user", content="?"),), answer="!", reason="stop", latency_s=1.0 + n % 3,
                experiment=f"worth it:{arm}",
            ))  # fmt: skip
            feedback.add(f"x{n}", f"u{n}", 0, resolved=good)
    finally:
        audit.close()
        ledger.close()
    shown = told(tmp_path, "experiment", "show")
    assert "the-bank-ltd/1 is better than base: the share of resolved requests differs by +80.0 [" in " ".join(
        shown.split()
    )
    assert "75 users" in shown
    told(tmp_path, "experiment", "stop")
    assert json.loads(told(tmp_path, "experiment", "show", "worth it", "--json"))["arms"]["base"]["users"] == 75
