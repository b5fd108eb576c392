"""What the confidence in an answer is read from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.rail import Groundedness, evidence_of
from inhouse.guardrails.rail import Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.types import Digest, Message, digest_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]

_NUMBER = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"\w+")


class Signals:
    """What is known about an answer when it is done, as one row of numbers: the head's input."""

    LEAST, SILENT = 5, 7  # columns: support of the claim that is carried worst; 1 where nothing is claimed

    def __init__(self, facts: Groundedness, embedder: CachedEmbedder) -> None:
        self._facts = facts
        self._embedder = embedder

    def __call__(self, answer: str, turn: Turn) -> list[float]:
        question = next((m.content for m in reversed(turn.request.messages) if m.role == "user"), "")
        passages, vectors = turn.passages, self._embedder.embed([question, answer or " "])
        scores = sorted((p.score for p in passages), reverse=True) or [0.0]
        evidence: Evidence = turn.kept.get("evidence") or evidence_of(turn, self._embedder)
        claims = self._facts.claims(answer, evidence) if passages else []
        held = [support for _, support in claims] or [0.5]
        windows = evidence.vectors if passages and evidence.windows else None
        asked = float((windows @ vectors[0]).max()) if windows is not None else 0.0
        said = float((windows @ vectors[1]).max()) if windows is not None else 0.0
        sure = turn.certainty if turn.certainty is not None else 0.5
        return [
            scores[0], scores[0] - (scores[1] if len(scores) > 1 else 0.0), sum(scores) / len(scores), asked, said,
            min(held), sum(held) / len(held), float(not claims), sure, math.log(max(sure, 1e-4)),
            math.log1p(len(answer.split())), float(vectors[0] @ vectors[1]), float(bool(_NUMBER.search(answer))),
            float(answer.rstrip()[-1:] in ".!}"), math.log1p(len(question.split())),
            *self._agreement(answer, turn.second),
        ]  # fmt: skip

    def _agreement(self, answer: str, second: str | None) -> list[float]:
        """How like a second answer is to as much of the first: in meaning, in words, in numbers."""
        if second is None:
            return [0.0, 0.0, 0.0]
        first = " ".join(answer.split()[: max(len(second.split()), 1)])
        vectors = self._embedder.embed([first or " ", second or " "])
        words = [set(_WORD.findall(t.lower())) for t in (first, second)]
        numbers = [set(_DIGITS.findall(t)) for t in (first, second)]
        return [float(vectors[0] @ vectors[1]), *(len(a & b) / max(len(a | b), 1) if a | b else 1.0
                                                  for a, b in (words, numbers))]  # fmt: skip


def of(messages: Sequence[Message]) -> Digest:
    return digest_of([m.to_openai() for m in messages])


def _whole(line: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None  # cut short when the run was stopped
