"""A ChatModel that says what it is told to: for tests and dry runs, in the place of mocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from inhouse.chat import ChatEvent, ChatRequest, Delta, Finish, Usage


class Scripted:
    """Answers with `answer(request)`, word by word, `seconds` after being asked."""

    def __init__(self, answer: Callable[[ChatRequest], str], name: str = "scripted", seconds: float = 0) -> None:
        self.name = name
        self._answer = answer
        self._seconds = seconds

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the words of the answer; what `answer` raises goes through."""
        await asyncio.sleep(self._seconds)
        words = self._answer(request).split(" ")
        for n, word in enumerate(words):
            yield Delta(text=word if n == 0 else f" {word}")
        asked = sum(len(m.content.split()) for m in request.messages)
        yield Finish(reason="stop", usage=Usage(prompt_tokens=asked, completion_tokens=len(words)), confidence=1.0)
