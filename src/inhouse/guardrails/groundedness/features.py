"""Signs of whether sources carry a statement, made by hand: the head of the rail facts weighs them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.text import claims as wording

NEAR_WORDS = 5


def signs_of(statement: str, evidence: Evidence) -> list[float]:
    """The head's input, 48 numbers; there is something in the evidence."""
    own = wording.words(statement)
    wanted = frozenset(own)
    shares, cosines = evidence.nearness(statement)
    best = max(range(len(shares)), key=lambda i: shares[i] + 0.5 * cosines[i])
    window, window_set = evidence.windows[best], evidence.sets[best]
    owner = evidence.owner[best]
    everywhere = frozenset().union(*evidence.text_sets)
    uncovered = [w not in window_set and w not in evidence.text_sets[owner] for w in own]
    nowhere = [w not in everywhere for w in own]
    grams = list(pairwise(own))
    triples = list(zip(own, own[1:], own[2:], strict=False))
    top = sorted(cosines, reverse=True)[:3]
    negated, window_negated = len(wording.NEGATION.findall(statement)), len(wording.NEGATION.findall(window))
    opposed = wording.opposed(wanted, window_set)
    denies = (negated > 0) != (window_negated > 0)
    if denies and opposed:  # what denies the opposite says the same
        denies, opposed = False, 0
    return [
        max(shares), shares[best], cosines[best], top[0], sum(top) / len(top),
        sum(nowhere) / max(len(own), 1), min(sum(nowhere), 6) / 6, _run(nowhere) / 6, _run(uncovered) / 6,
        sum(uncovered) / max(len(own), 1),
        sum(g in evidence.grams for g in grams) / max(len(grams), 1),
        sum(t in evidence.triples for t in triples) / max(len(triples), 1),
        float(not any(nowhere)), float(shares[best] == 1.0), _run([not u for u in uncovered]) / max(len(own), 1),
        *_order_signs(statement, evidence), *_number_signs(statement, window, evidence),
        *_name_signs(statement, own, window, evidence),
        float(denies), float(negated > 0), (min(abs(negated - window_negated), 3)) / 3, float(denies) * shares[best],
        min(opposed, 2) / 2, *_condition_signs(statement, own, window, everywhere),
        *_clause_signs(statement, evidence), *_bound_signs(statement, own, evidence),
        min(len(wording.HEDGE.findall(statement)), 4) / 4, float("?" in statement),
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
    differ = wording.compares(statement) ^ wording.compares(window)
    turned = {"up", "down"} <= differ or {"before", "after"} <= differ
    return [max(min(more, 3), 0) / 3, after, min(lacking, 2) / 2, float(turned)]


def _clause_signs(statement: str, evidence: Evidence) -> list[float]:
    """The worst clause: its best share in any window, and its share of words that stand nowhere."""
    worst, new = 1.0, 0.0
    for clause in wording.clauses(statement):
        words = frozenset(wording.words(clause))
        if len(words) < 2:
            continue
        share = max(len(words & s) / len(words) for s in evidence.sets)
        worst = min(worst, share)
        there = frozenset().union(*evidence.text_sets)
        new = max(new, len(words - there) / len(words))
    return [worst, new]


def _bound_signs(statement: str, own: Sequence[str], evidence: Evidence) -> list[float]:
    """How much of the wording the best clause has, and whether one of both denies; by how much the sentences, and the
    clauses, that have a number of the statement fall behind those with another; a bound that is the other one in the
    sources, and one that is the same."""
    weight = evidence.weights(frozenset(own))
    values = {m.value for m in wording.numbers(statement) if m.value in evidence.values}
    about = {w: v for w, v in weight.items() if w not in values}
    total, rest = sum(weight.values()) or 1.0, sum(about.values()) or 1.0
    behind = [0.0, 0.0]
    for k, pieces in enumerate((evidence.sentences, evidence.clauses)):
        fits = [sum(v for w, v in about.items() if w in p) / rest for p in pieces]
        for value in values:
            here = max((f for f, p in zip(fits, pieces, strict=True) if value in p), default=0.0)
            other = max(
                (f for f, p in zip(fits, pieces, strict=True) if value not in p and p & evidence.values), default=0.0
            )
            behind[k] = max(behind[k], other - here)
    shares = [sum(v for w, v in weight.items() if w in p) / total for p in evidence.clauses]
    best = max(range(len(shares)), key=shares.__getitem__)
    denied = bool(wording.NEGATION.search(statement)) != bool(wording.NEGATION.search(evidence.clause_texts[best]))
    denied = denied and not wording.opposed(frozenset(own), evidence.clauses[best])
    said = {v: s for v, s in wording.bounds(statement).items() if v in evidence.bounds}
    turned = any(s.isdisjoint(evidence.bounds[v]) for v, s in said.items())
    return [
        shares[best],
        float(denied),
        *behind,
        float(turned),
        float(any(s & evidence.bounds[v] for v, s in said.items())),
    ]
