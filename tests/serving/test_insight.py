"""What the console is shown of a real project: a few documents, a small data set, a verdict and releases."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from inhouse.assembly.team import described, written
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import CascadeReport, Certificate, CurvePoint, RungResult
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.pipeline import stages as pipeline
from inhouse.roadmap import Todo
from inhouse.serving.insight import WorkspaceInsight
from inhouse.serving.releases import Releases
from inhouse.serving.watched import Memory, Pending, State, Waiting
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic
from inhouse.tools import Tool
from inhouse.types import Message, Review
from inhouse.verdict import Report, Subject

PROCEDURES = Path(__file__).parents[2] / "examples" / "salon" / "procedures"
NOBODY, STAFF = frozenset(), frozenset({"staff"})
TOML = """
name = "Corner bank"
[[documents.access]]
folder = "staff"
groups = ["staff"]
[[documents.access]]
folder = "staff/open"
groups = ["staff", "press"]
[curation]
anonymize = false
synthesize = false
"""
DOCUMENTS = {
    "wires.md": "# Wire transfers\n\nAn outgoing wire costs $25. Incoming wires are free of charge.\n",
    "hours.md": "# Opening hours\n\nThe branch is open Monday to Friday from 9 to 5.\n\n## Saturday\n\nOn Saturday from 9 to noon.\n",
    "staff/waivers.md": "# Fee waivers\n\nTellers may waive a wire fee up to $40 without approval.\n",
    "broken.pdf": "no pdf at all",
    "Staff2.doc": "x",
    "staff/broken.pdf": "no pdf either",
    "staff/open/broken.pdf": "nor this",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, models_dir):
    folder = tmp_path_factory.mktemp("corner")
    (folder / "inhouse.toml").write_text(TOML)
    for path, text in DOCUMENTS.items():
        (folder / "documents" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "documents" / path).write_text(text)
    rows = [
        {
            "id": f"r{n}",
            "messages": [
                {"role": "user", "content": f"{q}?"},
                {"role": "assistant", "content": f"{q}: that is answered here, number {n}."},
            ],
        }
        for n, q in enumerate(
            [
                "What is a wire",
                "When do you open",
                "Who waives fees",
                "Is parking free",
                "Do you lend money",
                "Where are you",
            ]
        )
    ]
    rows.append(
        {
            "id": "short",
            "messages": [{"role": "user", "content": "Is it free to park?"}, {"role": "assistant", "content": "Yes."}],
        }
    )
    (folder / "conversations.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot a row\n")
    return Workspace(load_project(folder))


@pytest.fixture(scope="module")
def ledger(workspace):
    opened = Ledger(ledger_url(workspace.store.root))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def insight(workspace, ledger):
    return WorkspaceInsight(workspace, Traffic(ledger))


def test_before_anything_is_built_there_is_nothing(tmp_path, ledger):
    (tmp_path / "inhouse.toml").write_text('name = "new"\n')
    new = WorkspaceInsight(Workspace(load_project(tmp_path)), Traffic(ledger))
    assert (list(new.documents(STAFF)), list(new.search("wire", 3, STAFF)), list(new.chunks("a", STAFF))) == (
        [],
        [],
        [],
    )
    assert (new.report(), new.report_page(), new.live(), list(new.rows("train")), list(new.failures(STAFF))) == (
        None,
        None,
        None,
        [],
        [],
    )
    assert new.candidates() == ["base"]
    assert new.overview().releases == ()


def test_agents_are_described_and_drawn_once(tmp_path, ledger):
    shutil.copy(PROCEDURES / "gift_card.toml", tmp_path)
    table = '[[agent]]\nname = "gifts"\ndescription = "Sells <b>cards</b>"\nprocedures = ["gift_card.toml"]\ngroups = ["staff"]\n'
    (tmp_path / "inhouse.toml").write_text(f'name = "salon"\n{table}')
    workspace = Workspace(load_project(tmp_path))
    insight = WorkspaceInsight(workspace, Traffic(ledger))
    assert insight.team() is None
    sell = SimpleNamespace(tool=Tool(name="sell_gift_card", approval="amount_usd > 100", origin="python", undo="void"))
    made_from = described(workspace.project, {"sell_gift_card": sell})
    workspace.store.make("team", made_from, [], lambda work: written(made_from, None, work))
    team = insight.team()
    (gifts,) = team.agents
    assert (gifts.name, gifts.description, gifts.groups, team.fallback) == (
        "gifts",
        "Sells <b>cards</b>",
        STAFF,
        "documents",
    )
    (procedure,) = gifts.procedures
    assert (procedure.name, procedure.title, procedure.states) == ("gift_card", "Buy a gift card", 4)
    assert procedure.picture.startswith("<svg")
    assert "<style" not in procedure.picture
    assert [(t.name, t.effect, t.approval, t.undo) for t in gifts.tools] == [
        ("sell_gift_card", "write", "amount_usd > 100", "void")
    ]
    assert team.tool("sell_gift_card") == gifts.tools[0]
    assert team.tool("book") is None
    assert insight.team() is team, "it is not drawn for each page"


def test_documents_chunks_search_and_failures_keep_to_groups(workspace, insight):
    pipeline.index(workspace)
    assert [(d.source, d.title, d.chunks) for d in insight.documents(NOBODY)] == [
        ("hours.md", "Opening hours", 2),
        ("wires.md", "Wire transfers", 1),
    ]
    assert "staff/waivers.md" in {d.source for d in insight.documents(STAFF)}
    assert [c.heading for c in insight.chunks("hours.md", NOBODY)] == ["", "Saturday"]
    assert insight.chunks("staff/waivers.md", NOBODY) == []
    assert insight.chunks("staff/waivers.md", STAFF)[0].text.startswith("Tellers may waive")
    assert insight.chunks("x' OR 'a'='a", STAFF) == []
    assert {m.chunk.source for m in insight.search("waive a wire fee", 9, NOBODY)} == {"wires.md", "hours.md"}
    assert insight.search("waive a wire fee", 9, STAFF)[0].chunk.source == "staff/waivers.md"
    failed = {f.path: f.reason for f in insight.failures(STAFF)}
    assert set(failed) == {"broken.pdf", "Staff2.doc", "staff/broken.pdf", "staff/open/broken.pdf"}
    assert failed["Staff2.doc"].startswith(".doc: old Word format: save it as .docx")
    assert {f.path for f in insight.failures(NOBODY)} == {"broken.pdf", "Staff2.doc"}
    assert {f.path for f in insight.failures(frozenset({"press"}))} == {
        "broken.pdf",
        "Staff2.doc",
        "staff/open/broken.pdf",
    }


def test_reviews_and_the_inbox_come_into_the_next_data_set(workspace, insight, ledger):
    before = pipeline.curate(workspace)
    rows = {part: [r.example.id for r in insight.rows(part)] for part in ("train", "validation", "test", "removed")}
    assert sorted(id for part, ids in rows.items() if part != "removed" for id in ids) == [f"r{n}" for n in range(6)]
    removed = {r.example.id: r.left_out for r in insight.rows("removed")}
    assert removed.keys() == {"short"}, "a line that is no example is not one here"
    assert removed["short"].startswith("quality: ")
    insight.review(Review(id="short", status="approved", by="Ines", at="2026-11-25T10:00:00+00:00"))
    insight.review(Review(id="r3", status="rejected", by="Ines", at="2026-11-25T10:00:00+00:00"))
    asked = Exchange(
        id="e1",
        at="2026-11-25T10:00:00+00:00",
        user="u",
        key="k",
        model="custom",
        release="",
        arm="",
        messages=(Message(role="user", content="Do you take coins?"),),
        answer="I do not know.",
        reason="stop",
    )
    inbox = Inbox(ledger)
    id = inbox.add(asked, "declined")
    inbox.answer(id, "We take coins on Mondays, at the second counter.", "Ines")
    assert pipeline.curate(_again(workspace)).key != before.key, "the review alone makes another data set"
    inbox.approve(id, "Ines")
    pipeline.curate(_again(workspace))
    ids = {r.example.id: r.example for part in ("train", "validation", "test") for r in insight.rows(part)}
    assert {"short", id} <= ids.keys()
    assert "r3" not in ids
    assert (ids[id].origin, ids[id].target) == ("feedback", "We take coins on Mondays, at the second counter.")
    assert insight.reviews()["r3"].status == "rejected"


def _again(workspace):
    """The site in another run."""
    return Workspace(workspace.project, workspace.catalog)


def test_the_cascade_is_read_from_its_artifact_and_void_when_something_changed(workspace, ledger):
    now = {"model": "a"}
    insight = WorkspaceInsight(workspace, Traffic(ledger), lambda: now)
    assert insight.cascade() is None
    at = CurvePoint(thresholds=(0.5,), share_up=0.4, usd=0.1, quality=0.9, low=0.8, high=0.95, wrong=0.05, loss=0.1)
    own = Certificate(risk="wrong", target=0.1, delta=0.05, n=60, observed=0.05, bound=0.09, method="exact binomial",
                      thresholds=(0.5,), passed=True, digests=now)  # fmt: skip
    rungs = [RungResult(name=n, share=0.5, right=0.9, error=0.2, usd=0.1) for n in ("small", "big")]
    made = CascadeReport(rungs=rungs, certificates=[own], curve=[at], certified=at, top=at)
    workspace.store.make("cascade", {"a": 1}, [], lambda work: made.write(work) and {})
    shown = insight.cascade()
    assert shown.report == made
    assert shown.void == ""
    assert shown.picture.startswith("<svg")
    now = {"model": "b"}
    assert insight.cascade().void == "model"
    assert WorkspaceInsight(workspace, Traffic(ledger)).cascade().void is None


def test_what_the_watch_waits_for_is_told_and_a_damaged_state_too(tmp_path, ledger):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    workspace = Workspace(load_project(tmp_path))
    insight = WorkspaceInsight(workspace, Traffic(ledger))
    assert (insight.estimates().watch, insight.estimates().waits) == ("", ())
    memory = Memory(workspace.store.root)
    waiting = Waiting(kind="labels", at="2026-12-01T10:00:00+00:00", text="a topic fails", command="inhouse serve")
    memory.write(State(canary=Pending(release="x/2", until="2026-12-02T10:00:00+00:00"), waiting=(waiting,)))
    found = insight.estimates()
    assert found.watch == "x/2 is a canary until 2026-12-02 10:00 UTC"
    assert found.waits == (Todo(text="a topic fails", command="inhouse serve", page="inbox"),)
    (file,) = workspace.store.root.rglob("state.json")
    file.write_text("{")
    assert "damaged" in insight.estimates().watch


def test_verdict_releases_and_the_live_experiment(workspace, insight, ledger):
    def report(accuracy):
        made = Report(
            subject=Subject(project="p", base_model="b"), questions=4, arms={}, smallest_detectable_gain=accuracy
        )
        parts = {"report.json": made.model_dump_json(), "report.html": f"<h1>{accuracy}</h1>"}
        return workspace.store.make(
            "report",
            {"a": accuracy},
            [],
            lambda work: [(work / n).write_text(t) for n, t in parts.items()] and {"recommended": "rag"},
        )

    first = report(0.5)
    assert insight.report().smallest_detectable_gain == 0.5
    assert insight.report_page() == "<h1>0.5</h1>"
    facts = {
        "name": "corner", "version": 1, "arm": "base", "weights": "w", "report": first.key, "config": "c", "gate": [], "made_at": "2026-11-25T10:00:00+00:00",
        "settings": {"name": "Corner bank"}, "adapter": "", "index": "", "fusion": "", "calibration": "",
    }  # fmt: skip
    workspace.store.make("release", {"v": 1}, [], lambda work: facts)
    Releases(workspace).promote("1")
    report(0.9)
    assert insight.report().smallest_detectable_gain == 0.5, "the verdict of what is served, not the latest"
    assert insight.overview().production == "corner/1"
    assert insight.candidates() == ["base", "corner/1"]
    insight.start("autumn", {"base": 1, "corner/1": 3})
    live = insight.live()
    assert [(a.arm, a.weight, a.users) for a in live.arms] == [("base", 1, 0), ("corner/1", 3, 0)]
    assert "Too early" in live.conclusion
    assert live.differences == ()
    insight.weigh({"base": 1, "corner/1": 1})
    assert [a.weight for a in insight.live().arms] == [1, 1]
    _traffic(ledger, "autumn", 120)
    live = insight.live()
    resolved = next(d for d in live.differences if d.metric == "Resolved")
    assert (resolved.arm, resolved.unit, resolved.shows) == ("corner/1", " points", "better")
    assert [a.users for a in live.arms] == [120, 120]
    insight.stop()
    assert insight.live() is None


def _traffic(ledger, experiment, users):
    """Users of either arm; corner/1 resolves what base does not."""
    import asyncio

    from inhouse.store.audit import Audit
    from inhouse.store.tables import now_ms, to_iso

    audit, feedback = Audit(ledger), Feedback(ledger)
    made = [
        Exchange(
            id=f"x{n}", at=to_iso(now_ms() + 1000), user=f"u{n}", key="k", model="custom", release="", arm="", messages=(Message(role="user", content="q"),), answer="a",
            reason="stop", latency_s=1.0, cost_usd=0.001, experiment=f"{experiment}:{('base', 'corner/1')[n % 2]}",
        ) for n in range(2 * users)
    ]  # fmt: skip

    async def append():
        await asyncio.gather(*(audit.append(e) for e in made))

    asyncio.run(append())
    audit.close()
    for n, e in enumerate(made):
        feedback.add(e.id, e.user, 0, resolved=bool(n % 2) if n % 10 else not n % 2)


def test_pages_keep_to_groups_and_to_the_folder(tmp_path, models_dir, ledger):
    import io

    from PIL import Image
    from reportlab.pdfgen import canvas

    (tmp_path / "inhouse.toml").write_text(TOML)
    for path in ("fees.pdf", "staff/fees.pdf", "staff/open/gone.pdf"):
        file = tmp_path / "documents" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        paper = canvas.Canvas(str(file), pagesize=(600, 800))
        paper.drawString(60, 700, f"The {file.parent.name} wire fee is $25, and it is free from {path} on.")
        paper.save()
    workspace = Workspace(load_project(tmp_path))
    pipeline.index(workspace)
    insight = WorkspaceInsight(workspace, Traffic(ledger))
    chunk = insight.chunks("fees.pdf", NOBODY)[0]
    assert chunk.page == 1
    picture = Image.open(io.BytesIO(insight.page("fees.pdf", 1, chunk.box, NOBODY)))
    assert picture.width == 1200
    red, _, blue = picture.getpixel((int(picture.width * chunk.box[0]) + 1, 100))
    assert red > blue + 30, "the mark is yellow"
    assert insight.page("staff/fees.pdf", 1, chunk.box, NOBODY) is None
    assert insight.page("staff/fees.pdf", 1, chunk.box, STAFF)
    assert insight.page("fees.pdf", 2, chunk.box, NOBODY) is None
    assert insight.page("../inhouse.toml", 1, chunk.box, STAFF) is None
    (tmp_path / "documents/staff/open/gone.pdf").unlink()
    assert insight.page("staff/open/gone.pdf", 1, chunk.box, STAFF) is None
    (tmp_path / "documents/fees.pdf").write_bytes(b"%PDF- broken")
    assert insight.page("fees.pdf", 1, chunk.box, NOBODY) is None
