"""Words, as they are compared: lower case, stems, stop words, numbers in one spelling.

Shipped weights were trained with `content_words` and `tokens`: their output must not change.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import regex

from inhouse.text.stemmers import stemmers

CACHED = 50_000  # words or sentences
WORD = re.compile(r"\w+")
IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}ー々〆"
UNSPACED = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Characters for `regex` of the scripts without spaces between words: Chinese and Japanese, and alphabets."""
WORDS_PER_IDEOGRAPH, WORDS_PER_LETTER = 0.7, 0.3  # on average, in those scripts
_UNSPACED_LETTER = regex.compile(rf"([{IDEOGRAPHS}])|(?=\p{{L}})[{UNSPACED}]")
_SPACED_WORD = regex.compile(rf"[\w--{IDEOGRAPHS}{UNSPACED}]+", regex.V1)  # unlike in `re`, marks are part of words
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?|[$£€%]")
STOP = frozenset(
    """a an the and or but if of in on at to for from by with as is are was were be been being it its this that these
    those i you he she we they me him her us them my your his our their do does did have has had will would can could
    shall should may might must so than then there here what which who whom when where how why all any both each some
    such own same too very just also yes into about out off down most other please let know like get got one""".split()  # noqa: SIM905
)
_GREETING = re.compile(
    r"(?:(?:hi|hey|hello|hiya|dear|greetings|good (?:morning|afternoon|evening|day)|ok|okay|so|please|thanks|thank you"
    r"|hallo|guten (?:morgen|tag|abend)|bonjour|bonsoir|salut|hola|buenos d[ií]as|buenas (?:tardes|noches)|ciao"
    r"|buongiorno|buonasera|ol[aá]|bom dia|boa (?:tarde|noite)|hoi|goede(?:morgen|middag|navond)|hej|cześć|merhaba)"
    r"(?: there| team| all| everyone| sir| madam)?(?:[ ,.;:!]+|$))+",
    re.IGNORECASE,
)
SMALL_NUMBERS = {w: str(n) for n, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split())}  # fmt: skip  # noqa: SIM905


def words(text: str) -> list[str]:
    """Every word and number, in lower case."""
    return WORD.findall(text.casefold())


def length_in_words(text: str) -> int:
    """How many words a text has; where a script has no spaces between them, as many as its characters stand for.

    Ten Chinese characters or kana count as seven words; ten letters of Thai, Lao, Khmer, or Burmese as three.
    """
    spaced = len(WORD.findall(text)) if text.isascii() else len(_SPACED_WORD.findall(text))
    letters = [] if text.isascii() else _UNSPACED_LETTER.findall(text)
    ideographs = sum(map(bool, letters))
    return spaced + math.ceil(WORDS_PER_IDEOGRAPH * ideographs + WORDS_PER_LETTER * (len(letters) - ideographs))


def without_greeting(text: str) -> str:
    """The text without a greeting at its beginning; empty where it is only one."""
    found = _GREETING.match(text)
    return text[found.end() :] if found else text


def plain(text: str) -> str:
    """The text without case, punctuation and spacing."""
    return " ".join(words(text))


@lru_cache(maxsize=CACHED)
def stem(word: str) -> str:
    """The Porter stem of a lower-case word."""
    return str(_stemmer().stem(word))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    return stemmers().PorterStemmer()


def value_of(text: str) -> str:
    """One spelling of a number: "1,000.00" is "1000"."""
    plain = text.replace(",", "")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain.lstrip("0") or "0"


@lru_cache(maxsize=CACHED)
def content_words(text: str) -> tuple[str, ...]:
    """The words that carry meaning, in order: stems without stop words, and numbers in one spelling."""
    stems = []
    for token in _TOKEN.findall(text.replace("’", "'").casefold()):
        plain = token.removesuffix("'s")
        if plain[0].isdigit():
            stems.append(value_of(plain))
        elif plain in SMALL_NUMBERS and plain != "one":
            stems.append(SMALL_NUMBERS[plain])
        elif plain.isalpha() and len(plain) > 1 and plain not in STOP:
            stems.append(stem(plain))
    return tuple(stems)


@lru_cache(maxsize=CACHED)
def tokens(text: str) -> tuple[str, ...]:
    """All words as stems, stop words too, and numbers and signs."""
    plain = text.replace("’", "'").casefold()
    return tuple(value_of(t) if t[0].isdigit() else stem(t.removesuffix("'s")) for t in _TOKEN.findall(plain))
