"""Hands off questions that the documents are unlikely to answer: no passage that was found is likely to contain the
answer, or it needs a calculation that is not supported."""

from __future__ import annotations

from inhouse.guardrails.rail import TOOL, Finding, Side, Turn
from inhouse.text.arithmetic import needs_calculation, worked


class Relevance:
    """The rail on passages.

    Args:
        threshold: least score of the best passage, a probability; from the ranker that was fitted to the project. 0
            where there is none.
    """

    name = "relevance"
    sides: frozenset[Side] = frozenset({"passages"})

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        found = [p for p in turn.passages if p.source != TOOL]
        if not found or len(found) < len(turn.passages):  # what tools returned may hold the answer
            return None
        best = max(p.score for p in found)
        if best < self._threshold:
            return Finding(score=1 - best, reason=f"the best passage is {best:.0%} likely to contain the answer")
        questions = [m.content for m in turn.request.messages if m.role == "user"]
        texts = [p.text for p in found]
        if questions and needs_calculation(questions, texts) and worked(questions, texts) is None:
            return Finding(score=0.5, reason="it needs a calculation that is not supported")
        return None
