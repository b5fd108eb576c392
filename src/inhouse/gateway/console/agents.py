"""Pages about agents: the team, one agent with its procedures and tools, and a conversation turn by turn."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from markupsafe import Markup

from inhouse.gateway.console.gate import Console, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.console.timeline import Run, RunStatus, agent_of, run_of, status_of, steps_of
from inhouse.store.tables import to_iso
from inhouse.types import Record

MOST_RUNS, MOST_LOOKED_AT = 25, 200  # conversations that are listed, and looked at to find those of an agent


class RunLine(Record):
    """A conversation in a list; `agent` is who answered its last turn."""

    conversation: str
    at: str
    user: str
    agent: str
    turns: int
    steps: int
    calls: int
    status: RunStatus


def agent_pages(console: Console) -> APIRouter:
    router = console.router()

    @router.get("/agents")
    def team(request: Request) -> Response:
        team = console.insight.team()
        return console.page(
            request, "agents", team=team, runs=_runs(console, signed_in(request)), names=console.names()
        )

    @router.get("/agents/agent")
    def agent(request: Request, name: str) -> Response:
        team = console.insight.team()
        found = next((a for a in team.agents if a.name == name), None) if team else None
        if found is None:
            raise HTTPException(404, "There is no such agent.")
        # The pictures are drawn by this package, which escapes what is in them.
        pictures = {p.name: Markup(p.picture) for p in found.procedures}  # noqa: S704
        return console.page(
            request, "agent", agent=found, pictures=pictures, names=console.names(),
            runs=_runs(console, signed_in(request), name),
        )  # fmt: skip

    @router.get("/run")
    def run(request: Request, id: str) -> Response:
        found = run_in(console, id)
        if found is None or not _may_read(signed_in(request), found):
            raise HTTPException(404, "This run does not exist, or your groups may not read it.")
        return console.page(request, "run", run=found, names=console.names())

    return router


def run_in(console: Console, conversation: str) -> Run | None:
    """A conversation of the ledger; None if there is none."""
    state = console.state
    if state.calls is None or state.turns is None:
        return None
    turns, calls = state.turns.of(conversation), state.calls.of(conversation)
    erased = state.turns.erased(conversation)
    if not (turns or calls or erased):
        return None
    exchanges = {e.id: e for turn in turns if (e := state.audit.get(turn.exchange))}
    actions = {call.key: state.audit.actions(about=call.key) for call in calls}
    return run_of(conversation, turns, erased, calls, exchanges, actions)


def _may_read(session: Session, run: Run) -> bool:
    return session.role == "admin" or (run.groups is not None and session.may_read(run.groups))


def _runs(console: Console, session: Session, agent: str = "") -> list[RunLine]:
    """The latest conversations, or those whose last turn an agent answered."""
    state, found = console.state, []
    if state.calls is None or state.turns is None:
        return []
    for turn in state.turns.latest(MOST_LOOKED_AT if agent else MOST_RUNS):
        if agent and agent_of(turn) != agent:
            continue
        exchange, calls = state.audit.get(turn.exchange), state.calls.of(turn.conversation)
        groups = [exchange.groups] if exchange else [c.caller.groups for c in calls]
        if session.role != "admin" and not (groups and all(map(session.may_read, groups))):
            continue
        turns = state.turns.of(turn.conversation)
        found.append(RunLine(
            conversation=turn.conversation, at=to_iso(turn.at_ms), user=exchange.user if exchange else "",
            agent=agent_of(turn), turns=len(turns), steps=sum(map(steps_of, turns)), calls=len(calls),
            status=status_of(turns, calls, state.turns.erased(turn.conversation)),
        ))  # fmt: skip
        if len(found) == MOST_RUNS:
            break
    return found
