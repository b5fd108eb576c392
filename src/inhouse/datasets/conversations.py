"""Conversations and tests from files of any known container (`containers`) and shape (`shapes`).

A row becomes one Example with the whole conversation up to its last reply; `examples` cuts it into what is learned.
What is not content in a mail or in a model's output (headers, signatures, thoughts) is removed from conversations, but
not from tests. The reason for rejecting a row never quotes it, since it may contain personal data.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inhouse.datasets.containers import BadRow, Numbered, Row, rows_of
from inhouse.datasets.importers.registry import looks_like, recognize
from inhouse.datasets.shapes import SHOWN, conversation_of
from inhouse.datasets.turns import ShapeError, keys_in
from inhouse.errors import InputError
from inhouse.text.html import html_text
from inhouse.text.mail import mail_content, reply_content
from inhouse.types import Checks, Example, Json, Message, Record, Source, digest_of

SYSTEM = "system messages left out"
THOUGHTS = "replies without the thoughts of a model"
PREFERRED = "rows with a preferred and a rejected reply, of which the preferred one was taken"
_THOUGHTS = ("think", "thinking", "thought", "reasoning")
HTML = "messages whose HTML became text"
MAIL = "messages without quoted mails, signatures, and footers"
_BLOCK = re.compile(
    r"</(?:p|div|td|li|span|a|h[1-6]|body|html|font)>|<br ?/?>[^<]*+<(?:br|p|div)\b"
    r"|\A\s*+<(?:!doctype|html|body|p|div|span|table|ul|ol|br|b|i|strong|em|font|a|h[1-6]|style|head)\b[^<>]*+>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:nbsp|amp|quot|apos|lt|gt|#\d{2,5}|#x[0-9a-f]{2,4});", re.IGNORECASE)
_ESCAPES = re.compile(r"(?<!\\)(?:\\u[0-9a-fA-F]{4})++")
_TRUE = frozenset("true yes y t 1 wahr ja vrai oui sí si verdadero verdadeiro vero".split())  # noqa: SIM905
_FALSE = frozenset("false no n f 0 falsch nein faux non falso".split())  # noqa: SIM905


class Rejected(Record):
    """A line that was rejected: its file, its number from 1, and why."""

    file: str
    line: int
    reason: str


class _BadRowError(Exception):
    """Why a row cannot be used."""


def read_conversations(
    paths: Sequence[Path], where: Mapping[str, Any], notes: Counter[str] | None = None
) -> tuple[list[Example], list[Rejected]]:
    """The conversations of all files that match `where`, whole, and the rejected lines.

    Args:
        paths: of the files.
        where: keys and values that a row must have; text counts as the number or truth value that it spells.
        notes: what was assumed or changed is counted in it.

    Raises:
        InputError: a file cannot be read, or no file has a usable conversation.
    """
    counts = Counter[str]() if notes is None else notes
    return _read(paths, where, lambda row: [_conversation(row, counts)], "conversation", counts)


def read_tests(
    paths: Sequence[Path], where: Mapping[str, Any], notes: Counter[str] | None = None
) -> tuple[list[Example], list[Rejected]]:
    """The user's own tests. A question is a conversation that ends with it and has an `answer` or `checks`, or that
    ends with the expected reply. A conversation is a row with `turns`, each with `user` and its `answer` or `checks`;
    it becomes one example for each turn.

    Raises:
        InputError: a file cannot be read, or no file has a usable question.
    """
    return _read(paths, where, _test, "test question", Counter() if notes is None else notes)


def _read(
    paths: Sequence[Path],
    where: Mapping[str, Any],
    parse: Callable[[Row], list[Example]],
    what: str,
    notes: Counter[str],
) -> tuple[list[Example], list[Rejected]]:
    examples: list[Example] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    for path in paths:
        read, refused = len(examples), len(rejected)
        for number, row in _rows_of(path, notes):
            try:
                if isinstance(row, BadRow):
                    raise _BadRowError(row.reason)
                if not matches(row, where):
                    continue
                parsed = parse(row)
            except (_BadRowError, ShapeError) as error:
                rejected.append(Rejected(file=path.name, line=number, reason=str(error)))
                continue
            if any(e.id in seen for e in parsed):
                parsed = [_renamed(e, f"-{path.stem}-{number}") for e in parsed]
            seen.update(e.id for e in parsed)
            examples += parsed
        if len(examples) == read and len(rejected) > refused and (export := _export_error(path)):
            raise export
    if paths and not examples:
        raise _nothing(paths, where, what, rejected)
    return examples, rejected


def _rows_of(path: Path, notes: Counter[str]) -> Iterator[Numbered]:
    try:
        yield from rows_of(path, lambda said: notes.update([said]))
    except InputError as error:
        raise _export_error(path) or error from error


def _export_error(path: Path) -> InputError | None:
    """The error for an export of a help desk, a chat, or a mailbox, which must be imported first; None for others."""
    kind = recognize(path)
    if kind is None:
        return None
    said = f"{path}: this {looks_like(kind)}, not a file of conversations"
    return InputError(said, f'run `inhouse import {kind} "{path}"`, and name the file that it writes')


def _nothing(paths: Sequence[Path], where: Mapping[str, Any], what: str, rejected: Sequence[Rejected]) -> InputError:
    names = ", ".join(str(p) for p in paths)
    first = f"; {rejected[0].file}:{rejected[0].line}: {rejected[0].reason}" if rejected else ""
    more = f" (and {len(rejected) - 1} more)" if len(rejected) > 1 else ""
    if where and not rejected:
        return InputError(f"{names}: no {what} matches {dict(where)}", "change curation.where")
    return InputError(f"{names}: no usable {what}{first}{more}", f"write one JSON object per line: {SHOWN}")


def matches(row: Mapping[str, Json], where: Mapping[str, Any]) -> bool:
    """Whether the row has all the values; "true" is true and "5" is 5, and of a list one element is enough."""
    for key, wanted in where.items():
        given = row[key] if key in row else next((row[k] for k in keys_in(row, [key.casefold()])), None)
        if given != wanted and not any(_same(g, wanted) for g in (given if isinstance(given, list) else [given])):
            return False
    return True


def _same(given: Json, wanted: Json) -> bool:
    if given is None or wanted is None or isinstance(given, dict) or isinstance(wanted, dict | list):
        return bool(given == wanted)
    truth = next((v for v in (given, wanted) if isinstance(v, bool)), None)
    one, other = (str(v).strip().casefold() for v in (given, wanted))
    if truth is not None:
        return {one in _TRUE, other in _TRUE} == {True} or {one in _FALSE, other in _FALSE} == {True}
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def _renamed(example: Example, suffix: str) -> Example:
    """The example of a row whose id another row has; the turns of a test conversation stay together."""
    group = example.group + suffix if example.turn else example.group
    return example.model_copy(update={"id": example.id + suffix, "group": group})


def _conversation(row: Row, notes: Counter[str]) -> Example:
    found = conversation_of(row)
    messages, context_only = _messages([*found.messages, *found.chosen], lambda m: _cleaned(m, notes))
    notes[SYSTEM] += sum(m["role"] in ("system", "developer") for m in found.messages)
    notes[PREFERRED] += bool(found.chosen)
    while messages and (messages[-1].role != "assistant" or not messages[-1].content):
        messages.pop()
    if not messages:
        raise _BadRowError("has no reply")
    rest = {**found.rest, "conversation_id": found.rest.get("conversation_id") or row.get("conversation_id")}
    example = _example(rest, messages[:-1], messages[-1].content)
    return example.model_copy(update={"context_only": tuple(n for n in context_only if n < len(messages))})


def _cleaned(message: Mapping[str, Json], notes: Counter[str]) -> str:
    text = str(message["content"])
    if message["role"] == "tool":
        return _without_escapes(text)
    steps = (
        (THOUGHTS, without_thoughts if message["role"] == "assistant" else str),
        (HTML, _without_html),
        (MAIL, _own),
    )
    for note, step in steps:
        if (changed := step(text)) != text:
            notes[note] += 1
            text = changed
    return text


def _without_escapes(text: str) -> str:
    """JSON with its letters as they are: with `M\\u00fcller` no name is found, and no word is learned."""
    return _ESCAPES.sub(_unescaped, text) if "\\u" in text and text.lstrip()[:1] in ("{", "[", '"') else text


def _unescaped(match: re.Match[str]) -> str:
    letters = str(json.loads(f'"{match[0]}"'))
    return letters if letters.isprintable() and not set(letters) & {'"', "\\"} else match[0]


def _without_html(text: str) -> str:
    """The text that HTML shows; code stays, and so does a text that only speaks of tags."""
    if "<" in text and "```" not in text and "<code" not in text and _BLOCK.search(text):
        return html_text(text)
    return html.unescape(text).replace("\xa0", " ") if "&" in text and _ENTITY.search(text) else text


def _own(text: str) -> str:
    """What the writer of a mail added. Quoted lines stay where no header of a mail comes with them."""
    if "\n" not in text:
        return mail_content(text)
    shorter = reply_content(text)
    unquoted = [line for line in text.splitlines() if not line.lstrip().startswith(">")]
    return mail_content(text) if shorter.split() == " ".join(unquoted).split() else shorter


def without_thoughts(text: str) -> str:
    """The reply without what a reasoning model wrote for itself, between `<think>` and `</think>`. The opening mark may
    be missing, since some templates put it into the prompt; where the closing one is, nothing was answered."""
    for name in _THOUGHTS:
        opening, closing = f"<{name}>", f"</{name}>"
        if opening not in text and closing not in text:
            continue
        before, found, rest = text.partition(opening)
        kept = [] if not found or before.strip() == "" else [before]
        kept += [before.rpartition(closing)[2]] if not found else []
        for part in rest.split(opening) if found else ():
            kept.append(part.partition(closing)[2])
        text = "".join(kept).strip()
    return text


def _test(row: Row) -> list[Example]:
    turns = row.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "user" in turns[0]:
        return _test_turns(row, turns)
    try:
        found = conversation_of(row)
    except ShapeError:  # a question with checks alone is no conversation
        if row.get("answer") or not (row.get("checks") or "answer" in row):
            raise
        found = conversation_of({**row, "answer": ""})
    messages, _ = _messages(found.messages, lambda m: str(m["content"]))
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


def _messages(
    given: Sequence[Mapping[str, Json]], text_of: Callable[[Mapping[str, Json]], str]
) -> tuple[list[Message], list[int]]:
    """The messages from the user's first one on, without system messages and empty ones, neighbors of one role as one;
    and the positions of replies with a weight of 0. Of a tool call only the name is kept: its arguments repeat what the
    user said, and what the reply rests on is the result."""
    messages: list[Message] = []
    context_only: list[int] = []
    for m in given:
        if m["role"] in ("system", "developer") or not (messages or m["role"] == "user"):
            continue
        content = text_of(m).strip() if m.get("content") else ""
        if re.search("[\ud800-\udfff]", content):
            raise _BadRowError("contains text that is not Unicode")
        calls = tuple(
            {**c, "function": {"name": c["function"]["name"], "arguments": "{}"}} for c in m.get("tool_calls") or ()
        )
        unweighted = m["role"] == "assistant" and m.get("weight") == 0
        if not content and not calls and m["role"] != "tool":
            continue
        last = messages[-1] if messages else None
        joins = last and last.role == m["role"] != "tool" and not (calls or last.tool_calls)
        if last and joins and unweighted == (len(messages) - 1 in context_only):
            messages[-1] = Message(role=last.role, content=f"{last.content}\n{content}")
            continue
        context_only += [len(messages)] if unweighted else []
        messages.append(
            Message(role=m["role"], content=content, tool_calls=calls, tool_call_id=str(m.get("tool_call_id") or ""))
        )
    if not messages:
        raise _BadRowError("has no question")
    return messages, context_only


def _example(row: dict[str, Any], messages: Sequence[Message], target: str) -> Example:
    if not any(m.role == "user" and m.content for m in messages):
        raise _BadRowError("has no question before its reply")
    try:
        checks = _checks(row.get("checks"))
        sources = _sources(row.get("sources"))
    except ValidationError as error:
        place = ".".join(str(p) for p in error.errors()[0]["loc"])
        raise _BadRowError(f"checks or sources: {place}: {error.errors()[0]['msg']}") from error
    own = digest_of([m.to_openai() for m in messages] + [target])[:12]
    group = row.get("group") or row.get("conversation_id") or row.get("id")
    tags = row.get("tags") or ([row["topic"]] if row.get("topic") else [])
    tags = [tag.strip() for tag in re.split("[,;|]", tags) if tag.strip()] if isinstance(tags, str) else tags
    return Example(
        id=str(row.get("id") or own),
        messages=tuple(messages),
        target=target,
        sources=sources,
        checks=checks,
        answerable=checks.answerable,
        group=str(group or own),
        tags=tuple(str(t) for t in tags) if isinstance(tags, list) else (),
        kind=str(row.get("kind") or ""),
        time=str(row.get("time") or row.get("created_at") or ""),
    )


def _sources(given: Json) -> tuple[Source, ...]:
    listed = [given] if isinstance(given, str) and given else given or []
    if not isinstance(listed, list):
        raise _BadRowError("sources is not a list")
    return tuple(Source(document=s) if isinstance(s, str) else Source.model_validate(s) for s in listed)


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
