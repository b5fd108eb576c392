"""What people answered in the inbox, as documents: found from the next index on, before any model has learned it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.store.inbox import Handoff
from inhouse.types import (
    Document,
    Example,
)


def reply_document(reply: Example, access: frozenset[str]) -> Document:
    """The question as title and heading, the reply below; for the groups of whoever asked."""
    question = " ".join(reply.question.split())
    text = f"# {question}\n\n{reply.target.strip()}\n"
    return Document(source=f"replies/{reply.id}.md", text=text, title=question, meta={"origin": "inbox"}, access=access)


def add_documents(file: Path, documents: Iterable[Document]) -> None:
    """Puts documents at the end of a documents.jsonl that is being made."""
    with file.open("a", encoding="utf-8") as handle:
        for document in documents:
            handle.write(document.model_dump_json() + "\n")


def approved_replies(workspace: Workspace) -> list[Handoff]:
    """The inbox's approved replies, oldest first; none where nothing was ever served."""
    from inhouse.store.inbox import Inbox

    settings = workspace.project.store
    if not (settings.url or settings.url_env or (workspace.store.root / "ledger.sqlite").is_file()):
        return []
    with workspace.ledger() as ledger:
        return Inbox(ledger).approved()


def reply_documents(workspace: Workspace, approved: Sequence[Handoff], documents: Path) -> list[Document]:
    """Approved replies as documents, without personal data."""
    from inhouse.documents.load import read_documents
    from inhouse.privacy.anonymize import Anonymizer

    project = workspace.project
    if not project.curation.anonymize:
        return [reply_document(h.example, frozenset(h.groups)) for h in approved]
    read = read_documents(documents)
    keep = [project.name, *project.curation.names_to_keep, *(d.title for d in read)]
    anonymizer = Anonymizer(workspace.catalog.find(SPACY_MODEL, project.root), keep)
    anonymizer.learn(d.text for d in read if not d.access)
    return [reply_document(anonymizer.anonymize(h.example)[0], frozenset(h.groups)) for h in approved]
