"""What left: entries of the chain with counts and digests, on every database."""

from __future__ import annotations

import json

import pytest

from inhouse.chat import Egress, Exchange
from inhouse.errors import InputError
from inhouse.store.audit import Audit
from inhouse.store.egress import what_left
from inhouse.types import Message, Passage

CLOUD = Egress(
    exchange="chatcmpl-1", upstream="cloud", policy="surrogates", sha256="a" * 64, bytes=321,
    replaced={"PERSON": 2}, removed={"PIN": 1}, dropped=("metadata",),
)  # fmt: skip


@pytest.fixture
def audit(ledger):
    audit = Audit(ledger)
    yield audit
    audit.close()


def exchange(id="chatcmpl-1"):
    passage = Passage(source="fees.md", title="Fees", heading="", text="A wire costs 15 euros.")
    return Exchange(
        id=id, at="2026-03-01T10:00:00+00:00", user="anna", key="k", model="cloud", release="", arm="",
        messages=(Message(role="user", content="I am Anna."),), answer="Hello", passages=(passage, passage), reason="stop",
    )  # fmt: skip


async def test_what_left_is_listed_and_part_of_the_chain(ledger, audit):
    await audit.left(CLOUD)
    await audit.left(CLOUD.model_copy(update={"exchange": "chatcmpl-2", "upstream": "other", "policy": "clear"}))
    await audit.append(exchange())
    second, first = what_left(ledger)
    assert (first.egress, first.passages, first.seq) == (CLOUD, {"fees.md": 2}, 1)
    assert (second.egress.policy, second.passages) == ("clear", {})
    assert audit.verify().ok
    assert [e.egress.exchange for e in what_left(ledger, upstream="cloud")] == ["chatcmpl-1"]
    assert [e.egress.exchange for e in what_left(ledger, policy="clear")] == ["chatcmpl-2"]
    assert [e.egress.exchange for e in what_left(ledger, exchange="chatcmpl-1")] == ["chatcmpl-1"]
    assert [e.seq for e in what_left(ledger, before=2)] == [1]
    assert len(what_left(ledger, limit=1)) == 1
    assert what_left(ledger, until="2020-01-01") == []
    assert len(what_left(ledger, since="2020-01-01")) == 2
    with pytest.raises(InputError, match="not a time"):
        what_left(ledger, since="soon")


async def test_an_entry_has_no_text_and_no_user_and_outlives_a_redaction(ledger, audit, tmp_path):
    await audit.left(CLOUD)
    await audit.append(exchange())
    audit.redact("chatcmpl-1", "boss", "asked")
    assert audit.verify().ok
    (left,) = what_left(ledger)
    assert (left.egress, left.passages) == (CLOUD, {})
    with (tmp_path / "log.jsonl").open("w+") as out:
        audit.export(out)
        out.seek(0)
        row = json.loads(out.readline())
    assert (row["kind"], row["user"]) == ("egress", "")
    assert "Anna" not in row["content"]


async def test_a_changed_entry_is_found(ledger, audit):
    import sqlalchemy as sa

    from inhouse.store.tables import AUDIT

    await audit.left(CLOUD)
    with ledger.write() as connection:
        content = connection.execute(sa.select(AUDIT.c.content)).scalar_one()
        connection.execute(AUDIT.update().values(content=content.replace('"PERSON":2', '"PERSON":0')))
    assert audit.verify().reason == "its content was changed"
