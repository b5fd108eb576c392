"""OpenAI's Responses API: POST /v1/responses, and reading a response again.

A request becomes that of a chat, so both follow the same rules; an envelope writes the answer as items and events.
`previous_response_id` continues the conversation that the audit log holds, and `conversation` one with agents. Items
carry the ID of their response ("msg_...", "fc_..."), so references to them are found there too.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, cast

from fastapi import APIRouter, Request
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import JSONResponse, Response

from inhouse.chat import ChatRequest, Delta, Exchange, Finish
from inhouse.errors import CONTEXT_LENGTH
from inhouse.gateway.auth import Caller, weigh
from inhouse.gateway.chat import Answer
from inhouse.gateway.complaints import complaint
from inhouse.gateway.contract import MOST_TOOLS, UNSUPPORTED_VALUE, Hints, Listed, Many, Text, Wire, refused
from inhouse.gateway.envelopes import ResponsesEnvelope
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.gateway.wire import TEXT_ONLY, ChatBody, StreamOptions, joined_calls
from inhouse.store.keys import Key
from inhouse.tools import CONTINUED
from inhouse.types import Json, digest_of

PARTS = ("input_text", "output_text", "text", "refusal", "summary_text")
INCLUDED = ("reasoning.encrypted_content", "message.output_text.logprobs")
CHAT_NAMES = {  # of parameters, and what the Responses API calls them
    "response_format.json_schema": "text.format", "response_format": "text.format", "messages": "input",
    "reasoning_effort": "reasoning.effort", "verbosity": "text.verbosity", "max_completion_tokens": "max_output_tokens",
}  # fmt: skip
NOT_ANSWERED = ("", "error", "cancelled", "refused", "interrupted")
_ITEM = re.compile(r"(?:msg|fc)_([0-9a-f]{32})(?:_(\d+))?")
routes = APIRouter()


class ItemPart(Wire):
    type: Text
    text: Text | None = None
    refusal: Text | None = None

    @model_validator(mode="after")
    def _readable(self) -> ItemPart:
        if self.type not in PARTS:
            text = f"parts of type '{self.type[:40]}' are not supported: {TEXT_ONLY}"
            raise PydanticCustomError(UNSUPPORTED_VALUE, text)
        return self


class Item(Wire):
    """What goes in: a message, a call of a function, its result, or a reference to an earlier item."""

    type: Literal["message", "function_call", "function_call_output", "item_reference"] = "message"
    id: Text | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Text | Many[ItemPart] | None = None
    call_id: Text | None = None
    name: Text | None = None
    arguments: Text | None = None
    output: Text | Many[ItemPart] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Item:
        needed = {"message": ("role", "content"), "function_call": ("call_id", "name", "arguments"),
                  "function_call_output": ("call_id", "output"), "item_reference": ("id",)}[self.type]  # fmt: skip
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"an item of type {self.type} needs the field {missing[0]}")
        return self


class FunctionTool(Wire):
    type: Literal["function"]
    name: Text = Field(min_length=1, max_length=64)
    description: Text | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedTool(Wire):
    type: Literal["function"]
    name: Text


class TextFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    name: Text = "answer"
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    description: Text | None = None


class TextOptions(Wire):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Wire):
    effort: Text | None = None
    summary: Annotated[Json, refused("is not supported: no model here shows its reasoning", "auto")] = None


class Conversation(Wire):
    id: Text = Field(max_length=200)


class ResponsesBody(Hints):
    """The body of POST /v1/responses."""

    model: Text = "custom"
    input: Text | Annotated[Many[Item], Field(min_length=1)]
    instructions: Text | None = None
    previous_response_id: Text | None = Field(None, max_length=100)
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    text: TextOptions | None = None
    tools: Annotated[Listed[FunctionTool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(None, ge=1)  # of built-in tools, of which there are none
    reasoning: Reasoning | None = None
    include: Many[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    service_tier: Text | None = Field(None, max_length=20)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    background: Annotated[Json, refused("is not supported: answers are given at once", False)] = None
    conversation: Conversation | Annotated[Text, Field(max_length=200)] | None = None
    prompt: Annotated[Json, refused("is not supported: send the text as 'input'")] = None
    context_management: Annotated[Json, refused("is not supported: send a shorter conversation")] = None
    moderation: Annotated[Json, refused("is not supported: the guardrails of the server check every answer")] = None

    @property
    def conversation_id(self) -> str:
        """The conversation with agents that the request belongs to, as in the field `inhouse` of an answer."""
        return self.conversation.id if isinstance(self.conversation, Conversation) else self.conversation or ""

    def chat(self, earlier: list[Json]) -> dict[str, Json]:
        """The same request to /v1/chat/completions, after the messages of an earlier conversation."""
        text, given = self.text or TextOptions(), self.model_dump(exclude_none=True, include=set(Hints.model_fields))
        instructions = [{"role": "system", "content": self.instructions}] if self.instructions else []
        logprobs = self.top_logprobs is not None or INCLUDED[1] in (self.include or ())
        wanted: dict[str, Json] = {
            "model": self.model, "messages": [*instructions, *earlier], "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature, "top_p": self.top_p, "stream": self.stream,
            "reasoning_effort": self.reasoning.effort if self.reasoning else None, "verbosity": text.verbosity,
            "service_tier": self.service_tier, "logprobs": logprobs or None, "top_logprobs": self.top_logprobs,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            "conversation": self.conversation_id or None,
            "tools": [{"type": "function", "function": t.model_dump(exclude_none=True, exclude={"type"})}
                      for t in self.tools or ()] or None,
        }  # fmt: skip
        if isinstance(self.tool_choice, NamedTool):
            wanted["tool_choice"] = {"type": "function", "function": {"name": self.tool_choice.name}}
        elif self.tools:
            wanted["tool_choice"] = self.tool_choice
        if text.format and text.format.type == "json_schema":
            schema = text.format.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
            wanted["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif text.format:
            wanted["response_format"] = {"type": text.format.type}
        return given | {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True)
class Continued:
    """A request with its whole conversation, as Answer asks for it."""

    ID: ClassVar[str] = "resp_"
    body: ResponsesBody
    chat: ChatBody

    @property
    def model(self) -> str:
        return self.body.model

    @property
    def stream(self) -> bool | None:
        return self.body.stream

    def upstream_only(self) -> str:
        name = self.chat.upstream_only()
        return CHAT_NAMES.get(name, name)

    def parameters(self) -> dict[str, Json]:
        return self.body.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"input", "model", "user"})

    def to_request(self, groups: frozenset[str], user: str, usual_tokens: int, most_tokens: int) -> ChatRequest:
        return self.chat.to_request(groups, user, usual_tokens, most_tokens)

    def envelope(self, id: str) -> ResponsesEnvelope:
        return ResponsesEnvelope(id, self.model, self.parameters(), self.body.user)


# --- routes -----------------------------------------------------------------------------------------------------


@routes.post("/v1/responses", response_class=Response)
async def respond(request: Request, body: ResponsesBody, key: Caller) -> Response:
    """Answers a conversation in the format of the Responses API, as one reply or as a stream."""
    state: State = request.app.state.inhouse
    earlier, before = Earlier(state, key), list[Json]()
    user = body.user or body.safety_identifier or key.id
    if body.conversation_id:
        if body.previous_response_id:
            text = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Provide one of them."
            raise HttpError(400, text, code="mutually_exclusive_parameters", param="conversation")
        before = await earlier.conversation(body.conversation_id, user)
    elif body.previous_response_id:
        exchange = await earlier.response(body.previous_response_id)
        if exchange is None or exchange.user != user or exchange.reason in NOT_ANSWERED:
            text = f"Previous response with id '{body.previous_response_id}' not found."
            raise HttpError(400, text, code="previous_response_not_found", param="previous_response_id")
        before = _conversation(exchange)
    said = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else await _messages(
        earlier, body.input
    )  # fmt: skip
    chat = body.chat([*before, *said])
    try:
        asked = ChatBody.model_validate(chat)
    except ValidationError as error:
        raise _complaint(error, chat) from None
    if before and body.model not in {table.name for table in state.project.upstream}:
        most, end = state.project.model.context_tokens, len(before) + bool(body.instructions)
        asked = _fitting(asked, range(end - len(before), end), most, body.truncation == "auto")
    return Answer(state, key, Continued(body, asked), request.headers.get("traceparent", ""))


@routes.get("/v1/responses/{id}")
async def response(request: Request, id: str, key: Caller) -> Any:
    """A response given earlier to the same key, unless it was asked not to be stored."""
    state: State = request.app.state.inhouse
    exchange = await _exchange(state, id, key)
    if exchange is None or exchange.reason in NOT_ANSWERED:
        raise _no_such(id)
    envelope = ResponsesEnvelope(exchange.id, exchange.model, exchange.parameters, exchange.user)
    envelope.created = int(datetime.fromisoformat(exchange.at).timestamp())
    return JSONResponse(envelope.plain(Kept(exchange)))


@routes.delete("/v1/responses/{id}")
async def delete(request: Request, id: str, key: Caller) -> Any:
    """Refused: answers stay in the audit log, from which an administrator can redact them."""
    if await _exchange(request.app.state.inhouse, id, key) is None:
        raise _no_such(id)
    text = f"Responses are part of the audit log and cannot be deleted. To erase one: inhouse audit redact {id}"
    raise HttpError(403, text, "permission_error", "forbidden", "id")


class Kept:
    """A response read from the audit log."""

    def __init__(self, exchange: Exchange) -> None:
        self.text, calls = _said(exchange)
        self.deltas = [Delta(text="", tool_calls=tuple(calls))] if calls else []
        self.finish: Finish | None = Finish(reason=cast("Any", exchange.reason), usage=exchange.usage)
        self._exchange = exchange

    def ours(self) -> dict[str, Json]:
        kept = self._exchange.model_dump(mode="json", include={"id", "release", "arm", "passages", "citations",
                                                               "confidence", "findings"})  # fmt: skip
        return {**kept, "handoff": None}


# --- the conversation before ------------------------------------------------------------------------------------


class Earlier:
    """Reads earlier responses for a request, together no more than it could have in its body. They count as bytes that
    the key has sent, because the audit log keeps them once more."""

    def __init__(self, state: State, key: Key) -> None:
        self._state, self._key = state, key
        self._found: dict[str, Exchange | None] = {}
        self._size = 0

    async def response(self, id: str) -> Exchange | None:
        """The response, as `_exchange` finds it.

        Raises:
            HttpError: 400, those read so far are too large; 429, the key has sent too many bytes.
        """
        if id not in self._found:
            self._found[id] = self._weighed(await _exchange(self._state, id, self._key))
        return self._found[id]

    async def conversation(self, id: str, user: str) -> list[Json]:
        """The messages of a conversation with agents, as its last answers left them. None of one that has not begun,
        or that was redacted or not stored: the agents go on with what they remember.

        Raises:
            HttpError: 400, this server has no agents; 404, the conversation is someone else's; else as for `response`.
        """
        if self._state.turns is None:
            text = "'conversation' needs a server with agents; use 'previous_response_id'"
            raise HttpError(400, text, code="unsupported_parameter", param="conversation")
        turns = await asyncio.to_thread(self._state.turns.of, id)
        if turns and turns[-1].owner != digest_of([self._key.id, user]):
            raise HttpError(
                404, f"Conversation with id '{id[:100]}' not found.", code="not_found", param="conversation"
            )
        said: list[Json] = []  # after an approval, without a message of the user
        for turn in reversed([turn for turn in turns if turn.reply is not None]):
            if turn.asked == CONTINUED:
                text = "".join(row["data"]["text"] for row in turn.reply or () if row["event"] == "Delta")
                said.insert(0, {"role": "assistant", "content": text})
                continue
            exchange = self._weighed(await asyncio.to_thread(self._state.audit.get, turn.exchange))
            return [*_conversation(exchange), *said] if exchange and _readable(exchange, self._key) else []
        return []

    def _weighed(self, found: Exchange | None) -> Exchange | None:
        size = len(found.model_dump_json(include={"messages", "answer"})) if found else 0
        weigh(self._state, self._key, size)
        self._size += size
        if self._size > self._state.project.gateway.max_body_kb * 1024:
            raise _too_long()
        return found


def _fitting(chat: ChatBody, earlier: range, most_tokens: int, shorten: bool) -> ChatBody:
    """The request with as much of the conversation as the context can hold.

    Args:
        chat: the request.
        earlier: the positions of the messages of the earlier conversation.
        most_tokens: what the context can hold.
        shorten: whether the oldest turns may be left out.

    Raises:
        HttpError: 400, the conversation is too long.
    """
    messages, first = chat.messages, earlier.start
    tokens = [m.to_message().least_tokens for m in messages]
    turns = [n for n, m in enumerate(messages) if first < n <= earlier.stop and m.role == "user"]
    for start in (first, *turns) if shorten else (first,):
        if sum(tokens[:first]) + sum(tokens[start:]) <= most_tokens:
            return chat.model_copy(update={"messages": messages[:first] + messages[start:]})
    raise _too_long()


def _too_long() -> HttpError:
    text = "Your input exceeds the context window of this model. Please adjust your input and try again."
    return HttpError(400, text, code=CONTEXT_LENGTH, param="input")


async def _exchange(state: State, id: str, key: Key) -> Exchange | None:
    """The stored response, for the key that asked; what its groups no longer may read is not found."""
    exchange = await asyncio.to_thread(state.audit.get, id) if id.startswith(Continued.ID) else None
    return exchange if exchange and _readable(exchange, key) else None


def _readable(exchange: Exchange, key: Key) -> bool:
    """Whether an exchange is stored, and the key's, with groups that it has still."""
    redacted = not exchange.user  # every exchange has one until it is redacted
    own = exchange.key == key.id and exchange.groups <= frozenset(key.groups)
    return own and not redacted and exchange.parameters.get("store") is not False


def _no_such(id: str) -> HttpError:
    return HttpError(404, f"Response with id '{id[:100]}' not found.", code="not_found", param="id")


def _conversation(exchange: Exchange) -> list[Json]:
    """The messages of an exchange, without its instructions, which hold for one response only, and with its answer."""
    asked = exchange.messages[1:] if exchange.parameters.get("instructions") else exchange.messages
    text, calls = _said(exchange)
    answer = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    return [*(m.to_openai() for m in asked), answer]


def _said(exchange: Exchange) -> tuple[str, list[Json]]:
    """The text of an answer and its calls of tools, which the audit log keeps as one text."""
    answer = exchange.answer
    last_line = answer.removesuffix("\n\n").rfind("\n") + 1  # the calls are one event, without line breaks
    at = answer.find("data: [{", last_line)
    if at < 0 or not answer.endswith("}]\n\n"):
        return answer, []
    return answer[:at], joined_calls([Delta(text="", tool_calls=tuple(json.loads(answer[at + len("data: ") :])))])


async def _messages(earlier: Earlier, items: list[Item]) -> list[Json]:
    """The items as messages; calls that follow one another, or an answer, belong to one message."""
    messages: list[Json] = []
    for item in items:
        for message in await _referenced(earlier, item.id or "") if item.type == "item_reference" else [_one(item)]:
            last = messages[-1] if messages else {}
            if message.get("tool_calls") and last.get("role") == "assistant":
                last["tool_calls"] = [*last.get("tool_calls", ()), *message["tool_calls"]]
            else:
                messages.append(message)
    return messages


def _one(item: Item) -> dict[str, Json]:
    if item.type == "function_call":
        call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if item.type == "function_call_output":
        return {"role": "tool", "tool_call_id": item.call_id, "content": _text(item.output)}
    return {"role": item.role, "content": _text(item.content)}


def _text(content: str | list[ItemPart] | None) -> str:
    return content if isinstance(content, str) else "".join(p.text or p.refusal or "" for p in content or ())


async def _referenced(earlier: Earlier, id: str) -> list[dict[str, Json]]:
    found = _ITEM.fullmatch(id)
    exchange = await earlier.response(f"{Continued.ID}{found[1]}") if found else None
    if exchange is None or found is None:
        raise HttpError(400, f"Item with id '{id[:100]}' not found.", code="not_found", param="input")
    text, calls = _said(exchange)
    if id.startswith("msg"):
        return [{"role": "assistant", "content": text}]
    called = calls[int(found[2] or 0) :][:1]
    return [{"role": "assistant", "content": None, "tool_calls": called}] if called else []


def _complaint(invalid: ValidationError, chat: Json) -> HttpError:
    """What is wrong with a chat, with the names that the Responses API has."""
    problems: list[dict[str, Any]] = [{**p, "loc": ("body", *p["loc"])} for p in invalid.errors()]
    if call_id := problems[0].get("ctx", {}).get("call_id"):
        return HttpError(400, f"No tool call found for function call output with call_id {call_id}.", param="input")
    error = complaint(problems, chat)
    fields: dict[str, Json] = error.body["error"]
    for theirs, ours in CHAT_NAMES.items():
        if str(fields["param"] or "").startswith(theirs):
            fields["message"] = fields["message"].replace(theirs, ours)
            fields["param"] = fields["param"].replace(theirs, ours, 1)
            break
    return error
