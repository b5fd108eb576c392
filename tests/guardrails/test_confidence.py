import json

import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.guardrails.confidence.calibration import (
    TARGETS,
    Calibration,
    calibration_error,
    constant,
    fit,
    isotonic,
    strictest_support,
    threshold_for,
)
from inhouse.guardrails.confidence.features import FeatureExtractor, Features
from inhouse.guardrails.confidence.rail import FeatureRecorder, conversation_digest
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.text.support import LexicalSupport


def sample(n, seed, sharp=3.0):
    """Rows of four features, of which the first decides how likely a row is right."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    p = 1 / (1 + np.exp(-(sharp * x[:, 0] + 1)))
    return x, rng.random(n) < p


def row(**features):
    return Features(**{**dict.fromkeys(Features._fields, 0.0), **features})


def test_the_error_target_is_met_on_answers_that_were_not_fitted_on():
    missed = answered = 0
    for seed in range(30):
        x, y = sample(300, seed)
        calibration = fit(x, y, 0.1)
        fresh, truth = sample(4000, seed + 1000)
        kept = calibration.probability(fresh) >= calibration.threshold
        answered += kept.mean() / 30
        missed += kept.any() and 1 - truth[kept].mean() > 0.1
    assert missed <= 3  # with 95% confidence: about 1.5 of 30
    assert answered > 0.2


def test_a_target_that_answers_too_little_gives_way_to_the_next():
    x, y = sample(150, 2)
    strict, looser = fit(x, y, 0.02), fit(x, y, 0.02, 0.5)
    assert (strict.target, strict.answered) == (0.02, 0.0)
    assert looser.answered >= 0.5
    assert looser.wanted == 0.02 < looser.target
    assert all(t.answered < 0.5 for t in looser.targets if t.target < looser.target)


def test_without_a_target_that_answers_enough_everything_is_answered():
    rng = np.random.default_rng(0)
    calibration = fit(rng.normal(size=(200, 3)), rng.random(200) < 0.5, 0.05, 0.5)
    assert (calibration.target, calibration.threshold, calibration.answered) == (1.0, 0.0, 1.0)


def test_probabilities_are_calibrated():
    calibration = fit(*sample(600, 1), 0.05)
    fresh, truth = sample(6000, 2)
    assert calibration_error(calibration.probability(fresh), truth.astype(float)) < 0.05


def test_isotonic_steps_rise():
    x, y = sample(600, 1)
    steps = isotonic(x[:, 0], y.astype(float))
    assert [p for _, p in steps] == sorted(p for _, p in steps)


def test_what_cannot_meet_the_target_answers_nothing():
    rng = np.random.default_rng(0)
    calibration = fit(rng.normal(size=(200, 3)), rng.random(200) < 0.5, 0.05)
    assert calibration.threshold > 1
    assert calibration.answered == 0


def test_a_threshold_needs_enough_answers_to_be_certain():
    assert threshold_for(np.full(92, 0.9), np.ones(92), 0.05) > 1
    assert threshold_for(np.full(93, 0.9), np.ones(93), 0.05) == 0.9


def test_too_few_answers_are_refused():
    with pytest.raises(InputError, match="too few"):
        fit(np.zeros((10, 2)), [True] * 10, 0.05)


def test_other_targets_are_reported_and_answer_more_the_more_may_be_wrong():
    calibration = fit(*sample(600, 3), 0.1)
    assert [t.target for t in calibration.targets] == list(TARGETS)
    answered = [t.answered for t in calibration.targets]
    assert answered == sorted(answered)
    assert (calibration.target, calibration.answered, calibration.wrong) in calibration.targets


def test_the_strictest_support_costs_no_more_right_answers_than_allowed():
    supports = np.linspace(0.2, 1.0, 100)
    right = [True] * 100 + [False] * 100
    rows = [row(least_support=s) for s in supports] + [row()] * 100
    strictest = strictest_support(rows, right, 0.05)
    assert sum(supports <= strictest) <= 5
    assert sum(supports <= strictest + 0.02) > 5
    silent = [r._replace(no_claim=1.0) for r in rows[:50]]  # these state nothing, so nothing of them is cut
    assert strictest_support(silent + rows[50:], right, 0.05) > strictest


def test_too_few_answers_allow_no_stricter_support():
    assert strictest_support([row(least_support=0.9)] * 10, [True] * 10, 0.05) == 0  # one in ten is over one in twenty


def test_features_of_an_answer_without_passages(cached, turn):
    rail = Groundedness(cached, alignment.shipped(), LexicalSupport("", cached))
    features = FeatureExtractor(rail, cached)("It costs $5.", turn("What does it cost?"))
    assert (features.no_claim, features.least_support, features.certainty) == (1.0, 0.5, 0.5)
    assert (features.has_number, features.complete, features.second_similarity) == (1.0, 1.0, 0.0)


def test_where_answers_cannot_be_told_apart_all_have_the_same_probability():
    rows = np.array([row(certainty=0.1), row(certainty=0.9)])
    for right, p in (([True] * 25, 26 / 27), ([False, True], 0.5), ([], 0.5)):
        assert constant(right, 0.1).probability(rows) == pytest.approx([p, p])
    read = Calibration.model_validate_json(constant([True] * 25, 0.1).model_dump_json())
    assert list(read.probability(rows)) == list(constant([True] * 25, 0.1).probability(rows))  # to the last bit


def test_recorded_features_survive_an_interruption(tmp_path, turn):
    rows = iter([row(certainty=0.25), row(certainty=0.75)])
    file = tmp_path / "features.jsonl"
    recorder = FeatureRecorder(lambda answer, turn: next(rows), file)
    first, second = turn("What does it cost?"), turn("And where?")
    assert recorder.check("answer", "5", first) is None
    recorder.check("answer", "here", second)
    file.write_text(file.read_text()[:-9])  # cut off in the middle of a line
    again = FeatureRecorder(lambda answer, turn: row(), file).rows()
    assert again == {conversation_digest(first.request.messages): row(certainty=0.25)}


def test_recorded_features_are_named(tmp_path, turn):
    file = tmp_path / "features.jsonl"
    FeatureRecorder(lambda answer, turn: row(certainty=0.25), file).check("answer", "5", turn("What does it cost?"))
    assert json.loads(file.read_text())["features"]["certainty"] == 0.25
