"""The values that rooms exchange, and the Protocols of the seams between rooms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Array = NDArray[np.float64]
    Numbers = NDArray[np.floating[Any]]
else:  # for annotations alone: numpy is imported where it is used
    Matrix = Array = Numbers = Any

Digest = str
Trust = Literal["trusted", "external"]
Role = Literal["system", "user", "assistant", "tool"]
Json = Any  # a value that the json module reads and writes
LONGEST = 16  # characters per token; English has 4 to 5, wide tables up to 10
Box = tuple[float, float, float, float]
"""A rectangle on a page: left, top, right, bottom, as shares of its width and height from its top left corner."""


# --- values -----------------------------------------------------------------------------------------------------


def canonical_json(value: Json) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text. The caller must sort sets."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: Json) -> Digest:
    """The sha256, in hex, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


class Record(BaseModel):
    """An immutable value. Its digest is the sha256 of its canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> Digest:
        data = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, frozenset):
                data[name] = sorted(value)
        return digest_of(data)


def unknown_key(error: ValidationError) -> str:
    """The dotted key of a stored value that this version does not know, as another version may write; "" if none."""
    unknown = (e["loc"] for e in error.errors() if e["type"] == "extra_forbidden")
    return ".".join(str(part) for part in next(unknown, ()))


class Message(Record):
    """One message in the shape of the OpenAI API. The last two fields are passed through to the engine."""

    role: Role
    content: str
    tool_calls: tuple[dict[str, Json], ...] = ()
    tool_call_id: str = ""

    def to_openai(self) -> dict[str, Json]:
        """The message for endpoints and chat templates, without empty fields."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def least_tokens(self) -> int:
        """A lower bound on its tokens, in any vocabulary."""
        return least_tokens(self.content) + sum(least_tokens(canonical_json(call)) for call in self.tool_calls)


def least_tokens(text: str) -> int:
    """A lower bound on the tokens of a text: none reaches across spaces, and on average none is longer than LONGEST."""
    return max(len(text.split()), len(text) // LONGEST)


def last_question(messages: Sequence[Message]) -> int:
    """The position of the user's last message; of the last one where none is a user's."""
    return next((n for n in reversed(range(len(messages))) if messages[n].role == "user"), len(messages) - 1)


def without_tools(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation for a prompt, where the results of tools are lines of what the user says: "Result of NAME: ...".

    Many chat templates, such as that of the default model, know neither calls nor results. A result joins the user's
    message before it; calls go, and what the assistant said beside them stays. Any other conversation is returned as it
    is. Training and serving both use this, so that the served model sees what the trained one saw.
    """
    if not any(m.role == "tool" or m.tool_calls for m in messages):
        return tuple(messages)
    names: dict[str, str] = {}
    shown: list[Message] = []
    for m in messages:
        for call in m.tool_calls:
            names[str(call.get("id", ""))] = str((call.get("function") or {}).get("name") or "")
        if m.role == "tool":
            named = names.get(m.tool_call_id, "")
            line = f"Result of {named}: {m.content}" if named else f"Result: {m.content}"
            if shown and shown[-1].role == "user":
                shown[-1] = Message(role="user", content=f"{shown[-1].content}\n{line}")
            else:
                shown.append(Message(role="user", content=line))
        elif not m.tool_calls:
            shown.append(m)
        elif m.content:
            shown.append(Message(role=m.role, content=m.content))
    return tuple(shown)


class Place(NamedTuple):
    """Where the text from offset `start` on stands, up to the next place: the page, from 1, and the box on it."""

    start: int
    page: int
    box: Box


class Document(Record):
    """The text of one file. `source` is its path relative to the documents folder, with forward slashes.

    `text` is Markdown. `access` has the groups that may read it (see `may_read`); empty means everyone. `places` has
    one entry for each line of a format with pages, in order. `trust` is "external" where others than the business may
    have written it.
    """

    source: str
    text: str
    title: str
    meta: dict[str, Json] = {}
    access: frozenset[str] = frozenset()
    places: tuple[Place, ...] = ()
    trust: Trust = "trusted"


TOGETHER = "\x1f"  # joins groups of which a reader needs all; no group's name has it


def together(groups: Iterable[str]) -> frozenset[str]:
    """Access for those who are in all of the groups; for everyone if there are none."""
    names = sorted(groups)
    return frozenset([TOGETHER.join(names)] if names else ())


def may_read(access: Collection[str], groups: Collection[str]) -> bool:
    """Whether someone in `groups` may read what has this access."""
    return not access or any(set(group.split(TOGETHER)).issubset(groups) for group in access)


class Chunk(Record):
    """A span of a document: `start` and `end` are offsets in characters of the document's text."""

    document: Digest
    source: str
    title: str
    start: int
    end: int
    text: str
    heading: str  # the heading path, "Fees > Wire transfers"
    lead: str = ""  # the beginning of the document if it has no headings
    language: str = ""  # of the document; "" if that is not clear
    access: frozenset[str] = frozenset()
    page: int = 0  # on which it begins, from 1; 0 for formats without pages
    box: Box | None = None  # of its lines on that page
    trust: Trust = "trusted"  # of the document


class Passage(Record):
    """A piece of text for a prompt, with its source. `score` is in [0, 1]."""

    source: str
    title: str
    heading: str
    text: str
    score: float = 0.0
    page: int = 0  # as of a Chunk
    box: Box | None = None
    trust: Trust = "trusted"

    @property
    def where(self) -> dict[str, Json]:
        """The source for a citation, with the page and the box on it if they are known, and its trust if external."""
        place = {"page": self.page, "box": self.box} if self.page else {}
        return {"source": self.source, **place, **({"trust": self.trust} if self.trust != "trusted" else {})}


class Span(NamedTuple):
    """A part of a text, by offsets in characters, and what kind of thing it is."""

    start: int
    end: int
    kind: str


class Source(Record):
    """Where an answer comes from: the path of a document, and the sentence if it is known."""

    document: str
    text: str = ""


class Checks(Record):
    """What an answer must satisfy. A fact is a tuple of accepted spellings; case is ignored.

    Attributes:
        must_include: the facts that the answer states, all of them.
        must_not_include: what the answer must not state.
        json_schema: the answer is JSON of this schema.
        exact: the answer, ignoring case, spaces and end punctuation.
        must_not_answer: there is no answer: the assistant hands off or refuses.
        must_hand_off: a person takes over; a refusal is wrong.
        may_hand_off: handing off is as good as the answer.
        small_talk: a reply without any fact, such as to a greeting.
    """

    must_include: tuple[tuple[str, ...], ...] = ()
    must_not_include: tuple[str, ...] = ()
    json_schema: dict[str, Json] | None = None
    exact: str | None = None
    must_not_answer: bool = False
    must_hand_off: bool = False
    may_hand_off: bool = False
    small_talk: bool = False

    @property
    def any(self) -> bool:
        return self != Checks()

    @property
    def answerable(self) -> bool:
        return not (self.must_not_answer or self.must_hand_off)


class Example(Record):
    """One question with its answer, for training and evaluation.

    `messages` ends with a user's message, or with calls of tools and their results after it; `target` is the reply.
    `group` is what splits must keep together: the conversation, or the source document. `kind` is what a test question
    tries, such as "follow_up". `turn` counts the turns of a test conversation from 1; 0 is a question by itself. Of a
    whole conversation, `context_only` has the positions of the replies that nothing is learned from, `target` being
    after the last message.
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
    kind: str = ""
    turn: int = 0
    time: str = ""  # ISO 8601, empty if unknown
    context_only: tuple[int, ...] = ()

    @property
    def question(self) -> str:
        return self.messages[last_question(self.messages)].content

    def to_openai(self) -> dict[str, Json]:
        """The example in OpenAI's fine-tuning format, with other fields under `metadata`."""
        rest = self.model_dump(mode="json", exclude={"messages", "target"}, exclude_defaults=True)
        messages = [*self.messages, Message(role="assistant", content=self.target)]
        return {"messages": [m.to_openai() for m in messages], "metadata": rest}

    @classmethod
    def from_openai(cls, row: Mapping[str, Json]) -> Example:
        messages = [Message(**m) for m in row["messages"]]
        return cls(messages=tuple(messages[:-1]), target=messages[-1].content, **row["metadata"])


class Review(Record):
    """A person's review of an example: corrections of `question` and `target`, and whether to train on it."""

    id: str
    status: Literal["approved", "rejected"]
    question: str | None = None
    target: str | None = None
    by: str
    at: str  # ISO 8601, UTC


class Estimate(Record):
    """A mean over `n` questions with its 95% confidence interval."""

    mean: float
    low: float
    high: float
    n: int


class Outcome(Record):
    """The outcomes of one user in one arm of an experiment: shares and means over requests, None if unknown."""

    user: str
    arm: str
    first_at: str
    requests: int
    errors: int
    resolved: float | None  # share of the requests with feedback on it
    thumb: float | None  # share of thumbs up among thumbs
    escalated: float  # share handed to a person
    latency_s: float | None
    cost_usd: float  # mean per request


class Contact(NamedTuple):
    """One answer as costs see it: who asked when, what it cost, and what people said and did about it."""

    user: str  # "" if the request named none
    at_ms: int
    question: str  # the last message of the user
    first: str  # the first one of the conversation
    turn: int  # which message of the user it was, from 1
    arm: str  # "base", a release, or a model elsewhere
    split: bool  # whether a live experiment or canary chose it
    cost_usd: float  # without that of a person
    elsewhere_usd: float = 0.0  # of it what the rungs of a cascade elsewhere were paid
    handed_off: bool = False
    wish: bool = False  # for a person, and nothing else
    waited_min: float | None = None  # from the hand-off to the reply; None without a reply
    thumb: int = 0
    resolved: bool | None = None  # False if anybody says that it was not
    failed: bool = False  # it ended in an error, or was refused or cut off
    latency_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Artifact(Record):
    """A finished directory in the store. `facts` are figures of the stage; `parents` are keys of artifacts."""

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

    `config` is the digest of the project's settings; `report` is the verdict's artifact; `arm` is the arm of it
    that this release serves. `retest` is the artifact that measured it with an index of later documents, if it has
    one. Keys of artifacts that the arm does not need are empty; `feedback` takes the place of `adapter` in arms
    that learned from feedback, `pretrained` in those after continued pre-training, and `pretrained_adapter` where
    fine-tuning came after that. `engine` is what ran the model, with its version and precision; `team` is the
    artifact with its agents, if it has any, `commands` that with the adapters of those that learned to understand
    messages, `experts` that with domain experts and their router, and `cascade` that of the arm of this name.
    `classifiers` is the digest of the weights of the guardrails, which come with the package. `pins` are digests of
    the sums of files: of each artifact that the verdict was made from ("KIND/KEY"; empty if an earlier version made
    it) and of the models that are not artifacts (the embedder, for one).
    """

    name: str
    version: int
    arm: str
    weights: Digest
    adapter: Digest = ""
    feedback: Digest = ""
    pretrained: Digest = ""
    pretrained_adapter: Digest = ""
    folder: Digest = ""
    index: Digest = ""
    fusion: Digest = ""
    calibration: Digest = ""
    team: Digest = ""
    commands: Digest = ""
    experts: Digest = ""
    cascade: Digest = ""
    report: Digest
    retest: Digest = ""
    settings: dict[str, Json]
    config: Digest
    classifiers: Digest = ""
    engine: str = ""
    pins: dict[str, Digest] = {}
    gate: tuple[GateRule, ...] = ()
    made_at: str


# --- seams between rooms ----------------------------------------------------------------------------------------


class Embedder(Protocol):
    """`sides`: questions are embedded otherwise than passages, as models are that were trained to retrieve."""

    name: str
    dimensions: int
    sides: bool

    def embed(self, texts: Sequence[str], query: bool = False) -> Matrix:
        """Float32 unit vectors of shape (len(texts), dimensions). Long texts are cut to the model's window.

        `query` is for texts that passages are searched with: some models put other words before them.
        """
        ...

    def count_tokens(self, text: str) -> int: ...

    def parts(self, text: str) -> list[str]:
        """The text in parts that the model's window holds, cut between words; itself if it is short enough."""
        ...


class TokenEmbedder(Embedder, Protocol):
    def read(self, texts: Sequence[str]) -> list[tuple[Matrix, Matrix]]:
        """For each text, its unit vector and the states of its tokens: float32 of shape (tokens, dimensions), including
        the special tokens at both ends."""
        ...


class Grounder(Protocol):
    """Finds passages for a conversation and puts them into its prompt, in the same way for training and serving."""

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        """The passages for the last question of the conversation, best first."""
        ...

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> tuple[Message, ...]:
        """The messages to send to the model."""
        ...


class SupportScorer(Protocol):
    def declines(self, sentence: str) -> bool:
        """Whether the sentence declines to answer."""
        ...

    def statements(self, text: str) -> Sequence[str]:
        """The sentences of `text` that make a claim, without greetings, questions, and offers."""
        ...

    def support(self, statement: str, evidence: Sequence[str]) -> float:
        """How well the evidence supports the statement, in [0, 1]; from 0.5 on it counts as supported."""
        ...


class Step(Protocol):
    def advance(self, amount: float = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Receives the progress of long-running work. `total` is the number of units, None if unknown."""

    def step(self, label: str, total: float | None) -> AbstractContextManager[Step]: ...


class Silent:
    """A Progress that shows nothing."""

    class _Step:
        def advance(self, amount: float = 1, note: str = "") -> None:
            return None

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield Silent._Step()
