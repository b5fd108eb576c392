"""The bytes of a release: what was measured is pinned when the release is made, and checked when it is opened.

A release pins every artifact that its verdict was made from and the models that are not artifacts: the embedders, the
tagger of personal data, and classifiers that are plugged in. An artifact's manifest has the sum of each of its files;
the release has the digest of the manifest, and the audit log has the digest of the release.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from inhouse.assembly.guard import EMBEDDER
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import GateError, InputError
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.store.artifacts import MANIFEST
from inhouse.store.sums import Files, Sums
from inhouse.types import Artifact, Digest, Record, Release, digest_of

log = logging.getLogger("inhouse.gateway")
OPENED = (
    "weights",
    "folder",
    "adapter",
    "feedback",
    "pretrained",
    "pretrained_adapter",
    "index",
    "fusion",
    "calibration",
    "commands",
    "experts",
    "cascade",
    "report",
    "retest",
)  # by the keys that a release names
READ = ("documents", "dataset")  # by guardrails and replies
OLD = "made by an earlier version; not verified"


class Checked(Record):
    """The result of checking one artifact or model.

    `problem` names the file, and is empty if there is none; `path` is empty if it does not exist.
    """

    name: str
    path: str
    files: int = 0
    problem: str = ""
    verified: bool = True


def pins(workspace: Workspace, verdict: Artifact, project: Project, sums: Sums) -> dict[str, Digest]:
    """What a release of the verdict pins.

    Raises:
        GateError: a file is no longer as it was made, so the verdict is not about it.
    """
    made: dict[str, Digest] = {}
    for artifact in {a.key: a for _, a in workspace.store.lineage(verdict)}.values():
        files = workspace.store.files(artifact)
        if files and (problem := sums.problem(Path(artifact.path), files, (MANIFEST,))):
            raise GateError(problem, "it differs from what was measured; delete its folder and build again")
        made[f"{artifact.kind}/{artifact.key}"] = _manifest(artifact, sums) if files else ""
    for name, path in models_of(workspace, project):
        made[f"model {name}"] = _digest(sums.folder(path))
    return made


def check(workspace: Workspace, release: Release, project: Project, sums: Sums, every: bool = False) -> list[Checked]:
    """Compares files with the pins of a release; those that it opens, or `every` one that is pinned."""
    named = {f"{kind}/{getattr(release, kind)}" for kind in OPENED if getattr(release, kind)}
    if release.cascade:
        named |= {name for name in release.pins if name.startswith("weights/")}  # of the other rungs
    found = []
    for name, pin in release.pins.items():
        kind, _, key = name.partition("/")
        if key and (every or name in named or kind in READ):
            found.append(_artifact(workspace, kind, key, pin, sums))
    for name in sorted(named - release.pins.keys()):
        kind, _, key = name.partition("/")
        found.append(_artifact(workspace, kind, key, "", sums))
    for name, path in models_of(workspace, project):
        pin = release.pins.get(f"model {name}", "")
        files = sums.folder(path) if pin else {}
        problem = f"{path}: differs from what was measured" if pin and _digest(files) != pin else ""
        found.append(Checked(name=name, path=str(path), files=len(files), problem=problem, verified=bool(pin)))
    return found


def refuse(name: str, checked: list[Checked]) -> None:
    """Says what is not verified; what is not there at all is for whoever opens it.

    Raises:
        GateError: a file differs from what was measured.
    """
    if wrong := [c.problem for c in checked if c.problem and c.path]:
        hint = "restore the file from a backup, or build and release again; `inhouse release verify` reads every file"
        raise GateError(f"release {name} is not what was measured: {wrong[0]}", hint)
    if old := [c.name for c in checked if not c.verified and c.path]:
        log.warning("release %s: %s: %s", name, ", ".join(old), OLD)


def _artifact(workspace: Workspace, kind: str, key: Digest, pin: Digest, sums: Sums) -> Checked:
    name = f"{kind} {key}"
    try:
        artifact = workspace.store.open(kind, key)
    except InputError as error:
        return Checked(name=name, path="", problem=str(error), verified=False)
    files = workspace.store.files(artifact)
    if pin and _manifest(artifact, sums) != pin:
        problem = f"{Path(artifact.path) / MANIFEST}: was changed"
    else:
        problem = sums.problem(Path(artifact.path), files, (MANIFEST,)) if files else ""
    return Checked(name=name, path=artifact.path, files=len(files), problem=problem, verified=bool(pin))


def models_of(workspace: Workspace, project: Project) -> Iterator[tuple[str, Path]]:
    """The models that are not artifacts, by name."""
    names = {project.retrieval.embedder, EMBEDDER}
    if "pii" in project.guardrails.rails:
        names.add(SPACY_MODEL)
    for name in sorted(names):
        yield name, workspace.catalog.find(name, workspace.project.root)
    for setting in ("toxicity_model", "injection_model", "groundedness_model"):
        if folder := getattr(project.guardrails, setting):
            yield setting, workspace.project.path(folder)


def _manifest(artifact: Artifact, sums: Sums) -> Digest:
    """Of the manifest as a whole: what it says of an artifact besides its files is read too."""
    return sums.of(Path(artifact.path) / MANIFEST).sha256


def _digest(files: Files) -> Digest:
    return digest_of({name: [sum.sha256, sum.bytes] for name, sum in files.items()})
