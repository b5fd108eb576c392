"""GGUF files written with numpy and the `gguf` package: requantized, with an adapter merged in, and LoRA adapters.

llama.cpp orders the rows of the q and k projections of Llama models differently from transformers: the two halves that
rotary embedding pairs are interleaved within a head. Tensors from PEFT are permuted accordingly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from inhouse.errors import InputError
from inhouse.files import replacing
from inhouse.types import Json, Matrix

FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7}
CONTROL_TOKEN = 3
Change = Callable[[str, Matrix], Matrix]


# --- reading ----------------------------------------------------------------------------------------------------


@cache
def quick_reader() -> type[Any]:
    """A GGUFReader that is several times faster: the package's own makes some views of an np.memmap, which run Python
    code, for each of the hundreds of thousands of values of a vocabulary."""
    import numpy as np
    from gguf import gguf_reader

    class QuickReader(gguf_reader.GGUFReader):  # type: ignore[misc]
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: str | None = None) -> Any:
            ordered = np.dtype(dtype).newbyteorder(override_order or self.byte_order)
            return np.frombuffer(self.data, ordered, int(count), int(offset))

    return QuickReader


@contextmanager
def quick_reading() -> Iterator[None]:
    """Within it, transformers, which reads a file anew for its tokenizer, configuration, and weights, is quick too."""
    import gguf

    with_memmap, gguf.GGUFReader = gguf.GGUFReader, quick_reader()
    try:
        yield
    finally:
        gguf.GGUFReader = with_memmap


def read(file: Path) -> Any:
    """A GGUFReader of the file.

    Raises:
        InputError: it is missing, truncated, or not a GGUF file.
    """
    hint = "download it again with `inhouse models pull`"
    try:
        reader = quick_reader()(file)
        size = file.stat().st_size
    except (OSError, ValueError, IndexError, KeyError, MemoryError, OverflowError) as error:
        raise InputError(f"{file}: not a complete GGUF file ({error})", hint) from error
    ends = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
    if not reader.tensors or ends > size:
        raise InputError(f"{file}: truncated", hint)
    return reader


def value(reader: Any, key: str) -> Any:
    """A metadata value.

    Raises:
        InputError: the file does not have that key.
    """
    field = reader.fields.get(key)
    if field is None:
        hint = "it is not a language model that can be served; choose another model.base"
        raise InputError(f"the GGUF file has no {key}", hint)
    return field.contents()


def tensors(reader: Any) -> Iterator[tuple[str, Matrix]]:
    """Every tensor in float32, in the file's order, shaped (rows, columns)."""
    import numpy as np
    from gguf.quants import dequantize

    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        yield tensor.name, dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32)


# --- writing ----------------------------------------------------------------------------------------------------


def quantize(source: Path, out: Path, kind: str, change: Change | None = None) -> dict[str, Json]:
    """Rewrites `source` with its matrices as `kind` (q8_0, q4_0, f16, f32), each passed through `change` first."""
    reader = read(source)
    with writing(out, value(reader, "general.architecture")) as writer:
        writer.copy_metadata(reader, skip={"general.file_type"})
        writer.gguf.add_file_type(FILE_TYPES[kind])
        for name, array in tensors(reader):
            writer.add(name, change(name, array) if change else array, kind)
    return {"kind": kind, "megabytes": round(out.stat().st_size / 2**20, 1)}


@contextmanager
def writing(out: Path, architecture: str) -> Iterator[_Writer]:
    """A writer of a GGUF file that appears when the block ends, complete or not at all."""
    with replacing(out) as partial:
        writer = _Writer(partial, architecture)
        try:
            yield writer
            writer.gguf.write_header_to_file()
            writer.gguf.write_kv_data_to_file()
            writer.gguf.write_tensors_to_file()
        finally:
            writer.gguf.close()


class _Writer:
    def __init__(self, file: Path, architecture: str) -> None:
        from gguf import GGUFWriter

        self.gguf = GGUFWriter(file, architecture)

    def copy_metadata(self, reader: Any, skip: set[str]) -> None:
        from gguf import GGUFValueType

        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture" or key in skip:
                continue
            kind = field.types[0]
            inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
            self.gguf.add_key_value(key, field.contents(), kind, inner)

    def add(self, name: str, array: Matrix, kind: str) -> None:
        """Adds a tensor; vectors, and rows that do not divide into blocks, stay in float."""
        import numpy as np
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import quantize as to_blocks

        if kind == "q4_0" and name in ("token_embd.weight", "output.weight"):
            kind = "q8_0"  # the vocabulary suffers most from four bits
        wanted = GGMLQuantizationType[kind.upper()]
        block = GGML_QUANT_SIZES[wanted][0]
        if array.ndim < 2 or kind == "f32":
            self.gguf.add_tensor(name, array.astype(np.float32))
        elif kind == "f16" or array.shape[-1] % block:
            self.gguf.add_tensor(name, array.astype(np.float16))
        else:
            self.gguf.add_tensor(
                name, to_blocks(np.ascontiguousarray(array, dtype=np.float32), wanted), raw_dtype=wanted
            )


# --- from PEFT --------------------------------------------------------------------------------------------------


def adapter_to_gguf(adapter: Path, base: Path, out: Path) -> dict[str, Json]:
    """Writes a PEFT LoRA folder as a GGUF LoRA for llama.cpp.

    Raises:
        InputError: the adapter has a tensor that the base model does not have.
    """
    pairs, alpha, reader = _lora(adapter, base)
    heads = _heads(reader)
    with writing(out, value(reader, "general.architecture")) as writer:
        writer.gguf.add_string("general.type", "adapter")
        writer.gguf.add_string("adapter.type", "lora")
        writer.gguf.add_float32("adapter.lora.alpha", alpha)
        for name, (a, b) in pairs.items():
            writer.add(f"{name}.lora_a", a, "f32")
            writer.add(f"{name}.lora_b", permuted(name, b, heads), "f32")
    return {"tensors": len(pairs), "alpha": alpha}


def merge(adapter: Path, base: Path, out: Path, kind: str) -> dict[str, Json]:
    """Writes the base with the adapter merged in, W + alpha / rank * B A, quantized as `kind`."""
    import numpy as np

    pairs, alpha, reader = _lora(adapter, base)
    heads = _heads(reader)

    def change(name: str, weight: Matrix) -> Matrix:
        if name not in pairs:
            return weight
        a, b = pairs[name]
        merged: Matrix = (weight + alpha / len(a) * permuted(name, b, heads) @ a).astype(np.float32)
        return merged

    return quantize(base, out, kind, change)


def prompt_to_gguf(adapter: Path, base: Path, out: Path, kind: str) -> dict[str, Json]:
    """Writes the base with a learned soft prompt as new control tokens, which the chat template puts first.

    Their rows of the embedding are the learned vectors. `banned_tokens` in the returned facts are their ids, which must
    never be sampled.
    """
    import numpy as np
    from safetensors.numpy import load_file

    vectors = load_file(adapter / "adapter_model.safetensors")["prompt_embeddings"].astype(np.float32)
    reader = read(base)
    tokens = list(value(reader, "tokenizer.ggml.tokens"))
    kinds = list(value(reader, "tokenizer.ggml.token_type"))
    new = [f"<|soft_{n}|>" for n in range(len(vectors))]
    start = len(tokens)
    replaced = {"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.chat_template", "general.file_type"}
    architecture = value(reader, "general.architecture")
    with writing(out, architecture) as writer:
        sizes = {f"{architecture}.vocab_size"} & reader.fields.keys()
        writer.copy_metadata(reader, replaced | sizes)
        writer.gguf.add_file_type(FILE_TYPES[kind])
        writer.gguf.add_token_list([*tokens, *new])
        writer.gguf.add_token_types([*kinds, *[CONTROL_TOKEN] * len(new)])
        writer.gguf.add_chat_template("".join(new) + value(reader, "tokenizer.chat_template"))
        if sizes:
            writer.gguf.add_vocab_size(start + len(new))
        for name, array in tensors(reader):
            grown = np.concatenate([array, vectors]) if name in ("token_embd.weight", "output.weight") else array
            writer.add(name, grown, kind)
    return {"kind": kind, "banned_tokens": list(range(start, start + len(new)))}


def replace_weights(folder: Path, base: Path, out: Path, kind: str) -> dict[str, Json]:
    """Writes the base with its tensors replaced by those of a Hugging Face folder, the result of full tuning.

    Raises:
        InputError: the folder lacks a tensor of the base.
    """
    reader = read(base)
    tensors = _gguf_names(_safetensors(folder), reader)
    heads = _heads(reader)

    def change(name: str, old: Matrix) -> Matrix:
        if name not in tensors and name != "output.weight":
            raise InputError(f"{folder}: has no tensor for {name}", "train it from this base model")
        new = tensors.get(name, tensors["token_embd.weight"])
        return permuted(name, new, heads) if new.ndim == 2 else new

    return quantize(base, out, kind, change)


def write_served(work: Path, base: Path, method: str, quantization: str) -> dict[str, Json]:
    """Writes what a training left in `work` as it is served: model.gguf, and adapter.gguf for LoRA.

    Args:
        work: with `adapter/` or, for method "full", `weights/`.
        base: the GGUF file of the base model, as it is or as it is served.
        method: of the training.
        quantization: of model.gguf; "as_is" is q8_0.

    Returns:
        For "prompt_tuning", the tokens that must never be sampled; else nothing.
    """
    kind, out = "q8_0" if quantization == "as_is" else quantization, work / "model.gguf"
    if method == "full":
        replace_weights(work / "weights", base, out, kind)
    elif method == "lora":
        adapter_to_gguf(work / "adapter", base, work / "adapter.gguf")
        merge(work / "adapter", base, out, kind)
    else:
        return prompt_to_gguf(work / "adapter", base, out, kind)
    return {}


def permuted(name: str, rows: Matrix, heads: tuple[int, int] | None) -> Matrix:
    """Rows in the order of llama.cpp: interleaved halves per head for q and k of Llama models, else unchanged."""
    if heads is None or not name.endswith(("attn_q.weight", "attn_k.weight")):
        return rows
    count = heads[0] if name.endswith("attn_q.weight") else heads[1]
    return rows.reshape(count, 2, rows.shape[0] // count // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _heads(reader: Any) -> tuple[int, int] | None:
    """Numbers of heads of q, and of k and v, where rows are permuted; None for architectures without permutation."""
    if value(reader, "general.architecture") != "llama":
        return None
    heads = int(value(reader, "llama.attention.head_count"))
    shared = reader.fields.get("llama.attention.head_count_kv")
    return heads, int(shared.contents()) if shared else heads


def _lora(adapter: Path, base: Path) -> tuple[dict[str, tuple[Matrix, Matrix]], float, Any]:
    """The adapter's A and B by GGUF tensor name, its alpha, and the base's reader."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    reader = read(base)
    plain = {n.removeprefix("base_model.model."): t for n, t in _safetensors(adapter).items()}
    a = _gguf_names({n.replace(".lora_A.weight", ".weight"): t for n, t in plain.items() if ".lora_A." in n}, reader)
    b = _gguf_names({n.replace(".lora_B.weight", ".weight"): t for n, t in plain.items() if ".lora_B." in n}, reader)
    return {name: (a[name], b[name]) for name in a}, float(config["lora_alpha"]), reader


def _safetensors(folder: Path) -> dict[str, Matrix]:
    import numpy as np
    from safetensors import safe_open

    tensors: dict[str, Matrix] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="np") as handle:
            tensors |= {name: handle.get_tensor(name).astype(np.float32) for name in handle.keys()}  # noqa: SIM118
    if not tensors:
        raise InputError(f"{folder}: no .safetensors files", "delete the stage's .work folder and run again")
    return tensors


def _gguf_names(tensors: dict[str, Matrix], reader: Any) -> dict[str, Matrix]:
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = value(reader, "general.architecture")
    which = next(a for a in MODEL_ARCH if MODEL_ARCH_NAMES[a] == architecture)
    names = get_tensor_name_map(which, int(value(reader, f"{architecture}.block_count")))
    renamed = {}
    for name, tensor in tensors.items():
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new is None:
            hint = "use the base model that the adapter was trained on"
            raise InputError(f"{name}: the base model has no such tensor", hint)
        renamed[new] = tensor
    return renamed
