"""OpenAI's older API of text completions: POST /v1/completions.

A prompt is one question of a chat. That is what the models here are made for and measured with, so a prompt is not
continued word by word, and what needs that (`echo`, `suffix`, log-probabilities of the prompt) is refused by name.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Message as Sent
from starlette.types import Receive, Scope, Send

from inhouse.chat import ChatRequest
from inhouse.gateway.auth import Caller, weigh
from inhouse.gateway.chat import Answer
from inhouse.gateway.contract import Listed, Text, refused
from inhouse.gateway.envelopes import CompletionEnvelope
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.gateway.wire import ChatBody, Sampling
from inhouse.types import Json

MOST_PROMPTS = 32
USUAL_TOKENS = 16  # as at OpenAI
routes = APIRouter()


class CompletionBody(Sampling):
    """The body of POST /v1/completions."""

    ID: ClassVar[str] = "cmpl-"
    prompt: Text | Annotated[Listed[Text], Field(min_length=1, max_length=MOST_PROMPTS)]
    max_tokens: int | None = Field(None, ge=1)
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: Annotated[Json, refused("must be false: the prompt is a question", False)] = None
    suffix: Annotated[Json, refused("is not supported: the prompt is a question", "")] = None
    best_of: Annotated[Json, refused("must be 1: a request gets one answer", 1)] = None

    def to_request(self, groups: frozenset[str], user: str, usual_tokens: int, most_tokens: int) -> ChatRequest:
        given = self.model_dump(exclude_none=True, include=set(Sampling.model_fields))
        wanted = {"messages": [{"role": "user", "content": self.prompt}], "max_tokens": self.max_tokens or USUAL_TOKENS}
        if self.logprobs is not None:
            wanted |= {"logprobs": True, "top_logprobs": self.logprobs}
        chat = ChatBody.model_validate(given | wanted)
        return chat.to_request(groups, user, usual_tokens, most_tokens)

    def envelope(self, id: str) -> CompletionEnvelope:
        usage = bool(self.stream_options and self.stream_options.include_usage)
        return CompletionEnvelope(id, self.model, self.logprobs, usage)


@routes.post("/v1/completions", response_class=Response)
async def completions(request: Request, body: CompletionBody, key: Caller) -> Response:
    """Answers prompts, each as one question, as one reply or (one prompt) as a stream."""
    state: State = request.app.state.inhouse
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if body.stream and len(prompts) > 1:
        text = "A stream has the answer to one prompt: send one request for each."
        raise HttpError(400, text, code="unsupported_value", param="prompt")
    weigh(state, key, (len(prompts) - 1) * len(json.dumps(body.parameters())))  # recorded with each prompt
    trace = request.headers.get("traceparent", "")
    answers = [Answer(state, key, body.model_copy(update={"prompt": prompt}), trace) for prompt in prompts]
    return answers[0] if len(answers) == 1 else Several(answers)


class Several(Response):
    """Answers to several prompts in one reply, asked one after another; the first failure is the reply."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__()
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bodies: list[dict[str, Json]] = []
        for answer in self._answers:
            got: list[Sent] = []

            async def keep(message: Sent, got: list[Sent] = got) -> None:
                got.append(message)

            await answer(scope, receive, keep)
            if not got or got[0]["status"] != 200:
                for message in got:
                    await send(message)
                return
            bodies.append(json.loads(b"".join(m.get("body", b"") for m in got)))
        text = json.dumps(_together(bodies), ensure_ascii=False, separators=(",", ":")).encode()
        await Response(text, media_type="application/json")(scope, receive, send)


def _together(bodies: list[dict[str, Json]]) -> dict[str, Json]:
    choices = [{**body["choices"][0], "index": n} for n, body in enumerate(bodies)]
    counts: dict[str, Any] = {
        name: sum(body["usage"][name] for body in bodies)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {**bodies[0], "choices": choices, "usage": counts, "inhouse": [body["inhouse"] for body in bodies]}
