"""Intercom: conversations of its API, one to a file, in lists, or line by line.

https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/retrieveconversation
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inhouse.datasets.importers.files import records
from inhouse.datasets.importers.imported import (
    AUTOMATIC,
    DELETED,
    JSON,
    NOTE,
    SYSTEM,
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

_WRITTEN = frozenset(
    {"", "comment", "open", "close", "quick_reply", "assignment", "snoozed", "unsnoozed", "timer_unsnooze", "email",
     "push", "conversation", "facebook", "twitter", "phone_call", "assign_and_reopen", "assign_and_unsnooze",
     "comment_and_reopen"}
)  # fmt: skip
_CUSTOMERS = frozenset({"user", "lead", "contact", "visitor", "customer"})
_CAMPAIGNS = frozenset({"automated", "campaigns_initiated", "operator_initiated"})


class Intercom:
    name, title = "intercom", "Intercom"

    def recognizes(self, sample: Sample) -> bool:
        return bool(sample.keys & {"conversation_parts", "conversation_message"}) or sample.has(
            "admin_assignee_id", "conversations"
        )

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        listed = whole = 0
        for entry in files_of(job, JSON):
            for _, number, record, error, _ in records(entry, job.advance):
                if record is None:
                    yield Skipped(f"{entry.name}:{number}", error or "not an object")
                    continue
                value = record["conversation"] if isinstance(record.get("conversation"), dict) else record
                if not value.keys() & {"source", "conversation_parts", "conversation_message"}:
                    job.report.ignored[entry.name] += 1
                    continue
                if "conversation_parts" not in value:
                    listed += 1
                    yield Skipped(str(value.get("id")), "listed without its replies")
                    continue
                whole += 1
                yield _conversation(value, job)
        if listed and not whole:
            raise InputError(
                "the Intercom export lists conversations without their replies",
                "export each conversation: GET /conversations/ID has `conversation_parts`, the list has not",
            )


def _conversation(value: dict[str, Any], job: Job) -> Conversation | Skipped:
    parts = value["conversation_parts"]
    total = parts.get("total_count") if isinstance(parts, dict) else None
    parts = parts.get("conversation_parts") if isinstance(parts, dict) else parts
    if isinstance(parts, list) and isinstance(total, int) and total > len(parts):
        job.report.note("some conversations have more parts than the export holds; Intercom gives at most 500")
    source = value.get("source") or value.get("conversation_message")
    turns: list[tuple[float, Turn]] = []
    opening = value.get("created_at")
    if isinstance(source, dict):
        if str(source.get("delivered_as")) in _CAMPAIGNS and str(_author(source).get("type")) not in _CUSTOMERS:
            job.report.dropped[AUTOMATIC] += 1
        elif turn := _turn({**source, "part_type": "", "created_at": opening}, job):
            turns.append((0, turn))
    for part in objects(parts):
        if turn := _turn(part, job):
            turns.append((_seconds(part.get("created_at")), turn))
    tags = value.get("tags")
    names = tags.get("tags") if isinstance(tags, dict) else tags
    rating = value.get("conversation_rating")
    return conversation(
        str(value.get("id")),
        [turn for _, turn in sorted(turns, key=lambda t: t[0])],
        job.report,
        {
            "tags": [
                str(t.get("name") if isinstance(t, dict) else t) for t in (names if isinstance(names, list) else ())
            ],
            "rating": rating.get("rating") if isinstance(rating, dict) else None,
            "time": utc(opening),
        },
    )


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 1.0


def _author(part: Mapping[str, Any]) -> Mapping[str, Any]:
    author = part.get("author")
    return author if isinstance(author, dict) else {}


def _turn(part: Mapping[str, Any], job: Job) -> Turn | None:
    """A part as a turn; None if no person wrote it to the other side."""
    author, kind = _author(part), str(part.get("part_type") or "")
    files = names_of(part.get("attachments"))
    body = part.get("body")
    if part.get("redacted"):
        job.report.dropped[DELETED] += 1
        return None
    if kind.startswith("note"):
        job.report.dropped[NOTE] += bool(body)
        return None
    if not (body or files):
        return None
    if kind not in _WRITTEN:
        job.report.dropped[SYSTEM] += 1
        return None
    if author.get("type") == "bot" or author.get("from_ai_agent") or author.get("is_ai_answer"):
        job.report.dropped[AUTOMATIC] += 1
        return None
    name, email = str(author.get("name") or ""), str(author.get("email") or "")
    staff = author.get("type") in ("admin", "team") or job.staff.has(name, email)
    text = reply_content(html_text(body)) if isinstance(body, str) else ""
    return Turn(staff, text, utc(part.get("created_at")), name if staff else "", files)
