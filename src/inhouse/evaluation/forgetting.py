"""A small fixed set of general tasks, asked before and after fine-tuning: what the model forgets.

They were written for this project and are easy on purpose, since only the change matters. Each task has a few words;
the answer must contain one of them.

After continued pre-training they decide, together with bits per byte of general text, whether it may be promoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from inhouse.config.pretraining import Pretraining
from inhouse.evaluation.compare import Sample
from inhouse.types import Checks, Example, Json, Message
from inhouse.verdict import PretrainingEffect, points

_TASKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What is 2 plus 3? Reply with the number.", ("5", "five")),
    ("What is 10 minus 4? Reply with the number.", ("6", "six")),
    ("How many days does a week have?", ("7", "seven")),
    ("How many months does a year have?", ("12", "twelve")),
    ("What is the capital of France?", ("Paris",)),
    ("What is the capital of Italy?", ("Rome",)),
    ("What is the capital of Japan?", ("Tokyo",)),
    ("What is the capital of Germany?", ("Berlin",)),
    ("On which continent does Egypt lie?", ("Africa",)),
    ("On which continent does Brazil lie?", ("America",)),
    ("What color is the sky on a clear day?", ("blue",)),
    ("What color do you get by mixing blue and yellow?", ("green",)),
    ("What do bees make?", ("honey",)),
    ("Which animal says meow?", ("cat",)),
    ("Which animal barks?", ("dog",)),
    ("How many legs does a spider have?", ("8", "eight")),
    ("What is frozen water called?", ("ice",)),
    ("Which planet do we live on?", ("Earth",)),
    ("Which star gives us daylight?", ("Sun",)),
    ("What gas do people need to breathe?", ("oxygen",)),
    ("What is the opposite of hot?", ("cold", "cool")),
    ("What is the opposite of up?", ("down",)),
    ("What is the opposite of early?", ("late",)),
    ("What is the plural of child?", ("children",)),
    ("What is the past tense of go?", ("went",)),
    ("Which letter comes after B in the alphabet?", ("C",)),
    ("Name a fruit that is yellow and long.", ("banana",)),
    ("What do you call a baby cat?", ("kitten",)),
    ("Which season comes after winter?", ("spring",)),
    ("Which meal do people eat in the morning?", ("breakfast",)),
    ("Name the largest ocean on Earth.", ("Pacific",)),
    ("Who wrote the play Romeo and Juliet?", ("Shakespeare",)),
    ("In which language is the word bonjour a greeting?", ("French",)),
    ("What instrument has black and white keys?", ("piano",)),
    ("Complete the sentence: The sun rises in the", ("east",)),
    ("Complete the sentence: An apple a day keeps the doctor", ("away",)),
    ("Reply with the single word yes.", ("yes",)),
    ("Repeat this word: window", ("window",)),
    ("Is ice hot or cold?", ("cold",)),
    ("Is an elephant bigger than a mouse? Answer yes or no.", ("yes",)),
)
MAX_TOKENS = 24
ROUNDING = 1e-9


def general_examples() -> list[Example]:
    """The tasks as examples."""
    return [
        Example(
            id=f"general-{n}",
            messages=(Message(role="user", content=question),),
            target="",
            checks=Checks(must_include=(words,)),
            tags=("general",),
        )
        for n, (question, words) in enumerate(_TASKS)
    ]


def right(example: Example, text: str) -> float:
    """1 if the answer contains one of the words, else 0."""
    ways = example.checks.must_include[0]
    return float(any(re.search(rf"(?i)\b{re.escape(w)}\b", text) for w in ways))


def effect(
    facts: Mapping[str, Json], answers: tuple[Sequence[float], Sequence[float]], settings: Pretraining, seed: int,
    tuned: bool = False,
) -> PretrainingEffect:  # fmt: skip
    """What continued pre-training changed, alone or with the fine-tuning after it (`tuned`).

    Args:
        facts: of the artifact: bits per byte before and after.
        answers: right (1) or wrong (0) on the general questions, of the base model and of the model after.
        settings: with the limits. The means decide: an interval of forty questions excludes no loss of two points.
        seed: of the bootstrap.
    """
    before, after = facts["bits_per_byte_before"], facts["bits_per_byte_after"]
    measured = {
        name: {"before": before[name], "after": after[name]} for name in ("domain", "general")
        if name in before and name in after
    }  # fmt: skip
    change = Sample(seed).gain(answers[1], answers[0])
    general = measured.get("general", {})
    rise = general["after"] / general["before"] - 1 if general else None
    reasons = []
    if rise is None:
        reasons.append("bits per byte of general text were not measured")
    elif rise > settings.max_general_loss + ROUNDING:
        limit = f"at most {100 * settings.max_general_loss:g}% is allowed"
        reasons.append(f"bits per byte of general text rise by {100 * rise:.1f}%, and {limit}")
    if change is None:
        reasons.append("the general questions were not asked")
    elif change.mean < -settings.max_question_loss - ROUNDING:
        limit = f"at most {100 * settings.max_question_loss:g} may be lost"
        reasons.append(f"general questions change by {points(change)} points, and {limit}")
    return PretrainingEffect(
        domain=measured.get("domain", {}), general=general, questions=change, tuned=tuned, forgets="; ".join(reasons)
    )
