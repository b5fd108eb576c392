"""The rails of what is served, in processes of their own: what they are made from, as JSON, and the host that makes
them (see `guardrails.host`)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from inhouse.assembly.guard import BUILT_IN, Parts, guards_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest
from inhouse.config.sections import Project
from inhouse.guardrails import host
from inhouse.guardrails.pool import Pool, Pooled
from inhouse.guardrails.rail import Guard, Turn
from inhouse.guardrails.runner import Runner
from inhouse.models.catalog import Catalog
from inhouse.types import Artifact, Json, Message, Passage, Progress, canonical_json

WARMED = frozenset(BUILT_IN) - {"nemo"}  # others may do more than look at a text
_QUESTION, _ANSWER = "Hello, what does a transfer cost?", "A transfer costs $5. It takes two days."


def pool(most: int) -> Pool:
    """Processes for rails; `most` check at the same time."""
    return Pool(__name__, most)


class Isolated:
    """The rails of one release in a pool, until they are closed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._open: list[Pooled] = []

    def __call__(self, parts: Parts) -> Runner:
        """Runs the rails that are made from these parts."""
        runner = self._pool.open(described(parts))
        self._open.append(runner)
        return runner

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


def described(parts: Parts) -> Json:
    """What another process makes the same rails from."""
    workspace, verdict = parts.workspace, parts.verdict() if parts.verdict else None
    return {
        "root": str(workspace.project.root), "cache": str(workspace.catalog.folder.parent),
        "project": parts.project.model_dump(mode="json"),
        "fitted": parts.fitted.model_dump(mode="json") if parts.fitted else None,
        "arm": parts.arm if parts.calibration() else "",
        "verdict": verdict.model_dump(mode="json") if verdict else None,
        "index": parts.index.model_dump(mode="json") if parts.index else None,
    }  # fmt: skip


def work(job: Json, progress: Progress) -> dict[str, Json]:
    """The host of a pool."""
    host.serve(socket.socket(fileno=job["control"]), built)
    return {}


def built(made_from: Json) -> Sequence[Guard]:
    """The rails that were described, after one check each, so that forks need not load anything."""
    fitted, verdict, index = (
        Artifact(**a) if (a := made_from[name]) else None for name in ("fitted", "verdict", "index")
    )
    workspace = _workspace(made_from["root"], made_from["cache"], canonical_json(made_from["project"]))
    given = (lambda: verdict) if verdict else None
    guards = guards_of(Parts(workspace, workspace.project, fitted, made_from["arm"], given, index))
    load(guards)
    return guards


def load(guards: Sequence[Guard]) -> None:
    """Has each rail check a text once, so that it loads what it needs."""
    turn = Turn(
        ChatRequest(messages=(Message(role="user", content=_QUESTION),)),
        (Passage(source="", title="", heading="", text=_ANSWER),),
    )
    for side, text in (("input", _QUESTION), ("passages", _ANSWER), ("output", _ANSWER), ("answer", _ANSWER)):
        for guard in guards:
            if side in guard.actions and guard.rail.name in WARMED:
                guard.rail.check(side, text, turn)


@lru_cache(maxsize=8)
def _workspace(root: str, cache: str, project: str) -> Workspace:
    """Sets of the same project share its models."""
    return Workspace(Project.model_validate_json(project).at(Path(root)), Catalog(Path(cache)))
