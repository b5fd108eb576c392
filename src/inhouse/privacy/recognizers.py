"""Patterns of personal data: Presidio with spaCy's names and its own checks, and our patterns for a business's logs.

Presidio's recognizers check card numbers (Luhn), IBANs (mod 97), phone numbers and IP addresses. Ours use the words
before or after a value: account numbers, PINs, orders, dates of birth, addresses. Nothing here uses the network: the
spaCy model is a folder, and e-mail addresses are matched by their shape, because the list of public suffixes would be
downloaded and lacks the domains of private networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from inhouse.errors import BackendError
from inhouse.privacy import foreign
from inhouse.privacy.given_names import given_names
from inhouse.privacy.identifiers import national_ids
from inhouse.privacy.match import Match, spaced, with_extension
from inhouse.text.hidden import hidden

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, PatternRecognizer

SPACY_MODEL = "en-core-web-sm"  # its name in the catalog of models
PHONE_DIGITS = 4  # of the shortest valid phone number of any country
BATCH = 64
CACHED = 50_000  # texts
UNUSED = ("tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer")  # the name recognizer has its own tok2vec
_KINDS = {"CREDIT_CARD": "CARD_NUMBER", "IBAN_CODE": "IBAN", "PHONE_NUMBER": "PHONE", "US_SSN": "SSN"}
"""Kinds by Presidio's name, where it differs from ours."""
PRIORITY = (
    "EMAIL", "IBAN", "CARD_NUMBER", "SSN", "NATIONAL_ID", "PIN", "DATE_OF_BIRTH", "ACCOUNT_NUMBER", "ORDER_NUMBER",
    "IP_ADDRESS", "ADDRESS", "PHONE", "SECRET", "PERSON", "NUMBER",
)  # fmt: skip
"""All kinds; where two cover the same text equally well, the earlier wins. NUMBER is shown as ACCOUNT_NUMBER."""

_ANY_LANGUAGE = (
    "EMAIL", "IBAN_CODE", "CREDIT_CARD", "CARD_NUMBER", "IP_ADDRESS", "SSN", "NUMBER", "ORDER_NUMBER"
)  # fmt: skip
"""Kinds, by the names here and in Presidio, whose patterns need no English words."""

_MAY_BE_PRODUCTS = frozenset(["NUMBER", "PHONE", "ORDER_NUMBER"])

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = (
    rf"(?:\d{{1,4}}\s?[/.-]\s?\d{{1,2}}\s?[/.-]\s?\d{{2,4}}|{DAY}\s+(?:of\s+)?{MONTH}(?:,?\s+\d{{2,4}})?"
    rf"|{MONTH}\s+(?:the\s+)?{DAY}(?:,?\s+\d{{2,4}})?|{MONTH},?\s+\d{{4}})"
)
_NOT_IN_NUMBER = r"(?<![\w$£€#.,:/-])"  # not an amount, and not part of something longer
_ENDS_NUMBER = r"(?![\w%]|[.,:/-]\d)"
_IS = r"(?:\s*+(?:is|was|are|:|=|#|-|–|would be|should be|it'?s)\s*+|\s++){1,3}"
_DIGITS = r"\d(?:[ -]?\d)"
_STREET = (
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|pl|terrace|circle|cir"
    r"|parkway|pkwy|highway|hwy|trail|square|sq|crescent|close|row|alley|loop|ridge|run)"
)
_UNIT = r"(?:,?\s*(?:apt|apartment|unit|suite|ste|floor|flat|#)\.?\s*#?\w{1,6})"
_TOWN = r"(?:,?\s+(?-i:[A-Z][a-z]+(?: [A-Z][a-z]+){0,2}),?(?:\s+(?-i:[A-Z]{2}))?(?:\s+\d{5}(?:-\d{4})?)?)"
_REFERENCE = (
    r"(?:order|reference|ref|confirmation|booking|reservation|tracking|ticket|case|claim|invoice|transaction|shipment"
    r"|application|policy|loan|membership|member|customer|client|employee|licen[cs]e|passport|wire|dispute|check|cheque)"
)
_CODE = r"(?=[\w-]{0,200}\d)(?!\d{1,3}\b)[a-z0-9]+(?:-[a-z0-9]+)*"

_NAME = r"(?-i:[A-Z])[\w'’-]{1,60}"
_ACCOUNT = r"\b(?:account|acct|acc|a/c)\b"
_PIN = r"(?:pin|passcode|pass code|cvv2?|cvc|security code|access code)"
_SSN = r"\b(?:ssn|social(?: security)?(?: number| no\.?| #)?)\b[^.?!\n\d]{0,25}"
_ENDING = r"(?:end(?:s|ing)?(?: in| with)?|last (?:four|4)(?: digits)?)"
_SUITE = r"(?:apt|apartment|suite|ste|unit)\.? #?\w{1,6}\b"
_NO_DATE = r"(?!(?:19|20)\d\d[ -]\d\d?[ -]\d\d?\b|\d\d?[ -]\d\d?[ -](?:19|20)?\d\d\b)"

# What comes before \K is context and is not replaced.
_OURS: dict[str, Sequence[str]] = {
    "EMAIL": [r"(?:(?<![\w.+'-])|\G)[\w.+'-]++@[\w-]+(?:\.[\w-]+)+"],
    "CARD_NUMBER": [
        r"(?<![\w$£€-])\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?![\w-])",
        r"(?<![\w$£€-])3\d{3}[ -]\d{6}[ -]\d{5}(?![\w-])",
        r"\bcard\b[^.?!\n]{0,30}?\b" + _ENDING + _IS + r"\K\d{4}\b",
        r"\bcard (?:number|no\.?|num|#)" + _IS + r"\K" + _DIGITS + r"{7,18}",
    ],
    "SSN": [
        r"(?<![\w-])\d{3}[- ]\d{2}[- ]\d{4}(?![\w-])",
        _SSN + r"\K\d{3}[ -]?\d{2}[ -]?\d{4}\b",
        _SSN + r"\K\d{4}\b",
    ],
    "PIN": [
        rf"\b{_PIN}(?: (?:number|code|no\.?))?(?: (?:on|for) [\w ]{{2,20}}?)?{_IS}\K\d{{3,8}}\b(?![.,]\d)",
        rf"(?<![\w$£€.,])\d{{4,6}}(?=,? (?:is|was|as|for) (?:my|the|your) (?:new |old |card |debit )?{_PIN}\b)",
    ],
    "DATE_OF_BIRTH": [
        rf"\b(?:born|d\.?o\.?b\.?|date of birth|birth ?da(?:y|te))\b[^.?!\n\d]{{0,20}}?\K\b{DATE}\b",
        rf"\b{DATE}\b(?=[^.?!\n]{{0,12}}\b(?:is|as|was) my (?:birth|dob|date of birth))",
        r"\bborn (?:in|on) \K(?:19|20)\d\d\b",
    ],
    "ACCOUNT_NUMBER": [
        rf"\b(?:account|acct|acc|a/c|routing|savings|checking)\b[^.?!\n\d$£€]{{0,25}}?(?:\bno\. ?|#)?"
        rf"(?<![\w$£€.,:/-])\K{_DIGITS}{{5,16}}{_ENDS_NUMBER}",
        rf"{_ACCOUNT}[^.?!\n\d]{{0,25}}?(?:\b(?:number|no\.?|num|{_ENDING})|#){_IS}\K\d{{3,5}}\b(?![%.,]\d)",
        rf"{_ACCOUNT}\.?(?: (?:number|no\.?|num|is))* ?#? ?\K[a-z]{{1,4}}-?\d[\d-]{{4,15}}\b",
    ],
    "NUMBER": [  # of unknown kind, but too long to be an amount, a date or a time
        _NOT_IN_NUMBER + r"\d{8,19}" + _ENDS_NUMBER,
        _NOT_IN_NUMBER + _NO_DATE + r"\d{2,6}(?:[ -]\d{2,6}){2,4}" + _ENDS_NUMBER,
    ],
    "ORDER_NUMBER": [
        rf"\b{_REFERENCE}(?: (?:number|no\.?|num|id|code))?(?: is| was|:|\s*#)?\s*#?\K(?=\S{{5}}){_CODE}\b",
        r"(?<![\w&])#\K\d{4,}\b",
        r"\b(?-i:(?=(?:[A-Z-]{0,40}\d){3})[A-Z]{1,5}-?\d[\dA-Z]{4,}(?:-[\dA-Z]+)*)\b",
        r"\b(?-i:(?=[A-Z0-9]{8}\b)(?=[A-Z0-9]*\d[A-Z0-9]*[A-Z])(?=[A-Z0-9]*[A-Z][A-Z0-9]*\d)[A-Z0-9]{8})\b",
    ],
    "ADDRESS": [
        r"\b\d{1,5}[a-z]?,? (?:(?:n|s|e|w|north|south|east|west)\.? )?(?:(?-i:[A-Z0-9])[\w'.-]* ){1,3}"
        rf"{_STREET}\b\.?{_UNIT}?{_TOWN}?",
        r"\b(?:live|living|moved|moving|address|reside|mail|send|ship|deliver)\b[^.?!\n\d]{0,40}?\K"
        rf"\b\d{{1,5}}[a-z]? (?:[a-z'.-]+ ){{1,3}}?{_STREET}\b\.?{_UNIT}?{_TOWN}?",
        r"\b(?:address|live|living|moved|moving)(?: (?:is|at|to|with|of|in))*:? \K"
        r"\d{1,5}[a-z]?,? (?:(?-i:[A-Z0-9#])[\w.'/-]*[ ,\n]*){1,9}",
        rf"\b\d{{1,5}} (?-i:[A-Z])(?:[\w.'/-]+[ ,]+){{1,4}}{_SUITE}",
        rf"\b(?-i:[A-Z])[a-z]+(?:[ -](?-i:[A-Z])[\w.]+){{0,8}} \d{{1,5}}[,\n ]+{_SUITE}",
        r"\bP\.? ?O\.? box \d+",
    ],
    "PHONE": [
        r"(?<![\w-])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])",
        r"(?<![\w-])\d{3}-\d{4}(?![\w-])",
    ],
    "PERSON": [
        rf"\b(?:mr|mrs|ms|miss|dr|prof)\b\.? \K{_NAME}(?: {_NAME})?",
        r"\bmy (?:full |first |last |sur)?name(?: is|'s|:| (?=(?-i:[A-Z])))\s*\K"
        r"[^\W\d_][\w'’-]+(?: [^\W\d_][\w'’.-]*){0,3}",
        r"\b(?:this is|i am|i'm|im|name(?: is|'s|:)|it is|it's|on behalf of|speaking with|regards,|sincerely,|signed,?)"
        rf"\s+\K{_NAME}(?: (?-i:[A-Z])[\w'’.-]*){{0,3}}",
        rf"\b{_NAME}(?= (?:is|was) (?:the|my) (?:full |first |last |sur)name)",
        rf"(?:^|[.!?,] )\K{_NAME}(?: {_NAME}){{0,2}}(?=,? here\b)",
        r"\b(?:hi|hello|dear|thanks|thank you|welcome|sorry|sure|certainly|goodbye|bye)(?: again| so much)?,? \K"
        r"(?-i:[A-Z])[a-z'’-]+(?: (?-i:[A-Z])[a-z'’-]+)?(?=\s*(?:[,.!?]|$))",
    ],
    "SECRET": [
        r"\bmaiden(?: name)?(?: is|'s|:| was)? \K[^\W\d_][\w'’-]+",
        r"\b(?:childhood |first |my )pet(?:'?s)?(?: name)?[. ,]{0,4}"
        r"(?:(?: ?it)?(?: is|'s| was|:| named| called))+ \K[^\W\d_][\w'’-]+",
        r"\b[^\W\d_][\w'’-]{1,60}(?= (?:is|was) (?:my|the name of my) (?:first |childhood |old )?(?:pet|dog|cat)\b)",
        r"\bpass(?:word|phrase)(?: is|:| was) \K[^\s,;]*[^\s,;.!?]",
    ],
}


class Recognizers:
    """Presidio over a spaCy model in a folder, with our patterns.

    Raises:
        BackendError: the folder is not a spaCy model.
    """

    def __init__(self, spacy_folder: Path) -> None:
        self._engine = _engine(spacy_folder)
        self._entities = self._engine.get_supported_entities("en")
        self._blank = self._engine.nlp_engine.nlp["en"]
        self._artifacts: dict[str, Any] = {}  # what spaCy found, until it is used
        self._seen: dict[tuple[str, str], list[Match]] = {}
        self._entities_seen: dict[str, list[tuple[int, int, str]]] = {}
        self._lock = Lock()  # questions are analyzed in threads

    def find(self, texts: Sequence[str], languages: Sequence[str]) -> list[list[Match]]:
        """The personal data in each text, with our names of the kinds; matches may overlap.

        Results are cached: logs repeat greetings, and conversations repeat their beginnings.

        Args:
            texts: what to read.
            languages: of each text; a language without rules is read as English.
        """
        with self._lock:
            if len(self._seen) > CACHED:
                self._seen.clear()
                self._entities_seen.clear()
            new = [key for key in dict.fromkeys(zip(texts, languages, strict=True)) if key not in self._seen]
            self._read([text for text, language in new if language not in foreign.RULES])
            for text, language in new:
                if language in foreign.RULES:
                    self._seen[text, language] = self._foreign(text, language)
                else:
                    self._seen[text, language] = self._english(text)
            return [self._seen[key] for key in zip(texts, languages, strict=True)]

    def _read(self, texts: Sequence[str]) -> None:
        new = [t for t in dict.fromkeys(texts) if t not in self._artifacts]
        for text, (_, artifacts) in zip(
            new, self._engine.nlp_engine.process_batch(new, language="en", batch_size=BATCH), strict=True
        ):
            self._artifacts[text] = artifacts
            self._entities_seen[text] = [(e.start_char, e.end_char, e.label_) for e in artifacts.tokens.ents]

    def _english(self, text: str) -> list[Match]:
        digits = sum(c.isdigit() for c in text)
        plain = "@" not in text and not digits
        entities = ["PERSON", "SECRET"] if plain else self._entities
        if digits < PHONE_DIGITS:  # the recognizer of phone numbers takes longest: it tries them for each country
            entities = [e for e in entities if e != "PHONE_NUMBER"]
        results = self._engine.analyze(
            text, language="en", nlp_artifacts=self._artifacts.pop(text), entities=entities
        )  # fmt: skip
        return [
            *(_match(text, r.entity_type, r.start, r.end, _sure(r)) for r in results),
            *(Match("PERSON", *span, sure=True) for span in given_names(text)),
            *(() if plain else _national_ids(text)),
        ]

    def _foreign(self, text: str, language: str) -> list[Match]:
        """What does not depend on English words, and the rules of the language."""
        matches = foreign.found(text, language)
        bare = spaced(text)
        if "@" not in bare and not any(c.isdigit() for c in bare):
            return matches
        from presidio_analyzer.nlp_engine import NlpArtifacts

        doc = self._blank.make_doc(bare)
        words, places = [token.text for token in doc], [token.idx for token in doc]
        nothing = NlpArtifacts([], doc, places, words, self._engine.nlp_engine, "en")
        results = self._engine.analyze(bare, language="en", nlp_artifacts=nothing, entities=[*_ANY_LANGUAGE])
        matches += [_match(text, r.entity_type, r.start, r.end, True) for r in results
                    if r.entity_type != "NUMBER" or not foreign.is_amount(bare, r.start, r.end)]  # fmt: skip
        matches += foreign.phones(bare, language)
        matches = [m for m in matches if m.kind not in _MAY_BE_PRODUCTS or not foreign.is_product(text, m.start)]
        return [*matches, *_national_ids(text)]

    def entities(self, text: str) -> list[tuple[int, int, str]]:
        """Names of any kind according to spaCy, which knows English: start, end, label."""
        with self._lock:
            if text not in self._entities_seen:
                self._read([text])
            return self._entities_seen[text]


def _national_ids(text: str) -> list[Match]:
    return [Match("NATIONAL_ID", span.start, span.end, sure=True) for span in national_ids(text)]


def _match(text: str, entity: str, start: int, end: int, sure: bool) -> Match:
    kind = _KINDS.get(entity, entity)
    return Match(kind, start, with_extension(text, end) if kind == "PHONE" else end, sure)


def _sure(result: object) -> bool:
    made_by = getattr(result, "recognition_metadata", None) or {}
    return "spacy" not in str(made_by.get("recognizer_name", "")).lower()


def ours() -> list[PatternRecognizer]:
    """Our patterns as recognizers of Presidio."""
    from presidio_analyzer import Pattern, PatternRecognizer

    recognizers = []
    for kind, expressions in _OURS.items():
        score = 0.5 if kind == "NUMBER" else 0.9
        patterns = [Pattern(f"{kind} {n}", regex, score) for n, regex in enumerate(expressions)]
        recognizers.append(PatternRecognizer(supported_entity=kind, name=kind, patterns=patterns))
    return recognizers


def _engine(folder: Path) -> AnalyzerEngine:
    with hidden("presidio_analyzer", "torch", "transformers"):
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
        SpacyRecognizer,
    )

    try:
        nlp = spacy.load(folder, exclude=UNUSED)
    except (OSError, ValueError) as error:
        hint = f"run `inhouse models pull {SPACY_MODEL}`, or set curation.anonymize = false"
        raise BackendError(f"{folder}: not a spaCy model ({error})", hint) from error
    others = [label for label in nlp.get_pipe("ner").labels if label != "PERSON"]
    names = NerModelConfiguration(labels_to_ignore=others, model_to_presidio_entity_mapping={"PERSON": "PERSON"})
    nlp_engine = SpacyNlpEngine([{"lang_code": "en", "model_name": str(folder)}], names)
    nlp_engine.nlp = {"en": nlp}  # already loaded: Presidio would look for a package of that name
    registry = RecognizerRegistry(supported_languages=["en"])
    for ready in (CreditCardRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer):
        recognizer = ready()
        recognizer.context = []  # raises scores, which nothing reads; it walks through all words for each match
        registry.add_recognizer(recognizer)
    registry.add_recognizer(SpacyRecognizer(supported_entities=["PERSON"]))
    for recognizer in ours():
        registry.add_recognizer(recognizer)
    return AnalyzerEngine(registry=registry, nlp_engine=nlp_engine, supported_languages=["en"])
