"""The container of office files: a zip archive of XML parts that point to one another, checked before it is unpacked.

Word, Excel and PowerPoint files (Open Packaging Conventions, ECMA-376 part 2) name their parts in relationships, so the
main part may have any name. Parts are read without entities, DTDs or network access, and the namespaces of the strict
variant are read as those of the usual one.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from lxml import etree

from inhouse.documents.parsed import Unreadable

MAX_EXPANDED_BYTES = 256_000_000
DOCUMENT = "officeDocument"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w{1,40})/")
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_PARSER = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "remove_comments": True,
    "remove_pis": True,
}


class Relation(NamedTuple):
    """What a part points to: `kind` is the last word of its type ("image"), `target` the name of a part or a link."""

    kind: str
    target: str
    external: bool


class Container:
    """An office file that was checked.

    Raises:
        Unreadable: encrypted, damaged, or it unpacks to far more than its size.
    """

    def __init__(self, data: bytes, depth: int = 0) -> None:
        self.depth = depth  # of files inside files
        refuse_encrypted(data)
        if data.startswith(OLE):
            raise Unreadable("old binary Office format: save it as a new one")
        try:
            self.archive = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise Unreadable("damaged or truncated Office file") from error
        parts = {part.filename: part for part in self.archive.infolist()}
        expanded = sum(part.file_size for part in parts.values())
        if expanded > max(MAX_EXPANDED_BYTES, 4 * len(data)):
            raise Unreadable(f"unpacks to {expanded / 1e6:,.0f} MB from {len(data) / 1e6:.1f} MB: it may be a zip bomb")
        if any(part.flag_bits & 1 for part in parts.values()):
            raise Unreadable("encrypted: it needs a password")
        self.names = {_key(name): name for name in parts}

    def read(self, part: str) -> bytes:
        """The bytes of a part with the usual namespaces; empty if there is no such part."""
        name = self.names.get(_key(part))
        if name is None:
            return b""
        data = self.archive.read(name)
        return (
            _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", data)
            if b"purl.oclc.org/ooxml" in data
            else data
        )

    def xml(self, part: str) -> etree._Element | None:
        """The root of an XML part; None if there is no such part.

        Raises:
            Unreadable: the part declares a document type, which office programs never do.
        """
        data = self.read(part)
        return parsed_xml(data, part) if data else None

    def elements(self, part: str, *tags: str) -> Iterator[etree._Element]:
        """The elements of an XML part with these tags, one after the other; each is emptied when the next is asked for.

        Raises:
            Unreadable: as `xml`.
        """
        try:
            for _, element in etree.iterparse(io.BytesIO(self.read(part)), events=("end",), tag=tags, **_PARSER):
                _refuse_document_type(part, element)
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            raise Unreadable(f"damaged Office file: {part} ({error.msg})") from error

    def relations(self, part: str = "") -> dict[str, Relation]:
        """What a part, or the file itself, points to, by the id that its XML uses."""
        folder, name = posixpath.split(part)
        root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        found = {}
        for relation in root.iter(_RELATION) if root is not None else ():
            external = relation.get("TargetMode") == "External"
            target = relation.get("Target", "")
            if not external:
                target = posixpath.normpath(posixpath.join("/", folder, unquote(target.partition("#")[0]))).lstrip("/")
            kind = relation.get("Type", "").rpartition("/")[2]
            found[relation.get("Id", "")] = Relation(kind, target, external)
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """The parts of a kind that a part points to, in the order of their names."""
        targets = {r.target for r in self.relations(part).values() if r.kind == kind and not r.external}
        return sorted((t for t in targets if _key(t) in self.names), key=lambda t: (len(t), t))

    def main_part(self, usual: str) -> str:
        """The name of the main part, which the file's own relationships tell.

        Args:
            usual: its name in most files; the start of it ("word") tells the kind of file.
        """
        folder, _, _ = usual.partition("/")
        roots = [part for part in self.related("", DOCUMENT) if part.startswith(f"{folder}/") or "/" not in part]
        if not roots and _key(usual) not in self.names:
            raise Unreadable(f"not the kind of file its extension says: it has no {usual}")
        return roots[0] if roots else usual

    def title(self) -> str:
        """The title in the file's properties, empty if there is none."""
        part = next(iter(self.related("", "core-properties")), "docProps/core.xml")
        try:
            root = self.xml(part)
        except Unreadable:  # the text does not depend on it
            return ""
        title = None if root is None else root.find("{http://purl.org/dc/elements/1.1/}title")
        return "" if title is None else title.text or ""


def parsed_xml(data: bytes, part: str) -> etree._Element:
    """The root of an XML document without entities, DTDs or network access; `part` names it in errors.

    Raises:
        Unreadable: no XML, or it declares a document type, which office programs never do.
    """
    try:
        root = etree.fromstring(data, etree.XMLParser(**_PARSER))
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged Office file: {part} ({error.msg})") from error
    _refuse_document_type(part, root)
    return root


def _refuse_document_type(part: str, element: etree._Element) -> None:
    if element.getroottree().docinfo.doctype:
        raise Unreadable(f"{part} declares a document type: it may be an attack on XML parsers")


def _key(name: str) -> str:
    """Names of parts are the same in upper and lower case, and some programs write backslashes."""
    return name.replace("\\", "/").lstrip("/").lower()


def refuse_encrypted(data: bytes) -> None:
    """Office files with a password are stored in a container of the old binary kind."""
    if data.startswith(OLE) and "EncryptedPackage".encode("utf-16-le") in data:
        raise Unreadable("encrypted: it needs a password")
