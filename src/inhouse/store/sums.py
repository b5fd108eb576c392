"""The sha256 of files: of an artifact when it is made, of what a release needs when the release is made and opened.

A large file is read once. Its sha256 is kept with what the system says of the file (device, number, size, times of
change), so a restart is quick; whoever could forge all of these could also replace the program. A full check ignores
what is kept.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from inhouse.errors import BackendError
from inhouse.files import file_sha256, write_text
from inhouse.types import Digest, Record

NOT_PINNED = ("__pycache__",)  # written by the interpreter, and read by nothing of ours

State = tuple[int, int, int, int, int]


class Sum(Record):
    """What a file has to be."""

    sha256: Digest
    bytes: int


Files = Mapping[str, Sum]  # by path relative to the folder


class Sums:
    """Sums of files; `kept` is the file where they are kept between runs, None for a full check."""

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: dict[str, tuple[State, Digest]] = {}
        if kept is not None:
            with suppress(OSError, ValueError, TypeError, KeyError):  # damaged: every file is read again
                rows = json.loads(kept.read_text(encoding="utf-8"))
                self._known = {path: (_state_of(row["state"]), str(row["sha256"])) for path, row in rows.items()}
        self._seen: dict[str, State] = {}

    def of(self, file: Path) -> Sum:
        """The sum of a file.

        Raises:
            BackendError: it cannot be read, or was written meanwhile.
        """
        try:
            state = _state(file)
            before, sha256 = self._known.get(str(file), (None, ""))
            if before != state:
                sha256 = file_sha256(file)
                if _state(file) != state:
                    raise BackendError(f"{file}: is being written", "try again when nothing writes to it")
        except OSError as error:
            raise BackendError(f"{file}: cannot be read ({error.strerror})", "check its permissions") from error
        with self._lock:
            self._known[str(file)] = state, sha256
            self._seen[str(file)] = state
        return Sum(sha256=sha256, bytes=state[2])

    def folder(self, folder: Path, leave_out: Sequence[str] = ()) -> dict[str, Sum]:
        """The sums of every file below a folder, or of one file, by relative path."""
        if folder.is_file():
            return {folder.name: self.of(folder)}
        return {name: self.of(folder / name) for name in _names(folder) if name not in leave_out}

    def problem(self, folder: Path, expected: Files, leave_out: Sequence[str] = ()) -> str:
        """The first difference of a folder, or file, from what is expected, with the file's path; empty if none."""
        names = [folder.name] if folder.is_file() else _names(folder)
        root = folder.parent if folder.is_file() else folder
        for name, sum in sorted(expected.items()):
            if not (root / name).is_file():
                return f"{root / name}: is gone"
            if self.of(root / name) != sum:
                return f"{root / name}: was changed"
        more = sorted(set(names) - expected.keys() - set(leave_out))
        return f"{root / more[0]}: was added" if more else ""

    def changed(self) -> str:
        """The first file that was written since its sum was taken here; empty if none was."""
        for path, state in self._seen.items():
            try:
                if _state(Path(path)) != state:
                    return path
            except OSError:
                return path
        return ""

    def keep(self) -> None:
        """Writes the sums for the next run. They only save time, so a failure is none."""
        if self._kept is not None:
            rows = {path: {"state": state, "sha256": sha256} for path, (state, sha256) in self._known.items()}
            with suppress(OSError):
                write_text(self._kept, json.dumps(rows, indent=0), 0o600)


def _names(folder: Path) -> list[str]:
    """Every file below a folder; a link counts as what it leads to, and one that leads nowhere as a file."""
    names = (f.relative_to(folder) for f in _walk(folder))
    return sorted(str(name) for name in names if not set(NOT_PINNED) & set(name.parts))


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder, followlinks=True):
        yield from (Path(root) / name for name in files)


def _state(file: Path) -> State:
    s = file.stat()
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def _state_of(row: Sequence[int]) -> State:
    device, number, size, changed, moved = (int(n) for n in row)
    return device, number, size, changed, moved
