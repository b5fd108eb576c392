"""The custom model in each form that it is served or exported in, held against the trained one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from inhouse.config.sections import Project
from inhouse.evaluation import parity
from inhouse.files import write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
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
    """Writes parity.json into `work`, and returns the report."""
    folder = Path(custom.path)
    method = project.training.method
    weights = Path(served.path) / WEIGHTS
    small = project.model.model_copy(update={"parallel": 1})
    opened: list[LlamaEngine | parity.EngineServed] = []

    def serve(name: str, file: Path, adapters: Sequence[Path] = (), banned: Sequence[int] = ()) -> parity.EngineServed:
        engine = LlamaEngine(file, small, adapters, banned)
        form = parity.EngineServed(name, engine.url, engine.api_key, engine.lora(0 if adapters else None), banned)
        opened.extend((engine, form))
        return form

    def close() -> None:
        while opened:
            opened.pop().close()

    quantization = project.model.quantization
    kind = "q8_0" if quantization == "as_is" else quantization
    try:
        if method == "lora":
            forms = [
                serve(f"adapter on {quantization} base", weights, [folder / "adapter.gguf"]),
                serve(f"merged, {kind}", folder / WEIGHTS),
            ]
        else:
            forms = [serve(f"{method}, {kind}", folder / WEIGHTS, (), custom.facts.get("banned_tokens", []))]
        trained = {"custom": _trained(base, method, folder, project)}
        report = parity.check_parity(trained, [(f, "custom") for f in forms], prompts, project.parity, progress)
        if not report["passed"]:
            # Which step moved it, the weights of the base or what was put on them, the untouched base tells.
            trained.clear()
            close()
            untouched = {"base": parity.TorchModel(*load(base))}
            form = serve(f"base, {quantization}", weights)
            first = parity.check_parity(untouched, [(form, "base")], prompts, project.parity, progress)
            report = parity.joined(first, report)
    finally:
        close()
    write_text(work / "parity.json", json.dumps(report, indent=1))
    return report


def _trained(base: Path, method: str, folder: Path, project: Project) -> parity.TorchModel:
    """The custom model in PyTorch, made from what training left."""
    if method == "full":
        return parity.TorchModel(*load(folder / "weights"))
    tokenizer, model = load(base)
    soft = project.training.prompt_tokens if method == "prompt_tuning" else 0
    return parity.TorchModel(tokenizer, parity.with_adapter(model, folder / "adapter"), soft)
