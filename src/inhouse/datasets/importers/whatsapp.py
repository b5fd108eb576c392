"""WhatsApp: chats exported as text, from Android and iOS, in the formats of dates and times of any country.

A file is a chat with one customer and becomes one conversation. WhatsApp documents no grammar: a message begins with a
time stamp, `12/03/2024, 09:38 - ` or `[3/12/24, 9:38:10 AM] `, and a sender, and goes on to the next. What has no
sender is of the system; on iOS, what begins with U+200E is, too. Whether the day or the month comes first is told by
the dates of all files of one format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from inhouse.datasets.importers.files import Entry, text_of
from inhouse.datasets.importers.imported import (
    DELETED,
    SYSTEM,
    Conversation,
    Job,
    Sample,
    Skipped,
    Turn,
    conversation,
    files_of,
    unmarked,
)
from inhouse.datasets.importers.whatsapp_words import AFTERNOON, ATTACHED, DELETED_TEXTS, EDITED, MEDIA, MORNING
from inhouse.errors import InputError

_MARK = "\u200e"
_MARKS = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"
_NO_MARKS = dict.fromkeys(map(ord, _MARKS))
_TITLE_MARKS = re.compile('["“”„«»]')  # around the name of a group, in what the system says of it
_MEDIA_CHARS = 60
_GAP = " \t\xa0\u202f"
_SEP = rf"[{_MARKS}]?[./\-年月년월][{_MARKS} \xa0]?"
_DATE = rf"(\d{{1,4}}){_SEP}(\d{{1,2}}){_SEP}(\d{{1,4}})[日일.]?[{_MARKS}]?(?: г\.)?[,،]?[{_GAP}]+"
_HALF = r"[^\W\d_][^\d\n:,\[\]]{0,14}"  # AM, p. m., 오전
_CLOCK = rf"({_HALF})?[{_GAP}]?(\d{{1,2}})(?:[:.h]| h )(\d{{2}})(?:[:.](\d{{2}}))?(?:[{_GAP}]?({_HALF}?))?[{_GAP}]?"
_AT = rf"(?:(?:à|um|at|às|kl\.?|klo)[{_GAP}])?"
_STAMP = re.compile(
    rf"[{_MARKS}]*+(?:\[{_DATE}{_AT}{_CLOCK}\][{_GAP}]?"
    rf"|{_DATE}{_AT}{_CLOCK}(?:[{_GAP}][-–][{_GAP}]|,[{_GAP}](?=[^\n:]{{1,80}}[{_GAP}]:[{_GAP}])))"
)
_DIGITS = {ord(c): str(n % 10) for n, c in enumerate("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९")}
_SENDER = re.compile(r"([^:\n]{1,100}?)[ \xa0]?:(?: |\xa0|$)")
_EDITED = re.compile(rf"<[^<>\n]{{0,60}}(?:{EDITED})[^<>\n]{{0,60}}>", re.IGNORECASE)
_IOS_FILE = re.compile(rf"[{_MARKS}]?<[^<>:\n]{{2,30}}: ([^<>\n]{{1,200}}\.\w{{2,5}})>")
_ANDROID_FILE = re.compile(
    rf"[{_MARKS}]*([^\n]{{1,200}}?\.\w{{2,5}}) \((?:{'|'.join(ATTACHED)})\)[{_MARKS} ]*$", re.IGNORECASE
)
_OMITTED = re.compile(rf"[{_MARKS} ]*<[^<>\n]{{4,60}}>[{_MARKS} ]*$")


_Format = tuple[str, bool, bool]
_Date = tuple[int, int, int, str]  # the three numbers, and the half of the day


@dataclass
class _Message:
    stamp: tuple[str, ...]
    sender: str
    text: str


@dataclass
class _Chat:
    entry: Entry
    messages: list[_Message] = field(default_factory=list)

    @property
    def senders(self) -> Counter[str]:
        return Counter(m.sender for m in self.messages)


class WhatsApp:
    name, title = "whatsapp", "WhatsApp"

    def recognizes(self, sample: Sample) -> bool:
        lines = [line for line in sample.text[:4000].splitlines() if line.strip()][:5]
        return bool(lines) and _stamp(lines[0]) is not None

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        chats: list[_Chat] = []
        for entry in files_of(job, {".txt"}):
            text, note = text_of(entry)
            job.advance(entry.size)
            if note:
                job.report.note(note)
            chat = _Chat(entry, list(_messages(text, job)))
            if chat.messages:
                chats.append(chat)
            elif _stamp(text.partition("\n")[0]) is None:
                yield Skipped(entry.name, "not a WhatsApp chat")
            else:
                yield Skipped(entry.name, "no messages")
        staff = _staff(chats, job)
        for chat, orders in zip(chats, _orders(chats, job), strict=True):
            turns = []
            for message in chat.messages:
                content, files = _content(message.text)
                if content is None:
                    job.report.dropped[DELETED] += 1
                    continue
                own = message.sender in staff
                turns.append(Turn(own, content, _time(message.stamp, orders), message.sender if own else "", files))
            yield conversation(chat.entry.name, turns, job.report)


def _stamp(line: str) -> re.Match[str] | None:
    return _STAMP.match(line.translate(_DIGITS) if not line.isascii() else line)


def _messages(text: str, job: Job) -> Iterator[_Message]:
    """The messages that have a sender, without those of the system."""
    current: _Message | None = None
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        match = _stamp(line)
        if match is None:
            if current is not None:
                current.text += f"\n{line}"
            continue
        if current is not None:
            yield current
        current = None
        rest = line[match.end() :]
        groups = tuple(g or "" for g in match.groups())
        stamp = (("[" if "[" in match[0][:3] else "-"), *(groups[:8] if groups[0] else groups[8:]))
        sender = _SENDER.match(rest.lstrip(_MARKS))
        body = rest.lstrip(_MARKS)[sender.end() :] if sender else ""
        of_system = stamp[0] == "[" and body.startswith(_MARK) and not (_IOS_FILE.match(body) or _is_media(body))
        if sender is None or of_system or _TITLE_MARKS.search(sender[1]):
            job.report.dropped[SYSTEM] += 1
        else:
            current = _Message(stamp, unmarked(sender[1]), body)
    if current is not None:
        yield current


def _is_media(body: str) -> bool:
    """Whether iOS marks a message that is no text, such as "image omitted"; what the system says is longer."""
    return body.startswith(_MARK) and len(body) < _MEDIA_CHARS and ":" not in body


def _plain(text: str) -> str:
    return " ".join(text.translate(_NO_MARKS).replace("\xa0", " ").casefold().split()).rstrip(".。 ")


def _content(text: str) -> tuple[str | None, tuple[str, ...]]:
    """The text of a message without marks, and the names of its attachments; None if the message was deleted."""
    start = text.rfind("<")
    if start >= 0 and _EDITED.fullmatch(text[start:].strip(_MARKS + " \n")):
        text = text[:start].rstrip(_MARKS + " \n")
    first, _, others = text.partition("\n")
    plain = _plain(first)
    if not others.strip() and (plain in DELETED_TEXTS or plain.startswith(("this message was deleted by admin",))):
        return None, ()
    files: list[str] = []
    head, mark, tail = text.rpartition(_MARK)
    if match := _ANDROID_FILE.match(first):
        files.append(match[1].lstrip(_MARKS).strip())
        text = others
    elif (_OMITTED.match(first) and not _IOS_FILE.match(first)) or plain in MEDIA or _is_media(first):
        files.append("media")
        text = others
    elif mark and _plain(tail) in MEDIA:  # behind a caption
        files.append("media")
        text = head
    else:
        files += [m[1].strip() for m in _IOS_FILE.finditer(text)]
        text = _IOS_FILE.sub("", text) if files else text
    lines = (line.rstrip() for line in text.translate(_NO_MARKS).split("\n"))
    return "\n".join(lines).strip(), tuple(files)


# --- dates --------------------------------------------------------------------------------------------------------


def _format(stamp: Sequence[str]) -> _Format:
    """What the dates of one phone have in common: brackets, digits of the year, 12 or 24 hours."""
    return stamp[0], len(stamp[3]) > 2, bool(stamp[4] or stamp[8])


def _orders(chats: Sequence[_Chat], job: Job) -> list[dict[_Format, str]]:
    """For each chat and format of dates in it "ymd", "dmy", or "mdy"; other chats tell where it does not itself."""
    by_chat: list[dict[_Format, list[_Date]]] = [{} for _ in chats]
    together: dict[_Format, list[_Date]] = {}
    for chat, own in zip(chats, by_chat, strict=True):
        for message in chat.messages:
            _, a, b, c, before, _, _, _, after = message.stamp
            date = (int(a), int(b), int(c), before + after)
            own.setdefault(_format(message.stamp), []).append(date)
            together.setdefault(_format(message.stamp), []).append(date)
    orders: list[dict[_Format, str]] = []
    for own in by_chat:
        orders.append({})
        for form, dates in own.items():
            order = _order(dates)
            order = _order(together[form]) if order.endswith("?") else order
            orders[-1][form] = order[:3]
            if order.endswith("?"):
                first = "month" if order[0] == "m" else "day"
                job.report.note(f"dates such as {dates[0][0]}/{dates[0][1]} are read with the {first} first (assumed)")
    return orders


def _order(dates: Sequence[_Date]) -> str:
    """The order of the parts of dates; with a question mark where nothing proves it."""
    if any(a > 31 for a, _, _, _ in dates):
        return "ymd"
    proofs = {"dmy": any(a > 12 for a, _, _, _ in dates), "mdy": any(b > 12 for _, b, _, _ in dates)}
    if any(proofs.values()):
        return "dmy?" if all(proofs.values()) else max(proofs, key=proofs.__getitem__)
    days = list(dict.fromkeys((a, b, c) for a, b, c, _ in dates))
    falls = {
        "dmy": sum(x > y for x, y in zip(_keys(days, 1), _keys(days, 1)[1:], strict=False)),
        "mdy": sum(x > y for x, y in zip(_keys(days, 0), _keys(days, 0)[1:], strict=False)),
    }
    if falls["dmy"] != falls["mdy"]:
        return min(falls, key=falls.__getitem__)
    steps = {"dmy": len({(b, c) for _, b, c in days}), "mdy": len({(a, c) for a, _, c in days})}
    if steps["dmy"] != steps["mdy"]:  # days that follow one another, or as many months
        return f"{min(steps, key=steps.__getitem__)}?"
    return "mdy?" if any("AM" in m or "PM" in m for _, _, _, m in dates) else "dmy?"


def _keys(days: Sequence[tuple[int, int, int]], month: int) -> list[tuple[int, int, int]]:
    return [(d[2], d[month], d[1 - month]) for d in days]


def _time(stamp: Sequence[str], orders: dict[_Format, str]) -> str:
    """The local time of a stamp as ISO 8601, without a zone; empty if there is no such date."""
    _, a, b, c, before, hour, minute, second, after = stamp
    order = orders[_format(stamp)]
    parts = {name: int(value) for name, value in zip(order, (a, b, c), strict=True)}
    year = parts["y"] + (2000 if parts["y"] < 100 else -543 if parts["y"] > 2400 else 0)
    half = "".join((before + after).casefold().replace(".", "").split())
    hours = int(hour)
    if half in AFTERNOON and hours < 12:
        hours += 12
    elif half in MORNING and hours == 12:
        hours = 0
    try:
        moment = datetime(year, parts["m"], parts["d"], hours, int(minute), int(second or 0))
    except ValueError:
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S" if second else "%Y-%m-%dT%H:%M")


# --- staff --------------------------------------------------------------------------------------------------------


def _staff(chats: Sequence[_Chat], job: Job) -> set[str]:
    """The senders who are staff: those of `--staff`, whoever writes in several chats, or not the one the file names.

    Raises:
        InputError: it cannot be told, or nobody matches `--staff`.
    """
    writers: Counter[str] = Counter()
    for chat in chats:
        writers += chat.senders
    choices = "; ".join(f"{name} {n}" for name, n in writers.most_common(10))
    ask = f"give --staff NAME; who writes, and how many messages: {choices}"
    if job.staff:
        staff = {name for name in writers if job.staff.has(name)}
        if chats and not staff:
            raise InputError(f"nobody who writes matches --staff {', '.join(job.staff.given)}", ask)
        return staff
    customers = {name for chat in chats for name in chat.senders if _names(chat.entry, name)}
    everywhere = [n for n in writers if n not in customers and sum(n in c.senders for c in chats) == len(chats)]
    most = [n for n in writers if n not in customers and 2 * sum(n in c.senders for c in chats) > max(len(chats), 2)]
    staff = set(everywhere if len(chats) > 1 and everywhere else most)
    if not staff and customers:
        staff = {n for n in writers if n not in customers}
    if not chats:
        return set()
    if not staff or len(staff) == len(writers):
        raise InputError("the WhatsApp chats do not say who is staff and who is a customer", ask)
    job.report.note(f"staff are taken to be {', '.join(sorted(staff)[:8])}; --staff says otherwise")
    return staff


def _names(entry: Entry, sender: str) -> bool:
    """Whether the file, its folder, or its archive is named after a sender: chats are named after the customer."""
    path = PurePosixPath(entry.name)
    name = sender.casefold()
    return len(name) > 1 and any(name in unmarked(part).casefold() for part in (path.stem, path.parent.name))
