"""What importers read and give: turns of customers and staff, conversations, and what was left out and why."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from inhouse.datasets.importers.files import Entry
from inhouse.types import Json

NOTE, AUTOMATIC, SYSTEM = "internal note", "automatic message", "system message"
DELETED, ATTACHMENT, EMPTY = "deleted message", "attachment without text", "message without text"
NO_REPLY, NO_QUESTION = "no reply", "no question"
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"))


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a conversation.

    Attributes:
        staff: whether the business wrote it.
        time: ISO 8601, or empty.
        agent: name of the member of staff who wrote it, if known.
        files: names of attachments.
    """

    staff: bool
    text: str
    time: str = ""
    agent: str = ""
    files: tuple[str, ...] = ()


PREFERENCE, STORED, TESTS = "preference", "stored", "tests"
"""Rows that are no conversations to learn from: each kind goes to a separate file."""


@dataclass(frozen=True)
class Conversation:
    """A conversation in our format. `kind` is "" or says what other row it is; one with `rejected` is for preference
    training."""

    id: str
    messages: Sequence[Mapping[str, Json]]
    fields: Mapping[str, Json] = field(default_factory=dict)
    kind: str = ""

    @property
    def part(self) -> str:
        """Which file it belongs to: "" for conversations, or the kind of row."""
        return self.kind or (PREFERENCE if "rejected" in self.fields else "")

    def listed(self, name: str) -> list[str]:
        """The names in the metadata under `name`."""
        metadata = self.fields.get("metadata")
        found = metadata.get(name) if isinstance(metadata, dict) else None
        return [str(n) for n in found] if isinstance(found, list) else []

    def row(self) -> dict[str, Json]:
        return {"id": self.id, "messages": list(self.messages), **self.fields}


@dataclass(frozen=True)
class Skipped:
    """A conversation that is not imported, and why."""

    id: str
    reason: str


@dataclass
class Report:
    """What was assumed, and how many messages of conversations were left out, by reason."""

    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)  # records of files that are no part of the export

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Staff:
    """Tells the people of the business by what `--staff` gives: domains, addresses, and names."""

    def __init__(self, given: Sequence[str] = ()) -> None:
        words = [unmarked(g).casefold() for g in given]
        self.given = tuple(given)
        self._names = frozenset(words)
        self._domains = [w.lstrip("@") for w in words if "." in w and " " not in w and "@" not in w[1:]]

    def __bool__(self) -> bool:
        return bool(self.given)

    def has(self, *names: object) -> bool:
        """Whether one of the names or addresses belongs to the staff."""
        words = [unmarked(name).casefold() for name in names if isinstance(name, str) and name]
        return any(word in self._names or self._in(word) for word in words)

    def _in(self, address: str) -> bool:
        name, at, domain = address.rpartition("@")
        return bool(name and at) and any(domain == d or domain.endswith(f".{d}") for d in self._domains)


@dataclass
class Job:
    """What an importer gets: the files, who is staff, where to report, and `advance` for the bytes that were read."""

    entries: Sequence[Entry]
    staff: Staff = field(default_factory=Staff)
    report: Report = field(default_factory=Report)
    advance: Callable[[int], None] = lambda _: None


def files_of(job: Job, suffixes: Collection[str]) -> Iterator[Entry]:
    """The files that have one of the suffixes; a note says which others there are."""
    others = Counter(e.suffix or "no suffix" for e in job.entries if e.suffix not in suffixes)
    if others:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in others.most_common(5))
        job.report.note(f"files of other kinds, which are not read: {listed}")
    yield from (e for e in job.entries if e.suffix in suffixes)


JSON = frozenset({".json", ".jsonl", ".ndjson", ".txt", ""})


class Importer(Protocol):
    """Reads the exports of one program.

    Attributes:
        name: KIND on the command line.
        title: name of the program.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def recognizes(self) -> Callable[[Sample], bool]:
        """Whether a file with this beginning is part of such an export."""
        ...

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        """The conversations of an export, in the order of the export.

        Raises:
            InputError: a file cannot be read, or who is staff cannot be told.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """The beginning of a file: its name, its text, and the keys of the JSON objects in it."""

    name: str
    text: str
    keys: frozenset[str]

    def has(self, *keys: str) -> bool:
        return self.keys.issuperset(keys)


def objects(value: object) -> list[dict[str, Json]]:
    """The objects in a list; none where there should be a list and is not."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def names_of(attachments: object, *keys: str) -> tuple[str, ...]:
    """The names of attachments, under the first of the keys that has one."""
    found = (next((a[k] for k in (*keys, "name") if a.get(k)), "attachment") for a in objects(attachments))
    return tuple(str(name) for name in found)


def unmarked(text: str) -> str:
    """A name without marks of direction, the tilde of unsaved contacts, and needless spaces."""
    return " ".join(unicodedata.normalize("NFC", text.translate(_MARKS)).replace("\xa0", " ").lstrip("~ ").split())


def conversation(
    id: str, turns: Sequence[Turn], report: Report, fields: Mapping[str, Json] | None = None
) -> Conversation | Skipped:
    """Puts neighboring turns of one side together; without a question or a reply to it, the reason.

    Turns must be in order. Names of attachments, agents, and the time of each message become metadata.
    """
    messages: list[dict[str, Json]] = []
    times: list[str] = []
    files: list[str] = []
    agents: list[str] = []
    for turn in turns:
        files += turn.files
        if not turn.text.strip():
            report.dropped[ATTACHMENT if turn.files else EMPTY] += 1
            continue
        if turn.agent and turn.agent not in agents:
            agents.append(turn.agent)
        role = "assistant" if turn.staff else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n{turn.text.strip()}"
        else:
            messages.append({"role": role, "content": turn.text.strip()})
            times.append(turn.time)
    roles = [m["role"] for m in messages]
    if "user" not in roles:
        return Skipped(id, NO_QUESTION)
    if "assistant" not in roles[roles.index("user") :]:
        return Skipped(id, NO_REPLY)
    metadata: dict[str, Json] = {k: v for k, v in (("agents", agents), ("attachments", files)) if v}
    if any(times):
        metadata["times"] = times
    known = {k: v for k, v in (fields or {}).items() if v not in (None, "", [])}
    if times[0]:
        known.setdefault("time", times[0])
    return Conversation(id, messages, {**known, **({"metadata": metadata} if metadata else {})})


def utc(value: object) -> str:
    """A time in UTC as ISO 8601 with seconds, of seconds since 1970 or a text; empty if it is neither.

    A text without a time zone is taken for UTC: help desks write their times so.
    """
    try:
        if isinstance(value, str) and not re.fullmatch(r"\d{9,13}(?:\.\d+)?", value):
            text = re.sub(r"\s(?=UTC|[+-]\d{2}:?\d{2}$)", "", value.strip()).replace("UTC", "+00:00")
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        elif isinstance(value, int | float | str) and not isinstance(value, bool):
            seconds = float(value)
            moment = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        else:
            return ""
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
