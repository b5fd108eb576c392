"""The schema that a request asks for: in `response_format`, or written into the conversation, as some clients do.

A client that only sets `json_object` describes the object in words: as a JSON schema, as an example, or as a list of
keys. Without any, the object has one key, "answer".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from inhouse.agents.keywords import Schema
from inhouse.agents.names import asked_by
from inhouse.chat import ChatRequest
from inhouse.types import Json, Message, last_question

ANYTHING: Schema = {"type": "object"}
ANSWER: Schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
MOST_OBJECTS = 20  # of JSON that are looked for in a message
_MENTIONS = re.compile(r"\bjson\b", re.IGNORECASE)
_FENCED = re.compile(r"```\s?json|json code ?block", re.IGNORECASE)
_KEYS = re.compile(
    r"\b(?:keys?|fields?|properties)\b(?: named| called| are|:| of)?[: ]+((?:[\"'`]?[a-zA-Z_]\w{0,40}[\"'`]?"
    r"(?: ?\([^)\n]{1,40}\))?(?:,? (?:and )?|, ?)?){1,12})", re.IGNORECASE)  # fmt: skip
_KEY = re.compile(r"([\"'`]?)([a-zA-Z_]\w{0,40})\1(?: ?\(([^)\n]{1,40})\))?")
_TYPES = {
    "int": "integer",
    "integer": "integer",
    "number": "number",
    "float": "number",
    "bool": "boolean",
    "boolean": "boolean",
}
_NO_KEYS = frozenset("and with the a an of only".split())  # noqa: SIM905


class AskedFor(NamedTuple):
    """What is asked for.

    Attributes:
        schema: of the answer.
        messages: the conversation without what says how to answer.
        fenced: the answer is a block of Markdown, and may be text where it cannot be JSON.
    """

    schema: Schema
    messages: tuple[Message, ...]
    fenced: bool = False


def asked_for(request: ChatRequest) -> AskedFor | None:
    """The schema that the request asks for; None for an answer in words."""
    if request.json_schema is not None and request.json_schema != ANYTHING:
        return AskedFor(request.json_schema, request.messages)
    question = last_question(request.messages)
    told = [m for n, m in enumerate(request.messages) if m.role == "system" or n == question]
    if request.json_schema is None:
        texts = [m.content for m in told if _FENCED.search(m.content)]
        schemas = [s for m in told for s in _schemas(m.content)] if texts else []
        return AskedFor(schemas[0], _without(request.messages), fenced=True) if schemas else None
    found = next((s for m in told for s in _schemas(m.content)), None)
    found = found or next((s for m in told if (s := _of_example(m.content) or _of_keys(m.content))), None)
    return AskedFor(found or ANSWER, _without(request.messages))


def _objects(text: str) -> Iterator[tuple[int, int, Json]]:
    """The JSON objects in a text: where they begin and end, and the object."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(MOST_OBJECTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        yield at, end, value
        at = end


def _schemas(text: str) -> Iterator[Schema]:
    for _, _, value in _objects(text):
        if isinstance(value, dict) and ("properties" in value or "$ref" in value or "anyOf" in value):
            yield value


def _of_example(text: str) -> Schema | None:
    """The schema of an example such as {"service": "...", "usd": 0}."""
    if not _MENTIONS.search(text):
        return None
    for _, _, value in _objects(text):
        if isinstance(value, dict) and value:
            return _schema_of(value)
    return None


def _schema_of(value: Json) -> Schema:
    if isinstance(value, dict):
        return {"type": "object", "properties": {k: _schema_of(v) for k, v in value.items()}, "required": list(value)}
    if isinstance(value, list):
        return {"type": "array", "items": _schema_of(value[0]) if value else {"type": "string"}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        return {"type": "number"}
    return {"type": _TYPES.get(str(value).strip("<>. ").casefold(), "string")}


def _of_keys(text: str) -> Schema | None:
    """The schema of a sentence such as "answer in JSON with the keys service and usd (number)"."""
    if not _MENTIONS.search(text) or not (found := _KEYS.search(text)):
        return None
    keys = [(m[2], m[3] or "") for m in _KEY.finditer(found[1]) if m[2].casefold() not in _NO_KEYS]
    parts = {key: {"type": _TYPES.get(kind.casefold().split(" ")[0], "string") if kind else _kind_of(key)}
             for key, kind in keys}  # fmt: skip
    return {"type": "object", "properties": parts, "required": list(parts)} if parts else None


def _kind_of(key: str) -> str:
    """The type of a key that is only named: a number where its name has a unit."""
    asked = asked_by(key)
    return "number" if asked.unit or asked.money else "string"


def _without(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation without JSON and the sentences about it in its last question, which would be searched for."""
    at = last_question(messages)
    text = messages[at].content
    for start, end, _ in reversed(list(_objects(text))):
        text = f"{text[:start]} {text[end:]}"
    kept = [
        line
        for line in re.split(r"(?<=[.?!])\s+|\n+", text.replace("```", ""))
        if line.strip() and not _MENTIONS.search(line)
    ]
    shorter = " ".join(kept).strip()
    if not shorter:
        return tuple(messages)
    return (*messages[:at], messages[at].model_copy(update={"content": shorter}), *messages[at + 1 :])
