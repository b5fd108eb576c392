"""How well evidence supports a statement, by words, numbers and meaning."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inhouse.types import Embedder

if TYPE_CHECKING:
    from inhouse.types import Matrix


SUPPORTED = 0.5
WORD_WEIGHT = 0.6  # of the word overlap; the rest is meaning
COSINE_LOW, COSINE_HIGH = 0.25, 0.85  # cosines that count as 0 and as 1
NEGATION_FACTOR = 0.5
MISSING_NUMBER_FACTOR = 0.4
REMEMBERED = 20_000
_SENTENCES = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bNo\.)\s+(?=[\"'(]?[A-Z0-9$£€<])|\n+"
)
_WRAPPED = re.compile(r"(?<=[^\n.!?:])\n(?=[a-z])")  # a line that goes on in the next, as in PDF files
_NUMBER = re.compile(
    r"(?<![\w.])[$£€]?(\d{1,3}(?:,\d{3})+|\d+)((?:\.\d+)?)\s*(%|percent\b|am\b|pm\b|a\.m\.|p\.m\.|k\b|million\b)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})\s*(am|pm|a\.m\.|p\.m\.)?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nor|cannot|without|neither|unable|isn't|aren't)\b|n['’]t\b", re.IGNORECASE
)
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
STOP = frozenset(
    """a an the and or but if of in on at to for from by with as is are was were be been being it its this that these
    those i you he she we they me him her us them my your his our their do does did have has had will would can could
    shall should may might must so than then there here what which who whom when where how why all any both each some
    such only own same too very just also yes into over about up out off down more most other please""".split()  # noqa: SIM905
)
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_SMALL)}


class LexicalSupport:
    """A SupportScorer. Deterministic; one embedder call for the sentences not seen before."""

    def __init__(self, handoff: str = "", embedder: Embedder | None = None) -> None:
        self._handoff = frozenset(stems(handoff))
        self._embedder = embedder
        self._vectors: dict[str, Matrix] = {}

    def statements(self, text: str) -> list[str]:
        """The sentences that claim something; of a JSON answer each key with its value."""
        found = []
        for sentence in sentences(_MARKS.sub("", text)) if not (pairs := _json_pairs(text)) else pairs:
            words = content_words(sentence)
            if sentence.endswith("?") or _NO_CLAIM.match(sentence) or self.declines(sentence):
                continue
            if len(words) + len(numbers(sentence)) >= 2:
                found.append(sentence)
        return found

    def declines(self, sentence: str) -> bool:
        """Whether the sentence says that it cannot answer: the hand-off, or a refusal in other words."""
        words = frozenset(stems(sentence))
        alike = len(words & self._handoff) / max(len(words | self._handoff), 1)
        return alike >= 0.5 or bool(_DECLINES.search(sentence) and not numbers(sentence))

    def support(self, statement: str, evidence: Sequence[str]) -> float:
        """How well the evidence carries the statement, in [0, 1]; from SUPPORTED on it counts as supported."""
        return max((score for _, score in self._scores(statement, evidence)), default=0.0)

    def best(self, statement: str, evidence: Sequence[str]) -> tuple[int, float]:
        """The piece of evidence that carries the statement best, and how well; (-1, 0) without evidence."""
        return max(self._scores(statement, evidence), key=lambda s: s[1], default=(-1, 0.0))

    def _scores(self, statement: str, evidence: Sequence[str]) -> Iterator[tuple[int, float]]:
        wanted_numbers = numbers(statement)
        wanted = frozenset(stems(statement))
        negated = bool(_NEGATION.search(statement))
        for at, text in enumerate(evidence):
            windows = _windows(text)
            if not windows:
                continue
            missing = not wanted_numbers <= numbers(text)
            likeness = self._likeness(statement, windows)
            best = 0.0
            for window, alike in zip(windows, likeness, strict=True):
                overlap = len(wanted & window_stems(window)) / len(wanted) if wanted else float(not missing)
                score = overlap if self._embedder is None else WORD_WEIGHT * overlap + (1 - WORD_WEIGHT) * alike
                if negated != bool(_NEGATION.search(window)):
                    score *= NEGATION_FACTOR
                best = max(best, score)
            yield at, min(best, SUPPORTED) * MISSING_NUMBER_FACTOR if missing else best

    def _likeness(self, statement: str, windows: Sequence[str]) -> list[float]:
        if self._embedder is None:
            return [0.0] * len(windows)
        unseen = [t for t in dict.fromkeys([statement, *windows]) if t not in self._vectors]
        if unseen:
            if len(self._vectors) > REMEMBERED:
                self._vectors.clear()
                unseen = list(dict.fromkeys([statement, *windows]))
            self._vectors.update(zip(unseen, self._embedder.embed(unseen), strict=True))
        own = self._vectors[statement]
        cosines = [float(own @ self._vectors[w]) for w in windows]
        return [min(max((c - COSINE_LOW) / (COSINE_HIGH - COSINE_LOW), 0.0), 1.0) for c in cosines]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text."""
    whole = _WRAPPED.sub(" ", text)
    return [s.strip(" \t-*•") for s in _SENTENCES.split(whole) if s.strip(" \t-*•")]


def numbers(text: str) -> frozenset[str]:
    """Every number of a text in one spelling: "$1,000.00" is "1000", "5 %" and "5 percent" are "5%", "9 am" is "9"."""
    found = set()
    for hour, minute, half in _CLOCK.findall(text):
        late = half.lower().startswith("p") and int(hour) < 12
        found.add(f"{int(hour) + 12 * late}:{minute}")
    rest = _CLOCK.sub(" ", text)
    for whole, decimals, suffix in _NUMBER.findall(rest):
        value = whole.replace(",", "") + (decimals.rstrip("0").rstrip(".") if decimals else "")
        value = value.lstrip("0") or "0"
        unit = suffix.lower()
        if unit in ("%", "percent"):
            found.add(value + "%")
        elif unit.startswith("p") and unit != "percent" and value.isdigit() and int(value) < 12:
            found.add(f"{int(value) + 12}:00")
        elif unit.startswith("a"):
            found.add(f"{int(float(value))}:00")
        else:
            found.add(value)
    return frozenset(found)


def content_words(text: str) -> list[str]:
    """Lower-case words that carry meaning."""
    words = (w.replace("’", "'").removesuffix("'s") for w in _WORD.findall(text.casefold()))
    return [w for w in words if w not in STOP and not w.endswith("n't") and len(w) > 1]


def stems(text: str) -> list[str]:
    """Content words, stemmed, with number words as digits."""
    return [_NUMBER_WORDS.get(w) or _stem(w) for w in content_words(text)]


@lru_cache(maxsize=REMEMBERED)
def _stem(word: str) -> str:
    return str(_stemmer().stem(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=REMEMBERED)
def window_stems(window: str) -> frozenset[str]:
    return frozenset(stems(window))


@lru_cache(maxsize=4096)
def _windows(text: str) -> tuple[str, ...]:
    """Each sentence, and each pair of neighbours."""
    single = sentences(text)
    return tuple(single + [f"{a} {b}" for a, b in itertools.pairwise(single)])


def _json_pairs(text: str) -> list[str]:
    stripped = text.strip()
    if not stripped.startswith("{"):
        return []
    try:
        value = json.loads(stripped)
    except ValueError:
        return []
    return [f"{str(k).replace('_', ' ')}: {v}" for k, v in value.items()] if isinstance(value, dict) else []
