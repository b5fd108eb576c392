"""Pages about the quality of live answers: the accuracy by week, and the answers that wait for a rating.

A reviewer sees the question, the answer, and its passages, but neither the confidence nor what others said of it:
either would move the rating.
"""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response

from inhouse.chat import Exchange
from inhouse.errors import InputError
from inhouse.gateway.console.gate import Console, redirect, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.console.show import query
from inhouse.store.ratings import Drawn, Label

MOST_WAITING = 200  # answers looked at for one that the session may read
MOST_AFTER = 50  # answers put off in one sitting
LABELS: tuple[Label, ...] = get_args(Label)


def quality_pages(console: Console) -> APIRouter:
    router = console.router()
    ratings, audit = console.state.ratings, console.state.audit

    @router.get("/quality")
    def overview(request: Request) -> Response:
        session = signed_in(request)
        waiting = _readable(session)
        return console.page(
            request, "quality", quality=console.insight.quality(), waiting_for_rating=waiting,
            week=console.state.project.quality.labels_per_week,
        )  # fmt: skip

    @router.get("/quality/rate")
    def next_one(request: Request, skip: Annotated[list[str] | None, Query(max_length=MOST_AFTER)] = None) -> Response:
        put_off = set(skip or ())
        waiting = [(d, e) for d, e in _readable(signed_in(request)) if d.exchange_id not in put_off]
        if not waiting:
            return redirect("/quality")
        drawn, exchange = waiting[0]
        return _show(request, drawn, exchange, len(waiting), sorted(put_off))

    @router.post("/quality/rate")
    def rate(
        request: Request,
        id: Annotated[str, Form(max_length=200)],
        label: Annotated[Label, Form()],
        comment: Annotated[str, Form(max_length=2000)] = "",
    ) -> Response:
        session = signed_in(request)
        exchange = audit.get(id)
        if exchange is None or not session.may_read(exchange.groups):
            raise HTTPException(404, "This answer does not exist, or your groups may not read it.")
        if id not in {d.exchange_id for d in _waiting(session)}:
            raise InputError("this answer does not wait for your rating", "it may be rated by now; take the next one")
        ratings.add(id, session.key, label, comment.replace("\r\n", "\n").strip())
        return redirect("/quality/rate")

    def _waiting(session: Session) -> list[Drawn]:
        return ratings.waiting(session.key, console.state.project.quality.rated_twice, MOST_WAITING)

    def _readable(session: Session) -> list[tuple[Drawn, Exchange]]:
        """The answers that wait for this reviewer and that their groups may read, in order."""
        pairs = ((d, audit.get(d.exchange_id)) for d in _waiting(session))
        return [(d, e) for d, e in pairs if e is not None and session.may_read(e.groups)]

    def _show(request: Request, drawn: Drawn, exchange: Exchange, left: int, put_off: list[str]) -> Response:
        later = query({}) + "&".join(query({"skip": id})[1:] for id in [*put_off, exchange.id][-MOST_AFTER:])
        return console.page(
            request, "rate", drawn=drawn, exchange=exchange, left=left, labels=LABELS, later=f"/quality/rate{later}"
        )

    return router
