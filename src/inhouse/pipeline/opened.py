"""What is built, opened: the arms of a project, and what is around them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from inhouse.assembly.arms import Built
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import ConfigError
from inhouse.types import Artifact


class Trained(NamedTuple):
    """The custom model, the one that learned from feedback, the base after continued pre-training, the custom model
    over that, and the experts."""

    custom: Artifact | None
    feedback: Artifact | None
    pretrained: Artifact | None
    pretrained_custom: Artifact | None
    experts: Artifact | None


def check_methods(project: Project) -> None:
    """Raises:
    ConfigError: fine-tuning cannot go on from what the settings have continued pre-training leave.
    """
    if project.training.method != project.pretraining.method:
        what = (
            f'the arms cpt+tuned go on from what was read, and training.method = "{project.training.method}" cannot '
            f'go on from pretraining.method = "{project.pretraining.method}"'
        )
        raise ConfigError(what, 'set both to "lora" or both to "full"')


def built_of(
    workspace: Workspace, served: Artifact, custom: Artifact | None, plain: Artifact | None, at: Artifact | None,
    fused: Artifact | None, guard: Callable[[ChatModel], ChatModel] | None = None,
    learned: Artifact | None = None, feedback: Artifact | None = None, pretrained: Artifact | None = None,
    pretrained_custom: Artifact | None = None, experts: Artifact | None = None,
) -> Built:  # fmt: skip
    """What the project's arms are made from."""
    from inhouse.assembly.guard import Parts
    from inhouse.assembly.private import border_of

    border = functools.partial(border_of, Parts(workspace, workspace.project), fallback=False)
    return Built(
        project=workspace.project, embedder=workspace.embedder, support=workspace.support, weights=served,
        custom=custom, folder=plain, vllm=workspace.vllm, index=at, fusion=fused, guard=guard, commands=learned,
        feedback=feedback, pretrained=pretrained, pretrained_custom=pretrained_custom, experts=experts, border=border,
    )  # fmt: skip


def calibration_of(workspace: Workspace) -> Artifact | None:
    """The calibrations of the latest verdict; None where the confidence rail is off or nothing is calibrated."""
    return workspace.store.latest("calibration") if "confidence" in workspace.project.guardrails.rails else None


def guard_of(workspace: Workspace) -> Callable[[ChatModel], ChatModel]:
    """Wraps a model in the project's guardrails and in its replies to dialog acts."""
    from inhouse.assembly.guard import Parts, wrapped

    return functools.partial(wrapped, Parts(workspace, workspace.project, calibration_of(workspace)))
