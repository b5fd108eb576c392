"""Where a project stands: the facts of its store and its ledger, for the rules of monitoring/roadmap.py.

What the learning curve says takes embeddings of the training set, so it is computed by the command and kept in the
store's cache; the console shows what is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from inhouse.assembly.workspace import Workspace
from inhouse.datasets.audit import DataAudit
from inhouse.datasets.topics import topics_of
from inhouse.documents.folder import walk
from inhouse.errors import BackendError, InhouseError, InputError
from inhouse.evaluation.learning import learning
from inhouse.files import write_text
from inhouse.monitoring.experiments import examine
from inhouse.monitoring.roadmap import Facts, Grades, roadmap
from inhouse.roadmap import Learning, Live, Roadmap
from inhouse.serving.gate import gate_rules
from inhouse.serving.releases import Releases
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import Ledger
from inhouse.store.traffic import Totals, Traffic
from inhouse.types import Artifact, Estimate, Example
from inhouse.verdict import Report

KIND = "data_audit"  # of pipeline/audit_data.py
CACHE = "learning"
KEPT_S = 20.0
COUNTED = 1000  # waiting conversations


def standing(
    workspace: Workspace, ledger: Ledger | None, live: Callable[[], Live] = Live, measure: bool = False
) -> Roadmap:
    """The roadmap of a project.

    Args:
        workspace: the project.
        ledger: its database, None where nothing was ever served.
        live: figures that other parts of a gateway estimate.
        measure: computes the learning curve if it is not kept yet.
    """
    store, releases = workspace.store, Releases(workspace)
    serving = releases.serving()
    report, made = _verdict(workspace, releases)
    index, data = store.latest("index"), store.latest("dataset")
    totals = Traffic(ledger).totals() if ledger else Totals()
    figures = live()
    arm = report.recommendation.arm if report and report.recommendation else ""
    return roadmap(Facts(
        project=workspace.project.name, files=_files(workspace),
        documents=int(index.facts.get("documents", 0)) if index else None, audit=_grades(workspace),
        examples=len(workspace.examples("train", data)) if data else None, report=report,
        gate=gate_rules(report, arm, workspace.project) if report and arm not in ("", "base", "cascade") else (),
        releases=len(releases.all()), production=serving.production,
        canary=serving.canary.release if serving.canary else "", experiment=_experiment(releases, ledger),
        requests=totals.requests, ratings=totals.ratings, satisfied=_satisfied(totals), handoffs=totals.handoffs,
        waiting=len(Inbox(ledger).first("waiting", COUNTED, lambda _: True)) if ledger else 0,
        accuracy=figures.accuracy, incidents=figures.incidents,
        learning=_learning(workspace, made, report, measure) if made and report else None,
    ))  # fmt: skip


class Recent:
    """The roadmap of a running gateway, looked at again after KEPT_S seconds or when what is served changes."""

    def __init__(self, workspace: Workspace, ledger: Ledger, live: Callable[[], Live] = Live) -> None:
        self._workspace, self._ledger, self._live = workspace, ledger, live
        self._releases = Releases(workspace)
        self._kept: tuple[float, int, Roadmap] | None = None

    def get(self) -> Roadmap:
        """As it is now; two threads may both look, and none waits for the other."""
        kept, now, revision = self._kept, time.monotonic(), self._releases.serving().revision
        if kept is None or now - kept[0] > KEPT_S or kept[1] != revision:
            kept = self._kept = now, revision, standing(self._workspace, self._ledger, self._live)
        return kept[2]


def ledger_of(workspace: Workspace) -> Ledger | None:
    """The database of a project if there is one; it is not made here. The caller closes it."""
    return workspace.open_ledger() if workspace.was_served() else None


def _files(workspace: Workspace) -> int:
    settings = workspace.project.documents
    try:
        return len(walk(workspace.project.path(settings.path), settings))
    except InhouseError:  # no folder, or nothing in it
        return 0


def _verdict(workspace: Workspace, releases: Releases) -> tuple[Report | None, Artifact | None]:
    """The verdict of the release in production, else the latest; one that cannot be read counts as none."""
    store, made = workspace.store, workspace.store.latest("report")
    with suppress(InputError):
        made = store.open("report", releases.get("production").report)
    try:
        return (Report.read(Path(made.path)), made) if made else (None, None)
    except InputError:
        return None, None


def _grades(workspace: Workspace) -> Grades | None:
    made = workspace.store.latest(KIND)
    if made is None:
        return None
    try:
        audit = DataAudit.read(Path(made.path))
    except InputError:
        return None
    documents = workspace.store.latest("documents")
    return Grades(
        levels={g.name: g.level for g in audit.grades}, values={g.name: g.value for g in audit.grades},
        todo={g.name: _public(g.name, g.todo, audit) for g in audit.grades},
        titles={g.name: g.title for g in audit.grades}, fresh=documents is None or documents.key in made.parents,
    )  # fmt: skip


def _public(name: str, todo: str, audit: DataAudit) -> str:
    """What to do without questions of customers, which not everyone who sees the roadmap may read."""
    return f"{len(audit.gaps)} gaps are named by the audit." if name == "coverage" and audit.gaps else todo


def _satisfied(totals: Totals) -> Estimate | None:
    from inhouse.datasets.audit import share

    return share(totals.thumbs_up, totals.ratings)


def _experiment(releases: Releases, ledger: Ledger | None) -> str:
    live = releases.serving().experiment
    return examine(live, Traffic(ledger).outcomes(live.name)).conclusion if live and ledger else ""


# --- the learning curve -----------------------------------------------------------------------------------------


def _learning(workspace: Workspace, made: Artifact, report: Report, measure: bool) -> Learning | None:
    """As it is kept for a verdict; computed and kept now if `measure`, else None."""
    file = workspace.store.root / "cache" / CACHE / f"{made.key}.json"
    with suppress(OSError, ValidationError, ValueError):
        return Learning.model_validate(json.loads(file.read_text(encoding="utf-8")))
    if not measure:
        return None
    with workspace.progress.step("measuring what more data would help", 1) as step:
        found = _measured(workspace, made, report)
        step.advance()
    workspace.store.cache(CACHE)
    write_text(file, found.model_dump_json(), 0o600)
    return found


def _measured(workspace: Workspace, made: Artifact, report: Report) -> Learning:
    store = workspace.store
    data = next((a for depth, a in store.lineage(made) if depth == 1 and a.kind == "dataset"), None)
    others = []
    for other in store.all("report"):
        with suppress(InputError):
            others += [Report.read(Path(other.path))] if other.key != made.key else []
    asked = [Example(id=q.id, messages=q.messages, target=q.reference, tags=q.tags) for q in report.table]
    nearest = [next((p.source for p in q.passages), "") for q in report.table]
    names = topics_of(asked, workspace.embedder, workspace.project.seed, nearest) if asked else []
    topics = {e.id: name for e, name in zip(asked, names, strict=True)}
    try:
        training = workspace.examples("train", data) if data else []
        return learning(report, others, training, topics, workspace.embedder)
    except BackendError as error:
        return Learning(sentence=f"What more examples would help is not known: {error}.")
