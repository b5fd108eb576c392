"""Citations: the passage that supports each statement of an answer best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inhouse.text.support import SUPPORTED
from inhouse.types import Json, Passage, SupportScorer


def cite(text: str, passages: Sequence[Passage], support: SupportScorer) -> list[Json]:
    """The statements that a passage supports, each with the number of the best passage, from 1, and its support."""
    citations: list[dict[str, Any]] = []
    for statement in support.statements(text):
        scored = [(support.support(statement, [p.heading + ". " + p.text if p.heading else p.text]), n)
                  for n, p in enumerate(passages, 1)]  # fmt: skip
        score, number = max(scored, key=lambda s: (s[0], -s[1]), default=(0.0, 0))
        if score >= SUPPORTED:
            where = passages[number - 1].where
            citations.append({"sentence": statement, "passage": number, **where, "support": round(score, 3)})
    return citations
