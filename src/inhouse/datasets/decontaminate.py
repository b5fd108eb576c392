"""Finds test questions that are also in the training data, exactly or nearly: those would test memory."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.datasets.filter import comparable, conversation_text, near_pairs
from inhouse.text.words import plain, words
from inhouse.types import Embedder, Example, Record

NGRAM_WORDS = 8
NGRAM_SHARE = 0.5


class Leak(Record):
    """A row that was taken out of `part` because `test` asks the same; `how` they match."""

    part: str
    id: str
    test: str
    how: str


def leaks(
    tests: Sequence[Example], others: Sequence[Example], part: str, embedder: Embedder, threshold: float
) -> dict[int, Leak]:
    """Positions in `others` of conversations that are also in `tests`, by any of three criteria.

    The same words; a cosine of at least `threshold` between questions with their history; or half of the word 8-grams
    in the user messages of both. History counts, because a short follow-up question may be about anything; but that a
    test question is somewhere in the history of another question is no leak, since nothing is learned from history.
    """
    leaked: dict[int, Leak] = {}
    if not tests or not others:
        return leaked

    def note(n: int, test: Example, how: str) -> None:
        leaked.setdefault(n, Leak(part=part, id=others[n].id, test=test.id, how=how))

    same = {plain(conversation_text(t)): t for t in reversed(tests)}
    grams: dict[tuple[str, ...], list[int]] = {}
    sizes = []
    for k, test in enumerate(tests):
        grams_of_test = _ngrams(test)
        sizes.append(len(grams_of_test))
        for gram in grams_of_test:
            grams.setdefault(gram, []).append(k)
    for n, other in enumerate(others):
        if twin := same.get(plain(conversation_text(other))):
            note(n, twin, "the same words")
            continue
        shared: dict[int, int] = {}
        own = _ngrams(other)
        for gram in own:
            for k in grams.get(gram, ()):
                shared[k] = shared.get(k, 0) + 1
        best = max(shared, key=lambda k: (shared[k] / sizes[k], -k), default=-1)
        if best >= 0 and shared[best] >= NGRAM_SHARE * max(sizes[best], len(own)):
            note(n, tests[best], f"{shared[best]} of {sizes[best]} word 8-grams")
    if threshold < 1:
        ours = embedder.embed([conversation_text(t) for t in tests])
        theirs = embedder.embed([conversation_text(o) for o in others])
        for n, k, score in near_pairs(theirs, ours, threshold):
            if comparable(others[n], tests[k]):
                note(n, tests[k], f"cosine {score:.3f}")
    return dict(sorted(leaked.items()))


def _ngrams(example: Example) -> set[tuple[str, ...]]:
    spoken = words("\n".join(m.content for m in example.messages if m.role == "user"))
    return {tuple(spoken[n : n + NGRAM_WORDS]) for n in range(len(spoken) - NGRAM_WORDS + 1)}
