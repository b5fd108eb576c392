"""What came of a question, as a customer sees it: one word for each answer, and the shares that a business looks at.

=============== ================================================================================================
right           an answer that states what the test asks for, or small talk without any fact
partly          an answer with some of several facts, and nothing that it must not state
wrong           any other answer, also one to a question that the documents do not answer
proper_handoff  handed to a person (or refused) where the test says that this is right
needless_handoff handed to a person although the documents have the answer
wrong_refusal   refused by a guardrail although the question is proper
failed          no answer
=============== ================================================================================================

Where a test has only a reference reply, an answer is right if it has half of the reference's facts or agrees with it,
and partly right from a quarter on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from inhouse.text.numbers import says
from inhouse.types import Example

Ended = Literal["", "block", "handoff"]
Outcome = Literal["right", "partly", "wrong", "proper_handoff", "needless_handoff", "wrong_refusal", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
GOOD = frozenset({"right", "proper_handoff"})
ANSWERED = frozenset({"right", "partly", "wrong"})
HALF, QUARTER = 0.5, 0.25
SMALL_TALK_WORDS = 40


def outcome_of(example: Example, text: str, scores: Mapping[str, float], ended: Ended, cited: bool) -> Outcome:
    """What came of one answer.

    Args:
        example: the question with its checks.
        text: the reply.
        scores: of the reply, from `Scorer.score`.
        ended: how the assistant ended the exchange without an answer, "" if it did not.
        cited: whether the reply cites a passage.
    """
    checks = example.checks
    if ended == "block" and not checks.must_not_answer:
        return "wrong_refusal"
    if not example.answerable:
        return "proper_handoff" if ended and scores["accuracy"] >= HALF else "wrong"
    if ended:
        return "proper_handoff" if checks.may_hand_off else "needless_handoff"
    if checks.small_talk:
        return "wrong" if cited or len(text.split()) > SMALL_TALK_WORDS or any(c.isdigit() for c in text) else "right"
    if checks.any:
        return _checked(example, text, scores)
    if scores.get("facts", 0.0) >= HALF or scores.get("agrees", 0.0) > 0:
        return "right"
    return "partly" if scores.get("facts", 0.0) >= QUARTER else "wrong"


def _checked(example: Example, text: str, scores: Mapping[str, float]) -> Outcome:
    if scores["accuracy"] >= HALF:
        return "right"
    stated = len(example.checks.must_include) > 1 and scores["facts"] > 0
    return "partly" if stated and not any(says(text, p) for p in example.checks.must_not_include) else "wrong"


def shares(outcome: Outcome) -> dict[str, float]:
    """The scores that follow from an outcome, each 0 or 1: `wrong`, `answered`, and `needless` for a proper question
    that was handed off or refused."""
    return {
        "wrong": float(outcome == "wrong"),
        "answered": float(outcome in ANSWERED),
        "needless": float(outcome in ("needless_handoff", "wrong_refusal")),
    }
