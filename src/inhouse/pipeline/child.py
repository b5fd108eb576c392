"""Stages in child processes, so that the memory of PyTorch and spaCy goes back to the machine after each.

The child makes the artifact in the store, under the stage's lock; the parent reads it there. A child whose parent is
gone exits, and leaves what any killed stage leaves: a work folder that the next run continues from.
"""

from __future__ import annotations

from pathlib import Path

from inhouse import process
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.models.catalog import Catalog
from inhouse.pipeline.stages import STAGES
from inhouse.types import Artifact, Json, Progress, Record


class StageJob(Record):
    """A stage, by the kind of its artifact, and the workspace that it runs in."""

    kind: str
    project: dict[str, Json]
    root: Path
    cache: Path


def make_in_child(workspace: Workspace, kind: str) -> Artifact:
    """The artifact of a kind, made in a child process; a `delegate` of Workspace.

    Raises:
        InhouseError: the error of the stage, of the same class.
        BackendError: the child crashed or was killed.
    """
    job = StageJob(
        kind=kind, project=workspace.project.model_dump(mode="json"), root=workspace.project.root.resolve(),
        cache=workspace.catalog.folder.parent.resolve(),
    )  # fmt: skip
    name = f"the stage '{STAGES[kind].__name__}'"
    result = process.run(__name__, job.model_dump(mode="json"), name, workspace.progress)
    return workspace.store.open(kind, str(result["key"]))


def work(request: Json, progress: Progress) -> dict[str, Json]:
    """Called by inhouse.process in the child."""
    job = StageJob.model_validate(request)
    project = Project.model_validate(job.project).at(job.root)
    return {"key": STAGES[job.kind](Workspace(project, Catalog(job.cache), progress)).key}
