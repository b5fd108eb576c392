import asyncio
import io
import json

import pytest
from rich.console import Console

from inhouse.config.sections import Assistant, Evaluation, Guardrails
from inhouse.errors import BackendError, InputError
from inhouse.evaluation.evaluate import ArmRun, Exam, evaluate_arm
from inhouse.evaluation.forgetting import general_examples, right
from inhouse.evaluation.guardrails import guardrail_results
from inhouse.evaluation.report import Run, build_report, render_table, write_report
from inhouse.evaluation.scorers import Scorer
from inhouse.models.scripted import Scripted
from inhouse.text.support import LexicalSupport
from inhouse.types import Checks, Example, Message, Silent
from inhouse.verdict import DataFacts, Report, Subject

EVIL = "<script>alert(1)</script></style>\"'&{{ 7*1919191 }}"
EXAMPLES = [
    Example(id=f"e{n}", messages=(Message(role="user", content=f"Fee {n}? {EVIL}"),), target=f"It is ${n}.",
            checks=Checks(must_include=((f"${n}",),)), tags=("fees", EVIL), kind=EVIL if n % 3 else "",
            origin="synthetic" if n % 3 else "human")
    for n in range(12)
]  # fmt: skip


@pytest.fixture(scope="module")
def scorer(embedder):
    return Scorer(embedder, LexicalSupport(Assistant().handoff, embedder), [e.target for e in EXAMPLES])


async def asked(arm, answer, scorer, folder, seconds=0.0, timeout_s=10.0):
    exam = Exam(EXAMPLES, {e.id: [e.target] for e in EXAMPLES}, scorer, 50, timeout_s, 4)
    return await evaluate_arm(Scripted(answer, arm, seconds), exam, folder / f"{arm}.jsonl", Silent())


def true(request):
    return f"It is ${request.messages[-1].content.split()[1].rstrip('?')}."


async def test_failures_and_time_outs_are_failures(scorer, tmp_path):
    def breaks(request):
        raise BackendError("the engine is gone")

    answers, _ = await asked("base", breaks, scorer, tmp_path)
    assert all(a.failed == "the engine is gone" and a.scores["accuracy"] == 0 for a in answers)
    slow, _ = await asked("slow", true, scorer, tmp_path, seconds=5, timeout_s=0.05)
    assert all("no answer within" in a.failed for a in slow)


async def test_an_interrupted_arm_asks_only_what_is_missing(scorer, tmp_path):
    await asked("rag", true, scorer, tmp_path)
    file = tmp_path / "rag.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:5]) + "\n" + lines[5][:40])
    calls = []

    def counting(request):
        calls.append(request)
        return true(request)

    answers, seconds = await asked("rag", counting, scorer, tmp_path)
    assert len(calls) == 7
    assert [a.id for a in answers] == [e.id for e in EXAMPLES]
    assert seconds > 0


def guardrails_of(arms):
    """As if rails had been around the arms, and had something hostile to say."""
    finding = {"rail": EVIL, "side": "answer", "action": "flag", "score": 1.0, "reason": EVIL}
    for name in ("rag", "tuned+rag"):
        update = {"unguarded": EVIL, "unguarded_scores": {"accuracy": 1.0}, "findings": (finding,), "confidence": 0.9,
                  "rails_ms": {EVIL: 5.0, "confidence": 1.0}}  # fmt: skip
        arms[name] = ArmRun([a.model_copy(update=update) for a in arms[name].answers], arms[name].seconds)
    row = {"rail": EVIL, "side": "input", "on": EVIL, "bad": 9, "good": 9, "recall": 1.0, "precision": 1.0, "false": 0.0,
           "chat": None}  # fmt: skip
    answers = {name: run.answers for name, run in arms.items() if name != "base"}
    return guardrail_results(answers, Guardrails(rails=(EVIL, "confidence")), [row], {}, 7)


async def hostile_report(scorer, folder):
    """A report with hostile text wherever text comes from outside."""
    arms = {
        "base": await asked("base", lambda r: EVIL, scorer, folder),
        "rag": await asked("rag", true, scorer, folder),
        "tuned+rag": await asked("tuned+rag", true, scorer, folder),
    }
    guardrails = guardrails_of(arms)
    subject = Subject(project=EVIL, base_model=EVIL, data=DataFacts(personal_data={EVIL: 3}))
    general = {"base": [1.0, 0.0], "tuned": [1.0, 1.0]}
    run = Run(subject, EXAMPLES, arms, general, 0.10, guardrails=guardrails, unmade={EVIL: EVIL})
    return build_report(run, Evaluation(), 7)


@pytest.fixture(scope="module")
def written(scorer, tmp_path_factory):
    """The hostile report, and the folder that it is written to."""
    folder = tmp_path_factory.mktemp("report")
    report = asyncio.run(hostile_report(scorer, folder))
    write_report(report, folder)
    return report, folder


def test_what_is_written_is_read_again(written):
    report, folder = written
    assert Report.read(folder) == report


def test_the_figures_add_up(written):
    report, _ = written
    assert report.arms["rag"].metrics["accuracy"].mean == 1
    assert report.gain("rag", "accuracy").mean == pytest.approx(10 / 12)  # base's text has a 1 and a 7
    assert report.recommendation.arm == "rag"
    assert report.general.change.mean == 0.5


def test_every_kind_of_question_has_its_outcomes(written):
    report, folder = written
    assert [(k.name, k.questions, k.weight) for k in report.kinds] == [("question", 4, 1.0), (EVIL, 8, 1.0)]
    assert report.kinds[0].outcomes["rag"]["right"].mean == 1
    base = report.kinds[1].outcomes["base"]
    assert sum(e.mean for e in base.values()) == pytest.approx(1)
    assert report.arms["rag"].metrics["wrong"].mean == 0
    page = (folder / "report.html").read_text()
    assert "By kind of question" in page
    assert "Not tested" in page
    assert "A sample of the questions generated" in page


async def test_kinds_count_as_much_as_the_project_says(scorer, tmp_path):
    arms = {"base": await asked("base", lambda r: "no idea", scorer, tmp_path),
            "rag": await asked("rag", lambda r: true(r) if "Fee 3?" in str(r) else "It is $99.", scorer, tmp_path)}  # fmt: skip
    subject = Subject(project="p", base_model="b")
    run = Run(subject, EXAMPLES, arms, {}, 0.10)
    plain, weighted = (build_report(run, Evaluation(kinds=k), 7) for k in ({}, {"question": 3.0, EVIL: 0.0}))
    assert plain.arms["rag"].metrics["accuracy"].mean == pytest.approx(1 / 12)
    assert weighted.arms["rag"].metrics["accuracy"].mean == pytest.approx(1 / 4)
    assert weighted.arms["rag"].metrics["wrong"].n == 4


def test_the_page_escapes_everything(written):
    page = (written[1] / "report.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "13434337" not in page.split("Every question")[1].split("<script>")[0]


def test_the_page_loads_nothing(written):
    page = (written[1] / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_the_page_has_its_part_on_guardrails(written):
    page = (written[1] / "report.html").read_text()
    assert "What the guardrails changed" in page
    assert page.count("<polyline") == 1
    assert "Before the guardrails" in page
    assert "at most 5% of answers wrong" in page


def test_the_table_in_the_terminal_ends_with_the_recommendation(written):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_table(written[0]))
    assert "Use rag alone: do not fine-tune." in console.export_text()


# --- reading ----------------------------------------------------------------------------------------------------


def edited(written, tmp_path, **fields):
    """A copy of the report with other fields, in a folder."""
    values = json.loads((written[1] / "report.json").read_text()) | fields
    (tmp_path / "report.json").write_text(json.dumps(values))
    return tmp_path


def test_fields_of_a_later_minor_version_are_ignored(written, tmp_path):
    arms = json.loads((written[1] / "report.json").read_text())["arms"]
    arms["rag"]["watts"] = 3
    read = Report.read(edited(written, tmp_path, version="1.9", weather="rain", arms=arms))
    assert read.arms == written[0].arms


def test_a_later_major_version_is_refused(written, tmp_path):
    with pytest.raises(InputError, match=r"report\.json: report version 2\.0 is too new"):
        Report.read(edited(written, tmp_path, version="2.0"))


@pytest.mark.parametrize("version", [None, "", "one", [1]])
def test_a_report_without_a_version_is_refused(written, tmp_path, version):
    with pytest.raises(InputError, match="not a report of this version"):
        Report.read(edited(written, tmp_path, version=version))


def test_a_damaged_report_is_named(tmp_path):
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(InputError, match=r"report\.json: not a report"):
        Report.read(tmp_path)


def test_a_report_that_is_gone_is_named(tmp_path):
    with pytest.raises(InputError, match=r"report\.json: cannot be read"):
        Report.read(tmp_path)


def test_general_tasks():
    tasks = general_examples()
    assert len({t.id for t in tasks}) == len(tasks) >= 30
    assert right(tasks[0], "It is 5.") == 1
    assert right(tasks[0], "It is 25.") == 0
