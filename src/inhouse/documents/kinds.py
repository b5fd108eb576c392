"""What a file is by its first bytes, and what to do with files of kinds that are not read."""

from __future__ import annotations

import io
import re
import zipfile

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_IN_OLE = {".msg": "__substg1.0_", ".doc": "WordDocument", ".ppt": "PowerPoint Document", ".xls": "Workbook"}
_IN_ZIP = {
    "word/": ".docx", "xl/": ".xlsx", "ppt/": ".pptx", "META-INF/container.xml": ".epub",
}  # fmt: skip
_MEDIA_TYPES = {
    b"application/epub+zip": ".epub", b"application/vnd.oasis.opendocument.text": ".odt",
    b"application/vnd.oasis.opendocument.spreadsheet": ".ods",
    b"application/vnd.oasis.opendocument.presentation": ".odp",
}  # fmt: skip
_MAGIC = {
    b"{\\rtf": ".rtf", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"II*\0": ".tif", b"MM\0*": ".tif",
    b"\x1f\x8b": ".gz", b"7z\xbc\xaf": ".7z", b"Rar!": ".rar", b"PAR1": ".parquet", b"SQLite format 3": ".sqlite",
    b"\x7fELF": ".exe", b"ID3": ".mp3", b"OggS": ".ogg", b"fLaC": ".flac", b"\x1aE\xdf\xa3": ".webm", b"%!PS": ".ps",
    b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst", b"8BPS": ".psd", b"wOFF": ".woff",
}  # fmt: skip
_MARKS = tuple(_MAGIC)
_PAGE = re.compile(
    rb"(?i)\s*+(?:<!--[^>]{0,500}-->\s*+)?(?:<\?xml[^>]{0,200}>\s*+)?<(?:!doctype html|html|head|body|table)\b"
    rb"|\s*+<(?:meta|style|title|font|center|div)\b[^<>]{0,500}>[^<]{0,4000}<"  # what reports for Office begin with
)
_WHOLE_PAGE = re.compile(rb"(?i)\s*+(?:<!doctype html\b[^>]{0,200}>\s*+)?<html\b")
_MIME = re.compile(rb"(?i)\A(?:[\w-]{1,40}:[^\r\n]{0,998}\r?\n(?:[ \t][^\r\n]{0,998}\r?\n)*+){0,30}?mime-version: ?1")
TEXTUAL = frozenset({".html", ".mht", ".xml"})
"""Kinds that are text: a file of another text format may begin like them."""

_OFFICE = "open it in LibreOffice or Office and save it as"
_ARCHIVE = "unpack it and put the files here"
_SOUND = "transcribe it and save the text"
_PICTURE = "a picture: put its text into a text file, or save it as a PDF with text recognition"
_DATA = "export what people should find as .csv or .xlsx"
_PROGRAM = "a program, not a document: remove it"
_CODE = "source code is not a document: describe it in a .md file"
ADVICE = {
    ".doc": "old Word format: save it as .docx", ".dot": "old Word format: save it as .docx",
    ".wps": f"{_OFFICE} .docx", ".wpd": f"{_OFFICE} .docx", ".hwp": f"{_OFFICE} .docx", ".sxw": f"{_OFFICE} .docx",
    ".fodt": f"{_OFFICE} .docx", ".ott": f"{_OFFICE} .docx", ".odt": f"{_OFFICE} .docx", ".abw": f"{_OFFICE} .docx",
    ".pub": "save it as PDF", ".vsd": "save it as PDF", ".vsdx": "save it as PDF", ".mpp": "save it as PDF",
    ".xls": "old Excel format: save it as .xlsx", ".xlt": "old Excel format: save it as .xlsx",
    ".xlsb": "binary Excel format: save it as .xlsx", ".ods": f"{_OFFICE} .xlsx", ".fods": f"{_OFFICE} .xlsx",
    ".ppt": "old PowerPoint format: save it as .pptx", ".pps": "old PowerPoint format: save it as .pptx",
    ".pot": "old PowerPoint format: save it as .pptx", ".odp": f"{_OFFICE} .pptx",
    ".pages": "export it from Pages as .docx", ".numbers": "export it from Numbers as .xlsx",
    ".key": "export it from Keynote as .pptx", ".one": "export the notebook from OneNote as PDF or .docx",
    ".mbox": "`inhouse import mbox` makes conversations of it; for documents, save the mails as .eml",
    ".pst": "save the mails as .eml or .msg", ".ost": "save the mails as .eml or .msg",
    ".oft": "save it as .msg", ".tnef": "have it sent as HTML or plain text", ".dat": "rename it to what it is",
    **dict.fromkeys((".gdoc", ".gsheet", ".gslides"), "a link, not a document: download it as .docx, .xlsx or .pptx"),
    **dict.fromkeys((".url", ".webloc", ".lnk"), "a link, not a document: save the page as .html or PDF"),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar"), _ARCHIVE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".svg", ".ico",
                     ".psd", ".ai", ".eps", ".avif"), _PICTURE),
    **dict.fromkeys((".mp3", ".wav", ".m4a", ".ogg", ".flac", ".aac", ".wma", ".mp4", ".mov", ".avi", ".mkv",
                     ".webm", ".wmv", ".m4v", ".amr", ".opus"), _SOUND),
    **dict.fromkeys((".parquet", ".feather", ".arrow", ".avro", ".orc", ".sqlite", ".db", ".mdb", ".accdb", ".pkl",
                     ".npy", ".npz", ".h5", ".sav", ".dta", ".rds", ".dbf"), _DATA),
    **dict.fromkeys((".exe", ".dll", ".so", ".bin", ".dmg", ".iso", ".msi", ".apk", ".class", ".pyc"), _PROGRAM),
    **dict.fromkeys((".py", ".js", ".ts", ".java", ".c", ".cpp", ".h", ".cs", ".go", ".rs", ".rb", ".php", ".sh",
                     ".bat", ".ps1", ".sql", ".css", ".scss", ".r", ".swift", ".kt", ".ipynb_checkpoints"), _CODE),
    **dict.fromkeys((".mobi", ".azw", ".azw3"), "convert it to .epub"), ".ps": "convert it to PDF",
    ".djvu": "convert it to PDF", ".xps": "convert it to PDF", ".oxps": "convert it to PDF",
    ".dwg": "save it as PDF",
    ".tex": "make a PDF of it", ".chm": "save its pages as .html", ".woff": "a font: remove it",
    ".ttf": "a font: remove it", ".otf": "a font: remove it", ".bak": "rename it to what it is",
    ".tmp": "a temporary file: remove it", ".part": "an unfinished download: load it again",
    ".crdownload": "an unfinished download: load it again", ".p7m": "encrypted or signed: save its text",
    ".gpg": "encrypted: decrypt it first", ".pgp": "encrypted: decrypt it first",
}  # fmt: skip
"""By extension, what to do instead. An extension of a format that is read needs none."""


def advice(suffix: str) -> str:
    """What to do with a file whose extension is not that of a format which is read."""
    if not suffix:
        return "add the extension of its kind to its name, such as .txt"
    return ADVICE.get(suffix, "save it as PDF, .docx, .xlsx, .html, .md or .txt")


def kind_of(data: bytes) -> str:
    """The extension that fits the first bytes of a file; "" where they do not tell, as for plain text."""
    if b"%PDF-" in data[:1024] and not _PAGE.match(data):
        return ".pdf"
    if data.startswith(b"PK\x03\x04"):
        return _in_zip(data)
    if data.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            return ""  # the reader says that it needs a password
        return next((kind for kind, name in _IN_OLE.items() if name.encode("utf-16-le") in data), "")
    if data[:2] == b"MZ" and b"PE\0\0" in data[:4096]:
        return ".exe"
    if data[4:8] == b"ftyp":
        return ".heic" if data[8:11] in (b"hei", b"mif") else ".mp4"
    if data[:4] == b"RIFF":
        return ".webp" if data[8:12] == b"WEBP" else ".wav"
    if data.startswith(_MARKS):
        return next(kind for mark, kind in _MAGIC.items() if data.startswith(mark))
    head = data[:8192].removeprefix(b"\xef\xbb\xbf")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = data[:8192].decode("utf-16", "replace").encode()
    if _PAGE.match(head):
        return ".html"
    if b"\0" not in head and b":" in head[:80] and _MIME.match(head):
        return ".mht"
    return ".xml" if head.lstrip().startswith(b"<?xml") else ""


def is_whole_page(data: bytes) -> bool:
    """Whether a text is a page from its first to its last element, and no text that shows parts of one."""
    head = data[:4096].removeprefix(b"\xef\xbb\xbf")
    return bool(_WHOLE_PAGE.match(head)) and data[-4096:].rstrip().lower().endswith(b"</html>")


def _in_zip(data: bytes) -> str:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = archive.namelist()
        if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
            return _MEDIA_TYPES.get(archive.read("mimetype").strip(), ".zip")
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError):
        return ""
    return next((kind for part, kind in _IN_ZIP.items() if any(name.startswith(part) for name in names)), "")
