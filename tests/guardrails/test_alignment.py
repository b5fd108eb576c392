"""The arithmetic of the groundedness network, on weights of our own."""

import numpy as np
import pytest

from inhouse.guardrails.groundedness.alignment import Alignment

WIDE, D, HIDDEN, LAST, FEATURES = 12, 4, 5, 3, 6
NO_FEATURES = (0.0,) * FEATURES


def weights(seed):
    rng = np.random.default_rng(seed)
    shapes = {
        "q": (D, WIDE), "v": (D, WIDE), "token.0": (HIDDEN, 4 * D + 2), "token.3": (HIDDEN, HIDDEN),
        "out.1": (LAST, 2 * HIDDEN + FEATURES), "out.4": (1, LAST),
    }  # fmt: skip
    tensors = {f"{k}.weight": 0.3 * rng.normal(size=s) for k, s in shapes.items()}
    tensors |= {f"{k}.bias": rng.normal(size=s[0]) for k, s in shapes.items()}
    tensors |= {"temp": np.array(3.0), "mean": rng.normal(size=FEATURES), "scale": rng.uniform(0.5, 2, size=FEATURES)}
    return {k: np.asarray(v, dtype=np.float16) for k, v in tensors.items()}


def probability(*members, premises, features=NO_FEATURES):
    classifier = Alignment({f"{n}.{k}": v for n, m in enumerate(members) for k, v in m.items()}, 0.5)
    rng = np.random.default_rng(1)
    statement = classifier.project(rng.normal(size=(7, WIDE)).astype(np.float16))
    return classifier.probability(statement, [classifier.project(p) for p in premises], features)


@pytest.fixture
def premises():
    rng = np.random.default_rng(2)
    return [rng.normal(size=(n, WIDE)).astype(np.float16) for n in (5, 9, 3)]


def test_networks_are_averaged_and_the_order_of_the_sources_does_not_matter(premises):
    one, other = weights(3), weights(4)
    alone = probability(one, premises=premises)
    assert 0 < alone < 1
    assert probability(one, one, premises=premises) == pytest.approx(alone)
    assert probability(one, premises=premises[::-1]) == pytest.approx(alone, rel=1e-5)

    def logit(p):
        return np.log(p / (1 - p))

    both = (logit(alone) + logit(probability(other, premises=premises))) / 2
    assert logit(probability(one, other, premises=premises)) == pytest.approx(both, rel=1e-4)


def test_an_empty_statement_is_supported_and_an_empty_source_supports_nothing(premises):
    classifier = Alignment({f"0.{k}": v for k, v in weights(3).items()}, 0.5)
    empty, full = classifier.project(np.zeros((2, WIDE), np.float16)), classifier.project(premises[0])
    assert classifier.probability(empty, [full], NO_FEATURES) == 0
    assert classifier.probability(full, [empty], NO_FEATURES) == 1
    assert classifier.probability(full, [], NO_FEATURES) == 1


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
    features = torch.arange(FEATURES).float()
    pooled = torch.cat([tokens.mean(0), tokens.amax(0), (features - t["mean"]) / t["scale"]])
    expected = linear("out.4", linear("out.1", pooled).relu()).sigmoid().item()
    assert probability(own, premises=premises, features=features.tolist()) == pytest.approx(expected, rel=1e-3)
