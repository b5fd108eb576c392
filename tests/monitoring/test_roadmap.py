"""The rules of the roadmap: from what is known to the stages and to what is next."""

from dataclasses import replace

import pytest

from inhouse.monitoring.roadmap import ENOUGH_REQUESTS, Facts, Grades, roadmap
from inhouse.roadmap import Learning
from inhouse.types import Estimate, GateRule
from inhouse.verdict import ArmResult, Gain, Percentiles, Recommendation, Report, Subject, TrainingFacts

GRADES = Grades({"coverage": "good", "volume": "fair"}, {"coverage": "90%", "volume": "600 examples"}, {}, {"coverage": "Coverage", "volume": "Volume"})  # fmt: skip
PASSES = GateRule(name="gain", passed=True, text="gains")


def estimate(mean, half=0.05):
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=150)


def verdict(recommended, training=None, **accuracy):
    zero = Percentiles(p50=0, p95=0, p99=0)
    means = {name.replace("_", "+"): mean for name, mean in accuracy.items()}
    arms = {
        name: ArmResult(metrics={"accuracy": estimate(mean), "wrong": estimate(0.1)}, latency_ms=zero, first_token_ms=zero,
                        prompt_tokens=1, answer_tokens=1, usd_per_1000=0, seconds=1, failed=0)
        for name, mean in means.items()
    }  # fmt: skip
    pairs = [(a, "base") for a in means if a != "base"] + [("tuned+rag", "rag")] * ("tuned+rag" in means)
    gains = tuple(Gain(arm=a, over=b, metrics={"accuracy": estimate(means[a] - means[b])}) for a, b in pairs)
    return Report(
        subject=Subject(project="Bank", base_model="m", training=training), questions=150, arms=arms, gains=gains,
        smallest_detectable_gain=0.1, recommendation=Recommendation(arm=recommended, sentence=f"Use {recommended}."),
    )  # fmt: skip


INDEXED = Facts(project="Bank", files=50, documents=48)
AUDITED = replace(INDEXED, audit=GRADES)
WITH_RAG = replace(AUDITED, examples=900, report=verdict("rag", base=0.2, rag=0.6), gate=(PASSES,))
TUNED = replace(WITH_RAG, report=verdict("tuned+rag", base=0.2, rag=0.6, tuned_rag=0.75))
RELEASED = replace(TUNED, releases=1)
SERVED = replace(RELEASED, production="bank/1")


def states(facts):
    return {s.name: s.state for s in roadmap(facts).stages}


def stage(facts, name):
    return next(s for s in roadmap(facts).stages if s.name == name)


@pytest.mark.parametrize(
    ("facts", "following"),
    [
        (Facts(project="Bank"), "audit"), (INDEXED, "audit"), (AUDITED, "rag"), (WITH_RAG, "tuning"), (TUNED, "hardening"),
        (RELEASED, "scale"), (SERVED, "scale"), (replace(SERVED, requests=ENOUGH_REQUESTS), None),
    ],
)  # fmt: skip
def test_one_stage_is_next_and_those_after_it_come_later(facts, following):
    found = states(facts)
    assert [name for name, state in found.items() if state == "next"] == ([following] if following else [])
    names = list(found)
    if following:
        assert "next" not in [found[n] for n in names[names.index(following) + 1 :]]
    assert (roadmap(facts).next is None) == (following is None)


def test_each_step_of_what_is_next_can_be_taken():
    for facts in (Facts(project="Bank"), INDEXED, AUDITED, WITH_RAG, TUNED, RELEASED, SERVED):
        following = roadmap(facts).next
        assert following.steps, following.name
        assert any(step.command or step.page for step in following.steps), following.name


def test_do_not_fine_tune_is_an_answer():
    worse = replace(WITH_RAG, report=verdict("rag", base=0.2, rag=0.6, tuned_rag=0.61))
    got = stage(worse, "tuning")
    assert got.state == "not needed"
    assert got.summary.startswith("Do not fine-tune: tuned+rag gains +1.0 [-4.0, +6.0] points over rag")
    good = replace(WITH_RAG, report=verdict("rag", base=0.2, rag=0.97))
    assert stage(good, "tuning").summary == "Do not fine-tune: rag already answers 97% right."
    assert states(worse)["hardening"] == "next", "a release of rag is hardened all the same"


def test_too_few_examples_wait_and_a_hardly_trained_model_is_trained_again():
    few = replace(WITH_RAG, examples=120)
    assert states(few)["tuning"] == "later"
    assert "120 training examples" in stage(few, "tuning").summary
    hardly = TrainingFacts(method="lora", examples=900, steps=3, hardly_trained="3 steps")
    again = replace(WITH_RAG, report=verdict("rag", training=hardly, base=0.2, rag=0.6, tuned_rag=0.5))
    assert states(again)["tuning"] == "next"


def test_retrieval_that_gains_nothing_is_not_needed():
    got = stage(replace(WITH_RAG, report=verdict("prompt", base=0.2, prompt=0.6, rag=0.6)), "rag")
    assert got.state == "not needed"
    assert "the verdict recommends prompt" in got.summary


def test_a_verdict_without_an_audit_does_not_go_back():
    assert states(replace(WITH_RAG, audit=None))["audit"] == "later"


def test_an_old_audit_says_so():
    got = stage(replace(AUDITED, audit=replace(GRADES, fresh=False)), "audit")
    assert got.state == "done"
    assert "have changed since" in got.summary
    assert got.steps[0].command == "inhouse audit-data"


def test_a_rule_of_the_gate_that_fails_is_the_step():
    fails = GateRule(name="wrong answers", passed=False, text="wrong answers: 30%; at most 10%")
    got = stage(replace(TUNED, gate=(PASSES, fails)), "hardening")
    assert got.state == "next"
    assert got.steps[0].text == "The release gate refuses: wrong answers: 30%; at most 10%."


def test_the_base_model_needs_no_hardening():
    assert states(replace(WITH_RAG, report=verdict("base", base=0.6, rag=0.6)))["hardening"] == "not needed"


def test_evidence_has_the_verdict_and_what_more_data_would_help():
    learned = Learning(arm="rag", closed=estimate(0.4), sentence="rag closes 40%. Not known.")
    found = roadmap(replace(WITH_RAG, learning=learned))
    assert found.evidence == ("Use rag. No fine-tuned model was among the arms.", "rag closes 40%. Not known.")
    closes = next(f for f in found.stages[1].figures if f.label.startswith("Of the gap"))
    assert (closes.value, closes.detail) == ("40%", "35 to 45")


def test_optional_figures_appear_only_where_they_are_known():
    labels = {f.label for f in stage(SERVED, "scale").figures}
    assert not {"Estimated accuracy", "Incidents in 30 days", "Thumbs up"} & labels
    more = replace(SERVED, accuracy=estimate(0.8), incidents=0, satisfied=estimate(0.9))
    assert {"Estimated accuracy", "Incidents in 30 days", "Thumbs up"} <= {
        f.label for f in stage(more, "scale").figures
    }
