"""Microsoft Teams: messages of channels and chats from Microsoft Graph, pages of them in any order.

A message of a channel with its replies is a conversation, and so is a chat. Staff are those whom `--staff` names;
without it, the accounts of the organization (`aadUser`) where guests and people of other organizations write as well.
https://learn.microsoft.com/en-us/graph/api/resources/chatmessage
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from inhouse.datasets.importers.files import records
from inhouse.datasets.importers.imported import (
    AUTOMATIC,
    DELETED,
    JSON,
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

_REFERENCES = frozenset({"messageReference", "forwardedMessageReference"})


@dataclass(slots=True)
class _Message:
    user: str
    text: str
    time: str  # as in the export, which has milliseconds
    files: tuple[str, ...]


@dataclass(slots=True)
class _User:
    name: str
    email: str
    inside: bool
    tenant: str


@dataclass
class _Export:
    users: dict[str, _User] = field(default_factory=dict)
    threads: dict[str, dict[str, _Message]] = field(default_factory=dict)  # by id, then by the id of the message


class Teams:
    name, title = "teams", "Microsoft Teams"

    def recognizes(self, sample: Sample) -> bool:
        return (
            sample.has("messageType", "createdDateTime", "body")
            or sample.has("replyToId", "createdDateTime")
            or (sample.has("from", "body", "displayName") and bool(sample.keys & {"contentType", "content"}))
        )

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        export = _Export()
        for entry in files_of(job, JSON):
            for _, number, value, error, _ in records(entry, job.advance):
                if value is None:
                    yield Skipped(f"{entry.name}:{number}", error or "not an object")
                    continue
                if not value.keys() & {"messageType", "createdDateTime"} and not value.keys() >= {"from", "body"}:
                    job.report.ignored[entry.name] += 1
                    continue
                if value.get("replies@odata.nextLink"):
                    job.report.note("some messages have more replies than the export holds: read their next pages, too")
                alone = not value.keys() & {"chatId", "replyToId", "channelIdentity", "replies", "createdDateTime"}
                _add(export, value, entry.name if alone else "", job)
                for reply in objects(value.get("replies")):
                    _add(export, reply, str(value.get("id")), job)
        staff = _staff(export, job)
        for id, thread in export.threads.items():
            turns = [
                Turn(
                    m.user in staff, m.text, utc(m.time), export.users[m.user].name if m.user in staff else "", m.files
                )
                for m in sorted(thread.values(), key=lambda m: m.time)
            ]
            yield conversation(id, turns, job.report)


def _add(export: _Export, value: Mapping[str, Any], root: str, job: Job) -> None:
    """Puts a message that a person wrote into its conversation; counts what else there is."""
    sender = value.get("from")
    user = sender.get("user") if isinstance(sender, dict) else None
    body = value.get("body")
    if value.get("deletedDateTime"):
        job.report.dropped[DELETED] += 1
    elif isinstance(sender, dict) and sender.get("application"):
        job.report.dropped[AUTOMATIC] += 1
    elif value.get("messageType", "message") != "message" or not isinstance(user, dict):
        job.report.dropped[SYSTEM] += 1
    else:
        id = str(user.get("id") or user.get("displayName"))
        export.users[id] = _User(
            name=str(user.get("displayName") or ""),
            email=str(user.get("email") or user.get("userPrincipalName") or ""),
            inside=user.get("userIdentityType", "aadUser") == "aadUser",
            tenant=str(user.get("tenantId") or ""),
        )
        content = str(body.get("content") or "") if isinstance(body, dict) else ""
        is_html = isinstance(body, dict) and str(body.get("contentType")).lower() == "html"
        thread = str(root or value.get("chatId") or value.get("replyToId") or value.get("id"))
        export.threads.setdefault(thread, {})[str(value.get("id"))] = _Message(
            id, html_text(content) if is_html else content.strip(), str(value.get("createdDateTime")), _files(value)
        )


def _files(value: Mapping[str, Any]) -> tuple[str, ...]:
    return names_of([a for a in objects(value.get("attachments")) if str(a.get("contentType")) not in _REFERENCES])


def _staff(export: _Export, job: Job) -> set[str]:
    """The users who are staff.

    Raises:
        InputError: `--staff` is needed.
    """
    writers = Counter(m.user for thread in export.threads.values() for m in thread.values())
    people = {u: export.users[u] for u in writers}
    if job.staff:
        if staff := {u for u, p in people.items() if job.staff.has(p.email, p.name, u)}:
            return staff
        job.report.note(f"nobody who writes matches --staff {', '.join(job.staff.given)}: the accounts' types decide")
    inside = {u: p for u, p in people.items() if p.inside}
    home = Counter(p.tenant for p in inside.values()).most_common(1)
    staff = {u for u, p in inside.items() if p.tenant == home[0][0]} if home else set()
    if people and (not staff or len(staff) == len(people)):
        choices = "; ".join(f"{people[u].name} {n}" for u, n in writers.most_common(10))
        raise InputError(
            "the Teams export does not say who is staff and who is a customer",
            f"give --staff NAME; who writes, and how many messages: {choices}",
        )
    if staff and not job.staff:
        names = ", ".join(sorted(people[u].name for u in staff)[:8])
        job.report.note(f"staff are taken to be the accounts of the organization ({names}); --staff says otherwise")
    return staff
