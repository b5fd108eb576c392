"""Which of several classes a text belongs to, how sure that is, and whether it belongs to any.

One linear machine for each class (`machine`) over a text's embedding and its hashed n-grams (`grams`); to its value
the cosine to the nearest example of the class is added. What a text scores for belonging to any class is the sum of two
standardized numbers: the highest value of a machine, and the cosine to the nearest example of all. Together they find
texts out of scope better than either, and than a class of such texts does (docs/benchmarks.md). Probabilities and the
threshold come from examples that were held out.

A classifier is two files: classifier.npz has arrays, classifier.json everything else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

from pydantic import Field

from inhouse.errors import InputError
from inhouse.files import replacing, write_text
from inhouse.routing import machine
from inhouse.routing.grams import Vocabulary, learned, weighted
from inhouse.types import Array, Embedder, Estimate, Json, Matrix, Record

ARRAYS, REST = "classifier.npz", "classifier.json"
EMBEDDING = 2.0  # weight of the embedding beside the words and the pieces of words, which have length 1
NEAREST = 1.0  # weight of the cosine beside the value of a machine, where the best class is chosen
FOLDS = 5
MOST_FOLDED = 100_000  # examples times classes; of more, a fifth of the examples is held out once
SHARPNESS = 0.3  # temperature that the fit stays near where examples are few
SMALLEST_SPREAD = 0.02
_WIDTH = 1.0  # of the prior of the logarithm of the temperature
_Z = 1.959964  # of a 95 % interval


class Prediction(Record):
    """What a text belongs to.

    Attributes:
        name: the best class, whether or not the text belongs to any; "" if none was a candidate.
        probability: that it is this one, if it is any of the candidates.
        probabilities: of all candidates.
        in_scope: whether `score` reaches the threshold.
        score: the sum of the standardized `margin` and `nearest`.
        margin: the highest value of a machine; 1 for a text well inside, -1 for one well outside.
        nearest: cosine to the nearest example of a candidate.
        example: that example, if it may be shown.
    """

    name: str
    probability: float = 0.0
    probabilities: dict[str, float] = Field(default_factory=dict)
    in_scope: bool = False
    score: float = 0.0
    margin: float = 0.0
    nearest: float = 0.0
    example: str = ""


class Scale(Record):
    """How values become probabilities and scores: means and standard deviations of held-out examples."""

    temperature: float = 1.0
    margin: tuple[float, float] = (0.0, 1.0)
    nearest: tuple[float, float] = (0.6, 0.15)
    threshold: float = -2.0

    def score(self, margin: Array, nearest: Array) -> Array:
        total: Array = (margin - self.margin[0]) / self.margin[1] + (nearest - self.nearest[0]) / self.nearest[1]
        return total


class Report(Record):
    """What held-out examples say of a classifier.

    Attributes:
        examples: of each class.
        accuracy: share of the held-out examples whose class is found, None if none could be held out.
        false_rejects: share of them that score below the threshold.
        threshold: see `Scale`.
        confusion: counts of (class, what was found instead), most frequent first.
    """

    examples: dict[str, int]
    accuracy: Estimate | None = None
    false_rejects: float = 0.0
    threshold: float = 0.0
    confusion: tuple[tuple[str, str, int], ...] = ()


class TextClassifier:
    """A fitted classifier. `vectors` and `owners` are of the examples: unit vectors, and positions in `names`."""

    def __init__(
        self, names: Sequence[str], vocabulary: Vocabulary, weights: Matrix, vectors: Matrix, owners: Any,
        shown: Sequence[str], scale: Scale, embedder: Embedder,
    ) -> None:  # fmt: skip
        self.names = tuple(names)
        self.scale = scale
        self._vocabulary, self._weights = vocabulary, weights
        self._vectors, self._owners, self._shown = vectors, owners, tuple(shown)
        self._embedder = embedder

    def predict(self, text: str, among: Collection[str] | None = None) -> Prediction:
        """The class of a text; `among` are the candidates, None for all classes."""
        return self.predictions([text], among)[0]

    def predictions(self, texts: Sequence[str], among: Collection[str] | None = None) -> list[Prediction]:
        """The same for several texts."""
        import numpy as np

        known = np.array([among is None or name in among for name in self.names])
        if not known.any():
            return [Prediction(name="") for _ in texts]
        texts = [_readable(text) for text in texts]
        vectors = self._embedder.embed(texts, query=True)
        return [self._one(text, vector, np.flatnonzero(known)) for text, vector in zip(texts, vectors, strict=True)]

    def _one(self, text: str, vector: Matrix, among: Any) -> Prediction:
        import numpy as np

        places, own = weighted(text, self._vocabulary)
        words = len(self._vocabulary.hashes)
        values = own @ self._weights[places] + _dense(vector[None])[0] @ self._weights[words:]
        cosines = self._vectors @ vector
        if len(among) < len(self.names):
            cosines = np.where(np.isin(self._owners, among), cosines, -1)
        values, at = values[among].astype(np.float64), int(cosines.argmax())
        chosen = values + NEAREST * _by_class(cosines, self._owners, len(self.names))[among]
        likely, best = _softmax(chosen / self.scale.temperature), int(chosen.argmax())
        margin, nearest = values.max(), cosines[at]
        score = float(self.scale.score(margin, nearest))
        return Prediction(
            name=self.names[among[best]], probability=float(likely[best]), score=score, margin=float(margin),
            probabilities={self.names[k]: float(p) for k, p in zip(among, likely, strict=True)},
            in_scope=score >= self.scale.threshold, nearest=float(nearest), example=self._shown[at],
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        import numpy as np

        arrays = {
            "hashes": self._vocabulary.hashes, "idf": self._vocabulary.idf, "owners": self._owners.astype(np.int32),
            "weights": self._weights.astype(np.float16), "vectors": self._vectors.astype(np.float16),
        }  # fmt: skip
        with replacing(folder / ARRAYS) as partial, partial.open("wb") as out:
            np.savez(out, **arrays)
        rest = {"names": self.names, "shown": self._shown, "scale": self.scale.model_dump(),
                "embedder": self._embedder.name}  # fmt: skip
        write_text(folder / REST, json.dumps(rest, ensure_ascii=False), errors="backslashreplace")

    @classmethod
    def load(cls, folder: Path, embedder: Embedder) -> TextClassifier:
        """The classifier in a folder.

        Raises:
            InputError: a file is missing or damaged, or another embedder was used.
        """
        import numpy as np

        try:
            rest: Json = json.loads((folder / REST).read_text(encoding="utf-8"))
            with (folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                vocabulary = Vocabulary(arrays["hashes"], arrays["idf"])
                weights, vectors = (arrays[name].astype(np.float32) for name in ("weights", "vectors"))
                owners = arrays["owners"]
            scale, embedded = Scale.model_validate(rest["scale"]), str(rest["embedder"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise InputError(f"{folder}: not a classifier ({error})", "delete the folder and train again") from error
        if embedded != embedder.name:
            raise InputError(f"{folder}: was trained with the embedder {embedded}, not {embedder.name}", "train again")
        return cls(rest["names"], vocabulary, weights, vectors, owners, rest["shown"], scale, embedder)


def train(
    texts: Sequence[str], labels: Sequence[str], embedder: Embedder, max_false_rejects: float = 0.05, seed: int = 7,
    shown: Collection[str] | None = None,
) -> tuple[TextClassifier, Report]:  # fmt: skip
    """A classifier and what held-out examples say of it; deterministic on one machine.

    Args:
        texts: examples.
        labels: their classes; a single class is allowed, which all texts in scope then belong to.
        embedder: makes the vectors; the classifier keeps it.
        max_false_rejects: share of the texts in scope that may score below the threshold.
        seed: of what is held out.
        shown: the examples that a prediction may show; None for all.

    Raises:
        InputError: there are no examples.
    """
    import numpy as np

    rows = list(dict.fromkeys(zip(map(_readable, texts), labels, strict=True)))
    rows = [(text, label) for text, label in rows if text.strip()]
    if not rows:
        raise InputError("there are no examples to learn from", "write a few messages for each class")
    names = sorted({label for _, label in rows})
    owners = np.array([names.index(label) for _, label in rows])
    vocabulary, grams = learned([text for text, _ in rows])
    vectors = embedder.embed([text for text, _ in rows], query=True)
    data = _Data(grams, _dense(vectors), vectors, owners, len(names))
    held = [data.held_out(fold) for fold in _folds(owners, seed)]
    scale, report = _measured(names, owners, held, max_false_rejects)
    kept = [text if shown is None or text in shown else "" for text, _ in rows]
    fitted = data.fit(np.arange(len(rows)), held[0].weights if held else None)
    return TextClassifier(names, vocabulary, fitted, vectors, owners, kept, scale, embedder), report


class _Data:
    """Examples as features."""

    def __init__(self, grams: Any, dense: Matrix, vectors: Matrix, owners: Any, classes: int) -> None:
        self.grams, self.dense, self.vectors, self.owners, self.classes = grams, dense, vectors, owners, classes

    def fit(self, rows: Any, begin: Matrix | None = None) -> Matrix:
        import numpy as np

        if self.classes == 1:  # there is nothing to tell it from: only the nearest example counts
            return np.zeros((self.grams.shape[1] + self.dense.shape[1], 1), dtype=np.float32)
        return machine.fit(self.grams[rows], self.dense[rows], self.owners[rows], self.classes, begin)

    def held_out(self, fold: Any) -> _Held:
        """What a classifier of the other rows says of those of a fold, without rows whose class has no others."""
        import numpy as np

        rest = np.setdiff1d(np.arange(len(self.owners)), fold)
        fold = fold[np.isin(self.owners[fold], self.owners[rest])]
        weights, words = self.fit(rest), self.grams.shape[1]
        values = self.grams[fold] @ weights[:words] + self.dense[fold] @ weights[words:]
        values[:, ~np.isin(np.arange(self.classes), self.owners[rest])] = -np.inf
        others, owners = self.vectors[rest], self.owners[rest]
        cosines = [_by_class(others @ self.vectors[n], owners, self.classes) for n in fold]
        nearest = np.array(cosines).reshape(values.shape)
        return _Held(fold, values.astype(np.float64), nearest.astype(np.float64), weights)


class _Held(NamedTuple):
    """Held-out rows, their values, and their cosines to the nearest example of each class: shape (n, classes); and the
    weights that gave the values."""

    rows: Any
    values: Array
    nearest: Array
    weights: Matrix


def _by_class(cosines: Matrix, owners: Any, classes: int) -> Matrix:
    """The highest cosine to an example of each class; -1 for classes without one."""
    import numpy as np

    highest = np.full(classes, -1, dtype=np.float32)
    np.maximum.at(highest, owners, cosines)
    return highest


def _folds(owners: Any, seed: int) -> list[Any]:
    """Parts of the rows, each with about the same share of every class; none if no class has two rows."""
    import numpy as np

    counts = np.bincount(owners)
    folds = min(FOLDS, int(counts.max()))
    if folds < 2:
        return []
    parts = np.zeros(len(owners), dtype=int)
    drawn = np.random.default_rng(seed)
    for k in range(len(counts)):
        own = drawn.permutation(np.flatnonzero(owners == k))
        parts[own] = (np.arange(len(own)) + k) % folds
    each = [np.flatnonzero(parts == fold) for fold in range(folds)]
    return each[:1] if len(owners) * len(counts) > MOST_FOLDED else each


def _measured(names: Sequence[str], owners: Any, held: Sequence[_Held], most: float) -> tuple[Scale, Report]:
    import numpy as np

    examples = {name: int((owners == k).sum()) for k, name in enumerate(names)}
    rows = np.concatenate([part.rows for part in held]) if held else np.zeros(0, dtype=int)
    if len(rows) < 2:
        return Scale(), Report(examples=examples, threshold=Scale().threshold)
    values, cosines = (np.concatenate(own) for own in zip(*((p.values, p.nearest) for p in held), strict=True))
    chosen, margin, nearest = values + NEAREST * cosines, values.max(1), cosines.max(1)
    found, truth = chosen.argmax(1), owners[rows]
    scale = Scale(temperature=_temperature(chosen, truth), margin=_spread(margin), nearest=_spread(nearest))
    scores = np.sort(scale.score(margin, nearest))
    scale = scale.model_copy(update={"threshold": threshold(scores, most)})
    wrong = Counter((names[a], names[b]) for a, b in zip(truth, found, strict=True) if a != b)
    report = Report(
        examples=examples, accuracy=share(int((truth == found).sum()), len(rows)), threshold=scale.threshold,
        false_rejects=float((scores < scale.threshold).mean()),
        confusion=tuple((a, b, n) for (a, b), n in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))),
    )  # fmt: skip
    return scale, report


def threshold(scores: Array, most: float) -> float:
    """The threshold below which at most the share `most` of new texts like those of the sorted `scores` are expected.

    With n scores it is the k-th smallest, k = floor(most * (n + 1)), as in conformal prediction; where n is too small
    for that, the lower bound of a normal prediction interval, if it is below all of them. Two scores at least.
    """
    from scipy.stats import t

    n = len(scores)
    if k := int(most * (n + 1)):
        return float(scores[k - 1])
    bound = scores.mean() - t.ppf(1 - most, n - 1) * max(float(scores.std(ddof=1)), 0.1) * (1 + 1 / n) ** 0.5
    return float(min(bound, scores[0]))


def share(right: int, n: int) -> Estimate:
    """A share with its 95 % interval (Wilson 1927); `n` is at least 1."""
    p, spread = right / n, _Z * _Z / n
    middle = (p + spread / 2) / (1 + spread)
    half = (_Z / (1 + spread)) * (p * (1 - p) / n + spread / (4 * n)) ** 0.5
    return Estimate(mean=p, low=max(middle - half, 0.0) if right else 0.0, high=min(middle + half, 1.0), n=n)


def _temperature(values: Array, truth: Any) -> float:
    """The temperature with the least log loss, held near the usual one where examples are few."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    top = np.where(np.isfinite(values), values, -1e9)

    def loss(log: float) -> float:
        likely = _softmax(top / np.exp(log))[np.arange(len(truth)), truth]
        prior = (log - np.log(SHARPNESS)) ** 2 / (2 * _WIDTH**2)
        return float(prior - np.log(np.maximum(likely, 1e-12)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 2.0), method="bounded").x))


def _softmax(values: Array) -> Array:
    import numpy as np

    raised = np.exp(values - values.max(-1, keepdims=True))
    likely: Array = raised / raised.sum(-1, keepdims=True)
    return likely


def _readable(text: str) -> str:
    """The text without halves of surrogate pairs, which no tokenizer reads."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _spread(values: Array) -> tuple[float, float]:
    return float(values.mean()), max(float(values.std()), SMALLEST_SPREAD)


def _dense(vectors: Matrix) -> Matrix:
    import numpy as np

    return np.hstack([EMBEDDING * vectors, np.ones((len(vectors), 1), dtype=np.float32)]).astype(np.float32)
