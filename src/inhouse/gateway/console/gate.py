"""Access control for the console. Every route goes through it, and it refuses unknown pages.

It looks up who is signed in, checks that their role may open the page, requires the session's token for everything but
plain reads, and adds the headers that keep foreign scripts out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from inhouse.errors import InhouseError, InputError
from inhouse.gateway.acting import may_decide
from inhouse.gateway.console import show
from inhouse.gateway.console.oidc import Provider
from inhouse.gateway.console.seams import Insight
from inhouse.gateway.console.session import COOKIE, PAGES, Session, Signer, secret_in
from inhouse.gateway.state import State
from inhouse.store.actions import ACTING, Actor
from inhouse.store.keys import Key
from inhouse.store.tables import now_ms
from inhouse.tools import Call

HERE = Path(__file__).parent
HOME = "/console"
OPEN = frozenset({"sign-in", "oidc", "static"})  # without a session; they check what they need
EVERYONE = frozenset({"", "sign-out"})  # for any role
READS = frozenset({"GET", "HEAD"})
WAITING_SHOWN = 99
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}  # the gateway's middleware adds more
NAVIGATION = (
    ("Use", (("playground", "Playground"), ("inbox", "Inbox"))),
    ("Build", (("verdict", "Verdict"), ("cascade", "Cascade"), ("knowledge", "Knowledge"), ("data", "Data"))),
    (
        "Run",
        (
            ("traffic", "Traffic"),
            ("quality", "Quality"),
            ("agents", "Agents"),
            ("experiments", "Experiments"),
            ("settings", "Settings"),
        ),
    ),
    ("Audit", (("audit", "Answers"), ("actions", "Actions"))),
)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Console:
    """What the pages share: the gateway's state, the templates, and the signer of cookies."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.signer = Signer(secret_in(state.project.path(state.project.store.path)))
        oidc = state.project.gateway.oidc
        self.provider = Provider(oidc) if oidc.issuer else None
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters.update(show.FILTERS)

    @property
    def insight(self) -> Insight:
        """What was built.

        Raises:
            HTTPException: 404, the gateway was started without a project.
        """
        if self.state.insight is None:
            raise HTTPException(404, "This gateway serves models only: it was started without a project.")
        return self.state.insight

    def router(self) -> APIRouter:
        """An empty router whose routes pass the gate."""
        return APIRouter(route_class=_gated(self), include_in_schema=False)

    def page(self, request: Request, name: str, code: int = 200, /, **values: Any) -> HTMLResponse:
        """The template `name`.html, escaped throughout, with the parts that every page shows."""
        session: Session | None = getattr(request.state, "session", None)
        allowed = [name for name in PAGES if session and session.may(name)]
        text = self._environment.get_template(f"{name}.html").render(
            home=HOME, project=self.state.project.name, session=session, current=page_of(request), allowed=allowed,
            navigation=NAVIGATION, waiting=self._waiting(session), now=datetime.now(UTC), **values,
        )  # fmt: skip
        return HTMLResponse(text, code)

    def session_of(self, request: Request) -> Session | None:
        """Who is signed in, with the role and groups that they have now."""
        if not (token := request.cookies.get(COOKIE)) or not (content := self.state.sessions.find(token)):
            return None
        session = Session(**content)
        if session.key.startswith("oidc:"):
            return self._person(session)
        key = next((k for k in self.state.keys.all() if k.id == session.key), None)
        if key is None or not key.holds(now_ms()):
            return None
        return session.model_copy(update={"name": key.name, "role": key.role, "groups": frozenset(key.groups)})

    def _person(self, session: Session) -> Session | None:
        """Someone who signed in at the provider; None if the project file does not admit them any more."""
        if self.provider is None:
            return None
        try:
            who = self.provider.person(session.claims)
        except InputError:
            return None
        return session.model_copy(update={"name": who.name, "role": who.role, "groups": who.groups})

    def to_decide(self, session: Session) -> list[Call]:
        """The calls of tools that wait for a person, and that this one may decide on; the oldest first."""
        waiting = self.state.calls.waiting() if self.state.calls else ()
        return [call for call in waiting if may_decide(key_of(session), call)]

    def names(self) -> dict[str, str]:
        """Names of keys by ID: a key's ID is the user of requests that name none."""
        return {key.id: key.name for key in self.state.keys.all()}

    def _waiting(self, session: Session | None) -> str:
        """How many waiting conversations this reviewer may read, and calls they may decide on."""
        if session is None or not session.may("inbox"):
            return ""
        waiting = self.state.inbox.first("waiting", WAITING_SHOWN + 1, lambda h: session.may_read(frozenset(h.groups)))
        count = len(waiting) + len(self.to_decide(session))
        return f"{WAITING_SHOWN}+" if count > WAITING_SHOWN else str(count or "")


def key_of(session: Session) -> Key:
    """Who is signed in, as whoever holds an API key with that role and these groups."""
    groups = tuple(sorted(session.groups))
    return Key(id=session.key, name=session.name, role=session.role, groups=groups, created_at="")


def page_of(request: Request) -> str:
    """The first part of the path below the console."""
    return request.url.path.removeprefix(HOME).strip("/").split("/")[0]


def address_of(request: Request) -> str:
    """The address of the client, empty if unknown."""
    return request.client.host if request.client else ""


def signed_in(request: Request) -> Session:
    """The session that the gate let in."""
    session: Session = request.state.session
    return session


def redirect(path: str, headers: Mapping[str, str] | None = None) -> RedirectResponse:
    return RedirectResponse(HOME + path, 303, headers=dict(headers or {}))


def _gated(console: Console) -> type[APIRoute]:
    class Gate(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def through(request: Request) -> Response:
                ACTING.set(Actor(id="", name="", at=address_of(request)))
                try:
                    if (page := page_of(request)) not in OPEN:
                        request.state.session = await _let_in(console, request, page)
                    response = await handle(request)
                except HTTPException as error:
                    response = _refusal(console, request, error.status_code, str(error.detail), "", error.headers)
                except RequestValidationError:
                    response = _refusal(console, request, 422, "The form has missing or invalid values.")
                except InhouseError as error:
                    status = 422 if isinstance(error, InputError) else 503
                    response = _refusal(console, request, status, str(error), error.hint)
                for name, value in HEADERS.items():
                    response.headers.setdefault(name, value)
                return response

            return through

    return Gate


async def _let_in(console: Console, request: Request, page: str) -> Session:
    session = await run_in_threadpool(console.session_of, request)
    if session is None:
        here = request.url.path if request.method in READS else ""
        to = f"?{urlencode({'to': here})}" if here not in ("", HOME) else ""
        raise HTTPException(303 if _wants_page(request) else 401, "Sign in first.", {"Location": f"{HOME}/sign-in{to}"})
    request.state.session = session
    ACTING.set(Actor(id=session.key, name=session.name, at=address_of(request)))
    if page not in PAGES and page not in EVERYONE:
        raise HTTPException(404, "This page does not exist.")
    if page in PAGES and not session.may(page):
        raise HTTPException(403, f"Your role, {session.role}, may not open this page.")
    if request.method not in READS:
        await check_token(request, session.csrf)
    return session


async def check_token(request: Request, expected: str) -> None:
    """Raises:
    HTTPException: 403, the form or header does not carry the session's token.
    """
    given = request.headers.get("x-csrf", "")
    if not given and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        value = (await request.form()).get("csrf", "")
        given = value if isinstance(value, str) else ""
    if not expected or not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise HTTPException(403, "This form is not from your session. Reload the page and try again.")


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers


def _refusal(
    console: Console, request: Request, status: int, message: str, hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    if status in (303, 307):
        return RedirectResponse((headers or {})["Location"], status)
    request.state.session = None  # a page without queries: the store may be what failed
    if not _wants_page(request) and "hx-request" not in request.headers:
        return JSONResponse({"error": {"message": message}}, status)
    return console.page(request, "refused", status, status=status, message=message, hint=hint)
