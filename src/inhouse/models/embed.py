"""Sentence embeddings with ONNX Runtime: all-MiniLM-L6-v2, int8, mean-pooled and normalized, without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.types import InputError

if TYPE_CHECKING:
    from inhouse.types import Matrix

WINDOW_TOKENS = 256
BATCH_TOKENS = 512  # what a layer makes of a batch stays in a core's cache: a quarter less time than with 4096


class OnnxEmbedder:
    """An Embedder over a folder with `model.onnx` and `tokenizer.json`.

    Deterministic for a given machine; int8 kernels may differ in the last digits between processors.
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
        options.intra_op_num_threads = 1  # threads take a batch each: sharing every small product costs more
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
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

        rows = [e.ids[: WINDOW_TOKENS - 1] + e.ids[-1:] if len(e.ids) > WINDOW_TOKENS else e.ids
                for e in self._tokenizer.encode_batch_fast(list(texts))]  # fmt: skip
        if not rows:
            return np.zeros((0, getattr(self, "dimensions", 0)), dtype=np.float32)
        batches = _batches([len(row) for row in rows])
        with ThreadPoolExecutor(min(self._threads, len(batches))) as pool:
            parts = pool.map(lambda batch: self._run([rows[i] for i in batch]), batches)
            return np.concatenate(list(parts))[np.argsort(np.concatenate(batches))]

    def _run(self, rows: list[list[int]]) -> Matrix:
        import numpy as np

        width = max(len(r) for r in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for n, row in enumerate(rows):
            ids[n, : len(row)] = row
            mask[n, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, {k: v for k, v in feeds.items() if k in self._inputs})[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(1) / np.maximum(weights.sum(1), 1)
        unit: Matrix = (pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-9)).astype(np.float32)
        return unit


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of rows, those of like length together; longest first, so that the last batches end close together."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    for i in order:
        if not found or lengths[found[-1][0]] * (len(found[-1]) + 1) > BATCH_TOKENS:
            found.append([])
        found[-1].append(i)
    return found
