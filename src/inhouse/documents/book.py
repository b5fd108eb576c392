"""Electronic books (.epub): a zip archive of XHTML pages, read in the order of the book's spine."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from lxml import etree

from inhouse.documents.container import Container
from inhouse.documents.markup import markdown, tree
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.web import html_text

_EMPTY = re.compile(r"<(a|span|div|p|i|em|b|td|script|title)\b([^<>]*?)/>", re.IGNORECASE)


def read_epub(data: bytes) -> Parsed:
    """The pages of a book, one after the other, without its table of contents.

    Raises:
        Unreadable: damaged, protected, or without pages.
    """
    box = Container(data)
    entries = box.xml("META-INF/container.xml")
    path = next((str(e.get("full-path")) for e in _all(entries, "rootfile")), "")
    package = _package(box.read(path)) if path else None
    if package is None:
        raise Unreadable("not an electronic book: it has no list of contents")
    locked = {str(e.get("URI")) for e in _all(box.xml("META-INF/encryption.xml"), "CipherReference")}
    items = {e.get("id"): e for e in _all(package, "item")}
    texts, folder = [], posixpath.dirname(path)
    for reference in _all(package, "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in (item.get("properties") or "").split():
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(str(item.get("href")))))
        if name in locked:
            raise Unreadable("protected by digital rights management: use a copy without protection")
        page = box.read(name)
        root = tree(_EMPTY.sub(r"<\1\2></\1>", html_text(page)[0])) if page else None
        for head in [] if root is None else list(root.iter("head")):
            head.drop_tree()
        texts.append("" if root is None else markdown(root))
    meta = {name: " ".join(e.text.split()) for name in ("creator", "date") for e in _all(package, name) if e.text}
    title = next((e.text for e in _all(package, "title") if e.text), "")
    return Parsed(text="\n\n".join(filter(None, texts)), title=title, meta=meta)


def _package(data: bytes) -> etree._Element | None:
    """The list of contents; old books declare a document type in it, which is not loaded."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    return etree.fromstring(data, parser) if data else None


def _all(root: etree._Element | None, name: str) -> list[etree._Element]:
    return [] if root is None else [e for e in root.iter() if str(e.tag).rpartition("}")[2] == name]
