"""What people answered in the inbox, as documents: found from the next index on, before any model has learned it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from inhouse.types import Document, Example


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
