"""The terms of a text for full-text search, in any language; those of chunks and of queries are made alike.

The engine lowers and stems the terms as English ones and ignores accents of Latin letters, which leaves words of other
languages as they are. So these get their stem as a further term; where no stemmer is known, a prefix (McNamee and
Mayfield 2004, "Character N-Gram Tokenization for European Language Text Retrieval"). Words of other letters also stand
without accents. Scripts without spaces, and Korean, whose particles are written with the word, give each pair of
neighboring characters, as search engines do for Chinese.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import regex

from inhouse.text.stemmers import stemmers
from inhouse.text.words import CACHED, IDEOGRAPHS, UNSPACED

STEMMED = {
    "ar": "arabic", "da": "danish", "de": "german", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sv": "swedish",
}  # fmt: skip
PREFIXED = frozenset({"be", "bg", "cs", "el", "hr", "mk", "pl", "sk", "sr", "tr", "uk"})
PREFIX, SHORT_PREFIX = 5, 4  # letters, of words that are longer
INFLECTED = frozenset(STEMMED) | PREFIXED
"""The languages whose words get a further term."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_TERM = regex.compile(
    rf"(?P<signs>[{IDEOGRAPHS}]+)|(?P<letters>[{UNSPACED}]+)|(?P<syllables>\p{{Hangul}}+)"
    rf"|[\w--[_\p{{Hangul}}{IDEOGRAPHS}{UNSPACED}]]+",
    regex.V1,
)
_GRAPHEME = regex.compile(r"\X")
_UNWRITTEN = regex.compile(r"[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640\u200b-\u200f\u2060\u00ad]+")
_ALIKE = str.maketrans(
    {**dict.fromkeys("أإآٱ", "ا"), "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ё": "е", "Ё": "Е", "İ": "I"}
)
_ACCENTS = regex.compile(r"(?<![\p{Latin}\p{Cyrillic}\u0300-\u036f])[\u0300-\u036f]+")  # "й" is a letter
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def terms(text: str, languages: Collection[str] = ()) -> list[str]:
    """The terms of a text: its words, the parts of its identifiers ("Diff" and "Executor" for "DiffExecutor"), pairs of
    characters, and the stems of its words in each of the languages."""
    parts = [p for word in _IDENTIFIER.findall(text) if len(some := _PART.findall(word)) > 1 for p in some]
    words = _IDENTIFIER.findall(text) if text.isascii() else list(_words(text))
    more = [] if text.isascii() else [plain for word in words if (plain := _plain(word)) != word]
    if inflected := sorted(INFLECTED.intersection(languages)):
        for word in words:
            more += dict.fromkeys(_plain(stem) for name in inflected for stem in _stems(word.lower(), name))
    return words + parts + more


def _plain(word: str) -> str:
    """A word of other than Latin letters without accents, and with one form of letters that are written alike."""
    if word.isascii():
        return word
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word.translate(_ALIKE))))


def _words(text: str) -> Iterator[str]:
    plain = _UNWRITTEN.sub("", unicodedata.normalize("NFKC", text))
    for found in _TERM.finditer(plain):
        run = found[0]
        if found.lastgroup is None:
            yield run
            continue
        characters = _GRAPHEME.findall(run) if found["letters"] else run
        if len(characters) < 3 or found["syllables"]:
            yield run
        if len(characters) > 2:
            yield from map("".join, pairwise(characters))


@lru_cache(maxsize=CACHED)
def _stems(word: str, language: str) -> tuple[str, ...]:
    """What a word is also found by, unless it is that itself."""
    if not word.isalpha():
        return ()
    if language in PREFIXED:
        return (word[:PREFIX] if len(word) > PREFIX else word[:SHORT_PREFIX],) if len(word) > SHORT_PREFIX else ()
    stemmer = _stemmer(language)
    found = {str(stemmer.stem(word)): None}
    if language == "de" and (spelled := word.translate(_UMLAUTS)) != word:  # "gebuehr"
        found |= dict.fromkeys((spelled, str(stemmer.stem(spelled))))
    return tuple(stem for stem in found if stem != word)


@lru_cache
def _stemmer(language: str) -> Any:
    return stemmers().SnowballStemmer(STEMMED[language])
