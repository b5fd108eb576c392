"""Any OpenAI-compatible chat endpoint as a ChatModel: the teacher, the judge, a hosted or vLLM-served model."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx

from inhouse.config import Endpoint
from inhouse.types import BackendError, ChatEvent, ChatRequest, ConfigError, Delta, Finish, Usage

TRIES = 3
RETRIED = {408, 429, 500, 502, 503, 504}


class OpenAIModel:
    """A ChatModel over `settings.url`. Connection errors and busy answers are tried three times, before any text came.

    Raises:
        ConfigError: the key's environment variable is not set.
    """

    def __init__(self, settings: Endpoint) -> None:
        headers = {}
        if settings.api_key_env:
            if settings.api_key_env not in os.environ:
                hint = f"export {settings.api_key_env}=... or clear api_key_env"
                raise ConfigError(f"the environment variable {settings.api_key_env} is not set", hint)
            headers["Authorization"] = f"Bearer {os.environ[settings.api_key_env]}"
        self.name = settings.model or settings.url
        self._model = settings.model
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._headers = headers
        self._timeout = httpx.Timeout(settings.timeout_s)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the endpoint's answer.

        Raises:
            BackendError: the endpoint cannot be reached, refuses, or answers with something else than a chat stream.
        """
        # A client per answer: a run may ask from several event loops, and a client belongs to one.
        async with httpx.AsyncClient(timeout=self._timeout, headers=self._headers, follow_redirects=False) as client:
            for attempt in range(1, TRIES + 1):
                try:
                    async with client.stream("POST", self._url, json=self._body(request)) as response:
                        if response.status_code in RETRIED and attempt < TRIES:
                            await asyncio.sleep(_pause_s(response, attempt))
                            continue
                        if response.status_code != 200:
                            text = (await response.aread()).decode(errors="replace")[:300]
                            raise BackendError(f"{self._url}: status {response.status_code}: {text}")
                        async for event in _parsed(response):
                            yield event
                        return
                except httpx.ConnectError as error:
                    if attempt == TRIES:
                        raise BackendError(
                            f"{self._url}: cannot be reached ({error})", "is the server running?"
                        ) from error
                    await asyncio.sleep(0.5 * attempt)
                except httpx.HTTPError as error:
                    raise BackendError(f"{self._url}: {type(error).__name__}: {error}") from error

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [m.to_openai() for m in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        if request.json_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": request.json_schema},
            }
        return body


def _pause_s(response: httpx.Response, attempt: int) -> float:
    try:
        return min(float(response.headers.get("retry-after", attempt)), 30.0)
    except ValueError:  # a date
        return float(attempt)


async def _parsed(response: httpx.Response) -> AsyncIterator[ChatEvent]:
    reason, usage = "stop", Usage()
    async for line in response.aiter_lines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        try:
            chunk = json.loads(line[5:])
            for choice in chunk.get("choices") or ():
                if text := (choice.get("delta") or {}).get("content"):
                    yield Delta(text=text)
                reason = choice.get("finish_reason") or reason
            if given := chunk.get("usage"):
                usage = Usage(
                    prompt_tokens=given.get("prompt_tokens", 0), completion_tokens=given.get("completion_tokens", 0)
                )
        except (ValueError, AttributeError) as error:
            raise BackendError(f"{response.url}: not a chat completion stream: {line[:200]}") from error
    yield Finish(reason="length" if reason == "length" else "stop", usage=usage)
