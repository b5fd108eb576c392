"""Who answers under a name: releases that say so, the base model on demand, splits of users, upstream servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Note
from inhouse.config.sections import Upstream
from inhouse.errors import ConfigError
from inhouse.models.fallback import Breaker, Fallback
from inhouse.models.openai import OpenAIModel
from inhouse.routing.split import Split

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


def served(name: str, arm: str, model: ChatModel) -> ChatModel:
    """The model, whose first event is the note of layer "release", kind "served": that release and that arm."""
    return Served(name, arm, model)


def base_on_demand(make: Callable[[], ChatModel]) -> ChatModel:
    """The base model under its own name, opened by its first request."""
    return Served(BASE, BASE, OnDemand(BASE, make))


def split_custom(experiment: str, arms: Mapping[str, tuple[ChatModel, float]]) -> ChatModel:
    """`custom`, split by user among the arms by their weights; notes and audit name the experiment."""
    return Split(CUSTOM, experiment, dict(arms))


def upstreams(tables: Sequence[Upstream], local: Callable[[str], ChatModel]) -> dict[str, ChatModel]:
    """The models of the [[upstream]] tables by name; `local` opens `custom` and `base`, when one falls back to them.

    Raises:
        ConfigError: a name is taken or unknown, or a key's environment variable is not set.
    """
    own: dict[str, ChatModel] = {}
    for table in tables:
        if table.name in own or table.name in ("custom", "base") or not table.url:
            raise ConfigError(f"[[upstream]] {table.name}: needs a name of its own, and a url")
        own[table.name] = Breaker(OpenAIModel(table))
    for table in tables:
        if unknown := [name for name in table.fallback if name not in (*own, "custom", "base")]:
            raise ConfigError(f"[[upstream]] {table.name}: fallback {unknown[0]} is not a model of this project")

    def opened(name: str) -> Callable[[], ChatModel]:
        return lambda: own[name] if name in own else local(name)

    return {t.name: Fallback(t.name, [opened(name) for name in (t.name, *t.fallback)]) for t in tables}
