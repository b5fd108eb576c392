"""One model with everything in its prompt: what a team of agents is compared with.

The prompt has the procedures' titles, the tools, and the conversation with the calls so far; a grammar lets the model
say something, look into the documents, or call a tool. Its calls run in the same executor as those of agents.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from inhouse.agents.call_grammar import call_schema
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, collect, streaming
from inhouse.tools import Call, Caller, Proposal, Tool
from inhouse.types import Json, Message

LAYER = "agent"
MOST_CALLS = 6  # of the model in one turn
MOST_TOKENS = 160  # of one of them
MOST_CHARS = 300  # that it says
SHOWN = 160  # characters of a description
LOG_CHARS = 6000  # of the conversation and the calls
RESULT_CHARS = 600
CLOSED: Mapping[str, Json] = {"type": "object", "additionalProperties": False}


class Executes(Protocol):
    async def run(self, proposal: Proposal, caller: Caller, allowed: Sequence[str]) -> Call: ...


class OnePrompt:
    """A ChatModel.

    Args:
        model: decides.
        executor: runs the tools.
        tools: by name.
        procedures: what can be done, by name with its title.
        instructions: of the assistant.
        answerer: answers from the documents; None where there are none.
        today: the current day, ISO 8601.
    """

    name = "one-prompt"

    def __init__(
        self, model: ChatModel, executor: Executes, tools: Mapping[str, Tool], procedures: Mapping[str, str],
        instructions: str = "", answerer: ChatModel | None = None, today: str = "",
    ) -> None:  # fmt: skip
        self._model, self._executor, self._tools, self._answerer = model, executor, list(tools), answerer
        shown = [
            f"{t.name}({', '.join(t.parameters.get('properties', {}))}): {t.description[:SHOWN]}"
            for t in tools.values()
        ]
        can = '{"say": TEXT}' + (', {"documents": true} to answer from the documents,' if answerer else "")
        self._system = "\n".join([
            instructions, f"Today is {today}." if today else "", "You can: " + "; ".join(procedures.values()), "Tools:",
            *shown, f'Answer with JSON: {can} or {{"tool": NAME, "arguments": {{...}}}}.',
        ])  # fmt: skip
        say = {**CLOSED, "properties": {"say": {"type": "string", "maxLength": MOST_CHARS}}, "required": ["say"]}
        look = {**CLOSED, "properties": {"documents": {"const": True}}, "required": ["documents"]}
        calls = call_schema({t.name: t.parameters for t in tools.values()})["anyOf"][:-1]  # it says "none" in words
        self._schema: dict[str, Json] = {"anyOf": [say, *([look] if answerer else []), *calls]}

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what it says, its steps, and what it remembers.

        Raises:
            BackendError: the model or the ledger cannot be reached.
        """
        log = [str(line) for line in request.state.get(self.name) or []]
        log.append(f"Customer: {request.messages[-1].content}")
        caller = Caller(user=request.user, key=request.key, groups=request.groups, role=request.role)
        for ordinal in range(MOST_CALLS):
            value = await self._decision(log, request.scope)
            yield Note(layer=LAYER, kind="step", data={"kind": "understood", "model_calls": 1})
            if value.get("tool") is None:
                break
            proposal = Proposal(
                conversation=request.conversation, turn=request.turn, ordinal=ordinal, tool=value["tool"],
                arguments=value.get("arguments") or {},
            )  # fmt: skip
            call = await self._executor.run(proposal, caller, self._tools)
            yield Note(layer=LAYER, kind="step", data={
                "kind": "call", "tool": proposal.tool, "arguments": proposal.arguments, "status": call.status,
                "why": call.why, "key": call.key,
            })  # fmt: skip
            result = json.dumps(call.result, ensure_ascii=False) if call.status == "done" else call.why
            log.append(f"You called {proposal.tool} {json.dumps(proposal.arguments, ensure_ascii=False)}")
            log.append(f"{call.status}: {result[:RESULT_CHARS]}")
        text = ""
        if value.get("documents") and self._answerer:
            plain = request.model_copy(update={"state": {}, "plan": {}})
            async with streaming(self._answerer, plain) as events:
                async for event in events:
                    if isinstance(event, Delta):
                        text += event.text
                    if not isinstance(event, Finish):
                        yield event
        else:
            text = str(value.get("say") or "")
            yield Delta(text=text)
        log.append(f"You: {text}")
        yield Note(layer=LAYER, kind="state", data={self.name: log})
        yield Finish(reason="stop")

    async def _decision(self, log: Sequence[str], scope: str) -> dict[str, Json]:
        """What the model says or does next; {} where its answer was cut short."""
        messages = (
            Message(role="system", content=self._system), Message(role="user", content="\n".join(log)[-LOG_CHARS:]),
        )  # fmt: skip
        asked = ChatRequest(messages=messages, max_tokens=MOST_TOKENS, json_schema=self._schema, scope=scope)
        try:
            value = json.loads((await collect(self._model, asked)).text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}
