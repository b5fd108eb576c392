"""The files of the documents folder, and who may read each.

Symbolic links are not followed: a target inside the folder is read at its own path, and nothing outside is opened. One
exception: a link to a hidden file in the folder is read, because Kubernetes mounts volumes that way.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from inhouse.config.sections import AccessRule, Documents
from inhouse.documents.kinds import advice, kind_of
from inhouse.documents.parse import FORMATS, OLD
from inhouse.errors import ConfigError, InputError
from inhouse.files import file_sha256, matches
from inhouse.types import Trust, digest_of

_HEAD_BYTES = 8192
_OF_SYSTEM = frozenset({"desktop.ini", "thumbs.db", "icon\r"})
Inode = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A file in the folder. `problem` says why it cannot be read; `same_as` is the file that a link points to."""

    source: str
    path: Path
    size: int = 0
    modified: str = ""
    access: frozenset[str] = frozenset()
    trust: Trust = "trusted"
    problem: str = ""
    same_as: str = ""

    @property
    def suffix(self) -> str:
        return Path(self.source).suffix.lower()


def walk(folder: Path, settings: Documents) -> list[Entry]:
    """All files under `folder` except hidden ones, sorted by path.

    Raises:
        InputError: the folder is missing, cannot be listed, or has no files, or none that `only` matches.
        ConfigError: an access rule or documents.external names a folder that does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", "create it and put the documents there, or set documents.path")
    rules = _rules(folder, settings.access)
    root = folder.resolve()
    files = sorted(_entries(root, rules), key=lambda file: file.source)
    if not files:
        formats = ", ".join(suffix[1:] for suffix in FORMATS)
        raise InputError(f"{folder}: the folder has no documents", f"put files there, of these formats: {formats}")
    if settings.only and not (files := [file for file in files if matches(file.source, settings.only)]):
        hint = "patterns are relative to the documents folder, such as 'shop/**'"
        raise InputError(f"{folder}: no file matches {', '.join(map(repr, settings.only))}", hint)
    _check_external(root, settings.external)
    return [
        replace(checked, trust="external") if matches(file.source, settings.external) else checked
        for file in files
        for checked in [_checked(root, file, rules, settings.max_file_mb)]
    ]


def _check_external(root: Path, patterns: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: a pattern of `documents.external` begins with a folder that does not exist.
    """
    for pattern in patterns:
        folder = "/".join(itertools.takewhile(lambda part: not re.search(r"[*?\[]", part), pattern.split("/")[:-1]))
        if pattern.startswith("/") or not (root / folder).is_dir():
            hint = (
                "patterns are relative to documents.path, such as 'web/**'; otherwise these documents would be trusted"
            )
            raise ConfigError(f"documents.external: {pattern!r} matches no folder in {root}", hint)


class Unread(NamedTuple):
    """Files that cannot be read for the same reason, which says what to do instead; `first` is one of them."""

    why: str
    files: int
    first: str


def unread(files: Sequence[Entry]) -> list[Unread]:
    """What will not be read of the files of `walk`, as far as it shows before that; the most frequent reason first."""
    reasons: dict[str, list[str]] = {}
    for file in files:
        why = file.problem or ("" if file.same_as else _unread(file))
        if why:
            reasons.setdefault(re.sub(r"^(too large).*", r"\1: raise documents.max_file_mb", why), []).append(
                file.source
            )
    grouped = [Unread(why, len(sources), sources[0]) for why, sources in reasons.items()]
    return sorted(grouped, key=lambda group: -group.files)


def _unread(file: Entry) -> str:
    if not file.size:
        return "empty file"
    if file.suffix not in OLD:
        return ""
    try:
        with file.path.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    other = head.startswith(b"PK\x03\x04") or (kind_of(head) in FORMATS and kind_of(head) not in OLD)
    return "" if other else f"{file.suffix}: {advice(file.suffix)}"


def folder_digest(folder: Path, settings: Documents) -> str:
    """sha256 of the paths, sizes and contents of all files that `walk` finds; for unreadable files, of path and reason.

    Raises:
        InputError: as `walk` does.
    """
    return digest_of([[file.source, file.size, _content(file)] for file in walk(folder, settings)])


def _content(file: Entry) -> str:
    if file.problem or file.same_as:
        return file.problem or file.same_as
    try:
        return file_sha256(file.path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _rules(folder: Path, rules: Sequence[AccessRule]) -> dict[Inode, frozenset[str]]:
    """Groups by the folder's inode, so that no other spelling, case or link of its path avoids the rule."""
    groups: dict[Inode, frozenset[str]] = {}
    for i, rule in enumerate(rules):
        target, key = folder / rule.folder, f"documents.access[{i}]"
        hint = "with a wrong rule everyone could read these documents: correct it or remove it"
        if not target.is_dir():
            raise ConfigError(f"{key}.folder: {rule.folder!r} is not a folder in {folder}", hint)
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{key}.folder: {rule.folder!r} is outside {folder}", hint)
        if not rule.groups:
            raise ConfigError(f"{key}.groups: no groups for {rule.folder!r}", "name at least one group")
        if _inode(target) in groups:
            raise ConfigError(f"{key}.folder: {rule.folder!r} already has a rule", "put all its groups in one rule")
        groups[_inode(target)] = frozenset(rule.groups)
    return groups


def _inode(path: Path) -> Inode:
    info = path.stat()
    return info.st_dev, info.st_ino


def _entries(root: Path, rules: dict[Inode, frozenset[str]]) -> Iterator[Entry]:
    waiting = [(root, "", rules.get(_inode(root), frozenset()))]
    while waiting:
        folder, prefix, access = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if folder == root:
                raise InputError(f"{folder}: cannot be listed ({error.strerror})", "check its permissions") from error
            yield Entry(prefix.rstrip("/"), folder, problem=f"the folder cannot be listed ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith((".", "~$")) or entry.name.lower() in _OF_SYSTEM:  # ~$: lock file of Office
                continue
            source, path = prefix + _printable(entry.name), Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((path, f"{source}/", rules.get(_inode(path), access)))
            else:
                yield Entry(source, path, access=access)


def _printable(name: str) -> str:
    """The name as text, with bytes that are not UTF-8 written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _checked(root: Path, file: Entry, rules: dict[Inode, frozenset[str]], max_file_mb: float) -> Entry:
    """The file with its size and date, or why it cannot be read, without opening it."""
    path, access = file.path, file.access

    def failed(problem: str) -> Entry:
        return Entry(file.source, file.path, size=size, problem=problem)

    size = 0
    if file.problem:
        return file
    try:
        if path.is_symlink():
            path = path.resolve(strict=True)
            if not path.is_relative_to(root):
                return failed("the link points outside the documents folder")
            inner = path.relative_to(root)
            if path.is_dir() or not any(part.startswith((".", "~$")) for part in inner.parts):
                return Entry(file.source, path, same_as=inner.as_posix())
            access = next((rules[i] for p in path.parents if p != root and (i := _inode(p)) in rules), access)
        info = path.stat()
    except (OSError, RuntimeError) as error:
        return failed("broken link" if file.path.is_symlink() else f"cannot be read ({error})")
    size = info.st_size
    if not stat.S_ISREG(info.st_mode):
        return failed("not a regular file")
    if file.suffix not in FORMATS:
        return failed(f"{file.suffix or 'no extension'}: {advice(file.suffix)}")
    if size > max_file_mb * 1e6:
        return failed(f"too large: {size / 1e6:,.1f} MB, documents.max_file_mb is {max_file_mb:g}")
    modified = datetime.fromtimestamp(info.st_mtime, UTC).isoformat(timespec="seconds")
    return Entry(file.source, path, size, modified, access)
