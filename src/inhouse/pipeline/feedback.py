"""Replies from the inbox as documents: search finds them from the next index on, before any model has learned them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.assembly.workspace import Workspace
from inhouse.types import Document, Example, together

if TYPE_CHECKING:
    from inhouse.store.inbox import Handoff


def reply_document(reply: Example, access: frozenset[str]) -> Document:
    """The question as title and heading with the reply below."""
    question = " ".join(reply.question.split())
    text = f"# {question}\n\n{reply.target.strip()}\n"
    return Document(source=f"replies/{reply.id}.md", text=text, title=question, meta={"origin": "inbox"}, access=access)


def add_documents(file: Path, documents: Iterable[Document]) -> None:
    """Appends documents to a documents.jsonl that is being made."""
    with file.open("a", encoding="utf-8") as handle:
        for document in documents:
            handle.write(document.model_dump_json() + "\n")


def approved_replies(workspace: Workspace) -> list[Handoff]:
    """The approved replies of the inbox, oldest first; none where nothing was ever served."""
    settings = workspace.project.store
    if not (settings.url or settings.url_env or (workspace.store.root / "ledger.sqlite").is_file()):
        return []
    from inhouse.store.inbox import Inbox

    with workspace.ledger() as ledger:
        return Inbox(ledger).approved()


def reply_documents(workspace: Workspace, approved: Sequence[Handoff], documents: Path) -> list[Document]:
    """Approved replies as documents without personal data, for those who are in all groups of the person who asked: the
    reply may quote what any of them may read. `documents` is the documents.jsonl they will be added to."""
    if not workspace.project.curation.anonymize:
        return [reply_document(h.example, together(h.groups)) for h in approved]
    from inhouse.documents.load import read_documents

    read = read_documents(documents)
    anonymizer = workspace.anonymizer()
    anonymizer.keep(d.title for d in read)
    anonymizer.learn(d.text for d in read if not d.access)
    return [reply_document(anonymizer.anonymize(h.example)[0], together(h.groups)) for h in approved]
