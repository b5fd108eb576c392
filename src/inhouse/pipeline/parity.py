"""The custom model in each form that it is served or exported in, compared with the trained one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from inhouse.assembly.arms import (
    ADAPTER,
    BASE_FOLDER,
    CUSTOM_FOLDER,
    FEEDBACK_FOLDER,
    PRETRAINED_CUSTOM_FOLDER,
    PRETRAINED_FOLDER,
    endpoint_of,
)
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import GateError
from inhouse.evaluation import agreement, parity
from inhouse.files import write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.models.openai import OpenAIModel
from inhouse.models.vllm import BASE, VllmEngine, rank_of
from inhouse.training.sft import load
from inhouse.types import Artifact, Json, Message
from inhouse.verdict import Parity

ANSWER_S = 120.0
PROMPTS = 8


@dataclass(frozen=True)
class Forms:
    """What is compared: the base as the embedded engine serves it, the training, and what vLLM serves; `merged` is the
    name of the folder with the training merged in, in the latter; `method` is that of the training, "" for the one of
    [training]; `about` begins the names of the forms."""

    served: Artifact
    custom: Artifact
    plain: Artifact | None = None
    merged: str = CUSTOM_FOLDER
    method: str = ""
    about: str = ""


def forms_of(project: Project, served: Artifact, custom: Artifact, plain: Artifact | None) -> Forms:
    """What is compared for the artifact of a training of any kind."""
    folders = {"feedback": FEEDBACK_FOLDER, "pretrained": PRETRAINED_FOLDER,
               "pretrained_adapter": PRETRAINED_CUSTOM_FOLDER}  # fmt: skip
    merged = folders.get(custom.kind, CUSTOM_FOLDER)
    return Forms(served, custom, plain, merged, project.pretraining.method if custom.kind == "pretrained" else "")


def make_parity(
    workspace: Workspace, kind: str, forms: Forms, found: tuple[Artifact, Artifact, Artifact], engines: Sequence[str]
) -> Artifact:
    """The artifact of a comparison, on prompts with passages; `found` are index, fusion, and data set, and `engines`
    the files of the package that serve models."""
    inputs: dict[str, Json] = {"parity": workspace.project.parity.model_dump(), "engine": workspace.engine}

    def build(work: Path) -> dict[str, Json]:
        return compare_exports(workspace, forms, prompts_of(workspace, found), work).model_dump(mode="json")

    source = ["evaluation/parity.py", "pipeline/parity.py", "training/gguf.py", *engines]
    parents = [forms.served, forms.custom, found[2], *([forms.plain] if forms.plain else [])]
    return workspace.make(kind, inputs, parents, source, build)


def prompts_of(
    workspace: Workspace, found: tuple[Artifact, Artifact, Artifact], most: int | None = PROMPTS
) -> list[tuple[Message, ...]]:
    """Prompts with passages, at most so many; `found` are index, fusion, and data set."""
    at, fused, data = found
    grounding = workspace.grounding(workspace.index(at, fused))
    examples = (workspace.examples("test", data) or workspace.examples("train", data))[:most]
    return [grounding.ground(e.messages, grounding.passages(e.messages)) for e in examples]


def make_agreement(
    workspace: Workspace, kind: str, custom: Artifact, found: tuple[Artifact, Artifact, Artifact]
) -> Artifact:
    """In place of a comparison, for a model at an endpoint, which has no weights to compare: how far its answers agree
    when each test question is asked twice, with passages. agreement.jsonl has the answers."""
    at, fused, data = found
    project, place = workspace.project, endpoint_of(custom)
    least, limit = project.training.hosted.min_overlap, project.evaluation.max_questions
    inputs: dict[str, Json] = {
        "min_overlap": least, "max_questions": limit, "max_tokens": project.assistant.max_tokens,
        "assistant": project.assistant.model_dump(mode="json"), "retrieval": project.retrieval.model_dump(mode="json"),
        **({"private": tables} if (tables := [t.model_dump(mode="json") for t in project.private]) else {}),
    }  # fmt: skip

    def build(work: Path) -> dict[str, Json]:
        from inhouse.assembly.guard import Parts
        from inhouse.assembly.private import border_of

        assert place is not None
        prompts = prompts_of(workspace, found, limit or None)
        remote = border_of(Parts(workspace, project), fallback=False).hosted(OpenAIModel(place), None)
        pairs = asyncio.run(
            agreement.asked_twice(
                remote, prompts, project.assistant.max_tokens, project.model.parallel, workspace.progress
            )
        )
        write_text(work / "agreement.jsonl", "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs))
        same, overlap = agreement.agreement(pairs)
        moved = "" if overlap >= least else (
            f"{place.model} was asked {len(pairs)} questions twice, and its answers overlap by {overlap:.2f}, less "
            f"than training.hosted.min_overlap = {least:g}"
        )  # fmt: skip
        return Parity(passed=not moved, moved=moved, prompts=len(pairs), same_answers=same, overlap=overlap).model_dump(
            mode="json"
        )

    source = ["evaluation/agreement.py", "pipeline/parity.py", "models/openai.py"]
    return workspace.make(kind, inputs, [custom, at, fused, data], source, build)


def compare_exports(workspace: Workspace, made: Forms, prompts: Sequence[tuple[Message, ...]], work: Path) -> Parity:
    """Writes parity.json into `work`, and returns what it holds."""
    project, folder = workspace.project, Path(made.custom.path)
    method = made.method or project.training.method

    def check(name: str, model: parity.TorchModel, forms: Sequence[parity.Served]) -> Parity:
        return parity.check_parity(
            {name: model}, [(f, name) for f in forms], prompts, project.parity, workspace.progress
        )

    opened = _vllm if made.plain else _embedded
    with ExitStack() as engines:
        custom, base = opened(workspace, made, engines)
        result = check("custom", _trained(workspace.base, method, folder, project), custom)
        if not result.passed:  # the unchanged base tells whether its precision or the training is the reason
            engines.close()
            result = parity.joined(check("base", parity.TorchModel(*load(workspace.base)), [base()]), result)
    write_text(work / "parity.json", result.model_dump_json(indent=1))
    return result


def refuse_without_parity(artifact: Artifact) -> None:
    """Raises:
    GateError: the served model differs from the trained one; says which step changed it. Or one at an endpoint differs
        from itself.
    """
    if not artifact.facts["passed"] and artifact.facts.get("overlap") is not None:
        hint = f"see {artifact.path}/agreement.jsonl; lower training.hosted.min_overlap if such answers will do"
        raise GateError(f"agreement refused: {artifact.facts['moved']}", hint)
    if not artifact.facts["passed"]:
        hint = f"see {artifact.path}/parity.json; try another model.quantization"
        raise GateError(f"parity refused: {artifact.facts['moved']}", hint)


Opened = tuple[list[parity.Served], Callable[[], parity.Served]]


def _embedded(workspace: Workspace, made: Forms, engines: ExitStack) -> Opened:
    """The forms of the custom model in the embedded engine, and the base when it is asked for."""
    project, folder, weights = workspace.project, Path(made.custom.path), Path(made.served.path) / WEIGHTS
    method = made.method or project.training.method
    quantization, small = project.model.quantization, project.model.model_copy(update={"parallel": 1})

    def serve(name: str, file: Path, adapters: Sequence[Path] = (), banned: Sequence[int] = ()) -> parity.Served:
        engine = engines.enter_context(closing(LlamaEngine(file, small, adapters, banned)))
        lora = engine.lora(0 if adapters else None)
        return engines.enter_context(
            closing(parity.LlamaServed(name, engine.client(engine.url, ANSWER_S), lora, banned))
        )

    kind = "q8_0" if quantization == "as_is" else quantization
    if method == "lora":
        forms = [serve(f"{made.about}adapter on {quantization} base", weights, [folder / "adapter.gguf"])]
        if (folder / WEIGHTS).is_file():
            forms.append(serve(f"merged, {kind}", folder / WEIGHTS))
    else:
        banned = made.custom.facts.get("banned_tokens", [])
        forms = [serve(f"{method}, {kind}", folder / WEIGHTS, (), banned)]
    return forms, lambda: serve(f"base, {quantization}", weights)


def _vllm(workspace: Workspace, made: Forms, engines: ExitStack) -> Opened:
    """The same in vLLM."""
    assert made.plain is not None
    assert workspace.vllm is not None
    vllm, settings, folder = workspace.vllm, workspace.project.model, Path(made.custom.path)
    adapter, name = folder / ADAPTER, f"vLLM {workspace.vllm.version}, bfloat16"
    plain, merged = Path(made.plain.path) / BASE_FOLDER, Path(made.plain.path) / made.merged
    rank = 0 if made.merged and merged.is_dir() else rank_of(adapter)

    def serve(form: str, engine: VllmEngine, model: str) -> parity.Served:
        client = engine.client(engine.url, ANSWER_S)
        return engines.enter_context(closing(parity.VllmServed(f"{form}, {name}", client, model)))

    def engine(weights: Path) -> VllmEngine:
        return engines.enter_context(closing(VllmEngine(weights, settings, vllm, rank)))

    def base() -> parity.Served:
        return serve("base", engine(plain), BASE)

    if not rank:
        return [serve("merged" if adapter.is_dir() else "full", engine(merged), BASE)], base
    adapted = engine(plain)
    adapted.load(made.custom.key, adapter)
    return [serve(f"{made.about}adapter", adapted, made.custom.key)], base


def _trained(base: Path, method: str, folder: Path, project: Project) -> parity.TorchModel:
    """The custom model in PyTorch, made from what training left."""
    if method == "full":
        return parity.TorchModel(*load(folder / "weights"))
    tokenizer, model = load(base)
    soft = project.training.prompt_tokens if method == "prompt_tuning" else 0
    return parity.TorchModel(tokenizer, parity.with_adapter(model, folder / ADAPTER), soft)
