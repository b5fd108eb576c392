"""Where sentences end.

`sentences` is the rule for whatever is read. The others differ on purpose: shipped weights were trained with
`windows` and `every_sentence`, and `first_sentence` decides on text of which the rest is still to come.
"""

from __future__ import annotations

import re

WINDOW_WORDS = 40
SENTENCE_GAP = re.compile(r"(?<=[.!?。！？؟])\s+|\n+")
"""The space between two sentences, as the weights were trained; a period after an abbreviation counts as an end."""
_AFTER_SENTENCE = r"(?<=[.!?])[\"')\]]*\s+|\n+"
_AFTER_ANY_SENTENCE = re.compile(_AFTER_SENTENCE)
_NO_END = (
    r"(?<!\b[A-Z]\.)(?<!\b(?:e\.g|i\.e|z\.B|d\.h|u\.a|o\.ä|v\.a|z\.T|s\.o|s\.u|т\.е|т\.д|т\.п|m\.n)\.)"
    r"(?<!\b(?:Mr|Dr|St|No|vs|Nr|Hr|Sr|Ud|ca|ul|np|nr|ул|см)\.)(?<!\b(?:p\.ej|p\.ex|t\.ex|Prof|Dott|inkl|zzgl|evtl|bijv)\.)"
    r"(?<!\b(?:Mrs|bzw|ggf|vgl|Str|Abs|Hrn|Sra|Dra|Uds|núm|pág|Sig|dhr|blz|tzn|тыс|стр)\.)"
    r"(?<!\b[^\W\d_]\. [^\W\d_]\.)(?<!\b[^\W\d_]\. [^\W\d_]{2}\.)(?!(?<=\b[^\W\d_]\.) [^\W\d_]{1,2}\.)"
)
"""After abbreviations: those above have as many letters as the others of their group."""
_AFTER_SENTENCE_NOT_ABBREVIATION = rf"(?<=[.!?]){_NO_END}[\"')\]]*\s+|\n+"
_MARKS = "。！？｡؟۔।॥։።፧။།។៕"
_CLOSING, _OPENING = "」』”’）】〉》", "「『“（【〈《"
_AFTER_MARK = (
    rf"(?<=[{_MARKS}])(?![{_MARKS}{_CLOSING}.!?\"')\]])\s*|(?<=[{_MARKS}][{_CLOSING}])(?:\s+|(?=[{_OPENING}]))"
    r"|(?<=．)(?![\d０-９])\s*|(?<=……)(?=\w)|(?<=[\u0370-\u03ff\u1f00-\u1fff];)\s+|(?<=\u037e)\s+"
    r"|(?<=[\u0e01-\u0ede]) +(?=[\u0e01-\u0ede])"  # Thai and Lao have spaces between sentences alone
)
SENTENCE_END = re.compile(rf"{_AFTER_SENTENCE_NOT_ABBREVIATION.replace('[.!?])', '[.!?…])', 1)}|{_AFTER_MARK}")
"""Where a sentence ends, in every script; with the space after it, if there is one."""
_IN_ASCII_MARKS = re.compile(_AFTER_SENTENCE_NOT_ABBREVIATION)
_HAS_OTHER_MARKS = re.compile(rf"[{_MARKS}．\u037e\u0370-\u03ff\u1f00-\u1fff\u0e01-\u0ede]|……")
_WRAPPED = re.compile(r"(?<=[^\n.!?:])\n(?=[a-z])")
_END = re.compile(
    rf"(?:[.!?][\"'”’)\]]*+\s++(?=\S)|\n\s*+(?=\S|\Z))|(?<![{_MARKS}])[{_MARKS}]++(?![{_CLOSING}\"')\].!?])\s*+(?=\S)"
    rf"|[{_MARKS}][{_CLOSING}](?:\s++(?=\S)|(?=[{_OPENING}]))"
)
_ABBREVIATION = re.compile(
    r"\b(?:[^\W\d_]|Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|vs|approx|Inc|Ltd|Nr|Hr|Sr|Sra|ca|bzw|ggf|vgl|Abs|Prof|inkl|zzgl"
    r"|z\.B|d\.h|u\.a|p\. ?ej|p\. ?ex|тыс|стр|ул)\.\s+$"
)
_ABBREVIATION_CHARS = 7


def unwrapped(text: str) -> str:
    """The text with lines joined that continue in the next one, as PDF files and wrapped Markdown have them."""
    return _WRAPPED.sub(" ", text)


def sentences(text: str) -> list[str]:
    """The sentences, list items and lines of a text, without the marks around them; abbreviations end none."""
    ends = SENTENCE_END if _HAS_OTHER_MARKS.search(text) else _IN_ASCII_MARKS
    parts = ends.split(unwrapped(text))
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
