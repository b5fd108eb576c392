"""Other servers as models, and what happens when one fails: each has a circuit breaker, and others answer instead."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import cast

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note
from inhouse.errors import BackendError, RefusedError

FAILURES = 3  # in a row, before a model is left alone
REST_S = 15.0  # how long it is left alone before it is tried again


class Breaker:
    """A ChatModel that asks `model` no more for a while after it has failed several times in a row.

    Waiting for a server that is down costs every request its time-out; so after FAILURES it fails at once, and after
    REST_S one request tries whether it is back.
    """

    def __init__(self, model: ChatModel, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = model.name
        self._model = model
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the model's answer.

        Raises:
            BackendError: as the model does; at once while it is left alone.
        """
        if self._failures >= FAILURES:
            if self._clock() < self._closed_until:
                raise BackendError(f"{self.name}: failed {self._failures} times in a row and is left alone for now")
            self._closed_until = self._clock() + REST_S  # one tries; the others go on waiting
        try:
            async with aclosing(_stream(self._model, request)) as events:
                async for event in events:
                    if isinstance(event, Finish):  # here, as who reads may leave with it
                        self._failures = 0
                    yield event
        except RefusedError:
            raise  # it works
        except BackendError:
            self._failures += 1
            self._closed_until = self._clock() + REST_S
            raise


class Fallback:
    """A ChatModel that asks the first of its models, and the next where that cannot answer.

    Once text has come there is no way back: the answer then fails as that model's does. A request that a model does not
    take is not tried elsewhere.
    """

    def __init__(self, name: str, models: Sequence[Callable[[], ChatModel]]) -> None:
        self.name = name
        self._models = models

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer of the first model that can; where it is not the first of all, a note says which.

        Raises:
            RefusedError: a model does not take the request.
            BackendError: none could answer, or one failed amid its answer.
        """
        failed: list[str] = []
        for open_model in self._models:
            begun = False
            try:
                model = open_model()
                if failed:
                    yield Note(layer="fallback", kind="served", data={"model": model.name, "after": len(failed)})
                async with aclosing(_stream(model, request)) as events:
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


def _stream(model: ChatModel, request: ChatRequest) -> AsyncGenerator[ChatEvent]:
    return cast("AsyncGenerator[ChatEvent]", model.stream(request))
