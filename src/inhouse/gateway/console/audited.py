"""Pages about the audit log: questions and answers, what people did, and the state of the chain."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, HTTPException, Query, Request, Response

from inhouse.chat import Exchange
from inhouse.errors import BackendError, GateError
from inhouse.gateway.console.gate import Console, signed_in
from inhouse.gateway.console.session import Session
from inhouse.gateway.console.show import NOTHING, flat, query
from inhouse.store.actions import UPGRADED, Action
from inhouse.store.anchors import ANCHORED, UNANCHORED, kept_heads, place_of
from inhouse.store.audit import REDACTION
from inhouse.store.chain import Verified
from inhouse.store.edges import RECEIVED, REFUSED
from inhouse.store.incidents import INCIDENT
from inhouse.store.ratings import RATED
from inhouse.tools import Status
from inhouse.types import Json, Record

A_PAGE = 50
MOST_READ = 1000  # entries read for one page of exchanges, when groups hide many
Before = Annotated[int, Query(ge=0, lt=2**63)]
LONGEST = 160  # characters of a value that are shown
SHOWN_ELSEWHERE = frozenset({"handoff", "session", "example", "part", "token", "metrics", "examples"})
SIGN_INS = ("signed in", "signed out", "sign-in failed", "sessions ended")
KEYS = ("key created", "key revoked")
RELEASES = ("release made", "release promoted", "release canary", "release canary rolled back", "release rolled back",
            "releases found", "release received", "release shadow started", "release shadow stopped")  # fmt: skip
EXPERIMENTS = ("release experiment started", "release weights changed", "release experiment stopped")
EXPORTS = ("audit exported", "release exported")
WATCH = ("change marked", "watch indexed", "watch accepted", "watch built", "watch waits", "watch failed")
KINDS = {
    "Sign-ins": SIGN_INS,
    "API keys": KEYS,
    "Releases": RELEASES,
    "Experiments": EXPERIMENTS,
    "Incidents": (INCIDENT,),
    "Inbox": ("handed off", "hand-off waiting", "hand-off answered", "hand-off approved", "hand-off rejected"),
    "Calls of tools": ("tools approved", *(f"call {status}" for status in get_args(Status))),
    "Devices": (RECEIVED, REFUSED),
    "Training data": ("example reviewed",),
    "Feedback": ("feedback",),
    "Ratings": (RATED,),
    "Server starts and settings": ("server started",),
    "Exports": EXPORTS,
    "Watch": WATCH,
    "Redactions": (REDACTION, "conversation erased"),
    "Audit log": (ANCHORED, UNANCHORED, UPGRADED),
}
"""The kinds of actions by the name of their group."""


class Chain(Record):
    """The end of the chain, and when it was last kept elsewhere, if it is to be."""

    entries: int
    head: str
    anchored: bool  # whether the project names a place
    place: str = ""
    anchored_at: str = ""
    since: int = 0  # entries since then
    failure: str = ""  # why the last anchoring failed; "" if it did not


class Checked(Record):
    """The result of verifying the log, and how many anchored heads are part of it."""

    verified: Verified
    anchors: int


def audit_pages(console: Console) -> APIRouter:
    router = console.router()
    _exchanges(console, router)
    _actions(console, router)
    return router


def _exchanges(console: Console, router: APIRouter) -> None:
    audit, turns = console.state.audit, console.state.turns

    @router.get("/audit")
    def browse(
        request: Request, q: str = "", user: str = "", release: str = "", since: str = "", until: str = "",
        before: Before = 0,
    ) -> Response:  # fmt: skip
        return _show(request, {"q": q, "user": user, "release": release, "since": since, "until": until}, before)

    @router.get("/audit/exchange")
    def one(request: Request, id: str) -> Response:
        exchange = audit.get(id)
        if exchange is None or not signed_in(request).may_read(exchange.groups):
            raise HTTPException(404, "This exchange does not exist, or your groups may not read it.")
        return console.page(
            request, "exchange", exchange=exchange, link=audit.place(id), names=console.names(),
            feedback=console.state.feedback.for_exchange(id), turn=turns.answering(id) if turns else None,
            left=audit.sent_elsewhere(id),
        )  # fmt: skip

    @router.post("/audit/verify")
    def verify(request: Request) -> Response:
        return _show(request, {}, 0, _check(console))

    def _show(request: Request, given: dict[str, str], before: int, checked: Checked | None = None) -> Response:
        search = {"q": "", "user": "", "release": "", "since": "", "until": "", **given}
        rows, more = _readable(signed_in(request), search, before)
        return console.page(
            request, "audit", search=search, rows=rows, before=before, more=more, names=console.names(),
            checked=checked, chain=_chain(console),
        )  # fmt: skip

    def _readable(session: Session, search: dict[str, str], before: int) -> tuple[list[tuple[int, Exchange]], int]:
        """A page of what the session may read, and the entry to continue from, 0 at the end."""
        readable: list[tuple[int, Exchange]] = []
        read = 0
        while read < MOST_READ:
            some = audit.find(
                since=search["since"], until=search["until"], user=search["user"], text=search["q"],
                release=search["release"], limit=A_PAGE, before=before,
            )  # fmt: skip
            for seq, exchange in some:
                before = seq
                if session.may_read(exchange.groups):
                    readable.append((seq, exchange))
                    if len(readable) == A_PAGE:
                        return readable, before
            read += len(some)
            if len(some) < A_PAGE:
                return readable, 0
        return readable, before


def _actions(console: Console, router: APIRouter) -> None:
    @router.get("/actions")
    def browse(
        request: Request, by: str = "", kind: str = "", since: str = "", until: str = "", before: Before = 0
    ) -> Response:
        return _show(request, {"by": by.strip(), "kind": kind, "since": since, "until": until}, before)

    @router.post("/actions/verify")
    def verify(request: Request) -> Response:
        return _show(request, {"by": "", "kind": "", "since": "", "until": ""}, 0, _check(console))

    def _show(request: Request, search: dict[str, str], before: int, checked: Checked | None = None) -> Response:
        found = console.state.audit.actions(
            search["since"], search["until"], limit=A_PAGE + 1, what=KINDS.get(search["kind"], ()), by=search["by"],
            before=before,
        )  # fmt: skip
        session, more = signed_in(request), found[A_PAGE - 1].seq if len(found) > A_PAGE else 0
        rows = [(action, *_object(action, session), _facts(action)) for action in found[:A_PAGE]]
        return console.page(
            request, "actions", search=search, kinds=list(KINDS), rows=rows, before=before, more=more, checked=checked,
            chain=_chain(console),
        )  # fmt: skip


def _object(action: Action, session: Session) -> tuple[str, str]:
    """What an action is about, in words, and the address of its page below the console; "" where there is none that
    the session may open."""
    facts = action.facts or {}
    if action.what in (*RELEASES, *EXPERIMENTS, *EXPORTS):
        name = str(facts.get("release") or facts.get("production") or "")
        text, page, at = (f"release {name}" if name else ""), "settings", "/settings#releases"
    elif action.what == INCIDENT:
        text, page, at = f"release {facts.get('release', '')}", "incidents", f"/incidents#incident-{action.seq}"
    elif action.what in KEYS:
        text, page, at = f"key {action.about}", "settings", f"/settings#key-{action.about}"
    elif action.what == "server started":
        text, page, at = f"release {facts.get('release', '')}", "settings", "/settings"
    elif action.what == "example reviewed":
        named: dict[str, Json] = {"id": str(facts["example"]), "part": str(facts.get("part", "train"))}
        text, page, at = f"example {facts['example']}", "data", f"/data/example{query(named)}"
    elif "handoff" in facts and session.may("inbox"):
        text, page, at = "conversation", "inbox", f"/inbox/conversation{query({'id': str(facts['handoff'])})}"
    elif action.what in KINDS["Calls of tools"]:
        text, page, at = "call", "inbox", f"/inbox/call{query({'key': action.about})}"
    elif action.what in SIGN_INS:
        text, page, at = (f"session {facts['session']}" if "session" in facts else action.about), "", ""
    else:
        text, page, at = ("exchange" if action.about else ""), "audit", f"/audit/exchange{query({'id': action.about})}"
    return text, at if text and session.may(page) else ""


def _facts(action: Action) -> list[tuple[str, str]]:
    """What else is recorded of an action, by name; without what its object shows, and without tokens of authorities."""
    told = {name: value for name, value in (action.facts or {}).items() if name not in SHOWN_ELSEWHERE}
    return [(name, value[:LONGEST]) for name, value in flat(told) if value != NOTHING]


def _chain(console: Console) -> Chain:
    audit = console.state.audit
    seq, _, hash = audit.head().partition(":")
    chain = Chain(entries=int(seq), head=hash, anchored=bool(console.state.project.audit.anchor))
    if not chain.anchored:
        return chain
    last = next(iter(audit.actions(what=[ANCHORED], limit=1)), None)
    failed = next(iter(audit.actions(what=[UNANCHORED], limit=1)), None)
    if last:
        kept = {"place": last.facts["place"], "anchored_at": last.at, "since": chain.entries - last.seq}
        chain = chain.model_copy(update=kept)
    if failed and (last is None or failed.seq > last.seq):
        chain = chain.model_copy(update={"failure": str(failed.facts["why"])})
    return chain


def _check(console: Console) -> Checked:
    """Verifies the log, with the heads that were anchored."""
    project = console.state.project
    settings, audit = project.audit, console.state.audit
    place = place_of(settings.anchor, project.root, project.name, settings.anchor_certificate)
    try:
        heads = [kept.head for kept in kept_heads(audit, place)] if place else []
    except (GateError, BackendError) as error:
        return Checked(verified=Verified(rows=0, ok=False, reason=str(error)), anchors=0)
    return Checked(verified=audit.verify(*heads), anchors=len(heads))
