"""What vLLM serves: Hugging Face folders in bfloat16, as an artifact."""

from __future__ import annotations

from pathlib import Path

from inhouse.assembly.arms import ADAPTER, BASE_FOLDER, CUSTOM_FOLDER, FEEDBACK_FOLDER
from inhouse.assembly.workspace import Workspace
from inhouse.types import Artifact, Json


def folder_of(
    workspace: Workspace, served: Artifact, custom: Artifact | None, feedback: Artifact | None = None
) -> Artifact | None:
    """The base model as a folder, and the trained ones with their adapters merged in; None for the embedded engine.

    A GPU serves LoRA adapters on the base beside each other at no great cost. A CPU takes eight times as long for them
    (docs/LOG.md), so it gets the merged model.
    """
    vllm = workspace.vllm
    if vllm is None:
        return None
    merged = custom is not None and not (vllm.cuda and (Path(custom.path) / ADAPTER).is_dir())

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training.folder import write_folder

        facts = write_folder(workspace.base, work / BASE_FOLDER)
        for made, name in ((custom, CUSTOM_FOLDER), (feedback, FEEDBACK_FOLDER)) if merged else ():
            trained = Path(made.path) if made else None
            if trained and (trained / ADAPTER).is_dir():
                write_folder(workspace.base, work / name, trained / ADAPTER)
            elif trained:
                write_folder(trained / "weights", work / name)
        return facts | {"merged": merged}

    parents, source = [served, *(a for a in (custom, feedback) if a)], ["training/folder.py", "training/sft.py"]
    return workspace.make("folder", {"merged": merged}, parents, source, build)
