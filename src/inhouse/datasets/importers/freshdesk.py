"""Freshdesk: tickets with their conversations, from its API (version 2) or its account export (`helpdesk_ticket`).

The first message is the ticket's description. Conversations are in the ticket, or in files named after it.
https://developers.freshdesk.com/api/#list_all_ticket_notes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from inhouse.datasets.importers.files import Entry, records
from inhouse.datasets.importers.imported import (
    DELETED,
    JSON,
    NOTE,
    Conversation,
    Job,
    Sample,
    Skipped,
    Turn,
    conversation,
    files_of,
    names_of,
    objects,
    utc,
)
from inhouse.errors import InputError
from inhouse.text.html import html_text
from inhouse.text.mail import reply_content
from inhouse.types import Json

_OUTBOUND = 10  # the source of a ticket that the shop's mail began


@dataclass
class _Export:
    tickets: dict[str, tuple[dict[str, Json], list[tuple[str, Turn]]]] = field(default_factory=dict)
    replies: dict[str, dict[str, tuple[str, Turn]]] = field(default_factory=dict)
    again: int = 0


class Freshdesk:
    name, title = "freshdesk", "Freshdesk"

    def recognizes(self, sample: Sample) -> bool:
        return (
            sample.has("incoming", "private")
            or sample.has("incoming", "body_text")
            or sample.has("description_text", "conversations")
            or "helpdesk_ticket" in sample.keys
            or (sample.has("requester_id") and bool(sample.keys & {"responder_id", "fr_escalated", "fr_due_by"}))
        )

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        export = _Export()
        for entry in files_of(job, JSON):
            for _, number, value, error, _ in records(entry, job.advance):
                if value is None:
                    yield Skipped(f"{entry.name}:{number}", error or "not an object")
                else:
                    _sort_in(export, value, entry, job)
        if not export.tickets and export.replies:
            raise InputError(
                "conversations of Freshdesk without their tickets, whose descriptions are the questions",
                "add the tickets: GET /api/v2/tickets?include=description,requester",
            )
        if export.tickets and not export.replies and not any(own for _, own in export.tickets.values()):
            raise InputError(
                "the Freshdesk export has tickets without their conversations",
                "export /api/v2/tickets/ID/conversations into conversations/ID.json",
            )
        if export.again:
            job.report.note(f"{export.again} tickets occur more than once: the newest version is kept")
        for id, (ticket, own) in export.tickets.items():
            yield _conversation(id, ticket, [*own, *export.replies.get(id, {}).values()], job)


def _sort_in(export: _Export, value: dict[str, Any], entry: Entry, job: Job) -> None:
    if isinstance(value.get("helpdesk_ticket"), dict):
        value = value["helpdesk_ticket"]
    if "incoming" in value or ("body_text" in value and "private" in value):
        ticket = _ticket_of(value, entry)
        replies = export.replies.setdefault(ticket, {})
        if turn := _turn(value, job):
            replies[str(value.get("id", len(replies)))] = turn
        return
    if not value.keys() & {"description", "description_text", "requester_id", "display_id", "subject"}:
        job.report.ignored[entry.name] += 1
        return
    id = str(value.get("display_id") or value.get("id"))
    own = []
    for name in ("conversations", "notes"):
        for item in objects(value.get(name)):
            note = next((item[k] for k in ("note", "helpdesk_note") if isinstance(item.get(k), dict)), item)
            if "incoming" not in note:
                note = {**note, "incoming": note.get("user_id") == value.get("requester_id")}
            if turn := _turn(note, job):
                own.append(turn)
    kept = ("spam", "deleted", "source", "tags", "created_at", "updated_at", "description", "description_text",
            "description_html", "attachments", "responder_name")  # fmt: skip
    older = export.tickets.get(id)
    if older is not None:
        export.again += 1
        if str(older[0].get("updated_at", "")) > str(value.get("updated_at", "")):
            return
    export.tickets[id] = {k: value[k] for k in kept if k in value}, own or (older[1] if older else [])


def _ticket_of(value: Mapping[str, Any], entry: Entry) -> str:
    if value.get("ticket_id") not in (None, ""):
        return str(value["ticket_id"])
    path = PurePosixPath(entry.name)
    return next((str(d[-1]) for p in (path.stem, path.parent.name) if (d := re.findall(r"\d+", p))), "")


def _turn(value: Mapping[str, Any], job: Job) -> tuple[str, Turn] | None:
    """A reply with the time that orders it; None for what the customer never saw."""
    if value.get("private"):
        job.report.dropped[NOTE] += 1
        return None
    if value.get("deleted"):
        job.report.dropped[DELETED] += 1
        return None
    sender = str(value.get("from_email") or "")
    address = sender.rpartition("<")[2].strip("> ")
    staff = not value.get("incoming") or job.staff.has(address)
    source = value.get("body_html") or value.get("body")
    text = _text(source, value.get("body_text") or value.get("body"))
    when = utc(value.get("created_at"))
    return when, Turn(staff, text, when, str(value.get("user_name") or "") if staff else "", _files(value))


def _text(source: Any, plain: Any) -> str:
    """The text of the HTML, which marks quotations, or the plain text."""
    text = html_text(source) if isinstance(source, str) and re.search(r"<[a-zA-Z/]", source) else ""
    return reply_content(text or (plain if isinstance(plain, str) else ""))


def _files(value: Mapping[str, Any]) -> tuple[str, ...]:
    return names_of(value.get("attachments"), "name", "content_file_name")


def _conversation(
    id: str, ticket: Mapping[str, Any], replies: list[tuple[str, Turn]], job: Job
) -> Conversation | Skipped:
    for mark in ("spam", "deleted"):
        if ticket.get(mark):
            return Skipped(id, mark)
    first = _text(ticket.get("description_html") or ticket.get("description"),
                  ticket.get("description_text") or ticket.get("description"))  # fmt: skip
    when = utc(ticket.get("created_at"))
    turns = [turn for _, turn in sorted(replies, key=lambda r: r[0])]
    if first or _files(ticket):
        turns.insert(0, Turn(ticket.get("source") == _OUTBOUND, first, when, "", _files(ticket)))
    tags = ticket.get("tags")
    names = [t.get("name") if isinstance(t, dict) else t for t in tags] if isinstance(tags, list) else []
    return conversation(id, turns, job.report, {"tags": [str(t) for t in names if t]})
