"""Test questions that also stand in the data trained on, exactly or nearly: a test must ask what was not rehearsed."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.datasets.filter import conversation_text, near_pairs
from inhouse.text.words import plain, words
from inhouse.types import Embedder, Example, Record

NGRAM_WORDS = 8
NGRAM_SHARE = 0.5


class Leak(Record):
    """A row that was taken out of `part` because `test` asks the same; `how` it was seen."""

    part: str
    id: str
    test: str
    how: str


def leaks(
    tests: Sequence[Example], others: Sequence[Example], part: str, embedder: Embedder, threshold: float
) -> dict[int, Leak]:
    """Positions in `others` whose conversation also stands in `tests`, by one of three signs.

    The same words; a cosine of at least `threshold` of question and history; or half of the test's word 8-grams, in
    what the users say. History counts, because a short follow-up question is asked of many things.
    """
    found: dict[int, Leak] = {}
    if not tests or not others:
        return found

    def note(n: int, test: Example, how: str) -> None:
        found.setdefault(n, Leak(part=part, id=others[n].id, test=test.id, how=how))

    same = {plain(conversation_text(t)): t for t in reversed(tests)}
    grams: dict[tuple[str, ...], list[int]] = {}
    sizes = []
    for k, test in enumerate(tests):
        own = _ngrams(test)
        sizes.append(len(own))
        for gram in own:
            grams.setdefault(gram, []).append(k)
    for n, other in enumerate(others):
        if twin := same.get(plain(conversation_text(other))):
            note(n, twin, "the same words")
            continue
        shared: dict[int, int] = {}
        for gram in _ngrams(other):
            for k in grams.get(gram, ()):
                shared[k] = shared.get(k, 0) + 1
        best = max(shared, key=lambda k: (shared[k] / sizes[k], -k), default=-1)
        if best >= 0 and shared[best] >= NGRAM_SHARE * sizes[best]:
            note(n, tests[best], f"{shared[best]} of {sizes[best]} word 8-grams")
    if threshold < 1:
        ours = embedder.embed([conversation_text(t) for t in tests])
        theirs = embedder.embed([conversation_text(o) for o in others])
        for n, k, score in near_pairs(theirs, ours, threshold):
            note(n, tests[k], f"cosine {score:.3f}")
    return dict(sorted(found.items()))


def _ngrams(example: Example) -> set[tuple[str, ...]]:
    said = words("\n".join(m.content for m in example.messages if m.role == "user"))
    return {tuple(said[n : n + NGRAM_WORDS]) for n in range(len(said) - NGRAM_WORDS + 1)}
