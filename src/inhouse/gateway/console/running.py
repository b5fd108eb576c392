"""Pages about operation: traffic, experiments, the inbox, settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from inhouse.errors import ConfigError, InputError
from inhouse.gateway.console.gate import Console, redirect, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.console.show import query
from inhouse.store.inbox import Handoff, Status, flags
from inhouse.store.ratings import Label
from inhouse.store.signals import LABELS
from inhouse.store.traffic import Bucket

SPANS = {"6h": (6, 5), "24h": (24, 30), "7d": (168, 240), "30d": (720, 1440)}  # hours, minutes per bucket
STATUSES: tuple[Status, ...] = ("waiting", "answered", "approved", "rejected")
MOST_LISTED = 200  # conversations of one status in the inbox


def running_pages(console: Console) -> APIRouter:
    router = console.router()
    _traffic(console, router)
    _experiments(console, router)
    _inbox(console, router)
    _settings(console, router)
    return router


def _traffic(console: Console, router: APIRouter) -> None:
    @router.get("/traffic")
    def traffic(request: Request, span: str = "24h") -> Response:
        span = span if span in SPANS else "24h"
        hours, minutes = SPANS[span]
        until = datetime.now(UTC)
        since = until - timedelta(hours=hours)
        buckets = console.state.traffic.buckets(since.isoformat(), until.isoformat(), minutes)
        return console.page(request, "traffic", span=span, spans=SPANS, buckets=buckets, **_sums(buckets))


def _sums(buckets: Sequence[Bucket]) -> dict[str, float | None]:
    requests = sum(b.requests for b in buckets)
    thumbs = sum(b.thumbs_up + b.thumbs_down for b in buckets)

    def share(n: int, of: int) -> float | None:
        return n / of if of else None

    busy = [b for b in buckets if b.requests]
    return {
        "requests": requests,
        "errors": share(sum(b.errors for b in buckets), requests),
        "refusals": share(sum(b.refusals for b in buckets), requests),
        "handoffs": sum(b.handoffs for b in buckets),
        "tokens": sum(b.prompt_tokens + b.completion_tokens for b in buckets),
        "cost_usd": sum(b.cost_usd for b in buckets),
        "satisfied": share(sum(b.thumbs_up for b in buckets), thumbs),
        "thumbs": thumbs,
        "typical_s": sorted(b.p50_s for b in busy)[len(busy) // 2] if busy else None,
        "slow_s": max((b.p95_s for b in busy), default=None),
    }


def _experiments(console: Console, router: APIRouter) -> None:
    @router.get("/experiments")
    def live(request: Request) -> Response:
        return _show(request)

    @router.post("/experiments/start")
    def start(
        request: Request,
        name: Annotated[str, Form(max_length=60)],
        first: Annotated[str, Form()],
        second: Annotated[str, Form()],
        share: Annotated[float, Form()],
    ) -> Response:
        if first == second or not {first, second} <= set(console.insight.candidates()):
            return _show(request, "Choose two different arms.", 422)
        if not (math.isfinite(share) and 0 < share < 100):
            return _show(request, "Enter a share between 0 and 100 percent.", 422)
        return _done(request, lambda: console.insight.start(name.strip(), {first: 100 - share, second: share}))

    @router.post("/experiments/stop")
    def stop(request: Request) -> Response:
        return _done(request, console.insight.stop)

    @router.post("/experiments/weights")
    async def weigh(request: Request) -> Response:
        form = await request.form()
        return await run_in_threadpool(_weigh, request, {k: str(v) for k, v in form.items() if k != "csrf"})

    def _weigh(request: Request, given: Mapping[str, str]) -> Response:
        try:
            weights = {k.removeprefix("weight-"): float(v) for k, v in given.items()}
        except ValueError:
            weights = {}
        live, valid = console.insight.live(), all(math.isfinite(w) and w >= 0 for w in weights.values())
        if live is None or set(weights) != {a.arm for a in live.arms} or not valid or not any(weights.values()):
            return _show(request, "Give each arm a weight of 0 or more; at least one must be above 0.", 422)
        return _done(request, lambda: console.insight.weigh(weights))

    def _done(request: Request, change: Callable[[], None]) -> Response:
        try:
            change()
        except (ConfigError, InputError) as error:
            return _show(request, f"{error}. {error.hint}".strip(), 422)
        return redirect("/experiments")

    def _show(request: Request, problem: str = "", status: int = 200) -> Response:
        live, candidates = console.insight.live(), console.insight.candidates()
        return console.page(request, "experiments", status, live=live, candidates=candidates, problem=problem)


def _inbox(console: Console, router: APIRouter) -> None:
    inbox = console.state.inbox

    @router.get("/inbox")
    def conversations(request: Request, status: str = "waiting") -> Response:
        chosen = next((s for s in STATUSES if s == status), STATUSES[0])
        listed = handoffs_by_status(console, signed_in(request))
        return console.page(
            request, "inbox", status=chosen, counts=inbox_counts(console, signed_in(request), listed),
            handoffs=listed[chosen][:MOST_LISTED],
        )  # fmt: skip

    @router.get("/inbox/conversation")
    def one(request: Request, id: str, done: str = "") -> Response:
        return _show(request, _handoff(id, signed_in(request)), done=done if done in STATUSES else "")

    @router.post("/inbox/conversation")
    def act(
        request: Request,
        id: Annotated[str, Form()],
        act: Annotated[Literal["answer", "approve", "reject"], Form()],
        reply: Annotated[str, Form(max_length=20_000)] = "",
        verdict: Annotated[Label | Literal[""], Form()] = "",
    ) -> Response:
        session = signed_in(request)
        handoff = _handoff(id, session)
        text = reply.replace("\r\n", "\n").strip()
        try:
            if act == "reject":
                inbox.reject(id, session.name)
            elif act == "answer" or text != handoff.reply:
                inbox.answer(id, text, session.name)
            if act == "approve":
                inbox.approve(id, session.name)
            if verdict and _flagged(console, handoff):
                console.state.ratings.add(handoff.exchange_id, session.key, verdict)
        except InputError as error:
            return _show(request, handoff, problem=f"{error.hint[:1].upper()}{error.hint[1:]}.", status=422)
        done = {"answer": "answered", "approve": "approved", "reject": "rejected"}[act]
        return redirect("/inbox/conversation" + query({"id": id, "done": done}))

    def _handoff(id: str, session: Session) -> Handoff:
        handoff = inbox.get(id)
        if handoff is None or not session.may_read(frozenset(handoff.groups)):
            raise HTTPException(404, "This conversation does not exist, or your groups may not read it.")
        return handoff

    def _show(request: Request, handoff: Handoff, done: str = "", problem: str = "", status: int = 200) -> Response:
        exchange = console.state.audit.get(handoff.exchange_id)
        feedback = console.state.feedback.for_exchange(handoff.exchange_id)
        turns = console.state.turns
        return console.page(
            request, "conversation", status, handoff=handoff, exchange=exchange, feedback=feedback, done=done,
            problem=problem, turn=turns.answering(handoff.exchange_id) if turns else None,
            verdicts=tuple(LABELS) if _flagged(console, handoff) else (),
            said=_said(console, signed_in(request), handoff),
        )  # fmt: skip


def _flagged(console: Console, handoff: Handoff) -> bool:
    """Whether there is an answer that the reviewer can judge: its reader asked for a person."""
    exchange = console.state.audit.get(handoff.exchange_id)
    return exchange is not None and flags(handoff.reason, exchange.usage.completion_tokens)


def _said(console: Console, session: Session, handoff: Handoff) -> str:
    """What this reviewer said of the answer before, "" if nothing."""
    ratings = console.state.ratings.about([handoff.exchange_id])
    return next((r.label for r in ratings if r.rater == session.key), "")


def handoffs_by_status(console: Console, session: Session) -> dict[Status, list[Handoff]]:
    """The conversations that a reviewer may read, one more than are listed of each status."""
    inbox = console.state.inbox
    return {s: inbox.first(s, MOST_LISTED + 1, lambda h: session.may_read(frozenset(h.groups))) for s in STATUSES}


def inbox_counts(
    console: Console, session: Session, listed: Mapping[Status, Sequence[Handoff]]
) -> dict[str, tuple[str, str]]:
    """The tabs of the inbox: by what they show, their address and the number on them."""
    numbers = {s: f"{MOST_LISTED}+" if len(rows) > MOST_LISTED else str(len(rows)) for s, rows in listed.items()}
    tabs = {str(s): (f"/inbox?status={s}", number) for s, number in numbers.items()}
    if console.state.calls is None:
        return tabs
    return {"approvals": ("/inbox/approvals", str(len(console.to_decide(session)))), **tabs}


def _settings(console: Console, router: APIRouter) -> None:
    @router.get("/settings")
    def settings(request: Request) -> Response:
        state = console.state
        return console.page(
            request, "settings", config=state.project.model_dump(mode="json"), models=list(state.fleet.names()),
            keys=state.keys.all(), overview=console.insight.overview(),
        )  # fmt: skip
