"""A ChatModel whose answers were given before, by a model that may be gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from inhouse.chat import ChatEvent, ChatRequest, Delta, Finish, Usage
from inhouse.errors import BackendError
from inhouse.types import Message, Record

Asked = tuple[str, ...]


class Completion(Record):
    """An answer that was stored. `tokens` are those of the prompt and of the answer, 0 if nobody counted them."""

    text: str
    model: str = ""
    time: str = ""
    tokens: tuple[int, int] = (0, 0)


def asked(messages: Sequence[Message]) -> Asked:
    """What the user said, by which a stored answer is found. Replies and instructions do not count: those of the other
    model were others."""
    return tuple(" ".join(m.content.split()) for m in messages if m.role == "user")


class Stored:
    """Answers from completions, by what the user said."""

    def __init__(self, completions: Mapping[Asked, Completion], name: str = "stored") -> None:
        self.name = name
        self._completions = completions

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the whole answer at once.

        Raises:
            BackendError: this was never asked.
        """
        found = self._completions.get(asked(request.messages))
        if found is None:
            raise BackendError("no completion of this question is stored", "ask only what is")
        yield Delta(text=found.text)
        prompt, answer = found.tokens
        yield Finish(reason="stop", usage=Usage(prompt_tokens=prompt, completion_tokens=answer))
