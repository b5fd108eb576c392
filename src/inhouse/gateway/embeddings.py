"""POST /v1/embeddings: the project's embedder, beside the answers and not in their slots.

A text longer than the embedder's window is embedded in parts, and its vector is their mean by length, as clients do
that split texts themselves; the field `inhouse` says which texts. Arrays of tokens, which some clients send by default,
are decoded where `gateway.embedding_vocabulary` has the vocabulary.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, field_validator

from inhouse.chat import Usage
from inhouse.errors import ConfigError
from inhouse.gateway.auth import Caller
from inhouse.gateway.budgets import limits_of, reserved, settled, settlement
from inhouse.gateway.contract import Body, Listed, Many, Text
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.store.budgets import Amount
from inhouse.store.keys import Key
from inhouse.types import Embedder, Matrix

NICE = 10  # of the thread that embeds long lists, so that answers have the processors first
MOST_TEXTS = 2048  # per request, as at OpenAI
BATCH = 16  # parts of texts that are embedded before other requests have their turn


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


_THREAD = ThreadPoolExecutor(1, thread_name_prefix="embeddings", initializer=_give_way)
Token = Annotated[int, Field(ge=0)]
routes = APIRouter()


class EmbeddingBody(Body):
    """The body of POST /v1/embeddings."""

    model: Text
    input: Text | Many[Text] | Listed[Token] | Many[Listed[Token]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: Text | None = Field(None, max_length=512)
    input_type: Literal["query", "passage"] = "passage"  # not in OpenAI's API; as NVIDIA's and Cohere's have it

    @field_validator("input")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not value or (isinstance(value, list) and not isinstance(value[0], int) and len(value) > MOST_TEXTS):
            raise ValueError(f"needs 1 to {MOST_TEXTS} texts")
        return value

    def texts(self, vocabulary: Path | None) -> list[str]:
        """The texts to embed; arrays of tokens are decoded.

        Raises:
            HttpError: 400, there is no vocabulary, or a token is not in it.
        """
        given = [self.input] if isinstance(self.input, str) or isinstance(self.input[0], int) else self.input
        return [item if isinstance(item, str) else _decoded(item, vocabulary) for item in given]


@routes.post("/v1/embeddings")
async def embeddings(request: Request, body: EmbeddingBody, key: Caller) -> Any:
    """Embeds texts with the project's embedder; `model` is ignored. Questions to search with: `input_type` "query"."""
    state: State = request.app.state.inhouse
    embedder = state.embedder
    if embedder is None:
        raise HttpError(404, "this server has no embedder", code="model_not_found", param="model")
    if body.dimensions not in (None, embedder.dimensions):
        raise HttpError(400, f"{embedder.name} has {embedder.dimensions} dimensions", param="dimensions")
    vocabulary = state.project.gateway.embedding_vocabulary
    texts = await asyncio.to_thread(body.texts, state.project.path(vocabulary) if vocabulary else None)
    run = _Run(f"emb-{uuid.uuid4().hex}")
    limits = limits_of(state.project, key, body.user or key.id) if state.reservations else []
    worst = partial(state.prices.texts, texts)
    async with reserved(state.reservations, limits, run, worst, state.project.gateway.deadline_s):
        try:
            parts, vectors, lengths = await _embedded(request, state, key, run, texts, body.input_type == "query")
        finally:
            usd = state.prices.machine_usd(run.seconds)
            await settled(state.reservations, settlement(run, usd, Usage(prompt_tokens=run.tokens)))
            run.settled = True
    rows = _joined(parts, vectors, lengths)
    encoded = body.encoding_format == "base64"
    values = [base64.b64encode(row.tobytes()).decode() if encoded else row.tolist() for row in rows]
    data = [{"object": "embedding", "index": n, "embedding": value} for n, value in enumerate(values)]
    usage = {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)}
    joined = {str(n): len(text) for n, text in enumerate(parts) if len(text) > 1}
    return {"object": "list", "data": data, "model": embedder.name, "usage": usage, "inhouse": {"parts": joined}}


@dataclass
class _Run:
    """One request, for budgets, and what it has used so far."""

    id: str
    hold: Amount | None = None
    asked: bool = False
    settled: bool = False
    tokens: int = 0
    seconds: float = 0.0


async def _embedded(
    request: Request, state: State, key: Key, run: _Run, texts: list[str], query: bool
) -> tuple[list[list[str]], list[Matrix], list[int]]:
    """The parts of each text, and the vectors of all parts with their numbers of tokens."""
    embedder = state.embedder
    assert embedder is not None
    beside = partial(asyncio.get_running_loop().run_in_executor, _THREAD)
    with state.embedding.admitted(key.id) as place:
        async with state.embedding.slot(place):  # one request at a time, because tokens take memory
            parts = await beside(lambda: [embedder.parts(text) for text in texts])
    flat = [part for text in parts for part in text]
    vectors: list[Matrix] = []
    lengths: list[int] = []
    for start in range(0, len(flat), BATCH):
        if await request.is_disconnected():
            raise HttpError(499, "the client has left")
        batch = flat[start : start + BATCH]
        with state.embedding.admitted(key.id) as place:
            async with state.embedding.slot(place):
                run.asked, started = True, time.perf_counter()
                found, counts = await beside(_embed, embedder, batch, query)
        run.seconds += time.perf_counter() - started
        run.tokens += sum(counts)
        vectors.extend(found)
        lengths.extend(counts)
    return parts, vectors, lengths


def _embed(embedder: Embedder, batch: list[str], query: bool) -> tuple[Matrix, list[int]]:
    return embedder.embed(batch, query), [embedder.count_tokens(part) for part in batch]


def _joined(parts: list[list[str]], vectors: list[Matrix], lengths: list[int]) -> list[Matrix]:
    """One unit vector for each text: the mean of those of its parts, weighted by their lengths."""
    import numpy as np

    rows, at = [], 0
    for text in parts:
        own, weights = vectors[at : at + len(text)], lengths[at : at + len(text)]
        at += len(text)
        if len(text) == 1:
            rows.append(own[0])
            continue
        mean = np.average(np.stack(own), axis=0, weights=weights)
        rows.append((mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32))
    return rows


def _decoded(tokens: list[int], vocabulary: Path | None) -> str:
    if vocabulary is None:
        text = (
            "Arrays of tokens need gateway.embedding_vocabulary, which is not set on this server. Send texts instead "
            "(LangChain: check_embedding_ctx_length=False)."
        )
        raise HttpError(400, text, code="unsupported_value", param="input")
    known = _vocabulary(vocabulary)
    if unknown := next((token for token in tokens if token not in known), None):
        text = f"Token {unknown} is not in the vocabulary {vocabulary.name}."
        raise HttpError(400, text, code="invalid_value", param="input")
    return b"".join(known[token] for token in tokens).decode("utf-8", "replace")


@cache
def _vocabulary(file: Path) -> dict[int, bytes]:
    """The bytes of each token. A line of the file has the bytes in base64, and the token.

    Raises:
        ConfigError: the file cannot be read, or has another format.
    """
    try:
        rows = [line.split() for line in file.read_bytes().splitlines() if line.strip()]
        return {int(number): base64.b64decode(text, validate=True) for text, number in rows}
    except (OSError, ValueError) as error:
        hint = "it needs lines with a token's bytes in base64 and its number, as in cl100k_base.tiktoken"
        raise ConfigError(f"gateway.embedding_vocabulary: {file}: {error}", hint) from error
