"""Thumbs on exchanges: the balance of each, without redacted ones. On SQLite and PostgreSQL."""

import asyncio

from inhouse.chat import Exchange
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.types import Message


def test_the_balance_of_thumbs_without_redacted_exchanges(ledger):
    audit, feedback = Audit(ledger), Feedback(ledger)
    for id in "abcd":
        asyncio.run(audit.append(Exchange(
            id=id, at="2026-11-01T10:00:00Z", user="u", key="k", model="m", release="x/1", arm="rag", reason="stop",
            messages=(Message(role="user", content="Q"),), answer="A",
        )))  # fmt: skip
    for id, user, thumb in (("a", "1", 1), ("a", "2", 1), ("b", "1", -1), ("c", "1", 1), ("c", "2", -1), ("d", "1", 1)):
        feedback.add(id, user, thumb)
    assert feedback.rated() == [("a", 2), ("b", -1), ("d", 1)]
    audit.redact("a", "bea", "asked for it")
    assert feedback.rated() == [("b", -1), ("d", 1)]
    audit.close()
