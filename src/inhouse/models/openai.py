"""Any OpenAI-compatible chat endpoint as a ChatModel: the teacher, the judge, a hosted model or one on vLLM."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Literal, cast

import httpx

from inhouse.chat import ChatEvent, ChatRequest, Delta, Finish, Usage
from inhouse.config.sections import Endpoint
from inhouse.errors import CONTEXT_LENGTH, BackendError, ConfigError, RefusedError, too_long

TRIES = 3
PAUSE_S = 0.5  # before the second try; twice as long before the third
RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
REJECTED = {400, 413, 422}  # errors of the request, not of the server
CONNECT_S = 5.0
_LIMIT = re.compile(r"maximum context length is (\d{1,9}) tokens")
FINISHES = ("stop", "length", "tool_calls", "content_filter")


class OpenAIModel:
    """A ChatModel over `settings.url`, tried three times when it cannot be reached or is busy, until text arrives.

    Raises:
        ConfigError: the key's environment variable is not set.
    """

    def __init__(self, settings: Endpoint) -> None:
        headers = {}
        if settings.api_key_env:
            if settings.api_key_env not in os.environ:
                hint = f"run `export {settings.api_key_env}=...`, or remove api_key_env from the project file"
                raise ConfigError(f"environment variable {settings.api_key_env} is not set", hint)
            headers["Authorization"] = f"Bearer {os.environ[settings.api_key_env]}"
        self.name = settings.model or settings.url
        self._model = settings.model
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._headers = headers
        self._timeout = httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s))

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the endpoint's answer.

        Raises:
            RefusedError: the endpoint rejects the request.
            BackendError: the endpoint cannot be reached, fails, or sends something other than a chat stream.
        """
        # One client per answer: a run may use several event loops, and a client belongs to one.
        async with httpx.AsyncClient(
            timeout=self._timeout, headers=self._headers, follow_redirects=False, verify=certificates()
        ) as client:
            for attempt in range(1, TRIES + 1):
                try:
                    async with client.stream("POST", self._url, json=self._body(request)) as response:
                        if response.status_code in RETRIED and attempt < TRIES:
                            await asyncio.sleep(_pause_s(response, attempt))
                            continue
                        async for event in events_of(response, self.name, request.logprobs):
                            yield event
                        return
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if attempt == TRIES:
                        hint = "check the URL and that the server is running"
                        raise BackendError(f"{self._url}: cannot be reached ({error})", hint) from error
                    await asyncio.sleep(PAUSE_S * attempt)
                except httpx.HTTPError as error:
                    raise BackendError(f"{self._url}: {type(error).__name__}: {error}") from error

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        logprobs = {} if request.logprobs is None else {"logprobs": True, "top_logprobs": request.logprobs}
        return {"model": self._model, **wire_body(request), **logprobs}


def wire_body(request: ChatRequest) -> dict[str, Any]:
    """The body of a streaming request to the OpenAI API, without the model and log-probabilities.

    What was not asked for is left to the server. The limit on tokens has the name in `extra`, if it is there: some
    servers know only `max_tokens`, and some models refuse it.
    """
    body: dict[str, Any] = {
        **request.extra,
        "messages": [m.to_openai() for m in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if "max_completion_tokens" not in body:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.json_schema is not None and "response_format" not in request.extra:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.json_schema},
        }
    return body


def deltas_of(choice: dict[str, Any], logprobs: int | None) -> Iterator[Delta]:
    """The delta in a choice of a streamed chunk, if any, with at most `logprobs` alternatives for each token."""
    delta = choice.get("delta") or {}
    tokens: tuple[dict[str, Any], ...] = ()
    if logprobs is not None:
        given = (choice.get("logprobs") or {}).get("content") or ()
        tokens = tuple({**t, "top_logprobs": (t.get("top_logprobs") or [])[:logprobs]} for t in given)
    text, calls = delta.get("content") or "", tuple(delta.get("tool_calls") or ())
    if text or calls or tokens:
        yield Delta(text=text, logprobs=tokens, tool_calls=calls)


def finish_of(reason: str, usage: Usage, confidence: float | None = None) -> Finish:
    """The finish of an answer that ended for `reason`; an unknown reason counts as "stop"."""
    known = cast("Literal['stop', 'length', 'tool_calls', 'content_filter']", reason if reason in FINISHES else "stop")
    return Finish(reason=known, usage=usage, confidence=confidence)


def usage_of(counts: dict[str, Any]) -> Usage:
    """Token counts as the OpenAI API reports them."""
    return Usage(
        prompt_tokens=counts.get("prompt_tokens", 0),
        completion_tokens=counts.get("completion_tokens", 0),
        cached_tokens=(counts.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
    )


def error_code(error: Any) -> str:
    """The code of an error object in OpenAI's shape, "" if it has none.

    For a conversation that is too long, llama.cpp sets `type` and vLLM sets `param` instead.
    """
    if not isinstance(error, dict):
        return ""
    if error.get("type") == "exceed_context_size_error" or error.get("param") == "input_tokens":
        return CONTEXT_LENGTH
    code = error.get("code")
    return code if isinstance(code, str) else ""


@cache
def certificates() -> ssl.SSLContext:
    """Loaded once, because that takes longer than a request to this machine."""
    return httpx.create_ssl_context()


def _pause_s(response: httpx.Response, attempt: int) -> float:
    try:
        return min(float(response.headers.get("retry-after", attempt)), 30.0)
    except ValueError:  # a date
        return float(attempt)


async def events_of(
    response: httpx.Response, name: str, logprobs: int | None, confident: bool = False
) -> AsyncIterator[ChatEvent]:
    """The events of a streamed answer of the OpenAI API.

    Args:
        response: its body is not read yet.
        name: what errors call the model.
        logprobs: as in ChatRequest.
        confident: whether the log-probabilities of the tokens make a confidence.

    Raises:
        RefusedError: the server rejects the request.
        BackendError: the server fails, or sends something other than a chat stream.
    """
    if response.status_code != 200:
        text = (await response.aread()).decode(errors="replace")
        if response.status_code in REJECTED:  # shown to the user, so without the URL
            raise _rejected(name, text)
        raise BackendError(f"{response.url}: status {response.status_code}: {text[:300]}")
    reason, usage = "", Usage()
    total, count = 0.0, 0
    async for line in response.aiter_lines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        try:
            chunk = json.loads(line[5:])
            if failed := chunk.get("error"):
                raise BackendError(f"{response.url}: failed during the answer: {str(failed)[:200]}")
            for choice in chunk.get("choices") or ():
                for token in (confident and (choice.get("logprobs") or {}).get("content")) or ():
                    total, count = total + token["logprob"], count + 1
                for delta in deltas_of(choice, logprobs):
                    yield delta
                reason = choice.get("finish_reason") or reason
            if counts := chunk.get("usage"):
                usage = usage_of(counts)
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise BackendError(f"{response.url}: not a chat completion stream: {line[:200]}") from error
    if not reason:
        raise BackendError(f"{response.url}: the answer was cut off")
    yield finish_of(reason, usage, math.exp(total / count) if count else None)


def _rejected(name: str, body: str) -> RefusedError:
    error = _error_in(body)
    code = error_code(error)
    if code == CONTEXT_LENGTH and {"n_ctx", "n_prompt_tokens"} <= error.keys():  # llama.cpp
        return too_long(error["n_ctx"], f"your messages resulted in {error['n_prompt_tokens']}")
    if code == CONTEXT_LENGTH and (found := _LIMIT.search(_message(body))):  # vLLM
        return too_long(int(found[1]), f"your messages resulted in at least {int(found[1]) + 1}")
    return RefusedError(f"{name} rejected the request: {_message(body)}", code=code)


def _error_in(body: str) -> Any:
    with suppress(ValueError):
        parsed = json.loads(body)
        return parsed.get("error") if isinstance(parsed, dict) else None
    return None


def _message(body: str) -> str:
    """The message of an error in OpenAI's shape; the beginning of any other body."""
    error = _error_in(body)
    said = error.get("message") if isinstance(error, dict) else None
    return (said if isinstance(said, str) and said else body)[:300]
