"""The playground: any two models side by side, answered by the gateway's own path, recorded like every other answer."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Request, Response
from starlette.responses import JSONResponse

from inhouse.chat import Exchange
from inhouse.gateway.chat import Answer
from inhouse.gateway.console.gate import Console, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.errors import HttpError, too_many
from inhouse.gateway.wire import ChatBody, FeedbackBody
from inhouse.store.keys import Key
from inhouse.types import Record

ASKED = "asked for a person"
MOST_WAIT_S = 25.0


class AskBody(Record):
    """For a person to take over the exchange `id`."""

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
        key = await _key(signed_in(request))
        if wait := state.rates.wait_s(key.id, key.per_minute):
            raise too_many(f"this key may ask {key.per_minute} times a minute", wait)
        asked = body.model_copy(update={"stream": True, "user": None})
        return Answer(state, key, asked, request.headers.get("traceparent", ""))

    @router.post("/playground/feedback")
    async def feedback(request: Request, body: FeedbackBody) -> Response:
        exchange = await _own(signed_in(request), body.id)
        await asyncio.to_thread(state.feedback.add, exchange.id, exchange.user, body.thumb, body.comment, body.resolved)
        return JSONResponse({"thumb": body.thumb})

    @router.post("/playground/person")
    async def person(request: Request, body: Annotated[AskBody, Body()]) -> Response:
        exchange = await _own(signed_in(request), body.id)
        return JSONResponse({"handoff": await asyncio.to_thread(state.inbox.add, exchange, ASKED)})

    @router.get("/playground/person")
    async def reply(request: Request, id: str, wait: float = 0) -> Response:
        found = await asyncio.to_thread(state.inbox.get, id)
        if found is None:
            raise HTTPException(404, "There is no such conversation.")
        await _own(signed_in(request), found.exchange_id)
        if found.status == "waiting" and 0 < wait <= MOST_WAIT_S:
            found = await state.inbox.wait(id, wait) or found
        told = found.status in ("answered", "approved")
        return JSONResponse({"status": found.status, "reply": found.reply if told else ""})

    async def _own(session: Session, id: str) -> Exchange:
        """The exchange, where it is the session's own."""
        exchange = await asyncio.to_thread(state.audit.get, id)
        if exchange is None or exchange.key != session.key:
            raise HTTPException(404, "There is no such answer of yours.")
        return exchange

    async def _key(session: Session) -> Key:
        """The key that the session's questions are asked and recorded with."""
        if session.key.startswith("oidc:"):
            return Key(
                id=session.key, name=session.name, role=_ROLE[session.role], groups=tuple(session.groups), created_at=""
            )
        found = [k for k in await asyncio.to_thread(state.keys.all) if k.id == session.key]
        if not found:
            raise HttpError(401, "the key of this session is gone")
        return found[0]

    return router


_ROLE: dict[str, Any] = {role: role for role in ("admin", "reviewer", "user")}
