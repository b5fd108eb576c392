"""What more data would help: only where the evidence says so."""

import numpy as np
import pytest

from inhouse.evaluation.learning import gap_closed, learning
from inhouse.types import Estimate, Example, Message
from inhouse.verdict import ArmAnswer, ArmResult, Percentiles, Question, Report, Subject, TrainingFacts

ZERO = Percentiles(p50=0, p95=0, p99=0)


class Directions:
    """An embedder of texts "TOPIC anything": one direction a topic."""

    name, dimensions, sides = "directions", 64, False

    def embed(self, texts, query=False):
        return np.eye(64, dtype=np.float32)[[int(t.split()[0]) % 64 for t in texts]]


def report(rows, examples=500, more=()):
    """A verdict of rows (topic, right by arm)."""
    arms = list(rows[0][1])
    table = tuple(
        Question(id=f"q{n}", messages=(Message(role="user", content=f"{topic} question {n}"),), reference="x", tags=(f"t{topic}",),
                 answers={a: ArmAnswer(text="x", scores={"accuracy": float(ok)}) for a, ok in right.items()})
        for n, (topic, right) in enumerate(rows)
    )  # fmt: skip

    def result(arm):
        mean = float(np.mean([right[arm] for _, right in rows]))
        accuracy = Estimate(mean=mean, low=mean - 0.1, high=mean + 0.1, n=len(rows))
        return ArmResult(metrics={"accuracy": accuracy}, latency_ms=ZERO, first_token_ms=ZERO, prompt_tokens=1, answer_tokens=1,
                         usd_per_1000=0, seconds=1, failed=0)  # fmt: skip

    training = (
        TrainingFacts(method="lora", examples=examples, steps=9) if any(a.startswith("tuned") for a in arms) else None
    )
    return Report(subject=Subject(project="b", base_model="m", training=training), questions=len(rows),
                  arms={a: result(a) for a in arms}, table=table)  # fmt: skip


def trained(counts):
    """Training examples: so many of each topic."""
    return [Example(id=f"{t}-{n}", messages=(Message(role="user", content=f"{t} example {n}"),), target="x")
            for t, count in counts.items() for n in range(count)]  # fmt: skip


def verdict(effect, seed=0, topics=12, each=15):
    """Topic t has t training examples near; `effect` is what each doubling changes in log-odds."""
    rng, rows = np.random.default_rng(seed), []
    for topic in range(topics):
        chance = 1 / (1 + np.exp(-(-1.5 + effect * np.log2(1 + topic))))
        for _ in range(each):
            rows.append(
                (topic, {"base": rng.random() < 0.1, "rag": rng.random() < 0.4, "tuned+rag": rng.random() < chance})
            )
    return report(rows), trained({t: t for t in range(topics)})


def told(made, training, others=()):
    topics = {q.id: q.tags[0] for q in made.table}
    return learning(made, others, training, topics, Directions())


def test_the_share_of_the_gap_has_an_interval_and_a_ceiling():
    rows = [(n % 5, {"base": n < 20, "rag": n < 60}) for n in range(100)]
    closed, oracle = gap_closed(report(rows), "rag")
    assert closed.mean == pytest.approx(0.5)
    assert 0.35 < closed.low < 0.5 < closed.high < 0.65
    assert not oracle
    rows = [(t, right | {"oracle": n < 80}) for n, (t, right) in enumerate(rows)]
    closed, oracle = gap_closed(report(rows), "rag")
    assert closed.mean == pytest.approx(40 / 60)
    assert oracle
    full = [(0, {"base": True, "rag": True})] * 30
    assert gap_closed(report(full), "rag")[0] is None, "base leaves no gap"


def test_an_effect_is_found_and_the_sparse_topics_are_named():
    made, training = verdict(effect=0.9)
    found = told(made, training)
    assert found.known
    assert [p.low for p in found.curve] == [0, 1, 3, 6, 11]
    assert found.curve[0].right.mean < found.curve[-1].right.mean
    assert found.needs[0].gain.low > 0
    assert found.needs[0].topic in ("t0", "t1", "t2", "t3")
    assert f"About {found.needs[0].examples} more examples of {found.needs[0].topic} would help most" in found.sentence


def test_no_effect_is_not_known():
    made, training = verdict(effect=0.0, seed=3)
    found = told(made, training)
    assert not found.known
    assert found.needs == ()
    assert (
        "not known: questions with more training examples near them are not clearly answered better" in found.sentence
    )
    assert found.curve, "the curve is shown all the same"


def test_without_a_tuned_arm_it_says_what_is_needed():
    found = told(report([(n % 5, {"base": False, "rag": n % 2 == 0}) for n in range(80)]), trained({0: 5}))
    assert not found.known
    assert "no arm of the verdict is fine-tuned" in found.sentence
    assert found.sentence.startswith("rag closes 50%")


def test_few_questions_and_an_empty_training_set_are_no_curve():
    made, training = verdict(effect=0.9, topics=3, each=5)
    assert "too few for a curve" in told(made, training).sentence
    assert "0 held-out questions" in told(made, []).sentence
    empty = Report(subject=Subject(project="b", base_model="m"), questions=0, arms={})
    assert not learning(empty, [], [], {}, Directions()).known


def test_trainings_of_other_sizes_on_the_same_questions_are_shown():
    rows = [(n % 5, {"base": False, "tuned": n % 3 == 0}) for n in range(80)]
    small, large, other = report(rows, 200), report(rows, 800), report(rows[:40], 400)
    found = told(large, trained({0: 5}), [small, other])
    assert [t.examples for t in found.sizes] == [200, 800], "the one with other questions is left out"
    assert told(large, trained({0: 5})).sizes == ()
