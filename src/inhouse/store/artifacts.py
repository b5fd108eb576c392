"""The build store: each finished stage is a folder named by the hash of what it was made from.

A stage writes into `<kind>/<key>.work`. When it returns, `manifest.json` is written there last and the folder is
renamed to `<kind>/<key>`: a folder without the suffix is complete, and a killed stage leaves only its work folder,
which the next run of the same stage may continue from. Lineage is a walk over `parents`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from inhouse.errors import BackendError, InhouseError, InputError
from inhouse.files import remove_leftovers, write_text
from inhouse.store.sums import Sum, Sums
from inhouse.types import Artifact, Digest, Json, digest_of, unknown_key

MANIFEST = "manifest.json"
LEFT_OUT = "left_out.json"  # in a store that is a copy: the files of artifacts that were not copied, by KIND/KEY
LATEST = "latest"  # a folder with a file for each kind, which has the key of the latest artifact
KEY_CHARS = 16
log = logging.getLogger("inhouse.gateway")


def source_digest(*modules: Path) -> Digest:
    """sha256 of the source of a stage: the given files, and the code, tables, and weights in the given folders."""
    total = hashlib.sha256()
    for module in modules:
        inside = (f for f in module.rglob("*") if f.suffix in (".py", ".toml", ".safetensors"))
        for file in sorted(inside) if module.is_dir() else [module]:
            total.update(file.read_bytes())
    return total.hexdigest()


class Store:
    """The artifacts of one project below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
            raise BackendError(f"{root}: cannot be read (it belongs to {_owner(root)})", "run inhouse as its owner")
        if root.is_dir() and stat.S_IMODE(root.stat().st_mode) & 0o077:
            log.warning("%s: other users of this machine could read it; now only its owner can", root)
            make_private(root)

    def cache(self, name: str) -> Path:
        """A folder for data that may be deleted at any time."""
        folder = self.root / "cache" / name
        _make_folder(folder)
        return folder

    def key(self, kind: str, inputs: Mapping[str, Json], parents: Sequence[Artifact]) -> Digest:
        return digest_of({"kind": kind, "inputs": dict(inputs), "parents": [p.key for p in parents]})[:KEY_CHARS]

    def find(self, kind: str, inputs: Mapping[str, Json], parents: Sequence[Artifact]) -> Artifact | None:
        """The finished artifact made from exactly these; None if there is none."""
        return self._read(self.root / "artifacts" / kind / self.key(kind, inputs, parents))

    def make(
        self,
        kind: str,
        inputs: Mapping[str, Json],
        parents: Sequence[Artifact],
        build: Callable[[Path], dict[str, Json]],
    ) -> Artifact:
        """Returns the artifact made from `inputs` and `parents`, calling `build(folder)` only if there is none.

        Raises:
            BackendError: the disk is full or the store cannot be written.
        """
        folder = self.root / "artifacts" / kind / self.key(kind, inputs, parents)
        work = folder.with_name(folder.name + ".work")
        try:
            _make_folder(work.parent)
            with locked(self.root / "locks" / f"{kind}-{folder.name}"):
                if found := self._read(folder):
                    return found
                work.mkdir(exist_ok=True)
                remove_leftovers(work)
                started = time.perf_counter()
                facts = build(work)
                artifact = Artifact(
                    kind=kind,
                    key=folder.name,
                    parents=tuple(p.key for p in parents),
                    path=str(folder),
                    facts=facts,
                    made_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                    seconds=round(time.perf_counter() - started, 2),
                )
                files = {name: sum.model_dump() for name, sum in Sums().folder(work, (MANIFEST,)).items()}
                manifest = artifact.model_dump(mode="json") | {"inputs": dict(inputs), "files": files}
                write_text(work / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
                if folder.exists():  # without a manifest, so damaged from outside: the store renames complete folders
                    shutil.rmtree(folder)
                make_private(work)
                os.rename(work, folder)
                self.touch(artifact)
        except Exception as error:
            reason = _disk_trouble(error)
            if reason is None:
                raise
            hint = "free some space or set another store.path; the next run continues from the last finished step"
            where = getattr(error, "filename", None) or work
            raise BackendError(f"{where}: the stage '{kind}' could not be written ({reason})", hint) from error
        return artifact

    def touch(self, artifact: Artifact) -> None:
        """Makes an artifact the latest of its kind again, because a stage needs it, although others were made later.

        A file says which one it is: times of files do not survive every copy of a project.
        """
        write_text(self.root / LATEST / artifact.kind, artifact.key, 0o600)

    def latest(self, kind: str) -> Artifact | None:
        """The finished artifact of a kind that was made, or needed by a stage, last."""

        with suppress(FileNotFoundError):
            key = (self.root / LATEST / kind).read_text(encoding="utf-8")
            if re.fullmatch("[0-9a-f]+", key) and (found := self._read(self.root / "artifacts" / kind / key)):
                return found
        return max(self.all(kind), key=lambda artifact: artifact.made_at, default=None)

    def all(self, kind: str = "*") -> list[Artifact]:
        """Every finished artifact, or those of one kind, in no order."""
        folders = self.root.glob(f"artifacts/{kind}/*/{MANIFEST}")
        return [a for f in folders if not f.parent.suffix and (a := self._read(f.parent))]

    def unfinished(self) -> list[Path]:
        """The folders of stages that are under way, or were interrupted."""
        return sorted(self.root.glob("artifacts/*/*.work"))

    def get(self, key: str) -> Artifact:
        """The artifact whose key starts with `key`.

        Raises:
            InputError: there is none, or there are several.
        """
        found = [a for a in self.all() if a.key.startswith(key)]
        if len(found) != 1:
            raise InputError(f"{key}: {len(found)} artifacts start with that key", "run `inhouse show` to list all")
        return found[0]

    def open(self, kind: str, key: Digest) -> Artifact:
        """The artifact of a kind with that full key.

        Raises:
            InputError: there is none.
        """
        found = self._read(self.root / "artifacts" / kind / key)
        if found is None:
            folder = self.root / "artifacts" / kind / key
            raise InputError(f"{folder}: no such artifact", "run `inhouse build` to create what is missing")
        return found

    def inputs(self, artifact: Artifact) -> dict[str, Json]:
        """What the artifact was made from besides its parents: settings and digests of files."""
        return dict(json.loads((Path(artifact.path) / MANIFEST).read_text(encoding="utf-8"))["inputs"])

    def files(self, artifact: Artifact) -> dict[str, Sum]:
        """The sums of the artifact's files when it was made, without those that were left out of this copy of it; none
        if an earlier version made it."""
        manifest = json.loads((Path(artifact.path) / MANIFEST).read_text(encoding="utf-8"))
        left_out = self.left_out(artifact.kind, artifact.key)
        return {name: Sum(**sum) for name, sum in manifest.get("files", {}).items() if name not in left_out}

    def left_out(self, kind: str, key: Digest) -> Sequence[str]:
        """The files of an artifact that were left out where the store is a copy for another machine."""
        file = self.root / LEFT_OUT
        try:
            names: Sequence[str] = json.loads(file.read_text(encoding="utf-8")).get(f"{kind}/{key}", ())
        except FileNotFoundError:
            return ()
        except (ValueError, AttributeError) as error:
            raise BackendError(f"{file}: damaged", "run `inhouse edge sync`, which writes it again") from error
        return names

    def sums(self, full: bool = False) -> Sums:
        """Sums of files, kept between runs unless each file is to be read again."""
        return Sums(None if full else self.cache("sums") / "sums.json")

    def lineage(self, artifact: Artifact) -> Iterator[tuple[int, Artifact]]:
        """The artifact and everything it was made from, each with its depth, children before parents."""
        by_key = {a.key: a for a in self.all()}

        def walk(a: Artifact, depth: int) -> Iterator[tuple[int, Artifact]]:
            yield depth, a
            for key in a.parents:
                if key in by_key:
                    yield from walk(by_key[key], depth + 1)

        return walk(artifact, 0)

    def _read(self, folder: Path) -> Artifact | None:
        file = folder / MANIFEST
        if not file.is_file():
            return None
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            data.pop("inputs")
            data.pop("files", None)
            return Artifact(**{**data, "path": str(folder)})  # the project folder may have been moved
        except (ValueError, KeyError) as error:
            if isinstance(error, ValidationError) and (key := unknown_key(error)):
                problem = f"{file}: this version of inhouse does not know {key}"
                raise BackendError(problem, "install the version that made it") from error
            hint = f"delete the folder {folder} and run again"
            raise BackendError(f"{file}: damaged manifest ({type(error).__name__})", hint) from error


def _disk_trouble(error: Exception) -> str | None:
    """The system's message where the error is about the disk, else None.

    The index and the tensor files are written by Rust libraries, whose errors have the system's number in their text.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(found[1])) if found and not isinstance(error, InhouseError) else None


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user without a name
        return f"user {path.stat().st_uid}"


def make_private(folder: Path) -> None:
    """Lets only the owner read a folder and everything in it, whatever the umask was.

    Raises:
        BackendError: it belongs to someone else.
    """
    try:
        for path in (folder, *folder.rglob("*")):
            with suppress(FileNotFoundError):  # another process may work in it
                if not path.is_symlink():
                    path.chmod(0o700 if path.is_dir() else stat.S_IMODE(path.stat().st_mode) & 0o700)
    except OSError as error:
        hint = "run inhouse as the owner of the store"
        raise BackendError(f"{folder}: its permissions cannot be set ({error.strerror})", hint) from error


def _make_folder(folder: Path) -> None:
    try:
        for new in [p for p in (folder, *folder.parents) if not p.exists()][::-1]:
            new.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        hint = "set store.path to a writable folder"
        raise BackendError(f"{folder}: cannot be created ({error.strerror})", hint) from error


@contextmanager
def locked(file: Path, wait: bool = False) -> Iterator[None]:
    """Holds a lock file; another process that wants it waits or gets an error. The system frees it when this one dies.

    Raises:
        BackendError: another process holds it, and `wait` is False; or the store cannot be written.
    """
    _make_folder(file.parent)
    try:
        opened = file.open("w")
    except OSError as error:
        hint = "copy the project to a writable folder, or run inhouse as the owner of the store"
        raise BackendError(f"{file}: cannot be written ({error.strerror})", hint) from error
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            hint = "wait until it ends, or stop it"
            raise BackendError(f"{file}: another run is making this artifact", hint) from error
        yield
