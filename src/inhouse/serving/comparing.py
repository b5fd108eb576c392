"""The comparison of a shadow release with what users saw, and how the guard metrics of a canary stand."""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.assembly.workspace import Workspace
from inhouse.errors import InputError
from inhouse.monitoring.guards import Standing
from inhouse.monitoring.shadows import ShadowReport, Shown, agree, compare
from inhouse.serving.guarding import Watched
from inhouse.serving.releases import Releases, label
from inhouse.store.shadows import Pair, Shadow, pairs


def compared(workspace: Workspace, which: str = "", examples: int = 5) -> tuple[str, ShadowReport, list[Pair]]:
    """A shadow release, its report over all requests that it answered, and pairs that do not say the same.

    `which` is a release; empty means the shadow, or the newest release.

    Raises:
        InputError: there is no such release, or it answered no requests as a shadow.
    """
    releases = Releases(workspace)
    shadow = releases.serving().shadow
    name = shadow.release if shadow and not which else label(releases.get(which))
    with workspace.ledger() as ledger:
        found = pairs(ledger, name)
    if not found:
        hint = "`inhouse release shadow 20% VERSION` starts it; a server must run and get requests"
        raise InputError(f"{name} has no shadow answers", hint)
    rows = [(_shown(pair.shown), _shown(pair.shadow)) for pair in found]
    differ = [p for p, (a, b) in zip(found, rows, strict=True) if not (a.failed or b.failed or agree(a, b))]
    return name, compare(rows), differ[:examples]


def guarded(workspace: Workspace) -> Sequence[Standing]:
    """How the guard metrics of the canary stand, from the audit log.

    Raises:
        InputError: there is no canary.
    """
    now = Releases(workspace).serving()
    if now.canary is None:
        raise InputError("there is no canary", "`inhouse release canary 10% VERSION` starts one")
    with workspace.ledger() as ledger:
        watched = Watched(workspace, ledger, now.canary, now.production)
        watched.look()
        return watched.standing()


def _shown(answer: Shadow) -> Shown:
    return Shown(
        text=answer.answer, failed=answer.reason == "error", handed_off=answer.handed_off,
        confidence=answer.confidence, latency_s=answer.latency_s, tokens=answer.completion_tokens,
    )  # fmt: skip
