"""A look at drift from the audit log of a real ledger to the kept report, the console, and a cascade's certificate."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from inhouse.assembly.standing import digests_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange, Usage
from inhouse.config.load import load_project
from inhouse.config.sections import Project
from inhouse.documents.load import DOCUMENTS
from inhouse.errors import InputError
from inhouse.monitoring.alarms import Cost, Monitored
from inhouse.monitoring.monitors import MONITORS
from inhouse.pipeline.stages import ingest
from inhouse.serving.drift import cost_of_waiting, latest, look, tell
from inhouse.serving.drift_page import shown_drift
from inhouse.serving.releases import MEASURED, Releases, label
from inhouse.store.alerts import AlertBox
from inhouse.store.audit import Audit
from inhouse.types import Document, Estimate, Message
from inhouse.verdict import ArmResult, Gain, Percentiles, Recommendation, Report, Subject

NOW = datetime.now(UTC)
QUESTIONS = (
    "What does a wire cost?",
    "When do you open?",
    "I lost my card",
    "Can I get a loan?",
    "How do I deposit a check?",
)
NEW = (
    "What is the Falcon card?",
    "Does the Falcon card cost anything?",
    "Falcon card annual fee",
    "Apply for a Falcon card",
)


def exchange(n, day, question, user, **more):
    at = (NOW + timedelta(days=day, minutes=1 + n % 1400)).isoformat()
    return Exchange(
        id=f"x{n}", at=at, user=user, key="k", model="custom", release="bank/1", arm="rag", answer="It costs $25.",
        messages=(Message(role="user", content=question),), reason="stop", usage=Usage(prompt_tokens=9), latency_s=0.5, **more,
    )  # fmt: skip


def verdict(workspace):
    """A verdict whose release has an index of earlier documents."""

    def documents(name, *given):
        def build(work):
            (work / DOCUMENTS).write_text("".join(d.model_dump_json() + "\n" for d in given))
            return {"failures": []}

        return workspace.store.make("documents", {"of": name}, [], build)

    def make(kind, parents=()):
        def build(work):
            (work / "test.jsonl").write_text("")  # of a data set
            return {}

        return workspace.store.make(kind, {"of": kind}, parents, build)

    then = documents("then", Document(source="fees.md", title="Fees", text="# Fees\n\nA wire costs $25."))
    parents = [make("weights"), make("index", [then]), make("fusion"), make("dataset")]
    documents(
        "now", Document(source="fees.md", title="Fees", text="# Fees\n\nA wire costs $30."),
        Document(source="alder.md", title="Alder Checking", text="The monthly fee is $7."),
        Document(source="list.md", title="Prices", text="Alder Checking monthly fee: $8"),
    )  # fmt: skip
    good, ms = Estimate(mean=0.2, low=0.1, high=0.3, n=40), Percentiles(p50=1, p95=2, p99=3)
    arms = {a: ArmResult(metrics={"accuracy": good, "wrong": Estimate(mean=0.0, low=0, high=0, n=40)}, latency_ms=ms, first_token_ms=ms,
                         prompt_tokens=1, answer_tokens=1, usd_per_1000=0, seconds=1, failed=0) for a in ("base", "rag")}  # fmt: skip
    report = Report(subject=Subject(project="bank", base_model="b"), questions=40, arms=arms,
                    gains=(Gain(arm="rag", over="base", metrics={"accuracy": good, "unsupported": good.model_copy(update={"low": -0.1})}),),
                    recommendation=Recommendation(arm="rag", sentence="Use rag."))  # fmt: skip

    def build(work: Path):
        (work / "report.json").write_text(report.model_dump_json())
        (work / "few_shot.jsonl").write_text("")
        return {"recommended": "rag"}

    inputs = {"name": "bank", **{s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}}
    return workspace.store.make("report", inputs, parents, build)


@pytest.fixture
def workspace(url, tmp_path, models_dir):
    (tmp_path / "inhouse.toml").write_text(f'name = "bank"\n[store]\nurl = "{url}"\n')
    return Workspace(load_project(tmp_path))


@pytest.fixture
def served(workspace):
    """A release in production, and sixteen days of its traffic, the last one with a new product."""
    verdict(workspace)
    releases = Releases(workspace)
    releases.make()
    releases.promote()
    rng = np.random.default_rng(3)
    rows = []
    for day in range(-16, 0):
        for _ in range(300):
            fresh = day == -1 and rng.random() < 0.5
            asked = f"{rng.choice(NEW if fresh else QUESTIONS)} {'Please.' * int(rng.random() < 0.3)}"
            rows.append(exchange(len(rows), day, asked.strip(), f"u{rng.integers(9000)}"))

    async def write(audit):
        for n in range(0, len(rows), 100):
            await asyncio.gather(*(audit.append(e) for e in rows[n : n + 100]))

    with workspace.ledger() as ledger:
        audit = Audit(ledger)
        asyncio.run(write(audit))
        audit.close()
    return workspace


def test_a_new_index_does_not_begin_usual_traffic_anew(served):
    releases = Releases(served)
    content = releases.get("production").model_dump(mode="json", exclude={"version", "made_at"})
    releases.promote(label(releases.number(content | {"gate": []}, {})))
    kept = look(served, (NOW - timedelta(days=16)).isoformat(), waiting=lambda m, per_day: Cost(None))
    assert (kept.report.release, kept.report.requests) == ("bank/2", 16 * 300)


def test_new_alarms_are_told_once_also_after_a_new_index(served):
    since, waiting = (NOW - timedelta(days=16)).isoformat(), lambda m, per_day: Cost(None)  # noqa: E731
    first = look(served, since, waiting=waiting)
    assert first.report.alarms
    assert tell(served, first)
    releases = Releases(served)
    content = releases.get("production").model_dump(mode="json", exclude={"version", "made_at"})
    releases.promote(label(releases.number(content | {"gate": []}, {})))
    second = look(served, since, waiting=waiting)
    assert [m.since for m in second.report.alarms] == [m.since for m in first.report.alarms]
    assert not tell(served, second)
    with served.ledger() as ledger:
        (alert,) = AlertBox(ledger).recent(10)
    assert "Falcon" not in alert.alert.title
    assert alert.alert.text.startswith(first.report.alarms[0].says)


def test_files_that_nobody_has_read_are_told(served):
    def look_now():
        return look(served, (NOW - timedelta(days=16)).isoformat(), waiting=lambda m, per_day: Cost(None)).report.unread

    assert not look_now()  # there is no folder
    folder = served.project.root / "documents"
    folder.mkdir()
    (folder / "fees.md").write_text("# Fees\n\nA wire costs $25.")
    ingest(served)
    assert not look_now()
    (folder / "fees.md").write_text("# Fees\n\nA wire costs $30.")
    assert look_now()


def test_a_look_finds_names_keeps_and_voids(served):
    since = (NOW - timedelta(days=16)).isoformat()
    before = digests_of(served, {})
    kept = look(served, since, waiting=lambda m, per_day: Cost(per_day / 10, "a tenth"))
    alarm = next(m for m in kept.report.monitors if m.name == "new questions")
    assert (kept.report.reference, kept.report.release, kept.report.requests) == ("traffic", "bank/1", 16 * 300)
    assert alarm.state == "changed"
    assert "falcon" in alarm.groups[0].terms
    assert all("Falcon" in e.text for e in alarm.examples)
    assert alarm.waiting_usd == pytest.approx(30, rel=0.2)
    assert alarm.waiting == "a tenth"
    assert [m.name for m in kept.report.alarms if m.area == "operation"] == []
    file = served.store.root / "drift.json"
    assert "Falcon" not in file.read_text()
    with served.ledger() as ledger:
        Audit(ledger).redact(alarm.examples[0].exchange, "ann", "asked for")
    again = latest(served)
    assert again is not None
    shown = next(m for m in again.report.monitors if m.name == "new questions")
    assert len(shown.examples) == len(alarm.examples) - 1
    assert shown.since == alarm.since
    now = digests_of(served, {})
    assert now.keys() - before.keys() == {"drift"}
    page = shown_drift(again.report)
    assert page.monitors[0].state == "changed"
    assert [d.kind for d in page.documents] == ["contradicting", "changed", "changed", "changed"]
    assert page.documents[0].sources == ("alder.md", "list.md")
    assert next(d for d in page.documents if d.sources == ("fees.md",)).texts == (
        "A wire costs $25.",
        "A wire costs $30.",
    )


def test_without_a_release_or_with_a_wrong_time_it_says_so(tmp_path, models_dir):
    (tmp_path / "inhouse.toml").write_text('name = "bank"\n')
    workspace = Workspace(load_project(tmp_path))
    assert latest(workspace) is None
    with pytest.raises(InputError):
        look(workspace)
    verdict(workspace)
    Releases(workspace).make()
    Releases(workspace).promote()
    with pytest.raises(InputError, match="not a time"):
        look(workspace, "yesterday")
    found = look(workspace).report
    assert (found.requests, found.reference) == (0, "nothing")
    assert {m.state for m in found.monitors} == {"not enough traffic"}


def test_alarms_cost_what_the_project_file_says():
    project = Project.model_validate({
        "costs": {"person_usd_per_hour": 30, "minutes_per_handoff": 6}, "watch": {"price_wrong_usd": 2},
    })  # fmt: skip
    cost = cost_of_waiting(project)

    def alarm(name, effect, usual=None):
        return Monitored(name=name, area="answers", state="changed", says="", effect=effect, usual=usual)

    assert cost(alarm("no answer", 0.1), 1000).usd == pytest.approx(300)  # 100 conversations of 6 minutes
    assert cost(alarm("errors", 0.05), 1000) == (pytest.approx(100), "about $100.00 a day")
    assert cost(alarm("cost", 0.5, 0.02), 1000).usd == pytest.approx(10)
    bound = "at most about $200.00 a day, if all of these requests are answered wrong"
    assert cost(alarm("new questions", 0.1), 1000) == (None, bound)
    each = "about $20.00 a day for each percent of the answers that turn wrong; how many is unknown"
    assert cost(alarm("exclamations", 0.5), 1000) == (None, each)
    assert cost(alarm("errors", None), 1000) == (None, "an unknown amount a day")


def test_every_alarm_says_what_is_known_of_the_cost_of_waiting():
    cost = cost_of_waiting(Project())
    for m in MONITORS.values():
        alarm = Monitored(name=m.name, area=m.area, state="changed", says="", effect=0.2, usual=0.01)
        assert "$" in cost(alarm, 1000).says, m.name
