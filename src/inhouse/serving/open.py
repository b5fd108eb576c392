"""Releases opened: the arm that was evaluated, over the artifacts and with the settings that the release names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inhouse.assembly.arms import Arms, Built, Shared, endpoint_of
from inhouse.assembly.cascade import with_cascade
from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.isolated import Isolated
from inhouse.assembly.private import border_of
from inhouse.assembly.reuse import reused_of
from inhouse.assembly.team import Desk, check_tools, open_team, read_team
from inhouse.assembly.workspace import Workspace, engine_name
from inhouse.assembly.wrappers import base_on_demand, served
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import GateError, InhouseError, InputError
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.guardrails.pool import Pool
from inhouse.models.catalog import WEIGHTS
from inhouse.models.engine import Serves
from inhouse.models.engines import place_of
from inhouse.serving.pins import check, refuse
from inhouse.serving.releases import label
from inhouse.serving.versions import measured
from inhouse.store.artifacts import source_digest
from inhouse.store.sums import Sums
from inhouse.text.support import LexicalSupport
from inhouse.training.job import ENDPOINT
from inhouse.types import Artifact, Digest, Example, Release

log = logging.getLogger("inhouse.gateway")


@dataclass(frozen=True)
class Opened:
    """A release that answers, until it is closed."""

    model: ChatModel
    close: Callable[[], None]
    damage: Callable[[], str] = str  # the first file that was changed since, "" if none was


def open_release(
    workspace: Workspace, release: Release, engines: Shared[Serves] | None = None, pool: Pool | None = None,
    desk: Desk | None = None,
) -> Opened:  # fmt: skip
    """The release as a ChatModel; its first event is the note of layer "release", kind "served".

    Args:
        workspace: the store that holds its artifacts. Of the settings of its project file, only [reuse] matters.
        release: what is opened.
        engines: shared with other releases.
        pool: processes for its rails; by default they run in this one.
        desk: what its agents act with, if it has any.

    Raises:
        InputError: an artifact of the release is gone.
        GateError: a file or a tool differs from what was measured.
    """
    name, arm = label(release), release.arm
    if release.classifiers and release.classifiers != source_digest(CLASSIFIERS):
        log.warning("release %s was measured with guardrails of another version; to measure it again, run `inhouse "
                    "evaluate`, then `inhouse release`", name)  # fmt: skip
    with ExitStack() as opened:
        built, parts = _built(workspace, release, pool, opened)
        if release.engine and release.engine != (now := engine_name(built.project.model, built.vllm)):
            log.warning("release %s was measured with %s, and is served with %s; to measure it again, run `inhouse "
                        "evaluate`, then `inhouse release`", name, release.engine, now)  # fmt: skip
        arms = Arms(built, engines)
        opened.callback(arms.close)
        with verified(workspace, release) as sums:
            model = _answering(workspace, release, arms, parts, desk)
        reads_system = built.project.assistant.client_system == "append"
        damage = Watch(workspace, release, sums).damage
        return Opened(served(name, arm, model, reads_system), opened.pop_all().close, damage)


class Watch:
    """Finds changes to the files of an open release: engine and index read them all the time. Looking costs a few
    calls of the system; only a file that was touched is read again."""

    def __init__(self, workspace: Workspace, release: Release, sums: Sums) -> None:
        self._workspace, self._release, self._sums = workspace, release, sums
        self._damage = ""

    def damage(self) -> str:
        """The first file that is not as measured, "" if all are."""
        if self._sums.changed():
            settings = settings_of(self._workspace, self._release)
            try:
                found = check(self._workspace, self._release, settings, self._sums)
                self._damage = next((c.problem for c in found if c.problem), "")
            except InhouseError as error:
                self._damage = str(error)
        return self._damage


@contextmanager
def verified(workspace: Workspace, release: Release) -> Iterator[Sums]:
    """Checks the bytes of a release; the block opens or copies its files, which must not be written meanwhile.

    Raises:
        GateError: a file differs from what was measured.
    """
    sums, name = workspace.store.sums(), label(release)
    refuse(name, check(workspace, release, settings_of(workspace, release), sums))
    sums.keep()
    yield sums
    if file := sums.changed():
        raise GateError(f"release {name} was not opened: {file} was written meanwhile", "find out what writes to it")


def open_base(
    workspace: Workspace, release: Release, engines: Shared[Serves] | None = None, pool: Pool | None = None
) -> Opened:
    """The base model of the release behind its guardrails and replies, or it would be a way around them; its engine
    is loaded by the first request."""
    opened = ExitStack()
    built, _ = _built(workspace, release, pool, opened)
    arms = Arms(built, engines)
    opened.callback(arms.close)

    def made() -> ChatModel:
        with verified(workspace, release):
            return built.guard(arms.base()) if built.guard else arms.base()

    model = base_on_demand(made)
    return Opened(model, opened.close)


def few_shot_of(release: Release) -> list[Example]:
    """The examples in the prompt of the arm `prompt`."""
    return [Example.from_openai(row) for row in release.settings.get("few_shot", ())]


def settings_of(workspace: Workspace, release: Release) -> Project:
    """The project as the release was measured.

    Raises:
        InputError: this version of inhouse does not know its settings.
    """
    return measured(workspace, f"release {label(release)}", release.settings)


def _answering(workspace: Workspace, release: Release, arms: Arms, parts: Parts, desk: Desk | None) -> ChatModel:
    """The arm of a release, with its agents around it if it has any."""
    if not release.team:
        return arms.open(release.arm, few_shot_of(release))
    if desk is None:
        raise InputError(f"release {label(release)} has agents, which nothing can act for here", "use `inhouse serve`")
    embedder = workspace.embedder_of(parts.project.retrieval)
    team = read_team(workspace.store, _artifact(workspace, release, "team", release.team), embedder)
    check_tools(team, desk.tools)
    return open_team(team, arms, release.arm, desk, parts, few_shot_of(release))


def _built(workspace: Workspace, release: Release, pool: Pool | None, opened: ExitStack) -> tuple[Built, Parts]:
    """What the release's arm and its rails are made from; artifacts that another arm would need are not named.

    What it holds of the pool is given back when `opened` closes.
    """
    project = settings_of(workspace, release)
    model = project.model.model_copy(update={"parallel": workspace.project.model.parallel})
    project = project.model_copy(update={"model": model}).at(project.root)
    isolated = opened.enter_context(closing(Isolated(pool))) if pool else None
    embedder = workspace.embedder_of(project.retrieval)
    artifact = partial(_artifact, workspace, release)
    calibration = artifact("calibration", release.calibration) if release.calibration else None
    verdict = partial(artifact, "report", release.report)
    index = artifact("index", release.index) if release.index else None
    reused = reused_of(workspace, project, index) if workspace.project.reuse.enabled else None
    parts = Parts(workspace, project, calibration, verdict=verdict, index=index, runner=isolated, reused=reused)
    built = Built(
        project,
        embedder,
        LexicalSupport(project.assistant.handoff, embedder),
        weights=artifact("weights", release.weights, WEIGHTS),
        custom=artifact("adapter", release.adapter) if release.adapter else None,
        feedback=artifact("feedback", release.feedback, WEIGHTS) if release.feedback else None,
        pretrained=artifact("pretrained", release.pretrained, WEIGHTS) if release.pretrained else None,
        pretrained_custom=artifact("pretrained_adapter", made, WEIGHTS)
        if (made := release.pretrained_adapter)
        else None,
        folder=artifact("folder", release.folder) if release.folder else None,
        vllm=place_of(workspace.project.model, workspace.catalog) if release.folder else None,
        index=index,
        fusion=artifact("fusion", release.fusion) if release.fusion else None,
        guard=partial(wrapped, parts),
        border=partial(border_of, parts),
        commands=artifact("commands", release.commands) if release.commands else None,
        experts=artifact("experts", release.experts) if release.experts else None,
    )
    if release.cascade:
        built = with_cascade(built, parts, artifact("cascade", release.cascade))
    return built, parts


def _artifact(workspace: Workspace, release: Release, kind: str, key: Digest, file: str = "") -> Artifact:
    try:
        made = workspace.store.open(kind, key)
        if kind == "adapter":
            file = ENDPOINT if endpoint_of(made) else WEIGHTS
        gone = file and not (Path(made.path) / file).is_file()
        if gone and file not in workspace.store.left_out(kind, key):
            raise InputError(f"{Path(made.path) / file}: not there")
    except InputError as error:
        hint = "restore the folder, or build with that release's settings to recreate it"
        raise InputError(f"release {label(release)} cannot be opened: its {kind} is gone ({error})", hint) from error
    return made
