"""The embedded engine: the llama.cpp server in this process, through `xllamacpp`.

One engine has one base model and any number of LoRA adapters; each request names its adapter, so `base` and `tuned` are
two ChatModels over the same weights in memory. llama.cpp also opens a loopback port. It gets a random key, no browser
origin and no pages, so that no other program can use the engine without the guardrails.
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
from inhouse.errors import CONTEXT_LENGTH, BackendError, InputError, RefusedError
from inhouse.models.openai import deltas_of, error_code, finish_of, usage_of, wire_body
from inhouse.schema import grammar, problem

PASSED = (
    "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls",
)  # fmt: skip
PROMPT_STORE_MB = 512  # cache of processed prompts, reused by those with the same beginning; drops the oldest first


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
        # The engine's prompt cache ignores adapters: `tuned` would reuse a prompt that `base` has processed. Reuse
        # within a slot is safe, because a slot knows its adapter.
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
            hint = "damaged or of an unsupported architecture; to replace it, delete it and run `inhouse models pull`"
            raise InputError(f"{weights}: llama.cpp cannot load this file", hint) from error
        self.url: str = self._server.listening_address
        self.adapters = tuple(adapters)
        self.banned_tokens = tuple(banned_tokens)
        self._threads = ThreadPoolExecutor(settings.parallel, thread_name_prefix="engine")

    def model(self, name: str, adapter: int | None = None) -> LlamaModel:
        """The engine as a ChatModel, with one of its adapters or none."""
        return LlamaModel(name, self, adapter)

    def lora(self, adapter: int | None) -> list[dict[str, float]]:
        """The request's adapter scales in the format of llama.cpp's API."""
        return [{"id": n, "scale": float(n == adapter)} for n in range(len(self.adapters))]

    def close(self) -> None:
        """Stops the engine and frees its memory, after running answers have ended."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        del self._server


class LlamaModel:
    """A ChatModel. Greedy answers are deterministic for the same engine, request, and requests in the same batch."""

    def __init__(self, name: str, engine: LlamaEngine, adapter: int | None) -> None:
        self.name = name
        self._engine = engine
        self._adapter = adapter

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the answer as the engine generates it. Leaving the iteration stops the generation.

        Raises:
            RefusedError: the engine rejects the request, such as a conversation longer than its context.
            BackendError: the engine failed.
        """
        if request.json_schema is not None and (why := await asyncio.to_thread(problem, request.json_schema)):
            raise RefusedError(why)
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
        extra = {name: value for name, value in request.extra.items() if name in PASSED}
        bias = request.extra.get("logit_bias") or {}
        body = wire_body(request.model_copy(update={"extra": extra, "temperature": request.temperature or 0.0}))
        if request.json_schema is not None:
            del body["response_format"]
            body["grammar"] = grammar(request.json_schema)
        return {
            **body,
            # Confidence needs the log-probability of every token, whether the caller wants to see it or not. The engine
            # streams none in requests with tools.
            **({} if request.extra.get("tools") else {"logprobs": True, "top_logprobs": max(1, request.logprobs or 0)}),
            "cache_prompt": True,
            "lora": self._engine.lora(self._adapter),
            "logit_bias": [
                *([int(token), value] for token, value in bias.items()),
                *([token, False] for token in self._engine.banned_tokens),
            ],
        }


async def _events(
    queue: asyncio.Queue[dict[str, Any] | BaseException | None], name: str, logprobs: int | None
) -> AsyncIterator[ChatEvent]:
    reason, usage = "", Usage()
    total, count = 0.0, 0
    while (item := await queue.get()) is not None:
        if isinstance(item, BaseException):
            kind = RefusedError if isinstance(item, ValueError) else BackendError  # ValueError: a bad request
            raise kind(f"{name}: the engine failed ({item})") from item
        if "error" in item:
            message = f"{name}: the engine rejected the request: {item['error']['message']}"
            if item["error"].get("code") != 400:
                raise BackendError(message)
            code = error_code(item["error"])
            hint = "shorten the conversation, or raise model.context_tokens" if code == CONTEXT_LENGTH else ""
            raise RefusedError(message, hint, code)
        if counts := item.get("usage"):
            usage = usage_of(counts)
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
        hint = "run `inhouse models pull` to download the weights"
        raise InputError(f"{file}: cannot be read ({error.strerror})", hint) from error
    if magic != b"GGUF":
        raise InputError(f"{file}: not a GGUF file", "run `inhouse models pull` to download the weights again")
