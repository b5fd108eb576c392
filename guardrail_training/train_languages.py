"""Trains the classifiers of jailbreaks in other languages than English, into src/inhouse/guardrails/weights.

    python -m guardrail_training.train_languages [--data ../shared/data] [languages meanings]

`languages` is over n-grams, `meanings` over the vectors of the multilingual embedder, which also learns from English.

`jailbreaks_by_language.tsv` has attacks of 17 kinds (+) and harmless messages (-) in nine languages, all written for
this project. {a|b} stands for one of the alternatives. The attacks of `benchmarks/jailbreak_languages.tsv` and
`jailbreak_blind.jsonl`, after which the phrases were written, and the customers' messages of
`benchmarks/privacy_languages.tsv` are used as well; `benchmarks/jailbreak_languages_blind.tsv` never is.

The threshold comes from folds that leave out whole kinds: at it, HARD of the harmless messages with the words of
jailbreaks, and PLAIN of the customers' messages, are reported.
"""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from guardrail_training import data as sets
from guardrail_training import train_classifiers
from inhouse.guardrails.classifier import FOLDER
from inhouse.guardrails.injection.grams import BUCKETS, FEATURES, buckets
from inhouse.guardrails.injection.meanings import EMBEDDER
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.text.sentences import windows

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent / "benchmarks"
MOST = 24  # messages of one line of templates
SEEN, PLAIN_TEXT = 0.3, 0.5  # weights of a message, where a line of templates has 1
HARD, PLAIN = 0.02, 0.005
PENALTY = 1e-6
FOLDS = 6
ENGLISH = "english"
MOST_EMBEDDED = 3  # messages of one line of templates
MEANING_PENALTY, MEANING_FALSE = 1e-2, 0.01
_MARK = re.compile(r"\{[A-Z_]+:([^{}]*)\}")


class Row(NamedTuple):
    text: str
    attack: bool
    kind: str  # what a fold leaves out together: a line of templates in all languages
    weight: float
    plain: bool = False


def rows(most: int = MOST) -> list[Row]:
    """The messages, at most so many of each line of templates."""
    rng = random.Random(1)
    found, seen = [], Counter()
    for line in (HERE / "jailbreaks_by_language.tsv").read_text(encoding="utf-8").splitlines():
        language, sign, template = line.split("\t")
        made = filled(template, rng)
        if len(made) > most:
            made = rng.sample(made, most)
        kind = f"{sign}{seen[language, sign]}"
        seen[language, sign] += 1
        found += [Row(text, sign == "+", kind, 1 / len(made)) for text in made]
    known = [line.split("\t") for line in lines("jailbreak_languages.tsv")]
    found += [Row(text, kind == "attack", text, SEEN) for _, kind, text in known]
    first = [r for r in map(json.loads, lines("jailbreak_blind.jsonl")) if "language" in r["group"]]
    found += [Row(r["text"], r["attack"], r["text"], SEEN) for r in first]
    plain = [_MARK.sub(r"\1", line.partition("\t")[2]) for line in lines("privacy_languages.tsv")]
    return [*found, *(Row(text, False, text, PLAIN_TEXT, plain=True) for text in plain)]


def lines(name: str) -> list[str]:
    return (BENCHMARKS / name).read_text(encoding="utf-8").splitlines()


def filled(template: str, rng: random.Random) -> list[str]:
    """All messages of a template; MOST of them, drawn, where there are more."""
    parts = [p[1:-1].split("|") if p.startswith("{") else [p] for p in re.split(r"(\{[^{}]*\})", template)]
    if prod(map(len, parts)) <= MOST:
        return ["".join(choice) for choice in product(*parts)]
    drawn: set[str] = set()
    while len(drawn) < MOST:
        drawn.add("".join(map(rng.choice, parts)))
    return sorted(drawn)


def matrix(texts: list[str]) -> csr_matrix:
    """One row per text, of length 1, as `grams.logit` reads it."""
    own = [buckets(text) for text in texts]
    values = np.concatenate([np.full(len(b), 1 / max(len(b), 1) ** 0.5) for b in own])
    starts = np.cumsum([0, *map(len, own)])
    return csr_matrix((values, np.concatenate(own).astype(int), starts), shape=(len(texts), BUCKETS))


def fit(x: csr_matrix, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, the bias last; both classes weigh the same."""
    weights = np.where(y > 0, weights / weights[y > 0].sum(), weights / weights[y == 0].sum()) / 2

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = x @ w[:-1] + w[-1]
        error = weights * (1 / (1 + np.exp(-np.clip(logits, -30, 30))) - y)
        value = weights @ (np.logaddexp(0, logits) - y * logits) + 0.5 * PENALTY * (w[:-1] @ w[:-1])
        return value, np.append(x.T @ error + PENALTY * w[:-1], error.sum())

    start = np.zeros(x.shape[1] + 1)
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x


def folds(every: Sequence[Row]) -> np.ndarray:
    kinds = sorted({r.kind for r in every})
    random.Random(2).shuffle(kinds)
    return np.array([kinds.index(r.kind) % FOLDS for r in every])


def languages() -> None:
    from safetensors.numpy import save_file

    every = rows()
    x, y = matrix([r.text for r in every]), np.array([float(r.attack) for r in every])
    weights, plain = np.array([r.weight for r in every]), np.array([r.plain for r in every])
    fold = folds(every)
    scores = np.zeros(len(every))
    for f in range(FOLDS):
        w = fit(x[fold != f], y[fold != f], weights[fold != f])
        scores[fold == f] = x[fold == f] @ w[:-1] + w[-1]
    hard = (y == 0) & ~plain
    threshold = max(np.quantile(scores[hard], 1 - HARD), np.quantile(scores[plain], 1 - PLAIN))
    found, false, usual = (float((scores[of] >= threshold).mean()) for of in (y > 0, hard, plain))
    print(f"{len(every)} messages; kinds left out: recall {found:.3f}, false {false:.3f} hard, {usual:.4f} plain")
    w = fit(x, y, weights)
    tensors = {"weight": w[:-1].astype(np.float16), "bias": w[-1:].astype(np.float32)}
    file = FOLDER / "languages.safetensors"
    save_file(tensors, file, metadata={"threshold": f"{threshold:.4f}", "features": " ".join(FEATURES)})
    file.chmod(0o644)
    print(f"languages: threshold {threshold:.3f}")


def english(data: Path) -> list[Row]:
    """Windows of jailbreaks, and customers' messages, for the embedder to carry over to other languages."""
    rng = random.Random(1)
    attacks = [*sets.jailbreaks(sets.DiskCachedEmbedder(), data)[0], *sets.one_line_jailbreaks("train")]
    found = [w for t in attacks for w in (windows(t) or [t])]
    chat = [t for texts in sets.business(data)[0].values() for t in texts]
    return [*(Row(t, True, ENGLISH, 1.0) for t in rng.sample(found, 300)),
            *(Row(t, False, ENGLISH, 1.0) for t in rng.sample(chat, 600))]  # fmt: skip


def meanings(data: Path) -> None:
    every = rows(MOST_EMBEDDED) + english(data)
    embedder = OnnxEmbedder(Catalog().find(EMBEDDER, HERE), threads=2)
    x = np.concatenate([embedder.embed([r.text for r in every[at : at + 100]]) for at in range(0, len(every), 100)])
    y = np.array([float(r.attack) for r in every])
    weights = np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    fold, scores = folds(every), np.zeros(len(every))
    for f in range(FOLDS):
        fitted = train_classifiers.fit(x[fold != f], y[fold != f], weights[fold != f], MEANING_PENALTY)
        scores[fold == f] = fitted.probability(x[fold == f])
    own = np.array([r.kind != ENGLISH for r in every])
    hard = own & (y == 0) & ~np.array([r.plain for r in every])
    threshold = float(np.quantile(scores[hard], 1 - MEANING_FALSE))
    print(f"{len(every)} messages; kinds left out: recall {(scores[own & (y > 0)] >= threshold).mean():.3f}")
    train_classifiers.save(train_classifiers.fit(x, y, weights, MEANING_PENALTY), "meanings", threshold, ())
    print(f"meanings: threshold {threshold:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=sets.DATA)
    parser.add_argument("names", nargs="*", default=["languages", "meanings"])
    given = parser.parse_args()
    for name in given.names:
        if name == "languages":
            languages()
        else:
            meanings(given.data)


if __name__ == "__main__":
    main()
