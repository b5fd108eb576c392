"""ChatModel, the interface of everything that answers: its request, its events, and a collected reply."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Literal, Protocol, cast, runtime_checkable

from pydantic import Field

from inhouse.errors import BackendError
from inhouse.types import Json, Message, Passage, Record


class ChatRequest(Record):
    """A conversation to answer. Temperature 0 is greedy, as is None for models of this machine; for others it is
    their default.

    `groups` are the access groups of the user. `user` identifies the user across requests, so that a split keeps each
    user in one arm. `without` has texts of passages that a guardrail removed; they are not put into the prompt again.
    `scope` is whose request it is: only requests of the same scope may reuse each other's processed prompts.
    `extra` is passed through to the engine (tools, top_p, penalties); the gateway admits only known keys.
    `key` and `role` are those of the API key, for tools that agents call, and `exchange` is the ID under which the
    answer is recorded. `conversation` and `turn` say which turn of which conversation with an agent it is, and `state`
    what was remembered of it, by who remembers; `plan` is what was decided in an earlier try of the same turn, None if
    nothing was.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float | None = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Json] | None = None
    groups: frozenset[str] = frozenset()
    user: str = ""
    scope: str = ""
    without: frozenset[str] = frozenset()
    logprobs: int | None = None  # number of alternatives per token; None for no log probabilities
    extra: dict[str, Json] = Field(default_factory=dict)
    key: str = ""
    role: str = "user"
    exchange: str = ""
    conversation: str = ""
    turn: int = 0
    state: dict[str, Json] = Field(default_factory=dict)
    plan: dict[str, Json] = Field(default_factory=dict)


class Usage(Record):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Delta(Record):
    """A piece of the answer. `logprobs` are its tokens in the shape of the OpenAI API, if requested.

    `refusal`: the text says why there is no answer in the form that was asked for, a schema or a call of a tool.
    """

    text: str
    logprobs: tuple[dict[str, Json], ...] = ()
    tool_calls: tuple[dict[str, Json], ...] = ()
    refusal: bool = False


class Note(Record):
    """Information from a layer other than text, such as `layer` "grounded" with `kind` "passages" or "citations"."""

    layer: str
    kind: str
    data: Json


class Finish(Record):
    """The last event. `confidence` is the geometric mean of the token probabilities, None if the engine has none."""

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage = Usage()
    confidence: float | None = None


ChatEvent = Delta | Note | Finish


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers. Wrappers take a ChatModel and are one."""

    name: str

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields deltas and notes, and one Finish at the end.

        Raises:
            BackendError: the model could not answer.
        """
        ...


def streaming(model: ChatModel, request: ChatRequest) -> aclosing[AsyncGenerator[ChatEvent]]:
    """The model's events, for `async with`: at its end the model stops, even if they were not all read."""
    return aclosing(cast("AsyncGenerator[ChatEvent]", model.stream(request)))


class Reply(Record):
    """A complete answer. Times are in seconds since the request."""

    text: str
    notes: tuple[Note, ...] = ()
    finish: Finish
    first_token_s: float
    latency_s: float

    def note(self, layer: str, kind: str) -> Json:
        """The data of the last note of that layer and kind, None if there is none."""
        notes = [n.data for n in self.notes if (n.layer, n.kind) == (layer, kind)]
        return notes[-1] if notes else None


def paid(cascade: Json, whom: str) -> float:
    """What the rungs of a cascade were paid for an answer that are "elsewhere", or a "person". US dollars.

    Args:
        cascade: the data of its note; None where no cascade answered.
        whom: of the two.
    """
    return sum(float(rung["usd"]) for rung in (cascade or {}).get("tried", ()) if rung.get("paid") == whom)


async def collect(model: ChatModel, request: ChatRequest) -> Reply:
    """Asks `model` and waits for the complete answer."""
    started, first = time.perf_counter(), 0.0
    parts: list[str] = []
    notes: list[Note] = []
    async with streaming(model, request) as events:
        async for event in events:
            match event:
                case Delta(text=text):
                    first = first or time.perf_counter() - started
                    parts.append(text)
                case Note():
                    notes.append(event)
                case Finish():
                    total = time.perf_counter() - started
                    said, noted = "".join(parts), tuple(notes)
                    return Reply(text=said, notes=noted, finish=event, first_token_s=first or total, latency_s=total)
    raise BackendError(f"{model.name} ended its answer without a finish event")


class Exchange(Record):
    """One answered request, as recorded in the audit log before the reply ends."""

    id: str
    at: str  # ISO 8601, UTC
    user: str
    key: str  # ID of the API key, or "oidc:SUBJECT" for a console session
    model: str  # as requested
    release: str  # "NAME/VERSION" that answered, "base", or "" if none did
    arm: str
    messages: tuple[Message, ...]
    answer: str
    passages: tuple[Passage, ...] = ()
    citations: Json = None
    findings: Json = None  # of the guardrails
    reason: str  # finish reason, or "error", "cancelled", "refused", "interrupted"
    confidence: float | None = None
    usage: Usage = Usage()
    first_token_s: float = 0.0
    latency_s: float = 0.0
    cost_usd: float = 0.0
    experiment: str = ""  # "NAME:ARM" if a live experiment chose the arm
    groups: frozenset[str] = frozenset()
    parameters: dict[str, Json] = Field(default_factory=dict)  # of the request, but conversation, model, and user
    steps: Json = None  # of agents: what they understood, and the tools that they called
    reused: Json = None  # the approved reply that answered, and the question that it was written for
    cascade: Json = None  # the rung that answered, what was tried with which score, and the cost
    expert: str | None = None  # whose adapter answered, "" for the base; None where the arm has no experts


class Egress(Record):
    """What a request sent to a model elsewhere, as recorded before it was sent: no text, only what kind of thing left.

    Attributes:
        exchange: ID of the exchange; "" for a request that is none, such as of an evaluation.
        upstream: name of the model elsewhere.
        policy: "surrogates" or "clear".
        sha256: of the canonical JSON of what was sent.
        bytes: of that JSON.
        replaced: number of values with surrogates, by kind.
        removed: number of values that were cut out, by kind.
        dropped: fields of the request that were not sent.
    """

    exchange: str
    upstream: str
    policy: Literal["surrogates", "clear"]
    sha256: str
    bytes: int
    replaced: dict[str, int] = Field(default_factory=dict)
    removed: dict[str, int] = Field(default_factory=dict)
    dropped: tuple[str, ...] = ()
