"""Pages about what was built: the verdict, the cascade, the knowledge, the data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from markupsafe import Markup
from starlette.responses import HTMLResponse

from inhouse.gateway.console.gate import Console, redirect, signed_in
from inhouse.gateway.console.seams import PARTS, Row
from inhouse.gateway.console.show import query
from inhouse.types import Review

A_PAGE = 50
MATCHES = 12
METRICS = ("facts", "format", "unsupported", "rouge_l", "tone")
# The report has inline scripts. In a sandbox it has no origin: no cookies, no access to the console.
SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def building_pages(console: Console) -> APIRouter:
    router = console.router()
    _verdict(console, router)
    _cascade(console, router)
    _knowledge(console, router)
    _data(console, router)
    return router


def _verdict(console: Console, router: APIRouter) -> None:
    @router.get("/verdict")
    def verdict(request: Request) -> Response:
        return console.page(request, "verdict", report=console.insight.report(), metrics=METRICS)

    @router.get("/verdict/report")
    def report(request: Request) -> Response:
        page = console.insight.report_page()
        if page is None:
            raise HTTPException(404, "There is no verdict yet. Run `inhouse build` to create one.")
        return HTMLResponse(page, headers={"Content-Security-Policy": SANDBOX})


def _cascade(console: Console, router: APIRouter) -> None:
    @router.get("/cascade")
    def cascade(request: Request) -> Response:
        found = console.insight.cascade()
        # The picture is drawn by this package, which escapes what is in it.
        picture = Markup(found.picture) if found else ""  # noqa: S704
        return console.page(request, "cascade", found=found, picture=picture)


def _knowledge(console: Console, router: APIRouter) -> None:
    @router.get("/knowledge")
    def knowledge(request: Request, q: str = "", view: str = "documents", page: int = 1) -> Response:
        groups = signed_in(request).groups
        documents, failures = console.insight.documents(groups), console.insight.failures(groups)
        matches = console.insight.search(q, MATCHES, groups) if q.strip() else []
        shown, page, pages = _page(documents, page)
        return console.page(
            request, "knowledge", q=q, view=view, documents=shown, total=len(documents), failures=failures,
            matches=matches, chunks=sum(d.chunks for d in documents), groups=sorted(groups), page=page, pages=pages,
        )  # fmt: skip

    @router.get("/knowledge/document")
    def document(request: Request, source: str) -> Response:
        chunks = console.insight.chunks(source, signed_in(request).groups)
        if not chunks:  # the same answer whether it does not exist or may not be read
            raise HTTPException(404, "This document does not exist, or your groups may not read it.")
        return console.page(request, "document", source=source, chunks=chunks)

    @router.get("/knowledge/page")
    def page(
        request: Request, source: str, page: Annotated[int, Query(ge=1)],
        box: Annotated[str, Query(max_length=60, pattern=r"^(?:[01](?:\.\d{1,6})?(?:,|$)){4}$")],
    ) -> Response:  # fmt: skip
        left, top, right, bottom = map(float, box.split(","))
        picture = console.insight.page(source, page, (left, top, right, bottom), signed_in(request).groups)
        if picture is None:
            raise HTTPException(404, "This page does not exist, or your groups may not read it.")
        return Response(picture, media_type="image/png", headers={"Cache-Control": "private, max-age=600"})


def _data(console: Console, router: APIRouter) -> None:
    @router.get("/data")
    def data(
        request: Request, part: str = "train", q: str = "", state: str = "", origin: str = "", page: int = 1
    ) -> Response:
        part = part if part in PARTS else PARTS[0]
        reviews = console.insight.reviews()
        counts = {name: len(console.insight.rows(name)) for name in PARTS}
        wanted = q.casefold()
        rows = [
            row
            for row in console.insight.rows(part)
            if (not wanted or wanted in _text(row, reviews.get(row.example.id)))
            and (not origin or row.example.origin == origin)
            and (not state or _state(reviews.get(row.example.id)) == state)
        ]
        shown, page, pages = _page(rows, page)
        return console.page(
            request, "data", part=part, parts=PARTS, counts=counts, rows=shown, total=len(rows), reviews=reviews, q=q,
            state=state, origin=origin, page=page, pages=pages,
        )  # fmt: skip

    @router.get("/data/example")
    def example(request: Request, id: str, part: str = "train", saved: bool = False) -> Response:
        row = _row(id, part)
        return console.page(
            request, "example", row=row, part=part, review=console.insight.reviews().get(id), saved=saved
        )

    @router.post("/data/example")
    def review(
        request: Request,
        id: Annotated[str, Form()],
        part: Annotated[str, Form()],
        status: Annotated[Literal["approved", "rejected"], Form()],
        question: Annotated[str, Form(max_length=20_000)] = "",
        target: Annotated[str, Form(max_length=20_000)] = "",
    ) -> Response:
        example = _row(id, part).example
        asks, answers = _lines(question) or example.question, _lines(target) or example.target
        review = Review(
            id=example.id, status=status, by=signed_in(request).name,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            question=asks if asks != _lines(example.question) else None,
            target=answers if answers != _lines(example.target) else None,
        )  # fmt: skip
        console.insight.review(review)
        console.state.audit.act("example reviewed", facts={"example": review.id, "part": part, "status": review.status})
        return redirect("/data/example" + query({"id": id, "part": part, "saved": "true"}))

    def _row(id: str, part: str) -> Row:
        row = next((r for r in console.insight.rows(part) if r.example.id == id), None) if part in PARTS else None
        if row is None:
            raise HTTPException(404, "This example does not exist in this part of the data.")
        return row


def _lines(text: str) -> str:
    """The text with one kind of line ends and no space around it, as forms return it."""
    return text.replace("\r\n", "\n").strip()


def _state(review: Review | None) -> str:
    if review is None:
        return "open"
    return "edited" if review.status == "approved" and (review.question or review.target) else review.status


def _text(row: Row, review: Review | None) -> str:
    edits = [review.question or "", review.target or ""] if review else []
    return "\n".join([*(m.content for m in row.example.messages), row.example.target, *edits, row.left_out]).casefold()


def _page(rows: Sequence[Any], page: int) -> tuple[Sequence[Any], int, int]:
    """The rows of a page, its number (from 1, at most the last), and the number of pages."""
    pages = max(-(-len(rows) // A_PAGE), 1)
    page = min(max(page, 1), pages)
    return rows[(page - 1) * A_PAGE : page * A_PAGE], page, pages
