"""Hand-made features of whether sources support a statement; the networks of `alignment` weigh them.

Shares and counts are scaled to about [0, 1]. "The window" is the sentence, or pair of neighbors, that is nearest to the
statement; "words" are stemmed content words and numbers, as `text.words.content_words` has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.text import claims
from inhouse.text.numbers import numbers
from inhouse.text.words import content_words, tokens

NEAR_WORDS = 5


class Features(NamedTuple):
    """One field per feature, in the order in which the weights have them."""

    # how much of the statement the sources contain
    most_words_shared: float  # share of the words that the best window has
    words_shared: float  # that the window has
    cosine: float  # of the statement and the window
    highest_cosine: float  # of the statement and any window
    three_highest_cosines: float  # their mean
    new_words: float  # share of the words that no source has
    new_word_count: float  # how many, up to 6
    new_word_run: float  # longest run of them
    uncovered_run: float  # longest run of words that neither the window nor its source has
    uncovered_words: float  # share of them
    pairs_shared: float  # share of the pairs of successive words that a source has
    triples_shared: float
    no_new_word: float  # 1 where every word is in a source
    window_has_all: float  # 1 where the window has every word
    covered_run: float  # longest run of words that the window or its source has, by all words
    # how much of the wording is in the order of one source, small words included
    in_order: float  # precision of ROUGE-L (Lin 2004)
    in_order_steep: float  # its fourth power, which marks near copies
    fours_shared: float  # share of the runs of four words that a source has
    # numbers
    has_number: float
    number_missing: float  # 1 where one is in no source
    numbers_outside: float  # share that the window does not have
    numbers_of_other_unit: float  # share that the sources have in other units alone
    number_misplaced: float  # how far one is from the words around it in the sources
    # names
    has_name: float
    names_missing: float  # share that no source has
    names_outside: float  # share that the window does not have
    name_misplaced: float  # how much worse the sources with a name fit the rest than the best source does
    # negation and opposites
    denial_differs: float  # 1 where the statement or the window denies and the other does not
    denies: float
    denials_apart: float  # how many negations one has more than the other, up to 3
    denial_differs_shared: float  # `denial_differs` times `words_shared`
    opposites: float  # words whose opposite is in the window, up to 2
    # conditions and comparisons
    extra_conditions: float  # more than the window has, up to 3
    new_words_in_condition: float  # share of the words after a condition that no source has, at most
    comparisons_missing: float  # that the window lacks, up to 2
    comparison_turned: float  # 1 where one says "up" or "before" and the other "down" or "after"
    # clauses
    worst_clause_shared: float  # of the clause that fits worst, the share of words that its best window has
    worst_clause_new: float  # of the clause with most new words, the share of them
    # the best clause of the sources, weighed by how rare words are
    best_clause_shared: float
    best_clause_denial_differs: float
    number_in_worse_sentence: float  # how much worse sentences with a number of the statement fit than those without
    number_in_worse_clause: float
    bound_turned: float  # 1 where "at least" in the statement is "at most" in the sources, or the reverse
    bound_same: float
    # form
    hedges: float  # "I think", "maybe", ..., up to 4
    has_question_mark: float
    length: float  # logarithm of the number of words
    starts_in_lower_case: float


def features_of(statement: str, evidence: Evidence) -> Features:
    """The features of a statement; the evidence must not be empty."""
    words = content_words(statement)
    shares, cosines = evidence.nearness(statement)
    best = max(range(len(shares)), key=lambda i: shares[i] + 0.5 * cosines[i])
    window = evidence.windows[best]
    everywhere = frozenset().union(*evidence.text_sets)
    return Features(
        **_overlap(words, evidence, best, shares, cosines, everywhere),
        **_order(statement, evidence),
        **_numbers(statement, window, evidence),
        **_names(statement, words, window, evidence),
        **_negation(statement, words, evidence, best, shares[best]),
        **_conditions(statement, window, everywhere),
        **_clauses(statement, evidence, everywhere),
        **_bounds(statement, words, evidence),
        hedges=min(len(claims.HEDGE.findall(statement)), 4) / 4,
        has_question_mark=float("?" in statement),
        length=math.log1p(len(words)) / 3,
        starts_in_lower_case=float(statement.strip()[:1].islower()),
    )


def _overlap(
    words: Sequence[str], evidence: Evidence, best: int, shares: Sequence[float], cosines: Sequence[float],
    everywhere: frozenset[str],
) -> dict[str, float]:  # fmt: skip
    n = max(len(words), 1)
    here, source = evidence.sets[best], evidence.text_sets[evidence.owner[best]]
    uncovered = [w not in here and w not in source for w in words]
    new = [w not in everywhere for w in words]
    pairs, triples = list(pairwise(words)), list(zip(words, words[1:], words[2:], strict=False))
    top = sorted(cosines, reverse=True)[:3]
    return {
        "most_words_shared": max(shares),
        "words_shared": shares[best],
        "cosine": cosines[best],
        "highest_cosine": top[0],
        "three_highest_cosines": sum(top) / len(top),
        "new_words": sum(new) / n,
        "new_word_count": min(sum(new), 6) / 6,
        "new_word_run": _longest_run(new) / 6,
        "uncovered_run": _longest_run(uncovered) / 6,
        "uncovered_words": sum(uncovered) / n,
        "pairs_shared": sum(g in evidence.pairs for g in pairs) / max(len(pairs), 1),
        "triples_shared": sum(g in evidence.triples for g in triples) / max(len(triples), 1),
        "no_new_word": float(not any(new)),
        "window_has_all": float(shares[best] == 1.0),
        "covered_run": _longest_run([not u for u in uncovered]) / n,
    }


def _longest_run(marks: Sequence[bool]) -> int:
    """The longest run of true values, up to 12."""
    longest = run = 0
    for mark in marks:
        run = run + 1 if mark else 0
        longest = max(longest, run)
    return min(longest, 12)


def _order(statement: str, evidence: Evidence) -> dict[str, float]:
    from rapidfuzz.distance import LCSseq

    words = tokens(statement)
    longest = max((LCSseq.similarity(words, t) for t in evidence.tokens), default=0) / max(len(words), 1)
    fours = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return {
        "in_order": longest,
        "in_order_steep": longest**4,
        "fours_shared": sum(g in evidence.fours for g in fours) / max(len(fours), 1),
    }


def _numbers(statement: str, window: str, evidence: Evidence) -> dict[str, float]:
    own = numbers(statement)
    n = max(len(own), 1)
    here = {m.value for m in numbers(window)}
    other_unit = sum(
        bool(m.unit) and m.value in evidence.values and (m.value, m.unit) not in evidence.numbers
        and not any(v == m.value and not u for v, u in evidence.numbers)
        for m in own
    )  # fmt: skip
    words = content_words(statement)
    misplaced = 0.0
    for m in own:
        near = _around(words, m.value)
        fits = [len(near & _around(ws, m.value)) / max(len(near), 1) for ws in evidence.text_words if m.value in ws]
        misplaced = max(misplaced, 1 - max(fits)) if fits else misplaced
    return {
        "has_number": float(bool(own)),
        "number_missing": float(any(m.value not in evidence.values for m in own)),
        "numbers_outside": sum(m.value not in here for m in own) / n,
        "numbers_of_other_unit": other_unit / n,
        "number_misplaced": misplaced,
    }


def _around(words: Sequence[str], value: str) -> frozenset[str]:
    """The words near to a number, wherever it occurs."""
    near: set[str] = set()
    for at, word in enumerate(words):
        if word == value:
            near.update(words[max(at - NEAR_WORDS, 0) : at], words[at + 1 : at + 1 + NEAR_WORDS])
    return frozenset(near)


def _names(statement: str, words: Sequence[str], window: str, evidence: Evidence) -> dict[str, float]:
    names = claims.names(statement)
    n = max(len(names), 1)
    lower = window.casefold().replace("’", "'")
    misplaced = 0.0
    for name in names:
        rest = frozenset(words) - frozenset(content_words(name))
        if not rest:
            continue
        fits = [len(rest & evidence.text_sets[k]) / len(rest) for k, t in enumerate(evidence.lower) if name in t]
        best = max((len(rest & s) / len(rest) for s in evidence.text_sets), default=0.0)
        misplaced = max(misplaced, best - max(fits, default=0.0))
    return {
        "has_name": float(bool(names)),
        "names_missing": sum(not any(name in t for t in evidence.lower) for name in names) / n,
        "names_outside": sum(name not in lower for name in names) / n,
        "name_misplaced": misplaced,
    }


def _negation(
    statement: str, words: Sequence[str], evidence: Evidence, best: int, words_shared: float
) -> dict[str, float]:
    here = len(claims.NEGATION.findall(statement))
    there = len(claims.NEGATION.findall(evidence.windows[best]))
    opposites = claims.opposed(frozenset(words), evidence.sets[best])
    differs = (here > 0) != (there > 0)
    if differs and opposites:  # to deny the opposite is to say the same
        differs, opposites = False, 0
    return {
        "denial_differs": float(differs),
        "denies": float(here > 0),
        "denials_apart": min(abs(here - there), 3) / 3,
        "denial_differs_shared": float(differs) * words_shared,
        "opposites": min(opposites, 2) / 2,
    }


def _conditions(statement: str, window: str, everywhere: frozenset[str]) -> dict[str, float]:
    conditions = list(claims.CONDITION.finditer(statement))
    extra = len(conditions) - len(claims.CONDITION.findall(window))
    new = 0.0
    for m in conditions:
        if m.start() > 0 and (tail := content_words(statement[m.end() :])):
            new = max(new, sum(w not in everywhere for w in tail) / len(tail))
    here, there = claims.compares(statement), claims.compares(window)
    differ = here ^ there
    return {
        "extra_conditions": max(min(extra, 3), 0) / 3,
        "new_words_in_condition": new,
        "comparisons_missing": min(len(here - there), 2) / 2,
        "comparison_turned": float({"up", "down"} <= differ or {"before", "after"} <= differ),
    }


def _clauses(statement: str, evidence: Evidence, everywhere: frozenset[str]) -> dict[str, float]:
    worst, new = 1.0, 0.0
    for clause in claims.clauses(statement):
        words = frozenset(content_words(clause))
        if len(words) > 1:
            worst = min(worst, max(len(words & s) / len(words) for s in evidence.sets))
            new = max(new, len(words - everywhere) / len(words))
    return {"worst_clause_shared": worst, "worst_clause_new": new}


def _bounds(statement: str, words: Sequence[str], evidence: Evidence) -> dict[str, float]:
    weight = evidence.weights(frozenset(words))
    values = {m.value for m in numbers(statement) if m.value in evidence.values}
    about = {w: v for w, v in weight.items() if w not in values}
    total, rest = sum(weight.values()) or 1.0, sum(about.values()) or 1.0

    def behind(pieces: Sequence[frozenset[str]]) -> float:
        """By how much the pieces with a number of the statement fit worse than those with other numbers."""
        fits = [sum(v for w, v in about.items() if w in p) / rest for p in pieces]
        most = 0.0
        for value in values:
            with_it = [f for f, p in zip(fits, pieces, strict=True) if value in p]
            others = [f for f, p in zip(fits, pieces, strict=True) if value not in p and p & evidence.values]
            most = max(most, max(others, default=0.0) - max(with_it, default=0.0))
        return most

    shares = [sum(v for w, v in weight.items() if w in p) / total for p in evidence.clauses]
    best = max(range(len(shares)), key=shares.__getitem__)
    differs = bool(claims.NEGATION.search(statement)) != bool(claims.NEGATION.search(evidence.clause_texts[best]))
    differs = differs and not claims.opposed(frozenset(words), evidence.clauses[best])
    bounds = {v: sides for v, sides in claims.bounds(statement).items() if v in evidence.bounds}
    return {
        "best_clause_shared": shares[best],
        "best_clause_denial_differs": float(differs),
        "number_in_worse_sentence": behind(evidence.sentences),
        "number_in_worse_clause": behind(evidence.clauses),
        "bound_turned": float(any(sides.isdisjoint(evidence.bounds[v]) for v, sides in bounds.items())),
        "bound_same": float(any(sides & evidence.bounds[v] for v, sides in bounds.items())),
    }
