"""What people replied in the inbox comes back: found by search, learned from, and kept from those it is not for."""

import json
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.models.catalog import Catalog
from inhouse.pipeline import ask as asking
from inhouse.pipeline import stages as pipeline
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import open_ledger
from inhouse.types import Message


def approve_reply(inbox, id, question, reply, groups=()):
    exchange = Exchange(
        id=id, at="2026-11-01T10:00:00Z", user="u", key="k", model="custom", release="x/1", arm="rag",
        messages=(Message(role="user", content=question),), answer="I do not know.", reason="stop",
        groups=frozenset(groups),
    )  # fmt: skip
    handoff = inbox.add(exchange, "declined")
    inbox.answer(handoff, reply, "bea")
    inbox.approve(handoff, "bea")
    return handoff


@pytest.fixture
def workspace(tmp_path, models_dir):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "fees.md").write_text("# Fees\n\nA wire costs $25. Incoming wires are free.\n")
    rows = [
        {"messages": [{"role": "user", "content": f"What does a wire of kind {n} cost?"},
                      {"role": "assistant", "content": f"A wire of kind {n} costs $25 at our bank."}]}
        for n in range(12)
    ]  # fmt: skip
    (tmp_path / "conversations.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    ledger = open_ledger(tmp_path / ".inhouse", "", "")
    inbox = Inbox(ledger)
    approve_reply(
        inbox,
        "1",
        "My name is Jane Miller. Do you store bicycles?",
        "Yes, every branch keeps two bicycles free of charge.",
    )
    approve_reply(inbox, "2", "What is the teller's limit?", "Tellers may approve up to $900.", ["staff"])
    ledger.close()
    return Workspace(load_project(tmp_path), Catalog(models_dir.parent))


@pytest.mark.slow
def test_an_approved_reply_is_found_by_those_it_is_for(workspace):
    (hit,) = asking.search(workspace, "can I leave my bicycle with you?", 1, frozenset())
    assert hit.chunk.source.startswith("replies/")
    assert "two bicycles free of charge" in hit.chunk.text
    assert "Miller" not in hit.chunk.text + hit.chunk.title
    open_to_all = asking.search(workspace, "up to which limit may tellers approve?", 10, frozenset())
    assert not [h for h in open_to_all if "900" in h.chunk.text]
    assert (
        "900"
        in asking.search(workspace, "up to which limit may tellers approve?", 1, frozenset(["staff"]))[0].chunk.text
    )


@pytest.mark.slow
def test_a_reply_to_a_group_is_not_learned(workspace):
    data = Path(pipeline.curate(workspace).path)
    rows = "".join((data / f"{name}.jsonl").read_text() for name in ("train", "validation", "test"))
    assert "two bicycles" in rows
    assert "$900" not in rows


@pytest.mark.slow
def test_a_reply_to_someone_in_two_groups_needs_both(workspace):
    with workspace.ledger() as ledger:
        approve_reply(
            Inbox(ledger), "3", "Where is the vault's spare key?", "The spare key is in box 77.", ["staff", "vault"]
        )
    asked = "where is the spare key of the vault?"
    seen = {
        groups: [h.chunk.source for h in asking.search(workspace, asked, 10, frozenset(groups)) if "77" in h.chunk.text]
        for groups in ((), ("staff",), ("vault",), ("staff", "vault"), ("staff", "vault", "more"), ("staff\x1fvault",))
    }
    assert [bool(found) for found in seen.values()] == [False, False, False, True, True, False]
