import io
import json

import pytest

from inhouse.config.sections import Assistant, Evaluation
from inhouse.errors import BackendError
from inhouse.evaluation import guardrails as limits
from inhouse.evaluation import report
from inhouse.evaluation.evaluate import evaluate_arm
from inhouse.evaluation.forgetting import general_examples, right
from inhouse.evaluation.scorers import Scorer
from inhouse.models.scripted import Scripted
from inhouse.text.support import LexicalSupport
from inhouse.types import Checks, Example, Message, Silent

EVIL = "<script>alert(1)</script></style>\"'&{{ 7*1919191 }}"
EXAMPLES = [
    Example(id=f"e{n}", messages=(Message(role="user", content=f"Fee {n}? {EVIL}"),), target=f"It is ${n}.",
            checks=Checks(must_include=((f"${n}",),)), tags=("fees", EVIL))
    for n in range(12)
]  # fmt: skip


@pytest.fixture(scope="module")
def scorer(embedder):
    return Scorer(embedder, LexicalSupport(Assistant().handoff, embedder), [e.target for e in EXAMPLES])


async def asked(arm, answer, scorer, folder, seconds=0.0, **settings):
    return await evaluate_arm(
        arm, Scripted(answer, seconds=seconds), EXAMPLES, Evaluation(**settings), 50, scorer,
        {e.id: [e.target] for e in EXAMPLES}, 4, folder / f"{arm}.jsonl", Silent(),
    )  # fmt: skip


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
    told = {"rail": EVIL, "side": "answer", "action": "flag", "score": 1.0, "reason": EVIL}
    for name in ("rag", "tuned+rag"):
        arms[name] = ([a.model_copy(update={"said": EVIL, "said_scores": a.scores, "findings": (told,), "confidence": 0.9,
                                            "rails_ms": {EVIL: 5.0, "confidence": 1.0}}) for a in arms[name][0]],
                      arms[name][1])  # fmt: skip
    row = {"rail": EVIL, "side": "input", "on": EVIL, "bad": 9, "good": 9, "recall": 1.0, "precision": 1.0, "false": 0.0,
           "chat": None}  # fmt: skip
    return limits.table({n: a for n, (a, _) in arms.items() if n != "base"}, [EVIL, "confidence"], [row], 0.05, 7)


async def test_the_report_adds_up_and_escapes_everything(scorer, tmp_path):
    arms = {
        "base": await asked("base", lambda r: EVIL, scorer, tmp_path),
        "rag": await asked("rag", true, scorer, tmp_path),
        "tuned+rag": await asked("tuned+rag", true, scorer, tmp_path),
    }
    extras = {
        "project": EVIL, "base_model": EVIL, "judge": None, "training": None, "parity": None, "retrieval": None,
        "data": {"sets": {}, "personal_data": {EVIL: 3}}, "guardrails": guardrails_of(arms),
    }  # fmt: skip
    made = report.build_report(arms, EXAMPLES, Evaluation(), 7, {"base": [1.0, 0.0], "tuned": [1.0, 1.0]}, extras, 0.10)
    report.write_report(made, tmp_path)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["arms"]["rag"]["metrics"]["accuracy"]["mean"] == 1
    assert read["gains"]["rag over base"]["accuracy"]["mean"] == pytest.approx(10 / 12)  # base's noise: a 1, a 7
    assert read["recommendation"]["arm"] == "rag"
    assert read["general_change"]["mean"] == 0.5
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "13434337" not in page.split("Every question")[1].split("<script>")[0]
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "What the guardrails did" in page
    assert page.count("<polyline") == 1
    assert "before the guardrails" in page
    assert "at most 5 % of the answers wrong" in page
    table = report.render_table(read)
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    assert "Use rag alone: do not fine-tune." in console.export_text()


def test_general_tasks():
    tasks = general_examples()
    assert len({t.id for t in tasks}) == len(tasks) >= 30
    assert right(tasks[0], "It is 5.") == 1
    assert right(tasks[0], "It is 25.") == 0
