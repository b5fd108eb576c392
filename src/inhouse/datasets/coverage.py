"""Whether the documents answer the questions of people: judged by the replies that people gave.

A question is answered by the documents where passages support the statements of its reply; it differs where a passage
says the same with other figures, so that the reply or the document is out of date; it is missing where no passage
supports the reply. It was declined where the reply says that there is no answer. Questions whose reply states nothing,
such as a question back, are not judged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from inhouse.text.claims import names
from inhouse.text.numbers import figures
from inhouse.text.support import SUPPORTED
from inhouse.text.words import content_words
from inhouse.types import Embedder, Example, Matrix, Passage, SupportScorer

SAME_BUT_FIGURES = 0.7  # support of a statement without its figures, from which the document says the same otherwise
MOSTLY = 0.5  # share of the statements of a reply that passages must support
ALIKE = 0.55  # mean cosine of questions of one cluster
_FIGURES = re.compile(r"[$£€]?\d[\d,.:]*%?")
State = Literal["answered", "differs", "missing", "declined", "unjudged"]
STATES: tuple[State, ...] = ("answered", "differs", "missing", "declined", "unjudged")


class Judged(NamedTuple):
    """What the documents say to a question.

    Attributes:
        example: the question with its reply.
        state: see above.
        found: whether the passages that the question alone finds are enough.
        nearest: the document of the nearest passage, "" for none.
        statement: of the reply, that no passage supports, or that one has with other figures.
        passage: what that one says.
    """

    example: Example
    state: State
    found: bool = False
    nearest: str = ""
    statement: str = ""
    passage: str = ""


class Cluster(NamedTuple):
    """Questions that ask for one thing, the most typical first; `documents` are the nearest, most frequent first."""

    questions: tuple[Example, ...]
    documents: tuple[str, ...]


def judge(example: Example, found: Sequence[Passage], near: Sequence[Passage], support: SupportScorer) -> Judged:
    """What the documents say to a question.

    Args:
        example: the question with the reply of a person.
        found: the passages that the question finds, the best first.
        near: those that question and reply find together.
        support: says what a reply states, and how well texts support it.
    """
    nearest = next((p.source for p in (*found, *near)), "")
    if not example.answerable or support.declines(example.target):
        return Judged(example, "declined", nearest=nearest)
    if (values := _values(example.target)) is not None:
        return _judged_values(example, values, found, nearest)
    stated = [s for s in support.statements(example.target) if len(content_words(s)) > 2 or figures(s)]
    if not stated:
        return Judged(example, "unjudged", nearest=nearest)
    texts = list(dict.fromkeys(text_of(p) for p in (*found, *near)))
    lacking = [s for s in stated if support.support(s, texts) < SUPPORTED]
    if len(lacking) <= (1 - MOSTLY) * len(stated) and not any(figures(s) for s in lacking):
        own = [text_of(p) for p in found]
        enough = sum(support.support(s, own) >= SUPPORTED for s in stated if s not in lacking)
        return Judged(example, "answered", enough == len(stated) - len(lacking), nearest)
    for statement in lacking:
        for passage in (*found, *near):
            if _with_other_figures(statement, example.question, passage, support):
                return Judged(example, "differs", True, passage.source, statement, passage.text)
    return Judged(example, "missing", False, nearest, lacking[0])


def _values(reply: str) -> list[str] | None:
    """What a reply in JSON states; None where it is none."""
    if not reply.lstrip().startswith("{"):
        return None
    try:
        read = json.loads(reply)
    except (ValueError, RecursionError):
        return None
    return [str(v) for v in read.values() if v not in (None, "")] if isinstance(read, dict) else None


def _judged_values(example: Example, values: Sequence[str], found: Sequence[Passage], nearest: str) -> Judged:
    """Keys are words of the request, so that the values alone must be in a passage that the question finds."""
    texts = [(p.source, figures(text_of(p)), frozenset(content_words(text_of(p)))) for p in found]
    lacking = [
        v
        for v in values
        if not any(figures(v) <= said and len(known.intersection(words := content_words(v))) >= MOSTLY * len(words)
                   for _, said, known in texts)
    ]  # fmt: skip
    state: State = "missing" if lacking else "answered"
    return Judged(example, state if values else "unjudged", not lacking, nearest, lacking[0] if lacking else "")


def text_of(passage: Passage) -> str:
    """A passage after its title and last heading."""
    return ". ".join(filter(None, (passage.title, passage.heading.rpartition(" > ")[2].rstrip("?."), passage.text)))


def _with_other_figures(statement: str, question: str, passage: Passage, support: SupportScorer) -> bool:
    """Whether a passage says the same as a statement but for its figures, of the same names."""
    said = figures(statement)
    text = text_of(passage)
    if not said or not figures(text) or said <= figures(text):
        return False
    known = frozenset(content_words(text))
    if any(not known.issuperset(content_words(name)) for name in (*names(statement), *names(question))):
        return False
    bare, without = _FIGURES.sub("", statement), _FIGURES.sub("", text)
    asked = frozenset(w for w in content_words(f"{question} {bare}") if not w[0].isdigit())
    return support.support(bare, [without]) >= SAME_BUT_FIGURES and len(asked & known) >= 0.6 * len(asked)


# --- clusters ---------------------------------------------------------------------------------------------------


def clusters(judged: Sequence[Judged], embedder: Embedder) -> list[Cluster]:
    """Questions that are alike, the largest cluster first, by average linkage of the embeddings of questions with their
    replies. Deterministic."""
    if not judged:
        return []
    vectors = embedder.embed([f"{j.example.question}\n{j.example.target}" for j in judged])
    found = []
    for members in groups_of(vectors, ALIKE):
        center = vectors[members].mean(axis=0)
        order = sorted(members, key=lambda n: (-float(vectors[n] @ center), judged[n].example.id))
        near = Counter(judged[n].nearest for n in order if judged[n].nearest)
        found.append(Cluster(tuple(judged[n].example for n in order), tuple(name for name, _ in near.most_common(3))))
    return sorted(found, key=lambda c: (-len(c.questions), c.questions[0].question))


def groups_of(vectors: Matrix, alike: float) -> list[list[int]]:
    """The rows of unit vectors in groups, by average linkage up to a cosine of `alike`."""
    if len(vectors) < 2:
        return [[n] for n in range(len(vectors))]
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances.astype(np.float64), checks=False), "average")
    labels = fcluster(tree, 1 - alike, "distance")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
