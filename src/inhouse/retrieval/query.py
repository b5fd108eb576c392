"""What a conversation is searched for: its questions one by one, in the words that documents use.

A greeting, a name, and a placeholder of personal data are left out: documents say nothing of them. Words that the
documents do not have, and that nobody else would know either, are taken for misspelled ones that they do have.

Two questions in one message are searched separately, the second with the first as its context. Abbreviated titles are
spelled out ("CD" for a document called "Certificates of Deposit"), and durations are added in the other unit, since a
table that lists 12 months does not say "one year".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, lru_cache

import regex

from inhouse.text.words import (
    IDEOGRAPHS,
    SMALL_NUMBERS,
    STOP,
    UNSPACED,
    WORD,
    content_words,
    stem,
    without_greeting,
    words,
)
from inhouse.types import Message, last_question

Messages = tuple[Message, ...]

MOST_PARTS = 3
_NEXT = re.compile(
    r"(?<=\?) |[,;]? (?:and|but|also) (?:also )?"
    r"(?=(?:what|when|where|which|who|how|is|are|do|does|did|can|could|may|must|will|would)\b)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\b(\d{1,3}|[a-z]{1,6})[ -](year|yr|month|week)s?\b", re.IGNORECASE)
_ONE = {"a": "1", "an": "1", "one": "1"}
_PLACEHOLDER = r"<[A-Z_]{2,30}_\d{1,4}>"
_INTRODUCED = re.compile(
    r"(?:\b(?:my|the|phone|name|card|number|email|mail|account|is|are|this|i'm|i am|it's)[ :]+){0,6}"
    rf"{_PLACEHOLDER}(?: here)?(?: btw|[ ]?[,.;!]|$)",
    re.IGNORECASE,
)
_MENTIONED = re.compile(_PLACEHOLDER)
TYPO_LETTERS, TWO_TYPOS_LETTERS, LONGEST_WORD = 5, 9, 40  # words from this length on may have one or two typos
NEAR = 20
_SEVERAL_WORDS = regex.compile(rf"[{IDEOGRAPHS}{UNSPACED}\p{{Hangul}}]")  # without spaces, or with particles
MOST_CORRECTED = 8
_INTERJECTIONS = frozenset("ah aha am eh ha hi hm huh id mm no oh ok pm so uh um ya yo".split())  # noqa: SIM905


def parts(message: str) -> list[str]:
    """The questions in a message, at most three; the message itself where it is one, or where a part says nothing."""
    found = _NEXT.split(" ".join(message.split()), maxsplit=MOST_PARTS - 1)
    return found if len(found) > 1 and all(content_words(p) for p in found) else [message]


def separately(messages: Sequence[Message]) -> list[Messages]:
    """The conversation up to each question of the user's last message."""
    *before, last = messages[: last_question(messages) + 1]
    asked = [last.model_copy(update={"content": p}) for p in parts(last.content)]
    return [(*before, *asked[: n + 1]) for n in range(len(asked))]


def without_asides(question: str) -> str:
    """The question without greeting, introduction and placeholders ("<PHONE_1>"); the question itself where nothing
    that could be searched for is left."""
    bare = question
    if "<" in question:
        bare = _MENTIONED.sub(" ", _INTRODUCED.sub(" ", question))
    bare = without_greeting(" ".join(bare.split()).lstrip(" ,.;:!"))
    return bare if content_words(bare) else question


class Spelling:
    """Corrects words towards those of the documents, at most MOST_CORRECTED in a text.

    Args:
        vocabulary: returns how often the documents have each word, in lower case; called when first needed.
        known: whether a word is an ordinary one, which is not corrected although the documents do not have it.
    """

    def __init__(self, vocabulary: Callable[[], Mapping[str, int]], known: Callable[[str], bool]) -> None:
        self._vocabulary, self._known = vocabulary, known
        self._corrected = lru_cache(10_000)(self._correct)

    @cached_property
    def _counts(self) -> Mapping[str, int]:
        return self._vocabulary()

    @cached_property
    def _words(self) -> list[str]:
        return sorted(self._counts)

    @cached_property
    def _stems(self) -> set[str]:
        return {stem(w) for w in self._words}

    def correct(self, text: str) -> str:
        """The text with its misspelled words corrected."""
        unknown = dict.fromkeys(w for w in WORD.findall(text) if self._may_be_misspelled(w))
        corrected = {w: self._corrected(w) for w in list(unknown)[:MOST_CORRECTED]}
        return WORD.sub(lambda m: corrected.get(m.group(), m.group()), text) if corrected else text

    def _may_be_misspelled(self, word: str) -> bool:
        plain = word.casefold()
        if not TYPO_LETTERS <= len(plain) <= LONGEST_WORD or not plain.isalpha() or _SEVERAL_WORDS.search(plain):
            return False
        return not self._known(plain)

    def _correct(self, word: str) -> str:
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        plain = word.casefold()
        if plain in self._counts or stem(plain) in self._stems:
            return word
        most = 2 if len(plain) >= TWO_TYPOS_LETTERS else 1
        found = process.extract(plain, self._words, scorer=OSA.distance, score_cutoff=most, limit=NEAR)
        near = [(distance, -self._counts[w], w) for w, distance, _ in found if abs(len(w) - len(plain)) <= 1]
        return min(near)[2] if near else word


def abbreviations(titles: Collection[str]) -> dict[str, str]:
    """Titles by their initials in lower case, without initials that stand for two titles or are words themselves."""
    found: dict[str, set[str]] = {}
    for title in titles:
        initials = "".join(w[0] for w in words(title) if w not in STOP)
        if len(initials) > 1 and initials not in STOP | _INTERJECTIONS:
            found.setdefault(initials, set()).add(title)
    return {initials: next(iter(names)) for initials, names in found.items() if len(names) == 1}


def spelled_out(question: str, known: Mapping[str, str]) -> str:
    """The question, followed by what its abbreviations stand for and by its durations in the other unit."""
    asked = dict.fromkeys(words(question))
    more = [known[w.removesuffix("s")] for w in asked if w.removesuffix("s") in known]
    for number, unit in _DURATION.findall(question):
        value = _ONE.get(number.lower()) or SMALL_NUMBERS.get(number.lower()) or number
        if value.isdigit():
            more += _converted(int(value), unit.lower())
    return " ".join([question, *more])


def _converted(count: int, unit: str) -> list[str]:
    if unit == "week":
        return [f"{7 * count} days"]
    if unit == "month":
        return [f"{count // 12} years"] if count % 12 == 0 else []
    return [f"{12 * count} months"]


def query_of(messages: Sequence[Message]) -> str:
    """The words to search for: the last question twice, so that its words count more, and between them the one before
    it, which often names the subject."""
    *earlier, last = [m.content for m in messages if m.role == "user"]
    return f"{last} {earlier[-1]} {last}" if earlier else last
