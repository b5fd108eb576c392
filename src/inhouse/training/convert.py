"""A Hugging Face folder as GGUF: Llama, Mistral, Qwen2 and Qwen3 families with byte-level BPE tokenizers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from inhouse.errors import InputError
from inhouse.training import gguf
from inhouse.types import Json

FAMILIES = {"LlamaForCausalLM": "llama", "MistralForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2",
            "Qwen3ForCausalLM": "qwen3"}  # fmt: skip
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def convert(folder: Path, out: Path, kind: str) -> dict[str, Json]:
    """Writes the model of a folder as GGUF of the given kind.

    Raises:
        InputError: the architecture or the tokenizer is not among those above.
    """
    config = _json(folder / "config.json")
    family = FAMILIES.get((config.get("architectures") or [""])[0])
    hint = "convert it with the tools of llama.cpp and set model.base to the .gguf file"
    if family is None:
        raise InputError(f"{folder}: {config.get('architectures')} is not a supported architecture", hint)
    tokenizer = _json(folder / "tokenizer.json")
    if tokenizer["model"].get("type") != "BPE" or not _byte_level(tokenizer):
        raise InputError(f"{folder}: its tokenizer is not byte-level BPE", hint)
    with gguf.writing(out, family) as writer:
        _describe(writer.gguf, config, folder)
        _add_tokenizer(writer.gguf, tokenizer, config, folder)
        writer.gguf.add_file_type(gguf.FILE_TYPES[kind])
        heads = (config["num_attention_heads"], _kv(config)) if family == "llama" else None
        for name, array in _renamed(gguf._safetensors(folder), family, config["num_hidden_layers"]).items():
            writer.add(name, gguf.permuted(name, array, heads) if array.ndim == 2 else array, kind)
    return {"kind": kind, "family": family, "megabytes": round(out.stat().st_size / 2**20, 1)}


def save_tokenizer(base: Path, served: Path, out: Path, own: bool = False) -> None:
    """Writes the tokenizer as Hugging Face files.

    Args:
        base: the base model; a folder with its tokenizer is copied.
        served: the GGUF file, from which it is read otherwise.
        out: a new folder.
        own: the served file has tokens that the base lacks.

    Raises:
        InputError: transformers, which reads tokenizers from GGUF files, is not installed or does not know this one.
    """
    if (base / "tokenizer.json").is_file() and not own:
        out.mkdir()
        for file in sorted(base.glob("*token*.json")):
            shutil.copyfile(file, out / file.name)
        return
    try:
        from transformers import AutoTokenizer

        with gguf.quick_reading():
            tokenizer = AutoTokenizer.from_pretrained(str(served.parent), gguf_file=served.name, local_files_only=True)
    except (ImportError, OSError, ValueError, KeyError) as error:
        hint = "pip install 'inhouse[train]', or copy the base model's tokenizer into its folder"
        raise InputError(f"{served}: its tokenizer cannot be read ({str(error)[:200]})", hint) from error
    tokenizer.save_pretrained(out)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        hint = "set model.base to a complete Hugging Face folder"
        raise InputError(f"{file}: cannot be read ({error})", hint) from error


def _kv(config: dict[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def _describe(writer: Any, config: dict[str, Any], folder: Path) -> None:
    heads = config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(_kv(config))
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(config.get("rope_theta") or rope.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _byte_level(tokenizer: dict[str, Any]) -> bool:
    return "ByteLevel" in json.dumps([tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")])


def _pre_tokenizer(family: str, tokenizer: dict[str, Any]) -> str:
    """The name that llama.cpp has for the way text is split before BPE."""
    steps = json.dumps(tokenizer.get("pre_tokenizer"))
    if "Digits" in steps:
        return "smollm"
    if family.startswith("qwen"):
        return "qwen2"
    return "llama-bpe" if "Split" in steps else "gpt-2"


def _add_tokenizer(writer: Any, tokenizer: dict[str, Any], config: dict[str, Any], folder: Path) -> None:
    size = config["vocab_size"]
    words = [f"[PAD{n}]" for n in range(size)]
    kinds = [UNUSED] * size
    for word, at in tokenizer["model"]["vocab"].items():
        words[at], kinds[at] = word, NORMAL
    ids = {}
    for added in tokenizer.get("added_tokens") or ():
        at = added["id"]
        words[at], kinds[at] = added["content"], CONTROL if added["special"] else USER_DEFINED
        ids[added["content"]] = at
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(FAMILIES[config["architectures"][0]], tokenizer))
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    settings = _json(folder / "tokenizer_config.json")
    for name, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id),
                      ("unk_token", writer.add_unk_token_id), ("pad_token", writer.add_pad_token_id)):  # fmt: skip
        token = settings.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            add(ids[token])
    writer.add_add_bos_token(bool(settings.get("add_bos_token", False)))
    file = folder / "chat_template.jinja"
    template = file.read_text(encoding="utf-8") if file.is_file() else settings.get("chat_template")
    if not isinstance(template, str):
        raise InputError(f"{folder}: no chat template", "choose an instruct model, or add chat_template.jinja")
    writer.add_chat_template(template)


def _renamed(tensors: dict[str, Any], family: str, layers: int) -> dict[str, Any]:
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    which = next(a for a in MODEL_ARCH if MODEL_ARCH_NAMES[a] == family)
    names = get_tensor_name_map(which, layers)
    renamed = {names.get_name(name, try_suffixes=(".weight", ".bias")): array for name, array in tensors.items()}
    renamed.pop(None, None)  # rotary tables, which llama.cpp computes itself
    return renamed
