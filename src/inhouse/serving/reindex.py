"""Changed documents in the release in production: a release of the same arm over a new index, as it was tested again.

Everything else stays: weights, fusion, calibration, and the settings that the verdict was measured with. So running
servers switch to it without loading a model, and the next answer is from the new documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from inhouse.assembly.approved import approved_replies
from inhouse.assembly.workspace import Workspace
from inhouse.documents.folder import folder_digest
from inhouse.errors import GateError
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.monitoring.retests import Retest
from inhouse.serving.open import settings_of
from inhouse.serving.pins import pins
from inhouse.serving.releases import Releases
from inhouse.store.artifacts import source_digest
from inhouse.types import Artifact, Document, GateRule, Json, Release

Makes = Callable[[Workspace], Artifact]


class Compares(Protocol):
    """Asks two releases the same questions, as `retested` does."""

    def __call__(
        self, workspace: Workspace, before: Release, after: Release, changed: Sequence[str] = (), whole: bool = False
    ) -> Artifact: ...


@dataclass(frozen=True)
class Fresh:
    """A new index, its test, and what a person or nobody has to do: `rules` say whether it got worse."""

    index: Artifact
    test: Artifact
    retest: Retest
    rules: list[GateRule]

    @property
    def passed(self) -> bool:
        return all(rule.passed for rule in self.rules)


def content_now(workspace: Workspace, files: str = "") -> dict[str, Json]:
    """What an index of now would be made from, in the words of the stage `ingest`: files, rules, and replies.

    Args:
        workspace: has the folder.
        files: the digest of the files where it is known, so that they need not be read.

    Raises:
        InputError: the folder is missing or empty.
    """
    settings = workspace.project.documents
    files = files or folder_digest(workspace.project.path(settings.path), settings)
    content: dict[str, Json] = {"documents": settings.model_dump(mode="json"), "content": files}
    if replies := _replies(workspace):
        content["replies"] = replies
    return content


def _replies(workspace: Workspace) -> list[Json]:
    return [h.digest for h in approved_replies(workspace)]


def content_of(workspace: Workspace, release: Release) -> dict[str, Json]:
    """The same for the documents that a release answers from."""
    return content_in(workspace, _documents(workspace, release))


def content_in(workspace: Workspace, documents: Artifact) -> dict[str, Json]:
    """The same for documents that were read."""
    inputs = workspace.store.inputs(documents)
    return {name: inputs[name] for name in ("documents", "content", "replies") if name in inputs}


def changes(workspace: Workspace, release: Release, index: Artifact) -> list[str]:
    """The sources of the documents that were added, changed, or removed since the index of a release, sorted."""
    old, new = (
        {d.source: _digest(d) for d in workspace.documents(made)}
        for made in (_documents(workspace, release), _parent(workspace, index))
    )
    return sorted(s for s in old.keys() | new.keys() if old.get(s) != new.get(s))


def _digest(document: Document) -> str:
    """Of what answers depend on: a file that was only touched has another time."""
    return document.model_copy(update={"meta": {}}).digest


def _documents(workspace: Workspace, release: Release) -> Artifact:
    return _parent(workspace, workspace.store.open("index", release.index))


def _parent(workspace: Workspace, index: Artifact) -> Artifact:
    return workspace.store.open("documents", index.parents[0])


def refresh(
    workspace: Workspace, release: Release, make_index: Makes, compare: Compares, stage: Callable[[str], None]
) -> Fresh:
    """The documents as they are now in a new index, tested beside the release; `stage` is told what happens.

    Raises:
        InputError: the documents cannot be read.
        BackendError: a child process crashed, or another run makes the same.
    """
    settings = workspace.project.model_copy(update={"retrieval": settings_of(workspace, release).retrieval})
    own = Workspace(settings.at(workspace.project.root), workspace.catalog, workspace.progress, workspace.announce)
    stage("indexing")
    index = make_index(own)
    changed = changes(workspace, release, index)
    stage("testing")
    sums = workspace.store.sums()
    new = pins(workspace, index, settings_of(workspace, release), sums)
    sums.keep()
    candidate = release.model_copy(
        update={"index": index.key, "version": 0, "retest": "", "pins": {**release.pins, **new}}
    )
    test = compare(workspace, release, candidate, changed)
    retest = Retest.read(Path(test.path))
    rules = [*retest.rules(workspace.project.watch.tolerance), *_certificate(release)]
    return Fresh(index, test, retest, rules)


def _certificate(release: Release) -> list[GateRule]:
    """A cascade is certified for its index alone."""
    if not release.cascade:
        return []
    return [GateRule(name="certificate", passed=False, text="the cascade is certified for another index")]


def release_over(releases: Releases, before: Release, fresh: Fresh, accepted: str = "") -> Release:
    """The release with the new index; `accepted` says who takes it although the test shows that it is worse.

    Raises:
        GateError: it is worse, and nobody accepts that.
    """
    rules = fresh.rules
    if not fresh.passed and not accepted:
        why = "; ".join(rule.text for rule in rules if not rule.passed)
        raise GateError(f"the new index is not released: {why}", "`inhouse watch accept` releases it all the same")
    if accepted:
        rules = [rule if rule.passed else rule.model_copy(update={"text": f"{rule.text}; accepted by {accepted}"})
                 for rule in rules]  # fmt: skip
    kept = [rule.model_dump() for rule in before.gate if rule.name not in {r.name for r in rules}]
    content = before.model_dump(mode="json", exclude={"version", "made_at"})
    content |= {
        "index": fresh.index.key, "retest": fresh.test.key, "gate": [*kept, *(rule.model_dump() for rule in rules)],
        "pins": releases.pins(fresh.test, before.settings), "classifiers": source_digest(CLASSIFIERS),
    }  # fmt: skip
    return releases.number(content, {"arm": before.arm, "retest": fresh.test.key})


def look(root: Path) -> str:
    """Names, sizes, and times of all files below a folder, as one text: cheap, and different when a file is written."""
    found = []
    for path in sorted(root.rglob("*")):
        try:
            info = path.stat()
        except OSError:
            continue
        if path.is_file():
            found.append([str(path.relative_to(root)), info.st_size, info.st_mtime_ns, info.st_ino])
    return json.dumps(found)


def named(rows: Sequence[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(rows[:most]) + more
