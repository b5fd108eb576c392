"""Logistic regression on a few standardized features, small enough to keep as JSON."""

from __future__ import annotations

from inhouse.types import Numbers, Record

SMALLEST_SCALE = 1e-3


class Logistic(Record):
    """A fitted regression: one mean, scale and weight per feature, and the bias."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float

    def probability(self, rows: Numbers) -> Numbers:
        """The probability of each row, shape (n,); `rows` has shape (n, features)."""
        import numpy as np

        z = (np.asarray(rows) - np.array(self.mean)) / np.array(self.scale)
        p: Numbers = 1 / (1 + np.exp(-(z @ np.array(self.weight) + self.bias)))
        return p

    @classmethod
    def fit(cls, rows: Numbers, labels: Numbers, penalty: float) -> Logistic:
        """The regression with the least log loss; deterministic.

        Args:
            rows: features, shape (n, features).
            labels: 0 or 1, shape (n,).
            penalty: L2 penalty on the weights of the standardized features.
        """
        import numpy as np
        from scipy.optimize import minimize

        mean, scale = rows.mean(0), np.maximum(rows.std(0), SMALLEST_SCALE)
        z = (rows - mean) / scale

        def loss(w: Numbers) -> tuple[float, Numbers]:
            logits = z @ w[:-1] + w[-1]
            error = 1 / (1 + np.exp(-logits)) - labels
            value = (np.logaddexp(0, logits) - labels * logits).mean() + penalty * (w[:-1] ** 2).sum() / 2
            return float(value), np.append(z.T @ error / len(labels) + penalty * w[:-1], error.mean())

        w = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B").x
        weights = tuple(map(float, w[:-1]))
        return cls(mean=tuple(map(float, mean)), scale=tuple(map(float, scale)), weight=weights, bias=float(w[-1]))
