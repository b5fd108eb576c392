"""A model as a Hugging Face folder in bfloat16: safetensors, configuration, tokenizer, and chat template."""

from __future__ import annotations

from pathlib import Path

from inhouse.errors import InputError
from inhouse.training.sft import load
from inhouse.types import Json

SAFETENSORS = "model.safetensors"


def write_folder(base: Path, out: Path, adapter: Path | None = None) -> dict[str, Json]:
    """Writes the base, with a LoRA adapter merged in if one is given, into the folder `out`.

    Merging is done in float32, and rounded to bfloat16 once.

    Args:
        base: a GGUF file, or a folder with one or with safetensors.
        out: a folder, made where it does not exist.
        adapter: a PEFT folder.

    Raises:
        InputError: the base cannot be loaded, or it has no chat template.
    """
    import torch
    from safetensors.torch import save_file

    tokenizer, model = load(base)
    if not tokenizer.chat_template:
        raise InputError(f"{base}: no chat template", "choose an instruct model, or add chat_template.jinja")
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model = model.to(torch.bfloat16)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    model.config.dtype = torch.bfloat16
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / SAFETENSORS, metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(out)
    model.generation_config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"dtype": "bfloat16", "megabytes": round((out / SAFETENSORS).stat().st_size / 2**20, 1)}
