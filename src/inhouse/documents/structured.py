"""Structured data as text that search can use: JSON, XML, notebooks, calendars, and contacts.

A list of records of the same kind becomes a table, everything else lines of "key: value" with the path of the key.
Numbers stay as they are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inhouse.documents.markup import markdown, tree
from inhouse.documents.parsed import Parsed, Unreadable, table
from inhouse.documents.web import html_text, page_content
from inhouse.text.encoding import decode

MAX_COLUMNS, MAX_CELL = 30, 300
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?(Z?))?")
_ESCAPED = re.compile(r"\\([nN,;:\\])")
_OFFICE_XML = re.compile(r"<\?mso-application\s|urn:schemas-microsoft-com:office:spreadsheet")


def read_json(data: bytes) -> Parsed:
    text, note = decode(data)
    try:
        value = _loads(text)
    except ValueError as error:
        rows = [line for line in text.splitlines() if line.strip()]
        try:
            value = [_loads(row) for row in rows]
        except ValueError:
            problem = f"not valid JSON ({' '.join(str(error).split())[:80]}), so it is kept as it is"
            return Parsed(text=f"```\n{text.strip()}\n```", note=", ".join(filter(None, (note, problem))))
    return Parsed(text=as_text(value), title=_title(value), note=note)


def read_json_lines(data: bytes) -> Parsed:
    text, note = decode(data)
    values, bad = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values += [_loads(line)] if line.strip() else []
        except ValueError:
            bad.append(number)
    if bad and not values:
        return read_json(data)
    broken = f"{len(bad)} lines are not JSON, the first: line {bad[0]}" if bad else ""
    return Parsed(text=as_text(values), note=", ".join(filter(None, (note, broken))))


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _title(value: object) -> str:
    names = ("title", "name", "subject", "headline")
    return next((found for name in names if isinstance(found := _get(value, name), str)), "")


def _get(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def as_text(value: object, path: str = "") -> str:
    """Any value of JSON as Markdown."""
    return "\n\n".join(_blocks(value, path))


def _blocks(value: object, path: str) -> Iterator[str]:
    match value:
        case Mapping():
            lines: list[str] = []
            for key, inner in value.items():
                where = ".".join(filter(None, (path, str(key))))
                if _is_short(inner):
                    lines.append(f"{where}: {_scalar(inner)}")
                    continue
                if lines:
                    yield "\n".join(lines)
                    lines = []
                yield from _blocks(inner, where)
            if lines:
                yield "\n".join(lines)
        case list() if not value:
            yield f"{path}: (empty)" if path else ""
        case list() if records := _records(value):
            columns = list(dict.fromkeys(key for record in records for key in record))
            rows = [columns, *([record.get(column, "") for column in columns] for record in records)]
            yield (f"{path}:\n\n" if path else "") + table(rows)
        case list() if all(_is_short(item) for item in value):
            yield "\n".join([f"{path}:", *(f"- {_scalar(item)}" for item in value)] if path else map(_scalar, value))
        case list():
            for number, item in enumerate(value, start=1):
                yield from _blocks(item, f"{path} {number}".strip() if path or _is_short(item) else "")
        case _:
            yield f"{path}:\n\n{_scalar(value)}" if path else _scalar(value)


def _is_short(value: object) -> bool:
    if isinstance(value, list):
        return 0 < len(value) <= 20 and all(isinstance(item, str) and len(item) <= 60 for item in value)
    return not isinstance(value, Mapping) and len(str(value)) <= MAX_CELL and "\n" not in str(value)


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(_scalar, value))
    return str(value)


def _records(rows: Sequence[object]) -> list[dict[str, str]]:
    """Objects of the same kind as rows of a table; none if they are too different, too wide, or hold long texts."""
    if len(rows) < 2 or not all(isinstance(row, Mapping) and row for row in rows):
        return []
    records: list[dict[str, str]] = []
    columns: set[str] = set()
    for row in rows:
        values = dict(_leaves(row, ""))
        columns |= values.keys()
        if len(columns) > MAX_COLUMNS or not all(map(_is_short, values.values())):
            return []
        records.append({key: _scalar(value) for key, value in values.items()})
    filled = sum(map(len, records))
    return records if 3 * filled >= len(columns) * len(records) else []


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, ".".join(filter(None, (path, str(key)))))


def read_notebook(data: bytes) -> Parsed:
    """The text and code of a Jupyter notebook, with the text that the code printed."""
    try:
        book = json.loads(decode(data)[0])
        cells = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Unreadable("not a Jupyter notebook: it has no cells") from error
    parts, pictures = [], 0
    for cell in cells:
        source = _source(cell.get("source", cell.get("input", "")))
        if cell.get("cell_type") in ("markdown", "raw", "heading"):
            parts.append("#" * int(cell.get("level", 0)) + " " * ("level" in cell) + source)
            continue
        parts.append(f"```\n{source}\n```" if source.strip() else "")
        for output in cell.get("outputs", ()):
            shown = output.get("data", output)
            pictures += any(key.startswith("image/") or key in ("png", "svg", "jpeg") for key in shown)
            printed = _source(output.get("text") or shown.get("text/plain") or "").strip()
            if printed and not printed.startswith(("<Figure", "<matplotlib", "<AxesSubplot")):
                parts.append(f"```\n{printed}\n```")
    note = f"{pictures} picture{'s' * (pictures > 1)} left out" if pictures else ""
    return Parsed(text="\n\n".join(filter(None, parts)), note=note)


def _source(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def read_xml(data: bytes) -> Parsed:
    """The elements and attributes of XML; pages of XHTML are read as pages."""
    from lxml import etree

    text, note = html_text(data)
    if _OFFICE_XML.search(text[:4000]):
        raise Unreadable("an XML file of Word or Excel 2003: save it as .docx or .xlsx")
    text = re.sub(r"\A\s*<\?xml[^<>]*\?>", "", text)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_pis=True,
                             remove_comments=True)  # fmt: skip
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"not valid XML ({' '.join(str(error).split())[:120]})") from error
    if _name(root) == "html":
        return page_content(text, note)
    title = next((" ".join(e.text.split()) for e in root if _name(e) == "title" and e.text), "")
    value = _element(root)
    return Parsed(text=as_text(value if isinstance(value, Mapping) else {_name(root): value}), title=title, note=note)


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _element(element: Any) -> Any:
    """Attributes and children by name, or the text; where text and elements mix, the text of all."""
    own = " ".join((element.text or "").split())
    mixed = own or any((child.tail or "").strip() for child in element)
    if len(element) and mixed:
        return " ".join("".join(element.itertext()).split())
    text = "<" in own and ">" in own and _page_part(own)
    value: dict[str, Any] = {str(key).rpartition("}")[2]: item for key, item in element.attrib.items()}
    for child in element:
        name, inner = _name(child), _element(child)
        if name in value:
            value[name] = [*(value[name] if isinstance(value[name], list) else [value[name]]), inner]
        else:
            value[name] = inner
    if not value:
        return text or own
    return {**value, **({"": text or own} if own else {})}


def _page_part(html: str) -> str:
    root = tree(html)
    return markdown(root) if root is not None else ""


def _content_lines(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Name, parameters and value of each line of a calendar or of contacts, whose long lines are folded."""
    unfolded = re.sub(r"\r?\n[ \t]", "", text)
    unfolded = re.sub(r"=\r?\n", "", unfolded) if "QUOTED-PRINTABLE" in unfolded.upper() else unfolded
    for line in unfolded.splitlines():
        head, colon, value = re.sub(r'"[^"\n]*"', lambda m: m[0].replace(":", "\0"), line).partition(":")
        name, *given = head.replace("\0", ":").split(";")
        pairs = {key.upper() or "TYPE": value for key, _, value in (parameter.rpartition("=") for parameter in given)}
        if colon:
            if "QUOTED-PRINTABLE" in head.upper():
                from quopri import decodestring

                value = decode(decodestring(value.encode()))[0]
            unescaped = _ESCAPED.sub(lambda m: "\n" if m[1] in "nN" else m[1], value.replace("\0", ":"))
            yield name.rpartition(".")[2].upper(), pairs, unescaped.strip()


_EVENT = {"SUMMARY": "", "DTSTART": "Start", "DTEND": "End", "DUE": "Due", "DURATION": "Duration", "LOCATION": "Place",
          "ORGANIZER": "Organizer", "ATTENDEE": "With", "RRULE": "Repeats", "STATUS": "Status",
          "DESCRIPTION": "Description", "CATEGORIES": "Categories", "URL": "Link"}  # fmt: skip
_CONTACT = {"FN": "", "ORG": "Organization", "TITLE": "Title", "ROLE": "Role", "TEL": "Phone", "EMAIL": "E-mail",
            "ADR": "Address", "BDAY": "Birthday", "URL": "Link", "NOTE": "Note", "NICKNAME": "Nickname"}  # fmt: skip


def calendar_text(text: str) -> str:
    """The events and tasks of a calendar: what, when, where, and with whom."""
    return _cards(text, ("VEVENT", "VTODO", "VJOURNAL"), _EVENT)


def read_calendar(data: bytes) -> Parsed:
    text, note = decode(data)
    return Parsed(text=calendar_text(text), note=note)


def read_contacts(data: bytes) -> Parsed:
    text, note = decode(data)
    return Parsed(text=_cards(text, ("VCARD",), _CONTACT), note=note)


def _cards(text: str, kinds: Sequence[str], labels: Mapping[str, str]) -> str:
    cards: list[dict[str, list[str]]] = []
    inside: list[str] = []
    method = ""
    for name, given, value in _content_lines(text):
        if name == "METHOD" and value.upper() == "CANCEL":
            method = "canceled"
        if name == "BEGIN":
            inside.append(value.upper())
            cards += [{}] if value.upper() in kinds else []
        elif name == "END" and inside:
            inside.pop()
        elif inside and inside[-1] in kinds and name in labels and value:
            shown = _shown(name, given, value)
            cards[-1].setdefault(name, []).append(shown)
    blocks = []
    for card in cards:
        title = " / ".join(card.pop(next(iter(labels)), [])) or "(no title)"
        lines = [f"{labels[name]}: {', '.join(card[name])}" for name in labels if name in card]
        blocks.append("\n\n".join(filter(None, [f"## {' '.join(title.split())}", method, "\n".join(lines)])))
    return "\n\n".join(blocks)


def _shown(name: str, given: Mapping[str, str], value: str) -> str:
    stamp = _STAMP.fullmatch(value)
    if stamp:
        day = f"{stamp[1]}-{stamp[2]}-{stamp[3]}"
        zone = " UTC" if stamp[7] else f" ({given['TZID']})" if "TZID" in given else ""
        return f"{day} {stamp[4]}:{stamp[5]}{zone}" if stamp[4] else day
    if name in ("ATTENDEE", "ORGANIZER"):
        address = re.sub(r"(?i)^mailto:", "", value)
        person = given.get("CN", "").strip('"')
        return f"{person} <{address}>" if person and person.lower() != address.lower() else address
    if name in ("ADR", "ORG"):
        return ", ".join(part.strip() for part in value.split(";") if part.strip())
    kind = given.get("TYPE", "").lower()
    return f"{value} ({kind})" if name in ("TEL", "EMAIL", "ADR") and kind else value
