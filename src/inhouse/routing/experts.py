"""A ChatModel that gives each request to one of several experts, each a model of one domain.

The choice is the classifier's best class (top-1), among the experts that the caller may be answered by: what an expert
learned shows in its answers, so rights are decided before anything is chosen. What belongs to no expert is answered by
the fallback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Note, streaming
from inhouse.routing.classifier import Prediction
from inhouse.routing.router import FOLLOW_UP_WORDS, Choose, said_in
from inhouse.text.words import length_in_words
from inhouse.types import may_read


class Experts:
    """A ChatModel. The note of layer "router", kind "expert", says who was chosen, "" for the fallback, and how sure
    that is.

    Args:
        name: of this model.
        choose: the classifier of the experts.
        models: by expert.
        groups: by expert, whose members it answers; empty for everybody.
        fallback: answers what belongs to no expert that the caller may be answered by.
    """

    def __init__(
        self, name: str, choose: Choose, models: Mapping[str, ChatModel], groups: Mapping[str, frozenset[str]],
        fallback: ChatModel,
    ) -> None:  # fmt: skip
        self.name = name
        self._choose, self._models, self._groups, self._fallback = choose, models, groups, fallback

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the note, then the answer of who was chosen.

        Raises:
            BackendError: who was chosen cannot answer.
        """
        found = await asyncio.to_thread(self._found, request)
        expert = found.name if found.in_scope else ""
        data = {"expert": expert, "probability": round(found.probability, 4), "score": round(found.score, 4)}
        yield Note(layer="router", kind="expert", data=data)
        async with streaming(self._models.get(expert, self._fallback), request) as events:
            async for event in events:
                yield event

    def _found(self, request: ChatRequest) -> Prediction:
        """What the last message belongs to; a short one that belongs to nothing counts with the one before it."""
        allowed = [name for name in self._models if may_read(self._groups[name], request.groups)]
        said = said_in(request.messages)
        if not said or not allowed:
            return Prediction(name="")
        found = self._choose(said[-1], allowed)
        if not found.in_scope and len(said) > 1 and length_in_words(said[-1]) <= FOLLOW_UP_WORDS:
            both = self._choose(f"{said[-2]}\n{said[-1]}", allowed)
            return both if both.in_scope else found
        return found
