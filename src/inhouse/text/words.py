"""How texts are compared: words, whole conversations, language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inhouse.types import Example

if TYPE_CHECKING:
    pass


WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+")
COMPARED_CHARS = 500  # the question and its latest history; more costs time and tells little


def words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def plain(text: str) -> str:
    """The text without case, punctuation and spacing."""
    return " ".join(words(text))


def is_json(text: str) -> bool:
    return text[:1] + text[-1:] in ("{}", "[]")


def conversation_text(example: Example) -> str:
    """Question and history, the question first, so that a cut leaves out what was said long ago.

    "Do they have wifi?" in two conversations is about two hotels: only with its history is it a question.
    """
    return "\n".join(m.content for m in reversed(example.messages))[:COMPARED_CHARS]
