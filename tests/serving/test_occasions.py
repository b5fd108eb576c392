"""What live traffic shows since the last build, and the decision: a real ledger, real embeddings, a made-up release."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.monitoring.estimate import Estimated
from inhouse.monitoring.quality import Line
from inhouse.monitoring.triggers import Seen
from inhouse.serving import occasions
from inhouse.serving.releases import Releases
from inhouse.serving.watched import State
from inhouse.serving.watching import mark
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.types import Estimate, Message, Release
from inhouse.verdict import ArmAnswer, Question, Report, Subject

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RELEASE = Release(
    name="bank", version=1, arm="rag", weights="w", index="i", report="", settings={}, config="c", made_at=""
)
USUAL = ["What is the cutoff for a wire?", "How do I report a lost card?", "Where is the nearest branch?"]
NEW = ["What does the gold card cost?", "Gold card annual fee?", "How expensive is the gold card a year?",
       "Price of the gold card", "Is there a fee for the gold card?"]  # fmt: skip


def ago(days):
    return (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")


class Site:
    def __init__(self, root, **settings):
        (root / "inhouse.toml").write_text('name = "bank"\n')
        self.workspace = Workspace(load_project(root, {"retrieval.embedder": "minilm-l6-v2", **settings}))
        self.state = State(built_at=ago(40))
        table = tuple(
            Question(id=str(n), messages=(Message(role="user", content="q"),), reference="r",
                     answers={"rag": ArmAnswer(text="t", outcome="right" if n < 90 else "wrong")}) for n in range(100)
        )  # fmt: skip
        report = Report(subject=Subject(project="bank", base_model="b"), questions=100, arms={}, table=table)

        def build(out):
            (out / "report.json").write_text(report.model_dump_json())
            return {}

        made = self.workspace.store.make("report", {"of": "report"}, [], build)
        self.release = RELEASE.model_copy(update={"report": made.key})

    async def asked(self, question, days, thumb=0, reason="stop", groups=frozenset()):
        id = uuid.uuid4().hex
        with self.workspace.ledger() as ledger:
            audit = Audit(ledger)
            await audit.append(Exchange(
                id=id, at=ago(days), user="u", messages=(Message(role="user", content=question),), answer="a",
                release="bank/1", arm="rag", reason=reason, groups=groups, key="k", model="custom",
            ))  # fmt: skip
            audit.close()
            if thumb:
                Feedback(ledger).add(id, "u", thumb)

    def look(self, estimated=None, **state):
        given = self.state.model_copy(update=state)
        return occasions.look(self.workspace, self.release, given, NOW.isoformat(), estimated)


@pytest.fixture
def site(tmp_path, models_dir):
    return Site(tmp_path)


async def test_without_traffic_there_is_nothing_to_gain(site):
    decision, seen = site.look()
    assert (decision.action, decision.requests, decision.triggers, seen) == ("wait", 0, (), None)
    assert decision.build_usd == 480  # a person's day


async def test_a_build_costs_what_the_last_one_took_and_its_review(site):
    economy = occasions.economy_of(site.workspace, State(build_minutes=90), 5)
    assert economy.build_usd == pytest.approx(1.5 * 0.10 + 480)
    priced = Workspace(load_project(site.workspace.project.root, {"watch.price_build_usd": "7"}))
    assert occasions.economy_of(priced, State(build_minutes=90), 5).build_usd == 7


async def test_requests_a_day_count_from_where_traffic_begins(site):
    for n in range(20):
        await site.asked(USUAL[n % 3], days=4 - n / 10)
    assert site.look().decision.requests == pytest.approx(5)


async def test_a_topic_that_fails_is_found_in_traffic(site):
    for n in range(12):
        await site.asked(USUAL[n % 3], days=2)
    for question in NEW:
        await site.asked(question, days=1, thumb=-1)
    decision = site.look().decision
    [topic] = [t for t in decision.triggers if t.kind == "topic"]
    assert topic.text.startswith("a new topic fails: 5 of 5 questions")
    assert set(topic.questions) == set(NEW)
    assert decision.loss.mean == pytest.approx((5 - 5 / 17 * 5) / 17)
    [feedback] = [t for t in decision.triggers if t.kind == "feedback"]
    assert feedback.text == "5 of 17 answers have bad feedback"


async def test_questions_of_groups_are_not_shown_to_whoever_runs_the_watch(site):
    for question in NEW:
        await site.asked(question, days=1, thumb=-1, groups=frozenset(["staff"]))
    await site.asked(USUAL[0], days=1)
    assert not [t for t in site.look().decision.triggers if t.kind == "topic"]


async def test_a_mark_is_a_trigger_until_a_build(site):
    mark(site.workspace, "Regulation Z")
    marked = occasions.look(site.workspace, site.release, site.state, datetime.now(UTC).isoformat(), None).decision
    assert [t.kind for t in marked.triggers if t.kind == "marked"] == ["marked"]
    assert marked.action == "build"
    later = site.state.model_copy(update={"built_at": datetime.now(UTC).isoformat()})
    assert not occasions.look(
        site.workspace, site.release, later, datetime.now(UTC).isoformat(), None
    ).decision.triggers


async def test_triggers_that_the_project_turns_off_are_no_reason(tmp_path, models_dir):
    site = Site(tmp_path, **{"watch.triggers": '["documents"]'})
    mark(site.workspace, "Regulation Z")
    found = occasions.look(site.workspace, site.release, site.state, datetime.now(UTC).isoformat(), None).decision
    assert not found.triggers
    assert found.action == "wait"


async def test_the_date_is_due(site):
    assert [t.kind for t in site.look(built_at=ago(100)).decision.triggers] == ["date"]


async def test_documents_that_changed_are_named(site):
    [found] = site.look(changed=tuple(f"{n}.md" for n in range(5))).decision.triggers
    assert found.text == "5 documents changed since the last build: 0.md, 1.md, 2.md and 2 more"


async def test_estimated_accuracy_becomes_a_loss_once_a_week(site):
    await site.asked(USUAL[0], days=1)
    now = Estimate(mean=0.80, low=0.77, high=0.83, n=400)
    _, seen = site.look(lambda: now)
    assert (seen.day, seen.loss) == (40, pytest.approx(0.10))
    assert site.look(lambda: now, history=(Seen(day=34, loss=0.1, sd=0.02),)).seen is None
    assert site.look(lambda: None).seen is None
    low = site.look(lambda: now, history=(Seen(day=20, loss=0.1, sd=0.02),)).decision
    assert low.loss.mean > 0.07


async def test_accuracy_below_the_threshold_is_a_trigger(tmp_path, models_dir):
    site = Site(tmp_path, **{"watch.min_accuracy": "0.85"})
    await site.asked(USUAL[0], days=1)
    found = site.look(lambda: Estimate(mean=0.80, low=0.77, high=0.83, n=400)).decision
    assert [t.kind for t in found.triggers] == ["accuracy"]


def test_the_promise_counts_answers_that_were_given(site):
    table = [("right", 6), ("partly", 2), ("wrong", 2), ("needless_handoff", 5), ("failed", 1)]
    outcomes = [o for o, n in table for _ in range(n)]
    rows = tuple(Question(id=str(n), messages=(Message(role="user", content="q"),), reference="",
                          answers={"rag": ArmAnswer(text="", outcome=o)}) for n, o in enumerate(outcomes))  # fmt: skip
    report = Report(subject=Subject(project="p", base_model="b"), questions=16, arms={}, table=rows)
    assert occasions.promised(report, "rag").mean == pytest.approx(0.7)
    assert occasions.promised(report, "rag").n == 10
    assert occasions.promised(report, "tuned") is None


def line(release, until, mean):
    estimated = Estimated(mean=mean, low=0.7, high=0.9, answers=300)
    return Line(until=until, release=release, requests=400, handed_off=0.1, estimated=estimated)


def test_the_newest_estimate_of_production_counts_or_of_its_index_before():
    lines = [line("bank/2", "2026-11-23", 0.8), line("bank/2", "2026-11-30", 0.82), line("bank/1", "2026-11-30", 0.9)]
    assert occasions.newest(lines, ["bank/2", "bank/1"]).mean == 0.82
    assert occasions.newest([*lines, line("bank/3", "2026-11-30", None)], ["bank/3", "bank/2"]).mean == 0.82
    assert occasions.newest(lines, ["bank/4"]) is None


async def test_without_traffic_live_accuracy_is_unknown(site):
    made = site.workspace.store.make("release", {"v": 1}, [], lambda out: site.release.model_dump(mode="json"))
    assert made
    Releases(site.workspace).promote("1")
    assert occasions.live_accuracy(site.workspace) is None
