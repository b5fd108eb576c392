"""From intervals to a recommendation, by rules that the report prints with the figures that they looked at.

Arms cost more from left to right: base, prompt, rag, tuned, tuned+feedback, tuned+rag, tuned+feedback+rag, experts,
experts+rag, cpt, cpt+rag, cpt+tuned, cpt+tuned+rag, cascade. experts has an adapter for each domain where tuned has one
for all. cpt is continued pre-training; an arm with a model that forgets more through it than [pretraining] allows does
not count.
Starting from base, a more expensive arm replaces the current one only if the interval of its gain in accuracy starts
above evaluation.smallest_gain, or if its accuracy is no lower and it gives fewer wrong answers by an interval
beyond that gain; and if it does not give significantly more wrong answers or unsupported statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.types import Estimate
from inhouse.verdict import Recommendation, points

BY_COST = ("base", "prompt", "rag", "tuned", "tuned+feedback", "tuned+rag", "tuned+feedback+rag", "experts",
           "experts+rag", "cpt", "cpt+rag", "cpt+tuned", "cpt+tuned+rag", "cascade")  # fmt: skip
EXPERTS = ("experts", "experts+rag")
PRETRAINED = {"cpt": "cpt", "cpt+rag": "cpt", "cpt+tuned": "cpt+tuned", "cpt+tuned+rag": "cpt+tuned"}  # its model
ENOUGH_QUESTIONS = 30
COARSE = 0.3  # a test set that can only show larger gains than this gets a warning
FORGETTING = 0.05
HARMS = {"wrong": "wrong answers", "unsupported": "unsupported statements"}
SENTENCES = {
    "base": "Do not customize: nothing tried here is worth its cost over the base model.",
    "prompt": "Use the prompt alone: do not fine-tune, and do not add retrieval.",
    "rag": "Use rag alone: do not fine-tune.",
    "tuned": "Use the fine-tuned model without retrieval.",
    "tuned+feedback": "Use the fine-tuned model that learned from feedback, without retrieval.",
    "tuned+rag": "Use the fine-tuned model with retrieval.",
    "tuned+feedback+rag": "Use the fine-tuned model that learned from feedback, with retrieval.",
    "experts": "Use the experts, without retrieval.",
    "experts+rag": "Use the experts, with retrieval.",
    "cpt": "Use the model after continued pre-training, without retrieval.",
    "cpt+rag": "Use the model after continued pre-training, with retrieval.",
    "cpt+tuned": "Use the model that was fine-tuned after continued pre-training, without retrieval.",
    "cpt+tuned+rag": "Use the model that was fine-tuned after continued pre-training, with retrieval.",
    "cascade": "Use the cascade.",
}

UNTRIED = {"prompt": "Use the prompt alone.", "rag": "Use rag."}
"""Where no fine-tuned arm was run: nothing is said about fine-tuning."""


@dataclass(frozen=True)
class Evidence:
    """What the rules look at.

    Attributes:
        arms: those that were run, base among them.
        gain: (metric, arm, other) -> paired gain of arm over other.
        smallest_gain: that counts, from [evaluation].
        detectable: the smallest gain in accuracy that this test set can show.
        questions: how many were asked.
        general_change: of general ability through fine-tuning, None when nothing was tuned.
        confidence: by arm, why the error target of the project file is not kept.
        forgets: why models of continued pre-training ("cpt", "cpt+tuned") may not be promoted; "" if they may.
        losses: by arm that learned from feedback, why it may not be released.
        closed: the experts whose questions the joint model was not trained for, since not everybody may ask them.
        hardly_trained: why the custom model had too little training, and what to do; "" when it had enough.
    """

    arms: Sequence[str]
    gain: Callable[[str, str, str], Estimate | None]
    smallest_gain: float
    detectable: float
    questions: int
    general_change: Estimate | None = None
    hardly_trained: str = ""
    confidence: Mapping[str, str] = field(default_factory=dict)
    forgets: Mapping[str, str] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)
    closed: Sequence[str] = ()

    def forgotten(self, arm: str) -> str:
        """Why the arm may not be promoted for what its model forgot, or other questions lost; "" if it may."""
        return self.losses.get(arm, "") or self.forgets.get(PRETRAINED.get(arm, ""), "")


def recommend(evidence: Evidence) -> Recommendation:
    """The arm to use, why, and what each rule found."""
    current = "base"
    rules: list[str] = []
    for arm in (a for a in BY_COST[1:] if a in evidence.arms):
        if why := evidence.forgotten(arm):
            rules.append(f"{arm} does not count: {why}.")
            continue
        accuracy = evidence.gain("accuracy", arm, current)
        if accuracy is None:
            continue
        fewer = _fewer_wrong(arm, current, accuracy, evidence)
        better, worse = accuracy.low > evidence.smallest_gain, _worse(arm, current, evidence)
        worth = (better or fewer is not None) and not worse
        limit = f"{100 * evidence.smallest_gain:+.1f}, the smallest gain that counts"
        text = (
            f"{arm} is {'' if worth else 'not '}worth its cost over {current}: accuracy changes by {points(accuracy)} "
            f"points, and the interval {'starts' if better else 'does not start'} above {limit}"
        )
        if fewer is not None:
            text += f"; wrong answers fall by {points(fewer)} points"
        for metric, change in worse.items():
            text += f"; {HARMS[metric]} rise by {points(change)} points"
        rules.append(f"{text}.")
        current = arm if worth else current
    return Recommendation(
        arm=current, sentence=_advice(current, evidence) + _because(current, evidence), rules=tuple(rules),
        warnings=tuple(_warnings(current, evidence)), method=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
    )  # fmt: skip


def _advice(current: str, evidence: Evidence) -> str:
    tuned = any("tuned" in arm for arm in evidence.arms)
    return SENTENCES[current] if tuned else UNTRIED.get(current, SENTENCES[current])


def _fewer_wrong(arm: str, current: str, accuracy: Estimate, evidence: Evidence) -> Estimate | None:
    """The change in wrong answers, where these fall by more than the smallest gain and accuracy does not."""
    change = evidence.gain("wrong", arm, current)
    falls = change is not None and change.high < -evidence.smallest_gain and accuracy.mean >= 0
    return change if falls else None


def _worse(arm: str, current: str, evidence: Evidence) -> dict[str, Estimate]:
    """The harms that the arm does significantly more often."""
    changes = {metric: evidence.gain(metric, arm, current) for metric in HARMS}
    return {metric: e for metric, e in changes.items() if e is not None and e.low > 0}


def _because(current: str, evidence: Evidence) -> str:
    text = ""
    read = [arm for arm in PRETRAINED if arm in evidence.arms]
    if read and current not in PRETRAINED:
        why = next(filter(None, map(evidence.forgotten, read)), "")
        text += " Do not continue pre-training" + (f": {why}." if why else ".")
    if current not in EXPERTS and not set(EXPERTS).isdisjoint(evidence.arms):
        text += " Do not use experts."
    if current != "base" and (over_base := evidence.gain("accuracy", current, "base")):
        text += f" It gains {points(over_base)} points of accuracy over the base model."
    for arm, why in evidence.losses.items():
        text += f" Do not use {arm}: {why}."
    for arm in (a for a in BY_COST[BY_COST.index(current) + 1 :] if a in evidence.arms and a not in evidence.losses):
        accuracy = evidence.gain("accuracy", arm, current)
        if accuracy is None:
            continue
        if accuracy.high < 0:
            text += f" {arm} is less accurate: {points(accuracy)} points."
        elif accuracy.low <= 0:
            text += f" {arm} differs by {points(accuracy)} points, which this test set cannot tell from zero."
        elif worse := _worse(arm, current, evidence):
            more = " and more ".join(HARMS[metric] for metric in worse)
            text += f" {arm} adds {points(accuracy)} points, but gives more {more}."
        else:
            text += f" {arm} adds {points(accuracy)} points, which may be less than the smallest gain that counts."
    return text


def _warnings(current: str, evidence: Evidence) -> list[str]:
    warnings = []
    if evidence.hardly_trained:
        warnings.append(f"The custom model is hardly trained, so its arms say little: {evidence.hardly_trained}.")
    if current in evidence.confidence:
        warnings.append(evidence.confidence[current])
    if evidence.closed and any(arm.startswith("tuned") for arm in evidence.arms):
        names = ", ".join(evidence.closed)
        warnings.append(f"The joint model was not trained on what only members of groups may know ({names}).")
    if evidence.questions < ENOUGH_QUESTIONS:
        warnings.append(
            f"Only {evidence.questions} questions were asked; fewer than {ENOUGH_QUESTIONS} show large gains only."
        )
    if evidence.detectable > COARSE:
        warnings.append(f"This test set can only show gains of {100 * evidence.detectable:.0f} points or more.")
    change = evidence.general_change
    if current.startswith("tuned") and change is not None and change.mean < -FORGETTING:
        warnings.append(f"Fine-tuning changed general ability by {points(change)} points.")
    return warnings


def gap_closed(values: Mapping[str, float]) -> dict[str, float]:
    """The share of the way from base to oracle that each arm goes; empty when the oracle is no better than base."""
    if "oracle" not in values or values["oracle"] - values["base"] <= 0.01:
        return {}
    gap = values["oracle"] - values["base"]
    return {arm: (v - values["base"]) / gap for arm, v in values.items() if arm not in ("base", "oracle")}
