"""The page of incidents: how the canary stands, the canaries that were rolled back automatically, and alerts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from inhouse.gateway.console.gate import Console, signed_in
from inhouse.store.alerts import AlertBox
from inhouse.store.incidents import incidents

MOST_SHOWN = 50


def incident_pages(console: Console) -> APIRouter:
    router = console.router()
    state = console.state
    alerts = AlertBox(state.keys.ledger)

    @router.get("/incidents")
    def shown(request: Request) -> Response:
        return console.page(
            request, "incidents", guards=list(state.guards()), found=incidents(state.audit, MOST_SHOWN),
            alerts=alerts.recent(MOST_SHOWN), automatic=state.project.release.rollback,
            may_read=signed_in(request).may("audit"),
        )  # fmt: skip

    return router
