"""What vLLM serves: Hugging Face folders in bfloat16, as an artifact."""

from __future__ import annotations

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
from inhouse.types import Artifact, Json


def folder_of(
    workspace: Workspace, served: Artifact, custom: Artifact | None, feedback: Artifact | None = None,
    pretrained: Artifact | None = None, pretrained_custom: Artifact | None = None,
) -> Artifact | None:  # fmt: skip
    """The base model as a folder, and the trained ones with their adapters merged in; None for the embedded engine.

    A GPU serves LoRA adapters on the base beside each other at no great cost. A CPU takes eight times as long for them
    (docs/LOG.md), so it gets the merged model.
    """
    vllm = workspace.vllm
    if vllm is None:
        return None
    every = ((custom, CUSTOM_FOLDER), (feedback, FEEDBACK_FOLDER), (pretrained, PRETRAINED_FOLDER),
             (pretrained_custom, PRETRAINED_CUSTOM_FOLDER))  # fmt: skip
    made = [(artifact, name) for artifact, name in every if artifact and not endpoint_of(artifact)]
    merged = any(not (vllm.cuda and (Path(a.path) / ADAPTER).is_dir()) for a, _ in made)

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training.folder import write_folder

        facts = write_folder(workspace.base, work / BASE_FOLDER)
        for artifact, name in made if merged else ():
            trained = Path(artifact.path)
            if (trained / ADAPTER).is_dir():
                write_folder(workspace.base, work / name, trained / ADAPTER)
            else:
                write_folder(trained / "weights", work / name)
        return facts | {"merged": merged}

    parents, source = [served, *(a for a, _ in made)], ["training/folder.py", "training/sft.py"]
    return workspace.make("folder", {"merged": merged}, parents, source, build)
