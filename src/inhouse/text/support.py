"""How well evidence supports a statement, by words, numbers and meaning."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from functools import lru_cache

from inhouse.text.cache import CachedVectors
from inhouse.text.claims import NEGATION
from inhouse.text.numbers import figures
from inhouse.text.sentences import sentences
from inhouse.text.words import content_words
from inhouse.types import Embedder

SUPPORTED = 0.5  # the least support of a statement that counts as supported
WORD_WEIGHT = 0.6  # of the word overlap; the rest is meaning
COSINE_LOW, COSINE_HIGH = 0.25, 0.85  # cosines that count as 0 and as 1
NEGATION_FACTOR = 0.5
MISSING_NUMBER_FACTOR = 0.4
CACHED_VECTORS = 20_000
SAME_SENTENCE = 0.5  # share of the words that two sentences have in common
_MARKS = re.compile(r"\[\d+\]")
_NO_CLAIM = re.compile(
    r"(?i)^(hi|hello|hey|dear|good (morning|afternoon|evening)|thanks|thank you|you're welcome|you are welcome"
    r"|sure|certainly"
    r"|of course|great|okay|ok|absolutely|yes|no|sorry|i'm sorry|i am sorry|i apologi[sz]e|my apologies"
    r"|please let me know"
    r"|let me know|feel free|have a (nice|great|good)|is there anything|can i help|i hope|i'd be happy|i would be happy"
    r"|happy to help|anything else|goodbye|bye)\b[^.]{0,60}[.!]?$"
)  # fmt: skip
_DECLINES = re.compile(
    r"(?i)\b(i (do not|don't) (have|know)|i(?: am|['’]m) not (sure|able)"
    r"|i (can not|cannot|can't) (answer|help|find|provide|say)"
    r"|no information|not (mentioned|stated|specified|provided)|unable to (answer|help|find))"
)


class LexicalSupport:
    """A SupportScorer. Deterministic; one embedder call for the sentences not seen before.

    Every number, amount, percentage and time of a statement must stand in the evidence, however it is spelled. The rest
    is the share of its content words, stemmed, that the best one or two neighboring sentences hold, mixed with the
    likeness of meaning (cosine of embeddings). A negation on one side alone counts against it.

    Args:
        handoff: the sentence with which the assistant says that it cannot answer.
        embedder: for the likeness of meaning; without one, words alone count.
    """

    def __init__(self, handoff: str = "", embedder: Embedder | None = None) -> None:
        self._handoff = frozenset(content_words(handoff))
        self._embedder = CachedVectors(embedder, CACHED_VECTORS) if embedder else None

    def statements(self, text: str) -> list[str]:
        """The sentences that claim something; of a JSON answer each key with its value."""
        return [s for s in _json_pairs(text) or sentences(_MARKS.sub("", text)) if self._claims(s)]

    def _claims(self, sentence: str) -> bool:
        if sentence.endswith("?") or _NO_CLAIM.match(sentence) or self.declines(sentence):
            return False
        return len(content_words(sentence)) > 1

    def declines(self, sentence: str) -> bool:
        """Whether the sentence says that it cannot answer: the hand-off, or a refusal in other words."""
        words = frozenset(content_words(sentence))
        alike = len(words & self._handoff) / max(len(words | self._handoff), 1)
        return alike >= SAME_SENTENCE or bool(_DECLINES.search(sentence) and not figures(sentence))

    def support(self, statement: str, evidence: Sequence[str]) -> float:
        """How well the evidence supports the statement, in [0, 1]; from SUPPORTED on it counts as supported."""
        return max((self._support(statement, text) for text in evidence), default=0.0)

    def _support(self, statement: str, text: str) -> float:
        windows = _windows(text)
        if not windows:
            return 0.0
        missing = not figures(statement) <= figures(text)
        wanted = frozenset(content_words(statement))
        negated = bool(NEGATION.search(statement))
        best = 0.0
        for window, alike in zip(windows, self._likeness(statement, windows), strict=True):
            score = len(wanted.intersection(content_words(window))) / len(wanted) if wanted else float(not missing)
            if self._embedder:
                score = WORD_WEIGHT * score + (1 - WORD_WEIGHT) * alike
            if negated != bool(NEGATION.search(window)):
                score *= NEGATION_FACTOR
            best = max(best, score)
        return min(best, SUPPORTED) * MISSING_NUMBER_FACTOR if missing else best

    def _likeness(self, statement: str, windows: Sequence[str]) -> list[float]:
        """Of each window the cosine with the statement, scaled to [0, 1]."""
        if not self._embedder:
            return [0.0] * len(windows)
        own, *others = self._embedder.embed([statement, *windows])
        return [min(max((float(own @ v) - COSINE_LOW) / (COSINE_HIGH - COSINE_LOW), 0.0), 1.0) for v in others]


@lru_cache(maxsize=4096)
def _windows(text: str) -> tuple[str, ...]:
    """Each sentence, and each pair of neighbors."""
    single = sentences(text)
    return tuple(single + [f"{a} {b}" for a, b in itertools.pairwise(single)])


def _json_pairs(text: str) -> list[str]:
    stripped = text.strip()
    if not stripped.startswith("{"):
        return []
    try:
        value = json.loads(stripped)
        return [f"{str(k).replace('_', ' ')}: {v}" for k, v in value.items()] if isinstance(value, dict) else []
    except (ValueError, RecursionError):
        return []
