"""The head of the rail facts: a statement read beside the sentences that come nearest to it, word by word.

Decomposable attention (Parikh et al. 2016) over what the embedder made of each token: every token of the statement is
held against those of the sources that it goes with, and what they make of one another is added up, beside the signs
that `signs_of` finds. Several such networks of some 110,000 weights are asked and their logits averaged.
`guardrail_training/train_groundedness.py` trains them; at run time they need numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from inhouse.guardrails.classifier import weights_of

if TYPE_CHECKING:
    from inhouse.types import Matrix

MOST_TOKENS = 240  # of all premises


class Projected(NamedTuple):
    """A text's tokens as one network compares them (unit length) and as it weighs them, float16 (tokens, d) each."""

    compared: Matrix
    weighed: Matrix


class Alignment:
    """Says how likely a statement is not carried. `threshold` is where the rail speaks up.

    Args:
        tensors: of each network under "0.", "1.", ...; see `_Network`.
        threshold: of the probability.
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
        """A text's tokens made ready, by network; `tokens` as `TokenEmbedder.read` gives them."""
        import numpy as np

        rows = np.split(tokens[1:-1].astype("float32") @ self._weight + self._bias, self._ends, axis=1)
        found = []
        for compared, weighed in zip(rows[::2], rows[1::2], strict=True):
            unit = compared / np.maximum(np.linalg.norm(compared, axis=1, keepdims=True), 1e-12)
            found.append(Projected(unit.astype("float16"), weighed.astype("float16")))
        return found

    def probability(
        self, statement: Sequence[Projected], premises: Sequence[Sequence[Projected]], signs: Sequence[float]
    ) -> float:
        """That the premises do not carry the statement, in [0, 1]; 0 where it says nothing, 1 where they do not.

        Args:
            statement: as `project` gives it.
            premises: the sentences nearest to it, each as `project` gives it.
            signs: `signs_of` of both.
        """
        import numpy as np

        if not len(statement[0].compared):
            return 0.0
        if not any(len(p[0].compared) for p in premises):
            return 1.0
        logits = [n.logit(statement[k], [p[k] for p in premises], signs) for k, n in enumerate(self._networks)]
        return float(1 / (1 + np.exp(-np.clip(sum(logits) / len(logits), -30, 30))))


class _Network:
    def __init__(self, tensors: dict[str, Any]) -> None:
        self._t = {key: value.astype("float32") for key, value in tensors.items()}

    def projection(self, name: str) -> tuple[Matrix, Matrix]:
        """Weight (d, dimensions) and bias (d,) of "q", what tokens are compared by, or of "v", what they weigh."""
        return self._t[f"{name}.weight"], self._t[f"{name}.bias"]

    def logit(self, statement: Projected, premises: Sequence[Projected], signs: Sequence[float]) -> float:
        import numpy as np

        there = np.concatenate([p.compared for p in premises])[:MOST_TOKENS].astype("float32")
        weighed = np.concatenate([p.weighed for p in premises])[:MOST_TOKENS].astype("float32")
        likeness = statement.compared.astype("float32") @ there.T
        shares = np.exp(self._t["temp"] * (likeness - likeness.max(axis=1, keepdims=True)))
        shares /= shares.sum(axis=1, keepdims=True)
        own, other = statement.weighed.astype("float32"), shares @ weighed
        nearest = likeness.max(axis=1)[:, None]
        rows = np.concatenate([own, other, own * other, np.abs(own - other), nearest, shares.max(axis=1)[:, None]], 1)
        tokens = self._relu("token.3", self._relu("token.0", rows))
        marked = (np.asarray(signs, dtype=np.float32) - self._t["mean"]) / self._t["scale"]
        pooled = np.concatenate([tokens.mean(axis=0), tokens.max(axis=0), marked])
        return float(self._linear("out.4", self._relu("out.1", pooled))[0])

    def _linear(self, name: str, x: Matrix) -> Matrix:
        found: Matrix = x @ self._t[f"{name}.weight"].T + self._t[f"{name}.bias"]
        return found

    def _relu(self, name: str, x: Matrix) -> Matrix:
        import numpy as np

        found: Matrix = np.maximum(self._linear(name, x), 0)
        return found


def shipped() -> Alignment:
    """The head as it comes with the package.

    Raises:
        InputError: its file is damaged.
    """
    return Alignment(*weights_of("groundedness"))
