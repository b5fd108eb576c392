"""Files that are written completely or not at all, even if the program is interrupted; and their sha256."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

SUFFIX = ".partial"


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a relative path matches a pattern, whatever its case. "*" also matches folders, and "web/" all in it."""
    path = path.casefold()
    wanted = [p.casefold() + ("*" if p.endswith("/") else "") for p in patterns]
    wanted += [p.removeprefix("**/") for p in wanted]  # at the top too
    return any(fnmatchcase(path, p) for p in wanted)


def file_sha256(file: Path) -> str:
    """sha256, in hex, of a file's bytes."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Yields an empty file beside `path` to write to; after the block it is on disk and takes the place of `path`.

    Readers of `path` see the old file or the new one. If the block raises, `path` is unchanged.

    Args:
        path: the file to write; its folder is made if necessary.
        mode: permissions, which hold from the first byte on. Default: those of the file that is replaced, and for a new
            file those that the process gives new files.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode is None and path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        if mode is not None:
            os.fchmod(descriptor, mode)
        os.close(descriptor)
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int | None = None, errors: str = "strict") -> None:
    """Writes a UTF-8 file as `replacing` does; `errors` says what becomes of lone surrogates, as in `str.encode`."""
    with replacing(path, mode) as partial:
        partial.write_bytes(text.encode("utf-8", errors))


def remove_leftovers(folder: Path) -> None:
    """Deletes what `replacing` could not when the program was killed; nobody else may be writing below `folder`."""
    for partial in folder.rglob(f".*{SUFFIX}"):
        partial.unlink(missing_ok=True)
