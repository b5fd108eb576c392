"""A release in a folder that runs on another machine: `inhouse export --for edge`.

The folder is a small project. Its store has copies of the artifacts that the release opens, under their keys and with
their manifests, so that the pins of the release hold there as here; but no file with conversations or training data:
of the data set and the verdict only the manifests are copied. `edge.json` names the release and every file, is signed,
and is written last. So the folder is also what devices fetch new releases from (`sync`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from inhouse.assembly.arms import endpoint_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.load import FILE as PROJECT_FILE
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.files import file_sha256, replacing, write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.serving.open import settings_of, verified
from inhouse.serving.pins import models_of
from inhouse.serving.releases import label
from inhouse.store.artifacts import MANIFEST
from inhouse.store.signing import Envelope, public_of, sign, signing_key
from inhouse.store.sums import Sum
from inhouse.types import Artifact, Digest, Json, Record, Release, unknown_key

EDGE_FILE = "edge.json"
TRUST_FILE = "trusted.key"  # the public key that signs releases, in base64
STORE, MODELS = "store", "models"
ARTIFACTS = f"{STORE}/artifacts"
WHOLE = ("index", "fusion", "calibration")  # kinds of artifacts that are copied whole
PART = {
    "documents": ("documents.jsonl",),
    "dataset": (),
    "report": (),
    "retest": (),
}  # those of which only these files are
RAILS = frozenset(["pii", "links", "injection", "toxicity", "format", "relevance", "groundedness", "confidence"])
OWN_MODELS = ("toxicity_model", "injection_model", "groundedness_model")


class Shipment(Record):
    """What `edge.json` signs: a release, and every file that it needs, by path relative to the folder."""

    format: int = 1
    project: str
    exported_at: str  # ISO 8601, UTC
    release: dict[str, Json]
    files: dict[str, Sum]

    @property
    def age(self) -> tuple[int, str]:
        """Grows from one export to the next."""
        return int(self.release["version"]), self.exported_at

    @property
    def label(self) -> str:
        return f"{self.release['name']}/{self.release['version']}"

    @property
    def bytes(self) -> int:
        return sum(s.bytes for s in self.files.values())

    @classmethod
    def read(cls, text: str, name: str) -> Shipment:
        """
        Raises:
            InputError: it is not one, a newer version of inhouse made it, or a path leads out of the folder.
        """
        try:
            found = cls.model_validate_json(text)
            found = found.model_copy(update={"release": Release(**found.release).model_dump(mode="json")})
        except (ValidationError, TypeError) as error:
            key = unknown_key(error) if isinstance(error, ValidationError) else ""
            problem = f"this version of inhouse does not know {key}" if key else "not a list of files of a release"
            raise InputError(f"{name}: {problem}", "install the version of inhouse that exported it") from error
        for path in found.files:
            parts = PurePosixPath(path).parts
            inside = path.startswith((f"{ARTIFACTS}/", f"{MODELS}/")) and ".." not in parts
            if not inside or str(PurePosixPath(path)) != path or "\\" in path:
                raise InputError(f"{name}: {path!r} is not a file of a release", "export the release again")
        return found


def export_edge(workspace: Workspace, release: Release, folder: Path) -> Shipment:
    """Writes the folder, or brings an earlier one of the same project up to date; `edge.json` changes last.

    Raises:
        ConfigError: the folder has something else in it, or the release needs what an edge folder cannot have.
        InputError: an artifact of the release is gone.
        GateError: a file differs from what was measured.
        BackendError: the disk is full, or the folder cannot be written.
    """
    project = settings_of(workspace, release)
    _refuse(workspace, release, project)
    key = signing_key(workspace.store.root)
    again = _earlier(folder, public_of(key))
    work = folder if again else folder.resolve().with_name(f".{folder.resolve().name}.partial")
    try:
        if not again:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
        with verified(workspace, release):
            files = {to: _copied(source, work / to) for to, source in _sources(workspace, release, project)}
        shipment = Shipment(
            project=workspace.project.name, exported_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            release=release.model_dump(mode="json"), files=files,
        )  # fmt: skip
        for name, text in _beside(workspace, shipment, public_of(key)).items():
            if name == "README.md" or not (work / name).exists():
                write_text(work / name, text)
        write_text(work / EDGE_FILE, sign(key, shipment.model_dump_json()).model_dump_json(indent=1))
        if again:
            _remove_others(work, shipment)
        else:
            _put(work, folder)
    except OSError as error:
        hint = "free some space, or name another folder"
        raise BackendError(f"{error.filename or folder}: {error.strerror}", hint) from error
    finally:
        if not again:
            shutil.rmtree(work, ignore_errors=True)
    return shipment


def _put(work: Path, folder: Path) -> None:
    if folder.exists():
        folder.rmdir()  # empty
    os.rename(work, folder)


def _earlier(folder: Path, public: str) -> bool:
    """Whether the folder has an earlier export of this project.

    Raises:
        ConfigError: it has something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    with suppress(OSError, InputError):
        if Envelope.read((folder / EDGE_FILE).read_bytes(), EDGE_FILE).key == public:
            return True
    raise ConfigError(f"{folder}: not empty, and no export of this project", "name a new folder")


def _refuse(workspace: Workspace, release: Release, project: Project) -> None:
    """Refuses what a folder without training data, tools, and a GPU cannot serve as it was measured."""
    rails, name = project.guardrails, label(release)
    if release.cascade:
        raise ConfigError(f"{name} is a cascade, whose other rungs are not on a device", "export a release of one arm")
    if release.experts:
        raise ConfigError(f"{name} has experts, some perhaps not for everybody", "export a release of one model")
    if release.team:
        raise ConfigError(f"{name} has agents, whose tools are not on a device", "export a project without agents")
    if release.adapter and endpoint_of(workspace.store.open("adapter", release.adapter)):
        raise ConfigError(f"{name} answers at the endpoint that trained it", "train where the weights come back")
    if release.folder:
        raise ConfigError(f"{name} was measured with vLLM", 'build it with model.engine = "embedded"')
    if others := sorted(set(rails.rails) - RAILS):
        why = "reads the training data" if others == ["topic"] else "may need more than the folder has"
        raise ConfigError(f"{name}: the guardrail {others[0]} {why}", "build and release without it for devices")
    if own := [key for key in OWN_MODELS if getattr(rails, key)]:
        raise ConfigError(f"{name}: guardrails.{own[0]} is not exported", "build and release with the shipped one")
    embedder = project.retrieval.embedder
    if workspace.catalog.find(embedder, workspace.project.root).name != embedder.replace("/", "--"):
        hint = "give its name from `inhouse models list`, and build again"
        raise ConfigError(f"{name}: retrieval.embedder is the folder {embedder}", hint)


# --- what is copied ---------------------------------------------------------------------------------------------


def _sources(workspace: Workspace, release: Release, project: Project) -> Iterator[tuple[str, Path]]:
    """The path of each file in the folder, with the file that it is a copy of."""
    for artifact, names in _artifacts(workspace, release):
        folder = Path(artifact.path)
        for name in (*names, MANIFEST):
            yield f"{ARTIFACTS}/{artifact.kind}/{artifact.key}/{name}", folder / name
    sums = workspace.store.sums()
    for name, path in models_of(workspace, project):
        for file in sums.folder(path):
            yield f"{MODELS}/{name.replace('/', '--')}/{file}", path / file


def _artifacts(workspace: Workspace, release: Release) -> Iterator[tuple[Artifact, list[str]]]:
    """The artifacts that the release opens, and what its guardrails read, with the files that are copied."""
    store = workspace.store
    kind, key = ("retest", release.retest) if release.retest else ("report", release.report)
    lineage: dict[str, Artifact] = {}
    for _, a in store.lineage(store.open(kind, key)):
        lineage.setdefault(a.kind, a)  # documents of a retest are before those of the verdict
    trained = next((k for k in ("feedback", "adapter", "pretrained_adapter", "pretrained") if getattr(release, k)), "")
    served = {trained: (WEIGHTS,), "weights": ()} if trained else {"weights": (WEIGHTS,)}
    parts = {**PART, **served}
    keys: dict[str, Digest] = {kind: getattr(release, kind) for kind in served | dict.fromkeys(WHOLE)}
    keys |= {kind: lineage[kind].key for kind in PART if kind in lineage}
    for kind, key in keys.items():
        if key:
            artifact = store.open(kind, key)
            yield artifact, [name for name in store.files(artifact) if kind in WHOLE or name in parts[kind]]


def _copied(source: Path, to: Path) -> Sum:
    """Copies a file, unless it is there; returns its sum."""
    sha256, size = file_sha256(source), source.stat().st_size
    if not (to.is_file() and to.stat().st_size == size and file_sha256(to) == sha256):
        with replacing(to) as partial:
            shutil.copyfile(source, partial)
            if file_sha256(partial) != sha256:
                raise BackendError(f"{source}: was written while it was copied", "try again when nothing writes to it")
    return Sum(sha256=sha256, bytes=size)


def _remove_others(folder: Path, shipment: Shipment) -> None:
    """Removes files of earlier releases. A device that is fetching them begins again with the new list."""
    for top in (folder / ARTIFACTS, folder / MODELS):
        for file in sorted(top.rglob("*"), reverse=True):
            if file.is_dir():
                with suppress(OSError):
                    file.rmdir()
            elif str(file.relative_to(folder)) not in shipment.files:
                file.unlink()


# --- what is beside it ------------------------------------------------------------------------------------------

SETTINGS = """# Made by `inhouse export --for edge`. Answers come as the release was measured; this sets the server.
name = {name}

[store]
path = "{store}"
models = "."

[model]
parallel = 1               # conversations at the same time; each needs memory for its context

[gateway]
rail_processes = false     # guardrails in the server itself: less memory
low_memory = true          # 30 MB less
mcp = false                # nothing at /mcp: 13 MB less

[edge]
source = ""                # folder or URL of releases, for `inhouse edge sync`
house = ""                 # URL of the server that gets hand-offs, feedback, and the audit log
key_env = "INHOUSE_EDGE_KEY"
"""
README = """# {label} for devices

Exported from {project} on {at}: model, documents, guardrails, and settings as they were measured; no training data and
no conversations. It runs without a network:

```sh
pip install inhouse                       # the version that exported it: {version}
inhouse ask --project . "Your question"
inhouse serve --project .
inhouse edge measure --project .          # memory and time of answers on this machine
inhouse edge sync --project .             # new releases, and hand-offs back; see [edge] in {file}
```

`{trust}` is the key that signs releases: bring the first copy of this folder by a way that you trust.
The folder holds all indexed documents, also those of access groups; the server shows them only to keys of their groups.
"""


def _beside(workspace: Workspace, shipment: Shipment, public: str) -> dict[str, str]:
    from inhouse import __version__

    name = json.dumps(workspace.project.name, ensure_ascii=False)
    readme = README.format(label=shipment.label, project=shipment.project, at=shipment.exported_at[:10],
                           version=__version__, file=PROJECT_FILE, trust=TRUST_FILE)  # fmt: skip
    settings = SETTINGS.format(name=name, store=STORE)
    return {PROJECT_FILE: settings, TRUST_FILE: public + "\n", "README.md": readme}
