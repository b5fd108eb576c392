"""A release of an arm that learned from feedback names that model, and must not have lost on other questions."""

import pytest

from inhouse.assembly.arms import Arms, Built, trained_kind
from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import GateError
from inhouse.serving.gate import gate_rules
from inhouse.serving.releases import MEASURED, Releases
from inhouse.types import Artifact, Estimate
from inhouse.verdict import ArmResult, FeedbackEffect, Gain, Parity, Percentiles, Recommendation, Report, Subject

ARM = "tuned+feedback+rag"
NONE = Percentiles(p50=0, p95=0, p99=0)


def estimate(mean):
    return Estimate(mean=mean, low=mean - 0.02, high=mean + 0.02, n=40)


def report(untouched):
    arms = ("base", "tuned+rag", ARM)
    result = ArmResult(metrics={"wrong": estimate(0.02)}, latency_ms=NONE, first_token_ms=NONE, prompt_tokens=1,
                       answer_tokens=1, usd_per_1000=0, seconds=1, failed=0)  # fmt: skip
    figures = {"accuracy": estimate(0.2), "unsupported": estimate(-0.1)}
    change = None if untouched is None else estimate(untouched)
    return Report(
        subject=Subject(project="bank", base_model="b", parity=Parity(passed=True)), questions=40,
        arms=dict.fromkeys(arms, result), gains=tuple(Gain(arm=a, over="base", metrics=figures) for a in arms[1:]),
        feedback=(FeedbackEffect(arm=ARM, over="tuned+rag", touched=9, untouched=31, untouched_change=change),),
        recommendation=Recommendation(arm=ARM, sentence="Use it."),
    )  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n[guardrails]\nrails = []\n')
    return Workspace(load_project(tmp_path))


def write_verdict(workspace, untouched):
    def make(kind):
        return workspace.store.make(kind, {"of": kind}, [], lambda work: {})

    kinds = ("weights", "index", "fusion", "dataset", "adapter", "parity", "feedback", "feedback_parity")
    made = {kind: make(kind) for kind in kinds}

    def build(work):
        (work / "report.json").write_text(report(untouched).model_dump_json())
        return {"recommended": ARM}

    settings = {s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}
    inputs = {"name": workspace.project.name, **settings, "untouched": untouched}
    workspace.store.make("report", inputs, list(made.values()), build)
    return made


def test_a_release_names_the_model_that_learned(workspace, monkeypatch):
    monkeypatch.setattr("inhouse.serving.pins.models_of", lambda workspace, project: [])
    made = write_verdict(workspace, 0.0)
    release = Releases(workspace).make()
    assert (release.arm, release.feedback, release.adapter) == (ARM, made["feedback"].key, "")
    assert release.index == made["index"].key
    assert f"feedback/{release.feedback}" in release.pins
    assert any("31 questions without feedback" in rule.text for rule in release.gate)


@pytest.mark.parametrize(
    ("untouched", "passed"), [(0.03, True), (0.0, True), (-0.01, True), (-0.011, False), (None, False)]
)
def test_other_questions_may_lose_a_point(untouched, passed, workspace):
    rules = {rule.name: rule for rule in gate_rules(report(untouched), ARM, workspace.project)}
    assert rules["untouched questions"].passed == passed
    assert "untouched questions" not in {r.name for r in gate_rules(report(untouched), "tuned+rag", workspace.project)}
    more = workspace.project.model_copy(
        update={"feedback": workspace.project.feedback.model_copy(update={"max_loss": 0.1})}
    )
    rules = {rule.name: rule for rule in gate_rules(report(untouched), ARM, more)}
    assert rules["untouched questions"].passed == (untouched is not None)


def test_what_was_not_measured_is_not_released(workspace):
    unmeasured = report(0.0).model_copy(update={"feedback": ()})
    rules = {rule.name: rule for rule in gate_rules(unmeasured, ARM, workspace.project)}
    assert not rules["untouched questions"].passed
    assert "add tuned+rag to evaluation.arms" in rules["untouched questions"].text


def test_a_verdict_that_lost_is_not_released(workspace):
    write_verdict(workspace, -0.05)
    with pytest.raises(GateError, match="accuracy on 31 questions without feedback: -5.0"):
        Releases(workspace).make()


@pytest.mark.parametrize(
    ("arms", "kind"),
    [
        ({"rag"}, ""),
        ({"tuned+rag"}, "adapter"),
        ({ARM}, "feedback"),
        ({"tuned+feedback"}, "feedback"),
        (set(), ""),
        ({"cpt"}, "pretrained"),
        ({"cpt+rag"}, "pretrained"),
        ({"cpt+tuned+rag"}, "pretrained_adapter"),
    ],
)
def test_what_an_arm_asks(arms, kind):
    assert trained_kind(arms) == kind


def test_an_arm_opens_its_model(workspace, tmp_path, monkeypatch):
    """By the files that engines are opened with; the engines themselves are not."""

    def artifact(kind):
        return Artifact(kind=kind, key=kind, parents=(), path=str(tmp_path / kind), facts={}, made_at="", seconds=0)

    opened = []
    monkeypatch.setattr(Arms, "_engine", lambda self, name: opened.append(self._embedded(name)[0][0]) or Fake())

    class Fake:
        def model(self, name):
            return name

    parts = {kind: artifact(kind) for kind in ("weights", "custom", "feedback", "pretrained", "pretrained_custom")}
    arms = Arms(Built(workspace.project, None, None, **parts))
    asked = ("rag", "tuned", "oracle", "tuned+feedback", ARM, "cpt+rag", "cpt+tuned", "cpt+tuned+rag")
    assert [arms.behind(arm) for arm in asked] == [
        "base", "tuned", "tuned", "tuned+feedback", "tuned+feedback", "cpt", "cpt+tuned", "cpt+tuned",
    ]  # fmt: skip
    folders = ("weights", "custom", "custom", "feedback", "feedback", "pretrained", *["pretrained_custom"] * 2)
    assert opened == [str(tmp_path / folder / "model.gguf") for folder in folders]
