"""The fusion for a corpus: the weight of dense search against full text, and the boost of mentioned documents.

A weak search can hurt the fusion, so both numbers are chosen on questions with known passages, by whether one of these
is among the passages of the prompt, and at which rank. Each search alone is among the choices. The defaults are only
replaced by a clearly better fusion, or when one search alone is better: with few questions, the best of many choices is
mostly the luckiest.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inhouse.files import write_text
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.ranking import RANKED, RANKER, Judged, features_of, fit_ranker
from inhouse.retrieval.search import FUSION, Fusion, Index
from inhouse.types import Example, Json, Passage, Progress

WEIGHTS = tuple(n / 10 for n in range(11))
BOOSTS = (0.0, 0.3, 1.0)
ENOUGH_QUESTIONS = 30
MOST_QUESTIONS = 120  # for the fusion
MOST_EXAMPLES = 1500  # for the ranker
BEHIND = 0.005  # how far the default may be behind a single search

Gold = Sequence[tuple[Example, Sequence[Passage]]]


def fit_fusion(
    index: Index,
    grounding: Grounding,
    gold: Gold,
    unanswerable: Sequence[Example],
    k: int,
    out: Path,
    progress: Progress,
) -> dict[str, Json]:
    """Chooses the fusion and fits the ranker to its candidates, writes both to `out` and returns facts.

    With fewer than 30 questions, the fusion is the default and there is no ranker.

    Args:
        index: gets the chosen fusion.
        grounding: retrieval over that index.
        gold: questions, each with the passages that hold its answer.
        unanswerable: questions that the documents do not answer.
        k: number of passages in a prompt.
        out: folder.
        progress: advanced after each question.
    """
    known = [(e, {(p.source, p.text) for p in passages}) for e, passages in gold if passages]
    human = [q for q in known if q[0].origin != "synthetic"]
    questions = (human if len(human) >= ENOUGH_QUESTIONS else known)[:MOST_QUESTIONS]
    fusion = index.default
    facts: dict[str, Any] = {"questions": len(questions), "tuned": len(questions) >= ENOUGH_QUESTIONS}
    table: list[dict[str, float]] = []
    if facts["tuned"]:
        ranks = _ranks(grounding, questions, progress)
        scores = {f: [(float(0 < r <= k) + (1 / r if r else 0.0)) / 2 for r in row] for f, row in ranks.items()}
        fusion = choose(scores, fusion, [f for f in scores if f.weight in {0.0, 1.0}])
        figures = {
            f: {"recall": round(sum(0 < r <= k for r in row) / len(row), 4),
                "mrr": round(sum(1 / r for r in row if r) / len(row), 4)}
            for f, row in ranks.items()
        }  # fmt: skip
        table = [{**f._asdict(), **row} for f, row in figures.items()]
        facts |= figures[fusion]
    facts |= fusion._asdict()
    index.fusion = fusion
    with_answer, without = [(e, p) for e, p in gold if p], [(e, ()) for e in unanswerable]
    ranker, judged = fit_ranker([*_judged(grounding, with_answer), *_judged(grounding, without)])
    if ranker:
        write_text(out / RANKER, ranker.model_dump_json(indent=1))
        facts |= judged
    write_text(out / FUSION, json.dumps({**facts, "table": table}, indent=1))
    return facts


def _judged(grounding: Grounding, gold: Gold) -> Iterator[Judged]:
    """Each question's candidates, as the ranker will see them; questions whose candidates lack the answer teach
    nothing."""
    for example, passages in gold:
        hits = grounding.hits(example.messages, k=RANKED)
        wanted = {(p.source, p.text) for p in passages}
        holding = [(h.chunk.source, h.chunk.text) in wanted for h in hits]
        if hits and (any(holding) or not passages):
            yield Judged(features_of(grounding.searched(example.messages), hits), holding)


def choose(scores: Mapping[Fusion, Sequence[float]], default: Fusion, single: Sequence[Fusion]) -> Fusion:
    """The fusion with the best mean score, or the default when it is as good within the error of measurement.

    The default stays when it is behind none of the `single` searches, and behind the best by at most one standard error
    of their paired differences.

    Args:
        scores: by fusion, one score per question, for the same questions in the same order.
        default: one of the fusions.
        single: those of the fusions that use one search alone.
    """
    means = {fusion: statistics.fmean(row) for fusion, row in scores.items()}
    best = max(means, key=lambda f: (means[f], -abs(f[0] - default[0]), -abs(f[1] - default[1])))
    gains = [a - b for a, b in zip(scores[best], scores[default], strict=True)]
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    kept = means[best] - means[default] <= error and means[default] >= max(means[f] for f in single) - BEHIND
    return default if kept else best


def _ranks(
    grounding: Grounding, questions: Sequence[tuple[Example, set[tuple[str, str]]]], progress: Progress
) -> dict[Fusion, list[int]]:
    """By fusion, the rank of each question's first wanted passage, from 1; 0 when it is not a candidate."""
    ranks: dict[Fusion, list[int]] = {Fusion(w, b): [] for w in WEIGHTS for b in BOOSTS}
    with progress.step("fitting the fusion", len(questions)) as step:
        for example, wanted in questions:
            candidates = grounding.candidates(example.messages)
            for fusion, row in ranks.items():
                ranked = enumerate(candidates.ranked(fusion), 1)
                row.append(next((at for at, (_, r, n) in ranked if (r.places[n][0], r.texts[n]) in wanted), 0))
            step.advance()
    return ranks
