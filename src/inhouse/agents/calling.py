"""A ChatModel that calls the caller's tools.

Which tool, if any, is decided here and not by the model, so that it works with models of any size: by the likeness of
the question with what the tools say of themselves, and by whether what a call needs is there. Arguments are filled with
what stands in the conversation or, where that is not enough, in the assistant's own answer. They always match the
tool's schema; where they cannot, there is a refusal, and no call.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from inhouse.agents.evidence import Evidence
from inhouse.agents.fill import Alike, Filler, MissingError
from inhouse.agents.keywords import Schema, check_schema
from inhouse.agents.structured import Said, filled, heard
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, streaming
from inhouse.errors import RefusedError
from inhouse.text.sentences import sentences
from inhouse.types import Json, Message, last_question

ASKING = ("tools", "tool_choice", "parallel_tool_calls")  # keys of `ChatRequest.extra`
SURE = 0.45  # likeness from which a tool is called where the caller leaves it open
POSSIBLE = 0.25  # likeness from which a tool is called where there is no answer in words
CLOSE = 0.1  # a tool this much less like the question than another one is not called in its place
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}}


class Tool(NamedTuple):
    name: str
    description: str
    schema: Schema

    @property
    def declared(self) -> dict[str, Json]:
        """The tool as a request has it."""
        function = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {"type": "function", "function": function}

    @property
    def says(self) -> str:
        """What the tool is for, to be compared with a question."""
        parts = self.schema.get("properties") or {}
        named = ", ".join(n.replace("_", " ") for n in parts)
        return f"{self.name.replace('_', ' ')}. {self.description} {named}".strip()


class Call(NamedTuple):
    tool: Tool
    arguments: str

    def deltas(self, index: int) -> list[Delta]:
        """The call as OpenAI streams it: the name first, then the arguments."""
        head = {"index": index, "id": f"call_{secrets.token_hex(12)}", "type": "function",
                "function": {"name": self.tool.name, "arguments": ""}}  # fmt: skip
        rest = {"index": index, "function": {"arguments": self.arguments}}
        return [Delta(text="", tool_calls=(head,)), Delta(text="", tool_calls=(rest,))]


class Calling:
    """A ChatModel. Requests without tools pass unchanged.

    Args:
        model: answers in words, with its guardrails.
        caller: a `Caller` behind the guardrails of the input.
        quoting: a `Quoting` behind the guardrails of answers.
        alike: see `Filler`.
        declines: whether a sentence says that there is no answer.
    """

    def __init__(
        self,
        model: ChatModel,
        caller: ChatModel,
        quoting: ChatModel,
        alike: Alike,
        declines: Callable[[str], bool],
    ) -> None:
        self.name = model.name
        self._model, self._caller, self._quoting = model, caller, quoting
        self._alike, self._declines = alike, declines

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what `model` says, or calls of tools, or a refusal.

        Raises:
            RefusedError: a tool is unknown, or its schema is invalid or not supported.
            BackendError: the model could not answer.
        """
        bare = request.model_copy(update={"extra": {k: v for k, v in request.extra.items() if k not in ASKING}})
        tools, choice = declared(request), request.extra.get("tool_choice") or "auto"
        if not tools or choice == "none":
            said = streaming(self._model, bare)
        elif choice == "auto":
            said = aclosing(self._open(bare, tools))
        else:
            named = [t for t in tools if isinstance(choice, dict) and t.name == choice["function"]["name"]]
            said = aclosing(self._required(bare, named or tools))
        async with said as events:
            async for event in events:
                yield event

    async def _open(self, request: ChatRequest, tools: Sequence[Tool]) -> AsyncGenerator[ChatEvent]:
        """An answer or a call, whichever fits."""
        ranked = await asyncio.to_thread(self._ranked, request, _not_called(request, tools))
        if ranked and ranked[0][0] >= SURE and (call := _call(request, ranked[0][1])):
            async with aclosing(self._calls(request, call.tool)) as events:
                async for event in events:
                    yield event
            return
        possible = next((t for score, t in ranked if score >= POSSIBLE and _call(request, t)), None)
        if possible is None:
            async with streaming(self._model, request) as events:
                async for event in events:
                    yield event
            return
        said = await heard(self._model, request)
        if self._nothing(said):
            async with aclosing(self._calls(request, possible)) as events:
                async for event in events:
                    yield event
            return
        for note in said.notes:
            yield note
        yield Delta(text=said.text)
        yield said.finish

    async def _required(self, request: ChatRequest, tools: Sequence[Tool]) -> AsyncGenerator[ChatEvent]:
        """A call: of the tool that is most like the question among those whose arguments are known."""
        ranked = [t for _, t in await asyncio.to_thread(self._ranked, request, _not_called(request, tools) or tools)]
        if tool := next((t for t in ranked if _call(request, t)), None):
            async with aclosing(self._calls(request, tool)) as events:
                async for event in events:
                    yield event
            return
        said = await heard(self._model, request)
        for note in said.notes:
            yield note
        if said.finish.reason == "content_filter":
            yield Delta(text=said.text, refusal=True)
            yield said.finish
            return
        why = MissingError("", "there is no answer to call it with")
        if not self._nothing(said):
            question = request.messages[last_question(request.messages)].content
            for tool in ranked:
                try:
                    filler = Filler(tool.schema, said.evidence(question), self._alike)
                    arguments = await filled(filler, said, request, self._quoting)
                except MissingError as error:
                    why = error
                    continue
                for delta in Call(tool, _written(arguments)).deltas(0):
                    yield delta
                yield said.finish.model_copy(update={"reason": "tool_calls"})
                return
        yield Delta(text=f"{ranked[0].name} cannot be called: {why}.", refusal=True)
        yield said.finish

    async def _calls(self, request: ChatRequest, tool: Tool) -> AsyncGenerator[ChatEvent]:
        """The call, once the guardrails have passed the conversation, with what they left of it."""
        async with streaming(self._caller, request.model_copy(update={"extra": {"tools": [tool.declared]}})) as events:
            async for event in events:
                yield event

    def _ranked(self, request: ChatRequest, tools: Sequence[Tool]) -> list[tuple[float, Tool]]:
        """The tools that the question may mean, and how much they are like it."""
        if not tools:
            return []
        question = request.messages[last_question(request.messages)].content
        scores = self._alike(question, [t.says for t in tools])
        ranked = sorted(zip(scores, tools, strict=True), key=lambda s: -s[0])
        return [r for r in ranked if r[0] >= ranked[0][0] - CLOSE]

    def _nothing(self, said: Said) -> bool:
        return said.handoff is not None or not said.text or any(map(self._declines, sentences(said.text)))


class Caller:
    """A ChatModel that calls the only tool of the request, with arguments from the conversation."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        (tool,) = declared(request)
        if call := _call(request, tool):
            for delta in call.deltas(0):
                yield delta
            yield Finish(reason="tool_calls")
        else:  # a guardrail removed what it needs
            yield Delta(text=f"{tool.name} cannot be called: an argument is missing.", refusal=True)
            yield Finish(reason="stop")


def declared(request: ChatRequest) -> list[Tool]:
    """The tools of a request.

    Raises:
        RefusedError: a schema is invalid or not supported.
    """
    tools = []
    for n, tool in enumerate(request.extra.get("tools") or ()):
        function = tool["function"]
        schema = function.get("parameters") or NO_ARGUMENTS
        check_schema(schema, f"tools.{n}.function.parameters")
        if schema.get("type", "object") != "object":
            raise RefusedError(f"tools.{n}.function.parameters: must be a schema of an object",
                               param=f"tools.{n}.function.parameters")  # fmt: skip
        tools.append(Tool(function["name"], str(function.get("description") or ""), schema))
    return tools


def _not_called(request: ChatRequest, tools: Sequence[Tool]) -> list[Tool]:
    """The tools that were not called for the last question."""
    since = request.messages[last_question(request.messages) :]
    called = {call["function"]["name"] for m in since for call in m.tool_calls}
    return [t for t in tools if t.name not in called]


def _call(request: ChatRequest, tool: Tool) -> Call | None:
    """A call with arguments from what the user says, and from results of other tools; None where some are missing."""
    at = last_question(request.messages)
    earlier = [m.content for m in request.messages[:at] if m.role == "user"]
    evidence = Evidence(
        request.messages[at].content, "", (*_results(request.messages[at:]), *reversed(earlier)), spoken=True
    )
    try:
        return Call(tool, _written(Filler(tool.schema, evidence).fill()))
    except MissingError:
        return None


def _results(messages: Sequence[Message]) -> tuple[str, ...]:
    return tuple(m.content for m in messages if m.role == "tool")


def _written(arguments: Json) -> str:
    return json.dumps(arguments, ensure_ascii=False)
