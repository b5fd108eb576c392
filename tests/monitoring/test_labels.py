import numpy as np
import pytest

from inhouse.monitoring.labels import drawn, places, probabilities, worth


def unit(rows):
    x = np.array(rows, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_uncertain_frequent_and_new_questions_are_worth_more_and_say_why():
    questions = unit([[1, 0, 0], [1, 0.05, 0], [1, 0, 0.05], [0, 1, 0], [0, 0, 1]])
    known = unit([[1, 0, 0], [0, 1, 0]])
    found = worth(np.array([0.5, 0.99, 0.5, 0.99, 0.99]), questions, known)
    assert list(found.frequent) == [3, 3, 3, 1, 1]
    assert list(found.new) == pytest.approx([0, 0, 0, 0, 1], abs=1e-6)
    assert found.total[0] > found.total[1]
    assert found.total[1] > found.total[3]
    assert found.total[4] > found.total[3]
    assert found.why(0) == "uncertain, asked 3 times"
    assert found.why(3) == "a random answer"
    assert found.why(4) == "a new kind of question"
    plain = worth(np.array([np.nan, 0.5]), None, None)
    assert plain.total[0] == plain.total[1]


@pytest.mark.parametrize("count", [1, 10, 97, 100, 200])
def test_probabilities_sum_to_the_count_and_are_never_tiny_or_above_one(count):
    total = np.random.default_rng(1).lognormal(0, 2, 100)
    p = probabilities(total, count)
    assert p.sum() == pytest.approx(min(count, 100))
    assert p.max() <= 1
    assert p.min() >= 0.29 * min(count, 100) / 100 or p.min() > 0.5
    if count == 10:
        assert np.corrcoef(p, np.minimum(total, total.max()))[0, 1] > 0.7


def test_the_sample_is_the_same_again_and_each_answer_is_drawn_with_its_probability():
    total = np.random.default_rng(2).lognormal(0, 1, 60)
    p = probabilities(total, 12)
    counts = np.zeros(60)
    for trial in range(3000):
        order = places([f"{trial}-{n}" for n in range(60)], p)
        chosen = drawn(order, 12)
        assert len(chosen) == 12
        counts[chosen] += 1
    assert np.abs(counts / 3000 - p).max() < 0.05
    again = places([f"7-{n}" for n in range(60)], p)
    assert drawn(again, 12) == drawn(places([f"7-{n}" for n in range(60)], p), 12)
    assert drawn(again, 5) == drawn(again, 12)[:5]


def test_weighting_by_the_probabilities_gives_the_mean_of_all():
    rng = np.random.default_rng(3)
    right = (rng.random(500) < 0.7).astype(float)
    p = probabilities(np.where(right > 0, 1.0, 4.0), 40)  # wrong answers are worth more: the plain mean is far off
    weighted, plain = [], []
    for trial in range(800):
        chosen = drawn(places([f"{trial}-{n}" for n in range(500)], p), 40)
        weighted.append((right[chosen] / p[chosen]).sum() / (1 / p[chosen]).sum())
        plain.append(right[chosen].mean())
    assert np.mean(weighted) == pytest.approx(right.mean(), abs=0.012)
    assert np.mean(plain) < right.mean() - 0.1
