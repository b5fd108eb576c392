"""The page after sign-in: what happens now, and where the project stands on its path."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from inhouse.gateway.console.gate import Console, signed_in

A_DAY_MINUTES = 1440


def home_pages(console: Console) -> APIRouter:
    router = console.router()

    @router.get("/home")
    def home(request: Request) -> Response:
        now = datetime.now(UTC)
        day = now.replace(hour=0, minute=0, second=0, microsecond=0)
        until = (now + timedelta(seconds=1)).isoformat()
        today = console.state.traffic.buckets(day.isoformat(), until, A_DAY_MINUTES)
        return console.page(
            request, "home", roadmap=console.insight.roadmap(), live=console.insight.estimates(),
            requests=sum(b.requests for b in today), handoffs=sum(b.handoffs for b in today),
            errors=sum(b.errors for b in today), inbox=signed_in(request).may("inbox"),
        )  # fmt: skip

    return router
