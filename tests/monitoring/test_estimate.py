"""Accuracy without labels, on simulated answers whose truth is known."""

import numpy as np
import pytest

from inhouse.monitoring.estimate import (
    Evidence,
    Part,
    Votes,
    accuracy,
    expectation,
    fitted,
    interval,
    numbers,
    regression,
    shift,
    thumbs,
    verdicts,
)
from inhouse.text.logistic import Logistic


def answers(rng, n, move=0.0, harder=0.0):
    """Answers that show a confidence and two more numbers; `move` shifts what they show, `harder` lowers how often
    those that show the same are right."""
    seen = rng.normal(size=(n, 3)) + move * np.array([1.0, 0.5, 0.0])
    p = 1 / (1 + np.exp(-(0.6 + 1.3 * seen[:, 0] + 0.5 * seen[:, 1] - harder)))
    confidence = 1 / (1 + np.exp(-(0.6 + 1.3 * seen[:, 0])))
    return np.column_stack([confidence, seen[:, 1:]]), (rng.random(n) < p).astype(float)


def unlabeled(shown):
    none = np.full(len(shown), np.nan)
    return Evidence(shown, none, none)


def labeled(rng, shown, right, count, power=0.0):
    """`count` labels or so, drawn more often where the confidence is near one half."""
    size = (0.05 + shown[:, 0] * (1 - shown[:, 0])) ** power
    p = np.minimum(count * size / size.sum(), 1)
    drawn = rng.random(len(right)) < p
    return Evidence(shown, np.where(drawn, right, np.nan), np.where(drawn, p, np.nan))


def tried(runs, one):
    """Mean error, and the share of intervals that hold, of `one(rng)`: an estimate and the truth."""
    rng = np.random.default_rng(5)
    made = [one(rng) for _ in range(runs)]
    told = [(e, t) for e, t in made if e.mean is not None]
    held = np.mean([e.low <= t <= e.high for e, t in told])
    return np.mean([abs(e.mean - t) for e, t in told]), held, 1 - len(told) / len(made)


@pytest.mark.parametrize("move", [0.0, -0.3])
def test_without_labels_the_interval_holds_also_where_other_questions_are_asked(move):
    def one(rng):
        reference, live = answers(rng, 300), answers(rng, 800, move)
        return accuracy(unlabeled(live[0]), Evidence(*reference, reference[1])), live[1].mean()

    error, held, unknown = tried(200, one)
    assert error < 0.025
    assert 0.9 <= held <= 1.0
    assert unknown < 0.03


def test_the_reference_alone_would_be_wrong_there():
    rng = np.random.default_rng(5)
    gaps = [answers(rng, 300)[1].mean() - answers(rng, 800, -0.3)[1].mean() for _ in range(50)]
    assert np.mean(gaps) > 0.06


def test_what_looks_like_nothing_that_was_tested_is_unknown_until_there_are_labels():
    rng = np.random.default_rng(1)
    shown, right = answers(rng, 300)
    live, truth = answers(rng, 800, -1.5)
    found = accuracy(unlabeled(live), Evidence(shown, right, right))
    assert (found.mean, found.method) == (None, "")
    assert "no longer look like those of the verdict (AUROC 0." in found.why
    few = accuracy(labeled(rng, live, truth, 60), Evidence(shown, right, right))
    assert few.method == "labels"
    assert few.low <= truth.mean() <= few.high
    assert (few.weight, few.shift) == (1.0, found.shift)


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("bias", [0.6, 3.0])
def test_intervals_from_labels_alone_hold_at_any_probabilities(power, bias):
    """`bias` makes 40 % to 92 % of the answers right; there is no reference."""

    def one(rng):
        seen = rng.normal(size=(1000, 1))
        p = 1 / (1 + np.exp(-(bias + 1.3 * seen[:, 0])))
        right = (rng.random(1000) < p).astype(float)
        shown = np.column_stack([1 / (1 + np.exp(-seen[:, 0])), seen])
        return accuracy(labeled(rng, shown, right, 50, power), None), right.mean()

    error, held, unknown = tried(400, one)
    assert 0.9 <= held <= 0.99
    assert unknown == 0
    assert error < 0.06


def test_labels_make_the_reference_better_and_correct_it_where_it_is_wrong():
    def one(harder, count):
        def made(rng):
            reference, (shown, right) = answers(rng, 300), answers(rng, 1000, 0.0, harder)
            return accuracy(labeled(rng, shown, right, count), Evidence(*reference, reference[1])), right.mean()

        return tried(150, made)

    steady, held, _ = one(0.0, 200)
    assert steady < 0.02
    assert held >= 0.9
    none, wrong_held, _ = one(1.0, 1)
    few, few_held, _ = one(1.0, 200)
    assert none > 0.12, "nobody could see it"
    assert few < 0.03
    assert wrong_held < 0.2 < 0.85 < few_held


def test_few_labels_that_contradict_the_reference_make_it_unknown():
    rng = np.random.default_rng(3)
    shown, right = answers(rng, 300)
    live, _ = answers(rng, 500)
    probability, said = np.full(500, np.nan), np.full(500, np.nan)
    probability[:8], said[:8] = 0.02, 0.0
    found = accuracy(Evidence(live, said, probability), Evidence(shown, right, right))
    assert (found.mean, found.labels) == (None, 8)
    assert "the labels contradict the answers of the verdict" in found.why
    said[:8] = [1, 1, 0, 1, 1, 0, 1, 1]
    assert accuracy(Evidence(live, said, probability), Evidence(shown, right, right)).method == "reference"


def test_thumbs_that_contradict_the_reference_make_it_unknown_but_few_or_selected_ones_do_not():
    rng = np.random.default_rng(3)
    shown, right = answers(rng, 300)
    live = unlabeled(answers(rng, 500)[0])
    reference = Evidence(shown, right, right)
    assert accuracy(live, reference, Votes(up=3, down=90, none=407)).why.startswith("thumbs say ")
    for votes in (Votes(up=1, down=20, none=479), Votes(up=15, down=35, none=450), Votes(none=500)):
        assert accuracy(live, reference, votes).mean is not None


def test_what_thumbs_allow():
    assert thumbs(Votes(up=10, down=10, none=900)) == (0.0, 1.0)
    low, high = thumbs(Votes(up=60, down=40, none=100))
    assert low == pytest.approx(0.3 - 0.1), "sixty of two hundred are voted up"
    assert high == pytest.approx(0.8 + 0.1), "forty are voted down"
    low, high = thumbs(Votes(up=0, down=40, none=10_000))
    assert (low, high) == (0.0, pytest.approx(0.1))
    low, high = thumbs(Votes(up=40, down=0, none=10_000))
    assert (low, high) == (0.9, 1.0)


def test_too_little_is_unknown_and_says_so():
    rng = np.random.default_rng(2)
    shown, right = answers(rng, 300)
    assert accuracy(unlabeled(shown[:29]), Evidence(shown, right, right)).why == "29 answers: too few, it takes 30"
    for reference in (None, Evidence(shown[:59], right[:59], right[:59])):
        found = accuracy(unlabeled(shown), reference)
        few = 59 if reference else 0
        assert found.why == (
            f"{few} answers of this release are known to be right or wrong, and it takes 60; 10 labels would tell"
        )


def test_all_right_and_all_wrong_are_figures_with_room_for_doubt():
    rng = np.random.default_rng(2)
    shown, _ = answers(rng, 300)
    for value in (0.0, 1.0):
        found = accuracy(unlabeled(shown), Evidence(shown, np.full(300, value), np.full(300, np.nan)))
        assert found.mean == pytest.approx(value, abs=0.01)
        assert 0.003 < found.high - found.low < 0.1
        labels = Evidence(shown, np.where(np.arange(300) < 20, value, np.nan), np.full(300, 0.1))
        alone = accuracy(labels, None)
        assert (alone.mean, 0.05 < alone.high - alone.low < 0.3) == (pytest.approx(value), True)


def test_labels_outside_of_the_fair_sample_count_as_labels_only():
    rng = np.random.default_rng(4)
    shown, right = answers(rng, 400)
    fair = np.arange(400) < 380
    probability, said = np.full(400, np.nan), np.full(400, np.nan)
    probability[370:], said[370:] = 0.05, right[370:]
    lifted = shown.copy()
    lifted[380:, 0] = 0.999
    one = accuracy(Evidence(lifted, said, probability, fair), None)
    assert one.labels == 30
    reference = Evidence(*answers(rng, 300), np.full(300, np.nan))
    there = expectation(Evidence(lifted, said, probability, fair), reference)
    here = expectation(unlabeled(shown[:380]), reference)
    assert there.part.mean == pytest.approx(here.part.mean, abs=0.005)


def flagged_more_often(rng, right):
    """Readers ask for a person after three tenths of the wrong answers, and a twentieth of the right ones."""
    return rng.random(len(right)) < np.where(right > 0, 0.05, 0.3)


def test_verdicts_on_flagged_answers_are_counted_and_do_not_stand_for_the_others():
    """Verdicts of the inbox are on wrong answers most of all; a mean of all labels is far off."""

    def one(rng, verdicts=True):
        shown, right = answers(rng, 1000)
        flagged = flagged_more_often(rng, right)
        live = labeled(rng, shown, right, 50)
        said = np.where(flagged, right, live.right) if verdicts else live.right
        return accuracy(Evidence(shown, said, live.probability, flagged=flagged), None), right.mean()

    error, held, _ = tried(400, one)
    without, _, _ = tried(400, lambda rng: one(rng, verdicts=False))
    assert 0.9 <= held <= 0.99
    assert error < 0.95 * without
    rng = np.random.default_rng(6)
    shown, right = answers(rng, 1000)
    flagged, drawn = flagged_more_often(rng, right), rng.random(1000) < 0.05
    assert right[flagged | drawn].mean() < right.mean() - 0.15


def test_flagged_answers_without_a_verdict_are_answers_as_others_are():
    rng = np.random.default_rng(7)
    shown, right = answers(rng, 1000)
    flagged, live = flagged_more_often(rng, right), labeled(rng, shown, right, 60)
    few = np.where(flagged & (np.cumsum(flagged) <= 0.4 * flagged.sum()), right, live.right)
    plain = accuracy(live, None)
    assert accuracy(live._replace(right=few, flagged=flagged), None).mean == plain.mean
    none = np.zeros(1000, dtype=bool)
    assert accuracy(live._replace(flagged=none), None).mean == plain.mean
    assert accuracy(live._replace(flagged=flagged, total=1000), None).labels == plain.labels


def test_verdicts_that_the_reference_cannot_be_right_beside_make_it_unknown():
    rng = np.random.default_rng(8)
    shown, _ = answers(rng, 300)
    good, (live, _) = (rng.random(300) < 0.95).astype(float), answers(rng, 500)
    flagged = np.arange(500) < 150
    wrong = Evidence(live, np.where(flagged, 0.0, np.nan), np.full(500, np.nan), flagged=flagged)
    assert verdicts(wrong) == (0.0, 0.7)
    found = accuracy(wrong, Evidence(shown, good, good))
    assert (found.mean, found.labels) == (None, 150)
    assert found.why.startswith("verdicts of people say 0% to 70%, the confidence 87% to 97%")


def test_gaps_are_filled_and_marked():
    nan = float("nan")
    reference = np.array([[0.9, nan, 1.0, 5.0], [0.5, 0.2, 2.0, 5.0]])
    live = np.array([[nan, 0.4, 3.0, 5.0]])
    x, own = numbers(reference, live)
    assert (own.shape, x.shape) == ((2, 5), (1, 5)), "one column does not vary, two had gaps"
    assert np.isfinite(own).all()
    assert own[0, 1] == pytest.approx(0.3)
    assert list(own[:, 4]) == [1.0, 0.0]
    assert x[0, 3] == 1.0


def test_the_regression_is_that_of_the_house_and_stands_columns_that_do_not_vary():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(200, 4)) * 3 + 1, (rng.random(200) < 0.6).astype(float)
    w = regression(x, y, 3.0)
    other = Logistic.fit(x, y, 3.0 / 200)
    assert 1 / (1 + np.exp(-(x @ w[1:] + w[0]))) == pytest.approx(other.probability(x), abs=1e-3)
    flat = np.hstack([x, np.ones((200, 1))])
    assert regression(flat, y, 3.0)[-1] == 0.0
    assert np.isfinite(regression(x, np.ones(200), 3.0)).all()
    assert len(fitted(x[:, :0], y, x[:5, :0])[1]) == 5


def test_the_shift_is_near_one_half_for_like_answers_and_near_one_for_others():
    rng = np.random.default_rng(1)
    own = rng.normal(size=(300, 3))
    same, weights = shift(own, rng.normal(size=(2000, 3)))
    assert same < 0.57
    assert weights.mean() == pytest.approx(1.0)
    assert shift(own, rng.normal(size=(500, 3)) + 3)[0] > 0.98


def test_the_interval_is_wilsons_for_a_plain_share():
    from scipy.stats import binomtest

    for hits, n in ((400, 1000), (960, 1000)):
        p = hits / n
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        low, high = interval(Part(p, p * (1 - p) / n, n))
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=2e-4)


@pytest.mark.parametrize("selection", [0.25, 6.0])
def test_thumbs_make_labels_better_whoever_votes_and_add_no_bias(selection):
    """A vote is `selection` times as likely on a wrong answer as on a right one, and wrong in one of twenty."""

    def one(rng, votes=True):
        shown, right = answers(rng, 1000)
        voted = rng.random(1000) < np.where(right > 0, 0.1, 0.1 * selection)
        up = np.where(rng.random(1000) < 0.95, right, 1 - right)
        live = labeled(rng, shown, right, 100)
        return accuracy(live._replace(thumbs=voted * (2 * up - 1) if votes else None), None), right.mean()

    error, held, _ = tried(300, one)
    without, _, _ = tried(300, lambda rng: one(rng, votes=False))
    assert 0.9 <= held <= 0.99
    assert error < (0.9 if selection > 1 else 1.02) * without
    rng = np.random.default_rng(9)
    made = [one(rng) for _ in range(300)]
    assert np.mean([e.mean - t for e, t in made]) == pytest.approx(0, abs=0.008)
