"""The recommendation: which arm, in which words, with which warnings."""

from dataclasses import replace

import pytest

from inhouse.evaluation.recommend import Evidence, gap_closed, recommend
from inhouse.types import Estimate

ARMS = ("base", "prompt", "rag", "tuned", "tuned+rag", "oracle")
UNCLEAR = (-0.1, 0.1)


def estimate(low, high):
    return Estimate(mean=(low + high) / 2, low=low, high=high, n=80)


def evidence(gains=(), **more):
    """What the rules see when all gains are unclear but those given, by (metric, arm, other)."""
    known = dict(gains)
    return replace(
        Evidence(
            ARMS, lambda *pair: estimate(*known.get(pair, UNCLEAR)), smallest_gain=0.02, detectable=0.1, questions=80
        ),
        **more,
    )


RAG = (("accuracy", "rag", "base"), (0.2, 0.4))
BOTH = (("accuracy", "tuned+rag", "rag"), (0.1, 0.2))
BOTH_OVER_BASE = (("accuracy", "tuned+rag", "base"), (0.4, 0.5))


@pytest.mark.parametrize(
    ("gains", "arm"),
    [
        pytest.param([], "base", id="nothing is clear"),
        pytest.param([RAG], "rag", id="the cheap arm wins, the others tie with it"),
        pytest.param([RAG, BOTH], "tuned+rag", id="each step is worth its cost"),
        pytest.param([RAG, (("accuracy", "tuned+rag", "rag"), (0.01, 0.2))], "rag", id="gain may be too small"),
        pytest.param([RAG, (("accuracy", "tuned+rag", "rag"), (0.02, 0.2))], "rag", id="interval starts at the limit"),
        pytest.param([RAG, BOTH, (("unsupported", "tuned+rag", "rag"), (0.1, 0.2))], "rag", id="more unsupported"),
        pytest.param([RAG, BOTH, (("wrong", "tuned+rag", "rag"), (0.01, 0.1))], "rag", id="more wrong answers"),
        pytest.param([RAG, (("wrong", "tuned+rag", "rag"), (-0.3, -0.1))], "tuned+rag", id="as accurate, fewer wrong"),
        pytest.param([RAG, (("wrong", "tuned+rag", "rag"), (-0.3, -0.02))], "rag", id="fewer wrong, perhaps too few"),
        pytest.param(
            [RAG, (("wrong", "tuned+rag", "rag"), (-0.3, -0.1)), (("accuracy", "tuned+rag", "rag"), (-0.2, 0.1))],
            "rag",
            id="fewer wrong, less accurate",
        ),
        pytest.param([RAG, BOTH, (("unsupported", "tuned+rag", "rag"), (-0.1, 0.2))], "tuned+rag", id="perhaps more"),
        pytest.param([(("accuracy", "oracle", "base"), (0.4, 0.6))], "base", id="the oracle is no choice"),
    ],
)
def test_the_arm_follows_the_intervals(gains, arm):
    assert recommend(evidence(gains)).arm == arm


def test_an_arm_is_compared_with_the_current_one_not_with_base():
    gains = [RAG, (("accuracy", "tuned", "base"), (0.3, 0.4)), (("accuracy", "tuned", "rag"), UNCLEAR)]
    assert recommend(evidence(gains)).arm == "rag"


def test_arms_that_were_not_run_are_skipped():
    made = recommend(evidence([RAG], arms=("base", "tuned")))
    assert made.arm == "base"
    assert len(made.rules) == 1


def test_an_arm_without_accuracy_is_skipped():
    assert recommend(evidence(gain=lambda *pair: None)).rules == ()


def test_every_rule_says_what_it_found():
    rules = recommend(evidence([RAG, BOTH, (("unsupported", "tuned+rag", "rag"), (0.1, 0.2))])).rules
    assert rules[1] == (
        "rag is worth its cost over base: accuracy changes by +30.0 [+20.0, +40.0] points, and the interval starts above "
        "+2.0, the smallest gain that counts."
    )
    assert rules[2] == (
        "tuned is not worth its cost over rag: accuracy changes by +0.0 [-10.0, +10.0] points, and the interval does not "
        "start above +2.0, the smallest gain that counts."
    )
    assert rules[3].startswith("tuned+rag is not worth its cost over rag: ")
    assert rules[3].endswith("; unsupported statements rise by +15.0 [+10.0, +20.0] points.")


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        pytest.param([], "Do not customize: nothing tried here is worth its cost", id="base"),
        pytest.param([RAG], "Use rag alone: do not fine-tune. It gains +30.0 [+20.0, +40.0] points", id="rag"),
        pytest.param([RAG, BOTH, BOTH_OVER_BASE], "Use the fine-tuned model with retrieval. It gains +45.0", id="both"),
        pytest.param([RAG], "tuned differs by +0.0 [-10.0, +10.0] points, which this test set cannot tell", id="tie"),
        pytest.param([RAG, (("accuracy", "tuned", "rag"), (-0.3, -0.1))], "tuned is less accurate: -20.0", id="worse"),
        pytest.param(
            [RAG, (("accuracy", "tuned", "rag"), (0.01, 0.1))], "may be less than the smallest gain", id="small"
        ),
        pytest.param(
            [RAG, BOTH, (("unsupported", "tuned+rag", "rag"), (0.1, 0.2))],
            "gives more unsupported statements",
            id="facts",
        ),
    ],
)
def test_the_sentence_says_why(gains, words):
    assert words in recommend(evidence(gains)).sentence


def test_nothing_is_said_about_fine_tuning_that_was_not_tried():
    found = recommend(replace(evidence([RAG]), arms=("base", "prompt", "rag")))
    assert found.arm == "rag"
    assert found.sentence.startswith("Use rag. It gains")


TUNED = (("accuracy", "tuned", "base"), (0.2, 0.4))
FORGOT = Estimate(mean=-0.2, low=-0.3, high=-0.1, n=40)


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        pytest.param({"questions": 12}, "Only 12 questions were asked; fewer than 30 show large gains only.", id="few"),
        pytest.param({"detectable": 0.4}, "This test set can only show gains of 40 points or more.", id="coarse"),
        pytest.param(
            {"general_change": FORGOT},
            "Fine-tuning changed general ability by -20.0 [-30.0, -10.0] points.",
            id="forgetting",
        ),
    ],
)
def test_warnings(given, warning):
    assert recommend(evidence([TUNED], **given)).warnings == (warning,)


def test_forgetting_is_no_warning_where_nothing_tuned_is_recommended():
    assert recommend(evidence([RAG], general_change=FORGOT)).warnings == ()


def test_the_method_is_explained():
    assert "replaces the current one only if the interval" in recommend(evidence()).method


def test_the_gap_closed_is_the_share_of_the_way_to_the_oracle():
    assert gap_closed({"base": 0.2, "rag": 0.5, "oracle": 0.8}) == {"rag": pytest.approx(0.5)}


def test_an_oracle_no_better_than_base_closes_no_gap():
    assert gap_closed({"base": 0.2, "rag": 0.5, "oracle": 0.2}) == {}


def test_a_hardly_trained_model_gets_a_warning():
    (warning,) = recommend(evidence(hardly_trained="it ended after 3 steps; raise training.max_minutes")).warnings
    assert warning.startswith("The custom model is hardly trained")
    assert warning.endswith("raise training.max_minutes.")


def test_experts_must_be_better_than_the_joint_model():
    arms = ("base", "tuned", "experts")
    tuned = (("accuracy", "tuned", "base"), (0.2, 0.4))
    even = recommend(evidence([tuned], arms=arms))
    assert even.arm == "tuned"
    assert "Do not use experts." in even.sentence
    assert "experts differs by" in even.sentence
    better = recommend(evidence([tuned, (("accuracy", "experts", "tuned"), (0.05, 0.2))], arms=arms))
    assert better.arm == "experts"
    assert "Do not use experts." not in better.sentence
    closed = recommend(evidence([tuned], arms=arms, closed=("hr", "legal")))
    assert any("(hr, legal)" in warning for warning in closed.warnings)
    assert not even.warnings


def test_an_arm_that_the_release_gate_refuses_is_not_recommended():
    """Learning from feedback that other questions pay for."""
    arms = ("base", "rag", "tuned+rag", "tuned+feedback+rag")
    better = (("accuracy", "tuned+feedback+rag", "tuned+rag"), (0.1, 0.2))
    assert recommend(evidence([RAG, BOTH, better], arms=arms)).arm == "tuned+feedback+rag"
    why = "accuracy on 9 questions without feedback: -5.0 points"
    found = recommend(evidence([RAG, BOTH, better], arms=arms, losses={"tuned+feedback+rag": why}))
    assert found.arm == "tuned+rag"
    assert f"Do not use tuned+feedback+rag: {why}." in found.sentence
    assert f"tuned+feedback+rag does not count: {why}." in found.rules
