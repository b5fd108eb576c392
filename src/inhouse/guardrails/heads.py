"""Small trained heads: a logistic regression over features each (`alignment` holds that of facts), in safetensors.

`benchmarks/train_heads.py` trains them; heads/README.md says on what, and how well they do on data that they were not
trained on. At run time they need numpy alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from inhouse.guardrails.wording import unwrapped
from inhouse.types import InputError, Json, TokenEmbedder

if TYPE_CHECKING:
    from inhouse.types import Matrix

FOLDER = Path(__file__).parent / "heads"
WINDOW_WORDS = 40
REMEMBERED = 5000
READ = 2000  # texts, some 20 kB each
FEW = 4  # texts that are read whenever they are embedded: several rails want the same sentence
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")


class Head:
    """p = sigmoid(weight . (x - mean) / scale + bias), by rows. `threshold` is where its rail speaks up."""

    def __init__(self, tensors: dict[str, Any], threshold: float) -> None:
        self._mean, self._scale = tensors["mean"], tensors["scale"]
        self._weight, self._bias = tensors["weight"], float(tensors["bias"][0])
        self.threshold = threshold

    def probability(self, rows: Any) -> Matrix:
        """Shape (n,), in [0, 1]; `rows` has a row a case."""
        import numpy as np

        logits = (rows - self._mean) / self._scale @ self._weight + self._bias
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
def head(name: str) -> Head:
    """The shipped head called `name`.

    Raises:
        InputError: there is none, or its file is damaged.
    """
    return Head(*tensors_of(name))


def tensors_of(name: str) -> tuple[dict[str, Any], float]:
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
            f"{file}: not a head ({error})", "reinstall inhouse, or run benchmarks/train_heads.py"
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


class Remembered:
    """A TokenEmbedder that keeps the vectors of what it saw last: passages come again, and so do greetings. What was
    made of the tokens is larger, and kept of fewer texts."""

    def __init__(self, embedder: TokenEmbedder, most: int = REMEMBERED, most_read: int = READ) -> None:
        self._embedder = embedder
        self._most, self._most_read = most, most_read
        self._vectors: dict[str, Matrix] = {}
        self._tokens: dict[str, Matrix] = {}
        self._lock = Lock()  # rails run in threads, and several want the same text
        self.name, self.dimensions = embedder.name, embedder.dimensions

    def embed(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        with self._lock:
            known = self._vectors
            unseen = [t for t in dict.fromkeys(texts) if t not in known]
            if unseen and len(unseen) <= FEW:
                known = self._read(unseen)[0]
            elif unseen:
                if len(known) > self._most:
                    known = self._vectors = {}
                    unseen = list(dict.fromkeys(texts))
                known.update(zip(unseen, self._embedder.embed(unseen), strict=True))
            found = [known[t] for t in texts if t in known]
        return np.stack(found) if len(found) == len(texts) > 0 else self._embedder.embed(texts)

    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        with self._lock:
            vectors, tokens = self._read(texts)
        return [(vectors[t], tokens[t]) for t in texts]

    def _read(self, texts: Sequence[str]) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
        """The memories, with the texts in them."""

        def unseen() -> list[str]:
            return [t for t in dict.fromkeys(texts) if t not in self._tokens or t not in self._vectors]

        if unseen() and len(self._tokens) > self._most_read:
            self._tokens = {}
        if unseen() and len(self._vectors) > self._most:
            self._vectors = {}
        if new := unseen():
            found = self._embedder.read(new)
            self._vectors.update(zip(new, (v for v, _ in found), strict=True))
            self._tokens.update(zip(new, (t.astype("float16") for _, t in found), strict=True))
        return self._vectors, self._tokens

    def count_tokens(self, text: str) -> int:
        return self._embedder.count_tokens(text)


def counts(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[float]:
    """How often each pattern stands in the text, square root, so that the first time counts most."""
    return (min(sum(1 for _ in p.finditer(text)), 9) ** 0.5 for p in patterns)
