"""What continued pre-training may forget, in the recommendation and at the gate."""

import pytest

from inhouse.config.pretraining import Pretraining
from inhouse.config.sections import Project
from inhouse.evaluation.forgetting import effect
from inhouse.evaluation.recommend import Evidence, recommend
from inhouse.serving.gate import gate_rules
from inhouse.types import Estimate
from inhouse.verdict import ArmResult, Gain, Percentiles, Report, Subject

NONE = Percentiles(p50=0, p95=0, p99=0)


def facts(general, domain=1.1):
    before = {"domain": 1.5, "general": 1.0}
    return {"bits_per_byte_before": before, "bits_per_byte_after": {"domain": domain, "general": general}}


def effect_of(general=1.0, lost=0, settings=None):
    base = [1.0] * 30 + [0.0] * 10
    after = [0.0] * lost + base[lost:]
    return effect(facts(general), (base, after), settings or Pretraining(), 7)


@pytest.mark.parametrize(
    ("general", "lost", "why"),
    [(0.9, 0, ""), (1.01, 0, ""), (1.0101, 0, "general text rise by 1.0%"), (1.05, 0, "general text rise by 5.0%"),
     (1.0, 1, "general questions change by -2.5"), (1.0, 4, "general questions change by -10.0")],
)  # fmt: skip
def test_one_percent_and_two_points_decide(general, lost, why):
    found = effect_of(general, lost)
    assert bool(found.forgets) == bool(why)
    assert why in found.forgets
    assert ("Not promoted" in found.sentence) == bool(why)


def test_the_limits_are_settings():
    lenient = Pretraining(max_general_loss=0.1, max_question_loss=0.2)
    assert not effect_of(1.05, 4, lenient).forgets


def test_what_was_not_measured_is_not_promoted():
    empty = {"bits_per_byte_before": {}, "bits_per_byte_after": {}}
    found = effect(empty, ([], []), Pretraining(), 7)
    assert "not measured" in found.forgets
    assert "not asked" in found.forgets


def estimate(mean):
    return Estimate(mean=mean, low=mean - 0.02, high=mean + 0.02, n=40)


def recommended(forgets, gain=0.2, more=None):
    values = {"base": 0.0, "rag": 0.1, "cpt": 0.0, "cpt+rag": 0.1 + gain, **(more or {})}
    evidence = Evidence(
        list(values),
        lambda metric, arm, other: estimate(values[arm] - values[other]) if metric == "accuracy" else estimate(0.0),
        0.02, 0.05, 100, forgets=forgets,
    )  # fmt: skip
    return recommend(evidence)


def test_it_is_recommended_where_it_pays_and_forgets_little():
    assert recommended({}).arm == "cpt+rag"
    assert "Do not continue" not in recommended({}).sentence
    advice = recommended({"cpt": "bits per byte of general text rise by 5.0%"})
    assert advice.arm == "rag"
    assert "Do not continue pre-training: bits per byte of general text rise by 5.0%." in advice.sentence
    assert any(rule.startswith("cpt+rag does not count") for rule in advice.rules)
    small = recommended({}, gain=0.0)
    assert small.arm == "rag"
    assert "Do not continue pre-training." in small.sentence


def test_each_model_counts_by_what_it_forgot():
    tuned = {"cpt+tuned": 0.0, "cpt+tuned+rag": 0.5}
    assert recommended({"cpt": "it forgets"}, more=tuned).arm == "cpt+tuned+rag"
    advice = recommended({"cpt+tuned": "fine-tuning forgets"}, more=tuned)
    assert advice.arm == "cpt+rag"
    assert "cpt+tuned+rag does not count: fine-tuning forgets." in advice.rules
    assert "Do not continue" not in advice.sentence
    neither = recommended({"cpt": "it forgets", "cpt+tuned": "fine-tuning forgets"}, more=tuned)
    assert neither.sentence.startswith("Use rag alone: do not fine-tune. Do not continue pre-training: it forgets.")


def test_the_gate_asks_what_the_served_model_forgot():
    rules = rules_of(effect_of(), effect_of(1.05).model_copy(update={"tuned": True}))
    assert rules["cpt+rag"]["forgetting"].passed
    assert not rules["cpt+tuned+rag"]["forgetting"].passed
    assert rules_of(effect_of(1.05), effect_of())["cpt+tuned+rag"]["forgetting"].passed
    assert not rules_of(effect_of())["cpt+tuned+rag"]["forgetting"].passed
    both = effect(facts(1.0), ([1.0], [1.0]), Pretraining(), 7, tuned=True)
    assert both.sentence.startswith("Continued pre-training and fine-tuning: bits per byte")


def rules_of(pretraining, tuned=None):
    result = ArmResult(metrics={"wrong": estimate(0.02)}, latency_ms=NONE, first_token_ms=NONE, prompt_tokens=1,
                       answer_tokens=1, usd_per_1000=0, seconds=1, failed=0)  # fmt: skip
    figures = {"accuracy": estimate(0.2), "unsupported": estimate(-0.1)}
    arms = ("rag", "cpt+rag", "cpt+tuned+rag")
    report = Report(
        subject=Subject(project="bank", base_model="b"), questions=40, arms=dict.fromkeys(("base", *arms), result),
        gains=tuple(Gain(arm=a, over="base", metrics=figures) for a in arms),
        pretraining=pretraining, pretraining_tuned=tuned,
    )  # fmt: skip
    return {arm: {r.name: r for r in gate_rules(report, arm, Project())} for arm in arms}


def test_the_gate():
    assert rules_of(effect_of())["cpt+rag"]["forgetting"].passed
    assert all(rule.passed for rule in rules_of(effect_of())["cpt+rag"].values())
    failed = rules_of(effect_of(1.05))["cpt+rag"]["forgetting"]
    assert not failed.passed
    assert "5.0%" in failed.text
    assert not rules_of(None)["cpt+rag"]["forgetting"].passed
    assert "forgetting" not in rules_of(effect_of(1.05))["rag"]
