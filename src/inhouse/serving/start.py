"""`inhouse serve`: the processes of the gateway, and what each of them holds."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from inhouse import __version__
from inhouse.assembly.guard import Parts
from inhouse.assembly.private import border_of
from inhouse.assembly.routes import upstreams
from inhouse.assembly.standing import standing
from inhouse.assembly.team import desk_of
from inhouse.assembly.tools import tools_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel
from inhouse.gateway import server
from inhouse.gateway.limits import Rates
from inhouse.gateway.rights import Rights
from inhouse.gateway.state import State
from inhouse.process import save_memory
from inhouse.serving.alerts import Alerts
from inhouse.serving.budgets import alert_in_words
from inhouse.serving.fleet import Fleet
from inhouse.serving.guarding import Guarding
from inhouse.serving.insight import WorkspaceInsight
from inhouse.serving.quality import LiveQuality
from inhouse.serving.releases import Releases, label
from inhouse.serving.shadowing import Shadows
from inhouse.serving.sync import adopt
from inhouse.store.actions import actor
from inhouse.store.alerts import Alert
from inhouse.store.anchors import Place, anchored, place_of
from inhouse.store.audit import Audit
from inhouse.store.calls import StoredCalls
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Key, Keys
from inhouse.store.tables import now_ms, to_iso
from inhouse.store.traffic import Traffic
from inhouse.store.turns import StoredTurns
from inhouse.types import Release, digest_of

GAUGE_S = 3600.0  # between two looks at the accuracy of live answers


@dataclass(frozen=True)
class Started:
    """What a server reports when it is ready."""

    release: Release
    address: str
    first_key: str  # secret of the first admin key, made now; empty if there are keys already


def start(workspace: Workspace, command: tuple[str, ...], ready: Callable[[Started], None]) -> None:
    """Answers with the release in production until the process is told to stop; does not return.

    Args:
        workspace: what is served; the [gateway] section sets the address and the number of processes.
        command: the arguments of `inhouse` that start a worker process; `--inherited` is added.
        ready: called once requests are accepted.

    Raises:
        InputError: no release is in production.
        BackendError: the address cannot be used.
    """
    settings = workspace.project.gateway
    adopt(workspace)
    releases = Releases(workspace)
    releases.note()
    release = releases.get("production")
    bound = server.listen(settings.host, settings.port)
    started = Started(release, server.address_of(bound), _first_key(workspace))
    _record_start(workspace, started)
    if settings.workers == 1:
        with _anchored(workspace):
            server.serve(watched(_state(workspace), workspace), bound, lambda: ready(started))
        server.leave()
    ready(started)

    def worker(socket: int, rates: int) -> list[str]:
        return server.again(*command, "--inherited", f"{socket},{rates}")

    with _anchored(workspace):
        server.supervise(worker, settings.workers, bound, settings.drain_s)


def leave(code: int) -> NoReturn:
    """Ends the process at once: threads of a server whose start failed may never end."""
    server.leave(code)


def work(workspace: Workspace, inherited: str) -> None:
    """One of several processes; its parent passes the file descriptors of socket and rates, as "SOCKET,RATES"."""
    socket, rates = (int(number) for number in inherited.split(","))
    server.serve(
        watched(_state(workspace, rates), workspace), server.inherit(socket), lambda: None, parent=os.getppid()
    )
    server.leave()


def speak(workspace: Workspace, key: str, groups: Sequence[str]) -> NoReturn:
    """Speaks the Model Context Protocol over standard input and output until the input ends; does not return.

    Args:
        workspace: what is served.
        key: ID of the API key for which it is, with its groups; empty for the user of this machine.
        groups: of that user.

    Raises:
        InputError: no release is in production, or the key does not exist or hold.
    """
    from inhouse.gateway import mcp

    adopt(workspace)
    releases = Releases(workspace)
    releases.note()
    releases.get("production")
    state = _state(workspace)
    user = actor()
    here = Key(id=user.id, name=user.name, role="user", groups=tuple(groups), created_at=to_iso(now_ms()))

    def holder() -> Key:
        return state.keys.holding(key) if key else here

    holder()
    mcp.over_stdio(state, holder)
    server.leave()


@contextmanager
def _anchored(workspace: Workspace) -> Iterator[None]:
    """Keeps the head of the audit log elsewhere while the block runs."""
    place = anchor_place(workspace)
    with workspace.ledger() as ledger, anchored(Audit(ledger), place, workspace.project.audit.anchor_minutes * 60):
        yield


def anchor_place(workspace: Workspace) -> Place | None:
    """Where the project keeps the heads of its audit log."""
    settings, project = workspace.project.audit, workspace.project
    return place_of(settings.anchor, project.root, project.name, settings.anchor_certificate)


def _record_start(workspace: Workspace, started: Started) -> None:
    """Records the settings that take effect; none is a secret."""
    changed = workspace.project.model_dump(mode="json", exclude_defaults=True)
    facts = {"release": label(started.release), "address": started.address, "version": __version__,
             "settings": changed, "digest": digest_of(workspace.project.model_dump(mode="json"))}  # fmt: skip
    with workspace.ledger() as ledger:
        Audit(ledger).act("server started", facts=facts)


def _first_key(workspace: Workspace) -> str:
    with workspace.ledger() as ledger:
        keys = Keys(ledger)
        return "" if keys.all() else keys.create("first admin", "admin")[1]


def _state(workspace: Workspace, rates: int | None = None) -> State:
    """Everything that a process of the gateway holds."""

    def local(name: str) -> ChatModel:
        return fleet.model(name)

    if workspace.project.gateway.low_memory:
        save_memory()
    ledger = workspace.open_ledger()
    calls, turns = StoredCalls(ledger), StoredTurns(ledger)
    border = border_of(Parts(workspace, workspace.project))
    keys, desk = Keys(ledger), None
    if workspace.project.agent:
        rights = Rights(keys, workspace.project.gateway)
        desk = desk_of(tools_of(workspace.project), calls, turns, Parts(workspace, workspace.project), rights)
    fleet = Fleet(workspace, upstreams(workspace.project.upstream, local, border), desk)
    traffic, live = Traffic(ledger), LiveQuality(workspace, ledger)
    return State(
        workspace.project, fleet, Audit(ledger), keys, Inbox(ledger), Feedback(ledger), traffic,
        embedder=workspace.embedder,
        insight=WorkspaceInsight(workspace, traffic, partial(standing, workspace), live),
        rates=Rates(rates), calls=calls, turns=turns,
    )  # fmt: skip


def watched(state: State, workspace: Workspace) -> State:
    """With what runs beside the answers: the guard of the canary, the shadow release, and the delivery of alerts.

    Raises:
        ConfigError: [alerts] names an environment variable that is not set.
    """
    ledger = state.keys.ledger
    alerts = Alerts(workspace.project, ledger, state.metrics.alert_failures.inc)
    guarding = Guarding(workspace, ledger, state.fleet.refresh, alerts.send, state.metrics)
    shadows = Shadows(
        Releases(workspace).serving, state.fleet.model, state.audit, lambda: state.queue.spare,
        workspace.project.assistant.handoff, state.metrics,
    )  # fmt: skip
    if state.reservations is not None:
        state.reservations.alert = lambda alert: alerts.send(Alert(**alert_in_words(alert)))
    state.guards, state.observers = guarding.lines, (shadows.observe,)
    state.background = (guarding.run, shadows.run, alerts.run, partial(_gauge, state))
    return state


async def _gauge(state: State) -> None:
    """Shows the estimated accuracy of live answers among the metrics, once an hour."""
    while True:
        await asyncio.sleep(GAUGE_S)
        found = await asyncio.to_thread(state.insight.quality) if state.insight else None
        state.metrics.accuracy.clear()  # of releases that are gone
        for line in found.lines[:1] if found else ():  # the newest
            state.metrics.accuracy.labels(line.release).set(math.nan if line.mean is None else line.mean)
