"""Everything that answers is a ChatModel: its request, the events it streams, and a whole reply collected."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
from pydantic import Field

from inhouse.errors import BackendError
from inhouse.types import Json, Message, Passage, Record

# --- answering --------------------------------------------------------------------------------------------------


class ChatRequest(Record):
    """A question as a chat. `groups` are the access groups of whoever asks; temperature 0 is greedy.

    `user` is who asks, the same in each of their requests: splits hold on to it. `without` are texts of passages that a
    guardrail took out: they are not put into the prompt again. `extra` is passed through to the
    engine as it is (tools, top_p, penalties); the gateway lets only known keys in.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Json] | None = None
    groups: frozenset[str] = frozenset()
    user: str = ""
    without: frozenset[str] = frozenset()
    logprobs: int | None = None  # alternatives wanted with each token's log-probability; None wants none
    extra: dict[str, Json] = Field(default_factory=dict)


class Usage(Record):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Delta(Record):
    """A piece of the answer. `logprobs` are its tokens as the OpenAI API has them, where they were asked for."""

    text: str
    logprobs: tuple[dict[str, Json], ...] = ()
    tool_calls: tuple[dict[str, Json], ...] = ()


class Note(Record):
    """What a layer has to tell besides text: `layer` "grounded", `kind` "passages" or "citations", ..."""

    layer: str
    kind: str
    data: Json


class Finish(Record):
    """The last event. `confidence` is the mean token probability where the engine tells it, else None."""

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage = Usage()
    confidence: float | None = None


ChatEvent = Delta | Note | Finish


@runtime_checkable
class ChatModel(Protocol):
    """Everything that answers. Wrappers take a ChatModel and are one."""

    name: str

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields deltas and notes, and one Finish at the end.

        Raises:
            BackendError: the model could not answer.
        """
        ...


class Reply(Record):
    """A whole answer, collected: times in seconds from the request."""

    text: str
    notes: tuple[Note, ...] = ()
    finish: Finish
    first_token_s: float
    latency_s: float

    def note(self, layer: str, kind: str) -> Json:
        """The data of the last note of that layer and kind, None when there is none."""
        found = [n.data for n in self.notes if (n.layer, n.kind) == (layer, kind)]
        return found[-1] if found else None


async def collect(model: ChatModel, request: ChatRequest) -> Reply:
    """Asks `model` and waits for the whole answer."""
    started, first = time.perf_counter(), 0.0
    parts: list[str] = []
    notes: list[Note] = []
    async for event in model.stream(request):
        match event:
            case Delta(text=text):
                first = first or time.perf_counter() - started
                parts.append(text)
            case Note():
                notes.append(event)
            case Finish():
                total = time.perf_counter() - started
                return Reply(
                    text="".join(parts), notes=tuple(notes), finish=event, first_token_s=first or total, latency_s=total
                )
    raise BackendError(f"{model.name} ended its answer without a finish event")


class Exchange(Record):
    """One question answered, as the audit keeps it: on disk before the reply ends."""

    id: str
    at: str  # ISO 8601, UTC
    user: str
    key: str  # id of the API key, or of the console session
    model: str  # as asked for
    release: str  # "NAME/VERSION" that answered, "base", or "" where none did
    arm: str
    messages: tuple[Message, ...]
    answer: str
    passages: tuple[Passage, ...] = ()
    citations: Json = None
    findings: Json = None  # what the guardrails said
    reason: str  # of the finish, or "error", "cancelled", "refused"
    confidence: float | None = None
    usage: Usage = Usage()
    first_token_s: float = 0.0
    latency_s: float = 0.0
    cost_usd: float = 0.0
    experiment: str = ""  # "NAME:ARM" where a live experiment chose
    groups: frozenset[str] = frozenset()
