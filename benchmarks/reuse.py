"""How often an approved reply would answer a question that is not the same, and how many of the same it finds.

    python benchmarks/reuse.py [--data ../shared/data]

`reuse.tsv` has pairs of questions that the rules were written with; `reuse_blind.tsv` has pairs that were written after
the rules, at first sight. "same" pairs ask the same; the others differ in a number, a negation, a product or name, or
in who does what. Beside the product: the cosine alone, at the same thresholds. Then all pairs of different questions
that people asked about privacy policies (PolicyQA): each pair that would share a reply is printed, to be judged.

Last, what a guess of another group's question costs beside a question that nobody asked, as a ratio of medians within
one run: of the look-up, and of an embedding that is kept. Bounds are exact (Clopper and Pearson 1934), one-sided, 95%.
Prints a table and writes `benchmarks/results/reuse.json`.
"""

import argparse
import gzip
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import beta

from inhouse.chat import ChatRequest
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.routing.reuse import Approved, Reused
from inhouse.routing.same import comparable, difference
from inhouse.text.cache import CachedVectors, kept_for
from inhouse.types import Message, together

HERE = Path(__file__).parent
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
ROUNDS = 60


def at_most(found: int, n: int) -> float:
    return 1.0 if found >= n else float(beta.ppf(0.95, found + 1, n - found))


def at_least(found: int, n: int) -> float:
    return 0.0 if not found else float(beta.ppf(0.05, found, n - found + 1))


def measured(file: Path, embedder: OnnxEmbedder) -> dict:
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    kinds = np.array([kind for kind, _, _ in rows])
    first, second = (embedder.embed([row[n] for row in rows]) for n in (1, 2))
    cosines = (first * second).sum(axis=1)
    ruled = np.array([comparable(a) and comparable(b) and not difference(a, b) for _, a, b in rows])
    same, result, missed = kinds == "same", {}, sorted(set(kinds.tolist()) - {"same"})
    for threshold in THRESHOLDS:
        near = cosines >= threshold
        one = result[threshold] = {}
        for name, matched in (("product", near & ruled), ("cosine", near)):
            found, wrong = int(matched[same].sum()), int(matched[~same].sum())
            one[name] = {
                "found": found, "of": int(same.sum()), "found_at_least": at_least(found, int(same.sum())),
                "wrong": wrong, "near_misses": int((~same).sum()), "wrong_at_most": at_most(wrong, int((~same).sum())),
                "wrong_by_kind": {k: int(matched[kinds == k].sum()) for k in missed},
            }  # fmt: skip
            print(f"{file.name:16} {threshold:.1f} {name:8} same found {found}/{same.sum()} "
                  f"(at least {one[name]['found_at_least']:.1%})  false reuse {wrong}/{(~same).sum()} "
                  f"(at most {one[name]['wrong_at_most']:.1%})  {one[name]['wrong_by_kind']}")  # fmt: skip
    return result


def policies(file: Path, embedder: OnnxEmbedder, threshold: float) -> dict:
    rows = json.loads(gzip.decompress(file.read_bytes()))["data"]
    asked = sorted({q["question"].strip() for d in rows for p in d["paragraphs"] for q in p["qas"]})
    vectors = embedder.embed(asked)
    cosines = vectors @ vectors.T
    near = [(a, b) for a, b in itertools.combinations(range(len(asked)), 2) if cosines[a, b] >= threshold]
    shared = [(asked[a], asked[b]) for a, b in near if not difference(asked[a], asked[b])]
    total = len(asked) * (len(asked) - 1) // 2
    print(
        f"PolicyQA: {len(asked)} questions, {total:,} pairs, {len(near):,} near by cosine, {len(shared)} share a reply"
    )
    for a, b in shared:
        print(f"  {a} | {b}")
    return {"questions": len(asked), "pairs": total, "near": len(near), "shared": shared}


def ratio(one: Callable[[int], object], other: Callable[[int], object]) -> float:
    """The median time of one over that of the other, which take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(ROUNDS):
        for spent, work in zip(times, (one, other), strict=True):
            started = time.perf_counter()
            work(n)
            spent.append(time.perf_counter() - started)
    return statistics.median(times[0]) / statistics.median(times[1])


def timing(embedder: OnnxEmbedder) -> dict[str, float]:
    def ask(text: str, *groups: str) -> ChatRequest:
        return ChatRequest(messages=(Message(role="user", content=text),), groups=frozenset(groups))

    secrets = [f"What is the limit of vault {n} in the branch on Main Street?" for n in range(ROUNDS)]
    others = [f"What is the color of door {n} in the branch on High Street?" for n in range(ROUNDS)]
    replies = [
        Approved(id=s, messages=(Message(role="user", content=s),), answer="$31", access=(together(["staff"]),))
        for s in secrets
    ]
    own = Approved(id="own", messages=(Message(role="user", content="Is it open?"),), answer="Yes.")
    reused = Reused(lambda: [*replies, own], embedder, 0.6)
    reused.match(ask("Is it open?", "staff"))

    def kept(secret: bool, groups: tuple[str, ...]) -> Callable[[int], object]:
        def work(n: int) -> object:
            with kept_for(groups):
                return cache.embed([(secrets if secret else others)[n]])

        return work

    cache = CachedVectors(embedder)
    with kept_for(("staff",)):
        cache.embed(secrets)
    found = {
        "look-up, guess / other": ratio(
            lambda n: reused.match(ask(secrets[n], "sales")), lambda n: reused.match(ask(others[n], "sales"))
        ),
        "kept vectors, guess / other": ratio(kept(True, ("sales",)), kept(False, ("sales",))),
        "kept vectors, own group / other": ratio(kept(True, ("staff",)), kept(False, ("staff",))),
    }
    for name, value in found.items():
        print(f"{name}: {value:.3f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    data = parser.parse_args().data
    embedder = OnnxEmbedder(Catalog().folder / "minilm-l6-v2")
    results = {
        "pairs": {name: measured(HERE / name, embedder) for name in ("reuse.tsv", "reuse_blind.tsv")},
        "policies": policies(data / "policyqa" / "dev.json.gz", embedder, 0.8),
        "timing": timing(embedder),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "reuse.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
