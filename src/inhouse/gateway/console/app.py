"""The console: pages for people at /console, made on the server, behind one gate."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from inhouse.gateway.console.agents import agent_pages
from inhouse.gateway.console.approvals import approval_pages
from inhouse.gateway.console.audited import audit_pages
from inhouse.gateway.console.building import building_pages
from inhouse.gateway.console.gate import Console, redirect
from inhouse.gateway.console.playground import playground_pages
from inhouse.gateway.console.quality import quality_pages
from inhouse.gateway.console.running import running_pages
from inhouse.gateway.console.signin import sign_in_pages
from inhouse.gateway.state import State

STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}


def console(state: State) -> APIRouter:
    """Every page, for `include_router(..., prefix="/console")`.

    Raises:
        BackendError: the secret of sessions cannot be stored in the store's folder.
    """
    made = Console(state)
    router = APIRouter(include_in_schema=False)
    for pages in (
        _front,
        sign_in_pages,
        playground_pages,
        building_pages,
        running_pages,
        quality_pages,
        approval_pages,
        agent_pages,
        audit_pages,
    ):
        router.include_router(pages(made))
    router.include_router(_nowhere(made))
    return router


def _nowhere(made: Console) -> APIRouter:
    router = made.router()

    @router.api_route("/{path:path}", methods=["GET", "POST"])
    def nowhere(path: str) -> Response:
        raise HTTPException(404, "This page does not exist.")

    return router


def _front(made: Console) -> APIRouter:
    router = made.router()
    # Read once, served from memory: no path comes near the disk.
    files = {f.name: (f.read_bytes(), KINDS[f.suffix]) for f in STATIC.iterdir() if f.suffix in KINDS}
    tags = {name: f'"{hashlib.sha256(body).hexdigest()[:16]}"' for name, (body, _) in files.items()}

    @router.get("/")
    def front() -> Response:
        return redirect("/playground")

    @router.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "This file does not exist.")
        body, kind = files[name]
        headers = {"ETag": tags[name], "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=kind, headers=headers)

    return router
