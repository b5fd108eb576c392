"""Weeks of live answers, and the agreement of raters."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inhouse.monitoring import quality
from inhouse.monitoring.quality import Seen, agreement, given, lines, monday, shown, some, to_rate

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
TOPICS = ("wires", "loans", "cards", "hours")


def embed(texts):
    """A direction for each topic, and a little of its own for each text."""
    rows = np.zeros((len(texts), 8), dtype=np.float32)
    for n, text in enumerate(texts):
        topic = text.partition(" ")[0]
        rows[n, TOPICS.index(topic) if topic in TOPICS else 5] = 1.0
        rows[n, 6] = (hash(text) % 100) / 400
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def seen(rng, n, days=0.0, release="bank/2", **more):
    """Answers of about `days` ago, and whether each is right."""
    made, right = [], []
    for k in range(n):
        p = rng.random()
        at = NOW - timedelta(days=days, minutes=float(rng.integers(0, 600)))
        right.append(rng.random() < p)
        told = {"exchange": f"{release}-{days}-{k}", "at": at.isoformat(), "release": release, "confidence": p,
                "question": f"{TOPICS[k % 4]} {k}", "answer_words": 4, "retrieval": 0.5 + p / 2}  # fmt: skip
        made.append(Seen(**{**told, **more}))
    return made, np.array(right, dtype=float)


def judged(rng, n=200):
    rows, right = seen(rng, n, release="")
    return [r._replace(label=float(y)) for r, y in zip(rows, right, strict=True)]


def test_each_week_and_release_has_a_line_over_four_weeks():
    rng = np.random.default_rng(1)
    new, right = seen(rng, 120, 1)
    old, _ = seen(rng, 80, 20, release="bank/1")
    base, _ = seen(rng, 50, 1, release="base")
    found = lines([*new, *old, *base], {"bank/2": judged(rng)}, embed, NOW, 5)
    assert [(row.until[:10], row.release, row.requests) for row in found] == [
        ("2026-11-26", "bank/2", 120), ("2026-11-09", "bank/1", 80),
    ]  # fmt: skip
    first = found[0].estimated
    assert first.method == "reference"
    assert first.low <= right.mean() <= first.high
    assert found[0].confidence == pytest.approx(np.mean([r.confidence for r in new]))
    assert found[1].estimated.why.startswith("0 answers of this release are known")


def test_hand_offs_and_failures_count_as_requests_but_have_no_accuracy():
    rng = np.random.default_rng(2)
    rows, _ = seen(rng, 60, 1)
    handed, _ = seen(rng, 20, 2, handed_off=True)
    failed, _ = seen(rng, 20, 3, reason="error")
    (row,) = lines([*rows, *handed, *failed], {"bank/2": judged(rng)}, None, NOW, 1)
    assert (row.requests, row.handed_off, row.estimated.answers) == (100, 0.2, 60)
    assert not given(Seen(exchange="e", question="q", answer_words=0))


def test_labels_and_thumbs_are_counted():
    rng = np.random.default_rng(3)
    rows, right = seen(rng, 300, 1)
    voted = [r._replace(thumb=1 if n < 5 else -1 if n < 8 else None) for n, r in enumerate(rows)]
    rated = [
        r._replace(label=float(y), probability=0.2) if n % 5 == 0 else r
        for n, (r, y) in enumerate(zip(voted, right, strict=True))
    ]
    (row,) = lines(rated, {"bank/2": judged(rng)}, embed, NOW, 1)
    assert (row.up, row.down, row.estimated.labels, row.estimated.method) == (5, 3, 60, "both")
    undrawn = [r._replace(probability=None) for r in rated]
    assert lines(undrawn, {}, embed, NOW, 1)[0].estimated.labels == 0, (
        "whoever chooses what to rate says nothing of all"
    )


def test_answers_that_were_rated_earlier_are_a_reference_too():
    rng = np.random.default_rng(8)
    old, right = seen(rng, 120, 40)
    rated = [r._replace(label=float(y), probability=0.1) for r, y in zip(old, right, strict=True)]
    live, truth = seen(rng, 300, 1)
    (row,) = lines([*rated, *live], {}, embed, NOW, 1)
    assert (row.requests, row.estimated.method, row.estimated.labels) == (300, "reference", 0)
    assert row.estimated.low <= truth.mean() <= row.estimated.high
    others = [r._replace(release="bank/1") for r in rated]
    unasked = [r._replace(probability=None) for r in rated]
    for known in (others, unasked):
        assert lines([*known, *live], {}, embed, NOW, 1)[0].estimated.mean is None


def test_a_new_kind_of_question_makes_it_unknown():
    rng = np.random.default_rng(4)
    rows, _ = seen(rng, 200, 1)
    moved = [r._replace(question=f"boats {n}") for n, r in enumerate(rows)]
    (row,) = lines(moved, {"bank/2": judged(rng)}, embed, NOW, 1)
    assert row.estimated.mean is None
    (row,) = lines(moved, {"bank/2": judged(rng)}, None, NOW, 1)
    assert row.estimated.mean is not None, "nothing else has changed"


def test_a_large_window_is_read_in_part_with_all_of_its_labels(monkeypatch):
    monkeypatch.setattr(quality, "MOST", 50)
    rng = np.random.default_rng(5)
    rows = [r._replace(label=1.0) if n % 10 == 0 else r for n, r in enumerate(seen(rng, 200)[0])]
    kept, fair = some(rows)
    assert (fair.sum(), sum(r.label is not None for r in kept)) == (50, 20)
    assert len({r.exchange for r in kept}) == len(kept)
    assert [r.exchange for r in some(rows[::-1])[0]][:50] == [r.exchange for r in kept][:50]
    assert some(rows[:50]) == (rows[:50], None)


def test_what_answers_show_has_gaps_where_nothing_is_known():
    row = Seen(exchange="e", question="what is it", answer_words=4, confidence=0.7)
    x = shown([row])
    assert x.shape == (1, 5)
    assert list(x[0]) == pytest.approx([0.7, float("nan"), float("nan"), np.log1p(4), np.log1p(3)], nan_ok=True)
    assert shown([], np.zeros((4, 8)), np.zeros((0, 8))).shape == (0, 9)


def test_what_is_drawn_says_why_and_leaves_out_hand_offs_and_the_base_model():
    rng = np.random.default_rng(6)
    rows, _ = seen(rng, 100, 8)
    odd = rows[0]._replace(exchange="odd", question="boats?", confidence=0.5)
    handed = rows[1]._replace(exchange="handed", handed_off=True)
    base = rows[2]._replace(exchange="base", release="base")
    drawn = to_rate([*rows, odd, handed, base], judged(rng), embed, 101)
    assert len(drawn) == 101
    assert {"handed", "base"}.isdisjoint(d.exchange for d in drawn)
    assert next(d.why for d in drawn if d.exchange == "odd") == "uncertain, a new kind of question"
    ten = to_rate([*rows, odd], judged(rng), embed, 10)
    assert len(ten) == 10
    assert [d.place for d in ten] == sorted(d.place for d in ten)
    assert sum(d.probability for d in to_rate(rows, [], None, 10)) < 10
    assert to_rate(rows, [], None, 0) == to_rate([], [], embed, 10) == []


def test_weeks_begin_on_monday_utc():
    assert monday(NOW) == datetime(2026, 11, 23, tzinfo=UTC)
    late = datetime.fromisoformat("2026-11-23T01:00:00+02:00")
    assert monday(late) == datetime(2026, 11, 16, tzinfo=UTC)


def test_kappa_is_that_of_the_textbook():
    """Fleiss, Cohen and Everitt's formula against a bootstrap, and the ends of the scale."""
    rng = np.random.default_rng(7)
    truth = rng.choice(["right", "partly", "wrong"], 120, p=[0.6, 0.15, 0.25])
    noisy = [np.where(rng.random(120) < 0.8, truth, rng.choice(["right", "partly", "wrong"], 120)) for _ in range(2)]
    pairs = list(zip(map(str, noisy[0]), map(str, noisy[1]), strict=True))
    found = agreement(pairs)
    assert found.pairs == 120
    assert found.agree == pytest.approx(np.mean([a == b for a, b in pairs]))
    share = {w: np.mean([(a == w) + (b == w) for a, b in pairs]) / 2 for w in ("right", "partly", "wrong")}
    chance = sum(s * s for s in share.values())
    assert found.kappa == pytest.approx((found.agree - chance) / (1 - chance))
    again = [agreement([pairs[n] for n in rng.integers(0, 120, 120)]).kappa for _ in range(400)]
    low, high = np.quantile(again, [0.025, 0.975])
    assert found.high - found.low == pytest.approx(high - low, rel=0.2)
    assert agreement([("right", "right"), ("wrong", "wrong")]).kappa == 1.0
    assert agreement([("right", "wrong"), ("wrong", "right")]).kappa == -1.0
    assert agreement([("right", "right")] * 3).kappa is None
    assert agreement([("right", "right")]).agree is None
