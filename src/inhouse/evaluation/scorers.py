"""The scores of an answer, each in [0, 1]: 1 is best, except for `unsupported` and `hallucinated`, where 0 is best.

============ ===================================================================================================
accuracy     with checks: 1 if all hold or the question is rightly handed off, else 0; with only a reference: `facts`
facts        share of the required facts, or of the reference's content words and numbers that are not in the question,
             found in the answer; it is read only up to three times the reference's length, so rambling does not help
format       1 for JSON of the schema if one is required, else for complete text of reasonable length without markup
exact        1 if the answer is the required one, ignoring case, spaces and end punctuation
rouge_l      ROUGE-L F-measure against the reference, stemmed (Lin 2004)
similarity   cosine of the embeddings of answer and reference
unsupported  share of the answer's statements that neither the reference nor the passages support
hallucinated 1 if there is any such statement
agrees       with only a reference: 1 if the answer is similar to it, is supported, and has a negation only if the
             reference has one
tone         similarity to the business's replies in length, sentence length, and style
============ ===================================================================================================

A score that does not apply to a question is absent. Declining an answerable question has accuracy 0; a question that
must not be answered is right if it is declined without unsupported statements.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from inhouse.text.claims import NEGATION
from inhouse.text.numbers import says
from inhouse.text.sentences import sentences
from inhouse.text.support import SUPPORTED
from inhouse.text.words import content_words, words
from inhouse.types import Embedder, Example, SupportScorer

RIGHT = 0.5
ALIKE = 0.45  # a reader agreed with this on 43 of 60 answers of a tuned model, with half of the facts on 25
RAMBLE_FACTOR, RAMBLE_WORDS = 3, 60
_TEMPLATE = re.compile(r"<\|[^|<>]{1,40}\|>|\[/?INST\]|</?s>")
_COURTESIES = frozenset("help els anyth further need want sure thank welcom hi hello".split())  # noqa: SIM905
"""Stems of words that say nothing in a reply."""


def is_right(scores: Mapping[str, float]) -> bool:
    """Whether an answer counts as right: all checks hold, it has half of the reference's facts, or it agrees."""
    return scores.get("accuracy", 0.0) >= RIGHT or scores.get("agrees", 0.0) > 0


class Scorer:
    """Scores answers.

    Args:
        embedder: for similarity.
        support: finds unsupported statements, and answers that decline.
        brand_replies: replies of the business, for tone.
    """

    def __init__(self, embedder: Embedder, support: SupportScorer, brand_replies: Sequence[str]) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._embedder = embedder
        self._support = support
        self._rouge = RougeScorer(["rougeL"], use_stemmer=True)
        self._brand = Tone(brand_replies)

    def score(self, example: Example, text: str, evidence: Sequence[str], cut_off: bool) -> dict[str, float]:
        """The scores of one answer.

        Args:
            example: the question with reference and checks.
            text: the answer.
            evidence: reference, gold and retrieved passages, the same for every arm.
            cut_off: whether the answer stopped at the token limit.
        """
        text = text.strip()
        checks = example.checks
        declined = self.declines(text)
        scores = {"format": float(self._well_formed(example, text, cut_off)), "tone": self._brand.likeness(text)}
        if not example.answerable:
            scores["accuracy"] = float(declined and not self._unsupported(text, evidence))
        elif checks.small_talk or (checks.may_hand_off and declined):
            scores["accuracy"] = float(declined != checks.small_talk)
        else:
            scores["facts"] = 0.0 if declined else facts_found(example, text)
            right = self._passes(example, text) if checks.any else scores["facts"]
            scores["accuracy"] = 0.0 if declined else float(right)
        if checks.exact is not None:
            scores["exact"] = float(_plain(text) == _plain(checks.exact))
        if example.target:
            scores["rouge_l"] = float(self._rouge.score(example.target, text)["rougeL"].fmeasure)
            vectors = self._embedder.embed([example.target, text or " "])
            scores["similarity"] = max(0.0, float(vectors[0] @ vectors[1]))
        statements = self._support.statements(text)
        if statements or declined:
            wrong = self._unsupported(text, evidence)
            scores["unsupported"] = len(wrong) / max(len(statements), 1)
            scores["hallucinated"] = float(bool(wrong))
        if example.target and example.answerable and not checks.any:
            denied = bool(NEGATION.search(text)) and not NEGATION.search(example.target)
            alike = scores["similarity"] >= ALIKE and not scores.get("hallucinated") and not denied
            scores["agrees"] = float(alike and not declined)
        return scores

    def declines(self, text: str) -> bool:
        """Whether the answer as a whole says that it cannot answer."""
        return self._support.declines(text) or any(self._support.declines(s) for s in sentences(text)[:2])

    def _unsupported(self, text: str, evidence: Sequence[str]) -> list[str]:
        return [s for s in self._support.statements(text) if self._support.support(s, evidence) < SUPPORTED]

    def _passes(self, example: Example, text: str) -> bool:
        checks = example.checks
        if checks.exact is not None and _plain(text) != _plain(checks.exact):
            return False
        if checks.json_schema is not None and not _valid_json(text, checks.json_schema):
            return False
        named = all(any(says(text, way) for way in fact) for fact in checks.must_include)
        return named and not any(says(text, phrase) for phrase in checks.must_not_include)

    def _well_formed(self, example: Example, text: str, cut_off: bool) -> bool:
        if not text or cut_off or _TEMPLATE.search(text):
            return False
        if example.checks.json_schema is not None:
            return _valid_json(text, example.checks.json_schema)
        return not text.startswith("{") and len(text.split()) <= self._brand.longest_words


class Tone:
    """How the business writes: mean and standard deviation of a few features of its replies."""

    def __init__(self, replies: Sequence[str]) -> None:
        rows = [_manner(r) for r in replies if r.strip() and not r.lstrip().startswith("{")] or [_manner("Thank you.")]
        n = len(rows)
        self._mean = [sum(column) / n for column in zip(*rows, strict=True)]
        self._spread = [
            math.sqrt(sum((v - m) ** 2 for v in column) / n) or 0.1
            for column, m in zip(zip(*rows, strict=True), self._mean, strict=True)
        ]
        lengths = sorted(len(r.split()) for r in replies) or [20]
        self.longest_words = 3 * max(lengths[min(int(0.95 * len(lengths)), len(lengths) - 1)], 10)

    def likeness(self, text: str) -> float:
        """exp(-d / 2) of the mean distance in spreads, each feature counted up to 4: a typical reply has about 0.7."""
        if not text.strip() or text.lstrip().startswith("{"):
            return 1.0 if text.strip() else 0.0
        far = [min(abs(v - m) / s, 4) for v, m, s in zip(_manner(text), self._mean, self._spread, strict=True)]
        return math.exp(-sum(far) / len(far) / 2)


def _manner(text: str) -> list[float]:
    own = words(text)
    n = max(len(own), 1)
    polite = sum(w in {"please", "thank", "thanks", "welcome", "sorry", "glad", "happy", "certainly"} for w in own)
    return [
        math.log(n),
        math.log(n / max(len(sentences(text)), 1)),
        sum(w in {"you", "your", "yours"} for w in own) / n,
        sum(w in {"i", "we", "our", "my", "us"} for w in own) / n,
        min(polite, 3) / 3,
        float("!" in text),
        float("?" in text),
        float(bool(re.search(r"(?m)^[^\S\n]*+(?:[-*•]|\d+[.)])\s", text))),
    ]


def facts_found(example: Example, text: str) -> float:
    """The share of the facts that the answer has."""
    wanted = example.checks.must_include
    if wanted:
        return sum(any(says(text, way) for way in fact) for fact in wanted) / len(wanted)
    words = text.split()
    room = max(RAMBLE_FACTOR * len(example.target.split()), RAMBLE_WORDS)
    said = _terms(" ".join(words[:room]))
    known = _terms(example.question)
    facts = _terms(example.target) - known or _terms(example.target)
    if not facts:
        return float(_plain(text) == _plain(example.target))
    found = len(facts & said) / len(facts)
    opposite = bool(NEGATION.search(example.target)) != bool(NEGATION.search(" ".join(words[:room])))
    return found * 0.5 if opposite else found


def _terms(text: str) -> frozenset[str]:
    yes = {"yes"}.intersection(words(text))  # a stop word elsewhere, but a fact of an answer
    return frozenset(content_words(text)) - _COURTESIES | yes


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".!")


def _valid_json(text: str, schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator

    try:
        value = json.loads(text)
    except ValueError:
        return False
    return bool(Draft202012Validator(schema).is_valid(value))
