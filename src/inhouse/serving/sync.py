"""New releases for a device, fetched from a folder or a URL: checked, then put in production, or nothing changes.

`edge.json` must be signed by the key that came with the first copy of the folder and name a release that is not older
than the one here, and every file must have the sha256 that it says. Files wait in `incoming`, by their sha256, so a
sync that was interrupted continues. A file that the release here uses is never replaced by another: artifacts are
under their keys. The switch is that of `Releases.promote`: one small file, which a running server looks at each second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import httpx

from inhouse.assembly.workspace import Workspace
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.files import file_sha256, write_text
from inhouse.serving.edge import ARTIFACTS, EDGE_FILE, STORE, TRUST_FILE, Shipment
from inhouse.serving.releases import Releases
from inhouse.store.artifacts import LEFT_OUT, MANIFEST, locked
from inhouse.store.signing import Envelope
from inhouse.store.sums import Sum
from inhouse.types import Record

MOST_LIST = 16 << 20  # bytes of edge.json
PIECE = 1 << 20
TIMEOUT_S = 30
INCOMING = "incoming"


class Source(Protocol):
    """Where releases come from."""

    place: str

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from one on.

        Raises:
            BackendError: it cannot be read now.
            InputError: it is not there.
        """
        ...

    def close(self) -> None: ...


class Folder:
    """A folder that was exported."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        file = self._folder / path
        try:
            with file.open("rb") as handle:
                handle.seek(start)
                while piece := handle.read(PIECE):
                    yield piece
        except FileNotFoundError as error:
            raise InputError(f"{file}: not there", "name a folder made by `inhouse export --for edge`") from error
        except OSError as error:
            raise BackendError(f"{file}: {error.strerror}", "try again when it can be read") from error

    def close(self) -> None:
        """Nothing is open."""


class Website:
    """The same folder behind a file server, or behind `inhouse serve` (gateway.edge_folder)."""

    def __init__(self, url: str, key: str = "") -> None:
        self.place = url.rstrip("/")
        headers = {"Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def read(self, path: str, start: int = 0) -> Iterator[bytes]:
        url = f"{self.place}/{quote(path)}"
        try:
            with self._client.stream("GET", url, headers={"Range": f"bytes={start}-"} if start else {}) as answer:
                if answer.status_code in (401, 403):
                    raise ConfigError(f"{url}: the key is not accepted", "set edge.key_env, and a key of role device")
                if answer.status_code == 404:
                    raise InputError(f"{url}: not there", f"edge.source is the address below which {EDGE_FILE} lies")
                if answer.is_error:
                    raise BackendError(f"{url}: status {answer.status_code}", "try again later")
                skip = start if answer.status_code == 200 else 0  # a server that knows no ranges sends it all
                for piece in answer.iter_bytes():
                    yield piece[skip:]
                    skip = max(0, skip - len(piece))
        except httpx.HTTPError as error:
            raise BackendError(f"{url}: {type(error).__name__}", "the next sync continues; is it online?") from error

    def close(self) -> None:
        self._client.close()


def source_of(text: str, house: str = "", key: str = "") -> Source:
    """A URL or a folder; the key goes to the house alone."""
    if not text:
        raise ConfigError("edge.source: not set", "name the folder or URL of releases, or use --from")
    if not text.startswith(("http://", "https://")):
        return Folder(Path(text).expanduser())
    same = bool(house) and urlsplit(text)[:2] == urlsplit(house)[:2]
    return Website(text, key if same else "")


class Synced(Record):
    """What a sync did: `release` is in production now; `changed` is False if it was before."""

    release: str
    changed: bool
    bytes: int = 0  # that were fetched


def sync(workspace: Workspace, source: Source, allow_older: bool = False) -> Synced:
    """Fetches the release that the source has, unless it is here, and puts it in production.

    Raises:
        ConfigError: the project is no edge folder.
        GateError: the signature or a file is wrong, or the release is older than the one here.
        InputError: the source has no release, or one of another version of inhouse.
        BackendError: the source cannot be read now, or the disk is full; what is fetched so far is kept.
    """
    root, releases = workspace.project.root, Releases(workspace)
    trusted = _trusted(workspace)
    with closing(source), locked(root / STORE / "locks" / "sync", wait=True):
        name = f"{source.place}/{EDGE_FILE}"
        data = _limited(source, name)
        shipment = Shipment.read(Envelope.read(data, name).opened(trusted, name), name)
        now, here = releases.serving().production, _here(root, trusted)
        if now and here == shipment:
            return Synced(release=now, changed=False)
        if now and not allow_older:
            _refuse_older(name, shipment, here, releases.get(now).version)
        try:
            fetched = _fetch(root, source, shipment, here.files if here else {})
            _note_left_out(root, shipment)
            releases.take(shipment.release)
            releases.promote(shipment.label)
            write_text(root / EDGE_FILE, data.decode())
        except OSError as error:
            hint = "free some space; the next sync continues"
            raise BackendError(f"{error.filename or root}: {error.strerror}", hint) from error
    return Synced(release=shipment.label, changed=True, bytes=fetched)


def adopt(workspace: Workspace) -> None:
    """Puts the release that came with the folder in production, where nothing is yet. Other projects are left alone.

    Raises:
        GateError: the signature or a file is wrong.
    """
    root = workspace.project.root
    if (root / EDGE_FILE).is_file() and not Releases(workspace).serving().production:
        sync(workspace, Folder(root))


def _refuse_older(name: str, shipment: Shipment, here: Shipment | None, version: int) -> None:
    """
    Raises:
        GateError: the release is older than the one in production, or was exported before it.
    """
    least = max((version, ""), here.age if here else (0, ""))
    if shipment.age < least:
        what = f"{name}: {shipment.label}, exported {shipment.exported_at[:19]}, is older than version {least[0]} here"
        raise GateError(what, "nothing was installed; `--allow-older` installs it if that is meant")


def _trusted(workspace: Workspace) -> str:
    """The public key that signs releases for this folder."""
    root = workspace.project.root
    if workspace.store.root != root / STORE:
        raise ConfigError(f'store.path: has to be "{STORE}" in a folder for devices', "set it in the project file")
    try:
        return (root / TRUST_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        hint = "`inhouse export --for edge` makes a folder for devices"
        raise ConfigError(f"{root / TRUST_FILE}: there is no key that signs releases", hint) from error


def _here(root: Path, trusted: str) -> Shipment | None:
    """What was installed last."""
    file = root / EDGE_FILE
    if not file.is_file():
        return None
    name = str(file)
    return Shipment.read(Envelope.read(file.read_bytes(), name).opened(trusted, name), name)


def _limited(source: Source, name: str) -> bytes:
    data = b""
    for piece in source.read(EDGE_FILE):
        data += piece
        if len(data) > MOST_LIST:
            raise InputError(f"{name}: larger than {MOST_LIST >> 20} MB", "it is not a list of files of a release")
    return data


# --- files ------------------------------------------------------------------------------------------------------


def _fetch(root: Path, source: Source, shipment: Shipment, here: Mapping[str, Sum]) -> int:
    """Brings every file into its place, manifests last; returns how many bytes were fetched.

    Raises:
        GateError: a file is not the signed one, or the release here, with the files `here`, has another in its place.
    """
    fetched = 0
    for path, expected in sorted(shipment.files.items(), key=lambda item: (_is_manifest(item[0]), item[0])):
        place = root / path
        if (found := _sum(place)) == expected:
            continue
        if found and found == here.get(path):
            hint = "copy the exported folder to a new place on this device"
            raise GateError(f"{path}: differs from the file that the release here uses", hint)
        waiting = root / STORE / INCOMING / expected.sha256
        fetched += _received(source, path, expected, waiting)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(waiting, place)
    return fetched


def _sum(file: Path) -> Sum | None:
    return Sum(sha256=file_sha256(file), bytes=file.stat().st_size) if file.is_file() else None


def _is_manifest(path: str) -> bool:
    return path.endswith(f"/{MANIFEST}")


def _received(source: Source, path: str, expected: Sum, waiting: Path) -> int:
    """Fetches the rest of a file that may be here in part; returns how many bytes that were.

    Raises:
        GateError: it is not the signed one; what was fetched of it is deleted.
    """
    waiting.parent.mkdir(parents=True, exist_ok=True)
    start = waiting.stat().st_size if waiting.is_file() else 0
    if start > expected.bytes:
        waiting.unlink()
        start = 0
    size = start
    with waiting.open("ab") as out:
        if start < expected.bytes or not expected.bytes:
            for piece in source.read(path, start):
                size += len(piece)
                if size > expected.bytes:
                    break
                out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if size < expected.bytes:
        raise BackendError(f"{source.place}/{path}: ended early", "the next sync continues")
    if size > expected.bytes or file_sha256(waiting) != expected.sha256:
        waiting.unlink()
        hint = "nothing was installed; export again, and find out who changed it"
        raise GateError(f"{source.place}/{path}: is not the file that was signed", hint)
    return size - start


def _note_left_out(root: Path, shipment: Shipment) -> None:
    """Notes which files of the artifacts were left out of the export, so that they are not missed."""
    file = root / STORE / LEFT_OUT
    left_out = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for path in filter(_is_manifest, shipment.files):
        folder = path.removesuffix(f"/{MANIFEST}")
        named = json.loads((root / path).read_text(encoding="utf-8")).get("files", {})
        gone = sorted(name for name in named if f"{folder}/{name}" not in shipment.files)
        left_out[folder.removeprefix(f"{ARTIFACTS}/")] = gone
    write_text(file, json.dumps(left_out, indent=1), 0o600)
