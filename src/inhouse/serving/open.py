"""Releases opened: the nesting that was evaluated, over the artifacts and with the settings that the release names.

`Fleet` is what a gateway holds. It changes from one state of `serving.json` to the next while requests run: what is
new is opened first, a request ends on the models that it began with, and what nobody needs any more is closed after the
last of them. Releases over the same weights share one engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inhouse.assembly.arms import Arms, Shared, open_grounding
from inhouse.assembly.guard import guarded
from inhouse.assembly.routes import base_on_demand, served
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.models.catalog import WEIGHTS
from inhouse.models.embed import OnnxEmbedder
from inhouse.models.llama import LlamaEngine
from inhouse.serving.releases import label
from inhouse.store.artifacts import source_digest
from inhouse.text.support import LexicalSupport
from inhouse.types import Artifact, Digest, Example, Release

log = logging.getLogger("inhouse.gateway")


@dataclass(frozen=True)
class Opened:
    """A release that answers, until it is closed."""

    model: ChatModel
    close: Callable[[], None]


def open_release(workspace: Workspace, release: Release, engines: Shared[LlamaEngine] | None = None) -> Opened:
    """The release as a ChatModel; its first event is the note of layer "release", kind "served".

    Args:
        workspace: the store that holds its artifacts. Settings of its project file do not matter.
        release: what is opened.
        engines: shared with other releases.

    Raises:
        InputError: an artifact of the release is gone.
    """
    if release.classifiers and release.classifiers != source_digest(CLASSIFIERS):
        log.warning("release %s was measured with the guardrails of another version: `inhouse evaluate`, then `inhouse "
                    "release`, measure it again", label(release))  # fmt: skip
    arms = _arms(workspace, release, engines)
    try:
        shown = [Example.from_openai(row) for row in release.settings.get("few_shot", ())]
        model = arms.open(release.arm, shown)
    except BaseException:
        arms.close()
        raise
    return Opened(served(label(release), release.arm, model), arms.close)


def open_base(workspace: Workspace, release: Release, engines: Shared[LlamaEngine] | None = None) -> Opened:
    """The base model that the release stands on, as it is; its engine is loaded by the first request."""
    arms = _arms(workspace, release, engines, bare=True)
    return Opened(base_on_demand(lambda: _guarded(workspace, release, arms.base())), arms.close)


def _guarded(workspace: Workspace, release: Release, model: ChatModel) -> ChatModel:
    """The model behind the rails that the release names; base too, or it would be the way around them."""
    calibrated = _there(workspace, release, "calibration", release.calibration) if release.calibration else None
    measured = partial(_there, workspace, release, "report", release.report)
    return guarded(workspace, model, settings_of(workspace, release), calibrated, measured)


def settings_of(workspace: Workspace, release: Release) -> Project:
    """The project as the release was measured."""
    sections = {name: value for name, value in release.settings.items() if name in Project.model_fields}
    return Project.model_validate(sections).at(workspace.project.root)


def _arms(workspace: Workspace, release: Release, engines: Shared[LlamaEngine] | None, bare: bool = False) -> Arms:
    """The arms over the release's artifacts; `bare` leaves out all but the base."""
    project = settings_of(workspace, release)
    weights = _there(workspace, release, "weights", release.weights, WEIGHTS)
    name = project.retrieval.embedder
    same = name == workspace.project.retrieval.embedder
    embedder = workspace.embedder if same else OnnxEmbedder(workspace.catalog.find(name, project.root))
    support = LexicalSupport(project.assistant.handoff, embedder)
    if bare:
        return Arms(project, weights, None, None, support, engines)
    guard = partial(_guarded, workspace, release)
    custom = _there(workspace, release, "adapter", release.adapter, WEIGHTS) if release.adapter else None
    grounding = None
    if release.index:
        fusion = _there(workspace, release, "fusion", release.fusion) if release.fusion else None
        grounding = open_grounding(_there(workspace, release, "index", release.index), fusion, embedder, project)
    return Arms(project, weights, custom, grounding, support, engines, guard)


def _there(workspace: Workspace, release: Release, kind: str, key: Digest, file: str = "") -> Artifact:
    try:
        found = workspace.store.open(kind, key)
        if file and not (Path(found.path) / file).is_file():
            raise InputError(f"{Path(found.path) / file}: not there")
    except InputError as error:
        hint = "put the folder back, or build with the settings of that release: the same settings make it again"
        raise InputError(f"release {label(release)} cannot be opened: its {kind} is gone ({error})", hint) from error
    return found
