"""Trains the guardrails' classifiers on three quarters of the public sets, into src/inhouse/guardrails/weights.

    python -m guardrail_training.train_classifiers [--data ../shared/data] [tagger jailbreak indirect toxicity]

Logistic regression with an L2 penalty, by L-BFGS; for indirect injections networks with one hidden layer. Thresholds
come from predictions on folds left out of the training (5 of them), at the share of false alarms given below. The
held-out quarter (`data.held_out`) is never used. `train_groundedness.py` trains the classifier of groundedness.
"""

import argparse
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from guardrail_training import data as sets
from guardrail_training import injections, lookalikes, plain
from inhouse.guardrails import toxicity
from inhouse.guardrails.classifier import FOLDER, Classifier
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.privacy import tagger
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.text.sentences import windows

FOLDS = 5
PENALTY = 1e-4
INDIRECT_FALSE = 0.01  # share of clean passages that may be reported
MEMBERS, HIDDEN, DROPPED = 3, 32, 0.3  # of the networks
RATE, DECAY, BATCH, EPOCHS = 1e-3, 0.05, 256, 8
ROUNDS = 3  # each chooses the windows of a jailbreak that count


def fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float | np.ndarray) -> Classifier:
    """Weighted logistic regression; `penalty` is one for all columns, or one each."""
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


def save(classifier: Classifier, name: str, threshold: float, features: Sequence[str]) -> None:
    """Writes a classifier with the names of its hand-made features, which follow the embedding."""
    from safetensors.numpy import save_file

    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.safetensors"
    save_file(classifier.tensors, file, metadata={"threshold": f"{threshold:.4f}", "features": " ".join(features)})
    file.chmod(0o644)
    print(f"{name}: {len(classifier.tensors['mean'])} features, threshold {threshold:.3f}")


def auroc(high: np.ndarray, low: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def network(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Classifier:
    """The mean of MEMBERS networks with one hidden layer, as one network; without weights both classes weigh the
    same."""
    import torch
    from torch.nn import Dropout, Linear, ReLU, Sequential, functional

    torch.manual_seed(7)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-2)
    rows, truth = torch.from_numpy((x - mean) / scale).float(), torch.from_numpy(y).float()
    weight = torch.where(truth > 0, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    if weights is not None:
        weight = torch.from_numpy(weights / weights.mean()).float()
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
    """Penalties by column: the full one for embeddings, less for hand-made features."""
    return np.concatenate([np.full(wide, penalty), np.full(own, penalty * lighter)])


def highest(bags: Sequence[np.ndarray], classifier: Classifier) -> np.ndarray:
    return np.array([classifier.probability(b).max() if len(b) else 0.0 for b in bags])


def bagged(
    positive: Sequence[np.ndarray], negative: Sequence[np.ndarray], weights: np.ndarray, train: Callable
) -> Classifier:
    """A classifier of bags of rows, of which the highest decides (multiple-instance learning). Each round chooses the
    rows of the positive bags that count.

    Args:
        weights: of each negative bag.
        train: makes the classifier of rows, their labels, and their weights.
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
        classifier = train(x, y, np.concatenate([high_weights, low_weights]))
        for n, bag in enumerate(positive):
            p = classifier.probability(bag)
            chosen[n] = np.flatnonzero(p >= max(0.5 * p.max(), np.sort(p)[-3:].min()))
    return classifier


def bagged_network(positive: Sequence[np.ndarray], negative: Sequence[np.ndarray], weights: np.ndarray) -> Classifier:
    return bagged(positive, negative, weights, network)


def folded(positive: list, negative: list, weights: np.ndarray, train: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Scores of every bag by a classifier that was trained without it."""
    rng = np.random.default_rng(7)
    at, other = rng.integers(0, FOLDS, len(positive)), rng.integers(0, FOLDS, len(negative))
    high, low = np.zeros(len(positive)), np.zeros(len(negative))
    for f in range(FOLDS):
        classifier = train([b for b, k in zip(positive, at, strict=True) if k != f],
                     [b for b, k in zip(negative, other, strict=True) if k != f], weights[other != f])  # fmt: skip
        high[at == f] = highest([b for b, k in zip(positive, at, strict=True) if k == f], classifier)
        low[other == f] = highest([b for b, k in zip(negative, other, strict=True) if k == f], classifier)
    return high, low


def train_jailbreak(embedder: sets.DiskCachedEmbedder, data: Path) -> None:
    jail = [*sets.jailbreaks(embedder, data)[0], *sets.one_line_jailbreaks("train"), *injections.personas()]
    chat = [t for texts in sets.business(data)[0].values() for t in texts]
    documents = [t for texts in sets.passages(data)[0].values() for t in texts]
    harmless = {  # texts and the weight of each
        "chat": (chat, 1.0),
        "other": (sets.requests(data)[0], 0.5),
        "alike": ([*sets.lookalikes(data)[0], *sets.HARMLESS["train"]], 12.0),
        "documents": ([*sets.prose(data), *lookalikes.pasted_pieces(documents, 7, 300)], 0.5),
    } | {kind: (texts, 1.5) for kind, texts in lookalikes.every("train").items()}
    negative = [t for texts, _ in harmless.values() for t in texts]
    weights = np.concatenate([np.full(len(texts), weight) for texts, weight in harmless.values()])
    embedder.embed([w for t in (*jail, *negative) for w in windows(t) or [t]])  # all at once, which is much faster
    bags = [jailbreak.rows(windows(t) or [t], embedder) for t in (*jail, *negative)]
    positive, low = bags[: len(jail)], bags[len(jail) :]

    high, scored = folded(positive, low, weights, bagged_network)
    ends = np.cumsum([len(texts) for texts, _ in harmless.values()])
    by_kind = dict(zip(harmless, np.split(scored, ends[:-1]), strict=True))
    threshold = max(np.quantile(by_kind["chat"], 0.997), *(np.quantile(s, 0.96) for s in by_kind.values()))
    print(f"  folds: recall {(high >= threshold).mean():.3f}, "
          + ", ".join(f"{kind} {(s >= threshold).mean():.4f}" for kind, s in by_kind.items()))  # fmt: skip
    save(bagged_network(positive, low, weights), "jailbreak", float(threshold), jailbreak.FEATURES)


def train_indirect(embedder: sets.DiskCachedEmbedder, data: Path) -> None:
    clean = [t for texts in sets.passages(data)[0].values() for t in texts]
    random.Random(7).shuffle(clean)
    requests = [a[0].upper() + a[1:] for a in sets.requests(data)[0][:400]]
    attacks, written = sets.attacks(data)[0], injections.instructions()
    poisoned = sets.injected(clean, attacks, 1) + sets.injected(clean[: len(clean) * 2 // 5], requests, 2)
    poisoned += sets.injected(clean, written, 3)
    added = {beginning(s) for a in (*attacks, *requests, *written) for s in indirect.sentences(a)}
    embedder.embed([s for t in (*poisoned, *clean) for s in indirect.sentences(t)])
    positive, low = [], []
    for text in poisoned:  # only the injected sentences are positive rows
        passage = indirect.sentences(text)
        hit = [n for n, s in enumerate(passage) if beginning(s) in added]
        if hit:
            positive.append(indirect.rows(passage, embedder)[hit])
    for text in clean:
        if passage := indirect.sentences(text):
            low.append(indirect.rows(passage, embedder))
    weights = np.ones(len(low))

    def train(p: list, n: list, _: np.ndarray) -> Classifier:
        high, rest = np.concatenate(p), np.concatenate(n)
        return network(np.concatenate([high, rest]), np.repeat([1.0, 0.0], [len(high), len(rest)]))

    high, scored = folded(positive, low, weights, train)
    threshold = float(np.quantile(scored, 1 - INDIRECT_FALSE))
    print(f"  {len(positive)} injections in {len(clean)} passages; folds: recall {(high >= threshold).mean():.3f}")
    save(train(positive, low, weights), "indirect", threshold, indirect.FEATURES)


def beginning(sentence: str) -> str:
    return sentence.rstrip(". ")[:60]


def train_toxicity(embedder: sets.DiskCachedEmbedder, data: Path) -> None:
    rows = sets.toxicity(data)[0]
    clean = {  # texts and the weight of each
        "posts": ([t for t, toxic in rows if not toxic], 1.0),
        "chat": ([t for texts in sets.business(data)[0].values() for t in texts[:500]], 0.3),
        "quoted": ([t for texts in plain.quoted(data)[0].values() for t in texts], 0.2),
        "made": (plain.made("train", 1500), 0.2),
    }
    negative = [t for texts, _ in clean.values() for t in texts]
    weights = np.concatenate([np.full(len(texts), weight) for texts, weight in clean.values()])
    embedder.embed([w for t in (*(t for t, _ in rows), *negative) for w in toxicity.pieces(t)])
    positive = [toxicity.rows(toxicity.pieces(t), embedder) for t, toxic in rows if toxic]
    low = [toxicity.rows(toxicity.pieces(t), embedder) for t in negative]
    penalty = columns(embedder.dimensions, positive[0].shape[1] - embedder.dimensions, 3 * PENALTY)

    def train(p, n, w):
        return bagged(p, n, w, partial(fit, penalty=penalty))

    high, scored = folded(positive, low, weights, train)
    ends = np.cumsum([len(texts) for texts, _ in clean.values()])
    by_kind = dict(zip(clean, np.split(scored, ends[:-1]), strict=True))
    sentences = np.concatenate([by_kind["quoted"], by_kind["made"]])
    threshold = float(max(np.quantile(sentences, 0.996), np.quantile(by_kind["chat"], 0.997)))
    print(f"  folds: recall {(high >= threshold).mean():.3f}, "
          + ", ".join(f"{kind} {(s >= threshold).mean():.4f}" for kind, s in by_kind.items()))  # fmt: skip
    save(train(positive, low, weights), "toxicity", threshold, toxicity.FEATURES)


KINDS = {"PERSON": 1, "GPE": 2, "STREET_ADDRESS": 3, "ZIP_CODE": 3, "ORGANIZATION": 4}


def train_tagger(embedder: sets.DiskCachedEmbedder, data: Path) -> None:
    """Softmax over hashed features of sentences, as they are and in lower case, and of bank questions, which have no
    names."""
    import spacy
    from scipy.sparse import csr_matrix

    from inhouse.models.catalog import Catalog
    from inhouse.privacy.recognizers import UNUSED

    nlp = spacy.load(Catalog().find(SPACY_MODEL, sets.HERE), exclude=UNUSED)
    rows = [(r["text"], r["spans"]) for r in sets.pii(data)[0]]
    rows += [(t.lower(), s) for t, s in random.Random(5).sample(rows, len(rows) // 3) if len(t.lower()) == len(t)]
    rows += [(t, []) for t in sets.business(data)[0]["bank"][:700]]
    at, columns_, y = [0], [], []
    for (text, spans), doc in zip(rows, nlp.pipe(t for t, _ in rows), strict=True):
        words, features = tagger.features(text, [(e.start_char, e.end_char, e.label_) for e in doc.ents])
        for (_, start, end), own in zip(words, features, strict=True):
            columns_ += own
            at.append(len(columns_))
            y.append(next((KINDS[k] for a, b, k in spans if a < end and start < b and k in KINDS), 0))
    n, k = len(y), len(tagger.CLASSES)
    x = csr_matrix((np.ones(len(columns_), np.float32), columns_, at), shape=(n, tagger.BUCKETS))
    truth = np.eye(k, dtype=np.float32)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(tagger.BUCKETS, k)
        logits = x @ w
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        value = -np.log(np.maximum((p * truth).sum(1), 1e-12)).sum() / n + 2e-5 * (flat**2).sum()
        return value, (x.T @ (p - truth) / n + 4e-5 * w).ravel()

    best = minimize(loss, np.zeros(tagger.BUCKETS * k), jac=True, method="L-BFGS-B", options={"maxiter": 120}).x
    from safetensors.numpy import save_file

    FOLDER.mkdir(exist_ok=True)
    save_file({"weights": best.reshape(tagger.BUCKETS, k).astype(np.float16)}, FOLDER / "tagger.safetensors")
    right = (x @ best.reshape(tagger.BUCKETS, k)).argmax(1) == np.array(y)
    print(f"tagger: {n} words, {right.mean():.3f} of the training right")


CLASSIFIERS = {
    "tagger": train_tagger,
    "jailbreak": train_jailbreak,
    "indirect": train_indirect,
    "toxicity": train_toxicity,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=sets.DATA)
    parser.add_argument("classifiers", nargs="*", help=f"{', '.join(CLASSIFIERS)}; all of them without")
    given = parser.parse_args()
    embedder = sets.DiskCachedEmbedder()
    for name in given.classifiers or CLASSIFIERS:
        CLASSIFIERS[name](embedder, given.data)


if __name__ == "__main__":
    main()
