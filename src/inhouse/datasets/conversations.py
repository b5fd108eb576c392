"""Reads logs of conversations line by line, in common formats; lines that cannot be read are reported.

Formats: OpenAI `messages` (also under `turns`), ShareGPT `conversations` with `from` and `value`, CSV with `question`
and `answer`. One conversation becomes one Example: everything up to the last question, with the last reply as target.
What is not content in a mail (headers, signatures) is removed from conversations, but not from tests.
The reason for rejecting a line never quotes it, since it may contain personal data.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inhouse.errors import InputError
from inhouse.text.mail import mail_content
from inhouse.types import Checks, Example, Message, Record, Source, digest_of

ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system",
         "bot": "assistant", "agent": "assistant", "customer": "user", "chatgpt": "assistant"}  # fmt: skip
IGNORED_ROLES = {"tool", "function"}
SHAPE = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
LONGEST_LINE_CHARS = 2_000_000


class Rejected(Record):
    """A line that was rejected: its file, its number from 1, and why."""

    file: str
    line: int
    reason: str


class _BadRowError(Exception):
    """Why a row cannot be used."""


def read_conversations(paths: Sequence[Path], where: Mapping[str, Any]) -> tuple[list[Example], list[Rejected]]:
    """The conversations of all files that match `where`, and the rejected lines.

    Raises:
        InputError: a file cannot be read, or no file has a usable conversation.
    """
    return _read(paths, where, _conversation, "conversation")


def read_tests(paths: Sequence[Path], where: Mapping[str, Any]) -> tuple[list[Example], list[Rejected]]:
    """The user's own tests. A question is a conversation that ends with it and has an `answer` or `checks`, or that
    ends with the expected reply. A conversation is a row with `turns`, each with `user` and its `answer` or `checks`;
    it becomes one example for each turn.

    Raises:
        InputError: a file cannot be read, or no file has a usable question.
    """
    return _read(paths, where, _test, "test question")


def _read(
    paths: Sequence[Path], where: Mapping[str, Any], parse: Any, what: str
) -> tuple[list[Example], list[Rejected]]:
    examples: list[Example] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for path in paths:
        for number, row in _rows(path):
            try:
                if isinstance(row, _BadRowError):
                    raise row
                if any(row.get(key) != value for key, value in where.items()):
                    continue
                parsed = parse(row)
            except _BadRowError as error:
                rejected.append(Rejected(file=path.name, line=number, reason=str(error)))
                continue
            if any(e.id in seen for e in parsed):
                parsed = [_renamed(e, f"-{path.stem}-{number}") for e in parsed]
            seen.update(e.id for e in parsed)
            examples += parsed
    if paths and not examples:
        names = ", ".join(str(p) for p in paths)
        first = f"; {rejected[0].file}:{rejected[0].line}: {rejected[0].reason}" if rejected else ""
        if where and not rejected:
            raise InputError(f"{names}: no {what} matches {dict(where)}", "change curation.where")
        raise InputError(f"{names}: no usable {what}{first}", f"write one JSON object per line: {SHAPE}")
    return examples, rejected


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | _BadRowError]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror})", "check its name under [curation] and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(text)
    elif text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}", "write a JSON array, or one JSON object per line") from error
        yield from ((n, r if isinstance(r, dict) else _BadRowError("not an object")) for n, r in enumerate(rows, 1))
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, _json_row(line)


def _json_row(line: str) -> dict[str, Any] | _BadRowError:
    if len(line) > LONGEST_LINE_CHARS:
        return _BadRowError("longer than 2,000,000 characters")
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return _BadRowError(f"not JSON ({error.msg} at column {error.colno})")
    except RecursionError:
        return _BadRowError("not readable JSON (nested too deeply)")
    return row if isinstance(row, dict) else _BadRowError("not a JSON object")


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | _BadRowError]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = {n.strip().lower() for n in reader.fieldnames or ()}
        if names and not {"question", "answer"} <= names:
            yield 1, _BadRowError("the header lacks the columns question and answer")
            return
        yield from _csv_pairs(reader)
    except csv.Error as error:
        yield reader.line_num, _BadRowError(f"not valid CSV from here on ({error})")


def _csv_pairs(reader: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, Any] | _BadRowError]]:
    for cells in reader:
        row: dict[str, Any] = {k.strip().lower(): v for k, v in cells.items() if isinstance(k, str)}
        if None in cells or row.get("answer") is None:
            yield reader.line_num, _BadRowError("has a different number of columns than the header")
            continue
        pair = [{"role": "user", "content": row.pop("question")}, {"role": "assistant", "content": row.pop("answer")}]
        yield reader.line_num, {**row, "messages": pair}


def _renamed(example: Example, suffix: str) -> Example:
    """The example of a row whose id another row has; the turns of a test conversation stay together."""
    group = example.group + suffix if example.turn else example.group
    return example.model_copy(update={"id": example.id + suffix, "group": group})


def _conversation(row: dict[str, Any]) -> list[Example]:
    messages = _messages(row, mail_content)
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not messages:
        raise _BadRowError("has no reply")
    return [_example(row, messages[:-1], messages[-1].content)]


def _test(row: dict[str, Any]) -> list[Example]:
    turns = row.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "user" in turns[0]:
        return _test_turns(row, turns)
    messages = _messages(row)
    if messages[-1].role == "assistant":
        reply = messages.pop().content
        return [_example(row, messages, reply if row.get("answer") is None else _answer(row))]
    if not _answer(row) and not row.get("checks"):
        raise _BadRowError("has neither an answer nor checks")
    return [_example(row, messages, _answer(row))]


def _test_turns(row: dict[str, Any], turns: Sequence[Any]) -> list[Example]:
    """One example for each turn of a test conversation; the replies before it are the expected ones."""
    name = str(row.get("id") or digest_of([t.get("user") for t in turns if isinstance(t, dict)])[:12])
    messages: list[Message] = []
    examples = []
    for n, turn in enumerate(turns, 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("user"), str) or not turn["user"].strip():
            raise _BadRowError(f"turn {n} has no text under `user`")
        if not _answer(turn) and not turn.get("checks"):
            raise _BadRowError(f"turn {n} has neither an answer nor checks")
        messages.append(Message(role="user", content=turn["user"].strip()))
        own = {"tags": row.get("tags"), "time": row.get("time"), **turn, "id": f"{name}.{n}", "group": name}
        example = _example(own, messages, _answer(turn))
        kind = example.kind or ("question" if n == 1 else "later turn")
        examples.append(example.model_copy(update={"turn": n, "kind": kind}))
        messages.append(Message(role="assistant", content=_answer(turn)))
    return examples


def _answer(row: Mapping[str, Any]) -> str:
    answer = row.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise _BadRowError("the answer is not text")
    return answer or ""


def _messages(row: dict[str, Any], cleaned: Callable[[str], str] = str) -> list[Message]:
    """The row's messages, cleaned: known roles, texts only, neighbors of one role as one, no system message first."""
    given = next((row[k] for k in ("messages", "turns", "conversations") if k in row), None)
    if not isinstance(given, list) or not given:
        raise _BadRowError("has no messages")
    messages: list[Message] = []
    for turn in given:
        if not isinstance(turn, dict):
            raise _BadRowError("has a message that is not an object")
        name = turn.get("role", turn.get("from"))
        content = _text(turn.get("content", turn.get("value")))
        if name in IGNORED_ROLES or (content is None and ("tool" in turn or "tool_calls" in turn)):
            continue
        role = ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise _BadRowError("a message has an unknown role")
        if not isinstance(content, str):
            raise _BadRowError("the content of a message is not text")
        if re.search("[\ud800-\udfff]", content):
            raise _BadRowError("contains text that is not Unicode")
        content = cleaned(content)
        if messages and messages[-1].role == role:
            messages[-1] = Message(role=messages[-1].role, content=f"{messages[-1].content}\n{content}".strip())
        else:
            messages.append(Message.model_validate({"role": role, "content": content.strip()}))
    while messages and messages[0].role != "user":
        messages.pop(0)
    if not messages:
        raise _BadRowError("has no question")
    return messages


def _text(content: Any) -> Any:
    """The text of content given in parts, as in newer OpenAI rows; anything else unchanged."""
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "\n".join(p["text"] for p in content)
    return content


def _example(row: dict[str, Any], messages: Sequence[Message], target: str) -> Example:
    if not messages or messages[-1].role != "user" or not messages[-1].content:
        raise _BadRowError("has no question before its reply")
    try:
        checks = _checks(row.get("checks"))
        sources = tuple(Source.model_validate(s) for s in row.get("sources") or ())
    except ValidationError as error:
        place = ".".join(str(p) for p in error.errors()[0]["loc"])
        raise _BadRowError(f"checks or sources: {place}: {error.errors()[0]['msg']}") from error
    own = digest_of([m.to_openai() for m in messages] + [target])[:12]
    group = row.get("group") or row.get("conversation_id") or row.get("id")
    tags = row.get("tags") or ([row["topic"]] if row.get("topic") else [])
    return Example(
        id=str(row.get("id") or own),
        messages=tuple(messages),
        target=target,
        sources=sources,
        checks=checks,
        answerable=checks.answerable,
        group=str(group or digest_of(messages[0].content)[:12]),
        tags=tuple(str(t) for t in tags) if isinstance(tags, list) else (),
        kind=str(row.get("kind") or ""),
        time=str(row.get("time") or row.get("created_at") or ""),
    )


def _checks(given: Any) -> Checks:
    if not given:
        return Checks()
    if not isinstance(given, dict):
        raise _BadRowError("checks is not an object")
    facts = given.get("must_include") or ()
    if not isinstance(facts, list | tuple):
        raise _BadRowError("checks.must_include is not a list")
    checks = Checks.model_validate({**given, "must_include": [[f] if isinstance(f, str) else f for f in facts]})
    if checks.json_schema is not None:
        from jsonschema import Draft202012Validator, SchemaError

        try:
            Draft202012Validator.check_schema(checks.json_schema)
        except SchemaError as error:
            raise _BadRowError(f"checks.json_schema is not a JSON schema: {error.message[:120]}") from error
    return checks
