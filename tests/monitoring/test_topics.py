"""Questions on embeddings: the classifier's AUROC, its null, the scan for groups, and the words that name them."""

import math

import numpy as np
import pytest

from inhouse.monitoring import topics
from inhouse.monitoring.topics import (
    Background,
    Questions,
    auroc,
    draws,
    growth,
    held_out,
    permuted,
    sample,
    scan,
    separation,
    terms,
)

DIMENSIONS = 32


def unit(rng, n, center=None, width=1.0):
    made = width * rng.standard_normal((n, DIMENSIONS)) / math.sqrt(DIMENSIONS)
    if center is not None:
        made += center
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def asked(rng, days=15, per_day=200, users=600, shift=0.0):
    day = np.repeat(np.arange(-days, 0), per_day)
    vectors = unit(rng, len(day))
    vectors[day == -1, 0] += shift
    return Questions(day, rng.integers(0, users, len(day)), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_auroc_is_that_of_its_definition_with_ties_counted_half():
    scores, labels = np.array([[0.1], [0.4], [0.4], [0.9]]), np.array([[0.0], [1.0], [0.0], [1.0]])
    assert auroc(scores, labels)[0] == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert auroc(scores, np.ones((4, 1)))[0] == 0.5


def test_scores_are_of_classifiers_that_did_not_see_the_question():
    rng = np.random.default_rng(0)
    vectors, labels = unit(rng, 400), (rng.random((400, 20)) < 0.4).astype(float)
    _, areas = held_out(vectors, labels, np.arange(400) % topics.FOLDS)
    assert abs(areas.mean() - 0.5) < 0.03  # 32 dimensions would fit 400 labels to an AUROC of .65


def test_a_user_is_in_one_fold_and_counts_once_a_day():
    rng = np.random.default_rng(1)
    questions = asked(rng, users=40)
    chosen = sample(questions, [-1], range(-15, -1))
    pairs = list(zip(questions.day[chosen.usual], questions.user[chosen.usual], strict=True))
    assert len(pairs) == len(set(pairs))
    assert {int(d) % 7 for d in questions.day[chosen.usual]} == {-1 % 7}  # the same day of the week
    assert len(chosen.window) <= 40


def test_permutations_say_how_unusual_an_auroc_is():
    rng = np.random.default_rng(2)
    same, moved = asked(rng), asked(rng, shift=0.5)
    for questions, low, high in ((same, 0.01, 1.0), (moved, 0.0, 1e-4)):
        chosen = topics.Sample(np.flatnonzero(questions.day == -1), np.flatnonzero(questions.day < -1)[:1500])
        found = separation(questions, chosen)
        assert low <= permuted(questions, chosen, found.area, times=100) <= high
        assert len(found.scores) == len(chosen.window)


def test_single_days_are_drawn_once_and_longer_windows_have_the_same_days_of_the_week():
    usual = range(-29, -1)
    assert len(draws([-1], usual)) == 28
    for drawn in draws(range(-7, 0), usual):
        assert sorted(d % 7 for d in drawn) == list(range(7))
    assert draws(range(-28, 0), usual) == []
    assert draws([-1], [-2]) == []


def test_usual_days_that_share_days_or_show_nothing_make_wider_intervals():
    values = [0.1, 0.2, 0.3, 0.4]
    alone, shared = Background.of(values), Background.of(values, 0.25)
    assert shared.spread == pytest.approx(alone.spread / math.sqrt(0.75))
    assert shared.p(0.9) > alone.p(0.9)
    assert shared.reach(0.95) > alone.reach(0.95)
    assert Background.of([0.0] * 20).p(0.1) < 1e-9
    assert Background.of([0.0] * 20, least=0.15).p(0.1) > 0.2


def test_the_scan_finds_the_groups_that_are_new_and_no_others():
    rng = np.random.default_rng(3)
    new, old = unit(rng, 2)
    window = np.concatenate([unit(rng, 300), unit(rng, 25, new, 0.5), unit(rng, 60, old, 0.5)])
    usual = np.concatenate([unit(rng, 1200), unit(rng, 240, old, 0.5)])
    found = scan(window, usual, len(window) / len(usual))
    assert set(found[0].members) >= set(range(300, 320))
    assert found[0].count == pytest.approx(25, abs=2)
    assert found[0].expected < 1
    assert not any(h.strength > 6 for h in found[1:])
    assert growth(found) >= growth(found[:1]) == pytest.approx(math.log1p(found[0].strength))
    assert growth([]) == 0.0


def test_members_belong_to_one_group_only():
    rng = np.random.default_rng(4)
    centers = unit(rng, 3)
    window = np.concatenate([unit(rng, 30, c, 0.5) for c in centers])
    found = scan(window, unit(rng, 500), len(window) / 500)
    members = [m for h in found for m in h.members]
    assert len(found) >= 3
    assert len(members) == len(set(members))


def test_a_few_users_are_no_group():
    rng = np.random.default_rng(5)
    window = np.concatenate([unit(rng, 200), unit(rng, topics.LEAST_GROUP - 1, unit(rng, 1)[0], 0.2)])
    assert all(
        set(h.members) <= set(range(200)) or h.count >= topics.LEAST_GROUP for h in scan(window, unit(rng, 800), 0.25)
    )


def test_terms_mark_a_group_and_are_those_of_several():
    inside = ["Does the Falcon card cost anything?", "the falcon card", "Falcon card for Herbert", "my Falcon"]
    found = terms(inside, ["Does the card cost anything?", "a card", "my loan"])
    assert found[0] == "falcon"
    assert "herbert" not in found
    assert "the" not in found
