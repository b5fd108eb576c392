"""The accuracy of live answers of a real project: its ledger, a verdict with answers, and reviewers."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.cli.main import app
from inhouse.config.load import load_project
from inhouse.evaluation.evaluate import Answer
from inhouse.monitoring.quality import given
from inhouse.serving.quality import LiveQuality, Verdicts, answers_of, figures, seen
from inhouse.serving.releases import Releases
from inhouse.store.audit import Audit
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.ratings import Ratings
from inhouse.store.signals import Signal
from inhouse.types import Message, Passage
from inhouse.verdict import ArmAnswer, Question, Report, Subject

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SUBJECTS = ("a wire transfer", "an overdraft", "a lost card", "a money order", "a safe deposit box", "a statement copy")
ASKS = ("What does {} cost?", "How much is {}?", "price of {}", "fee for {} please", "do I pay for {}")


def asked(n):
    return ASKS[n % len(ASKS)].format(SUBJECTS[n % len(SUBJECTS)])


def user(n):
    return (Message(role="user", content=asked(n)),)


@pytest.fixture(scope="module")
def project(tmp_path_factory, models_dir):
    folder = tmp_path_factory.mktemp("live")
    (folder / "inhouse.toml").write_text('name = "live"\n[quality]\nrated_twice = 1.0\nweeks = 4\n')
    return folder


@pytest.fixture(scope="module")
def workspace(project):
    """A project with a release whose verdict has 120 answers; the more confident ones are right more often."""
    rng, workspace = np.random.default_rng(1), Workspace(load_project(project))
    answers, table = [], []
    for n in range(120):
        p = float(rng.random())
        outcome = "right" if rng.random() < p else "partly" if n % 10 == 0 else "wrong"
        outcome = "proper_handoff" if n % 20 == 0 else outcome
        answers.append(Answer(
            id=f"q{n}", arm="rag", text="It costs 25 dollars.", outcome=outcome, confidence=p,
            ended="handoff" if n % 20 == 0 else "",
            passages=(Passage(source="a.md", title="A", heading="", text="25 dollars", score=0.4 + p / 2),),
            citations=({"sentence": "It costs 25 dollars.", "passage": 1, "support": 0.5 + p / 2},),
        ))  # fmt: skip
        table.append(Question(id=f"q{n}", messages=user(n), reference="", answers={"rag": ArmAnswer(text="")}))
    report = Report(
        subject=Subject(project="p", base_model="b"), questions=120, arms={}, smallest_detectable_gain=0.1, table=table
    )

    def build(work):
        lines = "\n".join(json.dumps({"busy_s": 1.0, "answer": a.model_dump(mode="json")}) for a in answers)
        (work / "answers-rag.jsonl").write_text(lines)
        (work / "report.json").write_text(report.model_dump_json())
        return {}

    made = workspace.store.make("report", {"a": 1}, [], build)
    facts = {"name": "live", "version": 1, "arm": "rag", "weights": "w", "report": made.key, "config": "c",
             "settings": {"name": "live"}, "made_at": "2026-10-01T10:00:00+00:00"}  # fmt: skip
    workspace.store.make("release", {"v": 1}, [], lambda work: facts)
    return workspace


@pytest.fixture(scope="module")
def ledger(workspace):
    """With four weeks of answers, of which confidence says how many are right; some are handed off."""
    rng, opened = np.random.default_rng(2), Ledger(ledger_url(workspace.store.root))
    audit, made = Audit(opened), []
    for n in range(240):
        p = float(rng.random())
        made.append(Exchange(
            id=f"e{n}", at=(NOW - timedelta(days=n / 10, minutes=1)).isoformat(), user=f"u{n}", key="k", model="custom",
            release="live/1", arm="rag", messages=user(n), answer="It costs 25 dollars.", reason="stop", confidence=p,
            passages=(Passage(source="a.md", title="A", heading="", text="25 dollars", score=0.4 + p / 2),),
            citations=[{"sentence": "It costs 25 dollars.", "passage": 1, "support": 0.5 + p / 2}],
            findings=[{"rail": "topic", "side": "input", "action": "handoff"}] if n % 12 == 0 else None,
        ))  # fmt: skip

    async def append():
        await asyncio.gather(*(audit.append(e) for e in made))

    asyncio.run(append())
    audit.close()
    yield opened
    opened.close()


def test_answers_of_the_verdict_are_seen_as_live_ones(workspace):
    (release,) = Releases(workspace).all()
    known = answers_of(workspace, release)
    assert len(known) == 120
    assert sum(a.label is None for a in known) == sum(a.handed_off for a in known) == 6
    assert {a.label for a in known} == {None, 0.0, 0.5, 1.0}
    assert known[1].question == asked(1)
    assert known[1].groundedness == pytest.approx(0.5 + known[1].confidence / 2)
    assert known[1].retrieval == pytest.approx(0.4 + known[1].confidence / 2)


def test_figures_draw_the_last_complete_week_once_and_count_what_reviewers_say(workspace, ledger):
    found = figures(workspace, ledger, NOW)
    first = found.lines[0]
    assert (first.release, first.requests, first.handed_off) == ("live/1", 240, pytest.approx(20 / 240))
    assert (first.estimated.method, first.estimated.answers, first.estimated.labels) == ("reference", 220, 0)
    assert first.estimated.low <= 0.5 <= first.estimated.high
    assert [row.until[:10] for row in found.lines] == ["2026-11-26", "2026-11-23", "2026-11-16", "2026-11-09"]
    assert found.drawn == 10
    assert figures(workspace, ledger, NOW).drawn == 0
    ratings = Ratings(ledger)
    waiting = ratings.waiting("rae", 1.0)
    assert len(waiting) == 10
    days = [int(w.exchange_id[1:]) / 10 for w in waiting]
    assert all(3.5 <= day <= 10.5 for day in days), "the week from November 16 to 23"
    for n, drawn in enumerate(waiting):
        ratings.add(drawn.exchange_id, "rae", "right" if n % 2 else "wrong")
        ratings.add(drawn.exchange_id, "sue", "right" if n % 2 or n == 0 else "wrong")
    again = figures(workspace, ledger, NOW)
    assert (again.lines[0].estimated.labels, again.lines[0].estimated.method) == (10, "both")
    assert (again.agreement.pairs, again.agreement.agree) == (10, 0.9)
    assert 0.5 < again.agreement.kappa < 1


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("It costs 25 dollars.", 1.0),
        ("A wire is 25 dollars and arrives the same day.", 1.0),
        ("Nothing: wires have been free since March.", 0.0),
        ("", None),
    ],
)
def test_an_approved_reply_confirms_or_corrects_the_answer_that_was_flagged(workspace, reply, label):
    flagged = Signal(
        exchange="e", at=NOW.isoformat(), question="What does a wire cost?", answer="It costs 25 dollars.",
        handed_off=True, flagged=True, reply=reply,
    )  # fmt: skip
    verdict = Verdicts(workspace)
    assert seen(flagged, verdict).label == label
    assert given(seen(flagged, verdict))
    assert verdict(flagged.model_copy(update={"label": 0.5})) == 0.5, "a rating says it better"
    assert verdict(flagged.model_copy(update={"flagged": False})) is None


def test_a_verdict_whose_answers_are_gone_is_no_reference(workspace, ledger, caplog):
    (release,) = Releases(workspace).all()
    assert answers_of(workspace, release.model_copy(update={"arm": "tuned"})) == ()
    assert "the answers of the verdict of live/1 cannot be read" in caplog.text
    assert answers_of(workspace, release.model_copy(update={"report": "f" * 16})) == ()


def test_the_console_gets_what_was_computed_last_and_is_never_kept_waiting(workspace, ledger, monkeypatch):
    live = LiveQuality(workspace, ledger)
    started = time.monotonic()
    assert live.now() is None
    assert time.monotonic() - started < 0.5
    until = time.monotonic() + 30
    while live.now() is None and time.monotonic() < until:
        time.sleep(0.05)
    shown = live.now()
    assert shown.problem == ""
    assert shown is live.now()


def test_figures_that_fail_are_a_problem_in_words(workspace, tmp_path):
    gone = Ledger(ledger_url(tmp_path))
    (tmp_path / "ledger.sqlite").unlink()
    gone.close()
    live = LiveQuality(workspace, gone)
    until = time.monotonic() + 20
    while (shown := live.now()) is None and time.monotonic() < until:
        time.sleep(0.05)
    assert shown.problem
    assert shown.lines == ()


def test_the_command_prints_the_same(project, workspace, ledger, capsys):
    from typer.testing import CliRunner

    said = CliRunner().invoke(app, ["quality", "--project", str(project), "--json"])
    assert said.exit_code == 0, said.output
    printed = json.loads(said.stdout)
    assert set(printed) == {"at", "lines", "agreement", "drawn"}
    text = CliRunner().invoke(app, ["quality", "--project", str(project)])
    assert text.exit_code == 0, text.output
