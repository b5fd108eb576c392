"""The small trained classifiers in `weights/`: a logistic regression or a small network over named features.

`guardrail_training/train_classifiers.py` trains them. weights/README.md says on what data, and how well they do on data
that they were not trained on. At run time they need NumPy alone. The network of the groundedness rail is in
`groundedness/alignment`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from inhouse.errors import InputError
from inhouse.types import Json, Matrix

FOLDER = Path(__file__).parent / "weights"
TAGGER = FOLDER / "tagger.safetensors"  # read by `privacy/tagger`


class Classifier:
    """p = sigmoid(weight . h + bias), by rows; h is z = (x - mean) / scale, or relu(hidden z + hidden_bias) where there
    is a hidden layer. A rail reports a finding from `threshold` on."""

    def __init__(self, tensors: dict[str, Any], threshold: float) -> None:
        self.tensors = tensors
        self.threshold = threshold

    def probability(self, rows: Any) -> Matrix:
        """Shape (n,), in [0, 1]; `rows` has one row per case, shape (n, features)."""
        import numpy as np

        t = self.tensors
        inner = (rows - t["mean"]) / t["scale"]
        if "hidden" in t:
            inner = np.maximum(inner @ t["hidden"].T + t["hidden_bias"], 0)
        logits = inner @ t["weight"] + float(t["bias"][0])
        p: Matrix = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
        return p


def quality() -> list[dict[str, Json]]:
    """What each rail reached on public data that nothing was trained on, as `benchmarks/guardrails.py --ship` wrote it.

    One row per side of a rail and data set: `rail`, `side`, `on` (the data), `bad` and `good` (how many of each),
    `recall`, `precision`, `false` (share of the good lines that were reported), `chat` (share of ordinary business chat
    that was blocked); null where it was not measured or does not apply.
    """
    rows: list[dict[str, Json]] = json.loads((FOLDER / "quality.json").read_text(encoding="utf-8"))
    return rows


@lru_cache(maxsize=16)
def shipped(name: str, features: tuple[str, ...]) -> Classifier:
    """The classifier of that name in `weights/`.

    Raises:
        InputError: see `read_weights`.
    """
    return Classifier(*read_weights(name, features))


def read_weights(name: str, features: tuple[str, ...]) -> tuple[dict[str, Any], float]:
    """The tensors of a shipped file, and its threshold.

    Args:
        name: of the file, without its ending.
        features: names of the features that the code computes, in their order; the weights must be of the same.

    Raises:
        InputError: the file is missing or damaged, or was trained on other features.
    """
    from safetensors import SafetensorError, safe_open

    file = FOLDER / f"{name}.safetensors"
    hint = "reinstall inhouse, or train it again (guardrail_training/)"
    try:
        with safe_open(file, framework="numpy") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  it is no dict
            metadata = opened.metadata()
            threshold, trained_on = float(metadata["threshold"]), tuple(metadata["features"].split())
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a classifier ({error})", hint) from error
    if trained_on != features:
        differ = sorted(set(trained_on) ^ set(features)) or ["their order"]
        raise InputError(f"{file}: trained on other features than this version computes: {', '.join(differ)}", hint)
    return tensors, threshold


def compiled(patterns: dict[str, str]) -> dict[str, re.Pattern[str]]:
    """The patterns by name, case ignored."""
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in patterns.items()}


def counts(text: str, patterns: Iterable[re.Pattern[str]]) -> Iterator[float]:
    """The square root of how often each pattern occurs, at most 9 times, so that the first occurrence counts most."""
    return (min(sum(1 for _ in p.finditer(text)), 9) ** 0.5 for p in patterns)


def joined(vectors: Matrix, features: Sequence[Sequence[float]]) -> Matrix:
    """The input of a classifier, one row per text: its embedding, then its features."""
    import numpy as np

    return np.concatenate([vectors, np.array(features, dtype=np.float32)], axis=1)
