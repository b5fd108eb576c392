"""Whether what a project trains can be trained: checks of settings and files, before hours of work."""

from __future__ import annotations

from inhouse.assembly.arms import LEARNED, PRETRAINED, PRETRAINED_TUNED
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.pipeline.opened import check_methods
from inhouse.training import anywhere


def check_trainable(project: Project) -> None:
    """Looks at what the arms of the verdict need; what needs secrets or this machine is `anywhere.check`.

    Raises:
        ConfigError: settings do not go together.
        InputError: a file is missing, or has nothing to learn.
    """
    from inhouse.pipeline.pretrain import check_pretraining

    learns, reads, both = (
        not set(arms).isdisjoint(project.evaluation.arms) for arms in (LEARNED, PRETRAINED, PRETRAINED_TUNED)
    )
    if both:
        check_methods(project)
    if reads:
        check_pretraining(project)
    for name in project.feedback.preferences if learns and "preferences" in project.feedback.use else ():
        if not project.path(name).is_file():
            raise InputError(f"{project.path(name)}: no such file", "name your files under [feedback] preferences")


def cancel(workspace: Workspace) -> list[str]:
    """Ends the jobs elsewhere that builds of this project left behind; what became of each. Errors: as there."""
    project = workspace.project
    return anywhere.cancel(project.training, project.root, workspace.store.unfinished())
