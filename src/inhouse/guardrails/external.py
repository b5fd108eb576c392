"""Rails over sequence classifiers that others trained: a folder in the format of Hugging Face, with `config.json`,
`tokenizer.json`, and `model.onnx` or `model.safetensors`.

ONNX needs what inhouse installs anyway; safetensors needs the extra `train` (transformers and PyTorch). Nothing is
downloaded, and no code of the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from inhouse.errors import InputError
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.guardrails.injection.jailbreak import Jailbreak, without_wishes
from inhouse.guardrails.toxicity import Toxicity
from inhouse.text.cache import VECTORS, CachedEmbedder, Recent
from inhouse.text.sentences import windows
from inhouse.types import Matrix, SupportScorer

BATCH = 16
MOST_TOKENS = 512
WINDOW_WORDS = 250  # of a text, so that a window rarely has more tokens than the model reads
ONNX_FILES = ("model.onnx", "onnx/model.onnx")
BAD = ("toxic", "toxicity", "injection", "jailbreak", "unsafe", "malicious", "attack", "harmful", "offensive", "hate",
       "hateful", "abusive", "insult", "prompt_injection", "bad")  # fmt: skip
SUPPORTED = ("entailment", "entailed", "supported", "supports", "support", "consistent", "grounded", "factual")
Text = str | tuple[str, str]
_Run = Callable[[dict[str, Any]], Matrix]


class SequenceClassifier:
    """A classifier of texts, or of pairs of them.

    Args:
        folder: has the files above.
        names: of the label whose probability is wanted, in lower case; without one of them LABEL_1 of two is taken.
        label: overrides them.
        threshold: from which probability a rail reports.

    Raises:
        InputError: a file is missing or damaged, or no label fits.
    """

    def __init__(self, folder: Path, names: Sequence[str], label: str = "", threshold: float = 0.5) -> None:
        from tokenizers import Tokenizer

        config = _config(folder)
        self.threshold = threshold
        self._tokenizer = Tokenizer.from_file(str(_file(folder, "tokenizer.json")))
        most = min(int(config.get("max_position_embeddings", MOST_TOKENS)), MOST_TOKENS)
        self._tokenizer.enable_truncation(most - 2 * (config.get("model_type") in ("roberta", "xlm-roberta")))
        self._tokenizer.enable_padding(pad_id=int(config.get("pad_token_id") or 0))
        self._several = config.get("problem_type") == "multi_label_classification"
        labels = {int(k): str(v) for k, v in (config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}).items()}
        self._label = label_of(labels, names, label, folder)
        onnx = next((folder / name for name in ONNX_FILES if (folder / name).is_file()), None)
        self._run = _onnx(onnx) if onnx else _safetensors(folder)

    def probability(self, texts: Sequence[Text]) -> Matrix:
        """The probability of the label for each text, float32, shape (len(texts),)."""
        import numpy as np

        found = np.zeros(len(texts), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]) if isinstance(texts[n], str) else 0)
        for at in range(0, len(order), BATCH):
            some = order[at : at + BATCH]
            read = self._tokenizer.encode_batch([texts[n] for n in some])
            logits = self._run({
                "input_ids": np.array([e.ids for e in read], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in read], dtype=np.int64),
                "token_type_ids": np.array([e.type_ids for e in read], dtype=np.int64),
            })  # fmt: skip
            found[some] = self._of(np.asarray(logits, dtype=np.float32))
        return found

    def _of(self, logits: Matrix) -> Matrix:
        import numpy as np

        if self._several or logits.shape[1] == 1:
            p = 1 / (1 + np.exp(-np.clip(logits[:, self._label], -30, 30)))
        else:
            p = np.exp(logits - logits.max(1, keepdims=True))
            p = p[:, self._label] / p.sum(1)
        return np.asarray(p, dtype=np.float32)


@lru_cache(maxsize=8)
def classifier(folder: Path, names: tuple[str, ...], label: str, threshold: float) -> SequenceClassifier:
    """The classifier of a folder, loaded once.

    Raises:
        InputError: see `SequenceClassifier`.
    """
    return SequenceClassifier(folder, names, label, threshold)


def label_of(labels: dict[int, str], names: Sequence[str], label: str, folder: Path) -> int:
    """The index of the label: `label`, or one of `names`, or the only one, or LABEL_1 of two.

    Raises:
        InputError: none fits.
    """
    by_name = {text.strip().lower().replace(" ", "_"): n for n, text in labels.items()}
    usual = [*names, "label_1"] if len(labels) == 2 else names
    for name in [label.strip().lower().replace(" ", "_")] if label else usual:
        if name in by_name:
            return by_name[name]
    if not label and len(labels) == 1:
        return next(iter(labels))
    listed = ", ".join(labels.values())
    raise InputError(f"{folder}: cannot tell which label to use among {listed}", "set the key that ends in _label")


def _file(folder: Path, name: str) -> Path:
    file = folder / name
    if not file.is_file():
        hint = "a classifier is a folder with config.json, tokenizer.json, and model.onnx or model.safetensors"
        raise InputError(f"{file}: file not found", hint)
    return file


def _config(folder: Path) -> dict[str, Any]:
    file = _file(folder, "config.json")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not JSON ({error})") from error
    return config if isinstance(config, dict) else {}


def _onnx(file: Path) -> _Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a fork (see `host`) would lack other threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    return lambda inputs: session.run(None, {k: v for k, v in inputs.items() if k in wanted})[0]


def _safetensors(folder: Path) -> _Run:
    _file(folder, "model.safetensors")
    try:
        import torch
        from transformers import AutoModelForSequenceClassification
    except ImportError as error:
        hint = "pip install 'inhouse[train]', or convert the model to model.onnx"
        raise InputError(f"{folder}: safetensors need transformers", hint) from error
    load = AutoModelForSequenceClassification.from_pretrained
    model = load(folder, local_files_only=True, use_safetensors=True).eval()
    types = ["token_type_ids"] if hasattr(model.config, "type_vocab_size") else []
    wanted = {"input_ids", "attention_mask", *types}

    def run(inputs: dict[str, Any]) -> Matrix:
        with torch.inference_mode():
            tensors = {k: torch.from_numpy(v) for k, v in inputs.items() if k in wanted}
            return model(**tensors).logits.float().numpy()  # type: ignore[no-any-return]

    return run


class ModelToxicity(Toxicity):
    """The rail toxicity over a sequence classifier."""

    def __init__(self, model: SequenceClassifier) -> None:
        self._model = self._classifier = model  # type: ignore[assignment]

    def score(self, text: str) -> float:
        return float(self._model.probability(windows(text, WINDOW_WORDS) or [text]).max())

    def probability_of(self, text: str) -> float:
        return self.score(text)


class ModelJailbreak(Jailbreak):
    """The rail injection on the user's side over a sequence classifier."""

    def __init__(self, model: SequenceClassifier) -> None:
        self._model = self._classifier = model  # type: ignore[assignment]
        self._scores: Recent[float] = Recent(VECTORS)

    def probability_of(self, text: str) -> float:
        return self.score([text])

    def _score(self, text: str) -> float:
        parts = windows(without_wishes(text), WINDOW_WORDS)
        return float(self._model.probability(parts).max()) if parts else 0.0


class ModelGroundedness(Groundedness):
    """The rail groundedness over a classifier of entailment: premise, then hypothesis. Numbers and names that the
    sources rule out are still reported."""

    def __init__(
        self, embedder: CachedEmbedder, model: SequenceClassifier, statements: SupportScorer, min_support: float
    ) -> None:
        self._embedder = embedder
        self._model = model
        self._statements = statements
        self._min_support = min_support

    def _supported(self, statement: str, evidence: Evidence) -> float:
        premises = evidence.premises(statement)
        pairs: list[Text] = [(" ".join(premises), statement), *((p, statement) for p in premises[:2])]
        return float(self._model.probability(pairs).max())
