"""The playground: any two models side by side. The gateway answers and records these requests like all others."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Request, Response
from starlette.responses import JSONResponse

from inhouse.chat import Exchange
from inhouse.gateway.auth import count, hand_over, weigh
from inhouse.gateway.chat import Answer
from inhouse.gateway.console.gate import Console, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.errors import HttpError
from inhouse.gateway.state import State
from inhouse.gateway.wire import ChatBody, FeedbackBody
from inhouse.store.keys import Key
from inhouse.types import Record

WANTS_PERSON = "asked for a person"
MOST_WAIT_S = 25.0


class AskBody(Record):
    """A request to hand the exchange `id` to a person."""

    id: str


def playground_pages(console: Console) -> APIRouter:
    router = console.router()
    state = console.state

    @router.get("/playground")
    def playground(request: Request) -> Response:
        names = list(state.fleet.names())
        second = "custom" if "custom" in names else (names[-1] if names else "")
        first = next((n for n in ("base", *names) if n in names and n != second), second)
        return console.page(request, "playground", models=names, chosen=[first, second])

    @router.post("/playground/chat", response_class=Response)
    async def chat(request: Request, body: ChatBody) -> Response:
        key = await _counted(state, request)
        streamed = body.model_copy(update={"stream": True, "user": None})
        return Answer(state, key, streamed, request.headers.get("traceparent", ""))

    @router.post("/playground/feedback")
    async def feedback(request: Request, body: FeedbackBody) -> Response:
        await _counted(state, request)
        exchange = await _own(signed_in(request), body.id)
        await asyncio.to_thread(state.feedback.add, exchange.id, exchange.user, body.thumb, body.comment, body.resolved)
        return JSONResponse({"thumb": body.thumb})

    @router.post("/playground/person")
    async def person(request: Request, body: Annotated[AskBody, Body()]) -> Response:
        key = await _counted(state, request)
        exchange = await _own(signed_in(request), body.id)
        hand_over(state, key.id)
        return JSONResponse({"handoff": await asyncio.to_thread(state.inbox.add, exchange, WANTS_PERSON)})

    @router.get("/playground/person")
    async def reply(request: Request, id: str, wait: float = 0) -> Response:
        handoff = await asyncio.to_thread(state.inbox.get, id)
        if handoff is None:
            raise HTTPException(404, "This conversation does not exist.")
        await _own(signed_in(request), handoff.exchange_id)
        if handoff.status == "waiting" and 0 < wait <= MOST_WAIT_S:
            handoff = await state.inbox.wait(id, wait) or handoff
        replied = handoff.status in ("answered", "approved")
        return JSONResponse({"status": handoff.status, "reply": handoff.reply if replied else ""})

    async def _own(session: Session, id: str) -> Exchange:
        """The exchange, if it belongs to the session."""
        exchange = await asyncio.to_thread(state.audit.get, id)
        if exchange is None or exchange.key != session.key:
            raise HTTPException(404, "This answer does not exist, or it belongs to someone else.")
        return exchange

    return router


async def _counted(state: State, request: Request) -> Key:
    """The key of the session, whose request and body count.

    Raises:
        HttpError: 401, the key no longer exists; 429, it has to wait.
    """
    key = await _key(state, signed_in(request))
    count(state, request.scope, key)
    weigh(state, key, len(await request.body()))
    return key


async def _key(state: State, session: Session) -> Key:
    """The key under which the session's questions are recorded."""
    if session.key.startswith("oidc:"):
        groups = tuple(session.groups)
        return Key(id=session.key, name=session.name, role=session.role, groups=groups, created_at="")
    key = next((k for k in await asyncio.to_thread(state.keys.all) if k.id == session.key), None)
    if key is None:
        raise HttpError(401, "the API key of this session no longer exists; sign in again")
    return key
