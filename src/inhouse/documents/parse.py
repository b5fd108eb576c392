"""The bytes of one file to Markdown text: the reader of each format, and files whose extension is wrong.

The reader is chosen by the file's extension; only contents that are surely of another kind (a .xls that is a page in
HTML, a .txt that is a PDF) are read as what they are. Nothing here opens a link, an attachment, or an archive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from inhouse.documents.book import read_epub
from inhouse.documents.clean import clean_text
from inhouse.documents.kinds import OLE, TEXTUAL, advice, is_whole_page, kind_of
from inhouse.documents.mail import read_eml, read_mht, read_msg
from inhouse.documents.old_spreadsheet import is_binary_workbook, read_old_xls
from inhouse.documents.opendocument import read_odp, read_ods, read_odt
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.plain import (
    read_asciidoc,
    read_markdown,
    read_org,
    read_rst,
    read_settings,
    read_subtitles,
    read_table,
    read_text,
    read_tsv,
)
from inhouse.documents.rtf import read_rtf
from inhouse.documents.slides import read_pptx
from inhouse.documents.spreadsheet import read_xlsx
from inhouse.documents.structured import (
    read_calendar,
    read_contacts,
    read_json,
    read_json_lines,
    read_notebook,
    read_xml,
)
from inhouse.documents.web import read_html
from inhouse.documents.word import read_docx
from inhouse.text.encoding import NotText, decode

if TYPE_CHECKING:
    from inhouse.documents.ocr import Ocr


def parse(data: bytes, suffix: str, ocr: Ocr | None = None) -> Parsed:
    """Returns the clean text of a file with this extension (".pdf"); the extensions are the keys of FORMATS.

    `ocr` reads the pictures in it, of the formats in WITH_OCR.

    Raises:
        Unreadable: empty, damaged, encrypted, binary, or it unpacks to far more than its size.
    """
    if not data:
        raise Unreadable("empty file")
    try:
        parsed = _as_it_is(data, suffix, ocr)
    except NotText as reason:
        raise Unreadable(str(reason)) from reason
    except Unreadable as reason:
        if suffix in _BINARY - PICTURES and _is_text(data):
            raise Unreadable(f"{reason}; what it holds is plain text: rename it to .txt or .csv") from reason
        raise
    text = clean_text(parsed.text)
    if not any(character.isalnum() for character in text):
        raise Unreadable("it contains no text" + (f" ({parsed.note})" if parsed.note else ""))
    meta = {name: clean_text(value) for name, value in parsed.meta.items()}
    places = parsed.places if text == parsed.text else ()  # a reader that has places cleans its lines itself
    return Parsed(text=text, title=clean_text(parsed.title), note=clean_text(parsed.note), meta=meta, places=places)


def _is_text(data: bytes) -> bool:
    if kind_of(data) or any(byte < 9 for byte in data[:_HEAD_BYTES]):
        return False
    try:
        decode(data)
    except NotText:
        return False
    return True


def _as_it_is(data: bytes, suffix: str, ocr: Ocr | None) -> Parsed:
    """The text of a file by its contents where they are of another kind than the extension says."""
    kind, note = kind_of(data), ""
    text = kind in TEXTUAL and suffix not in (_OLD if kind == ".xml" else _BINARY)  # of another text format
    same = FORMATS.get(kind) is FORMATS[suffix] or (text and not (kind == ".html" and is_whole_page(data)))
    if kind and not same:
        if kind not in FORMATS:
            raise Unreadable(f"it is a {kind} file by its contents: {advice(kind)}")
        suffix, note = kind, f"read as {kind}, which it is by its contents"
    parsed = FORMATS[suffix](data, ocr) if suffix in WITH_OCR else FORMATS[suffix](data)
    return parsed.model_copy(update={"note": ", ".join(filter(None, (note, parsed.note)))}) if note else parsed


def _old_office(data: bytes, suffix: str) -> Parsed:
    """A file of an old office program; one that is of another kind by its contents never comes here."""
    raise Unreadable(f"{suffix}: {advice(suffix)}")


def _old_workbook(data: bytes) -> Parsed:
    """An old workbook, or a table in text that an export calls so."""
    if b"urn:schemas-microsoft-com:office:spreadsheet" in data[:_HEAD_BYTES]:
        raise Unreadable("XML spreadsheet of Excel 2003: save it as .xlsx")
    if is_binary_workbook(data):
        return read_old_xls(data)
    parsed = read_table(data, "\t,;|")
    if parsed.text.partition("\n")[0].count("|") < 3:
        raise Unreadable(f".xls: {advice('.xls')}")
    return parsed


def _read_pdf(data: bytes, ocr: Ocr | None = None) -> Parsed:
    from inhouse.documents.pdf import read_pdf  # needs numpy, which the parent of a build does without

    return read_pdf(data, ocr)


def _read_image(data: bytes, ocr: Ocr | None = None) -> Parsed:
    from inhouse.documents.images import read_image

    return read_image(data, ocr)


FORMATS: dict[str, Callable[..., Parsed]] = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".mdown", ".mkd"), read_markdown),
    **dict.fromkeys((".txt", ".text"), read_text),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".xht"), read_html),
    ".pdf": _read_pdf,
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), read_docx),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"), read_pptx),
    ".xls": _old_workbook,
    **dict.fromkeys((".odt", ".ott", ".fodt"), read_odt),
    **dict.fromkeys((".odp", ".otp", ".fodp"), read_odp),
    **dict.fromkeys((".ods", ".ots", ".fods"), read_ods),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), read_xlsx),
    ".rtf": read_rtf,
    ".epub": read_epub,
    ".csv": read_table,
    **dict.fromkeys((".tsv", ".tab"), read_tsv),
    **dict.fromkeys((".eml", ".emlx"), read_eml),
    ".msg": read_msg,
    **dict.fromkeys((".mht", ".mhtml"), read_mht),
    ".json": read_json,
    **dict.fromkeys((".jsonl", ".ndjson"), read_json_lines),
    ".ipynb": read_notebook,
    ".xml": read_xml,
    **dict.fromkeys((".log", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".properties"), read_settings),
    ".rst": read_rst,
    **dict.fromkeys((".adoc", ".asciidoc"), read_asciidoc),
    ".org": read_org,
    **dict.fromkeys((".vtt", ".srt"), read_subtitles),
    ".ics": read_calendar,
    ".vcf": read_contacts,
    **{suffix: partial(_old_office, suffix=suffix) for suffix in (".doc", ".ppt")},
}
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
FORMATS |= dict.fromkeys(sorted(PICTURES), _read_image)
WITH_OCR = PICTURES | {".pdf"}
"""Formats whose readers take an Ocr."""
OLD = frozenset({".doc", ".ppt"})
"""Extensions of old office programs: such files are read only where they are of another kind by their contents."""
_HEAD_BYTES = 8192
_OLD = OLD | {".xls"}
_BINARY = {".doc", ".ppt", ".xls", ".rtf", ".epub", ".msg", *WITH_OCR} | {
    suffix
    for suffix, reader in FORMATS.items()
    if reader in (read_docx, read_pptx, read_xlsx, read_odt, read_odp, read_ods)
}
IN_PROCESS = frozenset({".md", ".markdown", ".txt"})
"""Formats that are read without a library, and therefore without a worker process."""


def is_plain(head: bytes, suffix: str) -> bool:
    """Whether a file with these first bytes is read without a library."""
    kind = kind_of(head)
    return suffix in IN_PROCESS and not head.startswith((OLE, b"PK\x03\x04")) and kind in ("", ".mht", ".xml")
