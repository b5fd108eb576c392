"""What the guardrails were good for on the held-out questions: what they changed, what they cost, how sure was sure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from inhouse.evaluation import compare
from inhouse.evaluation.evaluate import Answer
from inhouse.evaluation.scorers import is_right
from inhouse.types import Json

ENDS = ("block", "handoff")
BINS = 8


def rails(answers: Sequence[Answer]) -> dict[str, dict[str, Json]]:
    """By rail: questions with a finding by side, exchanges that it ended, failures, and the time it added.

    Held-out questions are ordinary business: what is blocked or handed off at the input is a false alarm.
    """
    names = dict.fromkeys([r for a in answers for r in (*a.rails_ms, *(v["rail"] for v in a.findings))])
    found = {}
    for name in names:
        own = [[v for v in a.findings if v["rail"] == name] for a in answers]
        sides = Counter(side for findings in own for side in {v["side"] for v in findings})
        found[name] = {
            "sides": dict(sides),
            "ended": sum(name in _ended(a) for a in answers),
            "failed": sum(any(v.get("failed") for v in findings) for findings in own),
            "ms": compare.percentiles_ms([a.rails_ms[name] / 1000 for a in answers if name in a.rails_ms]),
        }
    return found


def effect(answers: Sequence[Answer], seed: int) -> dict[str, Json]:
    """Unsupported statements of what the model said and of what was left of it, and the right answers that it cost."""
    good = [a for a in answers if not a.failed]
    said = [a.said_scores or a.scores for a in good]
    without = [float(s.get("unsupported", math.nan)) for s in said]
    with_rails = [float(a.scores.get("unsupported", math.nan)) for a in good]
    before, after = compare.estimate(without, seed), compare.estimate(with_rails, seed)
    change = compare.gain(with_rails, without, seed)
    was = [is_right(s) for s in said]
    now = [is_right(a.scores) for a in good]
    return {
        "questions": len(good), "changed": sum(a.said is not None for a in good),
        "without": before.model_dump() if before else None, "with": after.model_dump() if after else None,
        "change": change.model_dump() if change else None,
        "cut": 1 - after.mean / before.mean if before and after and before.mean else 0.0,
        "right_without": sum(was), "lost": sum(a and not b for a, b in zip(was, now, strict=True)),
        "won": sum(b and not a for a, b in zip(was, now, strict=True)),
    }  # fmt: skip


def knowing(answers: Sequence[Answer], promise: float) -> dict[str, Json] | None:
    """How well confidence tells right answers from wrong ones, and what the promise came to; None without confidence.

    The curve answers the surest questions first: `answered` is the share of all questions, `wrong` the share of those.
    Replies that decline, and those that another rail ended, are no answers. Right is judged before the rail took what
    it was not sure of.
    """
    given = [a for a in answers if not (a.failed or a.confidence is None or a.declined or _ended(a) - {"confidence"})]
    if len(given) < BINS:
        return None
    rows = sorted(((float(a.confidence or 0.0), _right(a)) for a in given), reverse=True)
    curve, wrong = [], 0
    for n, (p, right) in enumerate(rows, 1):
        wrong += not right
        if n == len(rows) or rows[n][0] < p:  # equal confidences are answered together
            curve.append({"answered": n / len(answers), "wrong": wrong / n, "confidence": p})
    rising = rows[::-1]
    edges = [round(k * len(rising) / BINS) for k in range(BINS + 1)]
    parts = [rising[a:b] for a, b in pairwise(edges) if b > a]
    bins = [{"confidence": sum(p for p, _ in part) / len(part), "right": sum(r for _, r in part) / len(part),
             "n": len(part)} for part in parts]  # fmt: skip
    held = [a for a in given if _ended(a)]
    kept = [a for a in given if not _ended(a)]
    return {
        "calibrated": any("confidence" in a.rails_ms for a in answers), "promise": promise,
        "questions": len(answers), "given": len(given), "declined": sum(a.declined for a in answers),
        "held": len(held), "answered": len(kept), "wrong": sum(not _right(a) for a in kept),
        "error": sum(b["n"] * abs(b["confidence"] - b["right"]) for b in bins) / len(rows),
        "curve": curve, "bins": bins,
    }  # fmt: skip


def _ended(answer: Answer) -> set[str]:
    """The rails that put something else in the answer's place."""
    return {v["rail"] for v in answer.findings if v["action"] in ENDS}


def _right(answer: Answer) -> bool:
    return is_right(answer.checked_scores or answer.scores)


def table(
    per_arm: Mapping[str, Sequence[Answer]], names: Sequence[str], quality: Sequence[Mapping[str, Json]],
    promise: float, seed: int,
) -> dict[str, Json]:  # fmt: skip
    """The report's part on guardrails.

    Args:
        per_arm: answers of the arms that stood behind rails.
        names: the rails in their order.
        quality: what each rail reached on labelled lines, as shipped.
        promise: largest share of wrong answers among those given.
        seed: of the bootstrap.
    """
    return {
        "names": list(names),
        "quality": [dict(q) for q in quality if q["rail"] in names],
        "here": {arm: rails(answers) for arm, answers in per_arm.items()},
        "effect": {arm: effect(answers, seed) for arm, answers in per_arm.items()},
        "knowing": {arm: k for arm, answers in per_arm.items() if (k := knowing(answers, promise))},
    }
