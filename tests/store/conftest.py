"""What tests of the store share. Every test of it runs on SQLite and on a real PostgreSQL server."""

import uuid

import pytest
import sqlalchemy as sa

from inhouse.chat import Exchange, Usage
from inhouse.store.audit import Audit
from inhouse.store.tables import now_ms, to_iso
from inhouse.types import Message, Passage


@pytest.fixture
def audit(ledger):
    audit = Audit(ledger)
    yield audit
    audit.close()


@pytest.fixture
def exchange():
    """Makes exchanges; what is given takes the place of a plain one's values."""

    def make(question="What does a wire transfer cost?", answer="A wire transfer costs 25 dollars.", **values):
        plain = {
            "id": uuid.uuid4().hex, "at": to_iso(now_ms()), "user": "ann", "key": "k1", "model": "custom",
            "release": "bank/1", "arm": "tuned+rag", "reason": "stop", "confidence": 0.9, "first_token_s": 0.1,
            "latency_s": 0.5, "cost_usd": 0.001, "usage": Usage(prompt_tokens=50, completion_tokens=7),
            "passages": (Passage(source="fees.md", title="Fees", heading="Wires", text="25 dollars", score=0.7),),
            "findings": [{"rail": "pii", "side": "in", "action": "pass", "score": 0.1}],
            "groups": frozenset({"staff", "all"}),
        }  # fmt: skip
        return Exchange(messages=(Message(role="user", content=question),), answer=answer, **{**plain, **values})

    return make


@pytest.fixture
def tamper(ledger):
    """Changes the database behind the audit's back."""

    def change(sql, **values):
        with ledger.write() as connection:
            assert connection.execute(sa.text(sql), values).rowcount > 0

    return change
