"""The embedded engine: llama.cpp's own server in this process, through `xllamacpp`.

One engine holds one base model and any number of LoRA adapters; each request says which adapter applies, so `base` and
`tuned` are two ChatModels over the same weights in memory. llama.cpp opens a loopback port of its own: here it has a
random key, no browser origin, and no pages, so that no other program can walk past what is wrapped around the engine.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from inhouse.chat import ChatEvent, ChatRequest, Usage
from inhouse.config.sections import Model
from inhouse.errors import BackendError, InputError, RefusedError
from inhouse.models.openai import deltas_of, finish_of, wire_body

PROMPT_STORE_MB = 512  # of earlier prompts as read, to be taken up by those that begin alike; the oldest leave first


class LlamaEngine:
    """llama.cpp over a GGUF file.

    Args:
        weights: the base model, GGUF.
        settings: context per conversation, parallel conversations, threads.
        adapters: GGUF LoRA files; none applies unless a model asks for it.
        banned_tokens: token ids that are never sampled.

    Raises:
        InputError: the weights or an adapter cannot be loaded.
    """

    def __init__(
        self, weights: Path, settings: Model, adapters: Sequence[Path] = (), banned_tokens: Sequence[int] = ()
    ) -> None:
        import xllamacpp

        for file in (weights, *adapters):
            _check_magic(file)
        self.api_key = secrets.token_urlsafe(24)
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.model_alias = {weights.stem}
        params.n_parallel = settings.parallel
        params.n_ctx = settings.context_tokens * settings.parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads or os.cpu_count() or 1
        # The engine's store of earlier prompts does not know which adapter they were read with: a prompt that `base`
        # has read would be taken up by `tuned` as it is. What a slot still holds is safe: it goes with its adapter.
        params.cache_ram_mib = 0 if adapters else PROMPT_STORE_MB
        params.warmup = False
        params.verbosity = -1
        params.use_jinja = True
        params.api_keys = [self.api_key]
        params.cors_origins = "null"
        params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        if adapters:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(a), 1.0) for a in adapters]
            params.lora_init_without_apply = True
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            hint = "it is damaged, or of an architecture unknown to llama.cpp; `inhouse models pull` gets a fresh one"
            raise InputError(f"{weights}: the engine cannot load it", hint) from error
        self.url: str = self._server.listening_address
        self.adapters = tuple(adapters)
        self.banned_tokens = tuple(banned_tokens)
        self._threads = ThreadPoolExecutor(settings.parallel, thread_name_prefix="engine")

    def model(self, name: str, adapter: int | None = None) -> LlamaModel:
        """The engine as a ChatModel, with one of its adapters or with none."""
        return LlamaModel(name, self, adapter)

    def lora(self, adapter: int | None) -> list[dict[str, float]]:
        """The request's adapter scales, as llama.cpp's API has them."""
        return [{"id": n, "scale": float(n == adapter)} for n in range(len(self.adapters))]

    def close(self) -> None:
        """Stops the engine and frees its memory; running answers are ended first."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        del self._server


class LlamaModel:
    """A ChatModel. Greedy answers are deterministic for the same engine, request and batch neighbours."""

    def __init__(self, name: str, engine: LlamaEngine, adapter: int | None) -> None:
        self.name = name
        self._engine = engine
        self._adapter = adapter

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer as the engine makes it. Leaving the iteration stops the engine.

        Raises:
            BackendError: the engine refused the request, such as a conversation longer than its context.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()
        stopped = threading.Event()

        def put(item: dict[str, Any] | BaseException | None) -> bool:
            if not stopped.is_set():
                loop.call_soon_threadsafe(queue.put_nowait, item)
            return stopped.is_set()

        def run() -> None:
            try:
                self._engine._server.handle_chat_completions(self._body(request), put)
                put(None)
            except Exception as error:
                put(error)

        self._engine._threads.submit(run)
        try:
            async for event in _events(queue, self.name, request.logprobs):
                yield event
        finally:
            stopped.set()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        return {
            **wire_body(request),
            # Confidence needs the log-probability of every token, whether the request wants to see it or not; beside
            # tools the engine streams none.
            **({} if request.extra.get("tools") else {"logprobs": True, "top_logprobs": max(1, request.logprobs or 0)}),
            "cache_prompt": True,
            "lora": self._engine.lora(self._adapter),
            "logit_bias": [[token, False] for token in self._engine.banned_tokens],
        }


async def _events(
    queue: asyncio.Queue[dict[str, Any] | BaseException | None], name: str, logprobs: int | None
) -> AsyncIterator[ChatEvent]:
    reason, usage = "", Usage()
    total, count = 0.0, 0
    while (item := await queue.get()) is not None:
        if isinstance(item, BaseException):
            kind = RefusedError if isinstance(item, ValueError) else BackendError  # the first is of what was asked
            raise kind(f"{name}: the engine failed ({item})") from item
        if "error" in item:
            kind = RefusedError if item["error"].get("code") == 400 else BackendError
            raise kind(
                f"{name}: the engine refused: {item['error']['message']}", "shorten it, or raise model.context_tokens"
            )
        if given := item.get("usage"):
            cached = (given.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            usage = Usage(
                prompt_tokens=given["prompt_tokens"], completion_tokens=given["completion_tokens"], cached_tokens=cached
            )
        for choice in item["choices"]:
            for token in (choice.get("logprobs") or {}).get("content") or ():
                total, count = total + token["logprob"], count + 1
            for delta in deltas_of(choice, logprobs):
                yield delta
            reason = choice.get("finish_reason") or reason
    confidence = math.exp(total / count) if count else None
    yield finish_of(reason, usage, confidence)


def _check_magic(file: Path) -> None:
    try:
        with file.open("rb") as handle:
            magic = handle.read(4)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror})", "`inhouse models pull` gets the weights"
        ) from error
    if magic != b"GGUF":
        raise InputError(f"{file}: not a GGUF file", "`inhouse models pull` gets the weights again")
