"""Which language a text is in: by its script and letters where these tell; else py3langid, a naive Bayes classifier
over byte n-grams (Lui and Baldwin 2012).

Short messages, names, and loan words are often taken for another language, so only clear evidence counts.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from inhouse.text.automaton import Transitions

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_CLASSIFIED = (
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id", "it", "ja", "ko",
    "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip
"""Those that the classifier tells apart. It knows 140; with all of them it is less certain of each."""
_BY_LETTERS = (
    "am", "be", "bn", "bo", "gu", "hy", "ka", "kk", "km", "kn", "lo", "mk", "ml", "mr", "my", "or", "pa", "si", "sr",
    "ta", "te", "ur",
)  # fmt: skip
LANGUAGES = tuple(sorted(_CLASSIFIED + _BY_LETTERS))
"""All those that are told apart."""
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
MOST_CHARS = 2000  # the beginning of a longer text says which language it is in
CLEAR, CLEAR_OF_TWO_WORDS = 0.6, 0.8  # probability; see docs/LOG.md, 2026-11-29
CLEAR_BY_SCRIPT = 0.4  # of a text that is not in Latin letters, whose words cannot be loan words
NAME_WORDS = 4  # as many capitalized words are a name, such as "Jürgen Müller"
SPOKEN_SHARE = 0.1  # of the texts: a language with this share is one that the business speaks
SHORT_HAN = 4  # fewer Chinese characters are a word that Japanese may have too
KANA = 0.08  # of Chinese characters and kana: Japanese has more, Chinese with a loan word less
HAN_LETTERS = 3  # as many letters does a Chinese character, a kana, or a Korean syllable stand for
BULGARIAN_LETTERS = 80  # Russian of this length has one of its letters that Bulgarian lacks
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    (0x0000, "Latin"), (0x0370, "el"), (0x0400, "Cyrillic"), (0x0530, "hy"), (0x0590, "he"), (0x0600, "Arabic"),
    (0x0700, ""), (0x0750, "Arabic"), (0x0780, ""), (0x08A0, "Arabic"), (0x0900, "Devanagari"), (0x0980, "bn"),
    (0x0A00, "pa"), (0x0A80, "gu"), (0x0B00, "or"), (0x0B80, "ta"), (0x0C00, "te"), (0x0C80, "kn"), (0x0D00, "ml"),
    (0x0D80, "si"), (0x0E00, "th"), (0x0E80, "lo"), (0x0F00, "bo"), (0x1000, "my"), (0x10A0, "ka"), (0x1100, "ko"),
    (0x1200, "am"), (0x13A0, ""), (0x1780, "km"), (0x1800, ""), (0x1D00, "Latin"), (0x1F00, "el"), (0x2000, ""),
    (0x2C60, "Latin"), (0x2C80, ""), (0x3005, "Han"), (0x3040, "Kana"), (0x3100, "Han"), (0x3130, "ko"), (0x3190, ""),
    (0x31F0, "Kana"), (0x3200, ""), (0x3400, "Han"), (0xA000, ""), (0xA720, "Latin"), (0xA800, ""), (0xAC00, "ko"),
    (0xD7B0, ""), (0xF900, "Han"), (0xFB00, "Latin"), (0xFB1D, "he"), (0xFB50, "Arabic"), (0xFE00, ""),
    (0xFE70, "Arabic"), (0xFF00, "Latin"), (0xFF66, "Kana"), (0xFFA0, "ko"), (0xFFE0, ""), (0x20000, "Han"),
    (0x40000, ""),
)  # fmt: skip
"""The first code point of each range of letters, with its script, or the one language that is written in it."""
_STARTS = tuple(start for start, _ in _SCRIPTS)
_JAPANESE = frozenset(
    "込畑働峠枠辻榊栃発営売円単価駅図収払様続対応処仮県広沢済観帰変実読検険験証総経継覚戻届録団囲伝労応厳桜"
)
"""Characters that only Japanese uses: made in Japan, or simplified in another way than in China."""


def language(text: str) -> str:
    """The two-letter code of the language; "" where it is not clear."""
    found = _WORD.findall(text[:MOST_CHARS])
    if not found:
        return ""
    if (known := _by_letters("".join(found))) is not None:
        return known if known in LANGUAGES else _classified(found, CLEAR_BY_SCRIPT) if known == "?" else ""
    if len(found) == 1 or (len(found) <= NAME_WORDS and all(word.istitle() for word in found)):
        return ""
    return _classified(found, CLEAR if len(found) > 2 else CLEAR_OF_TWO_WORDS)


def _classified(found: list[str], clear: float) -> str:
    name, probability = _identifier().classify(" ".join(found))
    return str(name) if probability >= clear else ""


def _by_letters(letters: str) -> str | None:
    """The language of letters that tell it; "" or "?" where they tell none, None where most are Latin."""
    if letters.isascii():
        return None
    counts: Counter[str] = Counter()
    for letter, n in Counter(letters).items():
        counts[_SCRIPTS[bisect(_STARTS, ord(letter)) - 1][1]] += n
    latin = counts.pop("Latin", 0)
    counts["Han"] += counts["Kana"]
    for script in ("Han", "ko"):
        counts[script] *= HAN_LETTERS
    script = max(counts, key=lambda s: counts[s])
    if 2 * counts[script] <= latin + sum(counts.values()) - counts["Kana"]:
        return None
    if script == "Han":
        return _chinese_or_japanese(letters, counts["Kana"], counts["Han"] // HAN_LETTERS)
    return {"Cyrillic": _cyrillic, "Arabic": _arabic, "Devanagari": _devanagari}.get(script, lambda _: script)(letters)


def _chinese_or_japanese(letters: str, kana: int, every: int) -> str:
    if kana > KANA * every or (not kana and not _JAPANESE.isdisjoint(letters)):
        return "ja"
    return "zh" if every >= SHORT_HAN else ""


def _cyrillic(letters: str) -> str:
    has = set(letters.lower())
    for code, own in (("be", "ў"), ("kk", "әғқңұһ"), ("mk", "ѓќѕ"), ("sr", "ђћџљњј"), ("ru", "ыэё"), ("uk", "іїєґ")):
        if not has.isdisjoint(own):
            return code
    return "bg" if len(letters) >= BULGARIAN_LETTERS else "?"


def _arabic(letters: str) -> str:
    persian, arabic = (sum(map(letters.count, own)) for own in ("پچژگکی", "ةيكىأإؤ"))
    if any(map(letters.count, "ٹڈڑںے")):
        return "ur"
    return "fa" if persian > arabic else "ar" if arabic else "?"


def _devanagari(letters: str) -> str:
    return "mr" if "ळ" in letters else "hi"


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
    return identifier_of(_CLASSIFIED)


def identifier_of(languages: Iterable[str]) -> LanguageIdentifier:
    """py3langid for those of the languages that it knows."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(sorted(set(languages) & set(identifier.labels)))
    # It keeps what it knows of all languages, 27 MB, for a wider choice later; there is none.
    identifier._full_model = identifier.nb_ptc, identifier.nb_pc, identifier.nb_classes
    identifier.tk_nextmove = Transitions(identifier.tk_nextmove)
    return identifier
