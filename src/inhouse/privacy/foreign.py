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
from inhouse.privacy.names import (
    BY_CHARACTERS,
    PARTICLES,
    ROLES,
    first_names_anywhere,
    known_names,
    stop_words,
)

ENGLISH = "en"
RULES = frozenset([*LOCALES, *BY_CHARACTERS])
"""Languages with rules of their own."""
REGIONS = {"zh": ("CN", "TW", "HK"), "ja": ("JP",)} | {name: locale.regions for name, locale in LOCALES.items()}
MOST_NAME_WORDS = 4
_NEAR = 40  # characters between a date and the word that makes it a date of birth
_INITIALS = rf"(?:{CAPITAL}\.-?){{1,4}}"
_NAME_WORD = re.compile(rf"{_INITIALS}|[^\W\d_][^\W\d_'’.-]{{0,30}}(?:['’-][^\W\d_]{{1,30}}){{0,3}}[.ªº]?")
_IS_INITIALS = re.compile(rf"{_INITIALS}$")
_CAPITALIZED = re.compile(rf"(?:[dl]['’]|(?:al|el|ben|bin)-)?{CAPITAL}", re.IGNORECASE)
_BEFORE_CAPITAL = rf"(?:(?:{'|'.join(sorted(PARTICLES))}) ){{0,2}}(?:[dl]['’]|(?:al|el)-)?{CAPITAL}"
_SHORT_NAMES = frozenset("ant chr fco fr gral joh jos jr ma mª st wm".split())  # noqa: SIM905
_SAYS_OF_ANYTHING = frozenset(["c'est", "c’est", "dit is", "es ist", "hier", "é", "é a", "é o", "somos", "siamo"])
_CLAUSE_END = re.compile(
    r"[ \t]{0,2}(?:[,.;!\n(]|$|[-–—] |(?:und|y|e|et|en|i|con|met|mit|aus|de|van|from|z)\b)", re.IGNORECASE
)
_COMPANY = re.compile(
    r"(?:gmbh|mbh|ag|kg|ohg|ug|e\.v|s\.?a|s\.?l|sarl|sas|s\.?p\.?a|s\.?r\.?l|b\.?v|n\.?v|sp\. z o\.o|lda|ltda"
    r"|inc|ltd|bank\w{0,40}"
    r"|banco|banque|banca)\.?$",
    re.IGNORECASE,
)
_PRODUCT = re.compile(
    r"(?<!\w)(?:artikel|art|modell?|typ|ean|gtin|isbn|sku|art[íi]culo|modelo|article|mod[èe]le|articolo|modello|artykuł"
    r"|produkt|produ[ck]to?|prodotto|produit|artigo|model)\w{0,3}[-.]?[ ]?(?:nummer|nr|número|numéro|numero|numer"
    r"|code|código|codice|kod"
    r"|n[.º°o]{1,2}|ref)?[.:#]?(?: (?:ist|lautet|es|est|è|is|to|é|jest|mit der|mit|der|con|de|com)){0,2}:? ?$"
    r"|(?:商品|製品|品|型|产品|產品|货)(?:番号|编号|編號|号|號|番)[は是为：: ]{0,3}$"
    r"|(?:型号|型號|条形码|JANコード|货号|商品码)[は是为：: ]{0,3}$",
    re.IGNORECASE,
)
_GAP = re.compile(r"[ \t]{1,2}")
_NUMERIC_DATE = r"\d{1,2}[./-] ?\d{1,2}[./-] ?(?:19|20)?\d{2}|(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}"
_ABBREVIATION = re.compile(r"(?<!\w)(?:geb|ur|nac|nasc|f|n)$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\n](?=\s)")
_NUMBER_OF = r"(?:\s*(?:[:#=]|n[r°º.]*|ist|lautet|es|est|è|is|to|é)){0,3}\s*"
_CODE = (
    r"(?P<value>(?!\d{1,2}[/]\d{1,2}[/]\d{2,4}(?!\w)|\d{1,2}/\d{4}(?![\w/]))"
    r"(?=(?:[A-Z]{1,4} )?[\w/.-]{0,24}\d)[A-Z0-9](?:[ /.-]?[A-Z0-9]){3,23})"
    r"(?!\w|[.,]\d)"
)
_CURRENCY = r"(?:[€$£¥₹]|zł|pln|eur|euros?|chf|usd|gbp|kr|kč|ft|brl|r\$|rmb|jpy|cny)"
_CURRENCY_AFTER = re.compile(rf"[.,]?\d{{0,2}}[ \xa0]?{_CURRENCY}(?!\w)", re.IGNORECASE)
_CURRENCY_BEFORE = re.compile(rf"(?<!\w){_CURRENCY}[ \xa0]?$", re.IGNORECASE)
_IN_STREETS = frozenset(
    "am an auf im in zum zur unter hinter vor bei neben alte alter neue neuer große großer kleine".split()  # noqa: SIM905
)
_POST_CODE = re.compile(
    r"(?<!\w)(?:cep|plz|postleitzahl|code postal|codice postale|c\.?a\.?p\.?|postcode|kod pocztowy"
    r"|código postal|c\.p\.)"
    r"(?: ?:| é| es| est| ist| is| to| è) ?(?P<value>\d{2}-\d{3}|\d{5}-\d{3}|\d{4}-\d{3}"
    r"|\d{4} ?[A-Z]{2}|\d{4,5})(?!\w)",
    re.IGNORECASE,
)
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
        self._stop = stop_words(language) - {"von", "van"}
        self._first = known_names(language, "first_names") - self._stop
        self._last = known_names(language, "last_names") - self._stop
        self._last_and_stop = known_names(language, "last_names") & self._stop  # Jürgen Groß
        months = re.compile(locale.months, re.IGNORECASE)
        self._anywhere = {n for n in first_names_anywhere() if n not in self._stop and not months.fullmatch(n)}
        self._anywhere |= self._first
        ignore = re.IGNORECASE
        titles = rf"(?<!\w)(?:{locale.titles})(?: (?:{locale.titles})){{0,2}} {{1,2}}"
        line = r"(?:^|\n|[,;] ?)[ \t]{0,4}"
        # In each expression the name, or the value, begins where the match ends. The name may be any.
        self._any_name = [
            (re.compile(rf"{titles}(?={_BEFORE_CAPITAL})", ignore), False),
            (re.compile(rf"(?<!\w)(?:{locale.introduces})[ ,:]{{1,2}}(?:(?:{locale.titles})\s)?", ignore), True),
            (
                re.compile(
                    rf"(?<!\w)(?:{locale.holder})[ ,:]{{1,2}}(?:(?:{locale.titles})\s)?(?={_BEFORE_CAPITAL})", ignore
                ),
                False,
            ),
            (re.compile(rf"(?<!\w)(?:{locale.kin})[ ,:]{{1,2}}(?={_BEFORE_CAPITAL})", ignore), False),
        ]
        self._label = re.compile(
            rf"{line}(?:{locale.labels})[ \t]{{0,3}}:[ \t]{{0,3}}(?:(?:{locale.titles})\s)?(?=\S)", ignore
        )
        self._close = re.compile(
            rf"(?:^|\n|[.!?] )[ \t]{{0,4}}(?:{locale.closes})[,.!]?\s{{1,4}}"
            rf"(?:(?:{locale.titles})\s)?(?={_BEFORE_CAPITAL})",
            ignore,
        )
        self._called = re.compile(rf"(?<!\w)(?:{locale.called})[ ,]{{1,2}}", ignore)
        self._titled = re.compile(titles, ignore)
        self._says = re.compile(rf"(?<!\w)(?:{locale.says})[ ,:]{{1,2}}", ignore)
        self._greets = re.compile(rf"(?<!\w)(?:{locale.greets})[ ,]{{1,2}}(?={CAPITAL})", ignore)
        self._signed = re.compile(rf"\n[ \t]{{0,4}}(?:[-–—] ?)?(?={CAPITAL})|[.!?)] [-–—] ?(?={CAPITAL})")
        self._compile_numbers(locale)

    def _compile_numbers(self, locale: Locale) -> None:
        ignore = re.IGNORECASE
        day = rf"\d{{1,2}}(?:\.|º|er)? ?(?:de |di )?(?:{locale.months})(?!\w)\.?"
        date = rf"(?:{_NUMERIC_DATE}|{day}(?: (?:de |del )?(?:19|20)\d{{2}})?)"
        self.date = re.compile(rf"(?<![\w.,/-]){date}(?!\w|[.,/-]\d)", ignore)
        self._born = re.compile(rf"(?<!\w)(?:{locale.born})", ignore)
        self._address = [re.compile(rf"(?<!\w)(?:{shape})(?!\w)", ignore) for shape in locale.address]
        # Between street and town: a floor, a flat, a part of the town.
        tail = rf"(?:[ \t]?[^,\n!?;]{{0,24}}(?:, ?\n|[,\n])[ \t]?){{1,4}}(?:{locale.post})(?!\w)"
        self._tail = re.compile(tail, ignore)
        self._any_street = re.compile(rf"(?<!\w)(?:{locale.loose_street})(?={tail})", ignore)
        self._post_line = re.compile(
            rf"(?:^|\n)[ \t]*(?P<value>(?!(?:19|20)\d\d )(?:{locale.post}))[ \t]*(?=[,.]?(?:\n|$))", ignore
        )
        self._titles = re.compile(rf"[ \t]*(?:(?:{locale.titles}|an|z\. ?hd\.|c/o|a/c|t\.?a\.?v\.?) ){{0,3}}", ignore)
        self._reference = re.compile(rf"(?<!\w)(?:{locale.reference}){_NUMBER_OF}(?-i:{_CODE})", ignore)
        self._account = re.compile(rf"(?<!\w)(?:{locale.account}){_NUMBER_OF}(?-i:{_CODE})", ignore)
        self._pin = re.compile(
            r"(?<!\w)pin(?:-?(?:code|nummer))?\b[^\d\n.!?]{0,15}(?P<value>\d{3,8})(?![\w%]|[.,]\d)", ignore
        )
        self._asks = {kind: re.compile(pattern, ignore) for kind, pattern in locale.asks.items()}

    def kinds_requested(self, text: str) -> set[str]:
        return {kind for kind, pattern in self._asks.items() if pattern.search(text)}

    def people(self, text: str) -> Iterator[Match]:
        yield from self._introduced(text)
        yield from self._in_forms(text)
        for pattern in (self._says, self._greets):
            for match in pattern.finditer(text):
                known = pattern is self._greets or match[0].strip(" ,:").casefold() in _SAYS_OF_ANYTHING
                if span := self._said(text, match.end(), known):
                    yield Match("PERSON", *span, sure=True)
        for match in re.finditer(rf"(?<![\w@./-]){CAPITAL}[^\W\d_]{{1,30}}(?:-{CAPITAL}[^\W\d_]{{1,30}})?(?= )", text):
            if self._is_first(match[0]):
                words = self._name_words(text, match.start())
                last = [w for w in words[1:] if w[0].lower() not in PARTICLES]
                if last and not _NO_SURNAME.search(last[-1][0]):
                    yield Match("PERSON", words[0].start(), _end(words), sure=False)

    def _introduced(self, text: str) -> Iterator[Match]:
        """Names after a title, one's own name, a relative, or the owner of an account."""
        for pattern, small in self._any_name:
            for match in pattern.finditer(text):
                if words := self._name_words(text, match.end(), small=small, particles=not small):
                    yield Match("PERSON", words[0].start(), _end(words), sure=True)
        for match in self._called.finditer(text):
            word = _NAME_WORD.match(text, match.end())
            if word and len(word[0]) > 2 and word[0].casefold() not in self._stop:
                words = [word, *self._name_words(text, word.end() + 1, small=True)]
                yield Match("PERSON", word.start(), _end(words[:MOST_NAME_WORDS]), sure=True)
        for match in self._titled.finditer(text):
            word = _NAME_WORD.match(text, match.end())
            if word and word[0].islower() and word[0] in self._last and len(word[0]) > 3:
                yield Match("PERSON", *word.span(), sure=True)

    def _in_forms(self, text: str) -> Iterator[Match]:
        """Names after a label or the closing of a letter, as the last line, and above an address."""
        for match in self._label.finditer(text):
            if words := self._name_words(text, match.end(), small=True, particles=True):
                end = _end(words)
                if text.startswith(", ", end) and (more := self._name_words(text, end + 2)):
                    end = _end(more) if _ends_line(text, _end(more)) else end  # "Weber, Anna"
                yield Match("PERSON", words[0].start(), end, sure=True)
        for match in self._close.finditer(text):
            words = self._name_words(text, match.end(), particles=True)
            if words and _ends_line(text, _end(words)):
                yield Match("PERSON", words[0].start(), _end(words), sure=True)
        for match in self._signed.finditer(text):
            words = self._name_words(text, match.end())
            if words and not text[_end(words) :].strip(" .\n") and self._is_anywhere(words[0][0]):
                yield Match("PERSON", words[0].start(), _end(words), sure=True)

    def _said(self, text: str, at: int, known: bool) -> tuple[int, int] | None:
        """A name after "I am ...": a known first name, or else words that look like one and end the clause."""
        words = self._name_words(text, at)
        if words and self._is_anywhere(words[0][0]):
            return words[0].start(), _end(words)
        capitals = [w for w in words if w[0][0].isupper()]
        if (
            not known
            and len(capitals) > 1
            and _CLAUSE_END.match(text, _end(words))
            and not any(w[0].casefold() in ROLES or _NO_SURNAME.search(w[0]) or _COMPANY.match(w[0]) for w in words)
        ):
            return words[0].start(), _end(words)
        words = self._name_words(text, at, small=True)
        if words and words[0][0].islower() and _CLAUSE_END.match(text, _end(words)):
            low = words[0][0]
            if (low in self._first and len(low) > 2) if len(words) == 1 else (low in self._anywhere and len(low) > 3):
                return words[0].start(), _end(words)
        return None

    def _is_first(self, word: str) -> bool:
        return all(part in self._first for part in word.casefold().rstrip(".").split("-"))

    def _is_anywhere(self, word: str) -> bool:
        """Whether it is a first name in any country."""
        return all(part in self._anywhere for part in word.casefold().rstrip(".").split("-"))

    def _name_words(self, text: str, at: int, small: bool = False, particles: bool = False) -> list[re.Match[str]]:
        """The words of the name that begins at `at`, up to a word that is none.

        Args:
            text: the text.
            at: where the name begins.
            small: whether it may be in lower case.
            particles: whether it may begin with a particle, such as "van".
        """
        words: list[re.Match[str]] = []
        while len(words) < MOST_NAME_WORDS + 2 and (word := _NAME_WORD.match(text, at)):
            low = word[0].casefold().rstrip(".")
            initials = bool(_IS_INITIALS.match(word[0]))
            particle = low in PARTICLES and word[0][0].islower()
            named = (
                (particle and (words or particles))
                or _CAPITALIZED.match(word[0])
                or (small and self._small(words, low))
            )
            after_first = bool(words) and words[-1][0].casefold() in self._first and word[0][0].isupper()
            stop = low in self._stop and not initials and not (after_first and low in self._last_and_stop)
            if not named or stop or (not words and low in PARTICLES and not particles):
                break
            if words or low not in ROLES:  # "Herr Direktor Weber"
                words.append(word)
            gap = _GAP.match(text, word.end())
            if initials and not gap:
                at = word.end()
            elif not gap or (word[0].endswith(".") and not initials and low not in _SHORT_NAMES):
                break
            else:
                at = gap.end()
        while len([w for w in words if w[0].casefold() not in PARTICLES]) > MOST_NAME_WORDS or (
            words and words[-1][0].casefold() in PARTICLES and words[-1][0].islower()
        ):
            words.pop()
        return words

    def _small(self, words: list[re.Match[str]], low: str) -> bool:
        """Whether a word in lower case may be part of a name: a known one, or one surname after the known."""
        if low in self._first or (len(low) > 3 and low in self._anywhere):
            return True
        if not words or not words[0][0][0].islower() or len(low) < 3:
            return False
        return low in self._last or all(self._is_anywhere(w[0]) or w[0] in PARTICLES for w in words)

    def numbers(self, text: str) -> Iterator[Match]:
        for match in self.date.finditer(text):
            if self._born.search(_around(text, *match.span())):
                yield Match("DATE_OF_BIRTH", *match.span(), sure=True)
        for start, end in self._addresses(text):
            yield Match("ADDRESS", start, end, sure=True)
            if addressee := self._addressee(text, start):
                yield Match("PERSON", *addressee, sure=True)
        labeled = (("ORDER_NUMBER", self._reference), ("ACCOUNT_NUMBER", self._account), ("PIN", self._pin))
        for kind, pattern in labeled:
            for match in pattern.finditer(text):
                yield Match(kind, *match.span("value"), sure=True)

    def _addresses(self, text: str) -> Iterator[tuple[int, int]]:
        done: list[tuple[int, int]] = []
        for shape in (*self._address, self._any_street):
            for match in shape.finditer(text):
                start, end = match.span()
                word = _NAME_WORD.match(text, start)
                while word and word[0].casefold() in self._stop - _IN_STREETS and word.end() + 1 < end:
                    start = word.end() + 1
                    word = _NAME_WORD.match(text, start)
                if shape is self._any_street and any(a < end and start < b for a, b in done):
                    continue
                tail = self._tail.match(text, end)
                done.append((start, len(text[: tail.end() if tail else end].rstrip(" .,"))))
        yield from done
        for match in self._post_line.finditer(text):
            yield match.span("value")
        for match in _POST_CODE.finditer(text):
            yield match.span("value")

    def _addressee(self, text: str, start: int) -> tuple[int, int] | None:
        """The name in the line above an address."""
        line = text.rfind("\n", 0, start)
        if line < 0 or text[line:start].strip():
            return None
        above = text.rfind("\n", max(line - 80, 0), line) + 1
        title = self._titles.match(text, above)
        words = self._name_words(text, title.end() if title else above, particles=True)
        capitals = [w for w in words if w[0][0].isupper()]
        if (
            len(capitals) < 2
            or _end(words) > line
            or text[_end(words) : line].strip(" ,")
            or _COMPANY.search(text[above:line])
        ):
            return None
        return words[0].start(), _end(words)


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


def is_product(text: str, start: int) -> bool:
    """Whether the words before a number say that it is of an article or a model."""
    return bool(_PRODUCT.search(text, max(start - 40, 0), start))


def _end(words: list[re.Match[str]]) -> int:
    last = words[-1]
    return last.end() - (last[0].endswith(".") and len(last[0]) > 2)


def _ends_line(text: str, at: int) -> bool:
    """Whether no text goes on in the same line: otherwise it is a sentence that begins, not the name under a letter."""
    return not text[at:].partition("\n")[0].strip(" .,;")


def _around(text: str, start: int, end: int) -> str:
    """The text near a span, within its sentence."""
    near = max(text.rfind("\n", 0, start) + 1, start - _NEAR)
    for stop in _SENTENCE_END.finditer(text, near, start):
        before = text[max(stop.start() - 5, 0) : stop.start()]
        if before[-1:].isalpha() and not _ABBREVIATION.search(before):  # "3. April" and "geb. am" end no sentence
            near = stop.end()
    stop_after = _SENTENCE_END.search(text, end, end + _NEAR)
    return text[near : stop_after.start() if stop_after else end + _NEAR]
