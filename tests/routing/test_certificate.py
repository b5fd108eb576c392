"""Certificates of cascades: exact figures, bounds against brute force, and validity over many draws of questions."""

import itertools
import json
import math

import numpy as np
import pytest

from inhouse import bounds
from inhouse.certificate import FILE, NEVER, CascadeReport, Certificate
from inhouse.errors import InputError
from inhouse.routing import certificate as c


def drawn(n, rng, slope=2.0, small=0.7, top=0.85, person=False, rungs=2):
    """Answers whose scores are calibrated probabilities, so that true risks are known by drawing many."""
    columns = []
    for k in range(rungs - 1):
        ease = rng.beta(slope * (small + 0.08 * k), slope * (1 - small - 0.08 * k), n)
        columns.append((np.round(ease, 3), (rng.random(n) < ease).astype(float)))
    last = np.ones(n) if person else (rng.random(n) < top).astype(float)
    scores, right = np.stack([s for s, _ in columns], 1), np.stack([*(r for _, r in columns), last], 1)
    return c.Answers(scores, right, np.array([1.0, 4.0, 20.0][-rungs:]), person)


def halves(n):
    return np.arange(n // 2), np.arange(n // 2, n)


# --- bounds -----------------------------------------------------------------------------------------------------


def test_labels_needed_are_the_known_figures():
    assert [bounds.labels_needed(0.05, k) for k in range(3)] == [59, 93, 124]
    assert bounds.labels_needed(0.1) == 29
    assert [bounds.labels_at_rate(0.05, r) for r in (0, 0.02, 0.03)] == [59, 124, 311]
    assert [bounds.labels_at_rate(0.1, r) for r in (0.05, 0.07)] == [89, 263]
    with pytest.raises(ValueError, match="no number of labels"):
        bounds.labels_at_rate(0.05, 0.05)


@pytest.mark.parametrize(("wrong", "n", "bound"), [(0, 59, 1 - 0.05 ** (1 / 59)), (2, 100, 0.0616), (5, 5, 1.0)])
def test_the_bound_is_that_of_clopper_and_pearson(wrong, n, bound):
    assert bounds.binomial_upper(wrong, n) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(("wrong", "n"), [(0, 59), (3, 40), (17, 200)])
def test_the_binomial_bound_is_where_the_test_just_passes(wrong, n):
    upper = bounds.binomial_upper(wrong, n)
    assert bounds.binomial_p(wrong, n, upper) == pytest.approx(0.05)
    terms = [math.comb(n, k) * upper**k * (1 - upper) ** (n - k) for k in range(wrong + 1)] if n < 60 else [0.05]
    assert sum(terms) == pytest.approx(0.05)
    low, high = bounds.binomial_interval(wrong, n, 0.9)
    assert high == pytest.approx(upper)
    assert low <= wrong / n <= high


def brute(won, lost, n, target, most):
    """The largest probability of so small a loss over shares of differences up to `most`, by adding up all counts."""
    largest = 0.0
    for share in np.linspace(target, most, 400):
        up, down = (share + target) / 2, (share - target) / 2
        probability = {0: 1.0}
        for _ in range(n):
            after = {}
            for total, p in probability.items():
                for step, q in ((1, up), (-1, down), (0, 1 - share)):
                    after[total + step] = after.get(total + step, 0) + p * q
            probability = after
        largest = max(largest, sum(p for total, p in probability.items() if total <= lost - won))
    return largest


@pytest.mark.parametrize(("won", "lost", "n", "target"), [(0, 0, 30, 0.1), (2, 1, 25, 0.1), (4, 3, 30, 0.2)])
def test_the_paired_test_is_that_of_brute_force(won, lost, n, target):
    most = bounds.binomial_upper(won + lost, n, 1 - 0.005)
    expected = brute(won, lost, n, target, most) + 0.005
    assert bounds.paired_p(won, lost, n, target) == pytest.approx(min(expected, 1), abs=2e-4)


def test_the_paired_bound_is_where_the_test_passes_and_tighter_than_betting():
    upper = bounds.paired_upper(50, 150, 4700)
    assert bounds.paired_p(50, 150, 4700, upper) <= 0.05 < bounds.paired_p(50, 150, 4700, upper - 2e-4)
    values = np.repeat([-1.0, 1.0, 0.0], [50, 150, 4500])
    assert 100 / 4700 < upper < bounds.mean_upper(values, 0.95, -1, 1) < 0.04


@pytest.mark.parametrize("order", [1, -1])
def test_betting_does_not_depend_on_the_order_and_falls_with_the_target(order):
    values = np.random.default_rng(1).beta(2, 8, 100)[::order]
    p = [bounds.mean_p(values, t) for t in np.linspace(0.15, 0.9, 30)]
    assert p == sorted(p, reverse=True)
    upper = bounds.mean_upper(values)
    assert values.mean() < upper < values.mean() + 0.1
    assert upper == bounds.mean_upper(np.sort(values))


def test_bounds_hold_at_their_level():
    """Each misses the truth in at most 5 % of draws: of 400, at most 33 are seen with probability .998."""
    rng = np.random.default_rng(5)
    chance = np.array([0.06, 0.14, 0.8])
    paired, graded = 0, 0
    for _ in range(400):
        won, lost, _ = rng.multinomial(120, chance)
        paired += bounds.paired_p(won, lost, 120, 0.08) <= 0.05
        graded += bounds.mean_p(rng.beta(0.5, 4.5, 120), 0.1) <= 0.05
    assert paired <= 33
    assert graded <= 33
    assert paired >= 5  # it is not far too wide either


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
        bounds.mean_p(np.array([0.2, 1.2]), 0.5)
    assert bounds.mean_p(np.array([]), 0.5) == 1


# --- fitting ----------------------------------------------------------------------------------------------------


def test_the_sequence_stops_at_the_first_failure():
    asked = []

    def values():
        for p in (0.001, 0.04, 0.051, 0.0):
            asked.append(p)
            yield p

    assert c.fixed_sequence(values(), 0.05) == 1
    assert asked == [0.001, 0.04, 0.051]
    assert c.fixed_sequence([0.9, 0.0], 0.05) == -1
    assert c.fixed_sequence([], 0.05) == -1


@pytest.mark.parametrize(("person", "risks"), [(True, {"wrong": 0.1}), (False, {"loss": 0.05})])
def test_certified_thresholds_break_their_target_in_few_draws_and_plain_ones_in_many(person, risks):
    rng = np.random.default_rng(11)
    world = drawn(40_000, rng, person=person)
    broken, plain, passed, runs = 0, 0, 0, 60
    for _ in range(runs):
        some = world.take(rng.choice(40_000, 600, replace=False))
        fitted = c.fit(some, *halves(600), risks)
        passed += fitted.passed
        ((risk, target),) = risks.items()
        values, _ = c.test_of(world, fitted.thresholds, risk)
        broken += bool(len(values)) and values.mean() > target
        values, _ = c.test_of(world, fitted.plain.thresholds, risk)
        plain += values.mean() > target
    assert broken <= 8  # at most 5 % expected; more than 8 of 60 has probability .003
    assert plain >= 18
    assert passed >= 40


def test_both_risks_hold_together_on_three_rungs():
    rng = np.random.default_rng(3)
    some = drawn(3000, rng, rungs=3, slope=0.6)
    fitted = c.fit(some, *halves(3000), {"wrong": 0.18, "loss": 0.03}, digests={"model": "a"})
    assert [r.risk for r in fitted.certificates] == ["wrong", "loss"]
    assert fitted.passed
    for r in fitted.certificates:
        assert r.passed
        assert r.observed <= r.bound <= r.target + bounds.EXACTNESS
        assert r.thresholds == fitted.thresholds
        assert (r.n, r.method) == (1500, c.BINOMIAL if r.risk == "wrong" else c.PAIRED)
    assert fitted.certified.usd < fitted.top.usd
    assert fitted.top.usd == 20


def test_thresholds_do_not_depend_on_the_certificate_split_but_for_where_they_stop():
    rng = np.random.default_rng(8)
    some = drawn(1200, rng)
    rows = halves(1200)
    fitted = c.fit(some, *rows, {"loss": 0.05})
    found = c.estimate(some.take(rows[0]), c.candidates(some.scores[rows[0]]), {"loss": 0.05})
    tried = [tuple(row) for row in c.path(found, some, {"loss": 0.05})]
    assert fitted.thresholds in tried
    worse = some.right.copy()
    worse[rows[1], 0] = 0
    stricter = c.fit(some._replace(right=worse), *rows, {"loss": 0.05}).thresholds
    assert tried.index(stricter) < tried.index(fitted.thresholds)


def test_what_cannot_be_certified_always_asks_the_top_rung():
    rng = np.random.default_rng(2)
    some = drawn(60, rng)
    fitted = c.fit(some, *halves(60), {"loss": 0.02})
    assert fitted.thresholds == (NEVER,)
    assert not fitted.passed
    assert fitted.certificates[0].bound > 0.02
    assert c.recommendation(fitted, rungs(some, fitted)).startswith("Do not cascade: no thresholds are certified")


def test_without_scores_the_reason_is_that_there_are_none():
    some = drawn(60, np.random.default_rng(2))._replace(person=True)
    some = some._replace(scores=np.zeros_like(some.scores))
    some.right[:, -1] = 1
    fitted = c.fit(some, *halves(60), {"wrong": 0.1, "loss": 0.2})
    said = c.recommendation(fitted, rungs(some, fitted))
    assert said.startswith("Do not cascade: no answer of a model has a score, so every question goes to big")


def test_graded_answers_are_certified_by_betting():
    rng = np.random.default_rng(4)
    some = drawn(3000, rng)
    graded = some._replace(right=some.right * 0.5 + 0.25)
    fitted = c.fit(graded, *halves(3000), {"loss": 0.06})
    assert fitted.certificates[0].method == c.BETTING
    assert fitted.passed
    assert c.fit(some, *halves(3000), {"loss": 0.06}).certificates[0].method == c.PAIRED


def test_equal_scores_are_answered_together():
    scores = np.repeat([[0.9], [0.9], [0.2]], 300, axis=0)
    right = np.stack([np.repeat([1.0, 1.0, 0.0], 300), np.ones(900)], 1)
    some = c.Answers(scores, right, np.array([1.0, 10.0]), True)
    rows = np.random.default_rng(0).permutation(900)
    fitted = c.fit(some, rows[:450], rows[450:], {"wrong": 0.05})
    assert fitted.thresholds == (0.9,)
    assert 0.25 < fitted.certified.share_up < 0.42


# --- what is possible -------------------------------------------------------------------------------------------


def test_the_smallest_share_that_goes_up():
    assert c.smallest_share_up(0.2, 0.05) == pytest.approx(0.15 / 0.95)
    assert c.smallest_share_up(0.2, 0.05, of_answered=False) == pytest.approx(0.15)
    assert c.smallest_share_up(0.04, 0.05) == 0


@pytest.mark.parametrize(
    ("person", "risk", "target"), [(True, "wrong", 0.05), (False, "wrong", 0.18), (False, "loss", 0.02)]
)
def test_no_thresholds_do_better_than_the_feasibility_line(person, risk, target):
    """On 12 draws of each, with scores from useless to perfect, and one or two rungs below the top."""
    rng = np.random.default_rng(6)
    met = 0
    for _, rungs in itertools.product(range(6), (2, 3)):
        some = drawn(400, rng, slope=rng.choice([0.1, 0.5, 3.0]), small=0.72, person=person, rungs=rungs)
        if rng.random() < 0.3:
            some = some._replace(scores=some.right[:, :-1])  # who knows what is right
        line = c.feasibility(some, {risk: target}, 0.05)[0]
        found = c.estimate(some, c.candidates(some.scores), {risk: target})
        up = (c.rung_of(some.scores, found.thresholds[found.meets]) == rungs - 1).mean(1)
        met += len(up)
        assert (up >= line.smallest_share_up - 1e-9).all()
    assert met > 100


def test_feasibility_says_what_a_target_takes():
    rng = np.random.default_rng(6)
    some = drawn(100, rng, person=True)
    line = c.feasibility(some, {"wrong": 0.05, "loss": 0.02}, 0.05, labels=50)
    assert line[0].labels_needed == ((0, 59), (1, 93), (2, 124), (5, 208))
    assert line[1].labels_needed[0] == (0, 203)
    assert "there are 50, too few" in line[0].sentence
    assert line[0].smallest_share_up == pytest.approx((line[0].error - 0.05) / 0.95)


# --- values, words, refusals --------------------------------------------------------------------------------------


def rungs(answers, fitted):
    names = ["small", "middle", "big"][-answers.right.shape[1] :]
    return c.rung_results(answers, fitted.thresholds, names, ["model"] * len(names), np.full(answers.right.shape, 50.0))


@pytest.mark.parametrize(
    ("usd", "words"),
    [([1.0, 20.0], "Cascade: it saves"), ([19.9, 20.0], "does not exceed its price of 99.5% of big's"),
     ([0.0, 0.0], "are answered without big")],
)  # fmt: skip
def test_the_recommendation_gives_its_reason(usd, words):
    some = drawn(2000, np.random.default_rng(9), slope=0.5)._replace(usd=np.array(usd))
    fitted = c.fit(some, *halves(2000), {"loss": 0.05})
    assert words in c.recommendation(fitted, rungs(some, fitted))


def test_a_report_is_read_as_it_was_written(tmp_path):
    some = drawn(800, np.random.default_rng(9))
    fitted = c.fit(some, *halves(800), {"loss": 0.08}, digests={"model": "a", "index": "b"})
    report = CascadeReport(
        rungs=rungs(some, fitted), certificates=fitted.certificates, curve=fitted.curve, certified=fitted.certified,
        plain=fitted.plain, top=fitted.top, feasibility=c.feasibility(some, {"loss": 0.08}, 0.05, 400),
    )  # fmt: skip
    report.write(tmp_path)
    assert CascadeReport.read(tmp_path) == report
    assert report.thresholds == fitted.thresholds
    assert sum(r.share for r in report.rungs) == pytest.approx(1)
    assert (report.rungs[0].p50_ms, report.rungs[0].first_token_ms) == (50, None)
    never = report.model_copy(update={"certified": None})
    assert never.thresholds == (NEVER,)
    (tmp_path / FILE).write_text(json.dumps({"version": "2.0"}))
    with pytest.raises(InputError, match="too new"):
        CascadeReport.read(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        CascadeReport.read(tmp_path / "none")


def test_a_certificate_is_void_when_anything_changed():
    own = Certificate(risk="wrong", target=0.05, delta=0.05, n=59, observed=0, bound=0.05, method="", thresholds=(0.5,),
                      passed=True, digests={"model": "a", "index": "b"})  # fmt: skip
    assert own.void({"index": "b", "model": "a"}) == ""
    assert own.void({"index": "c", "model": "a"}) == "index"
    assert own.void({"model": "x"}) == "index, model"
    assert own.void({"model": "a", "index": "b", "prompt": "p"}) == "prompt"


def test_splits_keep_groups_together_and_do_not_depend_on_other_rows():
    groups = [f"g{n // 3}" for n in range(600)]
    selection, rest = c.split(groups, 0.4)
    assert sorted([*selection, *rest]) == list(range(600))
    assert not {groups[n] for n in selection} & {groups[n] for n in rest}
    assert 0.3 < len(selection) / 600 < 0.5
    fewer, _ = c.split(groups[:90], 0.4)
    assert list(fewer) == [n for n in selection if n < 90]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": np.full((4, 1), np.nan)}, "score [0, 0] of a cascade is nan"),
        ({"scores": np.zeros((3, 1))}, "do not fit together"),
        ({"right": np.full((4, 2), 1.5)}, "right [0, 0]"),
        ({"usd": np.array([1.0, -1.0])}, "usd [1]"),
        ({"person": True, "right": np.zeros((4, 2))}, "the top rung is a person"),
    ],
)
def test_bad_answers_are_refused(change, words):
    good = c.Answers(np.zeros((4, 1)), np.ones((4, 2)), np.array([1.0, 2.0]))
    with pytest.raises(InputError) as refused:
        c.fit(good._replace(**change), *halves(4), {"loss": 0.1})
    assert words in str(refused.value)


def test_bad_targets_and_splits_are_refused():
    good = c.Answers(np.zeros((4, 1)), np.ones((4, 2)), np.array([1.0, 2.0]))
    for rows, risks, delta, words in (
        (halves(4), {}, 0.05, "needs a risk"), (halves(4), {"loss": 0}, 0.05, "target of the risk 'loss' is 0"),
        (halves(4), {"loss": 0.1}, 1.0, "delta is 1"), (([0, 1], [1, 2]), {"loss": 0.1}, 0.05, "none in both"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            c.fit(good, *map(np.array, rows), risks, delta)


def test_a_rung_that_gave_no_answer_is_never_taken():
    scores = np.array([[0.0], [0.0], [0.6], [0.9]])
    assert (c.candidates(scores) > 0).all()
    assert c.candidates(np.zeros((4, 1))).tolist() == [[NEVER]]


def test_rungs_that_never_answer_are_no_cascade():
    none = c.Answers(np.zeros((40, 1)), np.ones((40, 2)), np.array([1.0, 4.0]), True)
    fitted = c.fit(none, *halves(40), {"wrong": 0.5, "loss": 0.5})
    assert not fitted.passed
    assert fitted.thresholds == (NEVER,)
