"""Signing in with an API key or with OpenID Connect, and out again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from inhouse.errors import InhouseError
from inhouse.gateway.console.gate import HOME, Console, address_of, check_token, redirect
from inhouse.gateway.console.oidc import Provider
from inhouse.gateway.console.session import COOKIE, Session
from inhouse.store.actions import ACTING, Actor
from inhouse.store.audit import Audit


class Cookie(NamedTuple):
    """A cookie that scripts cannot read."""

    name: str
    seconds: int
    path: str
    same_site: Literal["strict", "lax"] = "strict"

    def set(self, request: Request, response: Response, value: str) -> None:
        response.set_cookie(
            self.name, value, max_age=self.seconds, path=self.path, httponly=True, secure=request.url.scheme == "https",
            samesite=self.same_site,
        )  # fmt: skip


FORM = Cookie("inhouse_form", 600, f"{HOME}/sign-in")  # ties the sign-in form to the browser that loaded it
# The state of a sign-in at the provider. Lax: a strict cookie would not come along when the provider redirects here.
FLOW = Cookie("inhouse_oidc", 600, f"{HOME}/oidc", "lax")
MOST_CHARS = 200

Ask = Callable[[Request, str, str, int], Response]
Enter = Callable[[Request, Response, Session], Awaitable[Response]]
FAILED_S = 10.0  # at most one failed sign-in is recorded in this time, so that nobody can fill the log


class Failed:
    """Records failed sign-ins, with the number of those since the last record."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._count = 0
        self._last = -FAILED_S

    def record(self, why: str) -> None:
        self._count += 1
        if (now := time.monotonic()) - self._last >= FAILED_S:
            self._last, count, self._count = now, self._count, 0
            self._audit.act("sign-in failed", facts={"why": why, "attempts": count})


def sign_in_pages(console: Console) -> APIRouter:
    router = console.router()
    settings = console.state.project.gateway
    provider, failed = console.provider, Failed(console.state.audit)
    lasts_s = settings.session_hours * 3600

    def form(request: Request, to: str, problem: str = "", status: int = 200) -> Response:
        token = secrets.token_urlsafe(24)
        response = console.page(
            request, "sign_in", status, to=_inside(to), problem=problem, token=token, single_sign_on=bool(provider)
        )
        FORM.set(request, response, console.signer.sign("form", token))
        return response

    async def enter(request: Request, response: Response, session: Session) -> Response:
        ACTING.set(Actor(id=session.key, name=session.name, at=address_of(request)))
        least_s = min(lasts_s, settings.oidc.session_minutes * 60) if session.claims else lasts_s
        content = session.model_dump(mode="json")
        token = await run_in_threadpool(console.state.sessions.begin, session.key, content, least_s)
        Cookie(COOKIE, round(least_s), HOME).set(request, response, token)
        return response

    @router.get("/sign-in")
    def ask(request: Request, to: str = "") -> Response:
        return form(request, to)

    @router.post("/sign-in")
    async def check(request: Request, key: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "") -> Response:
        await check_token(request, console.signer.read("form", request.cookies.get(FORM.name, "")) or "")
        known = await run_in_threadpool(console.state.keys.check, key.strip()[:MOST_CHARS])
        if known is None or known.role == "device":
            await run_in_threadpool(failed.record, "unknown, expired, or revoked key")
            return form(request, to, "The key is unknown, expired or revoked.", 401)
        session = Session(key=known.id, name=known.name, role=known.role, csrf=secrets.token_urlsafe(24))
        return await enter(request, redirect(_inside(to).removeprefix(HOME) or "/"), session)

    @router.post("/sign-out")
    def leave(request: Request) -> Response:
        console.state.sessions.end(request.cookies.get(COOKIE, ""))
        response = redirect("/sign-in")
        response.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
        return response

    if provider:
        _provider_pages(console, router, provider, form, enter, failed)
    return router


def _provider_pages(
    console: Console, router: APIRouter, provider: Provider, form: Ask, enter: Enter, failed: Failed
) -> None:
    """To the provider, and back from it."""

    @router.get("/oidc/start")
    async def start(request: Request) -> Response:
        try:
            url, flow = await provider.begin(_callback(request))
        except InhouseError as error:
            return form(request, "", f"{error} {error.hint}".strip(), 502)
        response = Response(status_code=303, headers={"Location": url})
        FLOW.set(request, response, console.signer.sign("oidc", flow))
        return response

    @router.get("/oidc/callback")
    async def back(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
        flow = console.signer.read("oidc", request.cookies.get(FLOW.name, ""))
        if not flow or not secrets.compare_digest(str(flow["state"]).encode(), state.encode("utf-8", "replace")):
            raise HTTPException(403, "This sign-in was not started in this browser, or it took too long. Start again.")
        if error or not code:
            await run_in_threadpool(failed.record, "refused by the provider")
            return form(request, "", "The provider refused the sign-in.", 403)
        try:
            who = await provider.finish(code, flow, _callback(request))
        except InhouseError as problem:
            await run_in_threadpool(failed.record, str(problem))
            return form(request, "", f"{problem} {problem.hint}".strip(), 403)
        session = Session(key=f"oidc:{who.subject}", name=who.name, role=who.role, groups=who.groups,
                          csrf=secrets.token_urlsafe(24), claims=who.claims)  # fmt: skip
        # A page, not a redirect: the browser sends a strict cookie only with what our own page leads to.
        response = await enter(request, console.page(request, "signed_in", name=who.name), session)
        response.delete_cookie(FLOW.name, path=FLOW.path)
        return response


def _inside(to: str) -> str:
    """The path, where it is one of the console's pages; else empty."""
    return to if to.startswith(f"{HOME}/") and to.isprintable() and "\\" not in to and len(to) <= MOST_CHARS else ""


def _callback(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}{HOME}/oidc/callback"
