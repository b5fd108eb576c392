"""What learning from feedback changed: on questions like those with feedback, and on all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from inhouse.evaluation.compare import Sample
from inhouse.evaluation.evaluate import ArmRun
from inhouse.types import Embedder, Estimate, Example
from inhouse.verdict import FeedbackEffect, points

PAIRS = (("tuned+feedback", "tuned"), ("tuned+feedback+rag", "tuned+rag"))


def touched(examples: Sequence[Example], questions: Sequence[str], embedder: Embedder, similar: float) -> list[bool]:
    """Whether each example's question is at least so similar (cosine) to one of the questions."""
    if not examples or not questions:
        return [False] * len(examples)
    ours, theirs = embedder.embed([e.question for e in examples]), embedder.embed(list(questions))
    return [bool(v) for v in (ours @ theirs.T).max(axis=1) >= similar]


def feedback_effects(runs: Mapping[str, ArmRun], near: Sequence[bool], seed: int) -> tuple[FeedbackEffect, ...]:
    """For each arm that learned from feedback, the paired changes in accuracy over the arm without; `near` says which
    questions the feedback touches, in the order of the answers."""
    sample = Sample(seed)

    def change(arm: str, over: str, wanted: bool) -> Estimate | None:
        ours, theirs = (
            [a.scores.get("accuracy", math.nan) for a, n in zip(runs[name].answers, near, strict=True) if n == wanted]
            for name in (arm, over)
        )
        return sample.gain(ours, theirs)

    return tuple(
        FeedbackEffect(
            arm=arm, over=over, touched=sum(near), untouched=len(near) - sum(near),
            touched_change=change(arm, over, True), untouched_change=change(arm, over, False),
        )
        for arm, over in PAIRS if arm in runs and over in runs
    )  # fmt: skip


def lost(arm: str, effects: Sequence[FeedbackEffect], most: float) -> str:
    """Why an arm that learned from feedback may not be used: other questions lose more than `most` accuracy, or nobody
    knows what they lose; "" if it may. The mean counts: to exclude a point takes thousands of questions."""
    effect = next((e for e in effects if e.arm == arm), None)
    if effect is None:
        return f"what other questions lost was not measured: add {arm.replace('+feedback', '')} to evaluation.arms"
    change = effect.untouched_change
    if change is None:
        return "every test question is similar to one with feedback, so nothing shows what others lost"
    return "" if change.mean >= -most else on_others(effect, most)


def on_others(effect: FeedbackEffect, most: float) -> str:
    """What an arm that learned from feedback lost on other questions, in words."""
    change = f"{points(effect.untouched_change)} points over {effect.over}" if effect.untouched_change else "unknown"
    return f"accuracy on {effect.untouched} questions without feedback: {change}; at most {100 * most:g} may be lost"
