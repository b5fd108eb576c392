"""Signing in with an API key or with OpenID Connect, and out again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from inhouse.errors import InhouseError
from inhouse.gateway.console.gate import HOME, Console, check_token, redirect
from inhouse.gateway.console.oidc import Provider
from inhouse.gateway.console.session import COOKIE, SESSION_S, Session, new_session


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


SIGNED_IN = Cookie(COOKIE, SESSION_S, HOME)
FORM = Cookie("inhouse_form", 600, f"{HOME}/sign-in")  # ties the sign-in form to the browser that loaded it
# The state of a sign-in at the provider. Lax: a strict cookie would not come along when the provider redirects here.
FLOW = Cookie("inhouse_oidc", 600, f"{HOME}/oidc", "lax")
MOST_CHARS = 200

Ask = Callable[[Request, str, str, int], Response]
Enter = Callable[[Request, Response, Session], Response]


def sign_in_pages(console: Console) -> APIRouter:
    router = console.router()
    settings = console.state.project.gateway.oidc
    provider = Provider(settings) if settings.issuer else None

    def form(request: Request, to: str, problem: str = "", status: int = 200) -> Response:
        token = secrets.token_urlsafe(24)
        response = console.page(
            request, "sign_in", status, to=_inside(to), problem=problem, token=token, single_sign_on=bool(provider)
        )
        FORM.set(request, response, console.signer.sign("form", token))
        return response

    def enter(request: Request, response: Response, session: Session) -> Response:
        SIGNED_IN.set(request, response, console.signer.cookie(session))
        return response

    @router.get("/sign-in")
    def ask(request: Request, to: str = "") -> Response:
        return form(request, to)

    @router.post("/sign-in")
    async def check(request: Request, key: Annotated[str, Form()] = "", to: Annotated[str, Form()] = "") -> Response:
        await check_token(request, console.signer.read("form", request.cookies.get(FORM.name, "")) or "")
        known = await run_in_threadpool(console.state.keys.check, key.strip()[:MOST_CHARS])
        if known is None:
            return form(request, to, "The key is unknown, expired or revoked.", 401)
        session = new_session(known.id, known.name, known.role, frozenset(known.groups))
        return enter(request, redirect(_inside(to).removeprefix(HOME) or "/"), session)

    @router.post("/sign-out")
    def leave(request: Request) -> Response:
        response = redirect("/sign-in")
        response.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
        return response

    if provider:
        _provider_pages(console, router, provider, form, enter)
    return router


def _provider_pages(console: Console, router: APIRouter, provider: Provider, form: Ask, enter: Enter) -> None:
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
            return form(request, "", "The provider refused the sign-in.", 403)
        try:
            who = await provider.finish(code, flow, _callback(request))
        except InhouseError as problem:
            return form(request, "", f"{problem} {problem.hint}".strip(), 403)
        session = new_session(f"oidc:{who.subject}", who.name, who.role, who.groups)
        # A page, not a redirect: the browser sends a strict cookie only with what our own page leads to.
        response = enter(request, console.page(request, "signed_in", name=who.name), session)
        response.delete_cookie(FLOW.name, path=FLOW.path)
        return response


def _inside(to: str) -> str:
    """The path, where it is one of the console's pages; else empty."""
    return to if to.startswith(f"{HOME}/") and to.isprintable() and "\\" not in to and len(to) <= MOST_CHARS else ""


def _callback(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}{HOME}/oidc/callback"
