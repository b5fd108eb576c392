"""What questions are about: their tags where most have one, else the folders of the documents that are nearest to them
where there are several, else clusters named by their most distinctive words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from inhouse.datasets.card import named_clusters
from inhouse.types import Embedder, Example

MOST_FOLDERS = 40  # more are no topics
MOSTLY = 0.8  # share of the questions that a folder is known of


def topics_of(examples: Sequence[Example], embedder: Embedder, seed: int, nearest: Sequence[str] = ()) -> list[str]:
    """The topic of each question; "" where it has no tag while most have, or where there are too few questions.

    Args:
        examples: the questions.
        embedder: for clusters.
        seed: for clusters.
        nearest: of each question the path of a document, "" for none.
    """
    if sum(bool(e.tags) for e in examples) > len(examples) / 2:
        return [e.tags[0] if e.tags else "" for e in examples]
    folders = [path.rpartition("/")[0] for path in nearest]
    counts = Counter(name for name in folders if name)
    if 1 < len(counts) <= MOST_FOLDERS and counts.total() >= MOSTLY * len(examples):
        return folders
    return named_clusters(examples, embedder, seed) or [""] * len(examples)
