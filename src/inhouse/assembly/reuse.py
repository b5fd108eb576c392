"""Which approved replies of the inbox may answer again, and why others may not.

A reply rests on the passages that its question found: they are in the audit log. It is void once the released index has
no chunk with exactly that text in that document, since whoever wrote the reply read it. Where no passage was found,
nothing is known of what the reply rests on, and it is not used.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from inhouse.assembly.approved import may_store
from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.sections import Project
from inhouse.errors import InhouseError
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import DEFAULT_KINDS, Pii
from inhouse.privacy.tagger import read_tagger
from inhouse.routing.one_case import about_one_case
from inhouse.routing.reuse import Approved, Reused
from inhouse.types import Artifact, Chunk, Message, Record, together

if TYPE_CHECKING:
    from inhouse.store.inbox import Handoff
    from inhouse.store.ledger import Ledger

log = logging.getLogger(__name__)
KINDS = (*DEFAULT_KINDS, "ORDER_NUMBER")  # of personal data; a reply with any is not used
REFRESH_S = 10.0  # after which the inbox is read again
Personal = Callable[[Sequence[Message]], str]


class Documents(Protocol):
    """What is asked of the released index (`retrieval.search.Index`)."""

    def titles(self) -> dict[str, tuple[str, frozenset[str]]]: ...

    def chunks_of(self, source: str) -> Sequence[Chunk]: ...


class Standing(Record):
    """An approved reply, and whether it is used.

    `until` is when it expires, ISO 8601. "void": a document behind it changed; "private": it has personal data, or is
    about one person's case, or its request asked not to be stored.
    """

    reply: Approved
    status: Literal["valid", "expired", "void", "private"]
    reason: str = ""
    until: str = ""


class Standings:
    """The standings of the approved replies over one index.

    Args:
        documents: the released index; None where nothing is retrieved.
        days: how long a reply is used.
        personal: names a kind of personal data in a conversation, "" if there is none.
    """

    def __init__(self, documents: Documents | None, days: float, personal: Personal) -> None:
        self._documents, self._days, self._personal = documents, days, personal
        self._judged: dict[tuple[str, str, str], tuple[Approved, Literal["valid", "void", "private"], str]] = {}

    def of(self, handoff: Handoff, exchange: Callable[[str], Exchange | None], now: datetime | None = None) -> Standing:
        """How a reply stands now; what cannot change while this index is served is looked at once."""
        key = (handoff.id, handoff.reply, handoff.by)
        if key not in self._judged:
            self._judged[key] = self._judge(handoff, exchange(handoff.exchange_id))
        reply, status, reason = self._judged[key]
        until = datetime.fromisoformat(handoff.replied_at) + timedelta(days=self._days)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        shown = until.isoformat(timespec="seconds")
        if status == "valid" and until <= (now or datetime.now(UTC)):
            return Standing(reply=reply, status="expired", reason=f"was written {self._days:g} days ago", until=shown)
        return Standing(reply=reply, status=status, reason=reason, until=shown)

    def _judge(
        self, handoff: Handoff, exchange: Exchange | None
    ) -> tuple[Approved, Literal["valid", "void", "private"], str]:
        passages = exchange.passages if exchange else ()
        sources = tuple(dict.fromkeys(p.source for p in passages))
        reply = Approved(
            id=handoff.id, messages=handoff.messages, answer=handoff.reply, by=handoff.by, at=handoff.replied_at,
            access=(together(handoff.groups),), key=exchange.key if exchange else "", sources=sources,
        )  # fmt: skip
        if exchange and not may_store(exchange.parameters):
            return reply, "private", "the request asked that it is not stored"
        if why := _changed(exchange, self._documents):
            return reply, "void", why
        titles = self._documents.titles() if self._documents else {}
        reply = reply.model_copy(update={"access": (*reply.access, *(titles[s][1] for s in sources))})
        answer = Message(role="user", content=handoff.reply)  # contact data too, unless the documents have it
        why = about_one_case(reply.question, handoff.reply) or self._personal([*handoff.messages, answer])
        return reply, "private" if why else "valid", why


def _changed(exchange: Exchange | None, documents: Documents | None) -> str:
    """What of the documents behind an exchange is not as it was; "" if all is."""
    if exchange is None or not exchange.passages:
        return "no document is known that it rests on"
    if documents is None:
        return "the release has no documents to check it against"
    titles = documents.titles()
    for source in dict.fromkeys(p.source for p in exchange.passages):
        if source not in titles:
            return f"{source} is gone"
        there = {chunk.text for chunk in documents.chunks_of(source)}
        if any(p.text not in there for p in exchange.passages if p.source == source):
            return f"{source} has changed"
    return ""


class Inboxed:
    """The replies of a project's inbox that may be used now; the inbox is read again every `REFRESH_S`.

    If it cannot be read, no reply is used.
    """

    def __init__(self, ledger: Callable[[], Ledger], standings: Callable[[], Standings]) -> None:
        self._ledger, self._make = ledger, standings
        self._standings: Standings | None = None
        self._usable: list[Approved] = []
        self._read_at = float("-inf")
        self._reading = threading.Lock()

    def __call__(self) -> list[Approved]:
        with self._reading:
            if time.monotonic() - self._read_at >= REFRESH_S:
                try:
                    self._usable = [s.reply for s in self.all() if s.status == "valid"]
                except InhouseError as error:
                    log.warning("approved replies are not used: %s", error)
                    self._usable = []
                self._read_at = time.monotonic()
            return self._usable

    def all(self) -> list[Standing]:
        """How every approved reply stands, oldest first."""
        from inhouse.store.audit import Audit
        from inhouse.store.inbox import Inbox

        ledger = self._ledger()
        try:
            audit, approved = Audit(ledger), Inbox(ledger).approved()
            if approved and self._standings is None:
                self._standings = self._make()
            return [self._standings.of(h, audit.get) for h in approved if self._standings and h.messages]
        finally:
            ledger.close()


def inboxed(workspace: Workspace, project: Project, index: Artifact | None) -> Inboxed:
    """The approved replies of a workspace over an index.

    Args:
        workspace: has the inbox and the audit log; its [reuse] settings count.
        project: the settings that the index is served with.
        index: the artifact that is served; None where nothing is retrieved.
    """

    def standings() -> Standings:
        documents = workspace.index(index, None, project) if index else None
        return Standings(documents, workspace.project.reuse.days, personal(Parts(workspace, project)))

    return Inboxed(workspace.open_ledger, standings)


def reused_of(workspace: Workspace, project: Project, index: Artifact | None) -> Reused:
    """The approved replies as a ChatModel, for a release or as the first rung of a cascade; see `inboxed`."""
    settings = workspace.project.reuse
    reads_system = project.assistant.client_system == "append"
    replies, embedder = inboxed(workspace, project, index), workspace.embedder_of(project.retrieval)
    return Reused(replies, embedder, settings.similar, settings.per, reads_system)


def personal(parts: Parts) -> Personal:
    """Names a kind of personal data in a conversation that the documents do not hold; "" if there is none."""
    finder = parts.finder()
    return partial(_found, Pii(finder, read_tagger(TAGGER), KINDS), finder.is_public)


def _found(pii: Pii, is_public: Callable[[str], bool], messages: Sequence[Message]) -> str:
    for message, spans in zip(messages, pii.spans(messages), strict=True):
        for span in spans:
            if not is_public(message.content[span.start : span.end]):
                return f"has personal data ({span.kind})"
    return ""
