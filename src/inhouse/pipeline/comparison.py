"""Base models compared on the project's own test questions, by the stages of a build with another `model.base`.

Each candidate's artifacts are kept like any others, so a second comparison only asks what is new. Artifacts that were
the latest before stay the latest: `ask` and `release` go on with the project's own model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Model
from inhouse.models.catalog import CATALOG, WEIGHTS
from inhouse.pipeline import stages
from inhouse.training import gguf
from inhouse.types import Artifact, Record
from inhouse.verdict import ArmResult, Report

OWN = ("weights", "folder", "adapter", "commands", "experts", "parity", "report")  # kinds that depend on the base model


class Candidate(Record):
    """What one arm over one base model reached; memory in megabytes."""

    base: str
    arm: str
    result: ArmResult
    memory_mb: int


def compare_bases(workspace: Workspace, names: Sequence[str], tune: bool) -> list[Candidate]:
    """The arm rag over each base model, and with `tune` the arm tuned+rag.

    Raises:
        InputError: a name is no model on this machine.
    """
    for name in names:
        workspace.catalog.find(name, workspace.project.root)  # before the first candidate takes its time
    latest = [a for kind in OWN if (a := workspace.store.latest(kind))]
    try:
        return [c for name in names for c in _candidates(workspace, name, tune)]
    finally:
        for artifact in latest:
            workspace.store.touch(artifact)


def _candidates(workspace: Workspace, name: str, tune: bool) -> list[Candidate]:
    project = workspace.project
    known = CATALOG.get(name)
    model = project.model.model_copy(
        update={"base": name, **({"quantization": known.quantization} if known and known.quantization else {})}
    )
    asked = project.evaluation.model_copy(update={"arms": ("rag", "tuned+rag") if tune else ("rag",)})
    settings = project.model_copy(update={"model": model, "evaluation": asked}).at(project.root)
    own = replace(workspace, project=settings, artifacts={})
    report: Artifact = stages.evaluate(own)
    served = {"rag": stages.weights(own), **({"tuned+rag": stages.train(own)} if tune else {})}
    return [
        Candidate(base=name, arm=arm, result=result, memory_mb=memory_mb(Path(served[arm].path) / WEIGHTS, model))
        for arm, result in Report.read(Path(report.path)).arms.items()
    ]


def memory_mb(weights: Path, settings: Model) -> int:
    """Megabytes that serving takes: the weights, and keys and values in 16 bits for every conversation's context.

    Raises:
        InputError: the file is not a language model in GGUF.
    """
    reader = gguf.read(weights)
    name = gguf.value(reader, "general.architecture")

    def count(key: str) -> int:
        return int(gguf.value(reader, f"{name}.{key}"))

    heads = count("attention.head_count")
    shared = count("attention.head_count_kv") if f"{name}.attention.head_count_kv" in reader.fields else heads
    per_token = 2 * 2 * count("block_count") * shared * count("embedding_length") // heads
    return round((weights.stat().st_size + per_token * settings.context_tokens * settings.parallel) / 1e6)
