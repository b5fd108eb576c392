"""What a certificate rests on, as it is now: digests of models, index, prompt, data, guardrails, and settings, and the
last alarm of drift that says that live traffic is no longer like what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from inhouse.assembly.workspace import Workspace
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.monitoring.alarms import standing as drift
from inhouse.store.artifacts import source_digest
from inhouse.types import Artifact, Digest, digest_of

LIVE = ("drift", "private", "upstream")
"""What can change under a release: the rest is pinned in it."""


def digests_of(workspace: Workspace, made: Mapping[str, Artifact | None]) -> dict[str, Digest]:
    """By name, what a certificate is void without; `made` has the artifacts by kind."""
    project = workspace.project

    def keys(*kinds: str) -> Digest:
        return digest_of([a.key for kind in kinds if (a := made.get(kind))])

    rails = project.guardrails.model_dump(mode="json")
    return {
        "model": digest_of([keys("weights", "adapter"), project.model.model_dump(mode="json"), workspace.engine]),
        "index": digest_of([keys("index", "fusion"), project.retrieval.model_dump(mode="json")]),
        "prompt": digest_of([project.assistant.model_dump(mode="json"), project.replies.model_dump(mode="json")]),
        "data": keys("dataset"),
        "guardrails": digest_of([rails, source_digest(CLASSIFIERS)]),
        "cascade": digest_of(project.cascade.model_dump(mode="json")),
        **live(workspace),
    }


def live(workspace: Workspace) -> dict[str, Digest]:
    """Those that a release takes from the project file as it is now, and the drift of live traffic."""
    project = workspace.project
    may_leave = [rule.model_dump(mode="json") for rule in project.documents.access if rule.remote]
    private = [t.model_dump(mode="json") for t in project.private]
    return {
        "upstream": digest_of([t.model_dump(mode="json") for t in project.upstream]),
        "private": digest_of([private, may_leave]),
        **drift(workspace.store.root),
    }


def standing(workspace: Workspace) -> dict[str, Digest]:
    """The digests of the project as it is now, with its latest artifacts."""
    store = workspace.store
    tuned = any(r.arm.startswith("tuned") for r in workspace.project.cascade.rung)
    kinds = ("weights", *(("adapter",) if tuned else ()), "index", "fusion", "dataset")
    return digests_of(workspace, {kind: store.latest(kind) for kind in kinds})
