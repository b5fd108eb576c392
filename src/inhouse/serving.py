"""Releases opened: the nesting that was evaluated, over the artifacts and with the settings that the release names.

`Fleet` is what a gateway holds. It changes from one state of `serving.json` to the next while requests run: what is
new is opened first, a request ends on the models that it began with, and what nobody needs any more is closed after the
last of them. Releases over the same weights share one engine.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from inhouse.arms import Arms, Shared, open_grounding
from inhouse.config import Project
from inhouse.guardrails.heads import FOLDER as HEADS
from inhouse.models.catalog import WEIGHTS
from inhouse.models.embed import OnnxEmbedder
from inhouse.models.llama import LlamaEngine
from inhouse.pipeline import Site
from inhouse.rails import guarded
from inhouse.releases import Releases, Serving, canary_name, label
from inhouse.retrieval.citations import LexicalSupport
from inhouse.routing.split import Split
from inhouse.store.artifacts import source_digest
from inhouse.types import Artifact, ChatEvent, ChatModel, ChatRequest, Digest, Example, InputError, Note, Release

log = logging.getLogger("inhouse.gateway")
BASE, CUSTOM = "base", "custom"


class Served:
    """A ChatModel that says first which release and arm answers."""

    def __init__(self, name: str, arm: str, model: ChatModel) -> None:
        self.name = name
        self._arm, self._model = arm, model

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        yield Note(layer="release", kind="served", data={"release": self.name, "arm": self._arm})
        async for event in self._model.stream(request):
            yield event


class OnDemand:
    """A ChatModel that is opened by the first request, in a thread, since most machines are short of memory."""

    def __init__(self, name: str, make: Callable[[], ChatModel]) -> None:
        self.name = name
        self._make = make
        self._model: ChatModel | None = None
        self._making = threading.Lock()

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        model = await asyncio.to_thread(self._made) if self._model is None else self._model
        async for event in model.stream(request):
            yield event

    def _made(self) -> ChatModel:
        with self._making:
            if self._model is None:
                self._model = self._make()
            return self._model


@dataclass(frozen=True)
class Opened:
    """A release that answers, until it is closed."""

    model: ChatModel
    close: Callable[[], None]


def open_release(site: Site, release: Release, engines: Shared[LlamaEngine] | None = None) -> Opened:
    """The release as a ChatModel; its first event is the note of layer "release", kind "served".

    Args:
        site: the store that holds its artifacts. Settings of its project file do not matter.
        release: what is opened.
        engines: shared with other releases.

    Raises:
        InputError: an artifact of the release is gone.
    """
    if release.heads and release.heads != source_digest(HEADS):
        log.warning("release %s was measured with the guardrails of another version: `inhouse evaluate`, then `inhouse "
                    "release`, measure it again", label(release))  # fmt: skip
    arms = _arms(site, release, engines)
    try:
        shown = [Example.from_openai(row) for row in release.settings.get("few_shot", ())]
        model = arms.open(release.arm, shown)
    except BaseException:
        arms.close()
        raise
    return Opened(Served(label(release), release.arm, model), arms.close)


def open_base(site: Site, release: Release, engines: Shared[LlamaEngine] | None = None) -> Opened:
    """The base model that the release stands on, as it is; its engine is loaded by the first request."""
    arms = _arms(site, release, engines, bare=True)
    return Opened(Served(BASE, BASE, OnDemand(BASE, lambda: _guarded(site, release, arms.base()))), arms.close)


def _guarded(site: Site, release: Release, model: ChatModel) -> ChatModel:
    """The model behind the rails that the release names; base too, or it would be the way around them."""
    calibrated = _there(site, release, "calibration", release.calibration) if release.calibration else None
    measured = partial(_there, site, release, "report", release.report)
    return guarded(site, model, settings_of(site, release), calibrated, measured)


def settings_of(site: Site, release: Release) -> Project:
    """The project as the release was measured."""
    sections = {name: value for name, value in release.settings.items() if name in Project.model_fields}
    return Project.model_validate(sections).at(site.project.root)


def _arms(site: Site, release: Release, engines: Shared[LlamaEngine] | None, bare: bool = False) -> Arms:
    """The arms over the release's artifacts; `bare` leaves out all but the base."""
    project = settings_of(site, release)
    weights = _there(site, release, "weights", release.weights, WEIGHTS)
    name = project.retrieval.embedder
    same = name == site.project.retrieval.embedder
    embedder = site.embedder if same else OnnxEmbedder(site.catalog.find(name, project.root))
    support = LexicalSupport(project.assistant.handoff, embedder)
    if bare:
        return Arms(project, weights, None, None, support, engines)
    guard = partial(_guarded, site, release)
    custom = _there(site, release, "adapter", release.adapter, WEIGHTS) if release.adapter else None
    grounding = None
    if release.index:
        fusion = _there(site, release, "fusion", release.fusion) if release.fusion else None
        grounding = open_grounding(_there(site, release, "index", release.index), fusion, embedder, project)
    return Arms(project, weights, custom, grounding, support, engines, guard)


def _there(site: Site, release: Release, kind: str, key: Digest, file: str = "") -> Artifact:
    try:
        found = site.store.open(kind, key)
        if file and not (Path(found.path) / file).is_file():
            raise InputError(f"{Path(found.path) / file}: not there")
    except InputError as error:
        hint = "put the folder back, or build with the settings of that release: the same settings make it again"
        raise InputError(f"release {label(release)} cannot be opened: its {kind} is gone ({error})", hint) from error
    return found


# --- the fleet --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Crew:
    """The models of one revision, by name, and how many answers are under way on them."""

    revision: int
    models: dict[str, ChatModel] = field(default_factory=dict)
    held: list[Hashable] = field(default_factory=list)
    answering: int = 0


class Named:
    """A ChatModel by name: who bears it when a request begins gives the whole answer, and is held open until then."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.name = name
        self._fleet = fleet

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        crew, model = self._fleet.begin(self.name)
        try:
            async for event in model.stream(request):
                yield event
        finally:
            self._fleet.end(crew)


class Fleet:
    """Every model that the gateway answers with, by name, and the change from one release to the next.

    `custom` is the release in production, or the live split around it; `base` is the base model of that release as it
    is; then come the releases that are open, by their own names, and `others`, such as upstreams.
    Nothing is open before the first `refresh`. Used from one event loop; opening and closing are done by threads.
    """

    def __init__(self, site: Site, others: Mapping[str, ChatModel] | None = None) -> None:
        self._site = site
        self._releases = Releases(site)
        self._others = dict(others or {})
        self._opened = Shared[Opened]()
        self._engines = Shared[LlamaEngine]()
        self._crew: Crew | None = None
        self._leaving: list[Crew] = []
        self._changing = asyncio.Lock()
        self._closing: list[threading.Thread] = []

    def names(self) -> list[str]:
        """Names that `model` knows, `custom` first."""
        return [*(self._crew.models if self._crew else ()), *self._others]

    def model(self, name: str) -> ChatModel:
        """The model under that name.

        Raises:
            InputError: there is none.
        """
        if name in self._others:
            return self._others[name]
        if name not in self.names():
            raise InputError(f"{name}: no such model is served", f"served: {', '.join(self.names())}")
        return Named(self, name)

    async def refresh(self) -> bool:
        """Opens what is now to be served and lets the old go; True where something changed.

        Raises:
            InputError: nothing is in production, or an artifact is gone; what was served goes on.
        """
        async with self._changing:
            serving = self._releases.serving()
            before = self._crew
            if before is not None and before.revision == serving.revision:
                return False
            self._crew = await asyncio.to_thread(self._muster, serving)
            if before is not None:
                self._leaving.append(before)
                self._retire(before)
            return True

    def close(self) -> None:
        """Closes everything; answers under way are waited for by their engines."""
        last, self._crew = self._crew, None
        self._leaving += [last] if last else []
        for crew in list(self._leaving):
            crew.answering = 0
            self._retire(crew)
        for thread in self._closing:
            thread.join()

    def begin(self, name: str) -> tuple[Crew, ChatModel]:
        """Who answers to the name now, and the crew to be told when the answer is over."""
        crew = self._crew
        if crew is None or name not in crew.models:
            raise InputError(f"{name}: no longer served", f"served: {', '.join(self.names())}")
        crew.answering += 1
        return crew, crew.models[name]

    def end(self, crew: Crew) -> None:
        crew.answering -= 1
        self._retire(crew)

    def _muster(self, serving: Serving) -> Crew:
        """Everything of a revision, opened; what is open already is shared."""
        if not serving.production:
            hint = "`inhouse release` makes one of the verdict, `inhouse release promote` puts it there"
            raise InputError("no release is in production", hint)
        production = self._releases.get(serving.production)
        crew = Crew(serving.revision)
        try:
            crew.models[CUSTOM] = crew.models[BASE] = self._base(crew, production)
            wanted = [serving.production, serving.canary, *(serving.experiment.arms if serving.experiment else ())]
            for name in dict.fromkeys(n for n in wanted if n and n != BASE):
                opening = partial(open_release, self._site, self._releases.get(name), self._engines)
                crew.models[name] = self._take(crew, name, opening)
            crew.models[CUSTOM] = _custom(serving, crew.models)
        except BaseException:
            self._give_back(crew)
            raise
        return crew

    def _base(self, crew: Crew, release: Release) -> ChatModel:
        key = (BASE, release.weights, release.config, release.calibration)
        return self._take(crew, key, lambda: open_base(self._site, release, self._engines))

    def _take(self, crew: Crew, key: Hashable, make: Callable[[], Opened]) -> ChatModel:
        opened = self._opened.take(key, make)
        crew.held.append(key)
        return opened.model

    def _retire(self, crew: Crew) -> None:
        """Closes what only this crew held, once it is leaving and nobody is answered by it any more."""
        if crew.answering or crew not in self._leaving:
            return
        self._leaving = [c for c in self._leaving if c is not crew]
        self._closing = [t for t in self._closing if t.is_alive()]
        thread = threading.Thread(target=self._give_back, args=(crew,), name="closing")
        self._closing.append(thread)
        thread.start()

    def _give_back(self, crew: Crew) -> None:
        for key in crew.held:
            self._opened.give_back(key)
        crew.held.clear()


def _custom(serving: Serving, models: Mapping[str, ChatModel]) -> ChatModel:
    """What `custom` is: production, or a split by user."""
    if serving.experiment:
        live = serving.experiment
        return Split(CUSTOM, live.name, {arm: (models[arm], weight) for arm, weight in live.arms.items()})
    production = models[serving.production]
    if not serving.canary:
        return production
    share = serving.canary_percent
    arms = {serving.production: (production, 100 - share), serving.canary: (models[serving.canary], share)}
    return Split(CUSTOM, canary_name(serving.canary), arms)
