"""Tasks with tools in the verdict: every arm tries them, and arms are compared by task."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from inhouse.evaluation.acting import Opened, Scores, Task, Trial, gain_of, scores_of, summarized, tried, why_not
from inhouse.evaluation.compare import Sample
from inhouse.files import write_text
from inhouse.types import Estimate, Progress
from inhouse.verdict import Gain, TaskArm, TaskKind, TaskResults, TaskRow, TaskTrial, points

ONE_PROMPT, PROCEDURE, TUNED, TEAM = "one-prompt", "procedure", "procedure+tuned", "router+specialists"
PAIRS = ((PROCEDURE, ONE_PROMPT), (TUNED, PROCEDURE), (TEAM, ONE_PROMPT), (TEAM, PROCEDURE), (TEAM, TUNED))
PASSED = "passed"
Opening = Callable[[Task], AbstractContextManager[Callable[[], Awaitable[Opened]]]]
"""What opens an arm with a fresh world for a task, and removes the world at its end."""


async def try_arm(
    arm: str, tasks: Sequence[Task], trials: int, opening: Opening, out: Path, progress: Progress,
    asks: Mapping[str, Collection[str]] | None = None,
) -> list[list[Trial]]:  # fmt: skip
    """The trials of each task, one after the other. They are appended to `out` as they end; those that it holds already
    are not repeated. `asks` are the usual questions of the procedures, see `ScriptedUser`.

    Raises:
        InputError: an expected call of a task fails.
    """
    done = _earlier(out)
    wanted = [(task, n) for task in tasks for n in range(trials)]
    with progress.step(f"tasks with {arm}", len(wanted)) as step, out.open("a", encoding="utf-8") as log:
        step.advance(sum((task.id, n) in done for task, n in wanted))
        for task, n in wanted:
            if (task.id, n) in done:
                continue
            with opening(task) as opened:
                trial = await tried(task, opened, asks=asks, conversation=f"task-{task.id}-{n}-{arm}")
            done[task.id, n] = trial
            log.write(json.dumps({"task": task.id, "n": n, "trial": trial.model_dump(mode="json")}) + "\n")
            log.flush()
            step.advance()
    return [[done[task.id, n] for n in range(trials)] for task in tasks]


def _earlier(out: Path) -> dict[tuple[str, int], Trial]:
    """The trials that an interrupted run left; a last line that was cut short is dropped."""
    found: dict[tuple[str, int], Trial] = {}
    if not out.exists():
        return found
    whole = []
    for line in out.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[row["task"], row["n"]] = Trial.model_validate(row["trial"])
        whole.append(line)
    write_text(out, "".join(f"{line}\n" for line in whole))
    return found


def task_results(
    tasks: Sequence[Task], trials: Mapping[str, Sequence[Sequence[Trial]]], seed: int, tuned: Collection[str] = ()
) -> TaskResults:
    """What came of the tasks, by arm the trials of each; `tuned` are the agents of `router+specialists` that have an
    adapter."""
    kinds = dict.fromkeys(task.kind for task in tasks)
    gains = []
    for arm, over in PAIRS:
        if arm in trials and over in trials and (gain := gain_of(tasks, trials[arm], trials[over], seed)):
            gains.append(Gain(arm=arm, over=over, metrics={PASSED: gain}))
    arms = {name: _arm(tasks, own, seed) for name, own in trials.items()}
    return TaskResults(
        tasks=len(tasks), trials=len(next(iter(trials.values()))[0]), arms=arms, gains=tuple(gains),
        kinds=tuple(_kind(kind, tasks, trials, seed) for kind in kinds if kind), sentence=_sentence(arms, gains, tuned),
        table=tuple(_row(task, n, trials) for n, task in enumerate(tasks)),
    )  # fmt: skip


def _arm(tasks: Sequence[Task], trials: Sequence[Sequence[Trial]], seed: int) -> TaskArm:
    found = summarized(tasks, trials, seed)
    scores = {name: e for name, e in found.scores.items() if e}
    main = {"passed": scores.pop("success"), "forbidden": scores.pop("forbidden"), "handoff": scores.pop("handoff")}
    return TaskArm(
        **main, pass_hat={str(k): share for k, share in found.pass_hat.items()}, scores=scores,
        turns=round(found.turns, 2), model_calls=round(found.model_calls, 2), seconds=round(found.seconds, 2),
        failed=sum(bool(t.failed) for own in trials for t in own),
    )  # fmt: skip


def _kind(kind: str, tasks: Sequence[Task], trials: Mapping[str, Sequence[Sequence[Trial]]], seed: int) -> TaskKind:
    own = [n for n, task in enumerate(tasks) if task.kind == kind]
    passed: dict[str, Estimate] = {}
    for arm, all_ in trials.items():
        shares = [_mean([scores_of(tasks[n], t) for t in all_[n]]) for n in own]
        if estimate := Sample(seed).estimate(shares):
            passed[arm] = estimate
    return TaskKind(name=kind, tasks=len(own), passed=passed)


def _mean(scores: Sequence[Scores]) -> float:
    return sum(s.success for s in scores) / len(scores)


def _row(task: Task, n: int, trials: Mapping[str, Sequence[Sequence[Trial]]]) -> TaskRow:
    first = {arm: own[n][0] for arm, own in trials.items()}
    tried_ = {
        arm: TaskTrial(passed=not (why := why_not(task, trial)), why=why, talk=trial.talk)
        for arm, trial in first.items()
    }
    return TaskRow(id=task.id, kind=task.kind, agent=task.agent, tried=tried_)


def _sentence(arms: Mapping[str, TaskArm], gains: Sequence[Gain], tuned: Collection[str]) -> str:
    """What the gains mean."""
    by = {(g.arm, g.over): g.metrics[PASSED] for g in gains}
    said = []
    best = TEAM if TEAM in arms else PROCEDURE
    if gain := by.get((best, ONE_PROMPT)):
        shares = f"{best} passes {_percent(arms[best])} of the tasks, one prompt {_percent(arms[ONE_PROMPT])}"
        lead = "Structure is worth it" if gain.low > 0 else "Do not build agents for this" if gain.high < 0 else ""
        said.append(f"{lead or 'No clear difference'}: {shares} ({points(gain)} points).")
    elif best in arms:
        said.append(f"{best} passes {_percent(arms[best])} of the tasks.")
    if gain := by.get((TUNED, PROCEDURE)):
        lead = "Training pays" if gain.low > 0 else "Do not train for this" if gain.high < 0 else ""
        shares = f"{TUNED} passes {_percent(arms[TUNED])}, {PROCEDURE} {_percent(arms[PROCEDURE])}"
        said.append(f"{lead or 'Training makes no clear difference'}: {shares} ({points(gain)} points).")
        if tuned and gain.low <= 0:
            said.append(f"Remove `tuned` from {', '.join(tuned)}.")
    alike = TUNED if tuned else PROCEDURE  # what differs from the team by the router alone
    if gain := by.get((TEAM, alike)):
        amount = f"{abs(100 * gain.mean):.1f} points against one agent with all procedures ({points(gain)})"
        if gain.high < 0:
            said.append(f"The router costs {amount}.")
        elif gain.low > 0:
            said.append(f"The router gains {amount}.")
        else:
            said.append(f"The router makes no clear difference to one agent with all procedures ({points(gain)}).")
    elif gain := by.get((TEAM, PROCEDURE)):
        said.append(f"{TEAM} has adapters and {PROCEDURE} has none, so what the router does is not known; together "
                    f"they make {points(gain)} points. Add {TUNED} to evaluation.task_arms.")  # fmt: skip
    return " ".join(said)


def _percent(arm: TaskArm) -> str:
    return f"{100 * arm.passed.mean:.0f}%"
