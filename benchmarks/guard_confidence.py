"""How well answers recorded by `guard_answers.py` are told apart: confidence, and unsupported statements.

`guardrails.py --sections confidence unsupported --answers FOLDER ...` runs both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail_training import data as sets
from guardrail_training.train_classifiers import auroc
from inhouse.chat import ChatRequest
from inhouse.evaluation.scorers import is_right
from inhouse.guardrails.confidence.calibration import FEWEST, calibration_error, fit
from inhouse.guardrails.confidence.features import FeatureExtractor
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import evidence_of, with_title
from inhouse.guardrails.rail import Turn
from inhouse.text import claims
from inhouse.text.support import SUPPORTED
from inhouse.types import Message, Passage

if TYPE_CHECKING:
    from guardrails import Bench


def _answers(folder: Path) -> list[dict]:
    file = folder / "answers.jsonl"
    return sets.lines(file) if file.is_file() else []


def confidence(b: Bench, folders: Sequence[Path]) -> dict:
    """Fits the confidence to half of a model's answers and verifies the error target on the other half."""
    results = {}
    for folder in folders:
        answers = _answers(folder)
        rows = [r for r in answers if not r["declined"]]  # a reply that declines is no answer
        if len(rows) < 2 * FEWEST:
            print(f"confidence: {len(rows)} answers in {folder}: too few")
            continue
        b.on_disk.embed([w for r in rows for p in r["passages"] for w in claims.sentences(with_title(Passage(**p)))])
        extract = FeatureExtractor(b.groundedness, b.embedder)
        x = np.array([extract(r["text"], _turn(r)) for r in rows])
        y = np.array([is_right(r["scores"]) for r in rows])
        alone = np.array([r["confidence"] or 0.0 for r in rows])
        repeats = [_half(x, y, alone, seed) for seed in range(20)]
        row = {k: float(np.mean([r[k] for r in repeats])) for k in repeats[0]} | _calibrated(x, y)
        missed = float(np.mean([r["wrong"] > r["target"] and r["answered"] > 0 for r in repeats]))
        results[folder.name] = {"answers": len(rows), "right": float(y.mean()), **row, "target_missed": missed}
        print(f"confidence, {folder.name}: {len(rows)} answers to {len(answers)} questions, {y.mean():.2f} right, "
              f"ECE {row['ece']:.3f} (aim .05; {row['ece_chance']:.3f} by chance), AUROC {row['auroc']:.3f}, "
              f"with token probability {row['auroc_alone']:.3f}")  # fmt: skip
        print(f"  error target {row['target']:.2f}: answered {row['answered']:.3f}, wrong {row['wrong']:.3f}, "
              f"missed in {missed:.2f}; at 5 % wrong {row['at5']:.3f} answered, by tokens {row['at5_alone']:.3f}; "
              f"at 20 % {row['at20']:.3f} and {row['at20_alone']:.3f}")  # fmt: skip
    return results


def _turn(row: dict) -> Turn:
    messages = tuple(Message(**m) for m in row["example"]["messages"])
    return Turn(ChatRequest(messages=messages), tuple(Passage(**p) for p in row["passages"]),
                certainty=row["confidence"], second=row["second"])  # fmt: skip


def _calibrated(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The calibration error of all answers, each scored by a fit to the other four fifths, over five ways to split; and
    that of simulated answers that are right exactly as often as predicted."""
    errors, by_chance = [], []
    for seed in range(5):
        fold, p = np.random.default_rng(seed).permutation(len(y)) % 5, np.zeros(len(y))
        for f in range(5):
            p[fold == f] = fit(x[fold != f], y[fold != f], 0.05).probability(x[fold == f])
        errors.append(calibration_error(p, y.astype(float)))
        drawn = np.random.default_rng(seed).random((100, len(p))) < p
        by_chance += [calibration_error(p, d * 1.0) for d in drawn]
    return {"ece": float(np.mean(errors)), "ece_chance": float(np.mean(by_chance))}


def _half(x: np.ndarray, y: np.ndarray, alone: np.ndarray, seed: int) -> dict[str, float]:
    half = np.random.default_rng(seed).permutation(len(y)) % 2 == 0
    fitted = fit(x[half], y[half], 0.05)
    p, truth = fitted.probability(x[~half]), y[~half].astype(float)
    kept = p >= fitted.threshold
    return {
        "target": 0.05, "auroc": auroc(p[truth > 0], p[truth == 0]),
        "auroc_alone": auroc(alone[~half][truth > 0], alone[~half][truth == 0]), "answered": float(kept.mean()),
        "wrong": float(1 - truth[kept].mean()) if kept.any() else 0.0,
        "at5": _coverage(p, truth, 0.05), "at5_alone": _coverage(alone[~half], truth, 0.05),
        "at20": _coverage(p, truth, 0.2), "at20_alone": _coverage(alone[~half], truth, 0.2),
    }  # fmt: skip


def _coverage(p: np.ndarray, right: np.ndarray, wrong: float) -> float:
    """The largest share answered, most confident first, of which at most `wrong` are wrong."""
    order = np.argsort(-p, kind="stable")
    risk = np.cumsum(1 - right[order]) / np.arange(1, len(p) + 1)
    ok = np.flatnonzero(risk <= wrong)
    return float((ok[-1] + 1) / len(p)) if len(ok) else 0.0


def unsupported(b: Bench, folders: Sequence[Path]) -> dict:
    """The unsupported statements of a model's answers, before and after the rail.

    The judge is the lexical support score of the verdict against reference and passages, which the rail does not use;
    and a person, where the folder has a read.json: by id of the example and by statement, whether it is supported.
    Statements that the person left out do not count.
    """
    results = {}
    for folder in folders:
        file = folder / "read.json"
        judges = {"lexical": None} | ({"person": json.loads(file.read_text(encoding="utf-8"))} if file.exists() else {})
        for judge, labels in judges.items():
            rows = [_claimed(b, row, labels) for row in _answers(folder) if labels is None or row["id"] in labels]
            for name, cut, answers in _cuts(rows):
                bad = [support for r in answers for support, bad in r["claims"] if bad]
                good = [r for r in answers if r["good"]]
                lost = sum(any(support <= cut for support, _ in r["claims"]) for r in good)
                left = sum(support > cut for support in bad)
                results[f"{folder.name}, {judge}, {name}"] = {
                    "answers": len(answers), "cut": cut, "before": len(bad), "after": left, "good": len(good),
                    "lost": lost,
                }  # fmt: skip
                share, touched = 1 - left / max(len(bad), 1), lost / max(len(good), 1)
                print(f"unsupported, {folder.name}, {judge}, {name} ({cut:.2f}): {len(bad)} statements of "
                      f"{len(answers)} answers before, {left} after (cut by {share:.2f}, aim .63); "
                      f"{len(good)} good answers, {lost} of them touched ({touched:.3f}, aim .05)")  # fmt: skip
    return results


def _cuts(rows: list[dict]) -> list[tuple[str, float, list[dict]]]:
    """The shipped threshold on all answers and on those of the test; and the one that `inhouse calibrate` suggests from
    the validation, on the test."""
    shipped = 1 - alignment.shipped().threshold
    test = [r for r in rows if r["split"] == "test"]
    cuts = [("as shipped", shipped, rows), ("as shipped, test only", shipped, test)]
    least = sorted(
        min(support for support, _ in r["claims"])
        for r in rows if r["split"] == "validation" and r["good"] and r["claims"]
    )  # fmt: skip
    if spare := int(0.05 * len(least)):
        cuts.append(("fitted on the validation", max(least[spare] - 1e-6, shipped), test))
    return cuts


def _claimed(b: Bench, row: dict, labels: dict | None) -> dict:
    """An answer's claims, each with its support and whether the judge calls it unsupported; and whether the answer is
    good: right, with every claim supported."""
    turn = _turn(row)
    evidence = evidence_of(turn, b.embedder)
    texts = [*([row["example"]["target"]] if row["example"]["target"] else []), *map(with_title, turn.passages)]
    judged = []
    for statement, support in b.groundedness.claims(row["text"], evidence):
        if labels is None:
            judged.append((support, b.support.support(statement, texts) < SUPPORTED))
        elif statement in labels[row["id"]]:
            judged.append((support, not labels[row["id"]][statement]))
    good = is_right(row["scores"]) and not any(bad for _, bad in judged)
    return {"split": row["split"], "claims": judged, "good": good}
