"""What questions are about: their tags where most have one, else clusters named by their most distinctive words."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.datasets.card import named_clusters
from inhouse.types import Embedder, Example


def topics_of(examples: Sequence[Example], embedder: Embedder, seed: int) -> list[str]:
    """The topic of each question; "" where it has no tag while most have, or where there are too few questions."""
    if sum(bool(e.tags) for e in examples) > len(examples) / 2:
        return [e.tags[0] if e.tags else "" for e in examples]
    return named_clusters(examples, embedder, seed) or [""] * len(examples)
