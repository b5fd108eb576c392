"""Small trained heads, in safetensors: a logistic regression or a small network over features each; `alignment` is that
of facts.

`guardrail_training/train_classifiers.py` trains them; weights/README.md says on what, and how well
they do on data that they were not trained on. At run time they need numpy alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.errors import InputError
from inhouse.text.claims import unwrapped
from inhouse.types import Json

if TYPE_CHECKING:
    from inhouse.types import Matrix

FOLDER = Path(__file__).parent / "weights"
TAGGER = FOLDER / "tagger.safetensors"  # read by `privacy/tagger`
WINDOW_WORDS = 40
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


class Classifier:
    """p = sigmoid(weight . h + bias), by rows; h is z = (x - mean) / scale, or relu(hidden z + hidden_bias) where there
    is a hidden layer. `threshold` is where its rail speaks up."""

    def __init__(self, tensors: dict[str, Any], threshold: float) -> None:
        self._mean, self._scale = tensors["mean"], tensors["scale"]
        self._weight, self._bias = tensors["weight"], float(tensors["bias"][0])
        self._hidden, self._hidden_bias = tensors.get("hidden"), tensors.get("hidden_bias")
        self.threshold = threshold

    def probability(self, rows: Any) -> Matrix:
        """Shape (n,), in [0, 1]; `rows` has a row a case."""
        import numpy as np

        inner = (rows - self._mean) / self._scale
        if self._hidden is not None:
            inner = np.maximum(inner @ self._hidden.T + self._hidden_bias, 0)
        logits = inner @ self._weight + self._bias
        p: Matrix = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
        return p


def quality() -> list[dict[str, Json]]:
    """What each rail reached on public lines that nothing was trained on, as `benchmarks/guardrails.py` wrote it.

    A row a side of a rail: `rail`, `side`, `on` (which lines), `bad` and `good` (how many of each), `recall`,
    `precision`, `false` (share of the good that it took for bad), `chat` (false blocks on ordinary business chat); null
    is what was not measured or does not apply.
    """
    rows: list[dict[str, Json]] = json.loads((FOLDER / "quality.json").read_text(encoding="utf-8"))
    return rows


@lru_cache(maxsize=16)
def classifier(name: str) -> Classifier:
    """The shipped head called `name`.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    return Classifier(*weights_of(name))


def weights_of(name: str) -> tuple[dict[str, Any], float]:
    """What a shipped head was saved as: its tensors, and its threshold.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    file = FOLDER / f"{name}.safetensors"
    try:
        with safe_open(file, framework="numpy") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  it is no dict
            return tensors, float(opened.metadata()["threshold"])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not a head ({error})", "reinstall inhouse, or run guardrail_training/train_classifiers.py"
        ) from error


def windows(text: str) -> list[str]:
    """The text in pieces of some sentences, at most WINDOW_WORDS words each; an order hides in none of them."""
    found: list[list[str]] = []
    for sentence in _SENTENCE.split(unwrapped(text)):
        words = sentence.split()
        for at in range(0, len(words), WINDOW_WORDS):
            piece = words[at : at + WINDOW_WORDS]
            if found and len(found[-1]) + len(piece) <= WINDOW_WORDS:
                found[-1] += piece
            else:
                found.append(list(piece))
    return [" ".join(words) for words in found]


def counts(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[float]:
    """How often each pattern stands in the text, square root, so that the first time counts most."""
    return (min(sum(1 for _ in p.finditer(text)), 9) ** 0.5 for p in patterns)
