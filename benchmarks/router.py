"""How well the router chooses among many agents and finds what belongs to none, and what it costs.

    python benchmarks/router.py [--data ../shared/data] [--quick]

CLINC: 150 intents, trained on the training set, measured on the validation set, which has 100 messages out of scope.
Banking77: only the training set is here, so accuracy is by cross-validation in ten parts, each trained on the rest.
Beside the router's classifier, on the same rows: scikit-learn's LinearSVC on the same features, and the class of the
nearest example. Everything again with ten examples per class, drawn at random (Banking77: measured on the rest). The
threshold is fitted on training data alone, for 5 % false rejects; recall at exactly 5 % is on the validation set, so
that it compares with published figures. Latency is that of one message at a time, with its embedding. Prints a table
and writes `benchmarks/results/router.json`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.routing import classifier as router
from inhouse.routing.classifier import TextClassifier, share, train
from inhouse.routing.grams import learned, weighted
from inhouse.routing.measure import auroc

HERE = Path(__file__).parent
PARTS, FEW, LATENCIES, MOST_FEW = 10, 10, 400, 2000


class Known:
    """An Embedder that embeds each text once: only the time of `fresh` counts."""

    def __init__(self, fresh: OnnxEmbedder) -> None:
        self.fresh, self.name, self.dimensions, self.sides = fresh, fresh.name, fresh.dimensions, fresh.sides
        self.count_tokens, self.parts = fresh.count_tokens, fresh.parts
        self.vectors: dict[str, np.ndarray] = {}

    def embed(self, texts: Sequence[str], query: bool = False) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        self.vectors.update(zip(new, self.fresh.embed(new, query), strict=True))
        return np.stack([self.vectors[text] for text in texts])


def rows(file: Path) -> tuple[list[str], list[str]]:
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in found], [row["intent"] for row in found]


def parts(labels: Sequence[str], count: int, seed: int = 7) -> np.ndarray:
    """The part of each row; every class is spread over all parts."""
    drawn, found, own = np.random.default_rng(seed), np.zeros(len(labels), dtype=int), np.array(labels)
    for name in sorted(set(labels)):
        at = drawn.permutation(np.flatnonzero(own == name))
        found[at] = np.arange(len(at)) % count
    return found


def few(labels: Sequence[str], count: int, seed: int = 7) -> np.ndarray:
    drawn, own = np.random.default_rng(seed), np.array(labels)
    return np.concatenate([drawn.permutation(np.flatnonzero(own == n))[:count] for n in sorted(set(labels))])


def peers(texts, labels, embedder, asked) -> dict[str, dict]:
    """LinearSVC on the same features, and the nearest example: for each the classes of `asked`, and its scores."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.svm import LinearSVC

    vectors, others = embedder.embed(texts, True), embedder.embed(asked, True)
    cosines = others @ vectors.T
    vocabulary, grams = learned(texts)
    found = [weighted(text, vocabulary) for text in asked]
    starts = np.cumsum([0, *(len(at) for at, _ in found)])
    places, weights = (np.concatenate([row[n] for row in found]) for n in (0, 1))
    test = csr_matrix((weights, places, starts), shape=(len(asked), grams.shape[1]))
    started, used = time.perf_counter(), time.process_time()
    machine = LinearSVC().fit(hstack([grams, csr_matrix(router.EMBEDDING * vectors)]).tocsr(), labels)
    spent = {"fit_s": time.perf_counter() - started, "fit_cpu_s": time.process_time() - used}
    values = machine.decision_function(hstack([test, csr_matrix(router.EMBEDDING * others)]).tocsr())
    return {
        "LinearSVC": {"names": list(machine.classes_[values.argmax(1)]), "scores": values.max(1), **spent},
        "nearest": {"names": [labels[k] for k in cosines.argmax(1)], "scores": cosines.max(1)},
    }


def ours(texts, labels, embedder, asked) -> tuple[TextClassifier, dict]:
    embedder.embed(texts, True)
    started, used = time.perf_counter(), time.process_time()
    fitted, report = train(texts, labels, embedder)
    spent = {"train_s": time.perf_counter() - started, "train_cpu_s": time.process_time() - used}
    found = fitted.predictions(asked)
    own = {"names": [p.name for p in found], "scores": np.array([p.score for p in found]), **spent}
    held = report.accuracy.mean if report.accuracy else None
    return fitted, own | {"threshold": fitted.scale.threshold, "held_out_accuracy": held}


def judged(name: str, found: dict, truth: Sequence[str], results: dict) -> None:
    """Accuracy on what is in scope, and if "oos" is among the truth, what the scores say of it."""
    own = np.array([t != "oos" for t in truth])
    right = sum(a == b for a, b in zip(found["names"], truth, strict=True))
    accuracy = share(right, int(own.sum()))
    row = {k: v for k, v in found.items() if k not in ("names", "scores")}
    row |= {"accuracy": accuracy.mean, "low": accuracy.low, "high": accuracy.high, "n": accuracy.n}
    if not own.all():
        scores = np.asarray(found["scores"])
        row["auroc"] = auroc(scores[own], scores[~own])
        row["recall_at_5"] = float((scores[~own] < np.quantile(scores[own], 0.05)).mean())
        if "threshold" in found:
            row["false_rejects"] = float((scores[own] < found["threshold"]).mean())
            row["recall"] = float((scores[~own] < found["threshold"]).mean())
    results[name] = row
    print(
        f"{name:34} {100 * row['accuracy']:6.2f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}] n={row['n']}", end=""
    )
    rest = {k: v for k, v in row.items() if k not in ("accuracy", "low", "high", "n") and v is not None}
    print("".join(f"  {k} {v:.4g}" for k, v in rest.items()), flush=True)


def clinc(data: Path, embedder: Known, results: dict) -> TextClassifier:
    texts, labels = rows(data / "router" / "train.jsonl")
    pairs = [(t, i) for t, i in zip(texts, labels, strict=True) if i != "oos"]  # no example is out of scope
    texts, labels = [t for t, _ in pairs], [i for _, i in pairs]
    asked, truth = rows(data / "router" / "val.jsonl")
    some = few(labels, FEW)
    for name, at in (("CLINC, 10 a class", some), ("CLINC", range(len(texts)))):
        own, given = [texts[n] for n in at], [labels[n] for n in at]
        fitted, found = ours(own, given, embedder, asked)
        judged(name, found, truth, results)
        for peer, other in peers(own, given, embedder, asked).items():
            judged(f"{name}: {peer}", other, truth, results)
    return fitted


def banking(data: Path, embedder: Known, results: dict, quick: bool) -> None:
    texts, labels = rows(data / "bank" / "intents_train.jsonl")
    some = few(labels, FEW)
    rest = np.setdiff1d(np.arange(len(texts)), some)[:: 1 + (len(texts) - len(some)) // MOST_FEW]
    own, given = [texts[n] for n in some], [labels[n] for n in some]
    asked, truth = [texts[n] for n in rest], [labels[n] for n in rest]
    judged("Banking77, 10 a class", ours(own, given, embedder, asked)[1], truth, results)
    for peer, other in peers(own, given, embedder, asked).items():
        judged(f"Banking77, 10 a class: {peer}", other, truth, results)
    part, together = parts(labels, PARTS), {}
    for n in range(1 if quick else PARTS):
        kept, held = np.flatnonzero(part != n), np.flatnonzero(part == n)
        own, given = [texts[k] for k in kept], [labels[k] for k in kept]
        asked, truth = [texts[k] for k in held], [labels[k] for k in held]
        found = {"router": ours(own, given, embedder, asked)[1]}
        if n == 0:
            found |= peers(own, given, embedder, asked)
        for peer, other in found.items():
            together.setdefault(peer, ([], [], other))[0].extend(other["names"])
            together[peer][1].extend(truth)
    for peer, (names, truth, first) in together.items():
        row = {k: first[k] for k in ("train_s", "train_cpu_s", "fit_s", "fit_cpu_s") if k in first}
        judged(f"Banking77: {peer}", {"names": names, "scores": [], **row}, truth, results)
    both = [together["router"][0][: len(together["nearest"][0])], together["nearest"][1]]
    judged("Banking77: router, first part", {"names": both[0], "scores": []}, both[1], results)


def latency(fitted: TextClassifier, fresh: OnnxEmbedder, asked: Sequence[str], results: dict) -> None:
    """Milliseconds of one message after the other, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        stored = TextClassifier.load(Path(folder), fresh)
        results["files_mb"] = sum(f.stat().st_size for f in Path(folder).iterdir()) / 1e6
    wall, used = [], []
    for text in asked[: LATENCIES + 20]:
        started, spent = time.perf_counter(), time.process_time()
        stored.predict(text)
        wall.append(1000 * (time.perf_counter() - started))
        used.append(1000 * (time.process_time() - spent))
    wall, used = np.array(wall[20:]), np.array(used[20:])
    row = {f"p{q}_ms": float(np.percentile(wall, q)) for q in (50, 99)}
    row |= {f"processor_p{q}_ms": float(np.percentile(used, q)) for q in (50, 99)}
    results["latency"] = row
    print(f"files {results['files_mb']:.1f} MB")
    print("latency" + "".join(f"  {k} {v:.2f}" for k, v in row.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--quick", action="store_true", help="Banking77: one part of ten")
    options = parser.parse_args()
    fresh = OnnxEmbedder(Catalog().folder / "minilm-l6-v2")
    embedder, results = Known(fresh), {}
    fitted = clinc(options.data, embedder, results)
    latency(fitted, fresh, rows(options.data / "router" / "val.jsonl")[0][::7], results)
    banking(options.data, embedder, results, options.quick)
    out = HERE / "results" / "router.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
