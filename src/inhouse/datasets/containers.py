"""The rows of a file of conversations: JSON Lines, JSON in one piece, or CSV, also gzipped, in any encoding.

JSON Lines and arrays are read row by row, so that a large file needs little more memory than its text. One message a
row, as in tables of help desks, is put together by the column that names the conversation.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inhouse.datasets.shapes import conversation_of, may_have, unknown
from inhouse.datasets.transcripts import conversations_in
from inhouse.datasets.turns import ShapeError, keys_in
from inhouse.errors import InputError
from inhouse.text.encoding import NotText, decode
from inhouse.types import Json

LONGEST_LINE_CHARS = 2_000_000
MOST_BYTES = 4 << 30  # of what a gzip file unpacks to
_BLOCK = 1 << 20
_AS_LINES = 'with pandas: to_json("conversations.jsonl", orient="records", lines=True)'
_BINARY = {
    b"PAR1": ("a Parquet file", f"write its rows as JSON Lines, {_AS_LINES}"),
    b"ARROW1": ("an Arrow file", f"write its rows as JSON Lines, {_AS_LINES}"),
    b"SQLite format 3\0": (
        "a SQLite database",
        'write the query\'s rows as CSV: sqlite3 -header -csv FILE "SELECT ..."',
    ),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel or Word file", "save it as CSV"),
    b"%PDF": ("a PDF file", "put it into the documents folder, or save the conversations as CSV or JSON Lines"),
    b"BZh": ("a bzip2 file", "unpack it"),
    b"\xfd7zXZ": ("an xz file", "unpack it"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "unpack it"),
    b"7z\xbc\xaf": ("a 7-Zip archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"Obj\x01": ("an Avro file", "write its rows as JSON Lines"),
}
_DELIMITERS = ",;\t|"
_GROUP = ("conversation_id", "conversationid", "conversation", "chat_id", "thread_id", "thread", "ticket_id", "ticket",
          "session_id", "dialog_id", "dialogue_id", "case_id", "message_tree_id", "group", "chat")  # fmt: skip
_FLAGS = {"is_agent": "assistant", "is_staff": "assistant", "from_agent": "assistant", "is_bot": "assistant",
          "is_customer": "user", "from_customer": "user", "is_user": "user"}  # fmt: skip
_ROLE = ("role", "sender", "author", "from", "speaker", "sender_type", "author_type", "user_type", "participant",
         "direction", *_FLAGS, "type")  # fmt: skip
_CONTENT = ("content", "text", "message", "body", "utterance", "value", "comment")
_TIME = ("time", "timestamp", "created_at", "sent_at", "datetime", "date", "turn", "index", "position", "seq")
_OF_ONE = frozenset("messages turns conversation dialog dialogue contents history thread choices tools".split())  # noqa: SIM905
_LOOKED_AT = 20
_DECODER = json.JSONDecoder()
_SPACE, _BETWEEN = re.compile(r"[\ufeff\s]*"), re.compile(r"[\s,]*")
_NAME, _COLON = re.compile(r'[\s,]*+(?=")'), re.compile(r"[\s:]*")
_LOCAL = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2}),?[ T\u202f]+(\d{1,2}):(\d\d)(?::(\d\d))?"
    r"(?:[ \u202f]?([AaPp])\.?[Mm]\.?)?"
)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.{0,30})?")
_STAMPED = re.compile(r"\s*+\[\d[\d:./T, -]{3,22}(?:[AP]M)?\]\s*+[^\s,\]]")  # a message with its time, not an array
_TITLES = 5  # lines, at most, above the header of a table
_YES = frozenset("true yes y t 1 wahr ja vrai oui si sí".split())  # noqa: SIM905
Row = dict[str, Json]


class BadRow(NamedTuple):
    """Why a row cannot be read."""

    reason: str


Numbered = tuple[int, Row | BadRow]


def rows_of(path: Path, note: Callable[[str], None] = lambda said: None) -> Iterator[Numbered]:
    """The rows of a file, each with the number of the line on which it begins.

    Args:
        path: of the file.
        note: is told what was assumed about the file.

    Raises:
        InputError: the file cannot be read, or is of another kind.
    """
    try:
        yield from _joined(_rows(_lines(path, note), lambda said: note(f"{path.name}: {said}")))
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        hint = "check its name under [curation] and its permissions"
        raise InputError(f"{path}: cannot be read ({why})", hint) from error
    except NotText as error:
        raise InputError(f"{path}: {error}", "save it as UTF-8 text") from error


# --- text -------------------------------------------------------------------------------------------------------


def _lines(path: Path, note: Callable[[str], None]) -> Iterator[str]:
    """The lines of a text file; UTF-8 is read piece by piece, other encodings as a whole."""
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        head = file.read(16)
        for magic, (kind, hint) in _BINARY.items():
            if head.startswith(magic):
                raise InputError(f"{path}: this is {kind}, not text", hint)
        utf8 = _is_utf8(head, file, path)
    if utf8:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as text:
            yield from text
        return
    with opener(path, "rb") as file:
        decoded, said = decode(file.read())
    if said:
        note(f"{path.name}: {said}")
    yield from io.StringIO(decoded, newline="\n")


def _is_utf8(head: bytes, file: Any, path: Path) -> bool:
    decoder, size = codecs.getincrementaldecoder("utf-8")(), len(head)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        return False
    try:
        decoder.decode(head)
        while block := file.read(_BLOCK):
            size += len(block)
            if size > MOST_BYTES:
                raise InputError(f"{path}: larger than {MOST_BYTES >> 30} GB", "split it into several files")
            if b"\0" in block:
                return False
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _rows(lines: Iterator[str], note: Callable[[str], None]) -> Iterator[Numbered]:
    """The rows of the lines, which are JSON if they begin like it, else a table."""
    numbered = ((n, line) for n, line in enumerate(lines, 1) if line.strip())
    number, first = next(numbered, (0, ""))
    if first.lstrip("\ufeff \t")[:1] not in ("{", "[") or _STAMPED.match(first):
        yield from (
            _table(number, first, lines, note) if first else ()
        )  # with blank lines, which may be in a quoted cell
        return
    second = next(numbered, None)
    goes_on = first.rstrip().endswith(("[", "{", ",", ":")) or first.lstrip().startswith("[")
    if second and (isinstance(_json_row(first), dict) or (not goes_on and isinstance(_json_row(second[1]), dict))):
        for n, line in itertools.chain([(number, first), second], numbered):
            yield n, _json_row(line)
    else:
        others = itertools.chain([second] if second else [], numbered)
        yield from _json_text(number, "".join([first, *(line for _, line in others)]))


# --- JSON -------------------------------------------------------------------------------------------------------


def _json_row(line: str) -> Row | BadRow:
    if len(line) > LONGEST_LINE_CHARS:
        return BadRow(f"longer than {LONGEST_LINE_CHARS:,} characters")
    try:
        row = json.loads(line.rstrip(", \t\r\n"))
    except ValueError as error:
        return BadRow(_why(error))
    except RecursionError:
        return BadRow("not readable JSON (nested too deeply)")
    return _row_of(row)


def _row_of(value: Json) -> Row | BadRow:
    """The row that a value is; an array of messages is a conversation too."""
    if isinstance(value, list) and value and all(isinstance(v, dict) and keys_in(v, _ROLE) for v in value):
        return {"messages": value}
    return value if isinstance(value, dict | BadRow) else BadRow("not a JSON object")


def _why(error: ValueError) -> str:
    place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return f"not JSON ({error.msg if isinstance(error, json.JSONDecodeError) else 'a number is too long'}{place})"


def _json_text(number: int, text: str) -> Iterator[Numbered]:
    """The rows of JSON in one piece: an array, an object with one in it, an object of rows, or several rows."""
    at = _SPACE.match(text).end()  # type: ignore[union-attr]
    try:
        place = at if text.startswith("[", at) else _place_of_rows(text, at)
        if place is not None:
            first = next(_elements(text, place, number), (0, BadRow("")))[1]
            alone = isinstance(first, dict) and not _is_row(first) and one_message(first)
            yield from (
                [(number, _row_of(json.loads(text)))] if alone and place == at else _elements(text, place, number)
            )
            return
        for line, value in _values(text, at, number):
            yield from ((line, row) for row in _inside(value))
    except ValueError as error:
        yield number, BadRow(_why(error))
    except RecursionError:
        yield number, BadRow("not readable JSON (nested too deeply)")


def _elements(text: str, at: int, number: int) -> Iterator[Numbered]:
    """The elements of the array that begins at `at`."""
    for line, value in _values(text, at + 1, number + text.count("\n", 0, at), closing="]"):
        yield line, _row_of(value)


def _values(text: str, at: int, line: int, closing: str = "") -> Iterator[tuple[int, Json]]:
    """Values with commas or spaces between them, each with its line, up to the closing mark or the end."""
    while True:
        start = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        line += text.count("\n", at, start)
        if start == len(text) or text.startswith(closing or "\0", start):
            if closing and start == len(text):
                yield line, BadRow("not JSON (the array is not closed)")
            return
        try:
            value, at = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            yield line + text.count("\n", start, error.pos), BadRow(f"not JSON from here on ({error.msg})")
            return
        yield line, value
        line += text.count("\n", start, at)


def _place_of_rows(text: str, at: int, depth: int = 0) -> int | None:
    """Where in the object at `at` a list of rows begins, such as that under `data`; None if it has none."""
    at += 1
    while match := _NAME.match(text, at):
        name, at = _DECODER.raw_decode(text, match.end())
        at = _COLON.match(text, at).end()  # type: ignore[union-attr]
        if text.startswith("[", at) and str(name).lower() not in _OF_ONE:
            some = itertools.islice(_values(text, at + 1, 0, closing="]"), _LOOKED_AT)
            if any(isinstance(value, dict) and _is_row(value) for _, value in some):
                return at
        elif text.startswith("{", at) and depth < 2 and (place := _place_of_rows(text, at, depth + 1)) is not None:
            return place
        _, at = _DECODER.raw_decode(text, at)
    return None


def _inside(value: Json) -> list[Row | BadRow]:
    """The rows of an object: itself, or its values where these are rows, by their keys."""
    if not isinstance(value, dict):
        return [value if isinstance(value, BadRow) else BadRow("not a JSON object")]
    rows = {k: v for k, v in value.items() if isinstance(v, dict)}
    if (
        not _is_row(value)
        and len(rows) == len(value)
        and any(map(_is_row, itertools.islice(rows.values(), _LOOKED_AT)))
    ):
        return [{"id": key, **row} for key, row in rows.items()]
    return [value]


def _is_row(value: Row) -> bool:
    try:
        conversation_of(value)
    except ShapeError:
        return bool((one_message(value) or ("",))[0])
    return True


# --- tables -----------------------------------------------------------------------------------------------------


def _table(number: int, first: str, lines: Iterator[str], note: Callable[[str], None]) -> Iterator[Numbered]:
    """The rows of a table with a header, or the conversations of a transcript. The delimiter is the one that the header
    has most of, or that `sep=` names."""
    if "\r" in first.rstrip("\r\n"):  # lines that end with a carriage return alone
        first, *others = "".join([first, *lines]).splitlines(keepends=True)
        lines = iter(others)
    named = re.fullmatch(r"\ufeff?\"?sep=(.)\"?\s*", first)
    header = next(lines, "") if named else first
    above = [header, *itertools.islice(lines, _TITLES)]
    at = next((n for n, line in enumerate(above) if _is_header(line, named)), None)
    if at and any(sum(map(bool, _names(line, named))) > 1 for line in above[:at]):
        at = None  # what is above is no title, but a row
    if at is None:
        yield from _transcripts(number, header, "".join([*above, *lines]), note)
        return
    if at:
        note(f"lines above the header of the table, which are left out: {at}")
    delimiter = _delimiter(above[at], named)
    csv.field_size_limit(LONGEST_LINE_CHARS)
    reader = csv.DictReader(itertools.chain(above[at:], lines), delimiter=delimiter)
    before = number - 1 + bool(named) + at
    try:
        reader.fieldnames = [_name(n) for n in reader.fieldnames or ()]
        for cells in reader:
            bad = None in cells or any(value is None for value in list(cells.values())[:2])
            reason = "has a different number of columns than the header"
            yield before + reader.line_num, BadRow(reason) if bad else {k: v for k, v in cells.items() if v is not None}
    except csv.Error as error:
        yield before + reader.line_num, BadRow(f"not valid CSV from here on ({error})")


def _delimiter(header: str, named: re.Match[str] | None) -> str:
    return named[1] if named else max(_DELIMITERS, key="".join(header.split('"')[::2]).count)


def _names(header: str, named: re.Match[str] | None) -> list[str]:
    try:
        return [_name(n) for n in next(csv.reader([header], delimiter=_delimiter(header, named)), [])]
    except csv.Error:
        return []


def _is_header(line: str, named: re.Match[str] | None) -> bool:
    names = _names(line, named)
    return may_have(names) or one_message(dict.fromkeys(names, "x")) is not None


def _transcripts(number: int, header: str, text: str, note: Callable[[str], None]) -> Iterator[Numbered]:
    """The conversations of a text that says before each message who speaks."""
    found = False
    for line, messages in conversations_in(text, note):
        found = True
        yield number - 1 + line, {"messages": messages}
    if not found:
        why = "a table names its columns in the first line, a transcript has `User:` or `Agent:` before each message"
        yield number, BadRow(f"{unknown(dict.fromkeys(_names(header, None)))}; {why}")


def _name(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip("\ufeff \t\r\n").lower())


# --- one message a row ------------------------------------------------------------------------------------------


def one_message(row: Row) -> tuple[str, str, str] | None:
    """The keys of conversation, role, and content of a row that is one message; None for any other row. The first is
    empty where the row does not say which conversation it belongs to."""
    role, content = _first(row, _ROLE), _first(row, _CONTENT)
    if not role or not content or not isinstance(row[role], str) or not isinstance(row[content], str | None):
        return None
    return _first(row, _GROUP), role, content


def _first(row: Row, wanted: Sequence[str]) -> str:
    return next(iter(keys_in(row, wanted)), "")


def _joined(rows: Iterator[Numbered]) -> Iterator[Numbered]:
    """The rows; those that are one message each put together to conversations, if the first one is."""
    first = next(rows, None)
    if first is None:
        return
    keys = one_message(first[1]) if isinstance(first[1], dict) else None
    if keys is None or _is_conversation(first[1]):
        yield first
        yield from rows
        return
    if not keys[0]:
        found = ", ".join(list(first[1])[:12])
        yield first[0], BadRow(f"one message a row needs a column such as conversation_id; it has {found}")
        return
    yield from _grouped(itertools.chain([first], rows), *keys)


def _is_conversation(row: Row | BadRow) -> bool:
    try:
        conversation_of(row if isinstance(row, dict) else {})
    except ShapeError:
        return False
    return True


def _grouped(rows: Iterable[Numbered], group: str, role: str, content: str) -> Iterator[Numbered]:
    conversations: dict[str, tuple[int, Row, list[tuple[str, Row]]]] = {}
    for number, row in rows:
        if isinstance(row, BadRow):
            yield number, row
            continue
        name = row.get(group)
        if name in (None, ""):
            yield number, BadRow(f"has nothing under {group}")
            continue
        message = {"role": _role(role, row.pop(role, None)), "content": row.pop(content, None)}
        message |= {key: row[key] for key in ("tool_calls", "tool_call_id", "name", "weight") if row.get(key)}
        time = next((str(row[key]) for key in keys_in(row, _TIME) if row[key]), "")
        conversations.setdefault(str(name), (number, row, []))[2].append((time, message))
    for name, (number, row, messages) in conversations.items():
        yield number, {"id": name, **row, "conversation_id": name, "messages": [m for _, m in _in_order(messages)]}


def _role(key: str, value: Json) -> Json:
    """The role in a column; in one such as `is_agent`, that of its side."""
    if key not in _FLAGS:
        return value
    own = _FLAGS[key]
    other = "user" if own == "assistant" else "assistant"
    return own if value is True or str(value).strip().lower() in _YES else other


def _in_order(messages: list[tuple[str, Row]]) -> list[tuple[str, Row]]:
    """The messages by time, if each has one that sorts; else as they stand in the file."""
    if all(_ISO.fullmatch(time) for time, _ in messages):
        return sorted(messages, key=lambda m: m[0])
    if all(time.replace(".", "", 1).isdecimal() for time, _ in messages):
        return sorted(messages, key=lambda m: float(m[0]))
    dates = [_LOCAL.fullmatch(time) for time, _ in messages]
    orders = [_ranks([d for d in dates if d], day) for day in (0, 1)] if all(dates) else []
    proofs = [any(int(d[2 - day]) > 12 for d in dates if d) for day in (0, 1)]  # what is no month
    if not orders or (orders[0] != orders[1] and proofs[0] == proofs[1]):
        return messages
    return [messages[n] for n in orders[proofs[1] and not proofs[0]]]


def _ranks(dates: Sequence[re.Match[str]], day: int) -> list[int]:
    """The places of dates in their order; the day is the first of the three numbers or the second."""

    def key(n: int) -> tuple[int, ...]:
        d = dates[n]
        hour = int(d[4]) % 12 + 12 * (d[7].lower() == "p") if d[7] else int(d[4])
        return int(d[3]), int(d[2 - day]), int(d[1 + day]), hour, int(d[5]), int(d[6] or 0)

    return sorted(range(len(dates)), key=key)
