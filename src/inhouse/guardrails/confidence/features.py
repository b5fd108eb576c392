"""The features from which the confidence in an answer is estimated."""

from __future__ import annotations

import math
from typing import NamedTuple

from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.rail import EVIDENCE, Groundedness, evidence_of
from inhouse.guardrails.rail import Turn, question_of
from inhouse.text.cache import CachedEmbedder
from inhouse.text.numbers import asked_kinds, digits, figure_kinds
from inhouse.text.words import content_words
from inhouse.text.words import words as words_of

UNKNOWN = 0.5  # support where nothing is stated, and certainty where the engine does not report it


class Features(NamedTuple):
    """One field per feature, in the order in which a calibration has its weights."""

    passage_score: float  # of the best passage
    passage_lead: float  # of the best passage over the second
    passage_scores: float  # their mean
    question_similarity: float  # cosine of the question and the nearest sentence of the passages
    answer_similarity: float  # cosine of the answer and the nearest sentence of the passages
    least_support: float  # of the claims
    mean_support: float
    no_claim: float  # 1 where the answer states nothing, or there are no passages
    certainty: float  # mean token probability
    log_certainty: float
    answer_length: float  # logarithm of the number of words
    question_answer_similarity: float  # cosine
    has_number: float
    complete: float  # 1 where it ends like a sentence or like JSON
    question_length: float
    cited_score: float  # of the passage with most of the answer's words
    cited_first: float  # 1 if that is the best passage
    lacks_kind: float  # 1 where the question asks for an amount, a share, or a time, and the answer has none
    second_similarity: float  # cosine of a second answer and as much of the first; 0 without a second
    second_words_shared: float
    second_numbers_shared: float


class FeatureExtractor:
    """Computes the features of an answer and its exchange."""

    def __init__(self, groundedness: Groundedness, embedder: CachedEmbedder) -> None:
        self._groundedness = groundedness
        self._embedder = embedder

    def __call__(self, answer: str, turn: Turn) -> Features:
        question = question_of(turn.request)
        vectors = self._embedder.embed([question, answer or " "])
        scores = sorted((p.score for p in turn.passages), reverse=True) or [0.0]
        evidence: Evidence = turn.state.get(EVIDENCE) or evidence_of(turn, self._embedder)
        claims = self._groundedness.claims(answer, evidence) if turn.passages else []
        supports = [support for _, support in claims] or [UNKNOWN]
        windows = evidence.vectors if turn.passages and evidence.windows else None
        certainty = turn.certainty if turn.certainty is not None else UNKNOWN
        similarity, words, numbers = self._agreement(answer, turn.second)
        said, asked = set(content_words(answer)), asked_kinds(question)
        cited = max(turn.passages, key=lambda p: (len(said & set(content_words(p.text))), p.score), default=None)
        return Features(
            passage_score=scores[0],
            passage_lead=scores[0] - (scores[1] if len(scores) > 1 else 0.0),
            passage_scores=sum(scores) / len(scores),
            question_similarity=float((windows @ vectors[0]).max()) if windows is not None else 0.0,
            answer_similarity=float((windows @ vectors[1]).max()) if windows is not None else 0.0,
            least_support=min(supports),
            mean_support=sum(supports) / len(supports),
            no_claim=float(not claims),
            certainty=certainty,
            log_certainty=math.log(max(certainty, 1e-4)),
            answer_length=math.log1p(len(answer.split())),
            question_answer_similarity=float(vectors[0] @ vectors[1]),
            has_number=float(bool(digits(answer))),
            complete=float(answer.rstrip()[-1:] in ".!}"),
            question_length=math.log1p(len(question.split())),
            cited_score=cited.score if cited else 0.0,
            cited_first=float(cited is not None and cited.score == scores[0]),
            lacks_kind=float(bool(asked) and not asked & figure_kinds(answer)),
            second_similarity=similarity,
            second_words_shared=words,
            second_numbers_shared=numbers,
        )

    def _agreement(self, answer: str, second: str | None) -> tuple[float, float, float]:
        """How similar a second answer is to as much of the first: in meaning, in words, in numbers."""
        if second is None:
            return 0.0, 0.0, 0.0
        first = " ".join(answer.split()[: max(len(second.split()), 1)])
        vectors = self._embedder.embed([first or " ", second or " "])
        words = _shared(set(words_of(first)), set(words_of(second)))
        numbers = _shared(set(digits(first)), set(digits(second)))
        return float(vectors[0] @ vectors[1]), words, numbers


def _shared(one: set[str], other: set[str]) -> float:
    """The Jaccard similarity of two sets; 1 where both are empty."""
    return len(one & other) / len(one | other) if one | other else 1.0
