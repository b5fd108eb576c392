"""What models learn from: examples as rows, with the passages that retrieval finds."""

from __future__ import annotations

from collections.abc import Collection

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Training
from inhouse.retrieval.grounded import ungrounded
from inhouse.retrieval.search import Index, gold_passages
from inhouse.training.rows import Mixer, Row
from inhouse.types import Artifact


def mixer_of(workspace: Workspace, opened: Index, settings: Training) -> Mixer:
    """Makes rows of examples over an opened index."""
    project = workspace.project
    return Mixer(
        grounder=workspace.grounding(opened),
        gold=lambda e: gold_passages(opened, e.question, e.sources),
        ungrounded=lambda messages: ungrounded(messages, project.assistant), support=workspace.support,
        settings=settings, handoff=project.assistant.handoff, seed=project.seed,
    )  # fmt: skip


def training_rows(
    workspace: Workspace, at: Artifact, fused: Artifact | None, data: Artifact, held_out: Collection[str] = ()
) -> tuple[list[Row], list[Row], dict[str, int]]:
    """Rows to learn from, rows that decide when training stops, and the counts of the first by kind; none of the groups
    of examples that are `held_out`."""
    project = workspace.project
    mixer = mixer_of(workspace, workspace.index(at, fused), project.training)
    examples, checked = (
        [e for e in workspace.examples(split, data) if (e.group or e.id) not in held_out]
        for split in ("train", "validation")
    )
    examples = examples[: project.training.max_examples or None]
    rows, counts = mixer.rows(examples, workspace.progress)
    validation, _ = mixer.rows(checked[:24] or examples[:8], workspace.progress)
    return rows, validation, counts
