"""A ChatModel whose answers fill a JSON schema, or are refused.

A small model that writes JSON over passages is often wrong, and always sure. So the question is answered in words, by
the very path that was measured, with its retrieval and guardrails; then the schema is filled with what that answer
says. What it does not say is a refusal, never a guess.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from inhouse.agents.asked import AskedFor, asked_for
from inhouse.agents.evidence import Evidence, is_about
from inhouse.agents.fill import Alike, Filler, MissingError
from inhouse.agents.keywords import check_schema, fits
from inhouse.agents.phrases import is_question
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.text.sentences import sentences
from inhouse.types import Json, last_question

NOT_KNOWN = "The documents do not answer this, so the schema cannot be filled."
PLACE = "response_format.json_schema.schema"  # of the schema in a request
HANDOFF = ("guarded", "handoff")
FORMAT = "response_format"
QUOTED = "quoted"  # key of `ChatRequest.extra` for a `Quoting`


class Said(NamedTuple):
    """A complete answer in words. `handoff` is the note that it goes to a person, if there is one."""

    text: str
    notes: tuple[Note, ...]
    finish: Finish
    handoff: Note | None

    def evidence(self, question: str) -> Evidence:
        """What a schema may be filled with."""
        data = {n.kind: n.data for n in self.notes if n.layer == "grounded"}
        cited = data.get("citations") or []
        sources = tuple(dict.fromkeys(c["source"] for c in cited if "source" in c))
        return Evidence(question, self.text, _cited(data), self.finish.confidence, sources)

    def is_about(self, question: str) -> bool:
        """Whether the answer, or what it rests on, has a word of the question; true where it rests on no passages."""
        found = next((n.data for n in self.notes if (n.layer, n.kind) == ("grounded", "passages")), None)
        texts = (f"{p['title']} {p['heading']} {p['text']}" for p in found or ())
        return not found or is_about(question, (self.text, *texts))


class Quoting:
    """A ChatModel that says a sentence of a passage, so that guardrails can check it: `extra` has both."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        yield Note(layer="grounded", kind="passages", data=request.extra[QUOTED]["passages"])
        yield Delta(text=request.extra[QUOTED]["text"])
        yield Finish(reason="stop")


async def filled(filler: Filler, said: Said, request: ChatRequest, quoting: ChatModel) -> Json:
    """The value of a filler. What it takes from passages and not from the answer passes the guardrails of answers.

    Raises:
        MissingError: the evidence does not hold what the schema requires, or a guardrail objects to it.
    """
    value = await asyncio.to_thread(filler.fill)
    passages: Json = next((n.data for n in said.notes if (n.layer, n.kind) == ("grounded", "passages")), [])
    for text in filler.quoted:
        extra = {QUOTED: {"text": text, "passages": passages}}
        quote = await heard(quoting, request.model_copy(update={"extra": extra}))
        if quote.text != text.strip():
            raise MissingError("", NOT_KNOWN)
    return value


class Structured:
    """A ChatModel. Requests that ask for no schema pass unchanged.

    Args:
        model: answers in words, with its guardrails.
        quoting: a `Quoting` behind the guardrails of answers.
        declines: whether a sentence says that there is no answer.
        alike: see `Filler`.
        direct: the model writes JSON itself, by the engine's grammar: it knows no documents that could say otherwise.
    """

    def __init__(
        self,
        model: ChatModel,
        quoting: ChatModel,
        declines: Callable[[str], bool],
        alike: Alike | None = None,
        direct: bool = False,
    ) -> None:
        self.name = model.name
        self._model, self._quoting = model, quoting
        self._declines, self._alike, self._direct = declines, alike, direct

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what `model` says, or JSON of the schema, or a refusal.

        Raises:
            RefusedError: the schema is invalid or not supported.
            BackendError: the model could not answer.
        """
        asked = asked_for(request)
        if asked is None:
            async with streaming(self._model, request) as events:
                async for event in events:
                    yield event
            return
        check_schema(asked.schema, PLACE)
        extra = {k: v for k, v in request.extra.items() if k != FORMAT}
        schema = asked.schema if self._direct else None
        bare = request.model_copy(
            update={"json_schema": schema, "messages": asked.messages, "extra": extra, "logprobs": None}
        )
        said = await heard(self._model, bare)
        for note in said.notes:
            yield note
        for event in await self._written(asked, said, bare):
            yield event

    async def _written(self, asked: AskedFor, said: Said, bare: ChatRequest) -> list[ChatEvent]:
        question = asked.messages[last_question(asked.messages)].content
        if said.finish.reason == "content_filter":
            return [Delta(text=said.text, refusal=not asked.fenced), said.finish]
        try:
            if self._direct:
                value = _parsed(said, asked)
            else:
                value = await filled(self._filler(asked, said, question), said, bare, self._quoting)
        except MissingError as error:
            if asked.fenced:  # asked for in words alone: so is the answer
                return [Delta(text=said.text), *([said.handoff] if said.handoff else []), said.finish]
            if said.finish.reason == "length":
                return [said.finish]
            return [Delta(text=str(error), refusal=True), said.finish]
        text = json.dumps(value, ensure_ascii=False)
        finish = said.finish.model_copy(update={"reason": "stop"})
        return [Delta(text=f"```json\n{text}\n```" if asked.fenced else text), finish]

    def _filler(self, asked: AskedFor, said: Said, question: str) -> Filler:
        """
        Raises:
            MissingError: there is no answer to fill the schema from.
        """
        if said.handoff or any(map(self._declines, sentences(said.text))):
            if is_question(question):
                raise MissingError("", NOT_KNOWN)
            return Filler(asked.schema, Evidence("", question), self._alike)
        if not said.is_about(question):
            raise MissingError("", NOT_KNOWN)
        return Filler(asked.schema, said.evidence(question), self._alike)


async def heard(model: ChatModel, request: ChatRequest) -> Said:
    """Asks the model and waits for its answer. The note of a hand-off is kept apart."""
    text, handoff = "", None
    notes: list[Note] = []
    async with streaming(model, request) as events:
        async for event in events:
            match event:
                case Delta():
                    text += event.text
                case Note(layer=layer, kind=kind) if (layer, kind) == HANDOFF:
                    handoff = event
                case Note():
                    notes.append(event)
                case Finish():
                    return Said(text.strip(), tuple(notes), event, handoff)
    raise AssertionError("a model ended its answer without a finish event")


def _cited(data: dict[str, Json]) -> tuple[str, ...]:
    """The texts of the passages that the answer cites."""
    passages = data.get("passages") or []
    numbers = dict.fromkeys(c.get("passage", 0) for c in data.get("citations") or [])
    return tuple(passages[n - 1]["text"] for n in numbers if 1 <= n <= len(passages))


def _parsed(said: Said, asked: AskedFor) -> Json:
    """
    Raises:
        MissingError: the text is no JSON of the schema.
    """
    try:
        value = json.loads(said.text)
    except ValueError:
        value = None
    if said.handoff or value is None or not fits(value, asked.schema):
        raise MissingError("", "the model's answer does not match the schema")
    return value
