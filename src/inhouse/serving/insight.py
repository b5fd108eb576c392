"""What the console shows of a project: documents, data, verdict, releases and the live experiment.

The release in production determines which index and verdict are shown; without one it is the latest. What was read
from an artifact stays in memory until another artifact takes its place.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from inhouse.agents.draw import svg
from inhouse.assembly.standing import LIVE
from inhouse.assembly.team import DOCUMENTS, Team, allowed, described_team
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import CascadeReport
from inhouse.datasets.review import FILE, Reviews
from inhouse.documents.parsed import Unreadable
from inhouse.documents.worker import Worker
from inhouse.errors import InhouseError, InputError
from inhouse.evaluation.plots import cost_quality
from inhouse.gateway.console import seams
from inhouse.monitoring.experiments import METRICS, ArmOutcomes, Comparison, examine
from inhouse.retrieval.search import Index
from inhouse.roadmap import Live, Roadmap, Todo
from inhouse.serving.cost_report import costs_file, costs_of
from inhouse.serving.costs import Seen, seen
from inhouse.serving.drift import latest
from inhouse.serving.drift_page import shown_drift
from inhouse.serving.open import settings_of
from inhouse.serving.quality import LiveQuality
from inhouse.serving.releases import Releases, label
from inhouse.serving.roadmap import Recent
from inhouse.serving.watched import Memory, in_words
from inhouse.store.audit import Audit
from inhouse.store.incidents import incidents
from inhouse.store.tables import now_ms, to_iso
from inhouse.store.traffic import Traffic
from inhouse.tools import Tool
from inhouse.types import Artifact, Box, Chunk, Estimate, Example, Release, Review, may_read
from inhouse.verdict import PAGE, Report

T = TypeVar("T")
SEEN_S = 60.0  # a page of costs may be this old
INCIDENT_DAYS = 30  # of those that the home page counts
WAITS_ON = {"labels": "inbox", "drift": "drift", "release": "incidents"}  # pages that show what waits, by kind
LIVE_DAYS = 30  # of traffic of a cascade that are looked at, or the last answers
PICTURE_S = 10.0  # of processor time for the picture of a page
TITLES = {"resolved": "Resolved", "thumb": "Thumbs up", "escalated": "Handed to a person",
          "latency": "Time to answer", "cost": "Cost"}  # fmt: skip


class WorkspaceInsight:
    """The Insight into a workspace. `digests` are those that a cascade's certificate must have to hold now; None where
    that cannot be said."""

    def __init__(
        self, workspace: Workspace, traffic: Traffic, digests: Callable[[], Mapping[str, str]] | None = None,
        quality: LiveQuality | None = None,
    ) -> None:  # fmt: skip
        self._workspace = workspace
        self._traffic = traffic
        self._digests = digests
        self._quality = quality
        self._releases = Releases(workspace)
        self._reviews = Reviews(workspace.store.root / FILE)
        self._kept: dict[str, tuple[str, Any]] = {}
        self._roadmap = Recent(workspace, traffic.ledger, self.estimates)
        self._reading, self._counting = threading.Lock(), threading.Lock()
        self._seen: tuple[float, Seen] | None = None

    # --- knowledge ----------------------------------------------------------------------------------------------

    def documents(self, groups: frozenset[str]) -> Sequence[seams.DocumentLine]:
        return [d for d in self._outline() if may_read(d.access, groups)]

    def chunks(self, source: str, groups: frozenset[str]) -> Sequence[Chunk]:
        index = self._index()
        chunks = index.chunks_of(source) if index else []
        return [c for c in chunks if may_read(c.access, groups)]

    def page(self, source: str, page: int, box: Box, groups: frozenset[str]) -> bytes | None:
        """In a separate process: a file that crashes its reader must not end the gateway."""
        ruled = self._access(source)
        if not self.chunks(source, groups) or (ruled and not ruled & groups):
            return None
        root = self._workspace.project.path(self._workspace.project.documents.path).resolve()
        file = (root / source).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return None
        worker = Worker(timeout_s=PICTURE_S)
        try:
            return worker.picture(file, page, box)
        except Unreadable:
            return None
        finally:
            worker.close()

    def search(self, query: str, k: int, groups: frozenset[str]) -> Sequence[seams.Match]:
        index = self._index()
        hits = index.search(query, k, groups) if index else []
        return [seams.Match(chunk=h.chunk, score=h.score, dense=h.dense, text=h.text) for h in hits]

    def failures(self, groups: frozenset[str]) -> Sequence[seams.Failure]:
        """Files that could not be read; in a folder with a rule, only for the groups that it names."""
        read = self._workspace.store.latest("documents")
        failed = [seams.Failure(path=f["path"], reason=f["reason"]) for f in (read.facts["failures"] if read else ())]
        return [f for f in failed if not (access := self._access(f.path)) or access & groups]

    def _access(self, path: str) -> frozenset[str]:
        """Groups by the deepest rule over the path. Case is ignored, as some file systems ignore it."""
        rules = {}
        for rule in self._workspace.project.documents.access:
            folder = "/".join(p for p in rule.folder.casefold().replace("\\", "/").split("/") if p not in ("", "."))
            rules[f"{folder}/" if folder else ""] = frozenset(rule.groups)
        matching = [folder for folder in rules if path.casefold().startswith(folder)]
        return rules[max(matching, key=len)] if matching else frozenset()

    def _outline(self) -> list[seams.DocumentLine]:
        index = self._index()
        if index is None:
            return []

        def read() -> list[seams.DocumentLine]:
            external = index.external()
            return [
                seams.DocumentLine(
                    source=s, title=t, access=a, chunks=n, trust="external" if s in external else "trusted"
                )
                for s, (t, a, n) in sorted(index.outline().items())
            ]

        return self._once("outline", str(id(index)), read)

    def _index(self) -> Index | None:
        """The index that answers are based on, opened; None before there is one."""
        workspace, release = self._workspace, self._production()
        if release and release.index:
            at, project = workspace.store.open("index", release.index), settings_of(workspace, release)
            fusion = workspace.store.open("fusion", release.fusion) if release.fusion else None
        else:
            latest, project = workspace.store.latest("index"), workspace.project
            if latest is None:
                return None
            at, fusion = latest, workspace.fusion_of(latest)
        key = f"{at.key} {fusion.key if fusion else ''}"
        return self._once("index", key, lambda: workspace.index(at, fusion, project))

    # --- verdict ------------------------------------------------------------------------------------------------

    def report(self) -> Report | None:
        made = self._verdict()
        return self._once("report", made.key, lambda: Report.read(Path(made.path))) if made else None

    def report_page(self) -> str | None:
        made = self._verdict()
        return (Path(made.path) / PAGE).read_text(encoding="utf-8") if made else None

    def _verdict(self) -> Artifact | None:
        release = self._production()
        store = self._workspace.store
        return store.open("report", release.report) if release else store.latest("report")

    def cascade(self) -> seams.Cascade | None:
        release, store = self._production(), self._workspace.store
        served = store.open("cascade", release.cascade) if release and release.cascade else None
        made = served or store.latest("cascade")
        if made is None:
            return None
        report = self._once("cascade", made.key, lambda: CascadeReport.read(Path(made.path)))
        answers, live = (
            self._traffic.rungs(label(release), to_iso(now_ms() - LIVE_DAYS * 86_400_000))
            if release and served
            else (0, [])
        )
        order = [rung.name for rung in report.rungs]
        return seams.Cascade(
            report=report, picture=str(cost_quality(report)), made_at=made.made_at,
            void=report.void(self._digests(), LIVE if served else ()) if self._digests else None, answers=answers,
            live=tuple(sorted(live, key=lambda r: order.index(r.name) if r.name in order else len(order))),
        )  # fmt: skip

    def drift(self) -> seams.Drift | None:
        kept = latest(self._workspace)
        return shown_drift(kept.report) if kept else None

    # --- data ---------------------------------------------------------------------------------------------------

    def rows(self, part: seams.Part) -> Sequence[seams.Row]:
        made = self._workspace.store.latest("dataset")
        if made is None:
            return []
        return self._once(part, made.key, partial(_rows, self._workspace, made, part))

    def reviews(self) -> Mapping[str, Review]:
        return self._reviews.all()

    def review(self, review: Review) -> None:
        self._reviews.add(review)

    # --- agents -------------------------------------------------------------------------------------------------

    def team(self) -> seams.Team | None:
        """Drawn once for each artifact."""
        release, store = self._production(), self._workspace.store
        if release and not release.team:
            return None
        made = store.open("team", release.team) if release else store.latest("team")
        return self._once("team", made.key, lambda: shown_team(described_team(made))) if made else None

    def quality(self) -> seams.Quality | None:
        now, production = self._quality.now() if self._quality else None, self._production()
        return now.model_copy(update={"production": label(production)}) if now and production else now

    # --- costs --------------------------------------------------------------------------------------------------

    def costs(self, typed: Mapping[str, str]) -> seams.Costs:
        return costs_of(self._workspace, typed, self._traffic_seen())

    def costs_file(self, typed: Mapping[str, str], kind: Literal["html", "xlsx"]) -> bytes:
        return costs_file(self._workspace, typed, kind, self._traffic_seen())

    def _traffic_seen(self) -> Seen:
        """The traffic of the last days, read again after SEEN_S; other pages do not wait for it."""
        with self._counting:
            if self._seen is None or time.monotonic() - self._seen[0] > SEEN_S:
                self._seen = time.monotonic(), seen(self._workspace)
            return self._seen[1]

    # --- what is served -----------------------------------------------------------------------------------------

    def overview(self) -> seams.Overview:
        now = self._releases.serving()
        return seams.Overview(
            production=now.production,
            canary=now.canary.release if now.canary else "",
            canary_percent=now.canary.percent if now.canary else 0.0,
            history=tuple(
                seams.HistoryLine(at=c.at, text=c.text, production=c.production, canary=c.canary) for c in now.history
            ),
            releases=tuple(self._releases.all()[::-1]),
        )

    def roadmap(self) -> Roadmap:
        return self._roadmap.get()

    def estimates(self) -> Live:
        """Of the release in production by its latest week, and the canaries that were rolled back lately."""
        now = self._quality.now() if self._quality else None
        production = self._production()
        lines = [row for row in (now.lines if now else ()) if production and row.release == label(production)]
        known = lines and lines[0].mean is not None
        accuracy = (
            Estimate(mean=lines[0].mean, low=lines[0].low, high=lines[0].high, n=lines[0].answers) if known else None
        )
        since = to_iso(now_ms() - INCIDENT_DAYS * 86_400_000)
        lately = [one for one in incidents(Audit(self._traffic.ledger)) if one.at >= since]
        return Live(accuracy=accuracy, incidents=len(lately), **self._watch())

    def _watch(self) -> dict[str, Any]:
        """What the watch does, and what of it waits for a person."""
        try:
            state = Memory(self._workspace.store.root).read()
        except InhouseError as error:
            return {"watch": f"{error}: {error.hint}"}
        waits = tuple(Todo(text=w.text, command=w.command, page=WAITS_ON.get(w.kind, "")) for w in state.waiting)
        return {"watch": in_words(state), "waits": waits}

    def live(self) -> seams.Experiment | None:
        live = self._releases.serving().experiment
        if live is None:
            return None
        results = examine(live, self._traffic.outcomes(live.name))
        arms = [_figures(arm, weight, results.arms[arm]) for arm, weight in live.arms.items()]
        differences = [
            _difference(arm, name, row) for arm, rows in results.comparisons.items() for name, row in rows.items()
        ]
        return seams.Experiment(
            name=live.name, since=live.since, arms=tuple(arms), differences=tuple(d for d in differences if d),
            conclusion=results.conclusion,
        )  # fmt: skip

    def candidates(self) -> Sequence[str]:
        return ["base", *(label(r) for r in self._releases.all()[::-1])]

    def start(self, name: str, arms: Mapping[str, float]) -> None:
        self._releases.start(name, arms)

    def stop(self) -> None:
        self._releases.stop()

    def weigh(self, weights: Mapping[str, float]) -> None:
        self._releases.weights(weights)

    # --- read once ----------------------------------------------------------------------------------------------

    def _production(self) -> Release | None:
        try:
            return self._releases.get("production")
        except InputError:
            return None

    def _once(self, name: str, key: str, read: Callable[[], T]) -> T:
        """What `read` returns, kept under `name` until the key changes."""
        with self._reading:
            if name not in self._kept or self._kept[name][0] != key:
                self._kept[name] = key, read()
            kept: T = self._kept[name][1]
            return kept


def _rows(workspace: Workspace, data: Artifact, part: seams.Part) -> list[seams.Row]:
    if part != "removed":
        return [seams.Row(example=e) for e in workspace.examples(part, data)]
    rows = []
    for line in (Path(data.path) / "removed.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "messages" in row:  # other lines of the files were not examples at all
            rows.append(seams.Row(example=Example.from_openai(row), left_out=f"{row['step']}: {row['reason']}"))
    return rows


def shown_team(team: Team) -> seams.Team:
    """A team as the console shows it, with its procedures drawn."""
    agents = []
    for table in team.agents:
        own = team.procedures[table.name]
        procedures = tuple(
            seams.ProcedureLine(
                name=p.name, title=p.title or p.name, description=p.description, examples=p.examples, groups=p.groups,
                states=len(p.states), picture=svg(p, inline=True),
            ) for p in own.values()
        )  # fmt: skip
        tools = tuple(_tool(team.tools[name]) for name in sorted(allowed(table, own, team.tools)))
        agents.append(seams.AgentLine(
            name=table.name, description=table.description, groups=frozenset(table.groups), documents=table.documents,
            procedures=procedures, tools=tools,
        ))  # fmt: skip
    return seams.Team(agents=tuple(agents), fallback=team.fallback or DOCUMENTS)


def _tool(tool: Tool) -> seams.ToolLine:
    return seams.ToolLine(**{name: getattr(tool, name) for name in seams.ToolLine.model_fields})


def _figures(arm: str, weight: float, row: ArmOutcomes) -> seams.ArmFigures:
    means = {name: m.mean for name, m in row.metrics.items()}
    return seams.ArmFigures(
        arm=arm, weight=weight, users=row.users, requests=row.requests, resolved=means["resolved"],
        thumbs_up=means["thumb"], escalated=means["escalated"], latency_s=means["latency"],
        usd_per_1000=None if means["cost"] is None else 1000 * means["cost"],
    )  # fmt: skip


def _difference(arm: str, metric: str, row: Comparison) -> seams.Difference | None:
    """None before the first look."""
    if row.mean is None or row.low is None or row.high is None:
        return None
    return seams.Difference(
        metric=TITLES[metric], unit="%" if METRICS[metric].ratio else " points", arm=arm, mean=row.mean,
        low=row.low, high=row.high, shows=row.shows,
    )  # fmt: skip
