"""How well a classifier chooses and refuses, on labeled lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from inhouse.errors import InputError
from inhouse.routing.classifier import Prediction, TextClassifier, share
from inhouse.types import Array, Estimate, Record


class Line(Record):
    """A text, and the agent that it belongs to; "" if to none."""

    text: str
    agent: str = ""


class Quality(Record):
    """What was found on lines.

    Attributes:
        lines: their number.
        accuracy: share of the lines of an agent for which it is the best one; None if there are no such lines.
        sent: share of the same lines that also score above the threshold, so that the agent gets them.
        false_rejects: share of the lines of agents that score below the threshold.
        out_of_scope: share of the lines of no agent that score below the threshold; None if there are no such lines.
        auroc: probability that a line of an agent scores higher than one of no agent; None without either.
        confusion: counts of (agent, what was found instead), "" for the fallback, most frequent first.
        predictions: by line.
    """

    lines: int
    accuracy: Estimate | None = None
    sent: Estimate | None = None
    false_rejects: float | None = None
    out_of_scope: float | None = None
    auroc: float | None = None
    confusion: tuple[tuple[str, str, int], ...] = ()
    predictions: tuple[Prediction, ...] = ()


def read_lines(file: Path, names: Collection[str]) -> list[Line]:
    """The lines of a JSONL file.

    Raises:
        InputError: it cannot be read, or a line is not {"text", "agent"} with one of the names; the message says which.
    """
    try:
        rows = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    lines = []
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            value = json.loads(row)
            line = Line(text=value["text"], agent=value.get("agent") or "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}:{number}: not a line", 'write {"text": "...", "agent": "..."}') from error
        if line.agent and line.agent not in names:
            hint = f"use one of {', '.join(sorted(names))}, or no agent for what belongs to none"
            raise InputError(f"{file}:{number}: unknown agent {line.agent}", hint)
        lines.append(line)
    if not lines:
        raise InputError(f"{file}: has no lines", 'write {"text": "...", "agent": "..."}')
    return lines


def quality(classifier: TextClassifier, lines: Sequence[Line]) -> Quality:
    """What the classifier does with the lines."""
    import numpy as np

    found = classifier.predictions([line.text for line in lines])
    pairs = list(zip(lines, found, strict=True))
    own = [(line, f) for line, f in pairs if line.agent]
    others = [f for line, f in pairs if not line.agent]
    chosen = Counter((line.agent, f.name if f.in_scope else "") for line, f in pairs)
    wrong = [(a, b, n) for (a, b), n in chosen.items() if a != b]
    best = sum(f.name == line.agent for line, f in own)
    given = sum(f.name == line.agent and f.in_scope for line, f in own)
    return Quality(
        lines=len(lines),
        accuracy=share(best, len(own)) if own else None,
        sent=share(given, len(own)) if own else None,
        false_rejects=sum(not f.in_scope for _, f in own) / len(own) if own else None,
        out_of_scope=sum(not f.in_scope for f in others) / len(others) if others else None,
        auroc=auroc(np.array([f.score for _, f in own]), np.array([f.score for f in others]))
        if own and others
        else None,
        confusion=tuple(sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))),
        predictions=tuple(found),
    )


def auroc(higher: Array, lower: Array) -> float:
    """The probability that one of `higher` is above one of `lower`; ties count half."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([higher, lower]))
    n = len(higher)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(lower)))
