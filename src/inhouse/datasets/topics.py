"""What questions are about: their tags where most have one, else the folders of the documents that are nearest to them
where there are several, else clusters named by their most distinctive words; of few questions, the documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from inhouse.datasets.card import ENOUGH, named_clusters
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
    if _tell_apart(folders):
        return folders
    if clusters := named_clusters(examples, embedder, seed):
        return clusters
    return list(nearest) if _tell_apart(nearest) else [""] * len(examples)


def lacking(topics: Sequence[str]) -> int:
    """How many questions more would have topics, where none has one."""
    return 0 if any(topics) else max(0, ENOUGH - len(topics))


def _tell_apart(names: Sequence[str]) -> bool:
    """Whether these are topics: some, and of most questions."""
    counts = Counter(name for name in names if name)
    return 1 < len(counts) <= MOST_FOLDERS and counts.total() >= MOSTLY * len(names)
