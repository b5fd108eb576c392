"""A ChatModel that refuses a conversation that cannot fit into its context, before anything reads it.

Guardrails take time for every word, so a message that the model would refuse anyway must not reach them. What lies
between the lower bound, which needs no tokenizer, and the exact count is refused by the engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, streaming
from inhouse.errors import too_long
from inhouse.types import Message, last_question


class Bounded:
    """A ChatModel.

    Args:
        model: answers what can fit.
        context_tokens: what the model reads at most.
        history: messages before the question that are put into the prompt; None for all.
    """

    def __init__(self, model: ChatModel, context_tokens: int, history: int | None = None) -> None:
        self.name = model.name
        self._model = model
        self._context_tokens = context_tokens
        self._history = history

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what the model says.

        Raises:
            RefusedError: the conversation is too long.
            BackendError: the model could not answer.
        """
        fitting = bounded(request.messages, self._context_tokens, self._history)
        async with streaming(self._model, request.model_copy(update={"messages": fitting})) as events:
            async for event in events:
                yield event


def bounded(messages: Sequence[Message], context_tokens: int, history: int | None) -> tuple[Message, ...]:
    """The latest messages that can fit together. Only messages that are too old for the prompt are left out.

    Raises:
        RefusedError: the others do not fit.
    """
    tokens = [m.least_tokens for m in messages]
    needed, total = _prompted(messages, history), 0
    for at in sorted(needed, reverse=True):
        total += tokens[at]
        if total > context_tokens:
            alone = tokens[at] > context_tokens
            have, count = ("has", tokens[at]) if alone else ("and those after it have", total)
            raise too_long(context_tokens, f"messages[{at}] {have} at least {count}")
    oldest = len(messages)
    for at in reversed(range(len(messages))):
        total += 0 if at in needed else tokens[at]
        if total > context_tokens:
            break
        oldest = at
    return tuple(m for at, m in enumerate(messages) if at in needed or at >= oldest)


def _prompted(messages: Sequence[Message], history: int | None) -> frozenset[int]:
    """The positions of the messages that a prompt may hold: the question and what follows it, what is said before it as
    far as `history` reaches, with the results of tools there, and every system message."""
    if history is None:
        return frozenset(range(len(messages)))
    first = last_question(messages)
    spoken = [at for at in range(first) if messages[at].role in ("user", "assistant")]
    if history and spoken:
        first = spoken[-history:][0]
    systems = {at for at, m in enumerate(messages) if m.role == "system"}
    return frozenset({*range(first, len(messages)), *systems})
