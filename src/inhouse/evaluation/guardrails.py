"""What the guardrails did on the held-out questions: what they changed, what they cost, how reliable confidence was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from inhouse.config.sections import Guardrails
from inhouse.evaluation import compare
from inhouse.evaluation.evaluate import Answer
from inhouse.evaluation.scorers import is_right
from inhouse.types import Json
from inhouse.verdict import (
    ConfidenceBin,
    ConfidenceResults,
    CurvePoint,
    GuardrailResults,
    RailCounts,
    RailQuality,
    RailsEffect,
)

ENDS = ("block", "handoff")
BINS = 8


def guardrail_results(
    per_arm: Mapping[str, Sequence[Answer]],
    settings: Guardrails,
    quality: Sequence[Mapping[str, Json]],
    calibrated: Mapping[str, Mapping[str, Json]],
    seed: int,
) -> GuardrailResults:
    """The report's part on guardrails.

    Args:
        per_arm: answers of the arms that had guardrails.
        settings: the rails in their order, and the error target.
        quality: what each rail reached on labeled lines, as shipped.
        calibrated: what the calibration of each arm led to.
        seed: of the bootstrap.
    """
    confidence = {
        arm: confidence_results(answers, settings.max_wrong, calibrated.get(arm, {}))
        for arm, answers in per_arm.items()
    }
    return GuardrailResults(
        names=settings.rails,
        quality=tuple(RailQuality.of(q) for q in quality if q["rail"] in settings.rails),
        counts={arm: rail_counts(answers) for arm, answers in per_arm.items()},
        effect={arm: effect(answers, seed) for arm, answers in per_arm.items()},
        confidence={arm: c for arm, c in confidence.items() if c},
    )


def rail_counts(answers: Sequence[Answer]) -> dict[str, RailCounts]:
    """By rail: questions with a finding by side, answers that it ended, failures, and the time it added.

    Held-out questions are ordinary business: what is blocked or handed off at the input is a false alarm.
    """
    names = dict.fromkeys([r for a in answers for r in (*a.rails_ms, *(f["rail"] for f in a.findings))])
    counts = {}
    for name in names:
        own = [[f for f in a.findings if f["rail"] == name] for a in answers]
        counts[name] = RailCounts(
            sides=Counter(side for findings in own for side in {f["side"] for f in findings}),
            ended=sum(name in _ended(a) for a in answers),
            failed=sum(any(f.get("failed") for f in findings) for findings in own),
            ms=compare.percentiles_ms([a.rails_ms[name] / 1000 for a in answers if name in a.rails_ms]),
        )
    return counts


def effect(answers: Sequence[Answer], seed: int) -> RailsEffect:
    """Unsupported statements without and with the guardrails, and the right answers that they cost."""
    good = [a for a in answers if not a.failed]
    own = [a.unguarded_scores or a.scores for a in good]
    without = [float(s.get("unsupported", math.nan)) for s in own]
    guarded = [float(a.scores.get("unsupported", math.nan)) for a in good]
    sample = compare.Sample(seed)
    before, after = sample.estimate(without), sample.estimate(guarded)
    was = [is_right(s) for s in own]
    now = [is_right(a.scores) for a in good]
    return RailsEffect(
        questions=len(good),
        changed=sum(a.unguarded is not None for a in good),
        without=before,
        guarded=after,
        change=sample.gain(guarded, without),
        cut=1 - after.mean / before.mean if before and after and before.mean else 0.0,
        right_without=sum(was),
        lost=sum(a and not b for a, b in zip(was, now, strict=True)),
        won=sum(b and not a for a, b in zip(was, now, strict=True)),
    )


def confidence_results(
    answers: Sequence[Answer], wanted: float, calibrated: Mapping[str, Json]
) -> ConfidenceResults | None:
    """How well confidence tells right answers from wrong ones, and what the error target led to; None without it.

    The curve answers the most confident questions first: `answered` is the share of all questions, `wrong` the share
    of those. Replies that decline, and those that another rail ended, are no answers. Whether an answer is wrong is
    judged before the rail withheld it.

    Args:
        answers: of one arm.
        wanted: the error target of the project file.
        calibrated: what the arm's calibration led to.
    """
    given = [a for a in answers if not (a.failed or a.confidence is None or a.declined or _ended(a) - {"confidence"})]
    if len(given) < BINS:
        return None
    rows = sorted(((float(a.confidence or 0.0), _right(a)) for a in given), reverse=True)
    curve, wrong = [], 0
    for n, (p, right) in enumerate(rows, 1):
        wrong += not right
        if n == len(rows) or rows[n][0] < p:  # equal confidences are answered together
            curve.append(CurvePoint(answered=n / len(answers), wrong=wrong / n, confidence=p))
    rising = rows[::-1]
    edges = [round(k * len(rising) / BINS) for k in range(BINS + 1)]
    parts = [rising[a:b] for a, b in pairwise(edges) if b > a]
    bins = tuple(
        ConfidenceBin(confidence=sum(p for p, _ in part) / len(part), right=sum(r for _, r in part) / len(part),
                      n=len(part)) for part in parts)  # fmt: skip
    kept = [a for a in given if not _ended(a)]
    return ConfidenceResults(
        calibrated=any("confidence" in a.rails_ms for a in answers),
        error_target=calibrated.get("target", wanted),
        wanted=wanted,
        reason=calibrated.get("reason", ""),
        questions=len(answers),
        given=len(given),
        declined=sum(a.declined for a in answers),
        handed_off=len(given) - len(kept),
        answered=len(kept),
        wrong=sum(not _right(a) for a in kept),
        calibration_error=sum(b.n * abs(b.confidence - b.right) for b in bins) / len(rows),
        curve=tuple(curve),
        bins=bins,
    )


def _ended(answer: Answer) -> set[str]:
    """The rails that replaced the answer."""
    return {f["rail"] for f in answer.findings if f["action"] in ENDS}


def _right(answer: Answer) -> bool:
    """Whether it is not wrong: what is partly right does not count against the error target."""
    return not (answer.checked_scores or answer.scores)["wrong"]


def confidence_warnings(calibrated: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
    """By arm, what a reader of the verdict must know: that an error target looser than the wanted one is kept, or none.

    Args:
        calibrated: what the calibration of each arm led to.
    """
    warnings = {}
    for arm, facts in calibrated.items():
        if facts.get("reason"):
            warnings[arm] = f"No error target is kept, since confidence could not be calibrated: {facts['reason']}."
        elif facts["target"] == 1:
            warnings[arm] = (
                f"No error target is kept: on {facts['examples']} answers, none up to {facts['targets'][-1][0]:.0%} "
                "leaves enough of them (guardrails.min_answered)."
            )
        elif facts["target"] > facts["wanted"]:
            warnings[arm] = (
                f"The served model keeps to at most {100 * facts['target']:g}% wrong among its answers, not "
                f"{100 * facts['wanted']:g}%: on {facts['examples']} held-out answers, a stricter target would hand "
                "over more of them than guardrails.min_answered allows."
            )
    return warnings
