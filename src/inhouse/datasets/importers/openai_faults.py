"""What is wrong with a row in OpenAI's shape that reading it would drop or change without a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inhouse.datasets.importers.imported import objects
from inhouse.datasets.turns import decoded
from inhouse.types import Json

_PAIR = ("preferred_output", "non_preferred_output")
_MEDIA = {"audio": "audio", "video": "video", "file": "file"}  # "image" is said by `turns`


def fault_of(row: Mapping[str, Json]) -> str:
    """Why a row for training cannot be read whole; empty if nothing is wrong with it."""
    held = row.get("input")
    outer = held if isinstance(held, dict) else {}
    messages = [*objects(row.get("messages")), *objects(outer.get("messages"))]
    ends = [message for key in _PAIR for message in objects(row.get(key))]
    faults = (
        *(f for holder in (row, outer) for key in ("tools", "functions") for f in _tools(key, holder.get(key))),
        *(f for message in (*messages, *ends) for f in (*_calls(message), *_weight(message), *_media(message))),
        *_results([*messages, *ends]),
    )
    return faults[0] if faults else ""


def _tools(key: str, given: Json) -> Iterator[str]:
    if given is None:
        return
    listed = decoded(given)
    if not isinstance(listed, list):
        yield f"`{key}` is not a list of tools"
        return
    for tool in listed:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            yield f"`{key}` has a tool without a name"


def _calls(message: Mapping[str, Json]) -> Iterator[str]:
    listed = decoded(message.get("tool_calls"))
    if listed is not None and not isinstance(listed, list):
        yield "`tool_calls` is not a list of calls"
        return
    calls = [*(listed or ()), *([message["function_call"]] if message.get("function_call") is not None else ())]
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            yield "a tool call has no function with a name"
            continue
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments.strip() and not isinstance(decoded(arguments), dict):
            yield "the arguments of a tool call are not a JSON object"


def _results(messages: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    """Results of tools are of calls before them."""
    called: set[str] = set()
    for message in messages:
        listed = decoded(message.get("tool_calls"))
        called |= {str(call.get("id")) for call in objects(listed)}
        if message.get("role") == "tool" and message.get("tool_call_id") and message["tool_call_id"] not in called:
            yield "a `tool_call_id` is of no tool call before it"


def _weight(message: Mapping[str, Json]) -> Iterator[str]:
    weight = message.get("weight")
    if weight is not None and (isinstance(weight, str) or weight not in (0, 1)):
        yield "a `weight` is neither 0 nor 1"


def _media(message: Mapping[str, Json]) -> Iterator[str]:
    kinds = [str(part.get("type", "")) for part in objects(message.get("content"))]
    for kind in (*kinds, *(["audio"] if message.get("audio") else ())):
        yield from (name for word, name in _MEDIA.items() if word in kind)
