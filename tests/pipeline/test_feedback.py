"""What people replied in the inbox comes back: found by search, learned from, and kept from those it is not for."""

import asyncio
import json
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.models.catalog import Catalog
from inhouse.pipeline import ask as asking
from inhouse.pipeline import stages as pipeline
from inhouse.pipeline.base import texts_of
from inhouse.pipeline.feedback import approved_replies, to_learn, without_replies
from inhouse.pipeline.opinions import opinions
from inhouse.pipeline.preference import Before, lessons_of
from inhouse.pipeline.pretrain import make_pretrained
from inhouse.serving.reindex import content_now
from inhouse.store.audit import Audit
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import open_ledger
from inhouse.types import Message


def approve_reply(inbox, id, question, reply, groups=(), **more):
    exchange = Exchange(
        id=id, at="2026-11-01T10:00:00Z", user="u", key="k", model="custom", release="x/1", arm="rag",
        messages=(Message(role="user", content=question),), answer="I do not know.", reason="stop",
        groups=frozenset(groups), **more,
    )  # fmt: skip
    handoff = inbox.add(exchange, "declined")
    inbox.answer(handoff, reply, "bea")
    inbox.approve(handoff, "bea")
    return exchange


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


@pytest.mark.slow
def test_what_is_not_to_be_stored_is_in_no_data_and_no_document(workspace):
    with workspace.ledger() as ledger:
        inbox, audit = Inbox(ledger), Audit(ledger)
        more = {"parameters": {"store": False}}
        kept = approve_reply(inbox, "4", "Do you store canoes?", "Our branch at the river has a boathouse.")
        asked = approve_reply(inbox, "5", "What about my yacht?", "A yacht is kept at the harbor of Graz.", **more)
        for exchange in (kept, asked):
            asyncio.run(audit.append(exchange))
        audit.close()
    assert len(approved_replies(workspace)) == 3
    data, documents = (Path(stage(workspace).path) for stage in (pipeline.curate, pipeline.ingest))
    written = "".join(file.read_text() for folder in (data, documents) for file in folder.glob("*.json*"))
    assert "boathouse" in written
    assert "yacht" not in written
    made = workspace.store.inputs(pipeline.ingest(workspace))
    assert content_now(workspace)["replies"] == made["replies"]  # or the index would be made again and again


@pytest.mark.slow
def test_what_decides_about_learning_is_not_learned_before(workspace, tmp_path):
    with workspace.ledger() as ledger:
        for n in range(30):
            asked = f"I am Jane Miller, number {n}. Which color is door {n}?"
            approve_reply(Inbox(ledger), f"d{n}", asked, f"The door has a color of its own, see plan {n}x.")
    settings = '[evaluation]\narms = ["base", "tuned", "tuned+feedback"]\n[feedback]\nuse = ["corrections"]\n'
    (tmp_path / "inhouse.toml").write_text(f'name = "x"\n{settings}')
    deciding = Workspace(load_project(tmp_path), workspace.catalog)
    made, index = pipeline.curate(deciding), pipeline.index(deciding)
    lessons = lessons_of(deciding, Before(None, None, index, None, made), *opinions(deciding))
    held = {e.target for e in lessons.held}
    learned = {e.target for split in ("train", "validation", "test") for e in deciding.examples(split, made)}
    assert held
    assert not held & learned
    assert len(to_learn(workspace)[0]) == 31  # where nothing is decided, all are learned


@pytest.mark.slow
def test_a_base_model_reads_no_replies(workspace, monkeypatch):
    """Some of them are held out to decide or to test."""
    documents = pipeline.ingest(workspace)
    read = workspace.documents(documents)
    assert [d.source for d in without_replies(read)] == ["fees.md"]
    texts, left_out = texts_of(workspace, documents)
    assert not any("bicycles" in text for text in texts)
    assert left_out == {"documents_left_out": 0, "replies_left_out": 2}
    learned = []

    def train(job, *more):
        learned.extend([*job.domain, *job.held.domain])
        return {}

    monkeypatch.setattr("inhouse.training.pretrain.train", train)
    monkeypatch.setattr("inhouse.training.gguf.write_served", lambda *given: {})
    project = load_project(workspace.project.root, {"pretraining.chat_share": "0", "pretraining.rewrites": "1"})
    made = make_pretrained(Workspace(project, workspace.catalog), documents, documents)
    assert learned
    assert not any("bicycles" in text for text in learned)
    assert made.facts["left_out"]["replies of the inbox"] == 2


def test_a_changed_limit_of_losses_makes_another_verdict(tmp_path, monkeypatch):
    """The verdict recommends by it, so it must not be looked up from before."""
    (tmp_path / "inhouse.toml").write_text(
        'name = "x"\n[evaluation]\narms = ["base", "tuned", "tuned+feedback"]\n[guardrails]\nrails = []\n'
    )
    monkeypatch.setattr("inhouse.pipeline.parity.refuse_without_parity", lambda checked: None)
    asked = []
    monkeypatch.setattr(Workspace, "make", lambda self, kind, inputs, *more: asked.append((kind, inputs)))
    for most in ("0.01", "0.02"):
        workspace = Workspace(load_project(tmp_path, {"feedback.max_loss": most}))
        for name in (
            "ingest",
            "weights",
            "index",
            "fusion",
            "curate",
            "train",
            "feedback",
            "parity",
            "feedback_parity",
        ):
            workspace.artifacts[name] = workspace.store.make(name, {}, [], lambda work: {})
        pipeline.evaluate(workspace)
    (kind, first), (_, second) = asked
    assert kind == "report"
    assert first != second
