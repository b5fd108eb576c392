"""Whether each sentence of an answer stands in the passages; the others are cut, marked or handed off.

A head weighs what can be checked: numbers with their units, names, negations, conditions and comparisons against the
sentence of the sources that comes nearest, how much of the wording the sources share, and the likeness of embeddings.
The sentences that stand are cited; a mark such as [2] of a passage that does not carry its sentence is taken out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

from inhouse.guardrails import wording
from inhouse.guardrails.fields import fields, stands
from inhouse.guardrails.heads import Head, Remembered
from inhouse.guardrails.rail import Finding, Side, Span, Turn
from inhouse.types import Passage, SupportScorer

if TYPE_CHECKING:
    from inhouse.types import Matrix

_MARK = re.compile(r"\s?\[(\d{1,2})\]")
_CLAUSE = re.compile(
    r",\s+|;\s+|\s+(?=(?:and|but|if|unless|except|provided|as long as|until|only|so|because|which|or)\b)"
)
NEAR_WORDS = 5
NEARLY = 0.85  # share of a statement's words in one place of the sources from which it is the same sentence
WRONG = 0.02
_MONEY = frozenset("$£€%")
FEATURES = 42


class Evidence:
    """Passages made ready for comparison: their sentences, and pairs of neighbours, with the words of each.

    Args:
        texts: of the passages.
        embedder: for likeness.
        said: the conversation: what a user brought up may be named again.
    """

    def __init__(self, texts: Sequence[str], embedder: Remembered, said: str = "") -> None:
        self.said = frozenset(wording.words(said)) | {m.value for m in wording.numbers(said)}
        self._embedder = embedder
        self.windows: list[str] = []
        self.owner: list[int] = []  # the text of each window
        self._parts: list[tuple[str, ...]] = []  # the sentences of each window
        texts = [wording.unwrapped(t) for t in texts]
        for n, text in enumerate(texts):
            single = wording.sentences(text)
            parts = [(s,) for s in single] + list(pairwise(single))
            self._parts += parts
            self.windows += [" ".join(p) for p in parts]
            self.owner += [n] * len(parts)
        self.sets = [frozenset(wording.words(w)) for w in self.windows]
        self.text_words = [wording.words(t) for t in texts]
        self.text_sets = [frozenset(w) for w in self.text_words]
        self.tokens = [wording.tokens(t) for t in texts]
        self.runs = {g for ws in self.tokens for g in zip(ws, ws[1:], ws[2:], ws[3:], strict=False)}
        self.lower = [" ".join(t.casefold().replace("’", "'").split()) for t in texts]
        self.numbers = {(m.value, m.unit) for t in texts for m in wording.numbers(t)}
        self.values = {v for v, _ in self.numbers}
        self.grams = {g for ws in self.text_words for g in pairwise(ws)}
        self.triples = {g for ws in self.text_words for g in zip(ws, ws[1:], ws[2:], strict=False)}

    @cached_property
    def vectors(self) -> Matrix:
        """A unit vector a window; that of a pair is the mean of both, which costs no further embedding."""
        import numpy as np

        first = self._embedder.embed([p[0] for p in self._parts])
        last = self._embedder.embed([p[-1] for p in self._parts])
        mean: Matrix = (first + last) / np.maximum(np.linalg.norm(first + last, axis=1, keepdims=True), 1e-6)
        return mean

    def embed(self, statement: str) -> Matrix:
        own: Matrix = self._embedder.embed([statement])[0]
        return own


def features(statement: str, evidence: Evidence) -> list[float]:
    """The head's input, FEATURES numbers."""
    own = wording.words(statement)
    wanted = frozenset(own)
    n = max(len(wanted), 1)
    if not evidence.windows:
        return [0.0] * FEATURES
    cosines = evidence.vectors @ evidence.embed(statement)
    shares = [len(wanted & s) / n for s in evidence.sets]
    best = max(range(len(shares)), key=lambda i: shares[i] + 0.5 * float(cosines[i]))
    window, window_set = evidence.windows[best], evidence.sets[best]
    owner = evidence.owner[best]
    everywhere = frozenset().union(*evidence.text_sets)
    uncovered = [w not in window_set and w not in evidence.text_sets[owner] for w in own]
    nowhere = [w not in everywhere for w in own]
    grams = list(pairwise(own))
    triples = list(zip(own, own[1:], own[2:], strict=False))
    top = sorted((float(c) for c in cosines), reverse=True)[:3]
    negated, window_negated = len(wording.NEGATION.findall(statement)), len(wording.NEGATION.findall(window))
    return [
        max(shares), shares[best], float(cosines[best]), top[0], sum(top) / len(top),
        sum(nowhere) / max(len(own), 1), min(sum(nowhere), 6) / 6, _run(nowhere) / 6, _run(uncovered) / 6,
        sum(uncovered) / max(len(own), 1),
        sum(g in evidence.grams for g in grams) / max(len(grams), 1),
        sum(t in evidence.triples for t in triples) / max(len(triples), 1),
        float(not any(nowhere)), float(shares[best] == 1.0), _run([not u for u in uncovered]) / max(len(own), 1),
        *_order_signs(statement, evidence), *_number_signs(statement, window, evidence),
        *_name_signs(statement, own, window, evidence),
        float((negated > 0) != (window_negated > 0)), float(negated > 0), (min(abs(negated - window_negated), 3)) / 3,
        float((negated > 0) != (window_negated > 0)) * shares[best],
        min(wording.opposed(wanted, window_set), 2) / 2, *_condition_signs(statement, own, window, everywhere),
        *_clause_signs(statement, evidence), min(len(wording.HEDGE.findall(statement)), 4) / 4, float("?" in statement),
        math.log1p(len(own)) / 3, float(statement.strip()[:1].islower()),
    ]  # fmt: skip


def _order_signs(statement: str, evidence: Evidence) -> list[float]:
    """How much of the wording comes in the order of one text, small words too: the precision of ROUGE-L (Lin 2004); its
    square, which tells near copies; and the share of runs of four words that some text has."""
    from rapidfuzz.distance import LCSseq

    own = wording.tokens(statement)
    longest = max((LCSseq.similarity(own, there) for there in evidence.tokens), default=0) / max(len(own), 1)
    runs = list(zip(own, own[1:], own[2:], own[3:], strict=False))
    return [longest, longest**4, sum(r in evidence.runs for r in runs) / max(len(runs), 1)]


def _run(marks: Sequence[bool]) -> int:
    """The longest run of true ones, up to 12."""
    longest = run = 0
    for mark in marks:
        run = run + 1 if mark else 0
        longest = max(longest, run)
    return min(longest, 12)


def _number_signs(statement: str, window: str, evidence: Evidence) -> list[float]:
    """Any; missing everywhere; share missing in the window; share with another unit; far from their words."""
    found = wording.numbers(statement)
    if not found:
        return [0.0] * 5
    n = len(found)
    here = {m.value for m in wording.numbers(window)}
    units = sum(
        bool(m.unit) and m.value in evidence.values and (m.value, m.unit) not in evidence.numbers
        and not any(v == m.value and not u for v, u in evidence.numbers)
        for m in found
    )  # fmt: skip
    own = wording.words(statement)
    far = 0.0
    for m in found:
        near = _around(own, m.value)
        there = [len(near & _around(ws, m.value)) / max(len(near), 1) for ws in evidence.text_words if m.value in ws]
        far = max(far, 1 - max(there)) if there else far
    missing = sum(m.value not in evidence.values for m in found)
    return [1.0, float(missing > 0), sum(m.value not in here for m in found) / n, units / n, far]


def _around(words: Sequence[str], value: str) -> frozenset[str]:
    found: set[str] = set()
    for at, word in enumerate(words):
        if word == value:
            found.update(words[max(at - NEAR_WORDS, 0) : at], words[at + 1 : at + 1 + NEAR_WORDS])
    return frozenset(found)


def _name_signs(statement: str, own: Sequence[str], window: str, evidence: Evidence) -> list[float]:
    """Any, share missing everywhere, share missing in the window's text, how badly the text of a name fits the rest."""
    found = wording.names(statement)
    if not found:
        return [0.0] * 4
    missing = sum(not any(name in t for t in evidence.lower) for name in found)
    wide = window.casefold().replace("’", "'")
    outside = sum(name not in wide for name in found)
    unbound = 0.0
    for name in found:
        rest = frozenset(own) - frozenset(wording.words(name))
        if not rest:
            continue
        fits = [len(rest & evidence.text_sets[n]) / len(rest) for n, t in enumerate(evidence.lower) if name in t]
        best = max((len(rest & s) / len(rest) for s in evidence.text_sets), default=0.0)
        unbound = max(unbound, best - max(fits, default=0.0))
    return [1.0, missing / len(found), outside / len(found), unbound]


def _condition_signs(statement: str, own: Sequence[str], window: str, everywhere: frozenset[str]) -> list[float]:
    """Conditions more than in the window; share of new words after the last one; comparisons that the window lacks."""
    marks = list(wording.CONDITION.finditer(statement))
    more = len(marks) - len(wording.CONDITION.findall(window))
    after = 0.0
    for mark in marks:
        if mark.start() > 0:
            tail = wording.words(statement[mark.end() :])
            after = max(after, sum(w not in everywhere for w in tail) / len(tail) if tail else 0.0)
    lacking = len(wording.compares(statement) - wording.compares(window))
    turned = {"up", "down"} <= wording.compares(statement) ^ wording.compares(window)
    return [max(min(more, 3), 0) / 3, after, min(lacking, 2) / 2, float(turned)]


def _clause_signs(statement: str, evidence: Evidence) -> list[float]:
    """The worst clause: its best share in any window, and its share of words that stand nowhere."""
    worst, new = 1.0, 0.0
    for clause in _CLAUSE.split(statement):
        words = frozenset(wording.words(clause))
        if len(words) < 2:
            continue
        share = max(len(words & s) / len(words) for s in evidence.sets)
        worst = min(worst, share)
        there = frozenset().union(*evidence.text_sets)
        new = max(new, len(words - there) / len(words))
    return [worst, new]


def contradicted(statement: str, evidence: Evidence) -> str:
    """What in the statement the sources rule out, whatever the head thinks of the rest; "" for nothing.

    A number, amount or name must stand in the sources or in the conversation; and a sentence that a source has nearly
    word for word must not say the opposite.
    """
    said = evidence.said
    for m in wording.numbers(statement):
        if m.written and m.value not in evidence.values and m.value not in said:
            return f"{m.value} is not in the sources"
        units = {u for v, u in evidence.numbers if v == m.value}
        if m.unit in _MONEY and units and units.isdisjoint({m.unit, ""}) and m.value not in said:
            return f"{m.unit} {m.value} is something else in the sources"
    there = frozenset().union(*evidence.text_sets) if evidence.text_sets else frozenset()
    for name in wording.names(statement):
        if any(w not in there and w not in said for w in wording.words(name)):
            return f"{name} is not in the sources"
    wanted = frozenset(wording.words(statement))
    shares = [len(wanted & s) / max(len(wanted), 1) for s in evidence.sets]
    best = max(shares, default=0.0)
    nearest = [w for w, s in zip(evidence.windows, shares, strict=True) if s == best]
    negated = bool(wording.NEGATION.search(statement))
    if best >= NEARLY and all(bool(wording.NEGATION.search(w)) != negated for w in nearest):
        return "the sources say the opposite"
    return ""


def statements(text: str) -> list[str]:
    """The sentences of an answer that have words to check."""
    return [s for s in wording.sentences(_MARK.sub("", text)) if len(wording.words(s)) > 1]


class Facts:
    """The rail: sides "passages", to read them ahead, and "output".

    Args:
        embedder: for likeness of meaning.
        head: gives the probability that a statement is not carried.
        statements: tells which sentences claim something; the others pass.
        least: a statement must be carried with a larger probability; None takes what the head was shipped with.
    """

    name = "facts"
    sides: frozenset[Side] = frozenset({"passages", "output"})

    def __init__(self, embedder: Remembered, head: Head, statements: SupportScorer, least: float | None = None) -> None:
        self._embedder = embedder
        self._head = head
        self._least = 1 - head.threshold if least is None else least
        self._statements = statements

    def support(self, statement: str, evidence: Evidence) -> float:
        """How likely the evidence carries the statement, in [0, 1]; at most WRONG where it says otherwise."""
        import numpy as np

        row = np.array([features(statement, evidence)], dtype=np.float32)
        support = 1 - float(self._head.probability(row)[0])
        return min(support, WRONG) if contradicted(statement, evidence) else support

    def claims(self, text: str, evidence: Evidence) -> list[tuple[str, float]]:
        """What the text says, a sentence or a field of JSON each, and how likely the evidence carries it."""
        return [(claim, by(evidence)) for claim, by in self._claims(text)]

    def _claims(self, text: str) -> list[tuple[str, Callable[[Evidence], float]]]:
        if (found := fields(text)) is None:
            return [(s, partial(self.support, s)) for s in self._statements.statements(text)]
        told = [(k, v) for k, v in found if isinstance(v, (int, float, str)) and not isinstance(v, bool) and v != ""]
        return [(f"{key}: {value}", partial(self._field, key, value)) for key, value in told]

    def _field(self, key: str, value: float | str, evidence: Evidence) -> float:
        if not isinstance(value, str):
            return 1.0 if stands(key, value, evidence.numbers, evidence.said) else WRONG
        wanted = frozenset(wording.words(value))
        nearest = max((len(wanted & s) / max(len(wanted), 1) for s in evidence.sets), default=0.0)
        said = self.support(value, evidence)
        return max(said, nearest) if nearest >= NEARLY and said > WRONG else said

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        if not turn.passages:
            return None
        if side == "passages" or "evidence" not in turn.kept:  # what there is to read may change
            said = "\n".join(m.content for m in turn.request.messages if m.role == "user")
            turn.kept["evidence"] = Evidence([spoken(p) for p in turn.passages], self._embedder, said)
            _ = turn.kept["evidence"].vectors
        return None if side == "passages" else self._judged(text, turn)

    def _judged(self, text: str, turn: Turn) -> Finding | None:
        cited = turn.cited = {} if turn.cited is None else turn.cited
        evidence: Evidence = turn.kept["evidence"]
        bare = _MARK.sub("", text)
        worst = 1.0
        claims = self._claims(bare)
        for statement, by in claims:
            support = by(evidence)
            worst = min(worst, support)
            if support > self._least:
                number, alone = self._carrier(by, turn.passages)
                source = turn.passages[number - 1].source
                cited[statement] = {
                    "sentence": statement,
                    "passage": number,
                    "source": source,
                    "support": round(alone, 3),
                }
        if worst <= self._least:
            for statement, _ in claims:
                cited.pop(statement, None)
            return Finding(score=1 - worst, reason="not in the sources", text="")
        wrong = [m for m in _MARK.finditer(text) if not self._carries(int(m[1]), bare, turn.passages)]
        if not wrong:
            return None
        spans = tuple(Span(m.start(), m.end(), "CITATION") for m in wrong)
        kept = text
        for m in reversed(wrong):
            kept = kept[: m.start()] + kept[m.end() :]
        return Finding(
            score=0.5, reason="cites a passage that does not carry it", spans=spans, text=kept, action="rewrite"
        )

    def _carrier(self, by: Callable[[Evidence], float], passages: Sequence[Passage]) -> tuple[int, float]:
        """The passage that carries a claim best, from 1, and how well on its own."""
        scored = [(by(Evidence([spoken(p)], self._embedder)), -n) for n, p in enumerate(passages, 1)]
        best = max(scored)
        return -best[1], best[0]

    def _carries(self, number: int, text: str, passages: Sequence[Passage]) -> bool:
        if not 1 <= number <= len(passages):
            return False
        evidence = Evidence([spoken(passages[number - 1])], self._embedder)
        return all(support > self._least for _, support in self.claims(text, evidence))


def spoken(passage: Passage) -> str:
    """A passage with what it stands under."""
    return ". ".join(filter(None, (passage.title, passage.heading.rpartition(" > ")[2], passage.text)))
