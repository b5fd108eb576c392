"""The releases that a gateway serves, and the switch from one to the next while requests are running.

New models are opened first, each request finishes on the models that it started with, and models that are no longer
needed are closed after their last request. Releases with the same weights share one engine.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from inhouse.assembly.arms import Shared
from inhouse.assembly.isolated import pool
from inhouse.assembly.routes import split_custom
from inhouse.assembly.team import Desk
from inhouse.assembly.workspace import Workspace
from inhouse.assembly.wrappers import BASE, CUSTOM
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, collect, streaming
from inhouse.config.sections import Project
from inhouse.errors import BackendError, GateError, InhouseError, InputError
from inhouse.guardrails.pool import AVAILABLE
from inhouse.models.engine import Serves
from inhouse.serving.open import Opened, open_base, open_release
from inhouse.serving.releases import Releases
from inhouse.serving.state import Serving
from inhouse.tools import Call
from inhouse.types import Message, Release

CLOSE_S = 3.0
WARM_S = 60.0
RECOVER_S = 10.0  # between two looks for calls of tools that a crash left
WARMING = "Which documents do you need to open an account, and what does it cost?"
log = logging.getLogger("inhouse.gateway")
MOST_PROCESSES = 16


@dataclass(eq=False)
class Generation:
    """The models of one revision, by name, and how many answers are in progress on them."""

    revision: int
    models: dict[str, ChatModel] = field(default_factory=dict)
    keys: list[Hashable] = field(default_factory=list)
    watched: list[Callable[[], str]] = field(default_factory=list)
    answering: int = 0
    damage: str = ""


class Named:
    """A ChatModel by name: the model that has the name when a request begins gives the whole answer, and stays open
    until then."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.name = name
        self._fleet = fleet

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        generation, model = self._fleet.begin(self.name)
        try:
            async with streaming(model, request) as events:
                async for event in events:
                    yield event
        finally:
            self._fleet.end(generation)


class Fleet:
    """Every model that the gateway serves, by name, and the switch from one release to the next.

    `custom` is the release in production, or the live split around it; `base` is the base model of that release; then
    come the open releases, by their names, and `others`, such as upstreams. Nothing is open before the first
    `refresh`. Used from one event loop; threads do the opening and closing.
    """

    def __init__(
        self, workspace: Workspace, others: Mapping[str, ChatModel] | None = None, desk: Desk | None = None
    ) -> None:
        self._workspace, self._desk = workspace, desk
        self._recovered = -RECOVER_S
        self._releases = Releases(workspace)
        self._others = dict(others or {})
        self._opened = Shared[Opened]()
        self._engines = Shared[Serves]()
        apart = AVAILABLE and workspace.project.gateway.rail_processes
        self._pool = pool(_processes(workspace.project)) if apart else None
        self._generation: Generation | None = None
        self._leaving: list[Generation] = []
        self._changing = asyncio.Lock()
        self._closing: list[threading.Thread] = []

    def names(self) -> list[str]:
        """The names of all models, `custom` first."""
        return [*(self._generation.models if self._generation else ()), *self._others]

    def model(self, name: str) -> ChatModel:
        """The model with that name.

        Raises:
            InputError: there is none.
        """
        if name in self._others:
            return self._others[name]
        if name not in self.names():
            raise InputError(f"{name}: there is no such model", f"models: {', '.join(self.names())}")
        return Named(self, name)

    async def refresh(self) -> bool:
        """Opens what is to be served now and closes the rest; True if something changed.

        Raises:
            InputError: nothing is in production, or an artifact is gone; what was served stays.
        """
        async with self._changing:
            serving = self._releases.serving()
            before = self._generation
            if self._desk and time.monotonic() - self._recovered > RECOVER_S:
                self._recovered = time.monotonic()
                self._recovering = asyncio.create_task(self._recover(self._desk))
            if before is not None and before.revision == serving.revision:
                await asyncio.to_thread(_look, before)
                return False
            if why := await asyncio.to_thread(self._releases.altered):
                raise GateError(f"{why}, so it is not served", "run `inhouse audit verify`; promote a release again")
            opened = await asyncio.to_thread(self._open_all, serving)
            warm = set(map(id, before.models.values())) if before else set()
            await _warm([m for name, m in opened.models.items() if name not in (BASE, CUSTOM) and id(m) not in warm])
            self._generation = opened
            if before is not None:
                self._leaving.append(before)
                self._retire(before)
            return True

    async def settle(self, call: Call) -> Call:
        """Runs a call of a tool that was approved, or finds out what became of one."""
        return await self._desk.executor.settle(call) if self._desk else call

    async def _recover(self, desk: Desk) -> None:
        """Finds out what became of calls that a crash left."""
        try:
            await desk.executor.recover()
        except BackendError as error:  # tried again later
            log.error("calls that a crash left could not be settled", exc_info=error)

    def close(self) -> None:
        """Closes everything, also what is answering, within CLOSE_S."""
        last, self._generation = self._generation, None
        self._leaving += [last] if last else []
        for generation in list(self._leaving):
            generation.answering = 0
            self._retire(generation)
        until = time.monotonic() + CLOSE_S
        for thread in self._closing:
            thread.join(max(0.0, until - time.monotonic()))
        if self._pool:
            self._pool.close()

    def trouble(self) -> str:
        """Why an engine or the guardrails cannot answer now; "" if all can."""
        if self._generation and self._generation.damage:
            return f"a release is not what was measured: {self._generation.damage}"
        if self._pool and (why := self._pool.trouble):
            return f"the guardrails cannot check anything: {why}"
        return next((f"the engine does not answer: {e.trouble}" for e in self._engines.all() if e.trouble), "")

    def begin(self, name: str) -> tuple[Generation, ChatModel]:
        """The generation that has the name now, for `end` after the answer, and its model."""
        generation = self._generation
        if generation is None or name not in generation.models:
            raise InputError(f"{name}: no longer served", f"models: {', '.join(self.names())}")
        if generation.damage:
            raise BackendError(f"a release is not what was measured: {generation.damage}")
        generation.answering += 1
        return generation, generation.models[name]

    def end(self, generation: Generation) -> None:
        generation.answering -= 1
        self._retire(generation)

    def _open_all(self, serving: Serving) -> Generation:
        """All models of a revision, opened; those that are open already are shared."""
        if not serving.production:
            hint = "create one with `inhouse release`, then put it in production with `inhouse release promote`"
            raise InputError("no release is in production", hint)
        production = self._releases.get(serving.production)
        generation = Generation(serving.revision)
        try:
            generation.models[CUSTOM] = generation.models[BASE] = self._base(generation, production)
            beside = [other.release for other in (serving.canary, serving.shadow) if other]
            wanted = [serving.production, *beside, *(serving.experiment.arms if serving.experiment else ())]
            for name in dict.fromkeys(n for n in wanted if n != BASE):
                release = self._releases.get(name)
                opening = partial(open_release, self._workspace, release, self._engines, self._pool, self._desk)
                generation.models[name] = self._take(generation, name, opening)
            generation.models[CUSTOM] = _custom(serving, generation.models)
        except BaseException:
            self._give_back(generation)
            raise
        return generation

    def _base(self, generation: Generation, release: Release) -> ChatModel:
        key = (BASE, release.weights, release.config, release.calibration, release.index)
        return self._take(generation, key, lambda: open_base(self._workspace, release, self._engines, self._pool))

    def _take(self, generation: Generation, key: Hashable, make: Callable[[], Opened]) -> ChatModel:
        opened = self._opened.take(key, make)
        generation.keys.append(key)
        generation.watched.append(opened.damage)
        return opened.model

    def _retire(self, generation: Generation) -> None:
        """Closes what only this generation holds, once it is leaving and has no answers in progress."""
        if generation.answering or generation not in self._leaving:
            return
        self._leaving = [c for c in self._leaving if c is not generation]
        self._closing = [t for t in self._closing if t.is_alive()]
        thread = threading.Thread(target=self._give_back, args=(generation,), name="closing", daemon=True)
        self._closing.append(thread)
        thread.start()

    def _give_back(self, generation: Generation) -> None:
        for key in generation.keys:
            self._opened.give_back(key)
        generation.keys.clear()


def _processes(project: Project) -> int:
    """How many processes run rails: one for each request that is answered at the same time, up to MOST_PROCESSES."""
    return min(max(project.gateway.parallel or project.model.parallel, 2), MOST_PROCESSES)


async def _warm(models: Sequence[ChatModel]) -> None:
    """Asks each model one question, so that no user waits for pages of weights, rails, and caches to be loaded."""
    question = ChatRequest(messages=(Message(role="user", content=WARMING),), max_tokens=1)
    for model in models:
        try:
            async with asyncio.timeout(WARM_S):
                await collect(model, question)
        except (InhouseError, TimeoutError) as error:  # its requests will show the same
            log.warning("%s did not answer a first question", model.name, exc_info=error)


def _look(generation: Generation) -> None:
    """Finds out whether files of its releases were changed while they are served."""
    damage = next((found for look in generation.watched if (found := look())), "")
    if damage != generation.damage:
        log.error("release files: %s", damage or "as measured again")
    generation.damage = damage


def _custom(serving: Serving, models: Mapping[str, ChatModel]) -> ChatModel:
    """What `custom` is: production, or a split by user."""
    if live := serving.experiment:
        return split_custom(live.name, {arm: (models[arm], weight) for arm, weight in live.arms.items()})
    production = models[serving.production]
    if not serving.canary:
        return production
    release, share = serving.canary.release, serving.canary.percent
    arms = {serving.production: (production, 100 - share), release: (models[release], share)}
    return split_custom(serving.canary.name, arms)
