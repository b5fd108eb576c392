"""The page of costs: base against custom, what the saving depends on, four options, spending, and budgets."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from inhouse.errors import InputError
from inhouse.gateway.budgets import budget_lines
from inhouse.gateway.console.gate import Console
from inhouse.gateway.console.show import query

MOST_TYPED = 40  # characters of an input
KINDS = {
    "html": "text/html; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def cost_pages(console: Console) -> APIRouter:
    router = console.router()

    @router.get("/costs")
    def costs(request: Request) -> Response:
        typed, problem, status = typed_in(request), "", 200
        try:
            found = console.insight.costs(typed)
        except InputError as error:
            problem, status = f"{error}. {error.hint}".strip(), 422
            found = console.insight.costs({})
        state = console.state
        # Drawn by this package, which escapes what is in them.
        pictures = {name: Markup(getattr(found, name)) for name in ("dependence", "by_volume")}  # noqa: S704
        budgets = budget_lines(state.project, state.keys.ledger) if state.project.budget else []
        return console.page(
            request,
            "costs",
            status,
            costs=found,
            problem=problem,
            typed=typed,
            address=query(typed),
            budgets=budgets,
            **pictures,
        )

    @router.get("/costs/export")
    def export(request: Request, kind: Literal["html", "xlsx"]) -> Response:
        typed = typed_in(request)
        headers = {"Content-Disposition": f'attachment; filename="costs.{kind}"'}
        return Response(console.insight.costs_file(typed, kind), media_type=KINDS[kind], headers=headers)

    return router


def typed_in(request: Request) -> dict[str, str]:
    """The inputs of the address that are not empty."""
    given = {name: value.strip()[:MOST_TYPED] for name, value in request.query_params.items() if name != "kind"}
    return {name: value for name, value in given.items() if value}
