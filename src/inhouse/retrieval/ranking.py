"""The order of the passages: how likely each is to hold the answer, learned from the project's own questions.

Search brings the candidates; a logistic regression then judges each from how similar it is, and from which words of the
question and of the conversation its text, headings and title have. Its probability is the passage's score. Where no
passage is likely to hold the answer, the question is better handed to a person: `threshold` is the probability of the
best passage that 19 of 20 questions reach whose best passage does hold the answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from inhouse.errors import InputError
from inhouse.text.logistic import Logistic
from inhouse.text.numbers import asked_kinds, figure_kinds
from inhouse.text.words import content_words
from inhouse.types import Chunk, Message, Numbers, Passage, Record

RANKER = "ranker.json"
RANKED = 12  # candidates that are judged
EARLIER_QUESTIONS = 3
PENALTY = 30.0  # L2, over the number of judged passages
FOLDS = 10
REPEATS = 0.7  # share of the last reply's words from which a passage counts as the one that it was taken from
KEPT = 0.95  # of the questions whose best passage holds the answer; the confidence rail judges their answers again
FEWEST_QUESTIONS = 30  # with a known passage
TYPO_LETTERS, TYPO_SIMILARITY = 5, 80.0  # words from this length on may be misspelled by this much (rapidfuzz ratio)
SAMPLE_CHARS = 2000  # of a passage that are read for words


class Hit(Record):
    """A chunk in the results. `score` in [0, 1]; `dense` is its cosine, `text` its BM25 divided by the best BM25."""

    chunk: Chunk
    score: float
    dense: float
    text: float

    @property
    def passage(self) -> Passage:
        c = self.chunk
        return passage_of(c, self.score)


def passage_of(chunk: Chunk, score: float) -> Passage:
    """The chunk for a prompt."""
    fields = ("source", "title", "heading", "text", "page", "box", "trust")
    return Passage(score=score, **{name: getattr(chunk, name) for name in fields})


class Features(NamedTuple):
    """One field per feature, in the order in which a ranker has its weights."""

    cosine: float
    text: float  # BM25 divided by the best
    fused: float
    lead: float  # of the fused score over the best other candidate
    words: float  # share of the question's words in the passage, rare ones counting more
    words_with_typos: float
    words_in_headings: float
    earlier_words: float  # share of the words of the questions before
    earlier_words_in_headings: float
    headings_asked: float  # share of the headings' words in the question
    headings_mentioned: float  # share of them in the conversation
    title_asked: float
    title_mentioned: float
    has_kind: float  # has an amount, share or time, as the question asks for
    lacks_kind: float
    same_document: float  # share of the candidates' fused scores that its document has
    length: float  # logarithm of the number of words
    heading_asks: float
    later_turn: float
    question_length: float
    replied: float  # share of the last reply's words in the passage
    replied_most: float  # of its document's best passage, over that of the best document
    repeats: float  # 1 if it has most of the last reply


FEATURES = (*Features._fields, *(f"later_{name}" for name in Features._fields))
"""All columns: each feature, and once more for the later turns of a conversation, where it weighs differently."""


class Ranker(Record):
    """A fitted ranking. Below `threshold`, the best passage is unlikely to hold the answer; 0 for no threshold."""

    features: tuple[str, ...] = FEATURES
    model: Logistic
    threshold: float = 0.0

    def ranked(self, messages: Sequence[Message], hits: Sequence[Hit]) -> list[Hit]:
        """The first candidates by their probability, which becomes their score; the others are left out."""
        some = list(hits[:RANKED])
        if not some:
            return []
        probabilities = self.model.probability(features_of(messages, some))
        order = sorted(range(len(some)), key=lambda n: (-probabilities[n], n))
        return [some[n].model_copy(update={"score": float(probabilities[n])}) for n in order]

    @classmethod
    def read(cls, folder: Path) -> Ranker | None:
        """The ranker in an artifact's folder; None where there was too little to fit one.

        Raises:
            InputError: its file is damaged, or from another version.
        """
        file = folder / RANKER
        if not file.exists():
            return None
        try:
            ranker = cls.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise InputError(f"{file}: not a ranker file", f"delete {folder} and run `inhouse build`") from error
        if ranker.features != FEATURES:
            raise InputError(f"{file}: the ranker is from another version", f"delete {folder} and run `inhouse build`")
        return ranker


class Judged(NamedTuple):
    """A question's candidates: their features, shape (n, features), and which of them hold the answer."""

    rows: Numbers
    holding: Sequence[bool]


def fit_ranker(judged: Sequence[Judged]) -> tuple[Ranker | None, dict[str, float]]:
    """A ranker, and how often its best passage holds the answer on questions that it was not fitted on.

    None with fewer than FEWEST_QUESTIONS questions that have a candidate with the answer.
    """
    import numpy as np

    if sum(any(j.holding) for j in judged) < FEWEST_QUESTIONS:
        return None, {}
    fold = np.random.default_rng(7).permutation(len(judged)) % FOLDS
    best: list[tuple[float, bool]] = [(0.0, False)] * len(judged)
    for f in range(FOLDS):
        model = _fitted([j for n, j in enumerate(judged) if fold[n] != f])
        for n in np.flatnonzero(fold == f).tolist():
            p = model.probability(judged[n].rows)
            best[n] = (float(p.max()), bool(judged[n].holding[int(p.argmax())]))
    reached = sorted(p for p, right in best if right)
    threshold = reached[int((1 - KEPT) * len(reached))] if reached else 0.0
    without = [p >= threshold for (p, _), j in zip(best, judged, strict=True) if not any(j.holding)]
    facts = {"first_holds_answer": round(len(reached) / sum(any(j.holding) for j in judged), 4),
             "relevance_threshold": round(threshold, 4)}  # fmt: skip
    if without:
        facts["unanswerable_passed"] = round(sum(without) / len(without), 4)
    return Ranker(model=_fitted(judged), threshold=threshold), facts


def _fitted(judged: Sequence[Judged]) -> Logistic:
    import numpy as np

    rows = np.concatenate([j.rows for j in judged])
    labels = np.concatenate([np.asarray(j.holding, dtype=float) for j in judged])
    return Logistic.fit(rows, labels, PENALTY / len(labels))


def features_of(messages: Sequence[Message], hits: Sequence[Hit]) -> Numbers:
    """The features of candidates, shape (candidates, len(FEATURES))."""
    import numpy as np

    questions = [m.content for m in messages if m.role == "user"]
    asked = frozenset(content_words(questions[-1]))
    earlier = frozenset(content_words(" ".join(questions[-1 - EARLIER_QUESTIONS : -1]))) - asked
    reply = frozenset(content_words(next((m.content for m in reversed(messages) if m.role == "assistant"), "")))
    kinds = asked_kinds(questions[-1])
    texts = [frozenset(content_words(h.chunk.text[:SAMPLE_CHARS])) for h in hits]
    headings = [frozenset(content_words(f"{h.chunk.title} {h.chunk.heading}")) for h in hits]
    found = [a | b for a, b in zip(texts, headings, strict=True)]
    rarity = {w: math.log(1 + len(hits) / (sum(w in f for f in found) or 0.5)) for w in asked | earlier | reply}

    def share(of: Collection[str], inside: Collection[str]) -> float:
        return sum(rarity[w] for w in of if w in inside) / sum(rarity[w] for w in of) if of else 0.5

    rows, total = [], sum(h.score for h in hits) or 1.0
    replied = [share(reply, f) if reply else 0.0 for f in found]
    in_document: dict[str, float] = {}
    for hit, r in zip(hits, replied, strict=True):
        in_document[hit.chunk.source] = max(in_document.get(hit.chunk.source, 0.0), r)
    most = max(in_document.values()) or 1.0
    for n, hit in enumerate(hits):
        title, has = frozenset(content_words(hit.chunk.title)), figure_kinds(hit.chunk.text[:SAMPLE_CHARS])
        near = found[n] | {w for w in asked - found[n] if _misspelled(w, found[n])}
        others = [h.score for m, h in enumerate(hits) if m != n]
        row = Features(
            cosine=hit.dense, text=hit.text, fused=hit.score, lead=hit.score - max(others, default=0.0),
            words=share(asked, found[n]), words_with_typos=share(asked, near),
            words_in_headings=share(asked, headings[n]),
            earlier_words=share(earlier, found[n]) if earlier else 0.0,
            earlier_words_in_headings=share(earlier, headings[n]) if earlier else 0.0,
            headings_asked=_part(headings[n], asked), headings_mentioned=_part(headings[n], asked | earlier),
            title_asked=_part(title, asked), title_mentioned=_part(title, earlier),
            has_kind=float(bool(kinds & has)), lacks_kind=float(bool(kinds) and not kinds & has),
            same_document=sum(h.score for h in hits if h.chunk.source == hit.chunk.source) / total,
            length=math.log1p(len(texts[n])), heading_asks=float(hit.chunk.heading.endswith("?")),
            later_turn=float(len(questions) > 1), question_length=math.log1p(len(asked)),
            replied=replied[n], replied_most=in_document[hit.chunk.source] / most,
            repeats=float(replied[n] >= REPEATS),
        )  # fmt: skip
        rows.append(row)
    columns = np.array(rows, dtype=np.float64)
    return np.concatenate([columns, columns * (len(questions) > 1)], axis=1)


def _part(of: frozenset[str], inside: frozenset[str]) -> float:
    return len(of & inside) / len(of) if of else 0.0


def _misspelled(word: str, known: Collection[str]) -> bool:
    from rapidfuzz import fuzz

    if len(word) < TYPO_LETTERS:
        return False
    return any(abs(len(word) - len(k)) <= 2 and fuzz.ratio(word, k) >= TYPO_SIMILARITY for k in known)
