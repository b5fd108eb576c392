"""Which approved replies are used: real inboxes and audit logs on SQLite and PostgreSQL, over a real index."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from inhouse.assembly import reuse
from inhouse.assembly.reuse import inboxed, reused_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Exchange
from inhouse.config.load import load_project
from inhouse.errors import BackendError
from inhouse.models.catalog import Catalog
from inhouse.retrieval.index import build_index
from inhouse.store.audit import Audit
from inhouse.store.erasure import REDACTED
from inhouse.store.inbox import Inbox
from inhouse.store.tables import now_ms, to_iso
from inhouse.types import Document, Message, Passage, Silent

QUESTION = "How much does a wire transfer cost?"
FEES = "A wire transfer within the country is handled by our desk in Salem."
DOCUMENTS = {"fees.md": (FEES, ()), "staff/limits.md": ("Tellers hand out cash up to a limit.", ("staff",))}


@pytest.fixture
def site(tmp_path, models_dir, url, monkeypatch):
    """A project with an index, and ways to have replies approved in it."""
    monkeypatch.setattr(reuse, "REFRESH_S", 0.0)
    (tmp_path / "inhouse.toml").write_text(f'name = "Alder Bank"\n[store]\nurl = "{url}"\n')
    return Site(Workspace(load_project(tmp_path), Catalog(models_dir.parent)))


class Site:
    def __init__(self, workspace):
        self.workspace = workspace
        self.index = self.indexed(DOCUMENTS)

    def indexed(self, documents):
        made = [
            Document(source=s, text=f"# Page\n\n{t}\n", title="Page", access=frozenset(a))
            for s, (t, a) in documents.items()
        ]
        embedder, settings = self.workspace.embedder, self.workspace.project.retrieval
        written = {s: [t, list(a)] for s, (t, a) in documents.items()}
        build = lambda out: build_index(made, embedder, settings, out, None, Silent())  # noqa: E731
        return self.workspace.store.make("index", {"documents": written}, [], build)

    def passages(self, *sources):
        index = self.workspace.index(self.index, None)
        chunks = [c for s in sources for c in index.chunks_of(s)]
        return tuple(Passage(source=c.source, title=c.title, heading=c.heading, text=c.text) for c in chunks)

    async def approve(self, question=QUESTION, answer="It costs $25.", sources=("fees.md",), groups=(), **more):
        one = Exchange(
            id=uuid.uuid4().hex, at=to_iso(now_ms()), user="ann", key="k1", model="custom", release="", arm="rag",
            messages=(Message(role="user", content=question),), answer="I do not know.", reason="stop",
            groups=frozenset(groups), **{"passages": self.passages(*sources), **more},
        )  # fmt: skip
        with self.workspace.ledger() as ledger:
            audit, inbox = Audit(ledger), Inbox(ledger)
            await audit.append(one)
            audit.close()
            id = inbox.add(one, "declined")
            inbox.answer(id, answer, "bea")
            inbox.approve(id, "carl")
        return id, one.id

    def standing(self, index=None):
        (found,) = inboxed(self.workspace, self.workspace.project, index or self.index).all()
        return found

    def match(self, question=QUESTION, groups=(), index=None):
        rung = reused_of(self.workspace, self.workspace.project, index or self.index)
        asked = ChatRequest(messages=(Message(role="user", content=question),), groups=frozenset(groups))
        return rung.match(asked)


async def test_an_approved_reply_is_valid_while_its_documents_are_as_they_were(site):
    id, _ = await site.approve()
    standing = site.standing()
    assert (standing.status, standing.reason) == ("valid", "")
    assert (standing.reply.id, standing.reply.by, standing.reply.sources) == (id, "carl", ("fees.md",))
    match = site.match("What is the price of a wire transfer?")
    assert (match.approved.answer, match.how) == ("It costs $25.", "similar")
    same = site.indexed({**DOCUMENTS, "new.md": ("Something else.", ())})
    assert site.standing(same).status == "valid"


async def test_a_changed_document_makes_it_void(site):
    await site.approve()
    changed = site.indexed({**DOCUMENTS, "fees.md": (FEES.replace("Salem", "Bend"), ())})
    assert (site.standing(changed).status, site.standing(changed).reason) == ("void", "fees.md has changed")
    assert site.match(index=changed) is None
    gone = site.indexed({"staff/limits.md": DOCUMENTS["staff/limits.md"]})
    assert site.standing(gone).reason == "fees.md is gone"
    assert site.match(index=gone) is None
    assert inboxed(site.workspace, site.workspace.project, None).all()[0].reason.startswith("the release has no")


async def test_the_access_of_documents_is_that_of_the_released_index(site):
    await site.approve(sources=("fees.md", "staff/limits.md"))
    assert site.match() is None
    assert site.match(groups=("staff",))
    now_open = site.indexed({**DOCUMENTS, "staff/limits.md": (DOCUMENTS["staff/limits.md"][0], ())})
    assert site.match(index=now_open)
    closed = site.indexed({**DOCUMENTS, "staff/limits.md": (DOCUMENTS["staff/limits.md"][0], ("board",))})
    assert site.match(index=closed, groups=("staff",)) is None


async def test_a_reply_needs_all_groups_of_the_asker(site):
    await site.approve(groups=("staff", "berlin"))
    assert site.match(groups=("staff",)) is None
    assert site.match(groups=("staff", "berlin"))


async def test_it_expires(site):
    await site.approve()
    standings = inboxed(site.workspace, site.workspace.project, site.index)
    (now,) = standings.all()
    assert datetime.fromisoformat(now.until) - datetime.now(UTC) > timedelta(days=89)
    with site.workspace.ledger() as ledger:
        (handoff,) = Inbox(ledger).approved()
        audit = Audit(ledger)
        later = standings._standings.of(handoff, audit.get, datetime.now(UTC) + timedelta(days=91))
    assert (later.status, later.reason) == ("expired", "was written 90 days ago")


async def test_a_reply_to_a_request_that_asked_not_to_be_stored_is_not_used(site):
    await site.approve(parameters={"store": False})
    assert (site.standing().status, site.standing().reason) == ("private", "the request asked that it is not stored")
    assert site.match() is None


async def test_without_a_known_document_it_is_not_used(site):
    await site.approve(passages=())
    assert (site.standing().status, site.standing().reason) == ("void", "no document is known that it rests on")
    assert site.match() is None


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("Where is my order?", "It is on its way.", "asks about one person's case (where is my order)"),
        (QUESTION, "Write to jane.doe@mail.example.", "has personal data (EMAIL)"),
        ("My card 4111 1111 1111 1111 fails. What now?", "Order a new one.", "has personal data (CARD_NUMBER)"),
        ("What of order number 4711-88123?", "It can be returned.", "has personal data (ORDER_NUMBER)"),
    ],
)
async def test_replies_about_one_person_are_private(site, question, answer, why):
    await site.approve(question, answer)
    assert (site.standing().status, site.standing().reason) == ("private", why)
    assert site.match(question) is None


async def test_redacting_the_exchange_ends_the_reply(site):
    _, exchange = await site.approve()
    assert site.match()
    with site.workspace.ledger() as ledger:
        Audit(ledger).redact(exchange, "carl", "asked")
        assert Audit(ledger).get(exchange).answer == REDACTED
    assert site.match() is None
    assert inboxed(site.workspace, site.workspace.project, site.index).all() == []


async def test_a_corrected_reply_must_be_approved_again(site):
    id, _ = await site.approve()
    rung = reused_of(site.workspace, site.workspace.project, site.index)
    asked = ChatRequest(messages=(Message(role="user", content=QUESTION),))
    assert rung.match(asked).approved.answer == "It costs $25."
    with site.workspace.ledger() as ledger:
        Inbox(ledger).answer(id, "It costs $30.", "bea")
        assert rung.match(asked) is None
        Inbox(ledger).approve(id, "carl")
    assert rung.match(asked).approved.answer == "It costs $30."


async def test_an_inbox_that_cannot_be_read_gives_no_reply(site, caplog):
    await site.approve()
    broken = inboxed(site.workspace, site.workspace.project, site.index)
    assert len(broken()) == 1

    def fails():
        raise BackendError("the database cannot be opened")

    broken._ledger = fails
    assert broken() == []
    assert "approved replies are not used: the database cannot be opened" in caplog.text


async def test_the_command_lists_them(site, capsys, monkeypatch):
    from inhouse.cli.reuse import reuse_list

    await site.approve()
    root = site.workspace.project.root
    reuse_list(root, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["status"], row["reply"]["answer"]) == ("valid", "It costs $25.")
    reuse_list(root)
    said = capsys.readouterr()
    assert "valid    until" in said.out
    assert f"  > {QUESTION}" in said.out
    assert "1 of 1 approved replies are valid; none is used, because reuse.enabled is false" in said.err
