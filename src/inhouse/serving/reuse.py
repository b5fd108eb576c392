"""The approved replies of a project, as the release in production uses them."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.assembly.reuse import Standing, inboxed
from inhouse.assembly.workspace import Workspace
from inhouse.errors import InputError
from inhouse.serving.open import settings_of
from inhouse.serving.releases import Releases
from inhouse.types import Artifact


def standings(workspace: Workspace) -> Sequence[Standing]:
    """Every approved reply, oldest first, and whether it is used: by the release in production, or where there is none,
    by one with the latest index."""
    try:
        release = Releases(workspace).get("production")
    except InputError:
        return inboxed(workspace, workspace.project, workspace.store.latest("index")).all()
    index: Artifact | None = workspace.store.open("index", release.index) if release.index else None
    return inboxed(workspace, settings_of(workspace, release), index).all()
