"""Zendesk: incremental exports, tickets, account exports line by line, ticket events, audits, and CSV of comments.

Tickets, comments, and users may be in one file or in many, in any order. A comment belongs to the ticket that it is in,
that it names, or that its file is named after (`comments/1041.json`).
https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from inhouse.datasets.importers.files import Entry, records
from inhouse.datasets.importers.imported import (
    AUTOMATIC,
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

_STAFF_ROLES = frozenset({"agent", "admin", "owner", "light_agent", "contributor", "staff", "support", "assistant"})
_CUSTOMER_ROLES = frozenset({"end-user", "end_user", "enduser", "customer", "requester", "user", "client"})
_SYSTEM = "-1"
_NO = frozenset(
    {"false", "0", "no", "private", "internal", "nein", "non", "falsch", "faux", "falso", "não", "nee", "否"}
)
_RATINGS = {"good": "good", "bad": "bad", "goodwithcomment": "good", "badwithcomment": "bad",
            "good_with_comment": "good", "bad_with_comment": "bad"}  # fmt: skip
_CHAT_LINE = re.compile(
    r"^\(\d{1,2}:\d\d(?::\d\d)?(?: ?[AP]M)?\) (?:(\*{3})[^\n]*+|([^:\n*]{1,80}):)[ \t]?", re.MULTILINE
)
_VISITOR = re.compile(r"(?:visitor|web user|anonymous|ios user|android user|customer|end.?user)\b", re.IGNORECASE)
_BOT = re.compile(r"\bbot\b", re.IGNORECASE)
_MERGED = re.compile(r"(?:merged into|request) #?(\d+)")
_MERGING = re.compile(r"\s*+Request #\d[^\n]{0,300} closed and merged into this request\b[^\n]*+")


@dataclass(slots=True)
class _User:
    role: str = ""
    name: str = ""
    email: str = ""


@dataclass(slots=True)
class _Comment:
    author: str
    public: bool
    text: str
    time: str
    files: tuple[str, ...]
    automatic: bool


@dataclass(slots=True)
class _Ticket:
    row: Mapping[str, Json]
    comments: list[_Comment] = field(default_factory=list)


@dataclass
class _Export:
    tickets: dict[str, _Ticket] = field(default_factory=dict)
    users: dict[str, _User] = field(default_factory=dict)
    comments: dict[str, dict[str, _Comment]] = field(default_factory=dict)  # by ticket, then by comment
    again: int = 0
    staff: set[str] = field(default_factory=set)  # who does what only staff does
    customers: set[str] = field(default_factory=set)  # who asks, or gets copies
    unknown: set[str] = field(default_factory=set)


class Zendesk:
    name, title = "zendesk", "Zendesk"

    def recognizes(self, sample: Sample) -> bool:
        if sample.keys & {"body_text", "description_text", "helpdesk_ticket", "conversation_parts"}:
            return False
        if sample.name.endswith((".csv", ".tsv")):
            return sample.has("ticket_id") and bool(sample.keys & _TEXTS)
        return (
            (sample.has("requester_id") and bool(sample.keys & {"submitter_id", "raw_subject", "assignee_id"}))
            or (sample.has("author_id", "public") and bool(sample.keys & {"body", "html_body", "plain_body"}))
            or sample.has("comments", "public", "author")
            or (sample.has("comments", "author_id") and bool(sample.keys & {"subject", "tickets", "ticket"}))
            or bool(sample.keys & {"ticket_events", "child_events"})
            or (sample.has("users", "role") and '"end-user"' in sample.text)
        )

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        export = _Export()
        for entry in files_of(job, JSON | {".csv", ".tsv"}):
            for key, number, value, error, _ in records(entry, job.advance):
                if value is None:
                    yield Skipped(f"{entry.name}:{number}", error or "not an object")
                elif not _sort_in(export, key, value, entry):
                    job.report.ignored[entry.name] += 1
        if not export.tickets and export.comments:
            job.report.note("no tickets in the export: tags, ratings, and merged tickets are unknown")
        elif alone := [id for id in export.comments if id not in export.tickets]:
            listed = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
            job.report.note(f"{len(alone)} tickets have comments alone, so their tags and state are unknown: {listed}")
        for id in export.comments:
            export.tickets.setdefault(id, _Ticket({}))
        if not any(t.comments for t in export.tickets.values()) and not export.comments:
            raise InputError(
                "the Zendesk export has tickets without their comments",
                "export /api/v2/tickets/ID/comments.json into comments/ID.json, or the tickets with `comments`",
            )
        if export.again:
            job.report.note(f"{export.again} tickets occur more than once: the newest version is kept")
        for id, ticket in export.tickets.items():
            found = {_key(n, c): c for n, c in enumerate(ticket.comments)} | export.comments.pop(id, {})
            ticket.comments = sorted(found.values(), key=lambda c: c.time)
        _find_sides(export)
        for id, ticket in export.tickets.items():
            yield _conversation(id, ticket, ticket.comments, export, job)
        if export.unknown:
            job.report.note(
                f"{len(export.unknown)} authors have no role in the export: who asks or gets copies is taken for a "
                "customer, everybody else for staff"
            )


_ON_EACH_ROW = ("status", "tags", "satisfaction_rating", "requester_id", "submitter_id", "assignee_id")  # of a table
_IDS = frozenset({"id", "ticket_id"})
_TEXTS = frozenset({"comment", "comments", "body", "comment_body", "plain_body", "html_body", "text", "message"})


def _find_sides(export: _Export) -> None:
    """Who asks and who works on tickets, for authors whose role the export does not say."""
    for ticket in export.tickets.values():
        asks, submits, works = (str(ticket.row.get(f"{name}_id")) for name in ("requester", "submitter", "assignee"))
        if asks == "None":  # without a requester, whoever writes first asks
            asks = next((c.author for c in ticket.comments if c.public and not c.automatic), "")
        export.customers.add(asks)
        export.staff |= {works} if submits == asks else {works, submits}


def _key(number: int, comment: _Comment) -> str:
    return f"{number} {comment.time}"


def _unwrapped(key: str, value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An object alone, as GET /api/v2/tickets/ID gives it, with the comments beside it."""
    for name in ("ticket", "user", "comment"):
        if isinstance(value.get(name), dict) and "id" not in value:
            beside = {"comments": value["comments"]} if isinstance(value.get("comments"), list) else {}
            return f"{name}s", {**value[name], **beside}
    return key, value


def _sort_in(export: _Export, key: str, value: dict[str, Any], entry: Entry) -> bool:
    """Puts a record where it belongs: a user, a ticket, a comment, or the event that a comment is in; False if none."""
    key, value = _unwrapped(key, value)
    for user in (value.get(k) for k in ("requester", "submitter", "assignee", "author")):
        if isinstance(user, dict):
            _add_user(export, user)
    if key == "users" or ("role" in value and "email" in value and "subject" not in value):
        _add_user(export, value)
    elif events := value.get("child_events") or (value.get("events") if "ticket_id" in value else None):
        for event in objects(events):
            if "Comment" in (event.get("event_type"), event.get("type")):
                own = {**{k: value.get(k) for k in ("created_at", "via")}, **event}
                own.setdefault("author_id", value.get("author_id", value.get("updater_id")))
                _add_comment(export, str(value["ticket_id"]), own)
    elif value.keys() >= {"ticket_id"} and value.keys() & _TEXTS:
        id = str(value["ticket_id"])
        _add_comment(export, id, value)
        if said := {k: value[k] for k in _ON_EACH_ROW if value.get(k)}:
            export.tickets.setdefault(id, _Ticket({})).row = said
    elif key in ("tickets", "results") or "requester_id" in value or ("subject" in value and value.keys() & _IDS):
        _add_ticket(export, value)
    elif "author_id" in value or "ticket_id" in value:
        _add_comment(export, _ticket_of(value, entry), value)
    else:
        return False
    return True


def _ticket_of(value: Mapping[str, Any], entry: Entry) -> str:
    """The ticket that a comment names, or the number in the name of its file or folder."""
    if value.get("ticket_id") not in (None, ""):
        return str(value["ticket_id"])
    path = PurePosixPath(entry.name)
    for part in (path.stem, path.parent.name):
        if digits := re.findall(r"\d+", part):
            return str(max(digits, key=len))
    return ""


def _add_user(export: _Export, user: Mapping[str, Any]) -> None:
    id = str(user.get("id", ""))
    known = export.users.setdefault(id, _User())
    known.role = str(user.get("role") or known.role)
    known.name = str(user.get("name") or known.name)
    known.email = str(user.get("email") or known.email)


def _add_ticket(export: _Export, value: Mapping[str, Any]) -> None:
    id = str(value.get("id", value.get("ticket_id", "")))
    kept = ("id", "status", "tags", "satisfaction_rating", "requester_id", "submitter_id", "assignee_id", "description",
            "created_at", "updated_at", "subject")  # fmt: skip
    ticket = _Ticket({k: value[k] for k in kept if k in value})
    for name in ("collaborator_ids", "email_cc_ids", "follower_ids"):
        listed = value.get(name)
        export.customers |= {str(user) for user in (listed if isinstance(listed, list) else ())}
    for name in ("requester", "assignee", "submitter"):
        if isinstance(value.get(name), dict):
            ticket.row = {**ticket.row, f"{name}_id": value[name].get("id")}
    for comment in objects(value.get("comments")):
        if isinstance(comment.get("author"), dict):
            _add_user(export, comment["author"])
        ticket.comments.append(_comment(export, comment))
    if (older := export.tickets.get(id)) is not None:
        export.again += 1
        if str(older.row.get("updated_at", "")) > str(ticket.row.get("updated_at", "")):
            ticket, older = older, ticket
        ticket.comments = ticket.comments or older.comments
    export.tickets[id] = ticket


def _add_comment(export: _Export, ticket: str, value: Mapping[str, Any]) -> None:
    own = export.comments.setdefault(ticket, {})
    own[str(value.get("id") or value.get("comment_id") or len(own))] = _comment(export, value)


def _comment(export: _Export, value: Mapping[str, Any]) -> _Comment:
    """A comment with as much as is needed of it, since all are kept until the end."""
    author = value.get("author_id")
    if author is None and isinstance(value.get("author"), dict):
        author = value["author"].get("id")
    role = str(value.get("author_role") or value.get("role") or value.get("author_type") or "").lower()
    if author is None:
        author = next((value[k] for k in ("author", "author_email", "author_name", "from") if value.get(k)), role)
    if str(author).lower() in _STAFF_ROLES | _CUSTOMER_ROLES:  # a role for a name
        export.users.setdefault(str(author), _User()).role = str(author).lower()
    if role:
        export.users.setdefault(str(author), _User(name=str(value.get("author_name") or ""))).role = role
    via = value.get("via") if isinstance(value.get("via"), dict) else {}
    channel = via.get("channel") if isinstance(via, dict) else None
    public = value.get("public", value.get("is_public", True))
    if str(public).strip().lower() in _NO:  # only staff writes internal notes
        export.staff.add(str(author))
    return _Comment(
        author=str(author),
        public=str(public).strip().lower() not in _NO,
        text=_text(value),
        time=utc(value.get("created_at") or value.get("timestamp") or value.get("date")),
        files=names_of(value.get("attachments"), "file_name"),
        automatic=str(author) == _SYSTEM or channel in ("rule", "system"),
    )


def _text(value: Mapping[str, Any]) -> str:
    """The plain text if there is one, else that of the HTML; without quoted older mails and signatures."""
    plain = value.get("plain_body")
    if not isinstance(plain, str) or not plain.strip():
        source = value.get("html_body")
        plain = html_text(source) if isinstance(source, str) and source.strip() else ""
    if not plain:
        others = ("body", *sorted(_TEXTS - {"body", "plain_body", "html_body"}))
        plain = next((value[k] for k in others if isinstance(value.get(k), str)), "")
    return reply_content(plain.replace("\r\n", "\n").replace("\xa0", " ").replace("&nbsp;", " "))


def _conversation(
    id: str, ticket: _Ticket, comments: list[_Comment], export: _Export, job: Job
) -> Conversation | Skipped:
    row = ticket.row
    raw = row.get("tags")
    tags = raw if isinstance(raw, list) else str(raw or "").replace(",", " ").split()
    if row.get("status") == "deleted":
        return Skipped(id, "deleted")
    if "closed_by_merge" in tags:
        told = (c.text for c in comments if not c.public or "merged into" in c.text)
        target = next((m[1] for text in told if (m := _MERGED.search(text))), "")
        return Skipped(id, f"merged into {target}" if target else "merged into another ticket")
    turns = []
    for comment in comments:
        if not comment.public:
            job.report.dropped[NOTE] += 1
        elif (merging := _MERGING.match(comment.text)) and not comment.text[merging.end() :].strip():
            job.report.dropped[AUTOMATIC] += 1
        elif merging:  # the last comment of the other ticket, as its requester's
            text = comment.text[merging.end() :]
            turns.append(Turn(False, text, comment.time))
        elif comment.automatic and len(_CHAT_LINE.findall(comment.text)) < 2:
            job.report.dropped[AUTOMATIC] += 1
        else:
            turns += _turns(comment, row, export, job)
    if first := _opening(row, comments, turns):
        turns.insert(0, Turn(False, first, utc(row.get("created_at"))))
    rating = row.get("satisfaction_rating")
    score = rating.get("score") if isinstance(rating, dict) else rating
    return conversation(
        id, turns, job.report, {"tags": [str(t) for t in tags], "rating": _RATINGS.get(str(score).lower())}
    )


def _turns(comment: _Comment, row: Mapping[str, Json], export: _Export, job: Job) -> list[Turn]:
    """The turn of a comment; those of a chat, whose transcript is one comment."""
    marks = list(_CHAT_LINE.finditer(comment.text))
    if len(marks) < 2:
        staff = _is_staff(comment.author, row, export, job)
        user = export.users.get(comment.author, _User())
        return [Turn(staff, comment.text, comment.time, user.name if staff else "", comment.files)]
    job.report.note("in transcripts of chats, whoever is not the requester or a visitor is taken for staff")
    customer = export.users.get(str(row.get("requester_id")), _User()).name.casefold()
    roles = {u.name.casefold(): u.role for u in export.users.values() if u.role}
    turns = []
    for n, mark in enumerate(marks):
        end = marks[n + 1].start() if n + 1 < len(marks) else len(comment.text)
        name, text = (mark[1] or mark[2]).strip(), comment.text[mark.end() : end].strip()
        if name.startswith("***") or _BOT.search(name):
            job.report.dropped[AUTOMATIC] += 1
            continue
        visitor = name.casefold() == customer or bool(_VISITOR.match(name))
        staff = roles.get(name.casefold(), "") in _STAFF_ROLES or not (visitor or name.casefold() in roles)
        turns.append(Turn(staff, text, comment.time, name if staff else "", comment.files if not n else ()))
    return turns


def _opening(row: Mapping[str, Json], comments: list[_Comment], turns: list[Turn]) -> str:
    """The description, where it is the customer's and no comment repeats it, as in exports of replies alone."""
    text = row.get("description")
    if not isinstance(text, str) or not text.strip() or (turns and not turns[0].staff):
        return ""
    if row.get("submitter_id") != row.get("requester_id"):
        return ""
    start = _letters(text)[:60]
    return "" if any(_letters(c.text).startswith(start) for c in comments) else reply_content(text)


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _is_staff(author: str, ticket: Mapping[str, Json], export: _Export, job: Job) -> bool:
    user = export.users.get(author)
    if user is not None and job.staff.has(user.email, user.name, author):
        return True
    if user is None and job.staff.has(author):
        return True
    if user is not None and user.role:
        return user.role in _STAFF_ROLES
    if author == str(ticket.get("requester_id")):
        return False
    export.unknown.add(author)
    return author in export.staff or author not in export.customers
