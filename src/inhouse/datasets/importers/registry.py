"""The importers, and which of them a file is for."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from inhouse.datasets.importers.files import BROKEN, Entry, entries_of, opened
from inhouse.datasets.importers.freshdesk import Freshdesk
from inhouse.datasets.importers.imported import Importer, Sample
from inhouse.datasets.importers.intercom import Intercom
from inhouse.datasets.importers.mbox import Mbox
from inhouse.datasets.importers.openai import OPENAI
from inhouse.datasets.importers.rows import ROWS
from inhouse.datasets.importers.slack import Slack
from inhouse.datasets.importers.teams import Teams
from inhouse.datasets.importers.whatsapp import WhatsApp
from inhouse.datasets.importers.zendesk import Zendesk
from inhouse.datasets.shapes import may_have
from inhouse.datasets.transcripts import messages_in
from inhouse.errors import InputError

EXPORTS: tuple[Importer, ...] = (Zendesk(), Intercom(), Freshdesk(), Slack(), Teams(), WhatsApp(), Mbox())
"""Exports of help desks, chats, and mail; rows for training are other kinds, which curation reads itself."""
IMPORTERS: dict[str, Importer] = {i.name: i for i in (*EXPORTS, *OPENAI, *ROWS)}
GUESSED = [i for i in IMPORTERS.values() if i.name != "azure"]  # whose files have the shape of OpenAI's
_OTHER_NAMES = {
    "msteams": "teams", "microsoftteams": "teams", "mail": "mbox", "gmail": "mbox", "takeout": "mbox", "eml": "mbox",
    "azureopenai": "azure", "vertex": "gemini", "vertexgemini": "gemini", "vertexai": "gemini", "anthropic": "bedrock",
    "anthropicbedrock": "bedrock", "claude": "bedrock", "zopim": "zendesk", "openaifinetuning": "openai",
}  # fmt: skip
_ADVICE = {
    ".xml": "export JSON instead: of XML nothing is read",
    ".parquet": "write its rows as JSON Lines, with pandas: to_json(FILE, orient='records', lines=True)",
    ".xlsx": "save the sheet as CSV, with a row for each message",
    ".xls": "save the sheet as CSV, with a row for each message",
    ".pst": "convert it to mbox first, for example with readpst",
    ".ost": "convert it to mbox first, for example with readpst",
    ".msg": "export the folder as mbox or as .eml files",
    ".db": "write the messages as JSON Lines or CSV",
    ".sqlite": "write the messages as JSON Lines or CSV",
    ".html": "export as text or JSON: of HTML nothing is read",
    ".pdf": "export as text or JSON",
    ".7z": "unpack it, and give the folder",
    ".rar": "unpack it, and give the folder",
    ".tar": "unpack it, and give the folder",
    ".tgz": "unpack it, and give the folder",
}
HEAD_BYTES = 1 << 18
_SAMPLED_FILES = 60
_KEY = re.compile(r'"([@\w. ]{1,40})"\s*+:')
_TEXTS = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".mbox", ".mbx", ".eml", ""})


def sample_of(entry: Entry) -> Sample:
    """The beginning of a file, leniently as text."""
    with opened(entry) as stream:
        try:
            head = stream.read(HEAD_BYTES)
        except BROKEN as error:
            raise InputError(f"{entry.place}: cannot be read ({error})", "export it again") from error
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head.decode(encoding, "replace")
    if entry.suffix in (".csv", ".tsv"):
        keys = {re.sub(r"\W+", "_", k.strip(' "\r').lower()) for k in re.split(r"[,;\t|]", text.partition("\n")[0])}
    else:
        keys = set(_KEY.findall(text))
    return Sample(entry.name.lower(), text, frozenset(keys))


def kinds_of(entries: Sequence[Entry], importers: Sequence[Importer]) -> Counter[str]:
    """How many of the files, or of some of many, look like exports of each kind."""
    texts = [e for e in entries if e.suffix in _TEXTS]
    step = max(1, len(texts) // _SAMPLED_FILES)
    samples = [sample_of(e) for e in texts[::step]]
    return Counter(i.name for sample in samples for i in importers if i.recognizes(sample))


def _needs_no_import(sample: Sample) -> bool:
    """Whether curation may read the file itself: a transcript, or a table or rows of questions and answers."""
    return bool(messages_in(sample.text)) or may_have({key.lower() for key in sample.keys})


def recognize(path: Path) -> str | None:
    """The kind of export that a file is, of help desks, chats, and mail; None if it is none of them, or unclear."""
    try:
        found = kinds_of(entries_of([path]), EXPORTS).most_common(2)
    except InputError:
        return None
    return found[0][0] if found and (len(found) == 1 or found[0][1] > found[1][1]) else None


def looks_like(kind: str) -> str:
    """The words that say what a file seems to be, such as "looks like a Zendesk export"."""
    title = IMPORTERS[kind].title
    return f"looks like {'an' if title[0] in 'AEIOU' else 'a'} {title} export"


def choose(given: str, entries: Sequence[Entry]) -> tuple[Importer, str]:
    """The importer for these files, and what to say about the choice.

    Args:
        given: the kind that the user named, or nothing.
        entries: the files of the export.

    Raises:
        InputError: the kind is unknown, or was not given and cannot be told.
    """
    plain = re.sub(r"[^a-z]", "", given.lower())
    near = difflib.get_close_matches(plain, IMPORTERS, 1, 0.75)
    given = _OTHER_NAMES.get(plain) or (near[0] if near else given)
    if given and given not in IMPORTERS:
        raise InputError(f"{given}: not a kind of export", f"the kinds are {', '.join(IMPORTERS)}")
    found = kinds_of(entries, GUESSED)
    if given and (not found or given in kinds_of(entries, [IMPORTERS[given]])):
        return IMPORTERS[given], ""
    best = [kind for kind, n in found.most_common() if n == max(found.values())]
    if not best:
        names = f"{', '.join(e.name for e in entries[:3])}{', ...' if len(entries) > 3 else ''}"
        advice = next((_ADVICE[e.suffix] for e in entries if e.suffix in _ADVICE), "")
        if not advice and entries[0].suffix in _TEXTS and _needs_no_import(sample_of(entries[0])):
            advice = f'it needs no import; name it in inhouse.toml: [curation] conversations = ["{entries[0].name}"]'
        hint = advice or f"name its kind: inhouse import KIND FILE..., where KIND is {', '.join(IMPORTERS)}"
        raise InputError(f"{names}: not an export that is known", hint)
    if len(best) > 1:
        titles = " or ".join(f"{IMPORTERS[kind].title} ({kind})" for kind in best)
        raise InputError(f"the files may be of {titles}", "name the kind: inhouse import KIND FILE...")
    return IMPORTERS[best[0]], f"this {looks_like(best[0])}: imported as {best[0]}"
