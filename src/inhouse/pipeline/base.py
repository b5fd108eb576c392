"""The base model as artifacts: trained from scratch where the project has none, and as it is served."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from inhouse.assembly.workspace import Workspace
from inhouse.errors import InputError
from inhouse.files import file_sha256
from inhouse.models.catalog import WEIGHTS
from inhouse.pipeline.feedback import without_replies
from inhouse.types import Artifact, Json

if TYPE_CHECKING:
    from inhouse.training.plan import Plan

TRAINER = (*(f"training/{name}.py" for name in ("scratch", "corpus", "plan", "curve", "checkpoint")),
           "pipeline/base.py", "pipeline/feedback.py")  # fmt: skip


def make_scratch(workspace: Workspace, documents: Artifact) -> Artifact:
    """The model that is trained on the documents: its Hugging Face folder, with plan and loss curve."""
    from inhouse.training.corpus import text_files

    project = workspace.project
    files = text_files([project.path(name) for name in project.scratch.text])
    inputs: dict[str, Json] = {
        "scratch": project.scratch.model_dump(mode="json"),
        "context_tokens": project.model.context_tokens,
        "seed": project.seed,
        "text": [file_sha256(f) for f in files],
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training import scratch

        texts, left_out = texts_of(workspace, documents)
        context = project.model.context_tokens
        facts = scratch.train(texts, project.scratch, project.seed, work, workspace.progress, context)
        return facts | {"documents": len(texts), **left_out}

    return workspace.make("scratch", inputs, [documents], TRAINER, build)


def plan_of(workspace: Workspace, documents: Artifact) -> Plan:
    """What a training from scratch would take here, without training."""
    from inhouse.training.scratch import prepare

    project = workspace.project
    with TemporaryDirectory() as work:
        texts, _ = texts_of(workspace, documents)
        return prepare(texts, project.scratch, project.seed, Path(work), workspace.progress).plan


def texts_of(workspace: Workspace, documents: Artifact) -> tuple[list[str], dict[str, Json]]:
    """What is trained on, and how many documents and replies of the inbox are not: nobody may read in a model what only
    some may read, nor may others than the business write what it learns."""
    from inhouse.training.corpus import read_texts

    read, project = workspace.documents(documents), workspace.project
    own = without_replies(read)
    public = [d.text for d in own if not d.access and d.trust == "trusted"]
    texts = [*public, *read_texts([project.path(name) for name in project.scratch.text])]
    return texts, {"documents_left_out": len(own) - len(public), "replies_left_out": len(read) - len(own)}


def make_weights(workspace: Workspace, trained: Artifact | None = None) -> Artifact:
    """The base model as it is served: model.gguf; `trained` is what it was trained as here."""
    kind = workspace.project.model.quantization
    file = workspace.base_gguf
    marks = [file] if file else sorted(workspace.base.glob("*.safetensors"))
    inputs: dict[str, Json] = {"quantization": kind, "content": [file_sha256(_readable(m)) for m in marks]}

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training.convert import convert
        from inhouse.training.gguf import quantize

        out = work / WEIGHTS
        if file is None:
            return convert(workspace.base, out, "q8_0" if kind == "as_is" else kind)
        if kind == "as_is":
            out.write_bytes(file.read_bytes())
            return {"kind": kind}
        return quantize(file, out, kind)

    source = ["training/gguf.py", "training/convert.py"]
    return workspace.make("weights", inputs, [trained] if trained else [], source, build)


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: no such file", "set model.base to a model that is on this machine")
    return file
