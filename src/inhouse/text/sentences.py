"""Where sentences end.

`sentences` is the rule for whatever is read. The others differ on purpose: shipped weights were trained with
`windows` and `every_sentence`, and `first_sentence` decides on text of which the rest is still to come.
"""

from __future__ import annotations

import re

WINDOW_WORDS = 40
SENTENCE_GAP = re.compile(r"(?<=[.!?。！？؟])\s+|\n+")
"""The space between two sentences, of whatever script; a period after an abbreviation counts as an end."""
_AFTER_SENTENCE = r"(?<=[.!?])[\"')\]]*\s+|\n+"
_AFTER_ANY_SENTENCE = re.compile(_AFTER_SENTENCE)
_AFTER_SENTENCE_NOT_ABBREVIATION = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|No|vs)\.)(?<!\bMrs\.)(?<!\b(?:e\.g|i\.e)\.)[\"')\]]*\s+|\n+"
)
_WRAPPED = re.compile(r"(?<=[^\n.!?:])\n(?=[a-z])")
_END = re.compile(r"(?:[.!?][\"'”’)\]]*\s+|\n\s*)(?=\S)")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|vs|approx|Inc|Ltd)\.\s+$")
_ABBREVIATION_CHARS = 6


def unwrapped(text: str) -> str:
    """The text with lines joined that continue in the next one, as PDF files and wrapped Markdown have them."""
    return _WRAPPED.sub(" ", text)


def sentences(text: str) -> list[str]:
    """The sentences, list items and lines of a text, without the marks around them; abbreviations end none."""
    parts = _AFTER_SENTENCE_NOT_ABBREVIATION.split(unwrapped(text))
    return [s for s in (part.strip(" \t-*•#>|") for part in parts) if s]


def every_sentence(text: str) -> list[str]:
    """Sentences of two words or more, cut after abbreviations too.

    The classifier of indirect prompt injection was trained with these.
    """
    return [s.strip() for s in _AFTER_ANY_SENTENCE.split(unwrapped(text)) if len(s.split()) > 1]


def windows(text: str, most_words: int = WINDOW_WORDS) -> list[str]:
    """The text in pieces of whole sentences, at most `most_words` words each; longer sentences are cut.

    The classifiers of jailbreaks and toxicity were trained with these.
    """
    pieces: list[list[str]] = []
    for sentence in SENTENCE_GAP.split(unwrapped(text)):
        words = sentence.split()
        for at in range(0, len(words), most_words):
            piece = words[at : at + most_words]
            if pieces and len(pieces[-1]) + len(piece) <= most_words:
                pieces[-1] += piece
            else:
                pieces.append(piece)
    return [" ".join(words) for words in pieces]


def first_sentence(text: str) -> str | None:
    """The first sentence of a text that is still being written, with the space after it; None until it is complete.

    It is complete when the next one has begun, so that how the text arrives makes no difference.
    """
    next_begun = len(text.rstrip())
    for end in _END.finditer(text, 0, next_begun):
        if not _ABBREVIATION.search(text, max(end.start() - _ABBREVIATION_CHARS, 0), end.end()):
            return text[: end.end()]
    return None
