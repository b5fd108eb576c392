"""The custom model in each form that it is served or exported in, compared with the trained one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.evaluation import parity
from inhouse.files import write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.training.sft import load
from inhouse.types import Artifact, Message
from inhouse.verdict import Parity


def compare_exports(
    workspace: Workspace, served: Artifact, custom: Artifact, prompts: Sequence[tuple[Message, ...]], work: Path
) -> Parity:
    """Writes parity.json into `work`, and returns what it holds."""
    project, folder = workspace.project, Path(custom.path)
    method, quantization = project.training.method, project.model.quantization
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

    def check(name: str, model: parity.TorchModel, forms: Sequence[parity.EngineServed]) -> Parity:
        return parity.check_parity(
            {name: model}, [(f, name) for f in forms], prompts, project.parity, workspace.progress
        )

    kind = "q8_0" if quantization == "as_is" else quantization
    try:
        if method == "lora":
            forms = [
                serve(f"adapter on {quantization} base", weights, [folder / "adapter.gguf"]),
                serve(f"merged, {kind}", folder / WEIGHTS),
            ]
        else:
            forms = [serve(f"{method}, {kind}", folder / WEIGHTS, (), custom.facts.get("banned_tokens", []))]
        result = check("custom", _trained(workspace.base, method, folder, project), forms)
        if not result.passed:  # the unchanged base tells whether its quantization or the training is the reason
            close()
            base = parity.TorchModel(*load(workspace.base))
            result = parity.joined(check("base", base, [serve(f"base, {quantization}", weights)]), result)
    finally:
        close()
    write_text(work / "parity.json", result.model_dump_json(indent=1))
    return result


def _trained(base: Path, method: str, folder: Path, project: Project) -> parity.TorchModel:
    """The custom model in PyTorch, made from what training left."""
    if method == "full":
        return parity.TorchModel(*load(folder / "weights"))
    tokenizer, model = load(base)
    soft = project.training.prompt_tokens if method == "prompt_tuning" else 0
    return parity.TorchModel(tokenizer, parity.with_adapter(model, folder / "adapter"), soft)
