"""The guard of a canary: a task of each server process that takes it back once it is worse than production.

Every process reads the audit log and decides for itself, so none of them is needed: whichever is first writes the
change, under the lock of what is served and only if that canary is still the one that was judged. The entry that
records the change is the incident, so there is one or neither. A process that was killed in between leaves a change
that the next one finishes. Answers in progress end with the challenger; new requests go to production.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from inhouse.assembly.workspace import Workspace
from inhouse.errors import BackendError, InhouseError
from inhouse.gateway.metrics import Metrics
from inhouse.monitoring.guards import DEFAULTS, Guards, Standing
from inhouse.serving.releases import Releases
from inhouse.serving.state import Canary, Serving, Step
from inhouse.store.actions import Actor, acting
from inhouse.store.alerts import Alert
from inhouse.store.audit import Audit
from inhouse.store.canaries import Answered, CanaryLog, Voted
from inhouse.store.incidents import BY, INCIDENT, Incident, Line, incidents
from inhouse.store.ledger import Ledger
from inhouse.store.tables import now_ms, to_ms

LOOK_S = 0.25  # between two looks at the log and at what is served
EXAMPLES = 5
NEWS_S = 86_400.0  # an older incident is not announced
UNCOUNTED = ("refused", "interrupted")  # the request was never answered by an arm
log = logging.getLogger("inhouse.gateway")


def badness(answer: Answered) -> dict[str, float]:
    """How bad an answer was, by guard metric; what is not known is left out. A client that gave up tells of the time
    alone."""
    if answer.reason == "error":
        return {"errors": 1.0}
    if answer.reason == "cancelled":
        return {"latency": answer.latency_s}
    found = {
        "errors": 0.0, "handoffs": float(answer.handed_off), "refusals": float(answer.reason == "content_filter"),
        "latency": answer.latency_s,
    }  # fmt: skip
    if answer.confidence is not None:
        found["confidence"] = 1 - answer.confidence
    if answer.groundedness is not None:
        found["groundedness"] = 1 - answer.groundedness
    return found


class Watched:
    """One canary from its start on: what was read of the log, and how its metrics stand."""

    def __init__(self, workspace: Workspace, ledger: Ledger, canary: Canary, production: str) -> None:
        settings = workspace.project.release
        self.canary, self.production = canary, production
        self._log = CanaryLog(ledger, canary.name, canary.since)
        listed: Mapping[str, float] = {str(name): float(worst) for name, worst in settings.rollback_on.items()}
        self._guards = Guards(
            canary.percent / 100, listed or DEFAULTS, frozenset(listed), missing_after=settings.rollback_missing
        )
        self._users: dict[str, int] = {}
        self._worst: dict[str, list[tuple[float, str]]] = {name: [] for name in self._guards.tolerated}
        self._last: list[str] = []

    def look(self) -> Standing | None:
        """Reads what is new and looks after each answer; the metric that says to roll back, None if none does.

        Raises:
            BackendError: the database fails; the next call reads it.
        """
        while True:
            answers, votes = self._log.news()
            taken = [*(partial(self._answer, a) for a in answers), *(partial(self._vote, v) for v in votes)]
            for take in taken:
                take()
                if found := self._guards.breach():
                    return found
            if not self._log.behind:
                return None

    def standing(self) -> list[Standing]:
        return self._guards.standing()

    def examples(self, found: Standing) -> tuple[str, ...]:
        """The canary's worst answers in the metric, or the last ones that lack it."""
        if found.state == "missing":
            return tuple(self._last)
        return tuple(id for _, id in sorted(self._worst[found.metric], reverse=True))

    def _answer(self, answer: Answered) -> None:
        arm = self._arm(answer.arm)
        if arm is None or answer.reason in UNCOUNTED:
            return
        values = badness(answer)
        self._guards.answer(arm, values, self._number(answer.user))
        if arm:
            self._last = [*self._last, answer.id][-EXAMPLES:]
            for name, value in values.items():
                self._keep(name, value, answer.id)

    def _vote(self, vote: Voted) -> None:
        if (arm := self._arm(vote.arm)) is not None:
            down = float(vote.thumb < 0)
            self._guards.vote(arm, down, self._number(vote.user))
            if arm:
                self._keep("thumbs", down, vote.id)

    def _arm(self, name: str) -> bool | None:
        return {self.canary.release: True, self.production: False}.get(name)

    def _number(self, user: str) -> int:
        return self._users.setdefault(user, len(self._users))

    def _keep(self, metric: str, value: float, id: str) -> None:
        if (worst := self._worst.get(metric)) is not None and value > 0:
            heapq.heappush(worst, (value, id))
            if len(worst) > EXAMPLES:
                heapq.heappop(worst)


def roll_back(releases: Releases, canary: Canary, incident: Incident) -> bool:
    """Takes the canary back, unless it is not the one that was judged any more; whether this call did it."""
    done = False

    def change(now: Serving) -> Step | None:
        nonlocal done
        if now.canary != canary:
            return None
        done = True
        return Step(now.model_copy(update={"canary": None}), "canary rolled back", canary.release)

    with acting(Actor(id="inhouse", name=BY, at=socket.gethostname())):
        releases.change(change, INCIDENT, incident.facts())
    return done


def incident_of(watched: Watched, found: Standing) -> Incident:
    """The evidence, as the audit log keeps it."""
    lines = tuple(_line(standing) for standing in watched.standing())
    return Incident(
        at="", release=watched.canary.release, production=watched.production, percent=watched.canary.percent,
        since=watched.canary.since, metric=found.metric, reason=found.sentence, metrics=lines,
        examples=watched.examples(found),
    )  # fmt: skip


def _line(standing: Standing) -> Line:
    fields = ("metric", "title", "tolerated", "answers", "shown", "evidence", "needed", "missing", "state")
    return Line(**{name: getattr(standing, name) for name in fields})


def alert_of(incident: Incident) -> Alert:
    """The alert that a canary was taken back."""
    return Alert(
        kind="rollback", severity="critical", link="/incidents",
        title=f"{incident.release} was rolled back; {incident.production} answers everyone",
        text=f"{incident.reason}. It answered {incident.percent:g}% of users since {incident.since[:16]}.",
        key=f"rollback {incident.release} {incident.since}",
    )  # fmt: skip


class Guarding:
    """Watches the canary of a workspace while a server runs.

    Args:
        workspace: what is served.
        ledger: has the audit log.
        refresh: opens what is to be served now.
        send: sends an alert, unless the same was sent within so many seconds.
        metrics: of the process; gets gauges of the canary.
    """

    def __init__(
        self, workspace: Workspace, ledger: Ledger, refresh: Callable[[], Awaitable[object]],
        send: Callable[[Alert, float], object], metrics: Metrics,
    ) -> None:  # fmt: skip
        self._workspace, self._ledger, self._refresh, self._send = workspace, ledger, refresh, send
        self._releases, self._metrics = Releases(workspace), metrics
        self._audit = Audit(ledger)
        self._watched: Watched | None = None
        self._revision = -1

    async def run(self) -> None:
        """Looks until it is cancelled; a failure is logged, and the next look goes on."""
        while True:
            try:
                changed = await asyncio.to_thread(self.look)
                if changed:
                    await self._refresh()
            except InhouseError as error:
                log.warning("the canary could not be looked at", exc_info=error)
            except Exception as error:
                log.error("the guard of the canary failed", exc_info=error)
            await asyncio.sleep(LOOK_S)

    def look(self) -> bool:
        """Looks at the log and at what is served, and rolls back if need be; whether what is served has changed."""
        self._releases.finish()
        now = self._releases.serving()
        changed, self._revision = now.revision != self._revision, now.revision
        if changed:
            self._announce()
        self._metrics.canary_share.set(now.canary.percent / 100 if now.canary else 0)
        canary = now.canary if self._workspace.project.release.rollback else None
        if self._watched and (self._watched.canary, self._watched.production) != (canary, now.production):
            self._gauge([])
            self._watched = None
        if canary is None:
            return changed
        watched = self._watched = self._watched or Watched(self._workspace, self._ledger, canary, now.production)
        found = watched.look()
        self._gauge(watched.standing())
        if found is None:
            return changed
        incident = incident_of(watched, found)
        if roll_back(self._releases, watched.canary, incident):
            facts = {"release": incident.release, "why": incident.reason}
            log.error("the canary was rolled back", extra={"facts": facts})
            self._metrics.incidents.inc()
        self._gauge([])
        self._watched, self._revision = None, self._releases.serving().revision
        self._announce()
        return True

    def lines(self) -> Sequence[Line]:
        """How the guard metrics stand; none while there is no canary."""
        watched = self._watched
        return [_line(standing) for standing in watched.standing()] if watched else []

    def _gauge(self, standings: Sequence[Standing]) -> None:
        """Shows the guard metrics to Prometheus; those of a canary that ended are no numbers."""
        found = {
            (s.metric, arm): v for s in standings for arm, v in zip(("production", "canary"), s.shown, strict=True)
        }
        for metric in self._workspace.project.release.rollback_on or DEFAULTS:
            for arm in ("production", "canary"):
                value = found.get((metric, arm))
                self._metrics.guard.labels(metric, arm).set(math.nan if value is None else value)

    def _announce(self) -> None:
        """Sends the alert of the last incident, which whoever made the change may not have lived to do."""
        try:
            for incident in incidents(self._audit, limit=1):
                if to_ms(incident.at) > now_ms() - 1000 * NEWS_S:
                    self._send(alert_of(incident), 2 * NEWS_S)
        except BackendError as error:
            log.warning("an incident could not be announced", exc_info=error)
