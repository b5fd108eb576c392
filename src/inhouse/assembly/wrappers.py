"""Small ChatModels around ChatModels: another prompt, a note of who answers, a model opened on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Note, streaming
from inhouse.types import Message

Messages = tuple[Message, ...]
BASE, CUSTOM = "base", "custom"


class Prompted:
    """A ChatModel that rewrites the messages before `model` sees them."""

    def __init__(self, name: str, model: ChatModel, rewrite: Callable[[Messages], Messages]) -> None:
        self.name = name
        self._model = model
        self._rewrite = rewrite

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        rewritten = request.model_copy(update={"messages": self._rewrite(request.messages)})
        async with streaming(self._model, rewritten) as events:
            async for event in events:
                yield event


class Served:
    """A ChatModel whose first event is the note of layer "release", kind "served": which release and arm answers.

    If it does not read the client's system messages, a note of kind "ignored" says where they are.
    """

    def __init__(self, name: str, arm: str, model: ChatModel, reads_system: bool = True) -> None:
        self.name = name
        self._arm, self._model, self._reads_system = arm, model, reads_system

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        yield Note(layer="release", kind="served", data={"release": self.name, "arm": self._arm})
        system = [f"messages[{n}]" for n, m in enumerate(request.messages) if m.role == "system"]
        if system and not self._reads_system:
            yield Note(layer="release", kind="ignored", data=system)
        async with streaming(self._model, request) as events:
            async for event in events:
                yield event


class OnDemand:
    """A ChatModel that is opened by its first request, in a thread, because most machines are short of memory."""

    def __init__(self, name: str, make: Callable[[], ChatModel]) -> None:
        self.name = name
        self._make = make
        self._model: ChatModel | None = None
        self._making = threading.Lock()

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        model = await asyncio.to_thread(self._made) if self._model is None else self._model
        async with streaming(model, request) as events:
            async for event in events:
                yield event

    def _made(self) -> ChatModel:
        with self._making:
            if self._model is None:
                self._model = self._make()
            return self._model


def served(name: str, arm: str, model: ChatModel, reads_system: bool) -> ChatModel:
    """The model, as the arm of the release `name`."""
    return Served(name, arm, model, reads_system)


def base_on_demand(make: Callable[[], ChatModel]) -> ChatModel:
    """The base model under its own name, opened by its first request."""
    return Served(BASE, BASE, OnDemand(BASE, make))
