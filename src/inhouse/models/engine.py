"""What the engines have in common: each serves the OpenAI API, mostly from a supervised process on this machine."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Literal, Protocol

import httpx

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Finish
from inhouse.errors import BackendError, RefusedError, RestartingError
from inhouse.models.openai import events_of, wire_body
from inhouse.models.remote import Remote
from inhouse.models.supervised import Supervised
from inhouse.schema import problem
from inhouse.types import Json

PASSED = (
    "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
)  # fmt: skip
"""Not tools: the engines' grammars for them fail on ordinary descriptions (llama.cpp#27619); see agents/calling.py."""
CONNECT_S = 5.0


class Serves(Protocol):
    """What answers as a ChatModel until it is closed; `trouble` says why it cannot now, "" if it can."""

    @property
    def trouble(self) -> str: ...

    def model(self, name: str) -> ChatModel: ...

    def close(self) -> None: ...


class Engine:
    """A supervised process with a random key, so that no other program can use it without the guardrails.

    Attributes:
        process: it, or a server that others run.
        socket: the Unix socket that it listens on, "" for a loopback port.
        certificates: that TLS is checked with; False on this machine, where there is none.
    """

    process: Supervised | Remote
    socket = ""
    certificates: ssl.SSLContext | Literal[False] = False

    def __init__(self) -> None:
        self.api_key = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """Where the engine listens; another port after it was restarted."""
        return self.process.url

    @property
    def trouble(self) -> str:
        """Why the engine cannot answer now; "" if it can."""
        return self.process.trouble or self.process.slow

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def close(self) -> None:
        """Stops the engine at once and frees its memory."""
        self.process.close()

    def client(self, url: str, timeout_s: float) -> httpx.Client:
        """A client of the engine; the caller closes it."""
        transport = httpx.HTTPTransport(uds=self.socket or None, verify=self.certificates)
        return httpx.Client(base_url=url, timeout=timeout_s, headers=self.headers(), transport=transport)

    def answers(self) -> httpx.AsyncClient:
        """The same for an answer, without a time limit: whether the engine still works, its supervisor knows."""
        uds, timeout = self.socket or None, httpx.Timeout(None, connect=CONNECT_S)
        transport = httpx.AsyncHTTPTransport(uds=uds, verify=self.certificates)
        return httpx.AsyncClient(base_url=self.url, timeout=timeout, headers=self.headers(), transport=transport)


class EngineModel:
    """A ChatModel. Greedy answers are deterministic for the same engine, request, and requests in the same batch.

    Attributes:
        told_of_death: whether an engine that dies says so with an error, instead of closing the connection.
    """

    told_of_death = False

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self._engine = engine

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """What the engine is sent for a request."""
        extra = {name: value for name, value in request.extra.items() if name in PASSED}
        plain = {"extra": extra, "temperature": request.temperature or 0.0, "json_schema": None}
        # Confidence needs the log-probability of every token, whether the caller wants to see it or not.
        confident = {"logprobs": True, "top_logprobs": max(1, request.logprobs or 0)}
        return wire_body(request.model_copy(update=plain)) | confident

    def turn(self, request: ChatRequest) -> AbstractAsyncContextManager[Mapping[str, Json]]:
        """Waits until the engine takes the request; gives what else it is sent."""
        return nullcontext({})

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer as the engine generates it. Leaving the iteration stops the generation.

        A request is repeated once if the engine dies before it has said anything.

        Raises:
            RefusedError: the engine rejects the request, such as a conversation longer than its context.
            RestartingError: the engine failed, and is being restarted.
            BackendError: it answered what cannot be understood.
        """
        if request.json_schema is not None and (why := await asyncio.to_thread(problem, request.json_schema)):
            raise RefusedError(why)
        body, last = self.body(request), None
        async with self.turn(request) as more, aclosing(self._repeated(body | dict(more), request.logprobs)) as events:
            async for event in events:
                if isinstance(event, Finish):
                    last = event  # the turn is over before the caller, who may not come back, gets it
                else:
                    yield event
        if last:
            yield last

    async def _repeated(self, body: dict[str, Any], logprobs: int | None) -> AsyncGenerator[ChatEvent]:
        said = False
        for attempt in (1, 2):
            try:
                async with aclosing(self._events(body, logprobs)) as events:
                    async for event in events:
                        said = True
                        yield event
                return
            except (httpx.HTTPError, BackendError) as error:
                broken = isinstance(error, httpx.HTTPError)
                if not broken and (isinstance(error, RefusedError | RestartingError) or not self.told_of_death):
                    raise
                self._engine.process.lost()
                if not broken and attempt == 2 and not said:
                    raise  # it works, and fails at this request
                if said or attempt == 2 or self._engine.process.hung:
                    message = f"{self.name}: the engine stopped while it answered ({type(error).__name__})"
                    raise RestartingError(message, "it is being restarted: try again in a moment") from error

    async def _events(self, body: dict[str, Any], logprobs: int | None) -> AsyncGenerator[ChatEvent]:
        process = self._engine.process
        await process.ready()
        process.running += 1
        try:
            # One client per answer: a run may use several event loops, and a client belongs to one.
            async with (
                self._engine.answers() as client,
                client.stream("POST", "/v1/chat/completions", json=body) as response,
            ):
                async for event in events_of(response, self.name, logprobs, confident=True):
                    process.heard()
                    yield event
        finally:
            process.running -= 1
