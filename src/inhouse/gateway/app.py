"""The ASGI application: routes in OpenAI's wire format, the console, and error handling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from inhouse import __version__
from inhouse.chat import Exchange
from inhouse.errors import BackendError
from inhouse.gateway import acting, completions, edge, embeddings, responses
from inhouse.gateway.auth import Caller, admit, need_admin, weigh
from inhouse.gateway.chat import Answer
from inhouse.gateway.complaints import complaint
from inhouse.gateway.console.app import console
from inhouse.gateway.errors import HttpError, unavailable
from inhouse.gateway.logs import place_of
from inhouse.gateway.middleware import Door
from inhouse.gateway.state import State
from inhouse.gateway.wire import ChatBody, ErrorBody, FeedbackBody

REFRESH_S = 1.0  # a promotion or rollback takes effect within this time
MOST_WAIT_S = 60  # longest wait for a reply in one request to /v1/handoffs
EXPOSED = ("x-request-id", "retry-after", "x-inhouse-queue", "x-ratelimit-limit-requests",
           "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")  # fmt: skip
FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request is refused.", "model": ErrorBody},
    "5XX": {"description": "The server cannot answer.", "model": ErrorBody},
}
log = logging.getLogger("inhouse.gateway")
routes = APIRouter()


def create_app(state: State) -> FastAPI:
    """The ASGI application over `state`."""

    protocol = None
    if state.project.gateway.mcp:
        from mcp.server.streamable_http_manager import StreamableHTTPASGIApp

        from inhouse.gateway import mcp

        protocol = mcp.over_http(state)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.ensure_future(work) for work in (_refresh(state), *(begin() for begin in state.background))]
        async with protocol.run() if protocol else nullcontext():
            yield
        for task in beside:
            task.cancel()
        await asyncio.to_thread(state.traces.close)

    app = FastAPI(title="inhouse", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
                  lifespan=lifespan, responses=FAILURES)  # fmt: skip
    app.state.inhouse = state
    app.include_router(routes)
    for others in (responses.routes, completions.routes, embeddings.routes, acting.routes, edge.routes):
        app.include_router(others)
    if protocol:
        app.router.routes.append(Route("/mcp", StreamableHTTPASGIApp(protocol), methods=["POST"]))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(BackendError, _backend_error)
    max_body = state.project.gateway.max_body_kb * 1024

    app.add_middleware(Door, max_body=max_body, admit=partial(admit, state), weigh=partial(weigh, state),
                       finished=partial(_log, state))  # fmt: skip
    if origins := state.project.gateway.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"],
                           expose_headers=EXPOSED)  # fmt: skip
    app.include_router(console(state), prefix="/console")
    return app


async def _refresh(state: State) -> None:
    """Opens newly promoted releases. If that fails, the current ones keep answering."""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            await state.fleet.refresh()
        except Exception as error:
            log.error("the release to serve cannot be opened", exc_info=error)


def _log(state: State, scope: Scope, id: str, status: int, seconds: float, failed: Exception | None) -> None:
    """Counts and logs a request, without its body, query, and headers."""
    route = getattr(scope.get("route"), "path", "unknown")
    state.metrics.requests.labels(route, status or 499).inc()
    key = scope.get("inhouse.key")
    facts = {"id": id, "method": scope["method"], "route": route, "status": status or 499,
             "ms": round(seconds * 1000, 1), "key": key.id if key else ""}  # fmt: skip
    if failed:
        facts["error"], facts["where"] = place_of(failed)
    log.log(logging.ERROR if failed else logging.INFO, "request", extra={"facts": facts})


# --- errors -----------------------------------------------------------------------------------------------------


async def _http_error(request: Request, error: Exception) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path[:200]
    if error.status_code == 404 and error.detail == "Not Found":
        return HttpError(404, f"Invalid URL ({method} {path})", code="not_found").response()
    if error.status_code == 405:
        allowed = ", ".join(sorted({*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"} - {""}))
        allow = {"Allow": allowed.replace("GET", "GET, HEAD")}
        if method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        message = f"Not allowed to {method} on {path}. Allowed: {allow['Allow']}."
        return HttpError(405, message, code="method_not_supported", headers=allow).response()
    return HttpError(error.status_code, str(error.detail), headers=error.headers).response()


async def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return complaint(error.errors(), error.body).response()


async def _backend_error(request: Request, error: Exception) -> Response:
    log.error("the database failed", exc_info=error)
    return unavailable("the database is not available", "store_unavailable").response()


# --- routes: the first match answers ----------------------------------------------------------------------------


def state_of(request: Request) -> State:
    state: State = request.app.state.inhouse
    return state


@routes.post("/v1/chat/completions", response_class=Response)
async def chat_completions(request: Request, body: ChatBody, key: Caller) -> Response:
    """Answers a conversation, as one reply or as a stream."""
    return Answer(state_of(request), key, body, request.headers.get("traceparent", ""))


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Liveness: the process is running."""
    return {"status": "ok"}


@routes.get("/readyz")
async def readyz(request: Request) -> Response:
    """Readiness: not draining, a release is open, its engines answer, and the audit log can be written."""
    state = state_of(request)
    try:
        await state.audit.check()
    except BackendError as error:
        log.error("the audit log cannot be written", exc_info=error)
        return JSONResponse({"status": f"the audit log cannot be written: {error}"}, 503, {"Retry-After": "5"})
    if state.draining or not state.fleet.names():
        return JSONResponse({"status": "draining" if state.draining else "empty"}, 503)
    if why := state.fleet.trouble():
        return JSONResponse({"status": why}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ready", "models": list(state.fleet.names())})


@routes.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus metrics. Needs an admin key."""
    if (key := request.scope["inhouse.key"]) is not None:
        need_admin(key)
    state = state_of(request)
    return Response(state.metrics.text(), media_type="text/plain; version=0.0.4")


@routes.get("/openapi.json")
async def openapi(request: Request) -> Any:
    """This API description."""
    return request.app.openapi()


@routes.get("/v1/models")
async def models(request: Request, key: Caller) -> Any:
    """Lists the models."""
    state = state_of(request)
    embedders = [state.embedder.name] if state.embedder else []
    return {"object": "list", "data": [_model(name) for name in [*state.fleet.names(), *embedders]]}


@routes.get("/v1/models/{name:path}")
async def model(request: Request, name: str, key: Caller) -> Any:
    """Describes a model."""
    state = state_of(request)
    if name not in state.fleet.names() and name != getattr(state.embedder, "name", None):
        message = f"The model '{name[:100]}' does not exist; GET /v1/models lists those that do."
        raise HttpError(404, message, code="model_not_found", param="model")
    return _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "inhouse"}


@routes.post("/v1/feedback")
async def feedback(request: Request, body: FeedbackBody, key: Caller) -> Any:
    """Stores feedback on an answer; the latest feedback of a user counts."""
    state = state_of(request)
    exchange = await _own_exchange(state, body.id, key)
    user = body.user or exchange.user
    await asyncio.to_thread(state.feedback.add, body.id, user, body.thumb, body.comment, body.resolved)
    return {"object": "feedback", "id": body.id, "thumb": body.thumb}


@routes.get("/v1/handoffs/{id}")
async def handoff(
    request: Request,
    id: str,
    key: Caller,
    wait: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0,
    x_inhouse_wait: Annotated[float, Header(ge=0, allow_inf_nan=False)] = 0,
) -> Any:
    """A conversation handed to a person; waits up to `wait` seconds for the reply."""
    state = state_of(request)
    item = await asyncio.to_thread(state.inbox.get, id)
    if item is None:
        raise HttpError(404, "no such hand-off", code="not_found", param="id")
    await _own_exchange(state, item.exchange_id, key)
    if item.status == "waiting" and (wait_s := min(max(wait, x_inhouse_wait), MOST_WAIT_S)):
        with state.waits.admitted(key.id):
            item = await state.inbox.wait(id, wait_s) or item
    answered = item.status in ("answered", "approved")
    return {"object": "handoff", "id": id, "status": item.status, "reason": item.reason, "at": item.at,
            "answer": item.reply if answered else None, "replied_at": item.replied_at or None}  # fmt: skip


async def _own_exchange(state: State, id: str, key: Any) -> Exchange:
    """The exchange, for the key that asked, reviewers of its groups, and admins; for others it does not exist."""
    exchange = await asyncio.to_thread(state.audit.get, id)
    if exchange is None or not (
        exchange.key == key.id
        or key.role == "admin"
        or (key.role == "reviewer" and exchange.groups <= frozenset(key.groups))
    ):
        raise HttpError(404, "no such answer", code="not_found", param="id")
    return exchange
