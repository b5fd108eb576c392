"""Which language a text is in."""

from __future__ import annotations

import re
from collections import Counter

from inhouse.text.words import words

_FREQUENT = {
    "en": "the and you to of is for in your are be have with not will this that we can it from at our they as on by",
    "de": "der und ist nicht sie ein eine für auf den zu im wir können ihre von bei wird auch das ich",
    "fr": "le les et est vous pas une des pour dans que votre nous avec du sur au ce sont être",
    "es": "el los las y es que una para su por usted en del puede como más está nuestro cuenta",
    "it": "il che di è una per non con del sono può gli nel suo della più questo alla anche conto",
    "pt": "os é que uma para não com seu por em pode você na mais são nossa conta um ao",
    "nl": "het een en van niet voor op de zijn uw wij kunt dat bij naar ook met",
}
_LANGUAGES = {name: frozenset(words.split()) for name, words in _FREQUENT.items()}
_SCRIPTS = {
    "ar": "\u0600-\u06ff", "he": "\u0590-\u05ff", "ru": "\u0400-\u04ff", "el": "\u0370-\u03ff",
    "zh": "\u4e00-\u9fff", "ja": "\u3040-\u30ff", "ko": "\uac00-\ud7af", "hi": "\u0900-\u097f", "th": "\u0e00-\u0e7f",
}  # fmt: skip


def language(text: str) -> str:
    """The two-letter code of the language, by its script or its most frequent words; "" if neither is clear."""
    letters = [c for c in text if c.isalpha()]
    for name, span in _SCRIPTS.items():
        if letters and len(re.findall(f"[{span}]", text)) > 0.4 * len(letters):
            return name
    counts = Counter(words(text))
    hits = {name: sum(counts[w] for w in frequent) for name, frequent in _LANGUAGES.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    # names and loan words are in other languages' lists now and then
    return first if hits[first] >= 2 and hits[first] >= 1.5 * hits[second] else ""
