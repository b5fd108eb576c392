"""The inbox's page of calls of tools that wait for a person: to be approved, or to say whether they happened."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from inhouse.errors import InputError
from inhouse.gateway.acting import Decision, decided_by, may_decide
from inhouse.gateway.console.gate import Console, key_of, redirect, signed_in
from inhouse.gateway.console.running import handoffs_by_status, inbox_counts
from inhouse.gateway.console.show import query
from inhouse.gateway.console.timeline import history_of, named_values
from inhouse.store.tables import to_iso
from inhouse.tools import Call

AFTER_APPROVAL = {
    "done": "Approved. The call succeeded.",
    "failed": "Approved, but it failed.",
    "unknown": "Approved and started, but whether it happened is not known. Find out, and say so below.",
    "declined": "Approved, but it was not run.",
    "expired": "The approval had ended before it was run.",
    "started": "Approved. It is running.",
    "approved": "Approved. It could not be run yet, and runs when the conversation goes on.",
}
TOLD_WHY = ("failed", "declined", "expired")
RECORDED = {
    "decline": "Declined. The conversation is told why when it goes on.",
    "happened": "Recorded: it happened.",
    "did_not_happen": "Recorded: it did not happen.",
}


def approval_pages(console: Console) -> APIRouter:
    router = console.router()

    @router.get("/inbox/approvals")
    def waiting(request: Request) -> Response:
        session = signed_in(request)
        rows = [(c, named_values(c.proposal.arguments), to_iso(c.at_ms)) for c in console.to_decide(session)]
        counts = inbox_counts(console, session, handoffs_by_status(console, session))
        return console.page(request, "approvals", rows=rows, counts=counts, names=console.names())

    @router.get("/inbox/call")
    def one(request: Request, key: str, done: str = "") -> Response:
        call = _call(request, key)
        return _show(request, call, done=_told(call, done))

    @router.post("/inbox/call")
    async def decide(
        request: Request,
        key: Annotated[str, Form()],
        decision: Annotated[Decision, Form()],
        why: Annotated[str, Form(max_length=2000)] = "",
    ) -> Response:
        session = signed_in(request)
        call = await run_in_threadpool(_call, request, key)
        why = " ".join(why.split())
        if decision == "decline" and not why:
            problem = "Write why it is declined: the user is told."
            return await run_in_threadpool(_show, request, call, problem, status=422)
        try:
            await decided_by(console.state, call, decision, session.name, why)
        except InputError:
            return await run_in_threadpool(_decided_meanwhile, request, key)
        return redirect("/inbox/call" + query({"key": call.key, "done": decision}))

    def _decided_meanwhile(request: Request, key: str) -> Response:
        call = _call(request, key)
        who = f" by {call.by}" if call.by else ""
        return _show(request, call, f"It does not wait for that any more: it is {call.status}{who}.", status=409)

    def _call(request: Request, key: str) -> Call:
        call = console.state.calls.get(key) if console.state.calls else None
        if call is None or not may_decide(key_of(signed_in(request)), call):
            raise HTTPException(404, "This call does not exist, or your groups may not decide on it.")
        return call

    def _show(request: Request, call: Call, problem: str = "", done: str = "", status: int = 200) -> Response:
        state = console.state
        team = state.insight.team() if state.insight else None
        turns = state.turns.of(call.proposal.conversation) if state.turns else ()
        return console.page(
            request, "call", status, call=call, arguments=named_values(call.proposal.arguments),
            result=named_values(call.result) if isinstance(call.result, dict) else named_values({"": call.result}),
            tool=team.tool(call.proposal.tool) if team else None, names=console.names(),
            history=history_of(state.audit.actions(about=call.key)),
            at=to_iso(call.at_ms), run=bool(turns), problem=problem, done=done,
        )  # fmt: skip

    return router


def _told(call: Call, done: str) -> str:
    """What came of a decision, in words."""
    if done != "approve":
        return RECORDED.get(done, "")
    why = f" {call.why[:1].upper()}{call.why[1:]}." if call.status in TOLD_WHY and call.why else ""
    return AFTER_APPROVAL.get(call.status, "") + why
