"""From intervals to a recommendation, by rules that the report prints with the figures that they looked at.

Arms cost more from left to right: base, prompt, rag, tuned, tuned+rag. Starting from base, a dearer arm takes the place
of the one held so far only if the interval of its gain over that one starts above evaluation.smallest_gain, and if it
does not state significantly more that nothing bears out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from inhouse.types import Estimate, Json

BY_COST = ("base", "prompt", "rag", "tuned", "tuned+rag")
ENOUGH_QUESTIONS = 30
FORGETTING = 0.05
SENTENCES = {
    "base": "Do not customize: the base model as it is does as well as anything tried here.",
    "prompt": "Use the prompt alone: do not fine-tune, and leave retrieval out.",
    "rag": "Use rag alone: do not fine-tune.",
    "tuned": "Use the tuned model without retrieval.",
    "tuned+rag": "Use the tuned model with retrieval.",
}

Gain = Callable[[str, str, str], Estimate | None]


def recommend(
    arms: Sequence[str],
    gain: Gain,
    smallest_gain: float,
    detectable: float,
    questions: int,
    general_change: Estimate | None,
) -> dict[str, Json]:
    """The arm to use, why, and the rules that fired.

    Args:
        arms: those that were run.
        gain: (metric, arm, other) -> paired gain of arm over other.
        smallest_gain: from [evaluation].
        detectable: the smallest gain in accuracy that this test set could have seen.
        questions: how many were asked.
        general_change: of general ability through tuning, None when nothing was tuned.
    """
    held = "base"
    rules: list[str] = []
    for arm in (a for a in BY_COST[1:] if a in arms):
        accuracy, wrong = gain("accuracy", arm, held), gain("unsupported", arm, held)
        if accuracy is None:
            continue
        better = accuracy.low > smallest_gain
        worse_facts = wrong is not None and wrong.low > 0
        verdict = "takes its place" if better and not worse_facts else "does not pay"
        why = f"gain in accuracy over {held} {points(accuracy)}, which must start above {100 * smallest_gain:+.0f}"
        if worse_facts and wrong is not None:
            why += f"; unsupported statements rise by {points(wrong)}"
        rules.append(f"{arm} {verdict}: {why}.")
        if better and not worse_facts:
            held = arm
    sentence = SENTENCES[held] + _because(held, arms, gain)
    warnings = _warnings(held, detectable, questions, general_change)
    return {"arm": held, "sentence": sentence, "rules": rules, "warnings": warnings}


def points(e: Estimate) -> str:
    """An estimate in points of a hundred."""
    return f"{100 * e.mean:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def _because(held: str, arms: Sequence[str], gain: Gain) -> str:
    text = ""
    if held != "base" and (over_base := gain("accuracy", held, "base")):
        text += f" Its accuracy is {points(over_base)} points over the base model's."
    dearer = [a for a in BY_COST[BY_COST.index(held) + 1 :] if a in arms]
    for arm in dearer:
        found = gain("accuracy", arm, held)
        if found is None:
            continue
        if found.high < 0:
            text += f" {arm} loses {points(found)} points."
        elif found.low <= 0:
            text += f" {arm} changes {points(found)} points, which this test set cannot tell from nothing."
        else:
            text += f" {arm} adds {points(found)} points, too little for what it costs or for what it makes up."
    return text


def _warnings(held: str, detectable: float, questions: int, general_change: Estimate | None) -> list[str]:
    found = []
    if questions < ENOUGH_QUESTIONS:
        found.append(
            f"Only {questions} questions were asked; with fewer than {ENOUGH_QUESTIONS} nothing small can be seen."
        )
    if detectable > 0.3:
        found.append(f"This test set can only show gains from {100 * detectable:.0f} points on.")
    if held.startswith("tuned") and general_change is not None and general_change.mean < -FORGETTING:
        found.append(f"Tuning changed general ability by {points(general_change)} points.")
    return found


def gap_closed(values: Mapping[str, float]) -> dict[str, float]:
    """The share of the way from base to oracle that each arm goes; empty when the oracle is no better than base."""
    if "oracle" not in values or values["oracle"] - values["base"] <= 0.01:
        return {}
    gap = values["oracle"] - values["base"]
    return {arm: (v - values["base"]) / gap for arm, v in values.items() if arm not in ("base", "oracle")}


def explained() -> list[str]:
    """The rules in words, for the report."""
    return [" ".join((__doc__ or "").split("\n\n", 1)[1].split())]
