"""The files of an export: folders, zip archives, and single files, and the records in them, read as a stream.

A JSON file may be an array, one object, objects line by line, or an envelope: an object with a list of records, such
as the page of an API. Objects are decoded one by one with the decoder of the standard library, which takes a third of
the memory of `json.load` in the same time. `ijson` takes less, but must be told which of these a file is and where its
list is, and does not name the line of an error.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from inhouse.errors import InputError
from inhouse.types import Json

READ_CHARS = 1 << 20
WHOLE_CHARS = 32 << 20
"""An object of at most so many characters is decoded as one; a longer one must be an envelope."""
MOST_FILES, MOST_BYTES, MOST_RATIO = 500_000, 64 << 30, 500
SMALL_BYTES = 100 << 20  # an archive below this is never refused for its ratio
_JUNK = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")
_ENVELOPES = frozenset({"tickets", "users", "ticket_events", "audits", "value"})
"""Keys whose lists are records wherever they stand; objects with other lists are decoded whole first."""
_HEAD = re.compile(r'\{\s*+(?:"[^"]*+"\s*+:\s*+(?:"[^"]*+"|[\d.]++|true|false|null)\s*+,\s*+){0,8}+"(\w++)"\s*+:\s*+\[')
_PAGED = frozenset(
    {"comments", "conversations", "data", "results", "items", "records", "rows", "examples", "messages", "members"}
)
_PAGING = frozenset(
    {"count", "next_page", "previous_page", "type", "pages", "total_count", "total", "meta", "links", "version", "next",
     "end_of_stream", "after_cursor", "after_url", "end_time", "page", "per_page", "has_more", "ok",
     "object", "first_id", "last_id",
     "response_metadata", "pin_count", "channel_actions_ts", "channel_actions_count", "cache_ts", "latest", "oldest"}
)  # fmt: skip
_SPACE = re.compile(r"[ \t\r\n,]*+")
BROKEN = (OSError, EOFError, zipfile.BadZipFile, zlib.error)  # what damaged archives raise
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Entry:
    """A file of an export. `name` is its path in what the user gave, with forward slashes."""

    name: str
    place: str  # for messages: the path, and the name inside an archive
    size: int
    open: Callable[[], IO[bytes]]
    archive: str = ""  # the archive that it is in

    @property
    def suffix(self) -> str:
        return Path(self.name.removesuffix(".gz")).suffix.lower()

    def read(self) -> bytes:
        """All bytes.

        Raises:
            InputError: it cannot be read.
        """
        try:
            with opened(self) as stream:
                return stream.read()
        except BROKEN as error:
            raise InputError(f"{self.place}: cannot be read to its end ({error})", "export it again") from error


class Record(NamedTuple):
    """An object of a file: the key of the list it is in, its number in that list or its line, and the object.

    `value` is None where it is not readable; `error` says why. `text` is the JSON that it was read from, where that was
    asked for and the object is not in an envelope.
    """

    key: str
    number: int
    value: dict[str, Json] | None
    error: str = ""
    text: str = ""


def entries_of(paths: Sequence[Path]) -> list[Entry]:
    """All files of folders, archives, and single files, sorted within a folder.

    Raises:
        InputError: a path does not exist, or an archive is broken, encrypted, or suspiciously large.
    """
    found: list[Entry] = []
    files = [p.absolute() for p in paths if p.is_file()]
    shared = Path(os.path.commonpath([f.parent for f in files])) if len(files) == len(paths) else None
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", "check the path")
        if path.is_dir():
            for file in sorted(f for f in path.rglob("*") if f.is_file()):
                found += _file(file, file.relative_to(path).as_posix())
        else:
            found += _file(path, path.absolute().relative_to(shared).as_posix() if shared else path.name)
    found = [e for e in found if not _JUNK.search(e.name)]
    names = [e.name for e in found]
    if len(set(names)) < len(names):  # files of one name from several folders
        found = [Entry(e.place.lstrip("/"), e.place, e.size, e.open) for e in found]
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no files", "name the files or the folder of the export")
    return found


def _file(path: Path, name: str) -> list[Entry]:
    if path.suffix.lower() == ".zip" or (path.stat().st_size > 4 and zipfile.is_zipfile(path) and not _office(path)):
        return _members(path, name)
    if path.suffix.lower() == ".gz":
        return [Entry(name, str(path), path.stat().st_size, lambda: cast(IO[bytes], gzip.open(path, "rb")))]
    return [Entry(name, str(path), path.stat().st_size, lambda: path.open("rb"))]


def _office(path: Path) -> bool:
    return path.suffix.lower() in (".xlsx", ".docx", ".pptx", ".ods", ".odt")


def _members(path: Path, name: str) -> list[Entry]:
    """The files in an archive, which are read in place: nothing is unpacked."""
    try:
        archive = zipfile.ZipFile(path)
        members = [m for m in archive.infolist() if not m.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable zip archive ({error})", "export or download it again") from error
    total = sum(m.file_size for m in members)
    if len(members) > MOST_FILES or total > MOST_BYTES or total > max(SMALL_BYTES, MOST_RATIO * path.stat().st_size):
        raise InputError(
            f"{path}: would unpack to {len(members):,} files and {total:,} bytes, more than an export has",
            "unpack it yourself if you trust it, and give the folder",
        )
    if any(m.flag_bits & 1 for m in members):
        raise InputError(f"{path}: the archive has a password", "unpack it yourself, and give the folder")

    def opener(member: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
        return lambda: archive.open(member)

    stem = name.removesuffix(".zip").removesuffix(".ZIP")
    return [
        Entry(f"{stem}/{m.filename}", f"{path}/{m.filename}", m.file_size, opener(m), str(path))
        for m in sorted(members, key=lambda m: m.filename)
    ]


def opened(entry: Entry) -> IO[bytes]:
    """Opens a file of the export.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return entry.open()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{entry.place}: cannot be read ({error})", "check its permissions, or export again"
        ) from error


def text_of(entry: Entry) -> tuple[str, str]:
    """The text of a file, and a note on its encoding if that is assumed."""
    from inhouse.text.encoding import decode

    text, note = decode(entry.read())
    return text, f"{entry.name}: {note}" if note else ""


def records(entry: Entry, advance: Callable[[int], None] = lambda _: None, texts: bool = False) -> Iterator[Record]:
    """The objects of a JSON or CSV file, one by one; with `texts`, those of JSON as they were written, too.

    Raises:
        InputError: the file is not JSON text, or broken in the middle of an array.
    """
    if entry.suffix in (".csv", ".tsv"):
        yield from _csv(entry)
        advance(entry.size)
        return
    with opened(entry) as stream:
        try:
            yield from _Json(entry.place, stream, advance, texts).records()
        except BROKEN as error:
            raise InputError(f"{entry.place}: cannot be read to its end ({error})", "export it again") from error


def _csv(entry: Entry) -> Iterator[Record]:
    text, _ = text_of(entry)
    text = text.removeprefix("\ufeff")
    head = text[:8192]
    separator = max(",;\t|", key=head.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            plain = {re.sub(r"\W+", "_", k.strip().lower()): v for k, v in row.items() if isinstance(k, str)}
            yield Record("", reader.line_num, plain)
    except csv.Error as error:
        raise InputError(f"{entry.place}:{reader.line_num}: not valid CSV ({error})", "export it again") from error


class _Json:
    """Decodes the objects of a stream of JSON text."""

    def __init__(self, place: str, stream: IO[bytes], advance: Callable[[int], None], texts: bool = False) -> None:
        self._place, self._stream, self._advance = place, stream, advance
        self._texts, self._text = texts, ""  # of the last value
        start = stream.read(4)
        marks = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
                 (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
        self._encoding = next((name for mark, name in marks if start.startswith(mark)), "utf-8")
        self._decoder = codecs.getincrementaldecoder(self._encoding)()
        self._buffer = self._decoder.decode(start)
        self._at = 0
        self._line, self._counted = 1, 0  # the line of the place up to which line ends are counted
        self._ended = False

    def records(self) -> Iterator[Record]:
        first = self._peek()
        if first == "[":
            self._at += 1
            yield from self._array("")
        elif first == "{":
            number = 0
            while self._peek():
                number += 1
                yield from self._object()
        elif first:
            raise self._error("not JSON")

    # --- reading ---

    def _more(self) -> bool:
        """Reads on, at least as much as is waiting; forgets what is done. False at the end of the file."""
        if self._ended:
            return False
        size = max(READ_CHARS, len(self._buffer) - self._at)
        data = self._stream.read(size)
        self._advance(len(data))
        self._ended = len(data) < size
        self._here()
        try:
            self._buffer = self._buffer[self._at :] + self._decoder.decode(data, self._ended)
        except UnicodeDecodeError as error:
            raise self._error(f"not {self._encoding} text: {error.reason}", "save or export it as UTF-8") from error
        self._at = self._counted = 0
        return True

    def _here(self) -> int:
        """The number of the line that is read now."""
        self._line += self._buffer.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _peek(self) -> str:
        """The next character that is neither space nor a comma; empty at the end."""
        while True:
            self._at = self._space_end()
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def _space_end(self) -> int:
        match = _SPACE.match(self._buffer, self._at)
        return match.end() if match else self._at

    def _value(self, most: int) -> Any:
        """Decodes the value that begins here.

        Raises:
            ValueError: it is not JSON, or longer than `most`.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                if end < len(self._buffer) or self._ended or not isinstance(value, int | float):
                    self._text = self._buffer[self._at : end] if self._texts else ""
                    self._at = end
                    return value
            except RecursionError as error:
                raise ValueError("nested too deeply") from error
            except json.JSONDecodeError as error:
                tail = 0 if self._ended else 12  # a number or a word such as `true` may go on
                cut = error.pos >= len(self._buffer) - tail or error.msg.startswith(("Unterminated", "Invalid \\"))
                if cut and self._ended:
                    raise ValueError("cut off") from error
                if not cut or len(self._buffer) - self._at > most:
                    raise
            if not self._more():
                raise ValueError("cut off")

    def _error(self, reason: str, hint: str = "export it again, or leave this file out") -> InputError:
        return InputError(f"{self._place}:{self._here()}: {reason}", hint)

    # --- values ---

    def _array(self, key: str) -> Iterator[Record]:
        """The elements of an array whose bracket is read."""
        number = 0
        while (character := self._peek()) != "]":
            if not character:
                raise self._error("cut off in the middle of a list")
            number += 1
            yield from _elements(key, number, self._element(), self._text)
        self._at += 1

    def _element(self) -> Any:
        try:
            return self._value(WHOLE_CHARS)
        except ValueError as error:
            raise self._error(_reason(error)) from error

    def _object(self) -> Iterator[Record]:
        """An object, or the records of an envelope; a line that is not JSON is skipped."""
        start = self._here()
        if self._peek() == "{" and self._is_envelope():
            yield from self._envelope()
            return
        try:
            value = self._value(WHOLE_CHARS)
        except ValueError as error:
            if len(self._buffer) - self._at > WHOLE_CHARS:
                yield from self._envelope()
                return
            yield Record("", start, None, f"not JSON: {_reason(error)}")
            self._skip_line()
            return
        yield from _elements("", start, value, self._text)

    def _is_envelope(self) -> bool:
        """Whether the first keys say that this is the page of an API."""
        while len(self._buffer) - self._at < 4096 and self._more():
            pass
        head = _HEAD.match(self._buffer[self._at : self._at + 4096])
        return head is not None and head[1] in _ENVELOPES

    def _envelope(self) -> Iterator[Record]:
        """Walks over an object and yields the elements of its lists; other values are left out."""
        self._at += 1
        while (character := self._peek()) != "}":
            if character != '"':
                raise self._error("cut off, or not JSON")
            key = str(self._element())
            if self._peek() != ":":
                raise self._error("not JSON: a key without a value")
            self._at += 1
            if self._peek() == "[":
                self._at += 1
                yield from self._array(key)
            else:
                self._element()
        self._at += 1

    def _skip_line(self) -> None:
        while (end := self._buffer.find("\n", self._at)) < 0:
            self._at = len(self._buffer)
            if not self._more():
                return
        self._at = end + 1


def _reason(error: ValueError) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _elements(key: str, number: int, value: Any, text: str = "") -> Iterator[Record]:
    """An object as a record, or the records of a small envelope: an object without an id that has lists of objects."""
    if not isinstance(value, dict):
        yield Record(key, number, None, "not an object")
        return
    lists = [k for k, v in value.items() if isinstance(v, list) and any(isinstance(x, dict) for x in v)]
    envelope = not key and "id" not in value and (_ENVELOPES & set(lists) or _page(value, lists))
    if not envelope:
        yield Record(key, number, value, "", text)
        return
    for name in lists:
        for n, element in enumerate(value[name], 1):
            yield Record(name, n, element if isinstance(element, dict) else None)


def _page(value: dict[str, Json], lists: Sequence[str]) -> bool:
    """Whether an object with these lists is the page of an API or a wrapper: nothing but one list and counts."""
    if len(lists) != 1 or lists[0] not in _PAGED:
        return False
    first = value[lists[0]][0]
    if isinstance(first, dict) and first.keys() & {"role", "from", "value"}:
        return False  # a row for training
    return {k for k in value if k != lists[0] and not k.startswith("@")} <= _PAGING
