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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


Digest = str
Role = Literal["system", "user", "assistant", "tool"]
Json = Any  # a value that the json module reads and writes


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


class Span(NamedTuple):
    """A part of the text by characters, and what it is."""

    start: int
    end: int
    kind: str


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


class GateRule(Record):
    """A rule of the release gate, and what it found."""

    name: str
    passed: bool
    text: str


class Release(Record):
    """What is served, immutable: artifact keys, and the settings that the verdict was measured with.

    `config` is the digest of the project's settings; `report` is the verdict's artifact; `arm` is the arm of it that
    this release serves. Keys of artifacts that the arm does not need are empty. `classifiers` is the digest
    of the weights of the guardrails, which come with the package.
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
    classifiers: Digest = ""
    gate: tuple[GateRule, ...] = ()
    made_at: str


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
