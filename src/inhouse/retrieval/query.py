"""What a conversation is searched for: its questions one by one, in the words that documents use.

Two questions in one message are searched separately, the second with the first as its context. Abbreviated titles are
spelled out ("CD" for a document called "Certificates of Deposit"), and durations are added in the other unit, since a
table that lists 12 months does not say "one year".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from inhouse.text.words import SMALL_NUMBERS, STOP, content_words, words
from inhouse.types import Message

Messages = tuple[Message, ...]

MOST_PARTS = 3
_NEXT = re.compile(
    r"(?<=\?) |[,;]? (?:and|but|also) (?:also )?"
    r"(?=(?:what|when|where|which|who|how|is|are|do|does|did|can|could|may|must|will|would)\b)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\b(\d{1,3}|[a-z]{1,6})[ -](year|yr|month|week)s?\b", re.IGNORECASE)
_ONE = {"a": "1", "an": "1", "one": "1"}
_INTERJECTIONS = frozenset("ah aha am eh ha hi hm huh id mm no oh ok pm so uh um ya yo".split())  # noqa: SIM905


def parts(message: str) -> list[str]:
    """The questions in a message, at most three; the message itself where it is one, or where a part says nothing."""
    found = _NEXT.split(" ".join(message.split()), maxsplit=MOST_PARTS - 1)
    return found if len(found) > 1 and all(content_words(p) for p in found) else [message]


def separately(messages: Sequence[Message]) -> list[Messages]:
    """The conversation up to each question of its last message."""
    *before, last = messages
    asked = [last.model_copy(update={"content": p}) for p in parts(last.content)]
    return [(*before, *asked[: n + 1]) for n in range(len(asked))]


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
