import math

import numpy as np
import pytest

from inhouse.evaluation import compare
from inhouse.evaluation.compare import Sample
from inhouse.types import Estimate


def test_an_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = sum(
        e.low <= 0.3 <= e.high
        for n in range(120)
        if (e := Sample(n).estimate((rng.random(60) < 0.3).astype(float).tolist()))
    )
    assert covered >= 108


def test_pairing_sees_what_unpaired_means_hide():
    base = [float(n % 2) for n in range(40)]
    ours = [1.0 if n < 8 else v for n, v in enumerate(base)]
    found = Sample(7).gain(ours, base)
    assert found.mean == pytest.approx(0.1)
    assert found.low > 0
    assert Sample(7).gain(base, base) == Estimate(mean=0, low=0, high=0, n=40)
    assert Sample(7).gain([1.0, math.nan], [0.0, 1.0]).n == 1
    assert Sample(7).estimate([math.nan]) is None


def test_mcnemar_is_exact():
    ours, theirs = [1.0] * 6 + [0.0] * 14, [0.0] * 20
    assert Sample(7).p_value(ours, theirs) == pytest.approx(2 * 0.5**6)
    assert Sample(7).p_value(ours, ours) == 1
    rng = np.random.default_rng(1)
    noise = rng.random(80)
    assert Sample(7).p_value((noise + 0.3).tolist(), noise.tolist()) < 0.01


def test_holm():
    assert compare.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "c": 0.06, "b": 0.06}


def test_the_smallest_gain_shrinks_with_questions():
    few = Sample(7).smallest_detectable([1.0, 0.0] * 10, [0.0] * 20)
    many = Sample(7).smallest_detectable([1.0, 0.0] * 100, [0.0] * 200)
    assert few == pytest.approx(2.8016 * np.std([1, 0] * 10, ddof=1) / math.sqrt(20), abs=1e-3)
    assert many < few / 3


def test_conversations_are_resampled_as_a_whole():
    values, groups = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], ["a"] * 4 + ["b"] * 4
    alone, together = Sample(7).estimate(values), Sample(7, groups).estimate(values)
    assert alone.mean == together.mean == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert alone.high - alone.low < 1
    assert Sample(7, groups).smallest_detectable(values, [0.0] * 8) > Sample(7).smallest_detectable(values, [0.0] * 8)


def test_weights_of_questions():
    found = Sample(7, weights=[3.0, 1.0, 0.0]).estimate([1.0, 0.0, 0.0])
    assert (found.mean, found.n) == (0.75, 2)
    assert Sample(7, weights=[0.0]).estimate([1.0]) is None
    assert Sample(7, weights=[1.0, 2.0]).gain([1.0, 1.0], [1.0, 0.0]).mean == pytest.approx(2 / 3)


def test_questions_of_one_conversation_are_not_independent_evidence():
    ours, theirs = [1.0] * 12 + [0.0], [0.0] * 12 + [1.0]
    assert Sample(7).p_value(ours, theirs) < 0.01
    assert Sample(7, ["a"] * 12 + ["b"]).p_value(ours, theirs) > 0.3
