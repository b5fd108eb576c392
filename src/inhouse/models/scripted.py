"""A ChatModel with scripted answers, for tests and dry runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from inhouse.chat import ChatEvent, ChatRequest, Delta, Finish, Usage


class Scripted:
    """Answers with `answer(request)`, word by word, after `seconds`."""

    def __init__(self, answer: Callable[[ChatRequest], str], name: str = "scripted", seconds: float = 0) -> None:
        self.name = name
        self._answer = answer
        self._seconds = seconds

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the words of the answer, or raises what `answer` raises."""
        await asyncio.sleep(self._seconds)
        words = self._answer(request).split(" ")
        for n, word in enumerate(words):
            yield Delta(text=word if n == 0 else f" {word}")
        usage = Usage(prompt_tokens=sum(len(m.content.split()) for m in request.messages), completion_tokens=len(words))
        yield Finish(reason="stop", usage=usage, confidence=1.0)
