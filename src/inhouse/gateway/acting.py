"""Conversations with agents, and approvals of the tools that they call.

A conversation outlives a restart of the server: its ID is in the field `inhouse.conversation` of every answer. An agent
that waits for an approval goes on once it is decided, with `POST /v1/conversations/{id}` or the user's next message.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from inhouse.chat import ChatRequest
from inhouse.errors import BackendError, InputError
from inhouse.gateway.auth import Caller
from inhouse.gateway.chat import Answer
from inhouse.gateway.contract import Text, Wire
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.gateway.wire import ChatEnvelope, Envelope
from inhouse.store.keys import Key
from inhouse.tools import Call, Calls, Turn, Turns
from inhouse.types import Json, digest_of

MOST_WAIT_S = 60
POLL_S = 0.5
APPROVED_S = 24 * 3600  # how long an approval is valid
Decision = Literal["approve", "decline", "happened", "did_not_happen"]
log = logging.getLogger("inhouse.gateway")
routes = APIRouter()


class ContinueBody(Wire):
    """The body of POST /v1/conversations/{id}."""

    ID: ClassVar[str] = "chatcmpl-"
    model: Text = "custom"
    user: Text | None = None
    stream: bool | None = None
    include_steps: bool | None = None
    conversation: str = Field("", exclude=True)

    def upstream_only(self) -> str:
        return ""

    def parameters(self) -> dict[str, Json]:
        return {"conversation": self.conversation}

    def to_request(self, groups: frozenset[str], user: str, usual_tokens: int, most_tokens: int) -> ChatRequest:
        return ChatRequest(
            messages=(), max_tokens=usual_tokens, groups=groups, user=self.user or user, scope=user,
            conversation=self.conversation,
        )  # fmt: skip

    def envelope(self, id: str) -> Envelope:
        return ChatEnvelope(id, self.model, False, False)


class DecisionBody(Wire):
    """The body of POST /v1/approvals/{key}. `happened` and `did_not_happen` are about calls whose end is unknown."""

    decision: Decision
    why: Text = ""


@routes.get("/v1/conversations/{id}")
async def conversation(
    request: Request, id: str, key: Caller, user: str = "",
    wait: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0,
) -> Any:  # fmt: skip
    """A conversation with agents: its last answer, its calls of tools, and whether it waits for an approval. Waits up
    to `wait` seconds for the decision."""
    calls, turns = _ledger(request)
    last = await _own(turns, id, key, user)
    made = await asyncio.to_thread(calls.of, id)
    until = time.monotonic() + min(wait, MOST_WAIT_S)
    with request.app.state.inhouse.waits.admitted(key.id):
        while any(c.status == "proposed" and c.why for c in made) and time.monotonic() < until:
            await asyncio.sleep(POLL_S)
            made = await asyncio.to_thread(calls.of, id)
    waiting = next((c for c in made if c.status == "proposed" and c.why), None)
    return {
        "object": "conversation", "id": id, "turn": last.number, "status": "waiting" if waiting else "open",
        "approval": waiting.key if waiting else None, "answer": _said(last), "calls": [_call(c) for c in made],
    }  # fmt: skip


@routes.post("/v1/conversations/{id}", response_class=Response)
async def go_on(request: Request, id: str, body: ContinueBody, key: Caller) -> Response:
    """Goes on with a conversation after an approval: what the agent says next, as an answer."""
    calls, turns = _ledger(request)
    await _own(turns, id, key, body.user or "")
    if not any(call.by for call in await asyncio.to_thread(calls.of, id)):
        raise HttpError(409, "nothing was decided in this conversation; send a message", code="not_waiting", param="id")
    asked = body.model_copy(update={"conversation": id})
    return Answer(request.app.state.inhouse, key, asked, request.headers.get("traceparent", ""))


@routes.get("/v1/approvals")
async def approvals(request: Request, key: Caller) -> Any:
    """The calls of tools that need a person: those to approve, and those whose end is unknown. For reviewers, of their
    groups, and admins."""
    calls, _ = _ledger(request)
    waiting = await asyncio.to_thread(calls.waiting)
    return {"object": "list", "data": [_call(c) for c in waiting if may_decide(key, c)]}


@routes.post("/v1/approvals/{call}")
async def decide(request: Request, call: str, body: DecisionBody, key: Caller) -> Any:
    """Approves or declines a call, or says what became of one whose end is unknown."""
    calls, _ = _ledger(request)
    found = await asyncio.to_thread(calls.get, call)
    if found is None or not may_decide(key, found):
        raise HttpError(404, "no such call", code="not_found", param="call")
    try:
        decided = await decided_by(request.app.state.inhouse, found, body.decision, key.name, body.why)
    except InputError as error:
        raise HttpError(409, str(error), code="not_waiting", param="call") from error
    return _call(decided)


async def decided_by(state: State, call: Call, decision: Decision, by: str, why: str) -> Call:
    """Records a decision; an approved call is run at once.

    Raises:
        InputError: the call does not wait for that, or the API key that caused it is revoked or has expired.
    """
    calls = state.calls
    assert calls is not None
    match decision:
        case "approve":
            if (id := call.caller.key) and ":" not in id:  # an API key, which may have been revoked since
                await asyncio.to_thread(state.keys.holding, id)
            until_ms = int((time.time() + APPROVED_S) * 1000)
            approved = await asyncio.to_thread(calls.approve, call.key, by, until_ms)
            try:
                return await state.fleet.settle(approved)
            except BackendError as error:  # the approval is recorded; the conversation finds out when it goes on
                log.error("an approved call could not be run", exc_info=error)
                return approved
        case "decline":
            return await asyncio.to_thread(calls.decline, call.key, by, why or "no reason was given")
    if call.status != "unknown":  # one that is running ends by itself
        raise InputError(f"the call of {call.proposal.tool} is {call.status}", "it would have to be unknown")
    status: Literal["done", "failed"] = "done" if decision == "happened" else "failed"
    return await asyncio.to_thread(calls.end, call.key, status, None, why or f"{by} found out")


def may_decide(key: Key, call: Call) -> bool:
    """Whether a key may decide on a call: admins, and reviewers in all groups of its caller who did not cause it."""
    reviews = key.role == "reviewer" and key.id != call.caller.key
    return key.role == "admin" or (reviews and call.caller.groups <= frozenset(key.groups))


def _ledger(request: Request) -> tuple[Calls, Turns]:
    state: State = request.app.state.inhouse
    if state.calls is None or state.turns is None:
        raise HttpError(404, "this server has no agents", code="not_found")
    return state.calls, state.turns


async def _own(turns: Turns, id: str, key: Key, user: str) -> Turn:
    """The last turn of a conversation of the caller; for others it does not exist."""
    last = await asyncio.to_thread(turns.last, id)
    if last is None or (last.owner != digest_of([key.id, user or key.id]) and key.role != "admin"):
        raise HttpError(404, "no such conversation", code="not_found", param="id")
    return last


def _said(turn: Turn) -> str:
    return "".join(row["data"]["text"] for row in turn.reply or () if row["event"] == "Delta")


def _call(call: Call) -> dict[str, Json]:
    return {
        "object": "call", "id": call.key, "conversation": call.proposal.conversation, "tool": call.proposal.tool,
        "arguments": call.proposal.arguments, "status": call.status, "why": call.why, "by": call.by,
        "user": call.caller.user, "result": call.result, "at_ms": call.at_ms, "until_ms": call.until_ms,
    }  # fmt: skip
