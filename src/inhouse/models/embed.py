"""Sentence embeddings with ONNX Runtime, and the conversion of a model to int8.

Any model of the BERT kind works whose folder is laid out as Hugging Face and sentence-transformers do it. How the
states of the tokens become one vector, and what is put before a question and before a passage, is read from the
folder's files, and can be set in the project file.

int8 rounds the inputs of matrix products as well as the weights, which halves the time. Only seven bits of the range
are used ("reduce range"), so that processors that add 8-bit products in 16 bits do not overflow and all processors
compute the same integers. Cosines to the float vectors are at least .986, .992 on average.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from inhouse import process
from inhouse.errors import InputError
from inhouse.types import Json, Matrix, Record

WINDOW_TOKENS = 256
SPARE_TOKENS = 8  # special tokens, and pieces of words that become more at the edge of a part
MOST_TOKENS = 512  # of models that read more: time grows with the square, and no chunk is longer
PIECE_CHARS = 10_000  # of a text that are read at once
INT8 = "model.int8.onnx"
AUTO = "auto"
MODELS = (INT8, "model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_int8.onnx")
HINT = "an embedder is a folder with model.onnx or onnx/model.onnx, and tokenizer.json"
Pooling = Literal["mean", "cls", "last"]
# What the authors of models prescribe whose folders do not say it, by the name of the folder.
FAMILIES = (
    (r"(?:^|[-_])e5[-_](?:small|base|large)(?!.*instruct)", "query: ", "passage: "),
    (r"(?:^|[-_])bge-(?:small|base|large)-en", "Represent this sentence for searching relevant passages: ", ""),
    (r"(?:^|[-_])bge-(?:small|base|large)-zh", "为这个句子生成表示以用于检索相关文章：", ""),
    (r"(?:^|[-_])nomic-embed-text", "search_query: ", "search_document: "),
    (r"(?:^|[-_])arctic-embed", "Represent this sentence for searching relevant passages: ", ""),
)
_QUERY, _PASSAGE = ("query", "search_query"), ("passage", "document", "search_document")


class Recipe(Record):
    """How a text becomes a vector: the prefix of its side, at most `max_tokens` tokens, pooled."""

    pooling: Pooling = "mean"
    query_prefix: str = ""
    passage_prefix: str = ""
    max_tokens: int = WINDOW_TOKENS

    @classmethod
    def read(cls, folder: Path, **given: str) -> Recipe:
        """The recipe of a folder; what is `given`, and not "auto", counts more.

        Raises:
            InputError: a file is damaged, or asks for a step that is not in the model.
        """
        found: dict[str, Json] = {"pooling": _pooling(folder), "max_tokens": _max_tokens(folder)}
        prompts = _read(folder / "config_sentence_transformers.json").get("prompts") or {}
        family = next((f[1:] for f in FAMILIES if re.search(f[0], folder.name.lower())), ("", ""))
        for key, names, usual in (("query_prefix", _QUERY, family[0]), ("passage_prefix", _PASSAGE, family[1])):
            found[key] = next((prompts[n] for n in names if prompts.get(n)), usual)
        return cls(**found | {k: v for k, v in given.items() if v != AUTO})


def model_file(folder: Path) -> Path:
    """The ONNX file of an embedder's folder, an int8 one that was made here first.

    Raises:
        InputError: there is none.
    """
    others = sorted(folder.glob("onnx/model*.onnx"))
    file = next((f for f in (*(folder / m for m in MODELS), *others) if f.is_file()), None)
    if file is None:
        raise InputError(f"{folder / 'model.onnx'}: file not found", HINT)
    return file


class OnnxEmbedder:
    """An Embedder over a folder with `tokenizer.json` and an ONNX model; an int8 copy of the model is preferred.

    Deterministic on one machine; the last digits may differ between processors.

    Args:
        folder: of the model.
        threads: that each take a text; 0 for one per core.
        recipe: None for the one of the folder.
        name: under which an index remembers it; "" for the folder's.
        compact: keep no second copy of the weights in the order in which they are multiplied: slower, same vectors.

    Raises:
        InputError: a file is missing or damaged, or the model needs other inputs than a text.
    """

    def __init__(
        self, folder: Path, threads: int = 0, recipe: Recipe | None = None, name: str = "", compact: bool = False
    ) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        file = model_file(folder)
        if not (folder / "tokenizer.json").is_file():
            raise InputError(f"{folder / 'tokenizer.json'}: file not found", HINT)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # each thread takes a text: splitting every small product is slower
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_prepacking", str(int(compact)))
        # That fusion's kernel takes a fifth of the time on the machines measured; the result is the same without it.
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
            )
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise errors of their own
            first = str(error).strip().splitlines()[:1]
            raise InputError(f"{folder}: cannot be opened ({' '.join(first)[:200]})", HINT) from error
        self._threads = threads or process.cores()
        self._inputs = {i.name for i in self._session.get_inputs()}
        if unknown := sorted(self._inputs - set(_feeds([0]))):
            raise InputError(f"{file}: needs the input {unknown[0]}", "export the encoder alone, without a cache")
        self._output = _output(self._session)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.recipe = recipe or Recipe.read(folder)
        self.name = name or folder.name
        self.sides = self.recipe.query_prefix != self.recipe.passage_prefix
        self.dimensions = int(self.embed(["size"]).shape[1])

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def parts(self, text: str) -> list[str]:
        """The text in parts that the window holds with a prefix and the special tokens, cut between words."""
        return [part for piece in _pieces(text) for part in self._parts(piece)]

    def _parts(self, text: str) -> list[str]:
        prefix = max(map(self.count_tokens, (self.recipe.query_prefix, self.recipe.passage_prefix)))
        room = max(1, self.recipe.max_tokens - prefix - SPARE_TOKENS)
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        words, places, cuts = encoded.word_ids, encoded.offsets, [0]
        while len(words) - cuts[-1] > room:
            last = cuts[-1] + room
            start = next((n for n in range(last, cuts[-1], -1) if words[n] != words[n - 1]), last)
            cuts.append(start)
        at = [0, *(places[n][0] for n in cuts[1:]), len(text)]
        return [text[a:b] for a, b in pairwise(at)]

    def unknown(self, text: str) -> tuple[int, int]:
        """How many of the tokens of a text the model does not know, and how many there are."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).tokens
        return sum(t in _UNKNOWN for t in tokens), len(tokens)

    def embed(self, texts: Sequence[str], query: bool = False) -> Matrix:
        """Float32 unit vectors, shape (len(texts), dimensions); texts are cut after the recipe's `max_tokens`."""
        import numpy as np

        vectors = [vector for vector, _ in self.read(texts, query)]
        return np.stack(vectors) if vectors else np.zeros((0, self.dimensions), dtype=np.float32)

    def read(self, texts: Sequence[str], query: bool = False) -> list[tuple[Matrix, Matrix]]:
        """For each text its unit vector and the model's output for its tokens: float32, shape (tokens, dimensions).

        The tokens include the special ones at both ends. Each text is run alone, so that its vector does not depend on
        the others: int8 scales by the whole input. With one text per core, that is as fast as batches.
        """
        prefix, most = self.recipe.query_prefix if query else self.recipe.passage_prefix, self.recipe.max_tokens
        encoded = self._tokenizer.encode_batch_fast([prefix + t for t in texts] if prefix else list(texts))
        rows = [e.ids[: most - 1] + e.ids[-1:] if len(e.ids) > most else e.ids for e in encoded]
        if len(rows) < 2:
            return [self._run(row) for row in rows]
        with ThreadPoolExecutor(min(self._threads, len(rows))) as pool:
            return list(pool.map(self._run, rows))

    def _run(self, row: list[int]) -> tuple[Matrix, Matrix]:
        import numpy as np

        feeds = {k: np.array([v], dtype=np.int64) for k, v in _feeds(row).items() if k in self._inputs}
        states: Matrix = self._session.run([self._output], feeds)[0][0].astype(np.float32, copy=False)
        if states.ndim == 1:  # a model that pools by itself
            states = states[None]
        pooling = self.recipe.pooling
        pooled = states.mean(axis=0) if pooling == "mean" else states[0 if pooling == "cls" else -1]
        unit: Matrix = (pooled / max(float(np.linalg.norm(pooled)), 1e-9)).astype(np.float32)
        return unit, states


_UNKNOWN = frozenset(["[UNK]", "<unk>"])


def _feeds(row: list[int]) -> dict[str, list[int]]:
    return {"input_ids": row, "attention_mask": [1] * len(row), "token_type_ids": [0] * len(row),
            "position_ids": list(range(len(row)))}  # fmt: skip


def _output(session: Any) -> str:
    """The output with one state per token; that with one vector per text in a model that has no other."""
    outputs = session.get_outputs()
    found: str = next((o.name for o in outputs if len(o.shape) == 3), outputs[0].name)
    return found


def _read(file: Path) -> dict[str, Json]:
    try:
        value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, OSError) as error:
        raise InputError(f"{file}: not valid JSON", "download the model again") from error
    return value if isinstance(value, dict) else {"modules": value}


def _pooling(folder: Path) -> Pooling:
    """As modules.json and the file of its pooling module say; mean where they do not exist."""
    modules = [str(m.get("type", "")) for m in _read(folder / "modules.json").get("modules", []) if isinstance(m, dict)]
    if dense := next((m for m in modules if m.endswith(".Dense")), ""):
        hint = "export the model with all of its modules in the ONNX file, and delete modules.json"
        raise InputError(f"{folder / 'modules.json'}: {dense} is not supported", hint)
    modes = _read(folder / "1_Pooling" / "config.json")
    names = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "last"}
    chosen = [name for name, on in modes.items() if name.startswith("pooling_mode_") and on is True]
    if isinstance(modes.get("pooling_mode"), str):  # as newer versions write it
        chosen, names = [modes["pooling_mode"]], {p: p for p in get_args(Pooling)} | {"lasttoken": "last"}
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in names:
        raise InputError(f"{folder / '1_Pooling' / 'config.json'}: {', '.join(chosen)} is not supported",
                         f"use a model with one of: {', '.join(get_args(Pooling))}")  # fmt: skip
    return names[chosen[0]]  # type: ignore[return-value]


def _max_tokens(folder: Path) -> int:
    """The window of the model, at most MOST_TOKENS."""
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length"),
                      ("config.json", "max_position_embeddings")):  # fmt: skip
        value = _read(folder / name).get(key)
        if isinstance(value, int | float) and value > 2:
            return min(int(value), MOST_TOKENS)
    return WINDOW_TOKENS


def to_int8(source: Path, out: Path) -> None:
    """Writes the ONNX model at `source` to `out` with its matrix products in int8, weights per channel."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        looked_up = Path(scratch) / "looked_up.onnx"
        model = onnx.load(source)
        _unpack_rows(model.graph)
        onnx.save(model, looked_up)
        folded = Path(scratch) / "folded.onnx"  # weights that are stored small and scaled become constants
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(looked_up), options, providers=["CPUExecutionProvider"])
        logger = logging.getLogger()
        level = logger.level
        logger.setLevel(logging.ERROR)  # it logs a line for each tensor that it leaves as it is
        try:
            quantize_dynamic(
                folded, out, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
                op_types_to_quantize=["MatMul"],
            )  # fmt: skip
        finally:
            logger.setLevel(level)


def _unpack_rows(graph: Any) -> None:
    """Lets an embedding table stay as it is stored, in 8 bits with a scale for each row, by unpacking only the rows
    that are looked up. The numbers are the same; the table of MiniLM takes 12 MB in place of 47."""
    from onnx import helper

    shapes = {i.name: tuple(i.dims) for i in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    nodes = []
    for node in graph.node:
        scaled = made.get(node.input[0]) if node.op_type == "Gather" else None
        cast = made.get(scaled.input[0]) if scaled is not None and scaled.op_type == "Mul" else None
        table = shapes.get(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
        along = any(a.name == "axis" and a.i for a in node.attribute)  # another axis than the rows
        if scaled is None or cast is None or not table or along or shapes.get(scaled.input[1]) != (table[0], 1):
            nodes.append(node)
            continue
        ids, [out] = node.input[1], node.output
        rows, whole, scales = (f"{out}_{name}" for name in ("rows", "whole", "scales"))
        nodes += [
            helper.make_node("Gather", [cast.input[0], ids], [rows], axis=0),
            helper.make_node("Cast", [rows], [whole], to=cast.attribute[0].i),
            helper.make_node("Gather", [scaled.input[1], ids], [scales], axis=0),
            helper.make_node("Mul", [whole, scales], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of PIECE_CHARS, cut at spaces: the tokenizer lets no other thread run while it reads one."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        end = text.rfind(" ", start + 1, start + PIECE_CHARS)
        end = start + PIECE_CHARS if end < 0 else end
        yield text[start:end]
        start = end
    yield text[start:]
