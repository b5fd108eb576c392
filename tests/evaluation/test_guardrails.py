import pytest

from inhouse.config.sections import Guardrails
from inhouse.evaluation.evaluate import Answer
from inhouse.evaluation.guardrails import (
    confidence_results,
    confidence_warnings,
    effect,
    guardrail_results,
    rail_counts,
)
from inhouse.verdict import CurvePoint


def finding(rail, side, action, **more):
    return {"rail": rail, "side": side, "action": action, "score": 1.0, **more}


def answer(n, right, confidence=None, **more):
    scores = {"accuracy": float(right), "wrong": float(not right), "unsupported": 0.0}
    return Answer(id=f"e{n}", arm="rag", scores=scores, confidence=confidence, **more)


def test_rails_are_counted_by_question_side_and_end():
    answers = [
        answer(0, True, rails_ms={"pii": 10.0, "groundedness": 20.0}),
        answer(1, True, rails_ms={"pii": 30.0},
               findings=(finding("pii", "input", "redact"), finding("pii", "input", "redact"))),
        answer(2, False, rails_ms={"pii": 20.0, "groundedness": 40.0},
               findings=(finding("groundedness", "output", "redact"), finding("groundedness", "output", "handoff", failed="closed"))),
    ]  # fmt: skip
    counts = rail_counts(answers)
    assert counts["pii"].sides == {"input": 1}
    assert (counts["groundedness"].sides, counts["groundedness"].ended, counts["groundedness"].failed) == (
        {"output": 1},
        1,
        1,
    )
    assert (counts["pii"].ended, counts["pii"].ms.p50, counts["groundedness"].ms.p50) == (0, 20.0, 30.0)


def test_the_effect_is_of_what_the_model_said_against_what_left():
    answers = [
        answer(0, True),
        answer(
            1, False, unguarded="It is $5.", unguarded_scores={"accuracy": 1.0, "unsupported": 0.5}
        ),  # a right one lost
        answer(2, True, unguarded="It is $9.", unguarded_scores={"accuracy": 0.0, "unsupported": 1.0}),
        Answer(id="e3", arm="rag", failed="no answer"),
    ]
    found = effect(answers, 7)
    assert (found.questions, found.changed) == (3, 2)
    assert (found.right_without, found.lost, found.won) == (2, 1, 1)
    assert (found.without.mean, found.guarded.mean, found.cut) == (0.5, 0.0, 1.0)
    assert found.change.mean == -0.5


def test_the_curve_answers_the_surest_first_and_declines_are_no_answers():
    answers = [answer(n, right=n >= 5, confidence=n / 20) for n in range(16)]
    answers += [answer(16, False, confidence=0.99, declined=True), answer(17, False)]
    found = confidence_results(answers, 0.05, {})
    assert not found.calibrated
    assert (found.questions, found.given, found.declined) == (18, 16, 1)
    assert found.curve[0] == CurvePoint(answered=1 / 18, wrong=0.0, confidence=0.75)
    assert found.curve[-1] == CurvePoint(answered=16 / 18, wrong=5 / 16, confidence=0.0)
    assert [b.n for b in found.bins] == [2] * 8
    assert [b.right for b in found.bins] == [0, 0, 0.5, 1, 1, 1, 1, 1]
    assert found.calibration_error == pytest.approx(sum(abs(b.confidence - b.right) for b in found.bins) / 8)


def test_equal_confidences_are_answered_together():
    found = confidence_results([answer(n, right=n % 2 == 0, confidence=0.5) for n in range(10)], 0.05, {})
    assert found.curve == (CurvePoint(answered=1.0, wrong=0.5, confidence=0.5),)


def test_the_error_target_is_checked_on_what_was_answered():
    held = (finding("confidence", "answer", "handoff"),)
    answers = [answer(n, True, 0.9, rails_ms={"confidence": 1.0}) for n in range(9)]
    answers += [answer(9, False, 0.95, rails_ms={"confidence": 1.0})]
    # judged before the rail put the hand-off in its place
    answers += [answer(10 + n, False, 0.2, rails_ms={"confidence": 1.0}, findings=held, unguarded="It is $5.",
                       checked_scores={"wrong": float(n > 0)}) for n in range(4)]  # fmt: skip
    found = confidence_results(answers, 0.05, {})
    assert (found.calibrated, found.answered, found.wrong, found.handed_off) == (True, 10, 1, 4)
    assert found.curve[-1].wrong == 4 / 14


def test_what_another_rail_ended_is_no_answer():
    ended = answer(20, False, 0.99, findings=(finding("groundedness", "output", "handoff"),))
    found = confidence_results([*(answer(n, True, 0.9) for n in range(9)), ended], 0.05, {})
    assert (found.given, found.answered, found.wrong) == (9, 9, 0)
    assert found.curve == (CurvePoint(answered=0.9, wrong=0.0, confidence=0.9),)


def test_without_confidence_there_is_no_curve():
    assert confidence_results([answer(n, True) for n in range(20)], 0.05, {}) is None


def test_quality_is_shown_of_the_rails_that_are_on():
    row = {"side": "output", "on": "lines", "bad": 1, "good": 1, "recall": 1.0, "precision": 1.0, "later": "ignored"}
    quality = [row | {"rail": "groundedness"}, row | {"rail": "topic"}]
    made = guardrail_results({"rag": [answer(0, True)]}, Guardrails(rails=("groundedness",)), quality, {}, 7)
    assert [q.rail for q in made.quality] == ["groundedness"]
    assert made.confidence == {}


def test_the_error_target_that_is_kept_stands_beside_the_wanted_one():
    answers = [answer(n, True, 0.9) for n in range(9)]
    found = confidence_results(answers, 0.05, {"target": 0.2, "wanted": 0.05})
    assert (found.error_target, found.wanted) == (0.2, 0.05)
    assert confidence_results(answers, 0.05, {"reason": "too few"}).reason == "too few"


def test_a_looser_target_and_a_missing_calibration_are_warned_of():
    kept = {"examples": 80, "target": 0.05, "wanted": 0.05, "targets": [(0.3, 1.0, 0.1)]}
    facts = {
        "rag": kept,
        "tuned": kept | {"target": 0.2},
        "tuned+rag": kept | {"target": 1.0},
        "prompt": {"reason": "6 answers"},
    }
    warnings = confidence_warnings(facts)
    assert list(warnings) == ["tuned", "tuned+rag", "prompt"]
    assert warnings["tuned"].startswith("The served model keeps to at most 20% wrong among its answers, not 5%: on 80 ")
    assert "none up to 30% leaves enough" in warnings["tuned+rag"]
    assert warnings["prompt"] == "No error target is kept, since confidence could not be calibrated: 6 answers."
