"""Trains the guardrails' classifiers on three quarters of the public sets, into src/inhouse/guardrails/weights.

    python -m guardrail_training.train_classifiers [--data ../shared/data] [injection planted toxicity names]

Logistic regression with an L2 penalty, by L-BFGS; for orders in passages networks with one hidden layer. Thresholds
come from predictions on folds left out of the training (5 of them), at a share of false alarms that is given below; the
held quarter (`data.held`) is never looked at.
The head of the rail facts is `train_groundedness.py`'s.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from guardrail_training import data as sets
from guardrail_training import injections
from inhouse.guardrails import toxicity
from inhouse.guardrails.classifier import FOLDER, Classifier, windows
from inhouse.guardrails.injection import rails as injection
from inhouse.privacy import tagger as names

FOLDS = 5
MEMBERS, HIDDEN, DROPPED = 3, 32, 0.3  # of the networks
RATE, DECAY, BATCH, EPOCHS = 1e-3, 0.05, 256, 8
ROUNDS = 3  # in which the windows of a jailbreak that count are chosen anew


def fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float | np.ndarray) -> Classifier:
    """Weighted logistic regression; `penalty` by column or for all."""
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = (x - mean) / scale
    weights = weights / weights.sum()

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = z @ w[:-1] + w[-1]
        p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        error = weights * (p - y)
        value = weights @ (np.logaddexp(0, logits) - y * logits) + 0.5 * (penalty * w[:-1] ** 2).sum()
        return value, np.append(z.T @ error + penalty * w[:-1], error.sum())

    best = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    tensors = {"mean": mean, "scale": scale, "weight": best[:-1], "bias": best[-1:]}
    return Classifier({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in tensors.items()}, 0.5)


def save(classifier: Classifier, name: str, threshold: float) -> None:
    from safetensors.numpy import save_file

    tensors = {"mean": classifier._mean, "scale": classifier._scale, "weight": classifier._weight,
               "hidden": classifier._hidden,
               "hidden_bias": classifier._hidden_bias, "bias": np.array([classifier._bias], np.float32)}  # fmt: skip
    tensors = {key: value for key, value in tensors.items() if value is not None}
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.safetensors"
    save_file(tensors, file, metadata={"threshold": f"{threshold:.4f}"})
    file.chmod(0o644)
    print(f"{name}: {len(classifier._mean)} features, threshold {threshold:.3f}")


def network(x: np.ndarray, y: np.ndarray) -> Classifier:
    """The mean of MEMBERS networks with a hidden layer each, as one; both classes weigh the same."""
    import torch
    from torch.nn import Dropout, Linear, ReLU, Sequential, functional

    torch.manual_seed(7)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-2)
    rows, truth = torch.from_numpy((x - mean) / scale).float(), torch.from_numpy(y).float()
    weight = torch.where(truth > 0, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    members = []
    for _ in range(MEMBERS):
        member = Sequential(
            Dropout(DROPPED), Linear(rows.shape[1], HIDDEN), ReLU(), Dropout(DROPPED), Linear(HIDDEN, 1)
        )
        adam = torch.optim.AdamW(member.parameters(), RATE, weight_decay=DECAY)
        for _ in range(EPOCHS):
            for at in torch.randperm(len(rows)).split(BATCH):
                loss = functional.binary_cross_entropy_with_logits(member(rows[at])[:, 0], truth[at], weight[at])
                adam.zero_grad()
                loss.backward()
                adam.step()
        members.append((member[1], member[4]))
    tensors = {
        "mean": mean, "scale": scale, "hidden": torch.cat([a.weight for a, _ in members]),
        "hidden_bias": torch.cat([a.bias for a, _ in members]),
        "weight": torch.cat([b.weight[0] for _, b in members]) / MEMBERS,
        "bias": torch.stack([b.bias for _, b in members]).mean(0),
    }  # fmt: skip
    arrays = {k: np.ascontiguousarray(torch.as_tensor(v).detach().numpy(), np.float32) for k, v in tensors.items()}
    return Classifier(arrays, 0.5)


def columns(wide: int, own: int, penalty: float, lighter: float = 0.1) -> np.ndarray:
    """Penalties: embeddings in full, hand-made features less."""
    return np.concatenate([np.full(wide, penalty), np.full(own, penalty * lighter)])


def highest(bags: Sequence[np.ndarray], classifier: Classifier) -> np.ndarray:
    return np.array([classifier.probability(b).max() if len(b) else 0.0 for b in bags])


def bagged(positive: Sequence[np.ndarray], negative: Sequence[np.ndarray], weights: np.ndarray, penalty) -> Classifier:
    """A head whose highest row decides a bag: of the positive bags the rows that count are chosen anew each round.

    Args:
        weights: of each negative bag.
    """
    chosen = [np.arange(len(b)) for b in positive]
    low = np.concatenate(negative)
    low_weights = np.concatenate([np.full(len(b), w) for b, w in zip(negative, weights, strict=True)])
    classifier = None
    for _ in range(ROUNDS):
        high = np.concatenate([b[c] for b, c in zip(positive, chosen, strict=True)])
        high_weights = np.concatenate([np.full(len(c), 1 / len(c)) for c in chosen])
        high_weights *= low_weights.sum() / high_weights.sum()
        x, y = np.concatenate([high, low]), np.concatenate([np.ones(len(high)), np.zeros(len(low))])
        classifier = fit(x, y, np.concatenate([high_weights, low_weights]), penalty)
        for n, bag in enumerate(positive):
            p = classifier.probability(bag)
            chosen[n] = np.flatnonzero(p >= max(0.5 * p.max(), np.sort(p)[-3:].min()))
    return classifier


def folded(positive: list, negative: list, weights: np.ndarray, train: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Scores of every bag by a head that was trained without it."""
    rng = np.random.default_rng(7)
    at, other = rng.integers(0, FOLDS, len(positive)), rng.integers(0, FOLDS, len(negative))
    high, low = np.zeros(len(positive)), np.zeros(len(negative))
    for f in range(FOLDS):
        classifier = train([b for b, k in zip(positive, at, strict=True) if k != f],
                     [b for b, k in zip(negative, other, strict=True) if k != f], weights[other != f])  # fmt: skip
        high[at == f] = highest([b for b, k in zip(positive, at, strict=True) if k == f], classifier)
        low[other == f] = highest([b for b, k in zip(negative, other, strict=True) if k == f], classifier)
    return high, low


def train_injection(embedder: sets.Kept, data: Path) -> None:
    jail = [*sets.jailbreaks(embedder, data)[0], *sets.short_attempts("train")]
    alike = [*sets.lookalikes(data)[0], *sets.HARMLESS["train"]]
    chat = [t for texts in sets.business(data)[0].values() for t in texts]
    other = sets.requests(data)[0]
    prose = sets.prose(data)
    negative = [*chat, *other, *alike, *prose]
    weights = np.concatenate(
        [np.full(len(chat), 1.0), np.full(len(other), 0.5), np.full(len(alike), 12.0), np.full(len(prose), 0.5)]
    )
    embedder.embed([w for t in (*jail, *negative) for w in windows(t) or [t]])  # at once, which is much faster
    bags = [injection.rows(windows(t) or [t], embedder) for t in (*jail, *negative)]
    positive, low = bags[: len(jail)], bags[len(jail) :]
    penalty = columns(embedder.dimensions, positive[0].shape[1] - embedder.dimensions, PENALTY)

    def train(p, n, w):
        return bagged(p, n, w, penalty)

    high, scored = folded(positive, low, weights, train)
    chat_scores, alike_scores = scored[: len(chat)], scored[len(chat) + len(other) :][: len(alike)]
    threshold = max(np.quantile(chat_scores, 0.995), np.quantile(alike_scores, 0.93))
    print(f"  folds: recall {(high >= threshold).mean():.3f}, chat {(chat_scores >= threshold).mean():.4f}, "
          f"look-alikes {(alike_scores >= threshold).mean():.3f}")  # fmt: skip
    save(train(positive, low, weights), "jailbreak", float(threshold))


PENALTY = 1e-4
PLANTED_FALSE = 0.01  # of clean pieces


def train_planted(embedder: sets.Kept, data: Path) -> None:
    clean = [t for texts in sets.passages(data)[0].values() for t in texts]
    random.Random(7).shuffle(clean)
    asked = [a[0].upper() + a[1:] for a in sets.requests(data)[0][:400]]
    orders, written = sets.attacks(data)[0], injections.orders()
    dirty = sets.poisoned(clean, orders, 1) + sets.poisoned(clean[: len(clean) * 2 // 5], asked, 2)
    dirty += sets.poisoned(clean, written, 3)
    added = {beginning(s) for a in (*orders, *asked, *written) for s in injection.sentences(a)}
    embedder.embed([s for t in (*dirty, *clean) for s in injection.sentences(t)])
    positive, low = [], []
    for text in dirty:  # only the sentences put in are positive rows: where they stand is known
        found = injection.sentences(text)
        hit = [n for n, s in enumerate(found) if beginning(s) in added]
        if hit:
            positive.append(injection.passage_rows(found, embedder)[hit])
    for text in clean:
        if found := injection.sentences(text):
            low.append(injection.passage_rows(found, embedder))
    weights = np.ones(len(low))

    def train(p: list, n: list, _: np.ndarray) -> Classifier:
        high, rest = np.concatenate(p), np.concatenate(n)
        return network(np.concatenate([high, rest]), np.repeat([1.0, 0.0], [len(high), len(rest)]))

    high, scored = folded(positive, low, weights, train)
    threshold = float(np.quantile(scored, 1 - PLANTED_FALSE))
    print(f"  {len(positive)} orders in {len(clean)} pieces; folds: recall {(high >= threshold).mean():.3f}")
    save(train(positive, low, weights), "indirect", threshold)


def beginning(sentence: str) -> str:
    return sentence.rstrip(". ")[:60]


def train_toxicity(embedder: sets.Kept, data: Path) -> None:
    rows = sets.toxicity(data)[0]
    chat = [t for texts in sets.business(data)[0].values() for t in texts[:500]]
    embedder.embed([w for t in (*(t for t, _ in rows), *chat) for w in toxicity.pieces(t)])
    positive = [toxicity.rows(toxicity.pieces(t), embedder) for t, toxic in rows if toxic]
    low = [toxicity.rows(toxicity.pieces(t), embedder) for t in (*(t for t, toxic in rows if not toxic), *chat)]
    weights = np.concatenate([np.full(len(low) - len(chat), 1.0), np.full(len(chat), 0.3)])
    penalty = columns(embedder.dimensions, positive[0].shape[1] - embedder.dimensions, 3 * PENALTY)

    def train(p, n, w):
        return bagged(p, n, w, penalty)

    high, scored = folded(positive, low, weights, train)
    clean, talk = scored[: len(low) - len(chat)], scored[len(low) - len(chat) :]
    threshold = float(max(np.quantile(talk, 0.997), np.quantile(clean, 0.93)))
    print(
        f"  folds: recall {(high >= threshold).mean():.3f}, clean {(clean >= threshold).mean():.3f}, "
        f"chat {(talk >= threshold).mean():.4f}"
    )
    save(train(positive, low, weights), "toxicity", threshold)


def auroc(high: np.ndarray, low: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


KINDS = {"PERSON": 1, "GPE": 2, "STREET_ADDRESS": 3, "ZIP_CODE": 3, "ORGANIZATION": 4}


def train_names(embedder: sets.Kept, data: Path) -> None:
    """Softmax over hashed signs: the sentences as they are and in lower case, and bank questions, which name nobody."""
    import spacy
    from scipy.sparse import csr_matrix

    from inhouse.models.catalog import Catalog
    from inhouse.privacy.recognizers import UNUSED

    nlp = spacy.load(Catalog().find("en-core-web-sm", sets.HERE), exclude=UNUSED)
    rows = [(r["text"], r["spans"]) for r in sets.personal(data)[0]]
    rows += [(t.lower(), s) for t, s in random.Random(5).sample(rows, len(rows) // 3) if len(t.lower()) == len(t)]
    rows += [(t, []) for t in sets.business(data)[0]["bank"][:700]]
    at, columns_, y = [0], [], []
    for (text, spans), doc in zip(rows, nlp.pipe(t for t, _ in rows), strict=True):
        words, signs = names.signs(text, [(e.start_char, e.end_char, e.label_) for e in doc.ents])
        for (_, start, end), own in zip(words, signs, strict=True):
            columns_ += own
            at.append(len(columns_))
            y.append(next((KINDS[k] for a, b, k in spans if a < end and start < b and k in KINDS), 0))
    n, k = len(y), len(names.CLASSES)
    x = csr_matrix((np.ones(len(columns_), np.float32), columns_, at), shape=(n, names.BUCKETS))
    truth = np.eye(k, dtype=np.float32)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(names.BUCKETS, k)
        logits = x @ w
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        value = -np.log(np.maximum((p * truth).sum(1), 1e-12)).sum() / n + 2e-5 * (flat**2).sum()
        return value, (x.T @ (p - truth) / n + 4e-5 * w).ravel()

    best = minimize(loss, np.zeros(names.BUCKETS * k), jac=True, method="L-BFGS-B", options={"maxiter": 120}).x
    from safetensors.numpy import save_file

    FOLDER.mkdir(exist_ok=True)
    save_file({"weights": best.reshape(names.BUCKETS, k).astype(np.float16)}, FOLDER / "tagger.safetensors")
    right = (x @ best.reshape(names.BUCKETS, k)).argmax(1) == np.array(y)
    print(f"names: {n} words, {right.mean():.3f} of the training right")


CLASSIFIERS = {
    "tagger": train_names,
    "jailbreak": train_injection,
    "indirect": train_planted,
    "toxicity": train_toxicity,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=sets.DATA)
    parser.add_argument("classifiers", nargs="*", help="which; all without")
    given = parser.parse_args()
    embedder = sets.Kept()
    for name in given.classifiers or CLASSIFIERS:
        CLASSIFIERS[name](embedder, given.data)


if __name__ == "__main__":
    main()
