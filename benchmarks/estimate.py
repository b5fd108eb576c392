"""Accuracy without labels, where the truth is known: 20 planted shifts on the example bank and the concierge.

    python benchmarks/estimate.py [--rows FOLDER] [--months 500]
    python benchmarks/estimate.py --projects exams [--months 200]
    python benchmarks/estimate.py --people [--months 1500]

Answers, features, and scores are real (`estimate_rows.py`). Months are simulated: the reference and the live answers
are drawn with replacement from the recorded rows, and a share of the live ones from rows of another condition. The
truth is the share of right answers of that month. Beside it: ATC (Garg et al. 2022, "Leveraging unlabeled data to
predict out-of-distribution performance") and CBPE (the mean confidence, calibrated on the same reference, as in
NannyML); and the share of right answers among as many labels drawn evenly.

`exams` is held out: no constant of the product was chosen on it. 9,461 questions of 35 exams, with whether Mixtral-8x7B
was right (RouteLLM's data in ../shared/data/cascade); its confidence is a logistic regression of "right" on the
question, fitted to a third of them that is not drawn from. GPT-4 on the same questions is a model that was exchanged
without any trace.

`--people` simulates 1,000 answers (63 % right, a confidence with an AUROC of about .75), 50 labels drawn evenly, and
people who vote, or who ask for a person and get a verdict: what thumbs and verdicts of the inbox add to drawn labels.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the matrices are small: more threads only cost time

import numpy as np

from inhouse.guardrails.confidence.calibration import fit
from inhouse.guardrails.confidence.features import Features
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.monitoring.estimate import Estimated, Evidence, Expected, accuracy, expectation, regression
from inhouse.monitoring.labels import probabilities, worth

HERE = Path(__file__).parent
REFERENCE = 300  # answers of the verdict
FEWEST_GOOD = 40  # answers of a project to draw from
MONTH = 1000  # answers
LABELS = (10, 50, 200)
LATER = "50 labels in each of 6 months"
UNUSABLE = "poor"  # topic of conversations whose reply is no answer, so that nothing can be scored against it
COMPONENTS = 8  # of the questions' embeddings


class Pool(NamedTuple):
    """Recorded answers of a project in a condition."""

    shown: np.ndarray
    right: np.ndarray
    confidence: np.ndarray
    worth: np.ndarray
    topic: np.ndarray


class Shift(NamedTuple):
    name: str
    project: str
    mix: tuple[tuple[str, float], ...] = ()  # share of the month by condition; the rest is `good`
    topics: tuple[tuple[str, float], ...] = ()  # how much more often a topic is asked about
    hard: float = 1.0  # how much more often a question of a topic below the mean accuracy is asked


SHIFTS = (
    Shift("bank: nothing", "bank"),
    Shift("bank: slower engine", "bank"),
    Shift("bank: cards asked 4 times as often", "bank", topics=(("cards", 4.0),)),
    Shift("bank: lending asked 4 times as often", "bank", topics=(("lending", 4.0),)),
    Shift("bank: unanswerable 2 times as often", "bank", topics=(("other", 2.0),)),
    Shift("bank: unanswerable 5 times as often", "bank", topics=(("other", 5.0),)),
    Shift("bank: 10 % on documents not indexed", "bank", (("new", 0.1),)),
    Shift("bank: 30 % on documents not indexed", "bank", (("new", 0.3),)),
    Shift("bank: all with two fifths not indexed", "bank", (("new", 1.0),)),
    Shift("bank: worse index, 20 %", "bank", (("worse", 0.2),)),
    Shift("bank: worse index, all", "bank", (("worse", 1.0),)),
    Shift("bank: damaged weights, 20 %", "bank", (("adapter", 0.2),)),
    Shift("bank: damaged weights, all", "bank", (("adapter", 1.0),)),
    Shift("bank: 10 % Spanish", "bank", (("spanish", 0.1),)),
    Shift("bank: all Spanish", "bank", (("spanish", 1.0),)),
    Shift("concierge: nothing", "concierge"),
    Shift("concierge: hard topics 3 times as often", "concierge", hard=3.0),
    Shift("concierge: 30 % on documents not indexed", "concierge", (("new", 0.3),)),
    Shift("concierge: worse index, 50 %", "concierge", (("worse", 0.5),)),
    Shift("concierge: damaged weights, 30 %", "concierge", (("adapter", 0.3),)),
    Shift("exams: nothing", "exams"),
    Shift("exams: moral scenarios 4 times as often", "exams", topics=(("moral_scenarios", 4.0),)),
    Shift("exams: hard subjects 3 times as often", "exams", hard=3.0),
    Shift("exams: 30 % on subjects never tested", "exams", (("new", 0.3),)),
    Shift("exams: another model, 20 %", "exams", (("other", 0.2),)),
    Shift("exams: another model, all", "exams", (("other", 1.0),)),
)
UNTESTED = ("professional_law", "high_school_us_history", "virology")


def pools(rows: Sequence[dict], embedder: OnnxEmbedder) -> dict[str, Pool]:
    """The answers by project and condition; confidences are from calibrations that were not fitted to the answer."""
    found: dict[str, Pool] = {}
    for project in ("bank", "concierge"):
        own = [r for r in rows if r["project"] == project and r["topic"] != UNUSABLE]
        good = [r for r in own if r["condition"] == "good"]
        if len(good) < FEWEST_GOOD:
            continue
        fold = {r["id"]: n % 5 for n, r in enumerate(sorted(good, key=lambda r: r["id"]))}
        fits = [fit(features([r for r in good if fold[r["id"]] != f]),
                    [r["right"] for r in good if fold[r["id"]] != f], 0.2) for f in range(5)]  # fmt: skip
        vectors = embedder.embed([r["question"] for r in own], query=True)
        at = {id(r): v for r, v in zip(own, vectors, strict=True)}
        center = np.stack([at[id(r)] for r in good])
        axes = np.linalg.svd(center - center.mean(0), full_matrices=False)[2][:COMPONENTS]
        for condition in {r["condition"] for r in own}:
            some = [r for r in own if r["condition"] == condition]
            p = np.array([fits[fold.get(r["id"], 0)].probability(features([r]))[0] for r in some])
            v = np.stack([at[id(r)] for r in some])
            shown = np.array([shows(r, c) for r, c in zip(some, p, strict=True)])
            found[f"{project} {condition}"] = Pool(
                np.hstack([shown, (v - center.mean(0)) @ axes.T]), np.array([float(r["right"]) for r in some]), p,
                worth(p, v, center).total, np.array([r["topic"] for r in some]),
            )  # fmt: skip
    return found


def exams(folder: Path, embedder: OnnxEmbedder) -> dict[str, Pool]:
    """The questions of exams as answers: what two models make of them, and of subjects that were not tested."""
    rows = []
    for file in sorted(folder.glob("mmlu_*.csv")):
        with file.open(encoding="utf-8") as opened:
            for prompt, *right in list(csv.reader(opened))[1:]:
                words = prompt.split()
                rows.append((file.stem[5:], " ".join(words[:40]), len(words), *(r == "True" for r in right)))
    topic, length = np.array([r[0] for r in rows]), np.log1p([float(r[2]) for r in rows])
    right, other = (np.array([float(r[n]) for r in rows]) for n in (3, 4))
    vectors = np.concatenate([embedder.embed([r[1] for r in rows[n : n + 256]]) for n in range(0, len(rows), 256)])
    apart, new = np.random.default_rng(1).random(len(rows)) < 1 / 3, np.isin(topic, UNTESTED)
    kept = np.hstack([vectors, length[:, None]])
    w = regression(kept[apart & ~new], right[apart & ~new], 30.0)
    p = 1 / (1 + np.exp(-(kept @ w[1:] + w[0])))
    good = ~apart & ~new
    center = vectors[good][:2000]
    axes = np.linalg.svd(center - center.mean(0), full_matrices=False)[2][:COMPONENTS]
    shown = np.hstack(
        [p[:, None], np.full((len(rows), 3), np.nan), length[:, None], (vectors - center.mean(0)) @ axes.T]
    )
    value = worth(p, None, None).total
    return {
        f"exams {name}": Pool(shown[which], said[which], p[which], value[which], topic[which])
        for name, which, said in (("good", good, right), ("other", good, other), ("new", new, right))
    }


def features(rows: Sequence[dict]) -> np.ndarray:
    return np.array([Features(**r["features"]) for r in rows], dtype=np.float64)


def shows(row: dict, confidence: float) -> list[float]:
    """What the audit log has of an answer: see `monitoring.quality.shown`."""
    f = row["features"]
    grounded = f["least_support"] if not f["no_claim"] else np.nan
    return [confidence, grounded, f["passage_score"], f["answer_length"], f["question_length"]]


def month(shift: Shift, found: dict[str, Pool], rng: np.random.Generator) -> Pool:
    """The live answers of a month."""
    good = found[f"{shift.project} good"]
    weight = np.ones(len(good.right))
    for topic, times in shift.topics:
        weight[good.topic == topic] *= times
    mean = {t: good.right[good.topic == t].mean() for t in set(good.topic)}
    weight[[mean[t] < good.right.mean() for t in good.topic]] *= shift.hard
    parts, left = [], MONTH
    for condition, share in shift.mix:
        pool, count = found[f"{shift.project} {condition}"], int(share * MONTH)
        parts.append((pool, rng.choice(len(pool.right), count)))
        left -= count
    parts.append((good, rng.choice(len(good.right), left, p=weight / weight.sum())))
    return Pool(*(np.concatenate([field[at] for field, at in ((getattr(pool, name), at) for pool, at in parts)])
                  for name in Pool._fields))  # fmt: skip


def atc(reference: Pool, own: np.ndarray, live: Pool) -> float:
    """The share of live answers above the confidence that has the reference's accuracy above it."""
    return float((live.confidence >= np.quantile(reference.confidence[own], 1 - reference.right[own].mean())).mean())


def cbpe(reference: Pool, own: np.ndarray, live: Pool) -> float:
    w = regression(log_odds(reference.confidence[own])[:, None], reference.right[own], 1e-6)
    return float((1 / (1 + np.exp(-(w[0] + w[1] * log_odds(live.confidence))))).mean())


def log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 0.01, 0.99)
    return np.log(p / (1 - p))


def grown(shift: Shift, found: dict[str, Pool], reference: Evidence, rng: np.random.Generator) -> Evidence:
    """The reference with the answers that were rated in five earlier months of the same kind."""
    parts = [reference]
    for _ in range(5):
        live = month(shift, found, rng)
        p = probabilities(live.worth, 50)
        drawn = np.argsort(rng.random(MONTH) / p, kind="stable")[:50]
        parts.append(Evidence(live.shown[drawn], live.right[drawn], p[drawn]))
    return Evidence(*(np.concatenate([part[n] for part in parts]) for n in range(3)))


def labeled(live: Pool, count: int, reference: Evidence, expected: Expected, rng: np.random.Generator) -> Estimated:
    """The estimate with as many labels, drawn as the queue draws them."""
    p = probabilities(live.worth, count)
    drawn = np.argsort(rng.random(MONTH) / p, kind="stable")[:count]
    right, probability = np.full(MONTH, np.nan), np.full(MONTH, np.nan)
    right[drawn], probability[drawn] = live.right[drawn], p[drawn]
    return accuracy(Evidence(live.shown, right, probability), reference, expected=expected)


def measured(shift: Shift, found: dict[str, Pool], months: int, seed: int) -> dict:
    rng, aurocs = np.random.default_rng(seed), []
    good = found[f"{shift.project} good"]
    rows: dict[str, list] = {}
    for _ in range(months):
        own = rng.choice(len(good.right), REFERENCE)
        reference = Evidence(good.shown[own], good.right[own], np.full(REFERENCE, np.nan))
        live = month(shift, found, rng)
        truth, none = float(live.right.mean()), np.full(MONTH, np.nan)
        bare = Evidence(live.shown, none, none)
        expected = expectation(bare, reference)
        aurocs.append(expected.shift)
        got = {"free": accuracy(bare, reference, expected=expected)}
        got |= {f"labels {n}": labeled(live, n, reference, expected, rng) for n in LABELS}
        more = grown(shift, found, reference, rng)
        got[LATER] = labeled(live, 50, more, expectation(bare, more), rng)
        for name, one in got.items():
            rows.setdefault(name, []).append((one.mean, one.low, one.high, truth, one.method))
        plain = {"atc": atc(good, own, live), "cbpe": cbpe(good, own, live)}
        plain |= {f"plain {n}": float(live.right[rng.choice(MONTH, n, replace=False)].mean()) for n in LABELS}
        for name, value in plain.items():
            rows.setdefault(name, []).append((value, 0.0, 0.0, truth, ""))
    return {"shift": shift.name, "truth": float(np.mean([r[3] for r in rows["free"]])),
            "auroc": float(np.mean(aurocs)), **{name: figures(own) for name, own in rows.items()}}  # fmt: skip


def figures(rows: Sequence[tuple]) -> dict[str, float]:
    known = [r for r in rows if r[0] is not None]
    errors = np.array([abs(r[0] - r[3]) for r in known])
    return {
        "unknown": 1 - len(known) / len(rows), "error": float(errors.mean()) if known else float("nan"),
        "bias": float(np.mean([r[0] - r[3] for r in known])) if known else float("nan"),
        "within_3": float((errors <= 0.03).mean()) if known else float("nan"),
        "held": float(np.mean([r[1] <= r[3] <= r[2] for r in known])) if known else float("nan"),
        "width": float(np.mean([r[2] - r[1] for r in known])) if known else float("nan"),
        "both": float(np.mean([r[4] == "both" for r in rows])),
    }  # fmt: skip


def show(row: dict) -> None:
    f = row["free"]
    print(f"{row['shift']:<40}{row['truth']:>6.1%} AUROC {row['auroc']:.2f} | unknown {f['unknown']:>4.0%}  "
          f"error {100 * f['error']:>4.1f}  held {f['held']:>4.0%} ±{50 * f['width']:>4.1f} | "
          f"ATC {100 * row['atc']['error']:>4.1f}  CBPE {100 * row['cbpe']['error']:>4.1f}", end="")  # fmt: skip
    for n in LABELS:
        few = row[f"labels {n}"]
        print(f" | {n} labels: error {100 * few['error']:>4.1f} (plain {100 * row[f'plain {n}']['error']:>4.1f})  "
              f"held {few['held']:>4.0%} ±{50 * few['width']:>4.1f}", end="")  # fmt: skip
    late = row[LATER]
    print(f" | sixth month of 50: error {100 * late['error']:>4.1f}  held {late['held']:>4.0%} "
          f"±{50 * late['width']:>4.1f}", flush=True)  # fmt: skip


def summed(rows: Sequence[dict]) -> dict[str, float]:
    """Over the shifts; those that are mostly unknown count only where there are labels."""
    told = [r for r in rows if r["free"]["unknown"] < 0.5]
    within = {"free": told, "atc": rows, "cbpe": rows, LATER: rows, **{f"labels {n}": rows for n in LABELS},
              **{f"plain {n}": rows for n in LABELS}}  # fmt: skip
    errors = {f"error {name}": float(np.nanmean([r[name]["error"] for r in own])) for name, own in within.items()}
    on_told = {f"error {name}, told": float(np.mean([r[name]["error"] for r in told])) for name in ("atc", "cbpe")}
    held = {f"held {name}": float(np.nanmean([r[name]["held"] for r in own])) for name, own in within.items()
            if name in ("free", LATER) or name.startswith("labels")}  # fmt: skip
    return {"told": float(len(told)), **errors, **on_told, **held}


PEOPLE = {  # chance that a right answer, a wrong one, is voted on, and of a vote to be true; that it is flagged
    "votes on 5 % of right, 20 % of wrong answers": (0.05, 0.2, 0.9, 0, 0),
    "votes on 10 % and 40 %": (0.1, 0.4, 0.95, 0, 0),
    "votes on 20 % of either": (0.2, 0.2, 0.9, 0, 0),
    "votes on 20 % and 5 %": (0.2, 0.05, 0.9, 0, 0),
    "flags on 1 % and 5 %": (0, 0, 1, 0.01, 0.05),
    "flags on 5 % and 30 %": (0, 0, 1, 0.05, 0.3),
}


def people(months: int) -> dict[str, dict[str, float]]:
    """Mean error in points of drawn labels alone, of these with thumbs and verdicts, and of the mean of all labels."""
    found = {}
    for name, (votes_right, votes_wrong, true, flags_right, flags_wrong) in PEOPLE.items():
        rng, rows = np.random.default_rng(1), []
        for _ in range(months):
            z = rng.normal(size=(MONTH, 2))
            right = (rng.random(MONTH) < 1 / (1 + np.exp(-(0.75 + 1.3 * z[:, 0])))).astype(float)
            shown = 1 / (1 + np.exp(-(0.75 + z[:, 0] + 0.7 * z[:, 1])))[:, None]
            up = np.where(rng.random(MONTH) < true, right, 1 - right)
            voted = rng.random(MONTH) < np.where(right > 0, votes_right, votes_wrong)
            flagged = rng.random(MONTH) < np.where(right > 0, flags_right, flags_wrong)
            drawn = np.argsort(rng.random(MONTH))[:50]
            said, probability = np.full(MONTH, np.nan), np.full(MONTH, np.nan)
            said[drawn], probability[drawn] = right[drawn], 50 / MONTH
            more = np.where(flagged, right, said)
            bare = accuracy(Evidence(shown, said, probability), None)
            full = accuracy(Evidence(shown, more, probability, None, flagged, MONTH, voted * (2 * up - 1)), None)
            rows.append((bare.mean, full.mean, np.nanmean(more), full.low <= right.mean() <= full.high, right.mean()))
        made = np.array(rows, dtype=float)
        errors = 100 * np.abs(made[:, :3] - made[:, 4:]).mean(0)
        found[name] = dict(zip(("labels", "with people", "mean of all"), map(float, errors), strict=True))
        found[name] |= {"bias": 100 * float((made[:, 1] - made[:, 4]).mean()), "held": float(made[:, 3].mean())}
        print(f"{name:<46}" + "  ".join(f"{k} {v:.2f}" for k, v in found[name].items()), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=Path("/work/scratch/estimate"))
    parser.add_argument("--months", type=int, default=500)
    parser.add_argument("--projects", nargs="*", default=["bank", "concierge"])
    parser.add_argument("--exams", type=Path, default=HERE.parents[1] / "shared" / "data" / "cascade")
    parser.add_argument("--people", action="store_true", help="only what thumbs and verdicts add")
    given = parser.parse_args()
    if given.people:
        people(given.months)
        return
    embedder, found = OnnxEmbedder(Catalog().folder / "minilm-l6-v2"), {}
    if {"bank", "concierge"} & set(given.projects):
        lines = (given.rows / "rows.jsonl").read_text(encoding="utf-8").strip().split("\n")
        found |= pools([json.loads(line) for line in lines], embedder)
    if "exams" in given.projects:
        found |= exams(given.exams, embedder)
    for name, pool in sorted(found.items()):
        print(f"{name}: {len(pool.right)} answers, {pool.right.mean():.1%} right")
    started, results = time.perf_counter(), []
    for n, shift in enumerate(SHIFTS):
        if shift.project in given.projects and all(
            f"{shift.project} {c}" in found for c, _ in (*shift.mix, ("good", 0))
        ):
            results.append(measured(shift, found, given.months, 100 + n))
            show(results[-1])
    total = summed(results)
    for name, value in total.items():
        print(f"  {name:<22}{value:.3f}")
    print(f"{time.perf_counter() - started:.0f} s")
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "estimate.json").write_text(json.dumps({"months": given.months, "shifts": results, "all": total}, indent=1))


if __name__ == "__main__":
    main()
