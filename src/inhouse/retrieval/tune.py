"""The fusion tuned to a corpus: how much dense counts against full text, and a mentioned title against the rest.

A weak arm can hurt fusion, so both numbers are chosen on questions whose passages are known, by the share found among
the first passages of a prompt, then by mean reciprocal rank. Either arm alone is among the choices.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.search import DEFAULT_WEIGHT, FUSION, Index
from inhouse.types import Example, Json, Passage, Progress

WEIGHTS = tuple(n / 10 for n in range(11))
BOOSTS = (0.0, 0.3, 1.0)
ENOUGH_QUESTIONS = 15
MOST_QUESTIONS = 120

Gold = Sequence[tuple[Example, Sequence[Passage]]]


def tune_fusion(
    index: Index, grounding: Grounding, gold: Gold, k: int, out: Path, progress: Progress
) -> dict[str, Json]:
    """Writes fusion.json into `out` and returns what it holds; with fewer than 15 questions the defaults stay.

    Args:
        index: its weight and boost are left as chosen.
        grounding: the passages finder over that index.
        gold: questions, each with the passages that hold its answer.
        k: how many passages a prompt takes.
        out: folder.
        progress: told after each question and boost.
    """
    asked = [(e, {(p.source, p.text) for p in passages}) for e, passages in gold if passages][:MOST_QUESTIONS]
    chosen: dict[str, Any] = {"weight": DEFAULT_WEIGHT, "mention_boost": 1.0, "questions": len(asked), "tuned": False}
    if len(asked) >= ENOUGH_QUESTIONS:
        table = _measure(index, grounding, asked, k, progress)
        best = max(table, key=lambda row: (row["recall"], row["mrr"], -abs(row["weight"] - DEFAULT_WEIGHT)))
        chosen |= best | {"tuned": True, "table": table}
    index.weight, index.mention_boost = chosen["weight"], chosen["mention_boost"]
    partial = out / f"{FUSION}.partial"
    partial.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    os.replace(partial, out / FUSION)
    return {name: value for name, value in chosen.items() if name != "table"}


def _measure(index: Index, grounding: Grounding, asked: Any, k: int, progress: Progress) -> list[dict[str, float]]:
    table = []
    with progress.step("tuning retrieval", len(asked)) as step:
        sums = {(w, b): [0.0, 0.0] for w in WEIGHTS for b in BOOSTS}
        for example, wanted in asked:
            query = grounding.prepared(example.messages)
            for (weight, boost), row in sums.items():
                ranked = enumerate(query.ranked(weight, boost), 1)
                rank = next((at for at, (_, found, n) in ranked if (found.places[n][0], found.texts[n]) in wanted), 0)
                row[0] += 0 < rank <= k
                row[1] += 1 / rank if rank else 0.0
            step.advance()
    for (weight, boost), (found, reciprocal) in sums.items():
        n = len(asked)
        table.append(
            {"weight": weight, "mention_boost": boost, "recall": round(found / n, 4), "mrr": round(reciprocal / n, 4)}
        )
    return table
