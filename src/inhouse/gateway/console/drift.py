"""The page of drift: what has changed in live traffic and documents, and what to do."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from inhouse.gateway.console.gate import Console


def drift_pages(console: Console) -> APIRouter:
    router = console.router()

    @router.get("/drift")
    def drift(request: Request) -> Response:
        return console.page(request, "drift", found=console.insight.drift())

    return router
