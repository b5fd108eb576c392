"""OpenAI's fine-tuning files and stored completions, as OpenAI, Azure, and Together write them.

| a row is | it becomes |
|---|---|
| `messages`, or the older `prompt` and `completion` | a conversation |
| `input`, `preferred_output`, `non_preferred_output` (DPO) | a row with a preferred and a rejected answer |
| `messages` that end with a question, and a reference for a grader (RFT) | a test question |
| a completion: stored, logged, or a result of the Batch API | a question with the answer that the model gave |

Stored completions come without their questions, which are in other files: pages of
`/v1/chat/completions/ID/messages`, or the input of the Batch API. A row for training keeps the text that it was read
from, so that `inhouse openai export` writes the same bytes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from inhouse.datasets.importers.files import Entry, records
from inhouse.datasets.importers.imported import (
    STORED,
    TESTS,
    Conversation,
    Job,
    Report,
    Sample,
    Skipped,
    files_of,
    objects,
    utc,
)
from inhouse.datasets.importers.openai_faults import fault_of
from inhouse.datasets.importers.rows import SUFFIXES, Rows, bedrock
from inhouse.datasets.turns import ShapeError, messages_of
from inhouse.types import Json

ORIGINAL = "original"  # key of the metadata that holds a row as it was read
REFERENCES = ("reference_answer", "reference", "expected_answer", "ground_truth", "correct_answer", "answer",
              "solution", "label")  # fmt: skip
"""Names under which graders of reinforcement fine-tuning find the right answer."""
_SEPARATORS = ("\n\n###\n\n", "\n\n===\n\n", "\n\n---\n\n", "\n\n##\n\n", "\n\n->\n\n", " ->", "\n->")
_ENDS = (" END", "\nEND", "###", "<|endoftext|>")
_MARKED = "separators after prompts and end marks of completions, as in older fine-tuning files, are left out"
_NO_QUESTION = "its question is in no file: add the pages of /v1/chat/completions/ID/messages, or the Batch API's input"
_PLAIN = "the comparison is of answers in words, and this one calls a tool"


def recognizes(sample: Sample) -> bool:
    """Whether the beginning of a file is of rows for OpenAI, or of its completions."""
    if sample.has("choices", "finish_reason") or sample.has("custom_id", "url", "body"):
        return True
    if sample.has("object", "data", "role", "content") and "chatcmpl" in sample.text:
        return True
    if sample.has("prompt", "completion"):
        return "messages" not in sample.keys
    rows = sample.has("messages", "role", "content") or sample.has("preferred_output", "non_preferred_output")
    return rows and not bedrock(sample)


_ROWS = Rows("openai", "OpenAI fine-tuning", recognizes)


@dataclass(frozen=True)
class OpenAI:
    """An importer of such files."""

    name: str
    title: str
    recognizes: Callable[[Sample], bool] = recognizes

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        entries = list(files_of(job, SUFFIXES))
        asked = _Asked()
        for entry in entries:
            asked.read(entry)
        for entry in entries:
            for _, number, value, error, text in records(entry, job.advance, texts=True):
                place = f"{entry.name}:{number}"
                if value is None:
                    yield Skipped(place, error)
                elif (completion := _completion(value)) is not None:
                    yield _stored(completion, value, asked, place)
                elif _is_question(value) or _page_of_messages(value):
                    continue  # of a completion, which is a row by itself
                else:
                    yield row_of(value, place, text, job.report)


# --- rows for training ------------------------------------------------------------------------------------------


def row_of(value: dict[str, Json], place: str, text: str, report: Report) -> Conversation | Skipped:
    """What a row for training becomes, or why nothing; `text` is what it was read from."""
    if fault := fault_of(value):
        return Skipped(place, fault)
    given = dict(value)
    if isinstance(given.get("prompt"), str) and isinstance(given.get("completion"), str):
        given["prompt"], given["completion"] = _unmarked(given["prompt"], given["completion"])
        if given != value:
            report.note(_MARKED)
    made = _ROWS.row(given, place)
    if isinstance(made, Skipped):
        return _test(value, place, text, replace(made, id=place))
    metadata = {**_metadata(made), **({ORIGINAL: text} if text else {})}
    return replace(made, fields={**made.fields, **({"metadata": metadata} if metadata else {})})


def _unmarked(prompt: str, completion: str) -> tuple[str, str]:
    """The texts without what the older API wanted at the end of a prompt and around a completion."""
    mark = next((m for m in _SEPARATORS if prompt.endswith(m)), "")
    end = next((m for m in _ENDS if completion.endswith(m)), "")
    if not mark and not end:
        return prompt, completion
    return prompt.removesuffix(mark), completion.removesuffix(end).strip()


def _test(value: dict[str, Json], place: str, text: str, refused: Skipped) -> Conversation | Skipped:
    """A question with a reference for a grader; or why the row is nothing."""
    if refused.reason != "no reply" or not isinstance(value.get("messages"), list):
        return refused
    key = next((k for k in REFERENCES if value.get(k) not in (None, "", [], {})), "")
    if not key:
        others = ", ".join(k for k in value if k not in ("messages", "tools", "id"))
        named = f"no reply, and no reference for a grader under {', '.join(REFERENCES[:3])}, ..."
        return Skipped(refused.id, f"{named}; it has {others}" if others else refused.reason)
    reference = value[key] if isinstance(value[key], str) else json.dumps(value[key], ensure_ascii=False)
    turns = [*value["messages"], {"role": "assistant", "content": reference}]
    made = _ROWS.row({k: v for k, v in value.items() if k != key} | {"messages": turns}, place)
    if isinstance(made, Skipped):
        return made
    metadata = {**_metadata(made), **({ORIGINAL: text} if text else {})}
    tools = {"tools": made.fields["tools"]} if "tools" in made.fields else {}
    fields = {**tools, "answer": reference, **({"metadata": metadata} if metadata else {})}
    return Conversation(made.id, made.messages[:-1], fields, TESTS)


def _metadata(made: Conversation) -> dict[str, Json]:
    found = made.fields.get("metadata")
    return dict(found) if isinstance(found, dict) else {}


# --- completions ------------------------------------------------------------------------------------------------


class _Asked:
    """The messages that completions answer, by the ID of a completion or of a request of the Batch API."""

    def __init__(self) -> None:
        self._messages: dict[str, list[tuple[int, Json]]] = {}
        self._requests: dict[str, list[Json]] = {}

    def read(self, entry: Entry) -> None:
        """Remembers the messages in a file that has no completions but what they answer."""
        for _, _, value, _, _ in records(entry):
            if value is None:
                continue
            if _is_question(value):
                self._requests[str(value["custom_id"])] = value["body"]["messages"]
            for message in _page_of_messages(value):
                id, _, n = str(message["id"]).rpartition("-")
                plain = {k: v for k, v in message.items() if k not in ("id", "content_parts") and v is not None}
                if message.get("content") is None and message.get("content_parts"):
                    plain["content"] = message["content_parts"]
                self._messages.setdefault(id, []).append((int(n) if n.isdigit() else 0, plain))

    def of(self, completion: Mapping[str, Json], row: Mapping[str, Json]) -> list[Json]:
        """The messages that a completion answers; none where they are in no file."""
        for holder in (row.get("request"), row, completion):
            inner = holder.get("body", holder) if isinstance(holder, dict) else {}
            listed = (inner.get("messages") or inner.get("input")) if isinstance(inner, dict) else None
            if found := objects(listed):
                return list(found)
        if (custom := str(row.get("custom_id", ""))) in self._requests:
            return self._requests[custom]
        numbered = sorted(self._messages.get(str(completion.get("id")), []), key=lambda pair: pair[0])
        return [message for _, message in numbered]


def _is_question(value: Mapping[str, Json]) -> bool:
    """Whether a row is a request of the Batch API."""
    body = value.get("body")
    return "custom_id" in value and isinstance(body, dict) and bool(objects(body.get("messages")))


def _page_of_messages(value: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The messages of a page of the API, and of one by itself."""
    listed = objects(value.get("data")) if value.get("object") == "list" else [dict(value)]
    return [m for m in listed if isinstance(m.get("role"), str) and str(m.get("id", "")).startswith("chatcmpl")]


def _completion(value: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The completion in a row, which may be the result of a batch or the log of a request; None if there is none."""
    held = value.get("response", value)
    held = held.get("body", held) if isinstance(held, dict) else value
    if isinstance(held, dict) and objects(held.get("choices")) and isinstance(held["choices"][0].get("message"), dict):
        return held
    failed = "custom_id" in value and "response" in value
    return {} if failed else None


def _stored(
    completion: Mapping[str, Json], row: Mapping[str, Json], asked: _Asked, place: str
) -> Conversation | Skipped:
    """The question of a completion with the answer."""
    id = str(row.get("custom_id") or completion.get("id") or place)
    if not completion:
        return Skipped(place, "the request failed: the result has no completion")
    try:
        messages = messages_of(asked.of(completion, row))
        (answer, *_) = messages_of([{"role": "assistant", **completion["choices"][0]["message"]}])
    except ShapeError as error:
        return Skipped(place, error.kind or str(error))
    if not any(m["role"] == "user" and m.get("content") for m in messages):
        return Skipped(place, _NO_QUESTION)
    if not answer.get("content"):
        return Skipped(place, _PLAIN if answer.get("tool_calls") else "no reply")
    time = utc(completion.get("created"))
    usage = completion.get("usage")
    tokens = {k: v for k, v in usage.items() if isinstance(v, int)} if isinstance(usage, dict) else {}
    fields = {"answer": answer["content"], "model": str(completion.get("model") or ""), "time": time, "usage": tokens}
    return Conversation(id, messages, {k: v for k, v in fields.items() if v}, STORED)


OPENAI = (OpenAI("openai", "OpenAI fine-tuning"), OpenAI("azure", "Azure OpenAI fine-tuning"))
