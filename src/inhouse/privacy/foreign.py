"""Personal data in languages other than English, by rules: names after titles, greetings and introductions or with a
known first name, addresses, dates of birth, phone numbers, and numbers of accounts and orders.

The English model for names is not used here: it takes capitalized German nouns for people. A name that nothing
introduces and whose first name is in no list is not found; `coverage` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from inhouse.privacy import characters
from inhouse.privacy.locales import CAPITAL, LOCALES, Locale
from inhouse.privacy.match import Match
from inhouse.privacy.names import BY_CHARACTERS, PARTICLES, known_names, stop_words

ENGLISH = "en"
RULES = frozenset([*LOCALES, *BY_CHARACTERS])
"""Languages with rules of their own."""
REGIONS = {"zh": ("CN", "TW", "HK"), "ja": ("JP",)} | {name: locale.regions for name, locale in LOCALES.items()}
MOST_NAME_WORDS = 4
_NEAR = 40  # characters between a date and the word that makes it a date of birth
_NAME_WORD = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:['’-][^\W\d_]+)*\.?")
_GAP = re.compile(r"[ \t]{1,2}")
_NUMERIC_DATE = r"\d{1,2}[./-] ?\d{1,2}[./-] ?(?:19|20)?\d{2}|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}"
_SENTENCE_END = re.compile(r"[.!?\n](?=\s)")
_NUMBER_OF = r"(?:\s*(?:[:#=]|n[r°º.]*|ist|lautet|es|est|è|is|to|é)){0,3}\s*"
_CODE = r"(?P<value>(?=[\w-]*\d)[A-Z0-9](?:[ -]?[A-Z0-9]){3,23})(?!\w|[.,]\d)"
_CURRENCY = r"(?:[€$£¥₹]|zł|pln|eur|euros?|chf|usd|gbp|kr|kč|ft|brl|r\$|rmb|jpy|cny)"
_CURRENCY_AFTER = re.compile(rf"[.,]?\d{{0,2}}[ \xa0]?{_CURRENCY}(?!\w)", re.IGNORECASE)
_CURRENCY_BEFORE = re.compile(rf"(?<!\w){_CURRENCY}[ \xa0]?$", re.IGNORECASE)
_NO_SURNAME = re.compile(r"(?:ungen?|heit|keit|schaft|tät|tion|ismus|ment)$")


def found(text: str, language: str) -> list[Match]:
    """The personal data in a text of one of the languages in RULES; matches may overlap."""
    if language in LOCALES:
        rules = _rules(language)
        return [*rules.people(text), *(rules.numbers(text) if any(map(str.isdigit, text)) else ())]
    if language in BY_CHARACTERS:
        return list(characters.found(text, language))
    return []


def dates(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Spans of the dates in a text."""
    if language in LOCALES:
        yield from (match.span() for match in _rules(language).date.finditer(text))


def kinds_requested(text: str, language: str) -> set[str]:
    """The kinds of personal data that a turn asks for."""
    return _rules(language).kinds_requested(text) if language in LOCALES else set()


@lru_cache(maxsize=16)
def _rules(language: str) -> Rules:
    return Rules(language, LOCALES[language])


class Rules:
    """The rules of a language that is written with spaces."""

    def __init__(self, language: str, locale: Locale) -> None:
        self._stop = stop_words(language)
        self._first = known_names(language, "first_names") - self._stop
        ignore = re.IGNORECASE
        # In each expression the name, or the value, begins where the match ends.
        self._any_name = [
            re.compile(rf"(?<!\w)(?:{locale.titles})(?: (?:{locale.titles})){{0,2}} {{1,2}}(?={CAPITAL})", ignore),
            re.compile(rf"(?<!\w)(?:{locale.introduces})\s{{1,2}}(?:(?:{locale.titles})\s)?", ignore),
            re.compile(rf"(?:^|\n|[,;] ?)[ \t]{{0,4}}(?:{locale.labels})[ \t]{{0,3}}:[ \t]{{0,3}}(?=\S)", ignore),
            re.compile(rf"(?:^|\n|[.!?] )(?:{locale.closes})[,.!]?\s{{1,4}}(?={CAPITAL})", ignore),
        ]
        self._known_name = [
            re.compile(rf"(?<!\w)(?:{locale.says})[ ,]{{1,2}}", ignore),
            re.compile(rf"(?<!\w)(?:{locale.greets})[ ,]{{1,2}}(?={CAPITAL})", ignore),
        ]
        day = rf"\d{{1,2}}(?:\.|º|er)? ?(?:de |di )?(?:{locale.months})(?!\w)\.?"
        date = rf"(?:{_NUMERIC_DATE}|{day}(?: (?:de |del )?(?:19|20)\d{{2}})?)"
        self.date = re.compile(rf"(?<![\w.,/-]){date}(?!\w|[.,/-]\d)", ignore)
        self._born = re.compile(rf"(?<!\w)(?:{locale.born})", ignore)
        self._address = [re.compile(rf"(?<!\w)(?:{shape})(?!\w)", ignore) for shape in locale.address]
        self._reference = re.compile(rf"(?<!\w)(?:{locale.reference}){_NUMBER_OF}(?-i:{_CODE})", ignore)
        self._account = re.compile(rf"(?<!\w)(?:{locale.account}){_NUMBER_OF}(?-i:{_CODE})", ignore)
        self._pin = re.compile(
            r"(?<!\w)pin(?:-?(?:code|nummer))?\b[^\d\n.!?]{0,15}(?P<value>\d{3,8})(?![\w%]|[.,]\d)", ignore
        )
        self._asks = {kind: re.compile(pattern, ignore) for kind, pattern in locale.asks.items()}

    def kinds_requested(self, text: str) -> set[str]:
        return {kind for kind, pattern in self._asks.items() if pattern.search(text)}

    def people(self, text: str) -> Iterator[Match]:
        for n, pattern in enumerate(self._any_name):
            for match in pattern.finditer(text):
                words = self._name_words(text, match.end(), any_case=n in (1, 2))
                if words and not (n == 3 and _ends_a_sentence(text, words[-1].end())):
                    yield Match("PERSON", words[0].start(), _end(words), sure=True)
        for pattern in self._known_name:
            for match in pattern.finditer(text):
                words = self._name_words(text, match.end(), any_case=False)
                if words and self._is_first(words[0][0]):
                    yield Match("PERSON", words[0].start(), _end(words), sure=True)
        for match in re.finditer(rf"(?<![\w@./-]){CAPITAL}[^\W\d_]+(?:-{CAPITAL}[^\W\d_]+)?(?= )", text):
            if self._is_first(match[0]):
                words = self._name_words(text, match.start(), any_case=False)
                last = [w for w in words[1:] if w[0].lower() not in PARTICLES]
                if last and not _NO_SURNAME.search(last[-1][0]):
                    yield Match("PERSON", words[0].start(), _end(words), sure=False)

    def _is_first(self, word: str) -> bool:
        return all(part in self._first for part in word.casefold().rstrip(".").split("-"))

    def _name_words(self, text: str, at: int, any_case: bool) -> list[re.Match[str]]:
        """The words of the name that begins at `at`: capitalized ones and particles, or any up to one that is none."""
        words: list[re.Match[str]] = []
        while len(words) < MOST_NAME_WORDS and (word := _NAME_WORD.match(text, at)):
            low = word[0].casefold().rstrip(".")
            particle = low in PARTICLES and word[0][0].islower()
            capital = word[0][0].isupper()
            if low in self._stop or not (capital or (particle and words) or (any_case and self._small(words, low))):
                break
            words.append(word)
            gap = _GAP.match(text, word.end())
            initial = len(word[0]) == 2 and word[0].endswith(".")
            if not gap or (word[0].endswith(".") and not initial):
                break
            at = gap.end()
        while words and words[-1][0].casefold() in PARTICLES and words[-1][0].islower():
            words.pop()
        return words

    def _small(self, words: list[re.Match[str]], low: str) -> bool:
        """Whether a word in lower case may be part of a name: a first name, or what follows one."""
        return low in self._first or bool(words and words[0][0][0].islower() and len(words) < 2 and len(low) > 2)

    def numbers(self, text: str) -> Iterator[Match]:
        for match in self.date.finditer(text):
            if self._born.search(_around(text, *match.span())):
                yield Match("DATE_OF_BIRTH", *match.span(), sure=True)
        for shape in self._address:
            for match in shape.finditer(text):
                yield Match("ADDRESS", match.start(), len(text[: match.end()].rstrip(" .,")), sure=True)
        labeled = (("ORDER_NUMBER", self._reference), ("ACCOUNT_NUMBER", self._account), ("PIN", self._pin))
        for kind, pattern in labeled:
            for match in pattern.finditer(text):
                yield Match(kind, *match.span("value"), sure=True)


def phones(text: str, language: str) -> Iterator[Match]:
    """Phone numbers as they are written in the countries of the language, by Google's rules for each country."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    for region in REGIONS.get(language, ()):
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            if sum(map(str.isdigit, match.raw_string)) > 6:
                yield Match("PHONE", match.start, match.end, sure=True)


def gaps(languages: Iterable[str]) -> list[str]:
    """What may be missed in texts of these languages, a sentence each."""
    ruled = sorted(set(languages) & RULES)
    other = sorted(set(languages) - RULES - {ENGLISH})
    sentences = []
    if ruled:
        sentences.append(
            f"Names of people in {', '.join(ruled)} are found by rules: after a title, a greeting, or an introduction, "
            "or with a common first name. Other names may remain."
        )
    if other:
        sentences.append(
            f"There are no rules for {', '.join(other)}: numbers with a known shape are found, and names by a model of "
            "English. Names, addresses, and dates of birth may remain."
        )
    return sentences


def is_amount(text: str, start: int, end: int) -> bool:
    """Whether a number is an amount of money, such as "1 250 000 zł"."""
    return bool(_CURRENCY_AFTER.match(text, end) or _CURRENCY_BEFORE.search(text, max(start - 5, 0), start))


def _end(words: list[re.Match[str]]) -> int:
    last = words[-1]
    return last.end() - (last[0].endswith(".") and len(last[0]) > 2)


def _ends_a_sentence(text: str, at: int) -> bool:
    """Whether text goes on in the same line: then it was a sentence that began, not the name under a letter."""
    rest = text[at:].partition("\n")[0].strip(" .,")
    return bool(rest)


def _around(text: str, start: int, end: int) -> str:
    """The text near a span, within its sentence."""
    near = max(text.rfind("\n", 0, start) + 1, start - _NEAR)
    for stop in _SENTENCE_END.finditer(text, near, start):
        near = stop.end() if text[stop.start() - 1].isalpha() else near  # "3. April" and "geb. am" end no sentence
    stop_after = _SENTENCE_END.search(text, end, end + _NEAR)
    return text[near : stop_after.start() if stop_after else end + _NEAR]
