"""What lies in the documents folder, and who may read it.

Links are not followed: what a link inside the folder leads to is read where it is, and nothing outside is opened. One
exception: a link to a hidden file in the folder is read in its place, as volumes mounted by Kubernetes have them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inhouse.config import sections as config
from inhouse.documents.parse import FORMATS
from inhouse.errors import ConfigError, InputError
from inhouse.types import digest_of

Inode = tuple[int, int]


@dataclass(frozen=True)
class Found:
    """An entry of the folder. `problem` says why it is not to be read; `same_as` which file a link leads to."""

    source: str
    path: Path
    size: int = 0
    modified: str = ""
    access: frozenset[str] = frozenset()
    problem: str = ""
    same_as: str = ""

    @property
    def suffix(self) -> str:
        return Path(self.source).suffix.lower()


def walk(folder: Path, settings: config.Documents) -> list[Found]:
    """Everything below `folder` but hidden files, sorted by path.

    Raises:
        InputError: the folder is missing, cannot be listed, or holds nothing.
        ConfigError: an access rule names a folder that is not there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "put the documents there, or set documents.path")
    rules = _rules(folder, settings.access)
    root = folder.resolve()
    found = sorted(_entries(root, rules), key=lambda file: file.source)
    if not found:
        endings = ", ".join(suffix[1:] for suffix in FORMATS)
        raise InputError(f"{folder}: no documents in it", f"put files there: {endings}")
    return [_checked(root, file, rules, settings.max_file_mb) for file in found]


def folder_digest(folder: Path, settings: config.Documents) -> str:
    """sha256 over paths, sizes and bytes of all that `walk` finds; of files that are not read, over path and reason.

    Raises:
        InputError: as `walk` does.
    """
    return digest_of([[file.source, file.size, _content(file)] for file in walk(folder, settings)])


def _content(file: Found) -> str:
    if file.problem or file.same_as:
        return file.problem or file.same_as
    try:
        return file_digest(file.path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rules(folder: Path, rules: Sequence[config.AccessRule]) -> dict[Inode, frozenset[str]]:
    """Groups by the folder's identity on disk: spelling, case and links cannot get past a rule."""
    found: dict[Inode, frozenset[str]] = {}
    for i, rule in enumerate(rules):
        target, key = folder / rule.folder, f"documents.access[{i}]"
        hint = "a wrong rule would leave its documents open to everyone: correct or remove it"
        if not target.is_dir():
            raise ConfigError(f"{key}.folder: {rule.folder!r} is not a folder in {folder}", hint)
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{key}.folder: {rule.folder!r} leads outside {folder}", hint)
        if not rule.groups:
            raise ConfigError(f"{key}.groups: empty, for {rule.folder!r}", "name at least one group")
        if _inode(target) in found:
            raise ConfigError(f"{key}.folder: {rule.folder!r} has a rule already", "put all its groups in one rule")
        found[_inode(target)] = frozenset(rule.groups)
    return found


def _inode(path: Path) -> Inode:
    info = path.stat()
    return info.st_dev, info.st_ino


def _entries(root: Path, rules: dict[Inode, frozenset[str]]) -> Iterator[Found]:
    waiting = [(root, "", rules.get(_inode(root), frozenset()))]
    while waiting:
        folder, prefix, access = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if folder == root:
                raise InputError(f"{folder}: cannot be listed ({error.strerror})", "check its permissions") from error
            yield Found(prefix.rstrip("/"), folder, problem=f"the folder cannot be listed ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith((".", "~$")):  # ~$ are the locks of open Office files
                continue
            source, path = prefix + _printable(entry.name), Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((path, f"{source}/", rules.get(_inode(path), access)))
            else:
                yield Found(source, path, access=access)


def _printable(name: str) -> str:
    """The name as text: bytes that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _checked(root: Path, file: Found, rules: dict[Inode, frozenset[str]], max_file_mb: float) -> Found:
    """Adds what is known of the file without opening it."""
    path, access = file.path, file.access

    def failed(problem: str) -> Found:
        return Found(file.source, file.path, size=size, problem=problem)

    size = 0
    if file.problem:
        return file
    try:
        if path.is_symlink():
            path = path.resolve(strict=True)
            if not path.is_relative_to(root):
                return failed("link leads outside the documents folder")
            inner = path.relative_to(root)
            if path.is_dir() or not any(part.startswith((".", "~$")) for part in inner.parts):
                return Found(file.source, path, same_as=inner.as_posix())
            access = next((rules[i] for p in path.parents if p != root and (i := _inode(p)) in rules), access)
        info = path.stat()
    except (OSError, RuntimeError) as error:
        return failed("broken link" if file.path.is_symlink() else f"cannot be read ({error})")
    size = info.st_size
    if not stat.S_ISREG(info.st_mode):
        return failed("not a regular file")
    if file.suffix not in FORMATS:
        return failed(f"unsupported file type: {file.suffix or 'none'}")
    if size > max_file_mb * 1e6:
        return failed(f"too large: {size / 1e6:,.1f} MB, documents.max_file_mb is {max_file_mb:g}")
    modified = datetime.fromtimestamp(info.st_mtime, UTC).isoformat(timespec="seconds")
    return Found(file.source, path, size, modified, access)
