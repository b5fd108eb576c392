"""Slack: the export of a workspace, a folder or a zip archive with a folder for each channel and a file for each day.

A thread is a conversation, and so is a channel of direct messages. Staff are those whom `--staff` names; without it,
the members of the workspace where guests and people of other organizations write as well.
https://slack.com/help/articles/220556107-How-to-read-Slack-data-exports
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from inhouse.datasets.importers.files import records
from inhouse.datasets.importers.imported import (
    AUTOMATIC,
    DELETED,
    SYSTEM,
    Conversation,
    Job,
    Sample,
    Skipped,
    Turn,
    conversation,
    files_of,
    names_of,
    utc,
)
from inhouse.errors import InputError

_WRITTEN = frozenset({"", "thread_broadcast", "file_share", "me_message", "file_comment", "reply_broadcast"})
_LISTS = frozenset({"users", "org_users", "channels", "groups", "dms", "mpims", "integration_logs", "canvases",
                    "file_conversations", "lists", "huddle_transcripts", "canvas_in_the_conversation"})  # fmt: skip
_DIRECT = re.compile(r"D[A-Z0-9]{7,}$|mpdm-|MP[A-Z0-9]")
_LINK = re.compile(r"<([^<>|]*+)(?:\|([^<>]*+))?>")


@dataclass(slots=True)
class _User:
    name: str
    email: str
    team: str
    bot: bool
    guest: bool


@dataclass(slots=True)
class _Message:
    user: str
    text: str
    time: float
    files: tuple[str, ...]


@dataclass
class _Export:
    users: dict[str, _User] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    threads: dict[str, dict[str, _Message]] = field(default_factory=dict)  # by id, then by time stamp


class Slack:
    name, title = "slack", "Slack"

    def recognizes(self, sample: Sample) -> bool:
        return (
            (sample.has("ts", "text", "user") and not sample.keys & {"messageType", "role"})
            or (sample.has("ts", "type", "text", "bot_id") and '"message"' in sample.text)
            or (sample.has("team_id", "profile", "real_name") and sample.has("is_bot"))
            or (sample.has("members", "creator", "topic", "purpose"))
        )

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        export = _Export()
        for entry in sorted(files_of(job, {".json"}), key=lambda e: PurePosixPath(e.name).stem not in _LISTS):
            path = PurePosixPath(entry.name)
            for _, number, value, error, _ in records(entry, job.advance):
                if value is None:
                    yield Skipped(f"{entry.name}:{number}", error or "not an object")
                elif path.stem in ("users", "org_users"):
                    _add_user(export, value)
                elif path.stem in ("dms", "mpims"):
                    export.direct |= {str(value.get("id", "")), str(value.get("name", ""))} - {""}
                elif path.stem not in _LISTS:
                    _add_message(export, path.parent.name or path.stem, value, job)
        staff = _staff(export, job)
        for id, thread in export.threads.items():
            messages = [thread[ts] for ts in sorted(thread, key=_number)]
            turns = [_turn(m, staff, export) for m in messages]
            yield conversation(id, turns, job.report)


def _number(ts: str) -> float:
    try:
        return float(ts)
    except ValueError:
        return 0.0


def _add_user(export: _Export, value: Mapping[str, Any]) -> None:
    profile = value.get("profile") if isinstance(value.get("profile"), dict) else {}
    assert isinstance(profile, dict)
    export.users[str(value.get("id"))] = _User(
        name=str(value.get("real_name") or profile.get("real_name") or value.get("name") or ""),
        email=str(profile.get("email") or ""),
        team=str(value.get("team_id") or profile.get("team") or ""),
        bot=bool(value.get("is_bot")) or value.get("id") == "USLACKBOT" or bool(value.get("is_workflow_bot")),
        guest=any(value.get(k) for k in ("is_restricted", "is_ultra_restricted", "is_stranger")),
    )


def _add_message(export: _Export, channel: str, value: Mapping[str, Any], job: Job) -> None:
    """Puts a message that a person wrote into its thread; counts what else there is."""
    if value.get("type", "message") != "message" or "ts" not in value:
        return
    subtype, user = str(value.get("subtype") or ""), str(value.get("user") or "")
    known = export.users.get(user)
    if subtype == "tombstone" or value.get("hidden"):
        job.report.dropped[DELETED] += 1
    elif subtype == "bot_message" or (known is not None and known.bot) or (value.get("bot_id") and known is None):
        job.report.dropped[AUTOMATIC] += 1
    elif subtype not in _WRITTEN:
        job.report.dropped[SYSTEM] += 1
    else:
        if known is None:
            _add_stranger(export, user, value)
        ts = str(value["ts"])
        direct = channel in export.direct or bool(_DIRECT.match(channel))
        thread = channel if direct else f"{channel}/{value.get('thread_ts') or ts}"
        files = names_of(value.get("files"), "name", "title")
        message = _Message(user, _text(str(value.get("text") or ""), export), _number(ts), files)
        export.threads.setdefault(thread, {}).setdefault(ts, message)


def _add_stranger(export: _Export, user: str, value: Mapping[str, Any]) -> None:
    """Someone of another organization: the message itself says who."""
    profile = value.get("user_profile") if isinstance(value.get("user_profile"), dict) else {}
    assert isinstance(profile, dict)
    team = str(value.get("user_team") or profile.get("team") or value.get("source_team") or "")
    name = str(profile.get("real_name") or profile.get("name") or value.get("username") or user)
    export.users[user] = _User(name, str(profile.get("email") or ""), team, bot=False, guest=True)


def _staff(export: _Export, job: Job) -> set[str]:
    """The users who are staff.

    Raises:
        InputError: `--staff` matches nobody, or is needed.
    """
    writers = Counter(m.user for thread in export.threads.values() for m in thread.values())
    people = {u: export.users[u] for u in writers}
    if job.staff:
        staff = {u for u, p in people.items() if job.staff.has(p.email, p.name, u)}
        if not staff:
            raise InputError(
                f"nobody who writes matches --staff {', '.join(job.staff.given)}", _choices(writers, people)
            )
        return staff
    guests = {u for u, p in people.items() if p.guest}
    home = Counter(p.team for u, p in people.items() if u not in guests).most_common(1)
    staff = {u for u, p in people.items() if home and u not in guests and p.team == home[0][0]}
    if not staff or len(staff) == len(people):
        if not people:
            return staff
        raise InputError("the Slack export does not say who is staff and who is a customer", _choices(writers, people))
    names = ", ".join(sorted(people[u].name for u in staff)[:8])
    job.report.note(f"staff are taken to be the full members of the workspace ({names}); --staff says otherwise")
    return staff


def _choices(writers: Counter[str], people: Mapping[str, _User]) -> str:
    named = [
        f"{people[u].name}{f' <{people[u].email}>' * bool(people[u].email)} {n}" for u, n in writers.most_common(10)
    ]
    return f"give --staff DOMAIN or NAME; who writes, and how many messages: {'; '.join(named)}"


def _turn(message: _Message, staff: set[str], export: _Export) -> Turn:
    own = message.user in staff
    name = export.users[message.user].name
    return Turn(own, message.text, utc(message.time), name if own else "", message.files)


def _text(text: str, export: _Export) -> str:
    """Slack's marks as text: names of people and channels, labels with their addresses."""
    return html.unescape(_LINK.sub(lambda m: _shown(m[1], m[2] or "", export), text))


def _shown(target: str, label: str, export: _Export) -> str:
    if target.startswith("@"):
        user = export.users.get(target[1:])
        return f"@{user.name if user else label.lstrip('@') or target[1:]}"
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        return label or f"@{target[1:].partition('^')[0]}"
    address = target.removeprefix("mailto:").removeprefix("tel:")
    bare = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    return address if not label or label.strip("/") in (bare, address) else f"{label} ({address})"
