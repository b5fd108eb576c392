"""One file's bytes to Markdown text.

Word, PowerPoint and HTML go through markitdown's converters, chosen by the file's ending: its own guessing would open
archives. PDF has a page of its own, and tables are written here: markitdown gives cells as pandas prints them ("NaN",
"3.0000", 0.0425 for 4.25 %). Nothing here opens a link, an attachment, or a file inside the file.
"""

from __future__ import annotations

import codecs
import csv
import html
import io
import re
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from inhouse.documents.clean import clean_text, front_matter, underlined_headings
from inhouse.documents.parsed import Parsed, Unreadable, table

MAX_EXPANDED_BYTES = 256_000_000
_SAMPLE_BYTES = 262_144
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DC_TITLE = re.compile(r"<dc:title[^>]*>([^<]*)</dc:title>")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_MARKDOWN = {"escape_underscores": False, "escape_asterisks": False, "table_infer_header": True}
_UNSEEN = "nav, noscript, template, iframe, svg, [hidden], [style*='display:none'], [style*='display: none']"


def parse(data: bytes, suffix: str) -> Parsed:
    """Returns the clean text of a file with this ending (".pdf"); the endings are the keys of FORMATS.

    Raises:
        Unreadable: empty, damaged, encrypted, binary, or unpacking to far more than its size.
    """
    if not data:
        raise Unreadable("empty file")
    parsed = FORMATS[suffix](data)
    text = clean_text(parsed.text)
    if not any(character.isalnum() for character in text):
        raise Unreadable("no text in it" + (": scanned pages need text recognition first" if suffix == ".pdf" else ""))
    clean = {name: clean_text(value) for name, value in parsed.meta.items()}
    return Parsed(text=text, title=clean_text(parsed.title), note=clean_text(parsed.note), meta=clean)


def decode(data: bytes) -> tuple[str, str]:
    """Text of bytes in any common encoding, and a note when some of them fit none.

    A byte order mark decides; else UTF-8, also when a few bytes in it are broken; else what charset-normalizer finds.

    Raises:
        Unreadable: the bytes are no text.
    """
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "utf-8")
    try:
        text, note = data.decode(encoding), ""
    except UnicodeDecodeError:
        text, note = _guessed(data, encoding)
    _refuse_binary(text)
    return text, note


def _refuse_binary(text: str) -> None:
    sample = text[:_SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > max(4, len(sample) / 100):
        raise Unreadable("binary data, not text")


def _guessed(data: bytes, encoding: str) -> tuple[str, str]:
    from charset_normalizer import from_bytes

    sample = data[:_SAMPLE_BYTES]
    if b"\0" in sample and encoding == "utf-8":
        raise Unreadable("binary data, not text")
    lenient = sample.decode(encoding, "replace")
    foreign = sum(not character.isascii() for character in lenient)
    if encoding != "utf-8" or 4 * lenient.count(_BROKEN) < foreign:
        text = data.decode(encoding, "replace")
        return text, f"{text.count(_BROKEN)} characters could not be decoded"
    best = from_bytes(sample).best()
    if best is None:
        raise Unreadable("binary data, or text in an unknown encoding")
    return data.decode(best.encoding, "replace"), ""


def _text(data: bytes) -> Parsed:
    text, note = decode(data)
    return Parsed(text=text, note=note)


def _markdown(data: bytes) -> Parsed:
    text, note = decode(data)
    meta, text = front_matter(text.replace("\r\n", "\n"))
    return Parsed(text=underlined_headings(text), title=meta.get("title", ""), note=note, meta=meta)


def _html(data: bytes) -> Parsed:
    from bs4 import BeautifulSoup
    from markitdown.converters import HtmlConverter

    soup = BeautifulSoup(data, "html.parser")
    title = soup.title.get_text() if soup.title else ""
    _refuse_binary(soup.get_text())
    for unseen in soup.select(_UNSEEN):
        unseen.decompose()
    text = HtmlConverter().convert_string(str(soup), **_MARKDOWN).markdown
    return Parsed(text=_IMAGE.sub(r"\1", text), title=title)


def _docx(data: bytes) -> Parsed:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    title = _office_title(data, "word/document.xml")
    styles = "p[style-name='Title'] => h1:fresh"
    found = DocxConverter().convert(io.BytesIO(data), StreamInfo(extension=".docx"), style_map=styles, **_MARKDOWN)
    return Parsed(text=_IMAGE.sub(r"\1", found.markdown), title=title)


def _pptx(data: bytes) -> Parsed:
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    title = _office_title(data, "ppt/presentation.xml")
    text = PptxConverter().convert(io.BytesIO(data), StreamInfo(extension=".pptx"), **_MARKDOWN).markdown
    text = re.sub(r"<!-- Slide number: \d+ -->", "", _IMAGE.sub("", text)).replace("\v", " ")
    return Parsed(text=re.sub(r"^#", "\n#", text, flags=re.MULTILINE), title=title)


def _xlsx(data: bytes) -> Parsed:
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    title = _office_title(data, "xl/workbook.xml")
    book = load_workbook(io.BytesIO(data), data_only=True)
    shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    tables = [(sheet.title, table([[_cell(c) for c in row] for row in sheet.iter_rows()])) for sheet in shown]
    hidden = len(book.worksheets) - len(shown)
    text = "\n\n".join(f"## {name}\n\n{rows}" for name, rows in tables if rows)
    return Parsed(text=text, title=title, note=f"{hidden} hidden sheets left out" if hidden else "")


def _cell(cell: Any) -> str:
    """A cell as the spreadsheet shows it, near enough: percentages, thousands, dates."""
    value, form = cell.value, str(cell.number_format or "")
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat(*([" ", "minutes"] if isinstance(value, datetime) else []))
        case int() | float():
            decimals = re.search(r"0\.(0+)", form)
            percent = "%" in form
            number = value * 100 if percent else value
            shown = f"{number:,.{len(decimals[1])}f}" if decimals else f"{number:.10g}"
            sign = next((s for s in "$€£¥" if s in form), "")
            return f"{sign}{shown if ',' in form else shown.replace(',', '')}{'%' * percent}"
    return str(value)


def _csv(data: bytes) -> Parsed:
    text, note = decode(data)
    sample = text[:_SAMPLE_BYTES].rpartition("\n")[0] or text[:_SAMPLE_BYTES]
    try:
        dialect: Any = csv.Sniffer().sniff(sample[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(io.StringIO(text, newline=""), dialect))
    return Parsed(text=table(rows), note=note)


def _eml(data: bytes) -> Parsed:
    from email import message_from_bytes, policy

    message = message_from_bytes(data, policy=policy.default)
    if not any(message[name] for name in ("From", "To", "Subject", "Date")):
        raise Unreadable("not an e-mail: it has no headers")
    subject = str(message["Subject"] or "").strip()
    body = message.get_body(("plain", "html"))
    raw = body.get_payload(decode=True) if body else None
    if body is None or not isinstance(raw, bytes) or not raw.strip():
        raise Unreadable("an e-mail without text")
    try:
        raw = raw.decode(body.get_content_charset() or "utf-8").encode()
    except (LookupError, UnicodeDecodeError):
        raw = decode(raw)[0].encode()
    text = _html(raw).text if body.get_content_type() == "text/html" else raw.decode()
    head = "\n".join(f"{name}: {message[name]}" for name in ("From", "Date") if message[name])
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    note = f"attachments left out: {', '.join(names)}" if names else ""
    return Parsed(text=f"# {subject}\n\n{head}\n\n{text}" if subject else f"{head}\n\n{text}", title=subject, note=note)


def _office_title(data: bytes, main_part: str) -> str:
    """Checks the container of an Office file before anything unpacks it, and returns the title in its properties."""
    if data.startswith(_OLE):
        encrypted = "EncryptedPackage".encode("utf-16-le") in data
        raise Unreadable("encrypted: it needs a password" if encrypted else "an old binary Office file: save it anew")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise Unreadable("damaged or truncated: not a whole Office file") from error
    parts = {part.filename: part for part in archive.infolist()}
    expanded = sum(part.file_size for part in parts.values())
    if expanded > max(MAX_EXPANDED_BYTES, 4 * len(data)):
        raise Unreadable(f"unpacks to {expanded / 1e6:,.0f} MB from {len(data) / 1e6:.1f} MB: it may be a zip bomb")
    if any(part.flag_bits & 1 for part in parts.values()):
        raise Unreadable("encrypted: it needs a password")
    if main_part not in parts:
        raise Unreadable(f"another kind of file with this ending: {main_part} is missing in it")
    if "docProps/core.xml" not in parts:
        return ""
    found = _DC_TITLE.search(archive.read("docProps/core.xml").decode("utf-8", "replace"))
    return html.unescape(found[1]) if found else ""


def _pdf(data: bytes) -> Parsed:
    from inhouse.documents.pdf import read_pdf

    return read_pdf(data)


FORMATS: dict[str, Callable[[bytes], Parsed]] = {
    ".md": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".pptx": _pptx,
    ".xlsx": _xlsx,
    ".csv": _csv,
    ".eml": _eml,
}
IN_PROCESS = frozenset({".md", ".txt"})
"""Formats read without a library, so without a worker."""
