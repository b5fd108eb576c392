"""The classifier of the groundedness rail: compares a statement, token by token, with the sentences nearest to it.

Decomposable attention (Parikh et al. 2016) over the embedder's token vectors: every token of the statement is compared
with the tokens of the sources that it aligns with. The comparisons are pooled and joined by the features of
`features_of`. The logits of several such networks, of some 110,000 weights each, are averaged.
`guardrail_training/train_groundedness.py` trains them; at run time they need NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from inhouse.guardrails.classifier import read_weights
from inhouse.guardrails.groundedness.features import Features
from inhouse.types import Matrix

MOST_TOKENS = 240  # of all premises


class Projected(NamedTuple):
    """A text's tokens as one network sees them, float16 (tokens, d) each."""

    queries: Matrix  # unit vectors that tokens are aligned by
    values: Matrix  # what aligned tokens are compared by


class Alignment:
    """The probability that a statement is not supported.

    Args:
        tensors: of each network under "0.", "1.", ...; see `_Network`.
        threshold: the probability from which the rail reports a finding.
    """

    def __init__(self, tensors: dict[str, Any], threshold: float) -> None:
        import numpy as np

        members = sorted({key.partition(".")[0] for key in tensors})
        self._networks = [_Network({k.removeprefix(f"{m}."): v for k, v in tensors.items() if k.startswith(f"{m}.")})
                          for m in members]  # fmt: skip
        parts = [n.projection(name) for n in self._networks for name in ("q", "v")]
        self._weight = np.concatenate([weight for weight, _ in parts]).T  # of all networks, for one product
        self._bias = np.concatenate([bias for _, bias in parts])
        self._ends = np.cumsum([len(bias) for _, bias in parts])[:-1]
        self.threshold = threshold

    def project(self, tokens: Matrix) -> list[Projected]:
        """A text's tokens as each network sees them; `tokens` are those of `TokenEmbedder.read`."""
        import numpy as np

        rows = np.split(tokens[1:-1].astype("float32") @ self._weight + self._bias, self._ends, axis=1)
        projected = []
        for queries, values in zip(rows[::2], rows[1::2], strict=True):
            unit = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
            projected.append(Projected(unit.astype("float16"), values.astype("float16")))
        return projected

    def probability(
        self, statement: Sequence[Projected], premises: Sequence[Sequence[Projected]], features: Features
    ) -> float:
        """That the premises do not support the statement, in [0, 1]; 0 where it has no tokens, 1 where they have none.

        Args:
            statement: what `project` returns for it.
            premises: the sentences nearest to it, each as `project` returns it.
            features: `features_of` both.
        """
        import numpy as np

        if not len(statement[0].queries):
            return 0.0
        if not any(len(p[0].queries) for p in premises):
            return 1.0
        logits = [n.logit(statement[k], [p[k] for p in premises], features) for k, n in enumerate(self._networks)]
        return float(1 / (1 + np.exp(-np.clip(sum(logits) / len(logits), -30, 30))))


class _Network:
    def __init__(self, tensors: dict[str, Any]) -> None:
        self._t = {key: value.astype("float32") for key, value in tensors.items()}

    def projection(self, name: str) -> tuple[Matrix, Matrix]:
        """Weight (d, dimensions) and bias (d,) of "q" for queries, or of "v" for values."""
        return self._t[f"{name}.weight"], self._t[f"{name}.bias"]

    def logit(self, statement: Projected, premises: Sequence[Projected], features: Features) -> float:
        import numpy as np

        there = np.concatenate([p.queries for p in premises])[:MOST_TOKENS].astype("float32")
        values = np.concatenate([p.values for p in premises])[:MOST_TOKENS].astype("float32")
        cosines = statement.queries.astype("float32") @ there.T
        shares = np.exp(self._t["temp"] * (cosines - cosines.max(axis=1, keepdims=True)))
        shares /= shares.sum(axis=1, keepdims=True)
        own, other = statement.values.astype("float32"), shares @ values
        nearest = cosines.max(axis=1)[:, None]
        rows = np.concatenate([own, other, own * other, np.abs(own - other), nearest, shares.max(axis=1)[:, None]], 1)
        tokens = self._relu("token.3", self._relu("token.0", rows))
        scaled = (np.asarray(features, dtype=np.float32) - self._t["mean"]) / self._t["scale"]
        pooled = np.concatenate([tokens.mean(axis=0), tokens.max(axis=0), scaled])
        return float(self._linear("out.4", self._relu("out.1", pooled))[0])

    def _linear(self, name: str, x: Matrix) -> Matrix:
        y: Matrix = x @ self._t[f"{name}.weight"].T + self._t[f"{name}.bias"]
        return y

    def _relu(self, name: str, x: Matrix) -> Matrix:
        import numpy as np

        y: Matrix = np.maximum(self._linear(name, x), 0)
        return y


def shipped() -> Alignment:
    """The classifier in `weights/`.

    Raises:
        InputError: its file is missing or damaged, or does not match `Features`.
    """
    return Alignment(*read_weights("groundedness", Features._fields))
