"""Word, PowerPoint and Excel files to Markdown.

Word and PowerPoint go through markitdown's converters. Spreadsheets are written here, since markitdown shows cells as
pandas prints them ("NaN", "3.0000", 0.0425 for 4.25 %).
"""

from __future__ import annotations

import html
import io
import re
import zipfile

from inhouse.documents.parsed import MARKDOWN, Parsed, Unreadable, images_as_text

MAX_EXPANDED_BYTES = 256_000_000
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TITLE = re.compile(r"<dc:title[^<>]*>([^<]*)</dc:title>")
_SLIDE_NUMBER = re.compile(r"<!-- Slide number: \d+ -->")


def read_docx(data: bytes) -> Parsed:
    """Returns the text of a Word document; its title style becomes a heading of level 1.

    Raises:
        Unreadable: encrypted, damaged, another kind of file, or it unpacks to far more than its size.
    """
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    title = _checked_title(data, "word/document.xml")
    styles = "p[style-name='Title'] => h1:fresh"
    result = DocxConverter().convert(io.BytesIO(data), StreamInfo(extension=".docx"), style_map=styles, **MARKDOWN)
    return Parsed(text=images_as_text(result.markdown), title=title)


def read_pptx(data: bytes) -> Parsed:
    """Returns the text of a presentation, slide by slide, with the speaker's notes.

    Raises:
        Unreadable: as `read_docx`.
    """
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    title = _checked_title(data, "ppt/presentation.xml")
    result = PptxConverter().convert(io.BytesIO(data), StreamInfo(extension=".pptx"), **MARKDOWN)
    text = _SLIDE_NUMBER.sub("", images_as_text(result.markdown, keep_alt=False)).replace("\v", " ")
    return Parsed(text=re.sub(r"^#", "\n#", text, flags=re.MULTILINE), title=title)


def _checked_title(data: bytes, main_part: str) -> str:
    """Checks the container of an Office file before anything unpacks it; returns the title in its properties."""
    if data.startswith(_OLE):
        encrypted = "EncryptedPackage".encode("utf-16-le") in data
        raise Unreadable(
            "encrypted: it needs a password" if encrypted else "old binary Office format: save it as a new one"
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise Unreadable("damaged or truncated Office file") from error
    parts = {part.filename: part for part in archive.infolist()}
    expanded = sum(part.file_size for part in parts.values())
    if expanded > max(MAX_EXPANDED_BYTES, 4 * len(data)):
        raise Unreadable(f"unpacks to {expanded / 1e6:,.0f} MB from {len(data) / 1e6:.1f} MB: it may be a zip bomb")
    if any(part.flag_bits & 1 for part in parts.values()):
        raise Unreadable("encrypted: it needs a password")
    if main_part not in parts:
        raise Unreadable(f"not the kind of file its extension says: it has no {main_part}")
    if "docProps/core.xml" not in parts:
        return ""
    title = _TITLE.search(archive.read("docProps/core.xml").decode("utf-8", "replace"))
    return html.unescape(title[1]) if title else ""
