"""Holds back answers that are too likely to be wrong: one probability that an answer is right, against a threshold.

`calibration` fits both to answers that are known to be right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from inhouse.guardrails.confidence.calibration import Calibration
from inhouse.guardrails.confidence.features import Features
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.types import Digest, Message, digest_of

Extractor = Callable[[str, Turn], Features]  # of an answer and its exchange: `features.FeatureExtractor`


class Confidence:
    """The rail on the whole answer: nothing is released before its confidence is known."""

    name = "confidence"
    sides: frozenset[Side] = frozenset({"answer"})

    def __init__(self, calibration: Calibration, extract: Extractor) -> None:
        self._calibration = calibration
        self._extract = extract

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        import numpy as np

        row = np.array([self._extract(text, turn)], dtype=np.float64)
        turn.confidence = float(self._calibration.probability(row)[0])
        if turn.confidence >= self._calibration.threshold:
            return None
        return Finding(score=1 - turn.confidence, reason=f"only {turn.confidence:.0%} likely to be right")


class FeatureRecorder:
    """Takes the place of the confidence rail while answers are collected to fit it: records their features.

    Args:
        extract: computes the features.
        file: JSONL to which rows are appended as they come, so that an interrupted calibration continues.
    """

    name = "recorder"
    sides: frozenset[Side] = frozenset({"answer"})

    def __init__(self, extract: Extractor, file: Path) -> None:
        self._extract = extract
        self._file = file
        self._writing = Lock()

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        features = self._extract(text, turn)._asdict()
        line = json.dumps({"conversation": conversation_digest(turn.request.messages), "features": features})
        with self._writing, self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        return None

    def rows(self) -> dict[Digest, Features]:
        """The features by the digest of their conversation; a line that an interruption cut off is left out."""
        if not self._file.exists():
            return {}
        lines = self._file.read_text(encoding="utf-8").split("\n")
        return dict(filter(None, map(_parsed, lines)))


def conversation_digest(messages: Sequence[Message]) -> Digest:
    return digest_of([m.to_openai() for m in messages])


def _parsed(line: str) -> tuple[Digest, Features] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None  # cut off when the run was interrupted
    return row["conversation"], Features(**row["features"])
