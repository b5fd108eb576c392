"""Tasks with tools in the verdict: trials are resumed, arms compared, and the report shows them."""

import io
import json
import re
from contextlib import contextmanager

from rich.console import Console

from inhouse.chat import Delta, Finish, Note
from inhouse.evaluation.acting import Expect, ExpectedCall, Opened, Task
from inhouse.evaluation.report import render_table, write_report
from inhouse.evaluation.tasks import ONE_PROMPT, PROCEDURE, TEAM, TUNED, task_results, try_arm
from inhouse.evaluation.users import UserTurn
from inhouse.types import Estimate, Silent
from inhouse.verdict import ArmResult, Percentiles, Report, Subject

EVIL = "<script>alert(1)</script>"
TASKS = [
    Task(id=f"t{n}", kind=EVIL if n % 2 else "book", user=(UserTurn(say=f"book {n}"),),
         expect=Expect(calls=(ExpectedCall(tool="book", arguments={"n": n}),), database=True, said=("done",)))
    for n in range(8)
]  # fmt: skip


class Book:
    """A world: the numbers that are booked."""

    def __init__(self):
        self.booked = []

    def snapshot(self):
        return sorted(self.booked)

    async def run(self, tool, arguments):
        self.booked.append(arguments["n"])
        return {"n": arguments["n"]}


class Clerk:
    """Books the number that is asked for, unless it is one of those that it forgets."""

    name = "clerk"

    def __init__(self, world, forgets):
        self.world, self.forgets = world, forgets

    async def stream(self, request):
        n = int(request.messages[-1].content.split()[1])
        if n not in self.forgets:
            await self.world.run("book", {"n": n})
            data = {"kind": "call", "tool": "book", "arguments": {"n": n}, "status": "done"}
            yield Note(layer="agent", kind="step", data=data)
        yield Delta(text=f"It is done. {EVIL}")
        yield Finish(reason="stop")


def opening(forgets=(), asked=None):
    """What `try_arm` opens an arm with; `asked` collects the tasks."""

    @contextmanager
    def task(one):
        if asked is not None:
            asked.append(one.id)

        async def opened():
            world = Book()
            return Opened(Clerk(world, forgets), world)

        yield opened

    return task


async def test_an_interrupted_arm_tries_only_what_is_missing(tmp_path):
    out = tmp_path / "tasks.jsonl"
    whole = await try_arm(TEAM, TASKS, 2, opening(), out, Silent())
    lines = out.read_text().splitlines()
    assert len(lines) == 16
    out.write_text("\n".join(lines[:5]) + "\n" + lines[5][:40])
    asked = []
    again = await try_arm(TEAM, TASKS, 2, opening(asked=asked), out, Silent())
    assert len(asked) == 11
    assert [[t.calls for t in own] for own in again] == [[t.calls for t in own] for own in whole]
    assert len(out.read_text().splitlines()) == 16


async def results(tmp_path):
    forgets = {ONE_PROMPT: range(6), PROCEDURE: (), TEAM: (0,)}
    trials = {
        arm: await try_arm(arm, TASKS, 1, opening(own), tmp_path / f"{arm}.jsonl", Silent())
        for arm, own in forgets.items()
    }
    return task_results(TASKS, trials, 7)


async def test_arms_are_compared_by_task(tmp_path):
    found = await results(tmp_path)
    assert {arm: row.passed.mean for arm, row in found.arms.items()} == {ONE_PROMPT: 0.25, PROCEDURE: 1.0, TEAM: 0.875}
    assert [(g.name, g.metrics["passed"].mean) for g in found.gains] == [
        ("procedure over one-prompt", 0.75), ("router+specialists over one-prompt", 0.625),
        ("router+specialists over procedure", -0.125)]  # fmt: skip
    assert found.sentence.startswith(
        "Structure is worth it: router+specialists passes 88% of the tasks, one prompt 25%"
    )
    assert "The router makes no clear difference" in found.sentence
    assert [(k.name, k.tasks) for k in found.kinds] == [("book", 4), (EVIL, 4)]
    assert [row.id for row in found.failed] == [f"t{n}" for n in range(6)]
    assert found.table[0].tried[TEAM].why == ("a call is missing", "another end state")


async def test_a_router_that_costs_is_named(tmp_path):
    trials = {
        arm: await try_arm(arm, TASKS, 1, opening(own), tmp_path / f"{arm}.jsonl", Silent())
        for arm, own in {PROCEDURE: (), TEAM: range(7)}.items()
    }
    assert "The router costs 87.5 points against one agent" in task_results(TASKS, trials, 7).sentence


async def test_a_router_over_adapters_is_compared_with_one_agent_that_has_one(tmp_path):
    trials = {
        arm: await try_arm(arm, TASKS, 1, opening(own), tmp_path / f"{arm}.jsonl", Silent())
        for arm, own in {PROCEDURE: (), TUNED: range(7), TEAM: range(7)}.items()
    }
    sentence = task_results(TASKS, trials, 7, ["desk"]).sentence
    assert "Do not train for this: procedure+tuned passes 12%" in sentence
    assert "Remove `tuned` from desk. The router makes no clear difference" in sentence
    del trials[TUNED]
    sentence = task_results(TASKS, trials, 7, ["desk"]).sentence
    assert "what the router does is not known; together they make -87.5" in sentence


async def test_training_is_compared_with_the_same_agent_without(tmp_path):
    for n, (untrained, lead) in enumerate(((range(7), "Training pays"), ((0,), "Training makes no clear difference"))):
        trials = {
            arm: await try_arm(arm, TASKS, 1, opening(own), tmp_path / f"{n}-{arm}.jsonl", Silent())
            for arm, own in {PROCEDURE: untrained, TUNED: ()}.items()
        }
        assert f"{lead}: procedure+tuned passes 100%" in task_results(TASKS, trials, 7).sentence


async def test_the_report_shows_tasks(tmp_path):
    one = Estimate(mean=0.5, low=0.4, high=0.6, n=8)
    zero = Percentiles(p50=1, p95=1, p99=1)
    arm = ArmResult(metrics={"accuracy": one}, latency_ms=zero, first_token_ms=zero, prompt_tokens=1, answer_tokens=1,
                    usd_per_1000=0, seconds=1, failed=0)  # fmt: skip
    subject = Subject(project="Salon", base_model="tiny")
    report = Report(subject=subject, questions=8, arms={"base": arm}, tasks=await results(tmp_path))
    write_report(report, tmp_path)
    assert Report.read(tmp_path) == report
    page = (tmp_path / "report.html").read_text()
    assert "Tasks with tools" in page
    assert "6 tasks that some arm did not pass" in page
    assert EVIL not in page
    console = Console(file=io.StringIO(), width=80)
    console.print(render_table(report))
    shown = console.file.getvalue()
    assert re.search(r"procedure +100.0 \[100, 100\]", shown)
    assert "Structure is worth it" in shown


async def test_a_report_without_tasks_is_read(tmp_path):
    report = Report(subject=Subject(project="Salon", base_model="tiny"), questions=0, arms={})
    values = report.model_dump(mode="json")
    del values["tasks"]
    (tmp_path / "report.json").write_text(json.dumps(values))
    assert Report.read(tmp_path).tasks is None
