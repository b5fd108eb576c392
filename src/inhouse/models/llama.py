"""The embedded engine: llama.cpp's server in a supervised child process (llama_server.py).

One engine has one base model and any number of LoRA adapters; each request names its adapter, so `base` and `tuned` are
two ChatModels over the same weights in memory. llama.cpp listens on a loopback port. It gets a random key, no browser
origin and no pages, so that no other program can use the engine without the guardrails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inhouse import process
from inhouse.chat import ChatRequest
from inhouse.config.sections import Model
from inhouse.errors import InputError
from inhouse.models.engine import Engine, EngineModel
from inhouse.models.slots import Slots
from inhouse.models.supervised import Supervised
from inhouse.schema import grammar
from inhouse.types import Json

MOST_GROWTH_MB = 1_500  # of the engine beyond what it needs when it starts


class LlamaEngine(Engine):
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
        super().__init__()
        self.adapters = tuple(adapters)
        self.banned_tokens = tuple(banned_tokens)
        self.slots = Slots(settings.parallel)
        job = {
            "weights": str(weights),
            "name": weights.stem,
            "parallel": settings.parallel,
            "context_tokens": settings.context_tokens,
            "threads": settings.threads or process.cores(),
            "api_key": self.api_key,
            "adapters": [str(a) for a in adapters],
        }
        self.process = Supervised("inhouse.models.llama_server", job, "the engine", self._probe, MOST_GROWTH_MB)

    def model(self, name: str, adapter: int | None = None) -> LlamaModel:
        """The engine as a ChatModel, with one of its adapters or none."""
        return LlamaModel(name, self, adapter)

    def lora(self, adapter: int | None) -> list[dict[str, float]]:
        """The request's adapter scales in the format of llama.cpp's API."""
        return [{"id": n, "scale": float(n == adapter)} for n in range(len(self.adapters))]

    def _probe(self, url: str, timeout_s: float) -> None:
        """Asks for the metrics, which the loop that generates answers between two batches."""
        with self.client(url, timeout_s) as client:
            client.get("/metrics").raise_for_status()


class LlamaModel(EngineModel):
    def __init__(self, name: str, engine: LlamaEngine, adapter: int | None) -> None:
        super().__init__(name, engine)
        self._llama = engine
        self._adapter = adapter

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator[Mapping[str, Json]]:
        """Takes a slot, which may reuse what it holds of an earlier prompt."""
        prompt = "\0".join(m.content for m in request.messages)
        async with self._llama.slots.taken(f"{self._adapter}:{request.scope}", prompt) as (slot, own):
            yield {"id_slot": slot, "cache_prompt": own}

    def body(self, request: ChatRequest) -> dict[str, Any]:
        bias = request.extra.get("logit_bias") or {}
        followed = {} if request.json_schema is None else {"grammar": grammar(request.json_schema)}
        return {
            **super().body(request),
            **followed,
            "lora": self._llama.lora(self._adapter),
            "logit_bias": [
                *([int(token), value] for token, value in bias.items()),
                *([token, False] for token in self._llama.banned_tokens),
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
