"""The network of the rail facts: its arithmetic on weights of our own, and the shipped one on sentences of our own."""

import gc
import time
import weakref

import numpy as np
import pytest

from inhouse.guardrails.groundedness.alignment import Alignment, shipped
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.features import signs_of
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.text import claims as wording
from inhouse.text.cache import CachedEmbedder
from inhouse.text.support import LexicalSupport

WIDE, D, HIDDEN, LAST, SIGNS = 12, 4, 5, 3, 6


def weights(seed):
    rng = np.random.default_rng(seed)
    shapes = {
        "q": (D, WIDE), "v": (D, WIDE), "token.0": (HIDDEN, 4 * D + 2), "token.3": (HIDDEN, HIDDEN),
        "out.1": (LAST, 2 * HIDDEN + SIGNS), "out.4": (1, LAST),
    }  # fmt: skip
    made = {f"{k}.weight": 0.3 * rng.normal(size=s) for k, s in shapes.items()}
    made |= {f"{k}.bias": rng.normal(size=s[0]) for k, s in shapes.items()}
    made |= {"temp": np.array(3.0), "mean": rng.normal(size=SIGNS), "scale": rng.uniform(0.5, 2, size=SIGNS)}
    return {k: np.asarray(v, dtype=np.float16) for k, v in made.items()}


def asked(*members, premises, signs=(0.0,) * SIGNS):
    classifier = Alignment({f"{n}.{k}": v for n, m in enumerate(members) for k, v in m.items()}, 0.5)
    rng = np.random.default_rng(1)
    statement = classifier.project(rng.normal(size=(7, WIDE)).astype(np.float16))
    return classifier.probability(statement, [classifier.project(p) for p in premises], signs)


@pytest.fixture
def premises():
    rng = np.random.default_rng(2)
    return [rng.normal(size=(n, WIDE)).astype(np.float16) for n in (5, 9, 3)]


def test_networks_are_averaged_and_the_order_of_the_sources_does_not_matter(premises):
    one, other = weights(3), weights(4)
    alone = asked(one, premises=premises)
    assert 0 < alone < 1
    assert asked(one, one, premises=premises) == pytest.approx(alone)
    assert asked(one, premises=premises[::-1]) == pytest.approx(alone, rel=1e-5)

    def logit(p):
        return np.log(p / (1 - p))

    both = (logit(alone) + logit(asked(other, premises=premises))) / 2
    assert logit(asked(one, other, premises=premises)) == pytest.approx(both, rel=1e-4)


def test_what_says_nothing_is_carried_and_carries_nothing(premises):
    classifier = Alignment({f"0.{k}": v for k, v in weights(3).items()}, 0.5)
    empty, full = classifier.project(np.zeros((2, WIDE), np.float16)), classifier.project(premises[0])
    assert classifier.probability(empty, [full], (0.0,) * SIGNS) == 0
    assert classifier.probability(full, [empty], (0.0,) * SIGNS) == 1
    assert classifier.probability(full, [], (0.0,) * SIGNS) == 1


def test_the_arithmetic_is_that_of_the_training(premises):
    """The same weights in a network of PyTorch's, built from its own layers."""
    torch = pytest.importorskip("torch")
    own = weights(5)
    t = {k: torch.tensor(v, dtype=torch.float32) for k, v in own.items()}

    def linear(name, x):
        return torch.nn.functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    statement = torch.tensor(np.random.default_rng(1).normal(size=(7, WIDE)).astype(np.float16)[1:-1]).float()
    there = torch.cat([torch.tensor(p[1:-1]).float() for p in premises])
    like = torch.nn.functional.cosine_similarity(linear("q", statement)[:, None], linear("q", there)[None], dim=-1)
    shares = (t["temp"] * like).softmax(-1)
    a, b = linear("v", statement), shares @ linear("v", there)
    rows = torch.cat([a, b, a * b, (a - b).abs(), like.amax(-1, keepdim=True), shares.amax(-1, keepdim=True)], -1)
    tokens = linear("token.3", linear("token.0", rows).relu()).relu()
    signs = torch.arange(SIGNS).float()
    pooled = torch.cat([tokens.mean(0), tokens.amax(0), (signs - t["mean"]) / t["scale"]])
    expected = linear("out.4", linear("out.1", pooled).relu()).sigmoid().item()
    assert asked(own, premises=premises, signs=signs.tolist()) == pytest.approx(expected, rel=1e-3)


INN = [
    "Kestrel Inn. Review 1. The pool was closed, but our room was quiet and the beds were soft. Wifi never dropped.",
    "Kestrel Inn. Does Kestrel Inn have a sauna?. Yes, there is a sauna on the roof. Kestrel Inn does not allow dogs.",
    "Heron House. Review 4. We could hear the trains all night. The waiters were charming.",
]  # fmt: skip


@pytest.fixture(scope="module")
def support(cached):
    rail, evidence = Groundedness(cached, shipped(), LexicalSupport("", cached)), Evidence(INN, cached)
    return lambda statement: rail.support(statement, evidence)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Kestrel Inn has a sauna on the roof.", "Kestrel Inn does not have a sauna on the roof."),
        ("Kestrel Inn does not allow dogs.", "Kestrel Inn allows dogs."),
        ("The rooms at Kestrel Inn are quiet.", "The rooms at Kestrel Inn are noisy."),
        ("Guests say that the wifi was reliable.", "Guests say that the breakfast was reliable."),
        ("The beds at Kestrel Inn were soft.", "The beds at Kestrel Inn were broken."),
    ],
)  # fmt: skip
def test_paraphrases_stand_and_their_opposites_do_not(support, right, wrong):
    assert support(right) > support(wrong)


def test_what_joins_two_things_is_carried_as_well_as_the_worse_of_them(support):
    quiet, dogs = "The room at Kestrel Inn was quiet", "Kestrel Inn does not allow dogs"
    assert support(f"{quiet}, and {dogs}.") >= min(support(quiet), support(dogs))
    assert support(f"{quiet}, and it has a helicopter pad on the lawn.") < min(support(quiet), support(dogs))


def test_it_reads_sentences_that_say_something_and_not_titles_or_questions(cached):
    evidence = Evidence(INN, cached)
    nearest = evidence.premises("Kestrel Inn is quiet.")
    assert nearest[0] == "The pool was closed, but our room was quiet and the beds were soft."
    assert "Kestrel Inn." in nearest[1:]
    assert len(set(evidence.premises("Kestrel Inn is quiet."))) == len(evidence.premises("Kestrel Inn is quiet."))
    assert evidence.nearest("The waiters at Heron House are charming.")[0] == 2
    assert all(np.isfinite(signs_of("Kestrel Inn is quiet.", evidence)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You need a score of at least 655.", {"655": "least"}),
        ("Nobody may borrow more than $28,000 here.", {"28000": "most"}),
        ("The stay must be no less than 3 nights.", {"3": "least"}),
        ("A group of 12 people or more pays less.", {"12": "least"}),
        ("Repairs take between 3 and 5 days.", {"3": "least", "5": "most"}),
        ("You can borrow up to $900 over 12 to 66 months.", {"900": "most", "12": "least", "66": "most"}),
        ("Parking is $16 and breakfast $7.", {}),
    ],
)
def test_a_number_is_known_as_the_least_or_the_most(text, expected):
    assert wording.bounds(text) == {value: frozenset({side}) for value, side in expected.items()}


def test_bounds_of_a_hostile_sentence_take_no_time():
    for text in ("between " * 3000 + "1 " * 3000, "between " + "1" * 9000, "between 1 and " * 2000):
        started = time.process_time()
        wording.bounds(text)
        assert time.process_time() - started < 2


def test_signs_tell_a_bound_turned_round_and_a_price_that_is_another_ones(cached):
    evidence = Evidence(["Loans. You need a score of at least 655. A copy costs $8, a seal costs $21."], cached)

    def last(statement):
        _, denied, _, clause, turned, same = signs_of(statement, evidence)[-10:-4]
        return [bool(denied), clause > 0, bool(turned), bool(same)]

    assert last("You need a score of at least 655.") == [False, False, False, True]
    assert last("You need a score of at most 655.") == [False, False, True, False]
    assert last("A seal costs $21.") == [False, False, False, False]
    assert last("A seal does not cost $21.") == [True, False, False, False]
    assert last("A seal costs $8.") == [False, True, False, False]


def test_evidence_goes_with_its_turn(cached):
    evidence = Evidence(INN, cached)
    evidence.only(0).premises("Kestrel Inn is quiet.")
    held = weakref.ref(evidence)
    gc.disable()
    try:
        del evidence
        assert held() is None
    finally:
        gc.enable()


class Counting:
    """The embedder, with the texts that it was asked for."""

    def __init__(self, embedder):
        self._embedder = embedder
        self.name, self.dimensions, self.asked = embedder.name, embedder.dimensions, []

    def embed(self, texts):
        self.asked += texts
        return self._embedder.embed(texts)

    def read(self, texts):
        self.asked += texts
        return self._embedder.read(texts)


def test_what_was_read_is_kept_and_makes_room_for_new_texts(embedder):
    counting = Counting(embedder)
    memory = CachedEmbedder(counting, most=3, most_read=2)
    first = memory.read(["A wire costs $25.", "It is quick."])
    assert memory.embed(["It is quick."])[0] == pytest.approx(first[1][0])
    again = memory.read(["It is quick.", "A wire costs $25."])
    assert counting.asked == ["A wire costs $25.", "It is quick."]
    assert (again[1][1] == first[0][1]).all()
    fresh = embedder.read(["A wire costs $25."])[0]
    assert first[0][1] == pytest.approx(fresh[1], abs=0.01)
    memory.read(["A loan."])  # what was not asked for longest goes: "It is quick."
    memory.read(["A wire costs $25.", "A loan."])
    memory.embed(["It is quick."])  # its vector is kept still
    assert counting.asked[2:] == ["A loan."]
    memory.read(["It is quick."])
    assert counting.asked[3:] == ["It is quick."]


def test_more_texts_than_are_kept_are_embedded_all_the_same(embedder):
    memory = CachedEmbedder(Counting(embedder), most=2, most_read=1)
    texts = ["A wire costs $25.", "It is quick.", "A loan.", "It is quick."]
    assert memory.embed(texts) == pytest.approx(embedder.embed(texts))
    assert np.stack([v for v, _ in memory.read(texts)]) == pytest.approx(embedder.embed(texts))
    assert memory.embed([]).shape == (0, embedder.dimensions)
