"""Mailboxes in mbox format (mboxo, mboxrd, mboxcl), and folders of .eml files.

Mails are put into threads by Message-ID, In-Reply-To, and References; replies without these by their subject and the
people. Automatic mails (RFC 3834), bounces, spam, and drafts are left out, copies are read once.
https://www.rfc-editor.org/rfc/rfc4155, https://www.rfc-editor.org/rfc/rfc5322
"""

from __future__ import annotations

import io
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import IO

from inhouse.datasets.importers.files import BROKEN, Entry, opened
from inhouse.datasets.importers.imported import (
    AUTOMATIC,
    NOTE,
    Conversation,
    Job,
    Sample,
    Skipped,
    Turn,
    conversation,
    files_of,
    utc,
)
from inhouse.errors import InputError
from inhouse.text.html import html_text
from inhouse.text.mail import reply_content

_HEADER = re.compile(rb"[A-Za-z][\w-]*+:|>?From ")
_QUOTED_FROM = re.compile(rb"^>(>*+From )", re.MULTILINE)
_IDS = re.compile(r"<[^<>\s]++>")
_REPLY = re.compile(
    r"(?:(?:re|aw|wg|fwd?|fw|sv|vs|antw|rv|ref|r|tr|rif|odp|ynt|atb|回复|答复|转发|返信)(?:\[\d+\])?\s?[:：]\s*+)++",
    re.IGNORECASE,
)
_PUBLIC = frozenset(
    {"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "gmx.de",
     "gmx.net", "web.de", "t-online.de", "aol.com", "proton.me", "protonmail.com", "mail.ru", "yandex.ru",
     "qq.com", "163.com"}
)  # fmt: skip
_AWAY = re.compile(
    r"(?:auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|abwesenheits\w+|automatische antwort"
    r"|réponse automatique|absence du bureau|respuesta automática|fuera de la oficina|resposta automática"
    r"|ausência temporária|risposta automatica|fuori sede|automatisch antwoord|afwezigheid\w*|automatyczna odpowiedź"
    r"|autosvar|automatiskt? svar|автоответ|自动回复|自动答复|自動回覆|自動応答|不在通知|자동 회신|자동 응답)"
    r"(?:\s*+[:：]|\s*+$)", re.IGNORECASE,
)  # fmt: skip
_LEFT_OUT = frozenset({"spam", "junk", "draft", "drafts", "trash", "chat", "entwürfe", "papierkorb"})
_STUB_CHARS = 200
MAIL_BYTES = 64 << 20


@dataclass(slots=True)
class _Mail:
    id: str
    parents: tuple[str, ...]
    subject: str
    sender: str
    name: str
    people: frozenset[str]
    recipients: frozenset[str]
    answer_to: str  # the address of Reply-To
    listed: bool  # came by a mailing list
    time: str
    text: str
    files: tuple[str, ...]
    automatic: bool


@dataclass
class _Mailbox:
    mails: dict[str, _Mail] = field(default_factory=dict)
    copies: int = 0


class Mbox:
    name, title = "mbox", "mailbox"

    def recognizes(self, sample: Sample) -> bool:
        head = sample.text.lstrip("\ufeff\r\n")
        if head.startswith("From "):
            return bool(re.match(r"(?:>?From [^\n]*\n|[A-Za-z][\w-]*+:)", head.partition("\n")[2]))
        return sample.name.endswith(".eml") and bool(re.match(r"[A-Za-z][\w-]*+:", head))

    def read(self, job: Job) -> Iterator[Conversation | Skipped]:
        box = _Mailbox()
        for entry in files_of(job, {"", ".mbox", ".mbx", ".eml", ".txt", ".mboxrd", ".mboxo", ".mboxcl", ".mboxcl2"}):
            mails = [entry.read()] if entry.suffix == ".eml" else _split(entry, job)
            for number, raw in enumerate(mails, 1):
                _add(box, raw, f"{entry.name}:{number}", job)
            if entry.suffix == ".eml":
                job.advance(entry.size)
        if box.copies:
            job.report.note(f"copies of mails, which are read once: {box.copies}")
        threads = _threads(box)
        is_staff = _staff(box, job)
        for thread in threads:
            written = [m for m in thread if not m.automatic]
            job.report.dropped[AUTOMATIC] += len(thread) - len(written)
            turns = list(_turns(written, is_staff, job))
            if turns:
                yield conversation(written[0].id, turns, job.report)


def _turns(mails: Sequence[_Mail], is_staff: Callable[[str, str], bool], job: Job) -> Iterator[Turn]:
    """The turns of a thread. What staff sends to staff alone is internal; but a form of the website, which is from and
    to staff, is the customer's whom Reply-To names."""
    for m in mails:
        own = is_staff(m.sender, m.name)
        if own and m.recipients and not m.listed and all(is_staff(address, "") for address in m.recipients):
            if not m.answer_to or is_staff(m.answer_to, ""):
                job.report.dropped[NOTE] += 1
                continue
            own = False
            job.report.note("mails from and to staff whose answers go to others, as of a form, are taken for theirs")
        yield Turn(own, m.text, m.time, (m.name or m.sender) if own else "", m.files)


# --- the container ------------------------------------------------------------------------------------------------


def _split(entry: Entry, job: Job) -> Iterator[bytes]:
    """The mails of a mailbox, one by one, without the line `From ` and its quotations.

    A mail begins at a line `From ` that a header follows, after an empty line or the start.
    A length that fits is heeded.
    """
    with opened(entry) as stream:
        lines = _Lines(stream, job)
        line = lines.next()
        while line and not line.strip(b"\r\n\xef\xbb\xbf"):
            line = lines.next()
        if not line.lstrip(b"\xef\xbb\xbf").startswith(b"From "):
            return
        while line:
            try:
                mail, line = _one(lines, job)
            except BROKEN as error:
                raise InputError(f"{entry.place}: cannot be read to its end ({error})", "export it again") from error
            yield mail


def _one(lines: _Lines, job: Job) -> tuple[bytes, bytes]:
    """A mail and the line `From ` of the next. Lines `>From ` are unquoted, unless others show that none are quoted."""
    parts: list[bytes] = []
    size, length, blank, body = 0, -1, False, False
    while line := lines.next():
        if not body and not line.strip(b"\r\n"):
            body = True
            if length >= 0 and (content := lines.exactly(length)) is not None:
                plain = re.search(rb"^From ", content, re.MULTILINE)
                own = content if plain else _QUOTED_FROM.sub(rb"\1", content)
                return b"".join([*parts, line, own]), lines.skip_blank()
        elif not body and line[:15].lower() == b"content-length:" and line[15:].strip().isdigit():
            length = int(line[15:])
        elif blank and line.startswith(b"From ") and _HEADER.match(lines.peek()):
            break
        blank = not line.strip(b"\r\n")
        size += len(line)
        if size <= MAIL_BYTES:
            parts.append(line)
        else:
            job.report.note(f"mails are read up to {MAIL_BYTES >> 20} MB each")
    return _QUOTED_FROM.sub(rb"\1", b"".join(parts)), line


class _Lines:
    """Lines of a stream with a look ahead."""

    def __init__(self, stream: IO[bytes], job: Job) -> None:
        self._stream, self._advance = stream, job.advance
        self._waiting: deque[bytes] = deque()

    def next(self) -> bytes:
        line = self._waiting.popleft() if self._waiting else self._stream.readline()
        self._advance(len(line))
        return line

    def peek(self) -> bytes:
        if not self._waiting:
            self._waiting.append(self._stream.readline())
        return self._waiting[0]

    def exactly(self, length: int) -> bytes | None:
        """So many bytes, if the end or a line `From ` follows; else nothing is read."""
        if length > MAIL_BYTES or self._waiting:
            return None
        content = self._stream.read(length)
        after = [self._stream.readline()]
        while after[-1] and not after[-1].strip(b"\r\n"):
            after.append(self._stream.readline())
        if len(content) == length and (not after[-1] or after[-1].startswith(b"From ")):
            self._waiting.extend(after if after[-1] else after[:-1])
            self._advance(length)
            return content
        self._waiting.extend(io.BytesIO(content + b"".join(after)).readlines())
        return None

    def skip_blank(self) -> bytes:
        line = self.next()
        while line and not line.strip(b"\r\n"):
            line = self.next()
        return line


# --- a mail -------------------------------------------------------------------------------------------------------


def _add(box: _Mailbox, raw: bytes, place: str, job: Job) -> None:
    mail = message_from_bytes(raw)
    if not (mail["From"] or mail["Message-ID"] or mail["Subject"]):
        job.report.note(f"{place}: not a mail: it has no headers")
        return
    labels = {label.strip().strip('"').casefold() for label in _header(mail, "X-Gmail-Labels").split(",")}
    if labels & _LEFT_OUT or _header(mail, "X-Spam-Flag").strip().upper() == "YES" or "D" in _header(mail, "X-Status"):
        job.report.dropped["spam, draft, or deleted mail"] += 1
        return
    name, sender = next(iter(_addresses(mail, "From")), ("", ""))
    id = next(iter(_IDS.findall(str(mail["Message-ID"] or ""))), "") or place
    if id in box.mails:
        box.copies += 1
        return
    files: list[str] = []
    text = _text(mail, files)
    box.mails[id] = _Mail(
        id=id,
        parents=(*_IDS.findall(f"{_header(mail, 'References')} {_header(mail, 'In-Reply-To')}"), *_gmail_thread(mail)),
        subject=" ".join(_header(mail, "Subject").split()),
        sender=sender,
        name=name,
        people=frozenset(a for field in ("From", "To", "Cc", "Reply-To") for _, a in _addresses(mail, field)),
        recipients=frozenset(a for field in ("To", "Cc") for _, a in _addresses(mail, field)),
        answer_to=next((a for _, a in _addresses(mail, "Reply-To")), ""),
        listed=mail["List-Id"] is not None or mail["List-Post"] is not None,
        time=_time(mail),
        text=reply_content(text),
        files=tuple(files),
        automatic=_automatic(mail, sender),
    )


def _gmail_thread(mail: Message) -> Iterator[str]:
    if mail["X-GM-THRID"]:
        yield f"gmail thread {_header(mail, 'X-GM-THRID')}"


def _header(mail: Message, name: str) -> str:
    """A header as text: encoded words decoded, raw bytes read as UTF-8 or Latin-1."""
    value = mail[name]
    if value is None:
        return ""
    parts = []
    try:
        for chunk, charset in decode_header(value):
            raw = chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else chunk
            parts.append(_decoded(raw, None if charset == "unknown-8bit" else charset))
    except (ValueError, LookupError):
        return str(value)
    return "".join(parts).replace("\r", "").replace("\n", "")


def _addresses(mail: Message, name: str) -> list[tuple[str, str]]:
    if mail[name] is None:
        return []
    raw = str(mail[name])
    named = getaddresses([raw]) if "=?" in raw and raw.isascii() else getaddresses([_header(mail, name)])
    shown = ((_header({name: n}, name) if "=?" in n else n, a) for n, a in named)  # type: ignore[arg-type]
    return [(" ".join(n.split()), a.lower()) for n, a in shown if "@" in a]


def _time(mail: Message) -> str:
    for given in (mail["Date"], str(mail["Received"] or "").rpartition(";")[2]):
        try:
            return utc(parsedate_to_datetime(str(given).strip()).isoformat())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return ""


def _automatic(mail: Message, sender: str) -> bool:
    """Answers of machines: RFC 3834, older marks of the same, and reports of delivery."""
    submitted = _header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    return (
        submitted not in ("", "no")
        or any(mail[name] is not None for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Response-From"))
        or _header(mail, "Precedence").strip().lower() in ("auto_reply", "auto-reply", "autoreply")
        or mail.get_content_type() == "multipart/report"
        or _AWAY.match(_bare(" ".join(_header(mail, "Subject").split()))) is not None
        or sender.partition("@")[0] in ("mailer-daemon", "postmaster")
    )


def _bare(subject: str) -> str:
    """A subject without the marks of answers before it."""
    marks = _REPLY.match(subject)
    return subject[marks.end() :] if marks else subject


def _text(part: Message, files: list[str]) -> str:
    """The text that a mail shows; of alternatives the plain one, unless it is empty. Attachments are named."""
    kind = part.get_content_type()
    if part.is_multipart() and kind != "message/rfc822":
        inner = [p for p in part.get_payload() if isinstance(p, Message)]
        texts = [text for p in inner if (text := _text(p, files).strip())]
        if kind == "multipart/alternative":
            return _fullest(texts)
        return "\n\n".join(texts)
    name = part.get_filename()
    attached = str(part.get("Content-Disposition") or "").strip().lower().startswith("attachment")
    if kind not in ("text/plain", "text/html") or attached:
        if name or attached or kind == "message/rfc822":
            files.append(_header({"n": name}, "n") if name else kind)  # type: ignore[arg-type]
        return ""
    payload = part.get_payload(decode=True)
    text = _decoded(payload if isinstance(payload, bytes) else b"", part.get_content_charset())
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    if kind == "text/html":
        return html_text(text)
    flowed = str(part.get_param("format") or "").lower() == "flowed"
    return _unflowed(text, str(part.get_param("delsp") or "").lower() == "yes") if flowed else text


def _fullest(alternatives: list[str]) -> str:
    """The plain text, which comes first, unless it only says that there is another."""
    plain = alternatives[0] if alternatives else ""
    stub = len(plain) < _STUB_CHARS
    return next((a for a in alternatives[1:] if stub and len(a) > 3 * len(plain)), plain)


def _decoded(data: bytes, charset: str | None) -> str:
    """Bytes in the charset they name; in UTF-8 or what they seem to be if that is wrong."""
    aliases = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "us-ascii": "utf-8", "gb2312": "gb18030", "gbk": "gb18030",
               "iso-8859-8-i": "iso-8859-8", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "unicode-1-1-utf-7": "utf-7",
               "x-sjis": "cp932", "shift_jis": "cp932", "iso-8859-9": "cp1254", "iso-8859-11": "cp874"}  # fmt: skip
    named = (charset or "utf-8").strip("\"' ").lower()
    for encoding in (aliases.get(named, named), named, "utf-8"):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    from inhouse.text.encoding import decode

    return decode(data)[0]


def _unflowed(text: str, delete_space: bool) -> str:
    """Paragraphs of `format=flowed` (RFC 3676): a line that ends with a space goes on in the next of its depth."""
    lines: list[str] = []
    soft, depth = False, 0
    for raw in text.split("\n"):
        own = len(raw) - len(raw.lstrip(">"))
        line = raw[own:].removeprefix(" ")
        if soft and own == depth and line != "-- ":
            lines[-1] += line
        else:
            lines.append(f"{'>' * own} {line}" if own else line)
        soft, depth = line.endswith(" ") and line != "-- ", own
        if soft and delete_space:
            lines[-1] = lines[-1][:-1]
    return "\n".join(line if line == "-- " else line.rstrip() for line in lines)


# --- threads and staff --------------------------------------------------------------------------------------------


def _threads(box: _Mailbox) -> list[list[_Mail]]:
    """Mails that belong together, each thread by time; threads in the order of their first mails."""
    leader: dict[str, str] = {}

    def top(id: str) -> str:
        while leader.get(id, id) != id:
            leader[id] = leader.get(leader[id], leader[id])
            id = leader[id]
        return id

    for mail in box.mails.values():
        for parent in mail.parents:
            a, b = top(parent), top(mail.id)
            if a != b:
                leader[b] = a
    by_subject: dict[str, list[_Mail]] = {}
    ordered = sorted(box.mails.values(), key=lambda m: m.time)
    for mail in ordered:
        bare = _bare(mail.subject).casefold().strip()
        earlier = by_subject.setdefault(bare, [])
        if bare and not mail.parents and _REPLY.match(mail.subject):
            before = next(
                (m for m in reversed(earlier) if len(m.people & mail.people) > 1 or m.people == mail.people), None
            )
            if before is not None:
                leader[top(mail.id)] = top(before.id)
        earlier.append(mail)
    threads: dict[str, list[_Mail]] = {}
    for mail in ordered:
        threads.setdefault(top(mail.id), []).append(mail)
    return list(threads.values())


def _domain(address: str) -> str:
    """The domain of a business; at a public provider the address itself."""
    domain = address.rpartition("@")[2]
    return address if domain in _PUBLIC else domain


def _staff(box: _Mailbox, job: Job) -> Callable[[str, str], bool]:
    """Tells by address and name who is staff: those of `--staff`, or the one domain that nearly every mail is from or
    to, where there are two the one that is no public provider's.

    Raises:
        InputError: it cannot be told.
    """
    senders = Counter(m.sender for m in box.mails.values())
    if job.staff:
        if box.mails and not any(job.staff.has(m.sender, m.name) for m in box.mails.values()):
            raise InputError(f"nobody who writes matches --staff {', '.join(job.staff.given)}", _choices(senders))
        return job.staff.has
    mails = [m for m in box.mails.values() if not m.automatic]
    near = Counter(d for m in mails for d in {_domain(a) for a in m.people})
    writing = {_domain(m.sender) for m in mails}
    likely = [d for d, n in near.most_common(3) if d in writing and 10 * n >= 9 * len(mails)]
    if not mails:
        return lambda address, name: False
    if len(likely) > 1:
        likely = [d for d in likely if "@" not in d] or likely
    if len(likely) != 1:
        raise InputError("the mailbox does not say who is staff and who is a customer", _choices(senders))
    job.report.note(f"staff are taken to be {likely[0]}, whom nearly every mail is from or to; --staff says otherwise")
    return lambda address, name: _domain(address) == likely[0]


def _choices(senders: Counter[str]) -> str:
    named = "; ".join(f"{sender} {n}" for sender, n in senders.most_common(10))
    return f"give --staff DOMAIN or ADDRESS; who writes, and how many mails: {named}"
