import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.evaluation.evaluate import Answer
from inhouse.guardrails.confidence.calibration import (
    PROMISES,
    calibration_error,
    fewest,
    fit,
    isotonic,
    promised,
    strictest,
    upper_bound,
)
from inhouse.guardrails.confidence.features import Signals, of
from inhouse.guardrails.confidence.rail import Watching
from inhouse.pipeline.calibrate import outcomes
from inhouse.types import Example, Message


def drawn(n, seed, sharp=3.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    p = 1 / (1 + np.exp(-(sharp * x[:, 0] + 1)))
    return x, rng.random(n) < p


def test_the_promise_holds_on_answers_that_were_not_fitted_on():
    broken = answered = 0
    for seed in range(60):
        x, y = drawn(300, seed)
        made = fit(x, y, 0.1)
        fresh, truth = drawn(4000, seed + 1000)
        kept = made.probability(fresh) >= made.threshold
        answered += kept.mean() / 60
        broken += kept.any() and 1 - truth[kept].mean() > 0.1
    assert broken <= 6  # with 95 % confidence: of 60 about 3
    assert answered > 0.2


def test_probabilities_are_calibrated_and_rise():
    x, y = drawn(600, 1)
    made = fit(x, y, 0.05)
    fresh, truth = drawn(6000, 2)
    assert calibration_error(made.probability(fresh), truth.astype(float)) < 0.05
    steps = isotonic(x[:, 0], y.astype(float))
    assert [p for _, p in steps] == sorted(p for _, p in steps)


def test_what_cannot_keep_the_promise_answers_nothing():
    rng = np.random.default_rng(0)
    made = fit(rng.normal(size=(200, 3)), rng.random(200) < 0.5, 0.05)
    assert made.threshold > 1
    assert made.answered == 0


def test_the_bound_is_clopper_and_pearsons():
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert upper_bound(2, 100) == pytest.approx(0.0616, abs=1e-4)
    assert upper_bound(5, 5) == 1.0
    assert promised(np.full(92, 0.9), np.ones(92), 0.05) > 1  # one answer too few to be sure
    assert promised(np.full(93, 0.9), np.ones(93), 0.05) == 0.9


def test_too_few_answers_are_refused():
    with pytest.raises(InputError, match="too few"):
        fit(np.zeros((10, 2)), [True] * 10, 0.05)


def test_other_promises_are_told_and_grow_with_what_may_be_wrong():
    made = fit(*drawn(600, 3), 0.1)
    assert [share for share, _, _ in made.others] == list(PROMISES)
    answered = [a for _, a, _ in made.others]
    assert answered == sorted(answered)
    assert (made.promise, made.answered, made.wrong) in made.others
    assert fewest(0.05) == 93


def test_what_a_stricter_check_of_facts_may_ask_for():
    rows, right = np.zeros((200, 18)), [True] * 100 + [False] * 100
    rows[:100, Signals.LEAST] = np.linspace(0.2, 1.0, 100)  # of the right ones
    least = strictest(rows, right, 0.05)
    assert sum(rows[:100, Signals.LEAST] <= least) <= 5
    assert sum(rows[:100, Signals.LEAST] <= least + 0.02) > 5
    rows[:50, Signals.SILENT] = 1  # these claim nothing, so nothing of them is lost
    assert strictest(rows, right, 0.05) > least
    assert strictest(rows[:10], right[:10], 0.05) == 0  # one of ten is more than one in twenty


def test_what_was_watched_outlives_an_interruption(tmp_path, turn):
    rows = iter([[1.0, 2.0], [3.0, 4.0]])
    file = tmp_path / "signals.jsonl"
    watching = Watching(lambda answer, turn: next(rows), file)
    first, second = turn("What does it cost?"), turn("And where?")
    assert watching.check("answer", "5", first) is None
    watching.check("answer", "here", second)
    file.write_text(file.read_text()[:-9])  # cut off in the middle of a line
    again = Watching(lambda answer, turn: [], file).rows()
    assert again == {of(first.request.messages): [1.0, 2.0]}


def test_replies_that_decline_or_never_reached_the_end_are_no_answers():
    asked = [
        Example(id=f"e{n}", messages=(Message(role="user", content=f"Question {n}?"),), target="") for n in range(4)
    ]
    answers = [
        Answer(id="e0", arm="rag", scores={"accuracy": 1.0}),
        Answer(id="e1", arm="rag", scores={"accuracy": 0.0}, declined=True),
        Answer(id="e2", arm="rag", scores={"accuracy": 0.4}),
        Answer(id="e3", arm="rag", scores={"accuracy": 1.0}),
    ]
    rows = {of(e.messages): [float(n)] for n, e in enumerate(asked[:3])}
    assert outcomes(asked, answers, rows) == ([[0.0], [2.0]], [True, False])
