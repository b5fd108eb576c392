"""The embedded engine: llama.cpp's server in a supervised child process (llama_server.py).

One engine has one base model and any number of LoRA adapters; each request names its adapter, so `base` and `tuned` are
two ChatModels over the same weights in memory. llama.cpp listens on a loopback port. It gets a random key, no browser
origin and no pages, so that no other program can use the engine without the guardrails.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx

from inhouse.chat import ChatEvent, ChatRequest, Finish
from inhouse.config.sections import Model
from inhouse.errors import BackendError, InputError, RefusedError
from inhouse.models.openai import events_of, wire_body
from inhouse.models.slots import Slots
from inhouse.models.supervised import Supervised
from inhouse.schema import grammar, problem

PASSED = (
    "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
)  # fmt: skip
"""Not tools: the engine's grammars for them fail on ordinary descriptions (llama.cpp#27619); see agents/calling.py."""
MOST_GROWTH_MB = 1_500  # of the engine beyond what it needs when it starts
CONNECT_S = 5.0


class LlamaEngine:
    """llama.cpp over a GGUF file.

    Args:
        weights: the base model, GGUF.
        settings: context tokens per conversation, parallel conversations, threads.
        adapters: GGUF LoRA files; each applies only to models that name it.
        banned_tokens: ids of tokens that are never sampled.

    Raises:
        InputError: the weights or an adapter cannot be loaded.
    """

    def __init__(
        self, weights: Path, settings: Model, adapters: Sequence[Path] = (), banned_tokens: Sequence[int] = ()
    ) -> None:
        for file in (weights, *adapters):
            _check_magic(file)
        self.api_key = secrets.token_urlsafe(24)
        self.adapters = tuple(adapters)
        self.banned_tokens = tuple(banned_tokens)
        self.slots = Slots(settings.parallel)
        job = {
            "weights": str(weights),
            "name": weights.stem,
            "parallel": settings.parallel,
            "context_tokens": settings.context_tokens,
            "threads": settings.threads or os.cpu_count() or 1,
            "api_key": self.api_key,
            "adapters": [str(a) for a in adapters],
        }
        self.process = Supervised("inhouse.models.llama_server", job, "the engine", self._probe, MOST_GROWTH_MB)

    @property
    def url(self) -> str:
        """Where the engine listens; another port after it was restarted."""
        return self.process.url

    @property
    def trouble(self) -> str:
        """Why the engine cannot answer now; "" if it can."""
        return self.process.trouble or self.process.slow

    def model(self, name: str, adapter: int | None = None) -> LlamaModel:
        """The engine as a ChatModel, with one of its adapters or none."""
        return LlamaModel(name, self, adapter)

    def lora(self, adapter: int | None) -> list[dict[str, float]]:
        """The request's adapter scales in the format of llama.cpp's API."""
        return [{"id": n, "scale": float(n == adapter)} for n in range(len(self.adapters))]

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def close(self) -> None:
        """Stops the engine at once and frees its memory."""
        self.process.close()

    def _probe(self, url: str, timeout_s: float) -> None:
        """Asks for the metrics, which the loop that generates answers between two batches."""
        with httpx.Client(trust_env=False, timeout=timeout_s, verify=False) as client:  # noqa: S501 - plain HTTP
            client.get(f"{url}/metrics", headers=self.headers()).raise_for_status()


class LlamaModel:
    """A ChatModel. Greedy answers are deterministic for the same engine, request, and requests in the same batch."""

    def __init__(self, name: str, engine: LlamaEngine, adapter: int | None) -> None:
        self.name = name
        self._engine = engine
        self._adapter = adapter

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer as the engine generates it. Leaving the iteration stops the generation.

        A request is repeated once if the engine dies before it has said anything.

        Raises:
            RefusedError: the engine rejects the request, such as a conversation longer than its context.
            BackendError: the engine failed.
        """
        if request.json_schema is not None and (why := await asyncio.to_thread(problem, request.json_schema)):
            raise RefusedError(why)
        body, last = self._body(request), None
        prompt = "\0".join(m.content for m in request.messages)
        async with self._engine.slots.taken(f"{self._adapter}:{request.scope}", prompt) as (slot, own):
            body |= {"id_slot": slot, "cache_prompt": own}
            async with aclosing(self._repeated(body, request.logprobs)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        last = event  # the slot is free before the caller, who may not come back, gets it
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
            except httpx.HTTPError as error:
                self._engine.process.lost()
                if said or attempt == 2 or self._engine.process.hung:
                    message = f"{self.name}: the engine stopped while it answered ({type(error).__name__})"
                    raise BackendError(message, "it is being restarted: try again in a moment") from error

    async def _events(self, body: dict[str, Any], logprobs: int | None) -> AsyncGenerator[ChatEvent]:
        process = self._engine.process
        await process.ready()
        process.running += 1
        # One client per answer: a run may use several event loops, and a client belongs to one. No time limit: whether
        # the engine still works, its supervisor knows.
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        try:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=timeout, headers=self._engine.headers()) as client,
                client.stream("POST", f"{process.url}/v1/chat/completions", json=body) as response,
            ):
                async for event in events_of(response, self.name, logprobs, confident=True):
                    process.heard()
                    yield event
        finally:
            process.running -= 1

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        extra = {name: value for name, value in request.extra.items() if name in PASSED}
        bias = request.extra.get("logit_bias") or {}
        body = wire_body(
            request.model_copy(update={"extra": extra, "temperature": request.temperature or 0.0, "json_schema": None})
        )
        if request.json_schema is not None:
            body["grammar"] = grammar(request.json_schema)
        return {
            **body,
            # Confidence needs the log-probability of every token, whether the caller wants to see it or not.
            "logprobs": True,
            "top_logprobs": max(1, request.logprobs or 0),
            "lora": self._engine.lora(self._adapter),
            "logit_bias": [
                *([int(token), value] for token, value in bias.items()),
                *([token, False] for token in self._engine.banned_tokens),
            ],
        }


def _check_magic(file: Path) -> None:
    try:
        with file.open("rb") as handle:
            magic = handle.read(4)
    except OSError as error:
        hint = "run `inhouse models pull` to download the weights"
        raise InputError(f"{file}: cannot be read ({error.strerror})", hint) from error
    if magic != b"GGUF":
        raise InputError(f"{file}: not a GGUF file", "run `inhouse models pull` to download the weights again")
