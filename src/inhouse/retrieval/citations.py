"""Whether a statement stands in the passages: the score behind citations and behind "unsupported statements".

Every number, amount, percentage and time of a statement must stand in the evidence, however it is spelled. The rest is
the share of its content words, stemmed, that the best one or two neighbouring sentences hold, mixed with the likeness
of meaning (cosine of embeddings). A negation on one side alone counts against it. docs/LOG.md says how well it tells
carried statements from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inhouse.text.support import SUPPORTED
from inhouse.types import Json, Passage, SupportScorer


def cite(text: str, passages: Sequence[Passage], support: SupportScorer) -> list[Json]:
    """For each statement the passage, from 1, that carries it best; statements that none carries are left out."""
    found: list[dict[str, Any]] = []
    for statement in support.statements(text):
        scored = [(support.support(statement, [p.heading + ". " + p.text if p.heading else p.text]), n)
                  for n, p in enumerate(passages, 1)]  # fmt: skip
        score, number = max(scored, key=lambda s: (s[0], -s[1]), default=(0.0, 0))
        if score >= SUPPORTED:
            source = passages[number - 1].source
            found.append({"sentence": statement, "passage": number, "source": source, "support": round(score, 3)})
    return found
