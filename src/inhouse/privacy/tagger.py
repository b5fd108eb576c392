"""Names of people, places and addresses, word by word: a softmax over hashed features of a word and its neighbors.

spaCy's label is one feature among others, so the tagger finds what spaCy's small model does not: names of other
languages, in lower case, in lists and at the head of a letter. `guardrail_training/train_classifiers.py` trains it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from inhouse.errors import InputError
from inhouse.types import Matrix, Span

CLASSES = ("", "PERSON", "PLACE", "ADDRESS", "ORGANIZATION")
BUCKETS = 1 << 15
SURE = 0.5  # the least probability that a word is part of a name
Entities = Sequence[tuple[int, int, str]]  # spaCy's: start, end, label
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_")


def tokens(text: str) -> list[tuple[str, int, int]]:
    return [(m[0], m.start(), m.end()) for m in _TOKEN.finditer(text)]


def _shape(word: str) -> str:
    if word.isdigit():
        return f"d{min(len(word), 6)}"
    if not word[0].isalpha():
        return word
    case = "X" if word.isupper() and len(word) > 1 else "Xx" if word[0].isupper() else "x"
    return case + ("." if len(word) == 1 else "") + ("" if word.isascii() else "é")


def features(text: str, entities: Entities) -> tuple[list[tuple[str, int, int]], list[list[int]]]:
    """The words of a text, each with start and end, and for each the buckets of its features."""
    words = tokens(text)
    labels = [next((name for a, b, name in entities if a < end and start < b), "-") for _, start, end in words]
    low = [w.lower() for w, _, _ in words]
    shapes = [_shape(w) for w, _, _ in words]
    # Whether it begins a line.
    lines = [n == 0 or "\n" in text[words[n - 1][2] : start] for n, (_, start, _) in enumerate(words)]
    rows = []
    for n in range(len(words)):

        def at(values: Sequence[str], k: int, n: int = n) -> str:
            return values[n + k] if 0 <= n + k < len(values) else "^" if n + k < 0 else "$"

        w, s = low[n], shapes[n]
        own = [
            "bias", f"w={w}", f"s={s}", f"p3={w[:3]}", f"e3={w[-3:]}", f"e2={w[-2:]}", f"l={labels[n]}",
            f"ls={labels[n]},{s}", f"l-1={at(labels, -1)}", f"l+1={at(labels, 1)}", f"w-1={at(low, -1)}",
            f"w+1={at(low, 1)}", f"w-2={at(low, -2)}", f"w+2={at(low, 2)}", f"w-21={at(low, -2)},{at(low, -1)}",
            f"w+12={at(low, 1)},{at(low, 2)}", f"s-1={at(shapes, -1)},{s}", f"s+1={s},{at(shapes, 1)}",
            f"s3={at(shapes, -1)},{s},{at(shapes, 1)}", f"w-1s={at(low, -1)},{s}", f"w+1s={s},{at(low, 1)}",
            f"s-2={at(shapes, -2)},{at(shapes, -1)},{s}", f"s+2={s},{at(shapes, 1)},{at(shapes, 2)}",
            f"line={lines[n]},{s},{at(shapes, 1)}", f"wl-1={at(low, -1)},{labels[n]}",
        ]  # fmt: skip
        rows.append([zlib.crc32(f.encode()) % BUCKETS for f in own])
    return words, rows


class Tagger:
    """The trained tagger; `weights` has one row per bucket and one column per class."""

    def __init__(self, weights: Matrix) -> None:
        self._weights = weights

    def find(self, text: str, entities: Entities) -> list[Span]:
        """Names and places; neighboring words of one class are joined."""
        import numpy as np

        words, rows = features(text, entities)
        if not words:
            return []
        logits = np.stack([self._weights[r].sum(0) for r in rows])
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        spans: list[Span] = []
        for (word, start, end), chances in zip(words, p, strict=True):
            best = int(chances.argmax())
            if best == 0 and 1 - chances[0] > SURE:
                best = int(chances[1:].argmax()) + 1
            kind = CLASSES[best]
            if not kind:
                continue
            gap = text[spans[-1].end : start] if spans else "x"
            if spans and spans[-1].kind == kind and (not gap.strip(" .,'-/#") and "\n" not in gap):
                spans[-1] = Span(spans[-1].start, end, kind)
            elif word[0].isalnum():
                spans.append(Span(start, end, kind))
        return spans


@lru_cache(maxsize=2)
def read_tagger(file: Path) -> Tagger:
    """The tagger with the weights in `file`.

    Raises:
        InputError: the file is missing or damaged.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return Tagger(opened.get_tensor("weights").astype(np.float32))
    except (OSError, SafetensorError) as error:
        hint = "reinstall inhouse, or run guardrail_training/train_classifiers.py"
        raise InputError(f"{file}: not a tagger ({error})", hint) from error
