"""The releases that a gateway answers with, and the change from one to the next under requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial

from inhouse.assembly.arms import Shared
from inhouse.assembly.routes import BASE, CUSTOM, split_custom
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatEvent, ChatModel, ChatRequest
from inhouse.errors import InputError
from inhouse.models.llama import LlamaEngine
from inhouse.serving.open import Opened, open_base, open_release
from inhouse.serving.releases import Releases, Serving, canary_name
from inhouse.types import Release

# --- the fleet --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Generation:
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
        generation, model = self._fleet.begin(self.name)
        try:
            async for event in model.stream(request):
                yield event
        finally:
            self._fleet.end(generation)


class Fleet:
    """Every model that the gateway answers with, by name, and the change from one release to the next.

    `custom` is the release in production, or the live split around it; `base` is the base model of that release as it
    is; then come the releases that are open, by their own names, and `others`, such as upstreams.
    Nothing is open before the first `refresh`. Used from one event loop; opening and closing are done by threads.
    """

    def __init__(self, workspace: Workspace, others: Mapping[str, ChatModel] | None = None) -> None:
        self._workspace = workspace
        self._releases = Releases(workspace)
        self._others = dict(others or {})
        self._opened = Shared[Opened]()
        self._engines = Shared[LlamaEngine]()
        self._generation: Generation | None = None
        self._leaving: list[Generation] = []
        self._changing = asyncio.Lock()
        self._closing: list[threading.Thread] = []

    def names(self) -> list[str]:
        """Names that `model` knows, `custom` first."""
        return [*(self._generation.models if self._generation else ()), *self._others]

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
            before = self._generation
            if before is not None and before.revision == serving.revision:
                return False
            self._generation = await asyncio.to_thread(self._open_all, serving)
            if before is not None:
                self._leaving.append(before)
                self._retire(before)
            return True

    def close(self) -> None:
        """Closes everything; answers under way are waited for by their engines."""
        last, self._generation = self._generation, None
        self._leaving += [last] if last else []
        for generation in list(self._leaving):
            generation.answering = 0
            self._retire(generation)
        for thread in self._closing:
            thread.join()

    def begin(self, name: str) -> tuple[Generation, ChatModel]:
        """Who answers to the name now, and the crew to be told when the answer is over."""
        generation = self._generation
        if generation is None or name not in generation.models:
            raise InputError(f"{name}: no longer served", f"served: {', '.join(self.names())}")
        generation.answering += 1
        return generation, generation.models[name]

    def end(self, generation: Generation) -> None:
        generation.answering -= 1
        self._retire(generation)

    def _open_all(self, serving: Serving) -> Generation:
        """Everything of a revision, opened; what is open already is shared."""
        if not serving.production:
            hint = "`inhouse release` makes one of the verdict, `inhouse release promote` puts it there"
            raise InputError("no release is in production", hint)
        production = self._releases.get(serving.production)
        generation = Generation(serving.revision)
        try:
            generation.models[CUSTOM] = generation.models[BASE] = self._base(generation, production)
            wanted = [serving.production, serving.canary, *(serving.experiment.arms if serving.experiment else ())]
            for name in dict.fromkeys(n for n in wanted if n and n != BASE):
                opening = partial(open_release, self._workspace, self._releases.get(name), self._engines)
                generation.models[name] = self._take(generation, name, opening)
            generation.models[CUSTOM] = _custom(serving, generation.models)
        except BaseException:
            self._give_back(generation)
            raise
        return generation

    def _base(self, generation: Generation, release: Release) -> ChatModel:
        key = (BASE, release.weights, release.config, release.calibration)
        return self._take(generation, key, lambda: open_base(self._workspace, release, self._engines))

    def _take(self, generation: Generation, key: Hashable, make: Callable[[], Opened]) -> ChatModel:
        opened = self._opened.take(key, make)
        generation.held.append(key)
        return opened.model

    def _retire(self, generation: Generation) -> None:
        """Closes what only this crew held, once it is leaving and nobody is answered by it any more."""
        if generation.answering or generation not in self._leaving:
            return
        self._leaving = [c for c in self._leaving if c is not generation]
        self._closing = [t for t in self._closing if t.is_alive()]
        thread = threading.Thread(target=self._give_back, args=(generation,), name="closing")
        self._closing.append(thread)
        thread.start()

    def _give_back(self, generation: Generation) -> None:
        for key in generation.held:
            self._opened.give_back(key)
        generation.held.clear()


def _custom(serving: Serving, models: Mapping[str, ChatModel]) -> ChatModel:
    """What `custom` is: production, or a split by user."""
    if live := serving.experiment:
        return split_custom(live.name, {arm: (models[arm], weight) for arm, weight in live.arms.items()})
    production = models[serving.production]
    if not serving.canary:
        return production
    share = serving.canary_percent
    arms = {serving.production: (production, 100 - share), serving.canary: (models[serving.canary], share)}
    return split_custom(canary_name(serving.canary), arms)
