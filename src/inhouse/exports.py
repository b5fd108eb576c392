"""The custom model in each form that it is served or exported in, held against the trained one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from inhouse.config import Project
from inhouse.evaluation import parity
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.store.artifacts import write_text
from inhouse.training import gguf
from inhouse.training.sft import load
from inhouse.types import Artifact, Json, Message, Progress


def compare_exports(
    project: Project,
    base: Path,
    served: Artifact,
    custom: Artifact,
    prompts: Sequence[tuple[Message, ...]],
    work: Path,
    progress: Progress,
) -> dict[str, Json]:
    """Writes parity.json into `work`, with the merged export beside it, and returns the report."""
    folder = Path(custom.path)
    method = project.training.method
    tokenizer, model = load(base)
    trained: dict[str, parity.Trained] = {"base": parity.TorchModel(tokenizer, model)}
    weights = Path(served.path) / WEIGHTS
    small = project.model.model_copy(update={"parallel": 1})
    engines = []
    variants: list[tuple[parity.Served, str]] = []

    def serve(name: str, file: Path, counterpart: str, adapters: Sequence[Path] = (), scale: int | None = None) -> None:
        banned = custom.facts.get("banned_tokens", []) if counterpart == "custom" else []
        engine = LlamaEngine(file, small, adapters, banned)
        engines.append(engine)
        served_as = parity.EngineServed(name, engine.url, engine.api_key, engine.lora(scale), banned)
        variants.append((served_as, counterpart))

    quantization = project.model.quantization
    try:
        serve(f"base, {quantization}", weights, "base")
        if method == "lora":
            merged = work / f"merged-{quantization}.gguf"
            kind = "q8_0" if quantization == "as_is" else quantization
            file = base if base.suffix == ".gguf" else base / WEIGHTS
            gguf.merge(folder / "adapter", file if file.is_file() else weights, merged, kind)
            serve(f"adapter on {quantization} base", weights, "custom", [folder / "adapter.gguf"], 0)
            serve(f"merged, {kind}", merged, "custom")
        else:
            serve(f"{method}, {quantization}", folder / WEIGHTS, "custom")
        report = _run(trained, variants, tokenizer, model, method, folder, project, prompts, progress)
    finally:
        for engine in engines:
            engine.close()
    write_text(work / "parity.json", json.dumps(report, indent=1))
    return report


def _run(
    trained: dict[str, parity.Trained],
    variants: list[tuple[parity.Served, str]],
    tokenizer: object,
    model: object,
    method: str,
    folder: Path,
    project: Project,
    prompts: Sequence[tuple[Message, ...]],
    progress: Progress,
) -> dict[str, Json]:
    """The untouched base is asked before the adapter is put on it: one model in memory, not two."""
    base = [v for v in variants if v[1] == "base"]
    first = parity.check_parity(trained, base, prompts, project.parity, progress)
    if method == "full":
        custom = parity.TorchModel(*load(folder / "weights"))
    else:
        soft = project.training.prompt_tokens if method == "prompt_tuning" else 0
        custom = parity.TorchModel(tokenizer, parity.with_adapter(model, folder / "adapter"), soft)
    rest = [v for v in variants if v[1] == "custom"]
    second = parity.check_parity({"custom": custom}, rest, prompts, project.parity, progress)
    return parity.joined(first, second)
