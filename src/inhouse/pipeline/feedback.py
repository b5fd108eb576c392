"""Replies from the inbox as documents: search finds them from the next index on, before any model has learned them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.assembly.approved import approved_replies
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.types import Document, Example, Message, digest_of, together

if TYPE_CHECKING:
    from inhouse.store.inbox import Handoff

INBOX = "inbox"


def reply_document(reply: Example, access: frozenset[str]) -> Document:
    """The question as title and heading with the reply below."""
    question = " ".join(reply.question.split())
    text = f"# {question}\n\n{reply.target.strip()}\n"
    return Document(source=_source(reply.id), text=text, title=question, meta={"origin": INBOX}, access=access)


def without_replies(documents: Iterable[Document]) -> list[Document]:
    """What a base model may read: no replies. Curation and learning from feedback divide these, and a base model that
    has read those held out to decide or to test would show its memory there."""
    return [d for d in documents if d.meta.get("origin") != INBOX]


def add_documents(file: Path, documents: Iterable[Document]) -> None:
    """Appends documents to a documents.jsonl that is being made."""
    with file.open("a", encoding="utf-8") as handle:
        for document in documents:
            handle.write(document.model_dump_json() + "\n")


def to_learn(workspace: Workspace) -> tuple[list[Example], set[str]]:
    """The approved replies for the training of the custom model, and sources of documents that it must not learn. Left
    out are those to members of a group, since a model cannot keep what it has learned from anybody; and those that
    decide what learning from feedback led to, since a model that has learned them shows its memory there."""
    project = workspace.project
    decide = any("+feedback" in arm for arm in project.evaluation.arms) and "corrections" in project.feedback.use
    approved = [h for h in approved_replies(workspace) if not h.groups]
    held = {h.id for h in approved if decide and is_held(h.messages, project)}
    return [h.example for h in approved if h.id not in held], set(map(_source, held))


def _source(id: str) -> str:
    return f"replies/{id}.md"


def is_held(messages: Sequence[Message], project: Project) -> bool:
    """Whether nothing is learned from what people said of this conversation; all that was said of it stays together."""
    said = [m.content.casefold() for m in messages if m.role == "user"]
    return int(digest_of(["feedback", project.seed, said])[:8], 16) / 16**8 < project.feedback.held_out


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
