"""When a model server fails: a circuit breaker for each server, and a fallback to the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.errors import BackendError, RefusedError

FAILURES = 3  # in a row, before a model is disabled
REST_S = 15.0  # how long it is disabled before it is tried again


class Breaker:
    """A ChatModel that temporarily disables `model` after several failures in a row.

    Every request to a server that is down would wait for the time-out. So after FAILURES requests fail at once, and
    after REST_S one request tries the server again.
    """

    def __init__(self, model: ChatModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = model.name
        self._model = model
        self._clock = clock
        self._failures = 0
        self._disabled_until = 0.0

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the model's answer.

        Raises:
            BackendError: as the model does; at once while the model is disabled.
        """
        if self._failures >= FAILURES:
            if self._clock() < self._disabled_until:
                reason = f"{self.name}: temporarily disabled after {self._failures} failures in a row"
                raise BackendError(reason, f"it is tried again every {REST_S:g} s; check that the server is running")
            self._disabled_until = self._clock() + REST_S  # this request tries the model; others still fail at once
        try:
            async with streaming(self._model, request) as events:
                async for event in events:
                    if isinstance(event, Finish):  # here, because the caller may stop reading at it
                        self._failures = 0
                    yield event
        except RefusedError:
            raise  # the server works
        except BackendError:
            self._failures += 1
            self._disabled_until = self._clock() + REST_S
            raise


class InTime:
    """A ChatModel that fails where `model` says nothing within `timeout_s` seconds; inside of a Breaker that counts."""

    def __init__(self, model: ChatModel, timeout_s: float) -> None:
        self.name = model.name
        self._model = model
        self._timeout_s = timeout_s

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the model's answer.

        Raises:
            BackendError: as the model does; its first text or call does not come in time.
        """
        deadline: float | None = asyncio.get_running_loop().time() + self._timeout_s
        async with streaming(self._model, request) as events:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events, None)
                except TimeoutError as error:
                    what = f"{self.name}: no answer within {self._timeout_s:g} s"
                    raise BackendError(what, "raise `timeout_s`, or check the server") from error
                if event is None:
                    return
                deadline = None if isinstance(event, Delta) else deadline
                yield event


class Fallback:
    """A ChatModel that asks its first model, and the next one when that fails.

    Once a model has sent text, its failure is the answer's. A request that a model rejects is not sent to the others.
    """

    def __init__(self, name: str, models: Sequence[Callable[[], ChatModel]]) -> None:
        self.name = name
        self._models = models

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer of the first model that can give one; a note names the model if it is not the first.

        Raises:
            RefusedError: a model rejects the request.
            BackendError: no model could answer, or one failed in the middle of its answer.
        """
        failed: list[str] = []
        for open_model in self._models:
            begun = False
            try:
                model = open_model()
                if failed:
                    yield Note(layer="fallback", kind="served", data={"model": model.name, "after": len(failed)})
                async with streaming(model, request) as events:
                    async for event in events:
                        begun = begun or isinstance(event, Delta)
                        yield event
                return
            except RefusedError:
                raise
            except BackendError as error:
                if begun:
                    raise
                failed.append(str(error))
        raise BackendError(f"{self.name}: no server could answer: {'; '.join(failed)}")
