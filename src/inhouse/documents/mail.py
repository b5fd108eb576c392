"""Mails (.eml, .emlx, .msg) and pages saved as mails (.mht): all text that a reader sees, once.

Outlook's .msg files are read with olefile: python-oxmsg, on top of it, refuses a text whose code page is wrong.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message
from email.utils import format_datetime
from typing import Any

from inhouse.documents.clean import plain
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.rtf import read_rtf
from inhouse.documents.structured import calendar_text
from inhouse.documents.web import html_text, mail_page, page_content
from inhouse.text.encoding import decode
from inhouse.text.mail import mail_content

MOST_NESTED = 20  # mails attached to mails
_UNSEEN = frozenset({"text/x-amp-html", "text/watch-html", "text/css", "text/x-vcard", "text/vcard", "text/directory"})
_TNEF = "Outlook's own format, not read: have it sent as HTML or plain text"
_SINGLE_BYTE = ("iso-8859", "windows-125", "cp125", "us-ascii", "ascii", "latin")


def read_eml(data: bytes) -> Parsed:
    """The subject as heading, and the text; sender and date are metadata.

    Raises:
        Unreadable: not a mail, or a mail without text.
    """
    message = _message(data)
    if not any(message[name] for name in ("From", "To", "Subject", "Date")):
        raise Unreadable("not an e-mail: it has no headers")
    found = _Found()
    text = found.text_of(message)
    return _mail(_header(message, "Subject"), text, found, {n: _header(message, n) for n in ("From", "Date")})


def _message(data: bytes) -> Message:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = decode(data)[0].encode()
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n\t ")
    if (size := re.match(rb"(\d{1,10})[ \t]*\r?\n", data)) is not None:  # .emlx: the length, the mail, a property list
        data = data[size.end() : size.end() + int(size[1])]
    return message_from_bytes(data, policy=policy.default)


def _mail(subject: str, text: str, found: _Found, headers: dict[str, str]) -> Parsed:
    if not text:
        raise Unreadable("an e-mail without text" + (f"; {found.note}" if found.note else ""))
    if subject and text.partition("\n")[0] != f"# {subject}":
        text = f"# {subject}\n\n{text}"
    meta = {name.lower(): value for name, value in headers.items() if value}
    return Parsed(text=text, title=subject, note=found.note, meta=meta)


def read_mht(data: bytes) -> Parsed:
    """A page saved with its pictures; Word and Confluence write such files and call them .doc."""
    message = _message(data)
    pages = [part for part in message.walk() if part.get_content_type() in ("text/html", "application/xhtml+xml")]
    if not pages:
        return read_eml(data)
    text, note = _decoded(pages[0], html=True)
    return page_content(text, note)


def _header(message: Message, name: str) -> str:
    """A header as it was meant: with characters cut between encoded words, and bytes that no encoding is named for."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    raw = re.sub(r"\r?\n[ \t]*", " ", str(raw))
    if not raw.isascii():
        raw = decode(raw.encode("utf-8", "surrogateescape"))[0]
        return " ".join(raw.split())
    parts = []
    for words, charset in decode_header(raw):
        parts.append(words if isinstance(words, str) else _text(words, charset or "ascii")[0])
    return " ".join("".join(parts).split())


def _text(data: bytes, charset: str) -> tuple[str, str]:
    """Text in a charset that is declared, unless the bytes say otherwise."""
    charset = charset.lower().strip("\"' ")
    if charset.startswith(_SINGLE_BYTE) and not data.isascii():
        try:
            return data.decode("utf-8"), ""
        except UnicodeDecodeError:
            charset = "cp1252" if charset in ("iso-8859-1", "us-ascii", "ascii", "latin1") else charset
    try:
        return data.decode(charset), ""
    except (LookupError, UnicodeDecodeError):
        return decode(data)


def _decoded(part: Message, html: bool = False) -> tuple[str, str]:
    raw = part.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    charset = str(part.get_content_charset() or "")
    if not charset or charset in ("us-ascii", "unknown-8bit"):
        return html_text(data) if html else decode(data)
    return _text(data, charset)


class _Found:
    """What a mail has beside its text."""

    def __init__(self) -> None:
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self.depth = 0

    @property
    def note(self) -> str:
        skipped = [f"attachments skipped: {', '.join(self.skipped)}"] if self.skipped else []
        return ", ".join(dict.fromkeys([*self.notes, *skipped]))

    def text_of(self, part: Any) -> str:
        """All text that a part shows, once; the names of parts that are no such text are noted."""
        kind = part.get_content_type()
        name = part.get_filename() or ""
        if kind == "message/rfc822" and self.depth < MOST_NESTED and part.is_multipart():
            return self._attached(part.get_payload()[0])
        if kind == "text/calendar":
            return calendar_text(self._read(part))
        if part.get_content_maintype() == "text" and kind not in _UNSEEN and not part.is_attachment():
            text = self._read(part, html=kind == "text/html")
            if kind == "text/html":
                text = mail_page(text)
            elif str(part.get_param("format", "")).lower() == "flowed":
                text = _unflowed(text, str(part.get_param("delsp", "")).lower() == "yes")
            return mail_content(text.lstrip("\ufeff")).strip()
        if part.get_content_maintype() != "multipart":
            if name.lower() == "winmail.dat" or kind.endswith("ms-tnef"):
                self.skipped.append(f"{name or kind} ({_TNEF})")
            elif kind not in _UNSEEN or part.is_attachment():
                self.skipped.append(name or kind)
            return ""
        inner = list(part.iter_parts())
        calendars = [p for p in inner if p.get_content_type() == "text/calendar"]
        texts = [text for p in inner if p not in calendars and (text := self.text_of(p))]
        texts = [_fullest(texts)] if kind == "multipart/alternative" else texts
        return "\n\n".join(filter(None, [*texts, *(self.text_of(p) for p in calendars)]))

    def _read(self, part: Any, html: bool = False) -> str:
        text, note = _decoded(part, html)
        if note:
            self.notes.append(note)
        return text

    def _attached(self, message: Any) -> str:
        """An attached mail as a quoted section."""
        self.depth += 1
        text = self.text_of(message)
        self.depth -= 1
        return _quoted(_header(message, "Subject"), _header(message, "From"), _header(message, "Date"), text)


def _quoted(subject: str, sender: str, date: str, text: str) -> str:
    head = " ".join(filter(None, ["Attached e-mail:", subject, f"({', '.join(filter(None, (sender, date)))})"]))
    lines = [head.replace(" ()", ""), "", *text.splitlines()]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _unflowed(text: str, delete_space: bool) -> str:
    """Joins the lines of a paragraph that a mail program wrapped (RFC 3676)."""
    lines: list[str] = []
    open_depth = -1
    for line in text.replace("\r\n", "\n").split("\n"):
        words = line.lstrip(">")
        depth = len(line) - len(words)
        words = words.removeprefix(" ")
        flows = words.endswith(" ") and words != "-- "
        body = words[:-1] if flows and delete_space else words
        if depth == open_depth and words != "-- ":
            lines[-1] += body
        else:
            lines.append("> " * depth + body)
        open_depth = depth if flows else -1
    return "\n".join(lines)


def _fullest(alternatives: Sequence[str]) -> str:
    """The first of the alternatives, the plain one, unless it lacks most words of another."""
    words = [set(plain(text).lower().split()) for text in alternatives]
    richer = (text for text, own in zip(alternatives, words, strict=True) if 2 * len(own - words[0]) > len(own))
    return next(richer, alternatives[0] if alternatives else "")


def read_msg(data: bytes) -> Parsed:
    """A mail saved by Outlook.

    Raises:
        Unreadable: not a mail, or a mail without text.
    """
    from olefile import OleFileIO, isOleFile

    if not isOleFile(data=data):
        raise Unreadable("not a mail of Outlook")
    with OleFileIO(io.BytesIO(data)) as file:
        outlook = _Outlook(file, ())
        if not outlook.has("001A") and not outlook.has("0037"):
            raise Unreadable("not a mail of Outlook")
        found = _Found()
        text = outlook.content(found)
        headers = {"From": outlook.sender(), "Date": outlook.date()}
        return _mail(" ".join(outlook.text("0037").split()), text, found, headers)


class _Outlook:
    """The properties of a mail in an OLE file (MS-OXMSG), each a stream that is named by its number and type."""

    def __init__(self, file: Any, path: tuple[str, ...]) -> None:
        self.file, self.path = file, path
        self.names = {"/".join(name[len(path) :]): name for name in file.listdir() if tuple(name[: len(path)]) == path}
        stored = self._stream("__properties_version1.0")
        start = 32 if not path else 8 if path[-1].startswith("__attach") else 24
        entries = (stored[i : i + 16] for i in range(start, len(stored) - 15, 16))
        self.fixed = {int.from_bytes(entry[:4], "little"): entry[8:] for entry in entries}
        codepage = int.from_bytes(self.fixed.get(0x3FFD0003, b"\0\0")[:4], "little")
        self.codepage = "utf-8" if codepage == 65001 else f"cp{codepage}" if codepage else ""

    def _stream(self, name: str) -> bytes:
        return self.file.openstream(self.names[name]).read() if name in self.names else b""

    def has(self, number: str) -> bool:
        return any(f"__substg1.0_{number}{kind}" in self.names for kind in ("001F", "001E", "0102"))

    def text(self, number: str) -> str:
        """A property of text; "" if there is none."""
        if f"__substg1.0_{number}001F" in self.names:
            return self._stream(f"__substg1.0_{number}001F").decode("utf-16-le", "replace").rstrip("\0")
        data = self._stream(f"__substg1.0_{number}001E").rstrip(b"\0")
        return _text(data, self.codepage)[0] if self.codepage else decode(data)[0]

    def sender(self) -> str:
        name = self.text("0C1A")
        address = self.text("5D01") or self.text("0C1F")
        return f"{name} <{address}>".strip() if "@" in address and address != name else name or address

    def date(self) -> str:
        stamp = self.fixed.get(0x00390040) or self.fixed.get(0x0E060040)
        if not stamp:
            return ""
        since_1601 = timedelta(microseconds=int.from_bytes(stamp, "little") // 10)
        return format_datetime(datetime(1601, 1, 1, tzinfo=UTC) + since_1601)

    def content(self, found: _Found) -> str:
        """The body, and what of the attachments is text."""
        html = self._stream("__substg1.0_10130102").rstrip(b"\0")
        page = html_text(html)[0] if html else self.text("1013")
        bodies = [self.text("1000"), mail_page(page) if page else ""]
        if not any(body.strip() for body in bodies) and (packed := self._stream("__substg1.0_10090102")):
            bodies = [read_rtf(_unpacked(packed)).text]
        texts = [mail_content(body.replace("\r\n", "\n")).strip() for body in bodies]
        parts = [_fullest([text for text in texts if text])]
        for folder in sorted({name.partition("/")[0] for name in self.names if name.startswith("__attach")}):
            attached = _Outlook(self.file, (*self.path, folder))
            if any(name.startswith("__substg1.0_3701000D/") for name in attached.names) and found.depth < MOST_NESTED:
                inner = _Outlook(self.file, (*self.path, folder, "__substg1.0_3701000D"))
                found.depth += 1
                parts.append(_quoted(inner.text("0037"), inner.sender(), inner.date(), inner.content(found)))
                found.depth -= 1
            else:
                found.skipped.append(attached.text("3707") or attached.text("3704") or "attachment")
        return "\n\n".join(filter(None, parts))


_WORDS = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u"
    rb"\tab\tx"
)


def _unpacked(data: bytes) -> bytes:
    """The RTF of Outlook, unpacked (MS-OXRTFCP): references into a ring of 4,096 bytes that begins with words."""
    size, kind = int.from_bytes(data[4:8], "little"), data[8:12]
    if kind == b"MELA":  # not packed
        return data[16 : 16 + size]
    ring, write = bytearray(_WORDS.ljust(4096)), len(_WORDS)
    made, at = bytearray(), 16
    while at < len(data):
        flags, at = data[at], at + 1
        for bit in range(8):
            refers = flags >> bit & 1
            token, at = data[at : at + 1 + refers], at + 1 + refers
            start, length = int.from_bytes(token, "big") >> 4, (token[-1] & 15) + 2 if token else 0
            if not token or (refers and start == write):
                return bytes(made)
            for i in range(length if refers else 1):
                ring[write] = ring[(start + i) % 4096] if refers else token[0]
                made.append(ring[write])
                write = (write + 1) % 4096
    return bytes(made)
