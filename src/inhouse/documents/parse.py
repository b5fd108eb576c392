"""The bytes of one file to Markdown text; here the formats that are text themselves: md, txt, html, csv and eml.

The converter is chosen by the file's extension: markitdown's own detection would open archives. Nothing here opens a
link, an attachment, or a file inside the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from inhouse.documents.clean import clean_text, front_matter, plain, underlined_headings
from inhouse.documents.images import read_image
from inhouse.documents.ocr import Ocr
from inhouse.documents.old_spreadsheet import is_binary_workbook, read_old_xls
from inhouse.documents.opendocument import read_odp, read_ods, read_odt
from inhouse.documents.parsed import MARKDOWN, Parsed, Unreadable, images_as_text, table
from inhouse.documents.pdf import read_pdf
from inhouse.documents.slides import read_pptx
from inhouse.documents.spreadsheet import read_xlsx
from inhouse.documents.word import read_docx
from inhouse.text.encoding import SAMPLE_BYTES, NotText, decode, refuse_binary
from inhouse.text.mail import mail_content

_SNIFFED = 16_384
_INVISIBLE = "nav, noscript, template, iframe, svg, [hidden], [style*='display:none'], [style*='display: none']"


def parse(data: bytes, suffix: str, ocr: Ocr | None = None) -> Parsed:
    """Returns the clean text of a file with this extension (".pdf"); the extensions are the keys of FORMATS.

    `ocr` reads the pictures in it, of the formats in WITH_OCR.

    Raises:
        Unreadable: empty, damaged, encrypted, binary, or it unpacks to far more than its size.
    """
    if not data:
        raise Unreadable("empty file")
    try:
        parsed = FORMATS[suffix](data, ocr) if suffix in WITH_OCR else FORMATS[suffix](data)
    except NotText as reason:
        raise Unreadable(str(reason)) from reason
    text = clean_text(parsed.text)
    if not any(character.isalnum() for character in text):
        raise Unreadable("it contains no text" + (f" ({parsed.note})" if parsed.note else ""))
    meta = {name: clean_text(value) for name, value in parsed.meta.items()}
    places = parsed.places if text == parsed.text else ()  # a reader that has places cleans its lines itself
    return Parsed(text=text, title=clean_text(parsed.title), note=clean_text(parsed.note), meta=meta, places=places)


def _text(data: bytes) -> Parsed:
    text, note = decode(data)
    return Parsed(text=underlined_headings(text.replace("\r\n", "\n")), note=note)


def _markdown(data: bytes) -> Parsed:
    text, note = decode(data)
    meta, text = front_matter(text.replace("\r\n", "\n"))
    return Parsed(text=underlined_headings(text), title=meta.get("title", ""), note=note, meta=meta)


def _html(data: bytes) -> Parsed:
    from bs4 import BeautifulSoup
    from markitdown.converters import HtmlConverter

    soup = BeautifulSoup(data, "html.parser")
    title = soup.title.get_text() if soup.title else ""
    refuse_binary(soup.get_text())
    for invisible in soup.select(_INVISIBLE):
        invisible.decompose()
    text = HtmlConverter().convert_string(str(soup), **MARKDOWN).markdown
    return Parsed(text=images_as_text(text), title=title)


def _csv(data: bytes) -> Parsed:
    text, note = decode(data)
    sample = text[:SAMPLE_BYTES].rpartition("\n")[0] or text[:SAMPLE_BYTES]
    try:
        dialect: Any = csv.Sniffer().sniff(sample[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(io.StringIO(text, newline=""), dialect))
    return Parsed(text=table(rows), note=note)


def _eml(data: bytes) -> Parsed:
    """The subject as heading, and the text; sender and date are metadata."""
    from email import message_from_bytes, policy

    message = message_from_bytes(data, policy=policy.default)
    if not any(message[name] for name in ("From", "To", "Subject", "Date")):
        raise Unreadable("not an e-mail: it has no headers")
    subject = " ".join(str(message["Subject"] or "").split())
    skipped: list[str] = []
    text = _mail_text(message, skipped)
    if not text:
        raise Unreadable("an e-mail without text")
    if subject and text.partition("\n")[0] != f"# {subject}":
        text = f"# {subject}\n\n{text}"
    meta = {name.lower(): str(message[name]) for name in ("From", "Date") if message[name]}
    note = f"attachments skipped: {', '.join(skipped)}" if skipped else ""
    return Parsed(text=text, title=subject, note=note, meta=meta)


def _mail_text(part: Any, skipped: list[str]) -> str:
    """All text that a mail shows, once; the names of parts that are no such text are added to `skipped`."""
    kind = part.get_content_type()
    if kind in ("text/plain", "text/html") and not part.is_attachment():
        raw = part.get_payload(decode=True)
        try:
            text = raw.decode(part.get_content_charset() or "utf-8")
        except (LookupError, UnicodeDecodeError):
            text = decode(raw)[0]
        if kind == "text/html":  # the mark, because what the HTML says of its encoding is no longer true
            text = _html(text.encode("utf-8-sig")).text
        return mail_content(text).strip()
    if part.get_content_maintype() != "multipart":
        skipped.append(part.get_filename() or kind)
        return ""
    texts = [text for inner in part.iter_parts() if (text := _mail_text(inner, skipped))]
    return _fullest(texts) if kind == "multipart/alternative" else "\n\n".join(texts)


def _fullest(alternatives: Sequence[str]) -> str:
    """The first of the alternatives, the plain one, unless it lacks most words of another."""
    words = [set(plain(text).lower().split()) for text in alternatives]
    richer = (text for text, own in zip(alternatives, words, strict=True) if 2 * len(own - words[0]) > len(own))
    return next(richer, alternatives[0] if alternatives else "")


def _xls(data: bytes) -> Parsed:
    """An old workbook, or what is called so: programs export new workbooks, HTML and text with tabs as .xls."""
    if is_binary_workbook(data):
        return read_old_xls(data)
    if data.startswith(b"PK"):
        return read_xlsx(data)
    if b"urn:schemas-microsoft-com:office:spreadsheet" in data[:_SNIFFED]:
        raise Unreadable("XML spreadsheet of Excel 2003: save it as .xlsx")
    return _html(data) if b"<table" in data[:_SNIFFED].lower() else _csv(data)


FORMATS: dict[str, Callable[..., Parsed]] = {
    ".md": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": read_pdf,
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), read_docx),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"), read_pptx),
    ".xls": _xls,
    **dict.fromkeys((".odt", ".ott", ".fodt"), read_odt),
    **dict.fromkeys((".odp", ".otp", ".fodp"), read_odp),
    **dict.fromkeys((".ods", ".ots", ".fods"), read_ods),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), read_xlsx),
    ".csv": _csv,
    ".eml": _eml,
}
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
FORMATS |= dict.fromkeys(sorted(PICTURES), read_image)
WITH_OCR = PICTURES | {".pdf"}
"""Formats whose readers take an Ocr."""
IN_PROCESS = frozenset({".md", ".txt"})
"""Formats that are read without a library, and therefore without a worker process."""
