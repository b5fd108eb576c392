"""Every text of a request that would leave, rewritten one by one: of messages, calls of tools and their results, tools,
schemas, and what ends an answer.

JSON is read as JSON, so that an escaped value is seen, and only the values that change are written anew. What is
neither known nor a number is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from inhouse.chat import ChatRequest
from inhouse.types import Json, Message

Role = Literal["system", "user", "assistant", "tool"]
Rewrite = Callable[[str, Role, str], str]
"""A text, whose it is, and the key that it is under in JSON ("" for none), to what is sent in its place."""

TEXTS = ("tools", "tool_choice", "response_format", "prediction", "reasoning_effort", "verbosity", "service_tier")
"""Fields of `extra` that a model needs, and whose texts are rewritten."""
LEAST_DIGITS = 5  # of a number in JSON that is rewritten
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', re.DOTALL)
_COLON = re.compile(r"\s*:")


def rewritten(request: ChatRequest, rewrite: Rewrite) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request with every text rewritten, always in the same order, and the fields that were left out.

    Who asks, and what is remembered of the conversation, is left out too: nothing of it is sent.
    """
    extra: dict[str, Json] = {}
    dropped = []
    for name, value in request.extra.items():
        if name in TEXTS:
            extra[name] = _value(value, rewrite, "")
        elif _is_number(value):
            extra[name] = value
        else:
            dropped.append(name)
    schema = request.json_schema
    changed = {
        "messages": tuple(_message(m, rewrite) for m in request.messages),
        "stop": tuple(rewrite(text, "user", "") for text in request.stop),
        "json_schema": None if schema is None else _value(schema, rewrite, ""),
        "extra": extra,
    }
    nobody = ChatRequest(messages=())
    own = {name: getattr(nobody, name) for name in ("groups", "user", "scope", "without", "key", "role", "exchange",
                                                    "conversation", "turn", "state", "plan")}  # fmt: skip
    return request.model_copy(update=changed | own), tuple(dropped)


def _message(message: Message, rewrite: Rewrite) -> Message:
    calls = tuple(_call(call, rewrite) for call in message.tool_calls)
    content = in_json(message.content, lambda t, r, key: rewrite(t, message.role, key))
    if content is None:
        content = rewrite(message.content, message.role, "")
    id = rewrite(message.tool_call_id, "tool", "") if message.tool_call_id else ""
    return message.model_copy(update={"content": content, "tool_calls": calls, "tool_call_id": id})


def _call(call: dict[str, Json], rewrite: Rewrite) -> dict[str, Json]:
    function = call.get("function")
    rest = _value({k: v for k, v in call.items() if k != "function"}, rewrite, "")
    if not isinstance(function, dict):
        return dict(rest)
    arguments = str(function.get("arguments", ""))
    inside = in_json(arguments, rewrite)
    said = _value({k: v for k, v in function.items() if k != "arguments"}, rewrite, "")
    return {**rest, "function": {**said, "arguments": rewrite(arguments, "tool", "") if inside is None else inside}}


def in_json(text: str, rewrite: Rewrite) -> str | None:
    """JSON of an object or array with its texts rewritten; None if the text is not that."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    key = ""

    def token(match: re.Match[str]) -> str:
        nonlocal key
        part = match[0]
        if part[0] != '"':
            return _number(part, rewrite, key)
        value = json.loads(part, strict=False)
        if _COLON.match(text, match.end()):
            key = value
        new = rewrite(value, "tool", "" if key == value else key)
        return part if new == value else json.dumps(new, ensure_ascii="\\u" in part)

    return _TOKEN.sub(token, text)


def _value(value: Json, rewrite: Rewrite, key: str) -> Any:
    if isinstance(value, str):
        return rewrite(value, "tool", key)
    if isinstance(value, dict):
        return {rewrite(k, "tool", ""): _value(v, rewrite, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_value(v, rewrite, key) for v in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return json.loads(_number(str(value), rewrite, key))
    return value


def _number(text: str, rewrite: Rewrite, key: str) -> str:
    """A number of JSON, as one if it still is."""
    if not text.isdigit() or len(text) < LEAST_DIGITS:
        return text
    new = rewrite(text, "tool", key)
    return new if new.isdigit() and new[0] != "0" else json.dumps(new)


def _is_number(value: Json) -> bool:
    if isinstance(value, dict):
        return all(isinstance(v, int | float) and k.isdigit() for k, v in value.items())
    return value is None or isinstance(value, int | float)
