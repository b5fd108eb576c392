"""Sentence embeddings with ONNX Runtime: all-MiniLM-L6-v2, int8, mean-pooled and normalized, without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.errors import InputError

if TYPE_CHECKING:
    from inhouse.types import Matrix

WINDOW_TOKENS = 256
INT8 = "model.int8.onnx"


class OnnxEmbedder:
    """An Embedder over a folder with `tokenizer.json` and `model.onnx`, or its int8 form where that is there.

    Deterministic for a given machine; the last digits may differ between processors.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        for name in ("model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder / name}: not there", "an embedder is a folder with model.onnx and tokenizer.json"
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # threads take a text each: sharing every small product costs more
        options.log_severity_level = 3
        smaller = folder / INT8
        # That fusion's kernel takes a fifth of the time on the machines measured; without it the result is the same.
        self._session = onnxruntime.InferenceSession(
            str(smaller if smaller.is_file() else folder / "model.onnx"), options, providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )  # fmt: skip
        self._threads = threads or os.cpu_count() or 1
        self._inputs = {i.name for i in self._session.get_inputs()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.name = folder.name
        self.dimensions = int(self.embed(["size"]).shape[1])

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Float32 unit vectors (len(texts), dimensions); texts beyond 256 tokens are cut."""
        import numpy as np

        found = [vector for vector, _ in self.read(texts)]
        return np.stack(found) if found else np.zeros((0, self.dimensions), dtype=np.float32)

    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        """Of each text its unit vector, and what the model makes of its tokens: float32 (tokens, dimensions), the
        special ones at both ends; the vector is their mean.

        Each text is run by itself, so that its vector does not depend on its neighbours: what int8 rounds by is taken
        from all of a run. With a text a core at a time that is as fast as batches.
        """
        rows = [e.ids[: WINDOW_TOKENS - 1] + e.ids[-1:] if len(e.ids) > WINDOW_TOKENS else e.ids
                for e in self._tokenizer.encode_batch_fast(list(texts))]  # fmt: skip
        if len(rows) < 2:
            return [self._run(row) for row in rows]
        with ThreadPoolExecutor(min(self._threads, len(rows))) as pool:
            return list(pool.map(self._run, rows))

    def _run(self, row: list[int]) -> tuple[Matrix, Matrix]:
        import numpy as np

        ids = np.array([row], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        hidden: Matrix = self._session.run(None, {k: v for k, v in feeds.items() if k in self._inputs})[0][0]
        mean = hidden.mean(axis=0)
        unit: Matrix = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
        return unit, hidden
