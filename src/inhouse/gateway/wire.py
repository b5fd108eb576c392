"""The wire format of the OpenAI chat API: request bodies, strictly validated, and responses.

A field of the wrong type is an error; `contract` has what a request may ask for. Values that the API does not have are
in the field `inhouse`, which standard clients ignore.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from inhouse.chat import ChatRequest, Delta, Finish, Usage
from inhouse.gateway.contract import (
    MOST_TOOLS,
    UNSUPPORTED_VALUE,
    Biases,
    Body,
    Hints,
    Listed,
    Many,
    Short,
    Stop,
    Text,
    Upstream,
    Wire,
    refused,
)  # fmt: skip
from inhouse.schema import excess
from inhouse.types import Json, Message

TEXT_ONLY = "these models read and write text"
PASSED = (
    "tools", "tool_choice", "parallel_tool_calls", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
    "logit_bias", "response_format", *Upstream.USUAL,
)  # fmt: skip


class Part(Wire):
    """A part of a message: a text, or the refusal of an earlier answer."""

    type: Text
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _readable(self) -> Part:
        if self.type not in ("text", "refusal"):
            raise PydanticCustomError(
                UNSUPPORTED_VALUE, f"parts of type '{self.type[:40]}' are not supported: {TEXT_ONLY}"
            )
        if self.said is None:
            raise ValueError(f"a part of type {self.type} needs the field {self.type}")
        return self

    @property
    def said(self) -> str | None:
        return self.text if self.type == "text" else self.refusal


class CalledFunction(Wire):
    name: Text = Field(min_length=1, max_length=64)  # as of a declared one
    arguments: Text


class ToolCall(Wire):
    id: Short
    type: Literal["function"] = "function"
    function: CalledFunction


class WireMessage(Wire):
    """A message. Fields of earlier answers that clients send back, such as `annotations`, are ignored."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Many[Part] | None = None
    refusal: Text | None = None
    tool_calls: Annotated[Listed[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: Short | None = None

    @model_validator(mode="after")
    def _has_content(self) -> WireMessage:
        if self.content is None and self.role != "assistant":
            raise ValueError("content may be null only in messages with role 'assistant'")
        if self.tool_call_id is None and self.role == "tool":
            raise ValueError("messages with role 'tool' need the field tool_call_id")
        return self

    def to_message(self) -> Message:
        content = self.content if self.content is not None else self.refusal or ""
        parts = content if isinstance(content, list) else [Part(type="text", text=content)]
        return Message(
            role="system" if self.role == "developer" else self.role,
            content="".join(p.said or "" for p in parts),
            tool_calls=tuple(call.model_dump() for call in self.tool_calls or ()),
            tool_call_id=self.tool_call_id or "",
        )


class DeclaredFunction(Wire):
    model_config = ConfigDict(strict=True, extra="allow")
    name: str = Field(min_length=1, max_length=64)
    parameters: dict[str, Any] | None = None


class Tool(Wire):
    type: Literal["function"]
    function: DeclaredFunction


class NamedFunction(Wire):
    name: str


class NamedTool(Wire):
    type: Literal["function"]
    function: NamedFunction


class NamedSchema(Wire):
    model_config = ConfigDict(strict=True, extra="allow")  # "strict" and "description", for upstream servers
    name: str = "answer"
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs the field json_schema")
        return self


class StreamOptions(Wire):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # pads events on hosted servers; there is nothing to hide on this machine


class Sampling(Hints, Upstream):
    """What the bodies of all answers have in common."""

    model: Text = "custom"
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000)  # as vLLM and llama.cpp have it, like `min_p`
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: Biases | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[Json, refused("must be 1: a request gets one answer", 1)] = None

    def parameters(self) -> dict[str, Json]:
        """What the audit log keeps of the request: all but the conversation, the model, and the user."""
        known = {"messages", "prompt", "model", "user"}
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=known)


class ChatBody(Sampling):
    """The body of POST /v1/chat/completions."""

    ID: ClassVar[str] = "chatcmpl-"
    messages: Many[WireMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: Annotated[Listed[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    conversation: Text | None = Field(None, max_length=200)  # with agents: the ID from the field `inhouse` of an answer
    include_steps: bool | None = None  # with agents: the tools that they call, as `tool_calls` to read
    modalities: Annotated[Json, refused(f"must be ['text']: {TEXT_ONLY}", ["text"])] = None
    audio: Annotated[Json, refused(f"is not supported: {TEXT_ONLY}")] = None
    functions: Annotated[Json, refused("is not supported: use 'tools'")] = None
    function_call: Annotated[Json, refused("is not supported: use 'tool_choice'")] = None
    web_search_options: Annotated[Json, refused("is not supported: nothing here reaches the web")] = None
    moderation: Annotated[Json, refused("is not supported: the guardrails of the server check every answer")] = None

    @field_validator("messages")
    @classmethod
    def _results_of_calls(cls, value: list[WireMessage]) -> list[WireMessage]:
        called: set[str] = set()
        for n, message in enumerate(value):
            if message.role == "tool" and message.tool_call_id not in called:
                text = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls' (messages[{at}])."
                )
                raise PydanticCustomError("invalid_value", text, {"at": n, "call_id": message.tool_call_id})
            called.update(call.id for call in message.tool_calls or ())
        return value

    @field_validator("tools", "response_format")
    @classmethod
    def _within_limits(cls, value: Any) -> Any:
        """Engines reject lone surrogates, which JSON can contain, and are slow with large schemas."""
        for n, item in enumerate(value if isinstance(value, list) else [value]):
            dumped = item.model_dump(by_alias=True) if item is not None else {}
            if why := excess(dumped, f"tools[{n}]" if isinstance(value, list) else "response_format"):
                raise ValueError(why)
            if not _encodable(dumped):
                raise ValueError("contains a lone surrogate")
        return value

    @field_validator("tools")
    @classmethod
    def _known_tools(cls, value: list[Tool] | None, info: ValidationInfo) -> list[Tool] | None:
        names = [tool.function.name for tool in value or ()]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        messages: list[WireMessage] = info.data.get("messages") or []
        for call in (c for m in messages if names for c in m.tool_calls or ()):
            if call.function.name not in names:
                raise ValueError(f"messages call '{call.function.name[:64]}', which is not among the tools")
        return value

    @field_validator("tool_choice")
    @classmethod
    def _known_choice(cls, value: Any, info: ValidationInfo) -> Any:
        names = [tool.function.name for tool in info.data.get("tools") or ()]
        if value not in (None, "none", "auto") and not names and "tools" in info.data:
            raise ValueError("is only allowed with tools")
        if isinstance(value, NamedTool) and value.function.name not in names:
            raise ValueError(f"'{value.function.name[:64]}' is not among the tools")
        return value

    @model_validator(mode="after")
    def _has_question(self) -> ChatBody:
        if not any(m.role == "user" for m in self.messages):
            raise ValueError("messages must contain at least one with role 'user'")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs requires logprobs to be true")
        if self.max_tokens and self.max_completion_tokens not in (None, self.max_tokens):
            raise ValueError("max_tokens and max_completion_tokens differ: set one of them")
        return self

    def to_request(self, groups: frozenset[str], user: str, usual_tokens: int, most_tokens: int) -> ChatRequest:
        """The request for a model, from a caller with these groups."""
        wanted = self.max_completion_tokens or self.max_tokens
        given = self.model_dump(include=set(PASSED), exclude_none=True, by_alias=True)
        if self.max_tokens is None:  # for upstreams, by the name that the caller used; newer models refuse the other
            given["max_completion_tokens"] = min(wanted or most_tokens, most_tokens)
        return ChatRequest(
            messages=tuple(m.to_message() for m in self.messages),
            max_tokens=min(wanted or usual_tokens, most_tokens),
            temperature=self.temperature,
            seed=self.seed,
            stop=tuple(self.stop or ()),
            json_schema=self._schema(),
            groups=groups,
            user=self.user or self.safety_identifier or user,
            scope=user,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            extra=given,
            conversation=self.conversation or "",
        )

    def envelope(self, id: str) -> Envelope:
        usage = bool(self.stream_options and self.stream_options.include_usage)
        return ChatEnvelope(id, self.model, bool(self.logprobs), usage)

    def _schema(self) -> dict[str, Any] | None:
        match self.response_format:
            case ResponseFormat(type="json_object"):
                return {"type": "object"}
            case ResponseFormat(type="json_schema", json_schema=NamedSchema(schema_=schema)):
                return schema
        return None


class FeedbackBody(Body):
    """The body of POST /v1/feedback: feedback on the answer `id`."""

    id: Text = Field(max_length=200)
    thumb: Literal[-1, 0, 1] = 0
    comment: Text = Field("", max_length=10_000)
    resolved: bool | None = None
    user: Text | None = Field(None, max_length=512)


# --- responses --------------------------------------------------------------------------------------------------


class Failure(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error, in OpenAI's shape."""

    error: Failure


def error_body(message: str, type_: str, code: str | None = None, param: str | None = None) -> dict[str, Json]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def usage_body(usage: Usage) -> dict[str, Json]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


class Answered(Protocol):
    """What is known of an answer, complete or not; of `deltas`, those with more than text."""

    @property
    def text(self) -> str: ...

    @property
    def deltas(self) -> Sequence[Delta]: ...

    @property
    def finish(self) -> Finish | None: ...

    def ours(self) -> dict[str, Json]:
        """The extension field `inhouse`."""
        ...


class Envelope(Protocol):
    """Writes one answer in one of the API's formats: as a whole, or as the events of a stream."""

    def plain(self, answer: Answered) -> Json:
        """The body of a complete answer."""
        ...

    def begin(self, answer: Answered) -> str:
        """The events before the first delta."""
        ...

    def delta(self, delta: Delta) -> str: ...

    def end(self, answer: Answered) -> str:
        """The events after the last delta."""
        ...

    def failed(self, error: dict[str, Json]) -> str:
        """The last event of a stream that fails after it has begun; `error` is a body as of `error_body`."""
        ...


class Asked(Protocol):
    """The body of a request for an answer, in any of the API's formats. IDs of answers begin with `ID`."""

    ID: ClassVar[str]

    @property
    def model(self) -> str: ...

    @property
    def stream(self) -> bool | None: ...

    def upstream_only(self) -> str:
        """The first parameter that no model of this server can do; "" if there is none."""
        ...

    def parameters(self) -> dict[str, Json]:
        """What the audit log keeps of the request: all but the conversation, the model, and the user."""
        ...

    def to_request(self, groups: frozenset[str], user: str, usual_tokens: int, most_tokens: int) -> ChatRequest: ...

    def envelope(self, id: str) -> Envelope: ...


class ChatEnvelope:
    """An answer as a chat completion. Its parts share ID, model, and time."""

    def __init__(self, id: str, model: str, logprobs: bool, usage: bool) -> None:
        self._id, self._model, self._created = id, model, int(time.time())
        self._logprobs, self._usage = logprobs, usage

    def plain(self, answer: Answered) -> Json:
        assert answer.finish is not None
        calls, refused = joined_calls(answer.deltas), any(d.refusal for d in answer.deltas)
        said = answer.text if answer.text or not calls else None
        message: dict[str, Json] = {"role": "assistant", "content": None if refused else said}
        message["refusal"] = said if refused else None
        if calls:
            message["tool_calls"] = calls
        tokens = [token for d in answer.deltas for token in d.logprobs]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": tokens, "refusal": None} if self._logprobs else None,
            "finish_reason": answer.finish.reason,
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage_body(answer.finish.usage),
                "inhouse": answer.ours()}  # fmt: skip

    def begin(self, answer: Answered) -> str:
        nothing = any(d.refusal or d.tool_calls for d in answer.deltas)
        return self._chunk({"role": "assistant", "content": None if nothing else ""}, ours=answer.ours())

    def delta(self, delta: Delta) -> str:
        out: dict[str, Json] = {"content": delta.text} if delta.text or not delta.tool_calls else {}
        if delta.refusal:
            out = {"refusal": delta.text}
        if delta.tool_calls:
            out["tool_calls"] = list(delta.tool_calls)
        return self._chunk(out, {"content": list(delta.logprobs), "refusal": None} if self._logprobs else None)

    def end(self, answer: Answered) -> str:
        assert answer.finish is not None
        last = self._chunk({}, reason=answer.finish.reason, ours=answer.ours())
        if self._usage:
            last += event(
                {**self._head("chat.completion.chunk"), "choices": [], "usage": usage_body(answer.finish.usage)}
            )
        return last + DONE

    def failed(self, error: dict[str, Json]) -> str:
        return event(error)

    def _chunk(self, delta: Json, logprobs: Json = None, reason: str | None = None, ours: Json = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        body = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return event(body if ours is None else {**body, "inhouse": ours})

    def _head(self, kind: str) -> dict[str, Json]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model,
                "system_fingerprint": None}  # fmt: skip


def event(body: Json) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


DONE = "data: [DONE]\n\n"


def joined_calls(deltas: Sequence[Delta]) -> list[dict[str, Json]]:
    """Tool calls assembled from the pieces of a stream."""
    calls: dict[int, dict[str, Json]] = {}
    for piece in (p for d in deltas for p in d.tool_calls):
        call = calls.setdefault(
            piece.get("index", 0), {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = piece.get("id") or call["id"]
        given = piece.get("function") or {}
        for part in ("name", "arguments"):
            call["function"][part] += given.get(part) or ""
    return [calls[n] for n in sorted(calls)]


def _encodable(value: Json) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
