"""What a hand-off offers: the topics of the documents that are near the question.

The passages are those that the asker may read, of trusted documents: the title of another may say anything. A title or
heading is near if it has a word of the question.
"""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.guardrails.rail import TOOL, Turn
from inhouse.text.words import content_words
from inhouse.types import Passage

RAILS = frozenset({"relevance", "groundedness", "confidence"})  # they hand off because an answer is missing, not bad
MOST = 3  # topics
LONGEST = 80  # characters of one
QUESTIONS = 2  # of the user, from the last one back: a follow-up often leaves its subject out


def topics(turn: Turn) -> list[str]:
    """The topics near the question, in the order of the passages."""
    asked = [m.content for m in turn.request.messages if m.role == "user"][-QUESTIONS:]
    known = {word for text in asked for word in content_words(text)}
    near = (_topic(p, known) for p in turn.passages if p.source != TOOL and p.trust == "trusted")
    return list(dict.fromkeys(filter(None, near)))[:MOST]


def _topic(passage: Passage, known: set[str]) -> str:
    """The passage's title, or else its nearest heading, if it is near; "" if neither is."""
    names: Sequence[str] = (passage.title, passage.heading.rpartition(" > ")[2])
    return next((n for n in names if len(n) <= LONGEST and known.intersection(content_words(n))), "")
