"""The fusion tuned to a corpus: how much dense counts against full text, and a mentioned title against the rest.

A weak arm can hurt fusion, so both numbers are chosen on questions whose passages are known, by whether one is found
among the first passages of a prompt and how far up. Either arm alone is among the choices. The defaults give way only
to what is clearly better, or where an arm alone is ahead of them: with few questions the best of many settings is
mostly the luckiest.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inhouse.files import write_text
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.search import DEFAULT_BOOST, DEFAULT_WEIGHT, FUSION, Index
from inhouse.types import Example, Json, Passage, Progress

WEIGHTS = tuple(n / 10 for n in range(11))
BOOSTS = (0.0, 0.3, 1.0)
ENOUGH_QUESTIONS = 30
MOST_QUESTIONS = 120
BEHIND = 0.005  # the defaults may be so far behind an arm alone

Gold = Sequence[tuple[Example, Sequence[Passage]]]
Setting = tuple[float, float]  # weight of dense, bonus of a mentioned title


def fit_fusion(
    index: Index, grounding: Grounding, gold: Gold, k: int, out: Path, progress: Progress
) -> dict[str, Json]:
    """Writes fusion.json into `out` and returns what it holds; with fewer than 30 questions the defaults stay.

    Args:
        index: its weight and boost are left as chosen.
        grounding: the passages finder over that index.
        gold: questions, each with the passages that hold its answer.
        k: how many passages a prompt takes.
        out: folder.
        progress: told after each question.
    """
    asked = [(e, {(p.source, p.text) for p in passages}) for e, passages in gold if passages][:MOST_QUESTIONS]
    weight, boost = DEFAULT_WEIGHT, DEFAULT_BOOST
    told: dict[str, Any] = {"questions": len(asked), "tuned": len(asked) >= ENOUGH_QUESTIONS}
    if told["tuned"]:
        ranks = _ranks(index, grounding, asked, progress)
        scores = {s: [(float(0 < r <= k) + (1 / r if r else 0.0)) / 2 for r in rows] for s, rows in ranks.items()}
        weight, boost = choose(scores, (weight, boost), [s for s in scores if s[0] in {0.0, 1.0}])
        rows = [
            {
                "weight": w,
                "mention_boost": b,
                "recall": round(sum(0 < r <= k for r in found) / len(asked), 4),
                "mrr": round(sum(1 / r for r in found if r) / len(asked), 4),
            }
            for (w, b), found in ranks.items()
        ]
        told |= {"table": rows} | next(r for r in rows if (r["weight"], r["mention_boost"]) == (weight, boost))
    told |= {"weight": weight, "mention_boost": boost}
    index.weight, index.mention_boost = weight, boost
    write_text(out / FUSION, json.dumps(told, indent=1))
    return {name: value for name, value in told.items() if name != "table"}


def choose(scores: Mapping[Setting, Sequence[float]], default: Setting, single: Sequence[Setting]) -> Setting:
    """The setting of the best mean score, unless the default is as good for all that can be told.

    The default stays when it is not behind any of the `single` arms, nor behind the best by more than one standard
    error of their paired differences.

    Args:
        scores: by setting, one score a question, the same questions in the same order.
        default: one of the settings.
        single: those of the settings that use one arm alone.
    """
    means = {setting: statistics.fmean(row) for setting, row in scores.items()}
    best = max(means, key=lambda s: (means[s], -abs(s[0] - default[0]), -abs(s[1] - default[1])))
    gains = [a - b for a, b in zip(scores[best], scores[default], strict=True)]
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    kept = means[best] - means[default] <= error and means[default] >= max(means[s] for s in single) - BEHIND
    return default if kept else best


def _ranks(index: Index, grounding: Grounding, asked: Any, progress: Progress) -> dict[Setting, list[int]]:
    """By setting, at which place each question's first wanted passage stands; 0 where it is not found."""
    ranks: dict[Setting, list[int]] = {(w, b): [] for w in WEIGHTS for b in BOOSTS}
    with progress.step("tuning retrieval", len(asked)) as step:
        for example, wanted in asked:
            query = grounding.prepared(example.messages)
            for (weight, boost), row in ranks.items():
                ranked = enumerate(query.ranked(weight, boost), 1)
                row.append(
                    next((at for at, (_, found, n) in ranked if (found.places[n][0], found.texts[n]) in wanted), 0)
                )
            step.advance()
    return ranks
