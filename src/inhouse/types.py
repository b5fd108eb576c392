"""The nouns of the house, the Protocols at its seams, and its errors. Imports nothing of the house.

Errors, one tree; each carries a hint and the exit code of the process::

    InhouseError            1
    ├── ConfigError         2   the project file or an option
    ├── InputError          3   documents, conversations, weights
    ├── BackendError        4   the engine, an endpoint, the disk
    │   └── RefusedError    4   this request alone: asking again would not help
    └── GateError           5   a rule refused to go on (parity, release)
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Digest = str
Role = Literal["system", "user", "assistant", "tool"]
Json = Any  # a value that the json module reads and writes


# --- errors -----------------------------------------------------------------------------------------------------


class InhouseError(Exception):
    """An error for the user: what is wrong, where, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(InhouseError):
    exit_code = 2


class InputError(InhouseError):
    exit_code = 3


class BackendError(InhouseError):
    exit_code = 4


class RefusedError(BackendError):
    """The engine works, and does not take this request: a conversation too long, a schema it cannot follow."""


class GateError(InhouseError):
    exit_code = 5


# --- values -----------------------------------------------------------------------------------------------------


def canonical_json(value: Json) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Sets must be sorted by the caller."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: Json) -> Digest:
    """sha256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


class Record(BaseModel):
    """An immutable value with a digest: the sha256 of its canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> Digest:
        data = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, frozenset):
                data[name] = sorted(value)
        return digest_of(data)


class Message(Record):
    """One turn, in the shape of the OpenAI API; the last two fields are passed through to engines that know tools."""

    role: Role
    content: str
    tool_calls: tuple[dict[str, Json], ...] = ()
    tool_call_id: str = ""

    def to_openai(self) -> dict[str, Json]:
        """The message as endpoints and chat templates take it, without empty fields."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Document(Record):
    """One file read: `source` is its path relative to the documents folder, with forward slashes.

    `text` is Markdown; `access` names the groups that may read it, empty means everyone.
    """

    source: str
    text: str
    title: str
    meta: dict[str, Json] = {}
    access: frozenset[str] = frozenset()


class Chunk(Record):
    """A span of a document: `start` and `end` are offsets in characters of the document's text."""

    document: Digest
    source: str
    title: str
    start: int
    end: int
    text: str
    heading: str  # the heading path, "Fees > Wire transfers"
    lead: str = ""  # how the document begins, where it has no headings to say what it is about
    access: frozenset[str] = frozenset()


class Passage(Record):
    """A piece of text that goes into a prompt, with where it comes from. `score` is in [0, 1]."""

    source: str
    title: str
    heading: str
    text: str
    score: float = 0.0


class Source(Record):
    """What an answer rests on: a document's path, and the sentence where it is known."""

    document: str
    text: str = ""


class Checks(Record):
    """What an answer must satisfy. A fact is a tuple of accepted spellings; case does not matter."""

    must_include: tuple[tuple[str, ...], ...] = ()
    must_not_include: tuple[str, ...] = ()
    json_schema: dict[str, Json] | None = None
    exact: str | None = None
    must_not_answer: bool = False

    @property
    def any(self) -> bool:
        return bool(
            self.must_include
            or self.must_not_include
            or self.json_schema
            or self.exact is not None
            or self.must_not_answer
        )


class Example(Record):
    """One question with its answer, for training and for evaluation alike.

    `messages` ends with a user's message; `target` is the reply. `group` is what splits must keep together: the
    conversation, or the source document.
    """

    id: str
    messages: tuple[Message, ...]
    target: str
    sources: tuple[Source, ...] = ()
    checks: Checks = Checks()
    answerable: bool = True
    group: str = ""
    origin: Literal["human", "synthetic", "feedback"] = "human"
    tags: tuple[str, ...] = ()
    time: str = ""  # ISO 8601, empty when the log has none

    @property
    def question(self) -> str:
        return self.messages[-1].content

    def to_openai(self) -> dict[str, Json]:
        """The row as the OpenAI fine-tuning format has it; what is ours stands under `metadata`."""
        rest = self.model_dump(mode="json", exclude={"messages", "target"}, exclude_defaults=True)
        messages = [*self.messages, Message(role="assistant", content=self.target)]
        return {"messages": [m.to_openai() for m in messages], "metadata": rest}

    @classmethod
    def from_openai(cls, row: Mapping[str, Json]) -> Example:
        messages = [Message(**m) for m in row["messages"]]
        return cls(messages=tuple(messages[:-1]), target=messages[-1].content, **row["metadata"])


class Review(Record):
    """A person's word on an example, by its id: what it shall say where `question` or `target` is given, and whether
    it is trained on."""

    id: str
    status: Literal["approved", "rejected"]
    question: str | None = None
    target: str | None = None
    by: str
    at: str  # ISO 8601, UTC


class Estimate(Record):
    """A mean with its 95 % interval over `n` questions."""

    mean: float
    low: float
    high: float
    n: int


class Artifact(Record):
    """A finished directory in the store. `facts` is what the stage tells about it; `parents` are keys."""

    kind: str
    key: Digest
    parents: tuple[Digest, ...]
    path: str
    facts: dict[str, Json]
    made_at: str
    seconds: float


class Release(Record):
    """What is served, immutable: artifact keys, and the settings that the verdict was measured with.

    `config` is the digest of the project's settings; `report` is the verdict's artifact; `arm` is the arm of it that
    this release serves. Keys of artifacts that the arm does not need are empty. `heads` is the digest of the weights of
    the guardrails, which come with the package.
    """

    name: str
    version: int
    arm: str
    weights: Digest
    adapter: Digest = ""
    index: Digest = ""
    fusion: Digest = ""
    calibration: Digest = ""
    report: Digest
    settings: dict[str, Json]
    config: Digest
    heads: Digest = ""
    gate: dict[str, Json]
    made_at: str


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
    extra: dict[str, Json] = {}


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
    verdicts: Json = None  # what the guardrails said
    reason: str  # of the finish, or "error", "cancelled", "refused"
    confidence: float | None = None
    usage: Usage = Usage()
    first_token_s: float = 0.0
    latency_s: float = 0.0
    cost_usd: float = 0.0
    experiment: str = ""  # "NAME:ARM" where a live experiment chose
    groups: frozenset[str] = frozenset()


# --- seams between rooms ----------------------------------------------------------------------------------------


class Embedder(Protocol):
    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Float32 unit vectors, shape (len(texts), dimensions). Long texts are cut to the model's window."""
        ...

    def count_tokens(self, text: str) -> int: ...


class TokenEmbedder(Embedder, Protocol):
    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        """Of each text its unit vector, and what the model makes of its tokens: float32 (tokens, dimensions), the
        special ones at both ends."""
        ...


class Grounder(Protocol):
    """Finds passages for a conversation and puts them into its prompt, the same way in training and serving."""

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        """The best passages for the conversation's last question, best first."""
        ...

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> tuple[Message, ...]:
        """The messages that the model is asked with."""
        ...


class SupportScorer(Protocol):
    def declines(self, sentence: str) -> bool:
        """Whether the sentence says that it cannot answer."""
        ...

    def statements(self, text: str) -> Sequence[str]:
        """The sentences of `text` that claim something; greetings, questions and offers are left out."""
        ...

    def support(self, statement: str, evidence: Sequence[str]) -> float:
        """How well the evidence carries the statement, in [0, 1]; from 0.5 it counts as supported."""
        ...


class Step(Protocol):
    def advance(self, amount: float = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Where long work tells how far it is. `total` in units; None when unknown."""

    def step(self, label: str, total: float | None) -> AbstractContextManager[Step]: ...


class Silent:
    """A Progress that shows nothing."""

    class _Step:
        def advance(self, amount: float = 1, note: str = "") -> None:
            return None

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield Silent._Step()
