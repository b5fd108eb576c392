"""A ledger on SQLite and on a real PostgreSQL server: every test of the store runs on both."""

import os
import uuid

import pytest
import sqlalchemy as sa

from inhouse.chat import Exchange, Usage
from inhouse.store.audit import Audit
from inhouse.store.ledger import Ledger, ledger_url, now_ms, to_iso
from inhouse.types import Message, Passage

SERVER = os.environ.get("INHOUSE_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """The URL of an empty database of this test's own."""
    if request.param == "sqlite":
        yield ledger_url(tmp_path)
        return
    if not SERVER:
        pytest.skip("INHOUSE_TEST_POSTGRES is not set to the URL of a PostgreSQL server")
    name = f"inhouse_test_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()


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
