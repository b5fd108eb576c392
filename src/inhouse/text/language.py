"""Which language a text is in: py3langid, a naive Bayes classifier over byte n-grams (Lui and Baldwin 2012).

Short messages, names, and loan words are often taken for another language, so only clear evidence counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LANGUAGES = (
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja", "ko",
    "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip
"""Those that are told apart. The classifier knows 140; with all of them it is less certain of each."""
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
MOST_CHARS = 2000  # the beginning of a longer text says which language it is in
CLEAR, CLEAR_OF_TWO_WORDS = 0.6, 0.8  # probability; see docs/LOG.md, 2026-11-29
CLEAR_BY_SCRIPT = 0.4  # of a text that is not in Latin letters, whose words cannot be loan words
NAME_WORDS = 4  # as many capitalized words are a name, such as "Jürgen Müller"
SPOKEN_SHARE = 0.1  # of the texts: a language with this share is one that the business speaks
_WORD = re.compile(r"[^\W\d_]+")
_LATIN_BEFORE = "\u0370"


def language(text: str) -> str:
    """The two-letter code of the language; "" where it is not clear."""
    found = _WORD.findall(text[:MOST_CHARS])
    if not found:
        return ""
    name, probability = _identifier().classify(" ".join(found))
    if sum(word[0] >= _LATIN_BEFORE for word in found) > len(found) / 2:
        return name if probability >= CLEAR_BY_SCRIPT else ""
    if len(found) == 1 or (len(found) <= NAME_WORDS and all(word.istitle() for word in found)):
        return ""
    return name if probability >= (CLEAR if len(found) > 2 else CLEAR_OF_TWO_WORDS) else ""


def has_spaces(code: str) -> bool:
    """Whether the language writes spaces between words."""
    return code not in UNSPACED


def languages(texts: Iterable[str]) -> dict[str, int]:
    """How many of the texts are in each language; those that are not clear are left out."""
    return dict(Counter(filter(None, map(language, texts))))


def spoken(counts: Mapping[str, int]) -> frozenset[str]:
    """The languages with a good share of the texts, from `languages`."""
    return frozenset(name for name, n in counts.items() if n >= SPOKEN_SHARE * sum(counts.values()))


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier
