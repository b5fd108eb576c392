"""One probability that an answer is right, and the least of it that keeps a promise such as "at most 5 % wrong".

A logistic regression over what is known when the answer is done: how well passages were found and carry it, how sure
the engine was of its tokens, length, and form. Its scores of examples that it was not trained on are made
probabilities, by isotonic regression where there are many and by a logistic curve where there are few. The
threshold is the lowest at which the upper confidence bound of the share of wrong answers (Clopper and Pearson 1934)
still keeps the promise, tried from a few strict ones down and stopped at the first that does not (fixed-sequence
testing, Angelopoulos et al. 2021), so that looking at many thresholds costs next to nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.types import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]
from inhouse.guardrails.confidence.calibration import Calibration
from inhouse.guardrails.confidence.features import Signals, _whole, of


class Confidence:
    """The rail on the whole answer: nothing is released before it is known to be sure enough."""

    name = "confidence"
    sides: frozenset[Side] = frozenset({"answer"})

    def __init__(self, calibration: Calibration, signals: Signals) -> None:
        self._calibration = calibration
        self._signals = signals

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        import numpy as np

        row = np.array([self._signals(text, turn)], dtype=np.float64)
        turn.confidence = float(self._calibration.probability(row)[0])
        if turn.confidence >= self._calibration.threshold:
            return None
        return Finding(score=1 - turn.confidence, reason=f"right with a probability of {turn.confidence:.2f} only")


class Watching:
    """In the confidence rail's place while answers are collected to fit it on: keeps what it would have gone by.

    Args:
        signals: what is known about an answer.
        file: where rows are appended as they come, so that an interrupted calibration goes on.
    """

    name = "watching"
    sides: frozenset[Side] = frozenset({"answer"})

    def __init__(self, signals: Signals, file: Path) -> None:
        self._signals = signals
        self._file = file
        self._writing = Lock()

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        row = json.dumps({"of": of(turn.request.messages), "row": self._signals(text, turn)})
        with self._writing, self._file.open("a", encoding="utf-8") as file:
            file.write(f"{row}\n")
        return None

    def rows(self) -> dict[Digest, list[float]]:
        """By the digest `of` the conversation."""
        if not self._file.exists():
            return {}
        lines = self._file.read_text(encoding="utf-8").split("\n")
        return {found["of"]: found["row"] for found in map(_whole, lines) if found}
