"""Files of rows for fine-tuning: ShareGPT, Alpaca, Gemini, Bedrock, and others. What a row says is kept as it is.

Rows with a preferred and a rejected answer are kept for preference training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inhouse.datasets.importers.files import records
from inhouse.datasets.importers.imported import Conversation, Job, Sample, Skipped, files_of
from inhouse.datasets.shapes import conversation_of
from inhouse.datasets.turns import Message, ShapeError
from inhouse.types import Json

_KEPT = ("tags", "rating", "time", "kind", "group")
_NAMED = {*_KEPT, "id", "conversation_id", "parallel_tool_calls"}
_PAIRS = (("preferred_output", "non_preferred_output"), ("chosen", "rejected"))
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", "")


def bedrock(sample: Sample) -> bool:
    return (
        sample.has("schemaVersion", "messages")
        or sample.has("system", "messages", "role")
        or (sample.has("messages") and bool(sample.keys & {"input_schema", "tool_use_id", "toolUse"}))
        or (sample.has("prompt", "completion") and "messages" not in sample.keys)
    )


@dataclass(frozen=True)
class Rows:
    """An importer of rows.

    Attributes:
        by_file: whether rows without an id are named after their file and line; otherwise after their number.
    """

    name: str
    title: str
    recognizes: Callable[[Sample], bool]
    by_file: bool = True

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        for entry in files_of(job, SUFFIXES):
            for _, number, value, error, _ in records(entry, job.advance):
                place = f"{entry.name}:{number}" if self.by_file else str(number)
                yield Skipped(place, error) if value is None else self.row(value, place)

    def row(self, value: dict[str, Json], place: str) -> Conversation | Skipped:
        """The conversation of a row, or why it has none."""
        own = value.get("id", value.get("conversation_id"))
        id = str(own) if isinstance(own, str | int) else place
        try:
            found = conversation_of(value)
        except ShapeError as error:
            return Skipped(id, error.kind or str(error))
        if reason := _pair_fault(value, found.chosen, found.rejected) or found.missing:
            return Skipped(id, reason)
        fields: dict[str, Json] = {k: found.rest[k] for k in _KEPT if found.rest.get(k) not in (None, "", [])}
        if found.tools:
            fields["tools"] = found.tools
        if found.rejected:
            fields |= {"chosen": found.chosen, "rejected": found.rejected}
        elif "parallel_tool_calls" in found.rest:
            fields["parallel_tool_calls"] = found.rest["parallel_tool_calls"]
        others = {k: v for k, v in found.rest.items() if k not in _NAMED and v not in (None, "", [], {})}
        if isinstance(others.get("metadata"), dict):
            others |= others.pop("metadata")
        if others:
            fields["metadata"] = others
        return Conversation(id, found.messages, fields)


def _pair_fault(row: Mapping[str, Json], chosen: Sequence[Message], rejected: Sequence[Message]) -> str:
    """Why a row with two answers has nothing to prefer; empty for any other row."""
    pair = next((keys for keys in _PAIRS if keys[0] in row and keys[1] in row), None)
    if pair is None:
        return ""
    for key, answer in zip(pair, (chosen, rejected), strict=True):
        if not any(m.get("content") or m.get("tool_calls") for m in answer):
            return f"`{key}` has no answer"
    return f"`{pair[0]}` and `{pair[1]}` are the same answer" if list(chosen) == list(rejected) else ""


ROWS = (
    Rows("sharegpt", "ShareGPT", lambda s: s.has("conversations", "from", "value"), by_file=False),
    Rows("alpaca", "Alpaca", lambda s: s.has("instruction") and bool(s.keys & {"output", "chosen"}), by_file=False),
    Rows("gemini", "Gemini", lambda s: s.has("contents", "parts"), by_file=False),
    Rows("bedrock", "Bedrock", bedrock),
    Rows("chatgpt", "ChatGPT", lambda s: s.has("mapping", "author", "parts")),
)
