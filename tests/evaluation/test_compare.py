import math

import numpy as np
import pytest

from inhouse.evaluation import compare
from inhouse.types import Estimate


def test_an_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = sum(
        e.low <= 0.3 <= e.high
        for n in range(120)
        if (e := compare.estimate((rng.random(60) < 0.3).astype(float).tolist(), n))
    )
    assert covered >= 108


def test_pairing_sees_what_unpaired_means_hide():
    base = [float(n % 2) for n in range(40)]
    ours = [1.0 if n < 8 else v for n, v in enumerate(base)]
    found = compare.gain(ours, base, 7)
    assert found.mean == pytest.approx(0.1)
    assert found.low > 0
    assert compare.gain(base, base, 7) == Estimate(mean=0, low=0, high=0, n=40)
    assert compare.gain([1.0, math.nan], [0.0, 1.0], 7).n == 1
    assert compare.estimate([math.nan], 7) is None


def test_mcnemar_is_exact():
    ours, theirs = [1.0] * 6 + [0.0] * 14, [0.0] * 20
    assert compare.p_value(ours, theirs, 7) == pytest.approx(2 * 0.5**6)
    assert compare.p_value(ours, ours, 7) == 1
    rng = np.random.default_rng(1)
    noise = rng.random(80)
    assert compare.p_value((noise + 0.3).tolist(), noise.tolist(), 7) < 0.01


def test_holm():
    assert compare.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": 0.03, "c": 0.06, "b": 0.06}


def test_the_smallest_gain_shrinks_with_questions():
    few = compare.smallest_detectable([1.0, 0.0] * 10, [0.0] * 20)
    many = compare.smallest_detectable([1.0, 0.0] * 100, [0.0] * 200)
    assert few == pytest.approx(2.8016 * np.std([1, 0] * 10, ddof=1) / math.sqrt(20), abs=1e-3)
    assert many < few / 3
