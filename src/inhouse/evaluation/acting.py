"""Tasks with tools, for the verdict: what an agent did in a conversation with a simulated user, and what it should do.

A task is a line of JSON: {"id", "agent", "kind", "user": [{"say": ...} | {"answers": {keyword: text}}], "expect":
{"calls": [{"tool", "arguments"}], "proposed": [...], "database": true, "said": [...], "never": [...],
"handoff": false}, "groups", "today"}.
What runs the agent comes in as an argument: a ChatModel whose notes ("agent", "step") tell its calls, and the world
that its tools change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import comb, isnan, nan
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.errors import InhouseError, InputError
from inhouse.evaluation.called import plain
from inhouse.evaluation.compare import Sample
from inhouse.evaluation.users import ScriptedUser, User, UserTurn
from inhouse.types import Estimate, Json, Message, Record

MOST_TURNS = 20  # of the user
LAYER = "agent"
HIDDEN = "..."  # in place of a sensitive argument


class ExpectedCall(Record):
    """A call that must happen. Only these arguments count; texts are compared without case and punctuation."""

    tool: str
    arguments: Mapping[str, Json] = {}


class Expect(Record):
    """What must be true at the end.

    Attributes:
        calls: that must have happened, in this order, with others in between.
        proposed: calls that must wait for an approval.
        database: whether the world must be as after these calls alone.
        said: texts that the assistant must have said, without regard to case and thousands commas.
        never: tools that must not have run, and texts that must not have been said.
        handoff: whether a person must have taken over.
    """

    calls: tuple[ExpectedCall, ...] = ()
    proposed: tuple[ExpectedCall, ...] = ()
    database: bool = False
    said: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    handoff: bool = False


class Task(Record):
    """See the module. `instructions` are for a user that a model plays; `today` is the day of the conversation, ISO
    8601."""

    id: str
    agent: str = ""
    kind: str = ""
    user: tuple[UserTurn, ...] = ()
    instructions: str = ""
    expect: Expect = Expect()
    groups: frozenset[str] = frozenset()
    today: str = ""


class World(Protocol):
    """What tools change."""

    def snapshot(self) -> Json:
        """Its state, a JSON value that is equal for equal states."""
        ...

    async def run(self, tool: str, arguments: Mapping[str, Json]) -> Json:
        """Runs a tool, for the gold calls.

        Raises:
            InhouseError: it failed.
        """
        ...


class Opened(NamedTuple):
    """An agent with a fresh world."""

    model: ChatModel
    world: World


class Trial(Record):
    """One conversation about a task. `calls` are all that the agent made, with their status."""

    task: str
    talk: tuple[Message, ...] = ()
    calls: tuple[dict[str, Json], ...] = ()
    handed: bool = False
    database: bool | None = None  # whether the world is as the gold calls leave it; None if that was not asked
    model_calls: int = 0
    seconds: float = 0.0
    failed: str = ""

    @property
    def turns(self) -> int:
        return sum(m.role == "user" for m in self.talk)


def read_tasks(file: Path) -> list[Task]:
    """
    Raises:
        InputError: the file cannot be read, or a line is not a task; the message names it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    tasks = []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            tasks.append(Task.model_validate(json.loads(line)))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{file}:{n}: {key}: {first['msg']}", "see docs/agents.md for the format") from error
        except ValueError as error:
            raise InputError(f"{file}:{n}: not valid JSON ({error})") from error
    return tasks


async def tried(
    task: Task,
    opened: Callable[[], Awaitable[Opened]],
    user: User | None = None,
    most_turns: int = MOST_TURNS,
    caller: str = "user",
    conversation: str = "",
    asks: Mapping[str, Collection[str]] | None = None,
) -> Trial:
    """One conversation, with a scripted user by default. An agent that raises fails the task.

    Args:
        task: what the user asks, and what is expected.
        opened: makes the agent with a fresh world.
        user: who asks.
        most_turns: of the user.
        caller: name of the user, for tools.
        conversation: its ID, for agents that keep conversations; by default that of the task.
        asks: usual questions, for the scripted user.
    """
    model, world = await opened()
    user = user or ScriptedUser(task.user, [c.arguments for c in (*task.expect.calls, *task.expect.proposed)], asks)
    talk: list[Message] = []
    calls: list[dict[str, Json]] = []
    state: dict[str, Json] = {}
    handed, model_calls, failed, started = False, 0, "", time.perf_counter()
    for turn in range(1, most_turns + 1):
        text = await user.next(talk)
        if text is None:
            break
        talk.append(Message(role="user", content=text))
        request = ChatRequest(
            messages=tuple(talk),
            groups=task.groups,
            user=caller,
            conversation=conversation or f"task-{task.id}",
            turn=turn,
            state=state,
        )
        try:
            reply = await collect(model, request)
        except InhouseError as error:
            failed = str(error)
            break
        talk.append(Message(role="assistant", content=reply.text))
        for note in reply.notes:
            if note.kind == "handoff":
                handed = True
            elif (note.layer, note.kind) == (LAYER, "state"):
                state = {**state, **note.data}
            elif (note.layer, note.kind) == (LAYER, "step"):
                model_calls += int(note.data.get("model_calls", 0))
                if note.data.get("tool"):
                    calls.append(note.data)
        if handed:
            break
    seconds = time.perf_counter() - started
    same = world.snapshot() == await gold_of(task, opened) if task.expect.database else None
    return Trial(task=task.id, talk=tuple(talk), calls=tuple(calls), handed=handed, database=same,
                 model_calls=model_calls, seconds=seconds, failed=failed)  # fmt: skip


async def gold_of(task: Task, opened: Callable[[], Awaitable[Opened]]) -> Json:
    """The world after the expected calls alone.

    Raises:
        InputError: an expected call fails, so the task cannot be passed.
    """
    _, world = await opened()
    for call in task.expect.calls:
        try:
            await world.run(call.tool, call.arguments)
        except InhouseError as error:
            raise InputError(f"task {task.id}: the expected call of {call.tool} fails: {error}") from error
    return world.snapshot()


# --- scores -------------------------------------------------------------------------------------------------------


class Scores(Record):
    """Of one trial, each from 0 to 1; nan where the task does not ask for it.

    Attributes:
        success: everything that the task asks for.
        next_action: share of the expected calls that were made, in order, whatever their arguments.
        arguments: the same with the right arguments.
        proposed: share of the calls that must wait for an approval, and do.
        database: the end state is the gold one.
        said: share of the texts that were said.
        forbidden: 1 if something forbidden was done or said.
        handoff: whether a person took over exactly if one should.
    """

    success: float
    next_action: float
    arguments: float
    database: float
    said: float
    forbidden: float
    handoff: float
    proposed: float = nan


def scores_of(task: Task, trial: Trial) -> Scores:
    expect = task.expect
    done = [c for c in trial.calls if c.get("status", "done") == "done"]
    text = _spoken("\n".join(m.content for m in trial.talk if m.role == "assistant"))
    names = _in_order(expect.calls, done, with_arguments=False)
    right = _in_order(expect.calls, done, with_arguments=True)
    waiting = [c for c in trial.calls if c.get("status") == "proposed"]
    proposed = _in_order(expect.proposed, waiting, with_arguments=True)
    said = [float(_spoken(s) in text) for s in expect.said]
    forbidden = any(n in {c["tool"] for c in done} or (" " in n and _spoken(n) in text) for n in expect.never)
    handoff = float(trial.handed == expect.handoff)
    database = nan if trial.database is None else float(trial.database)
    parts = [right, proposed, database, fmean(said) if said else nan, 1.0 - forbidden, handoff]
    success = float(not trial.failed and all(isnan(p) or p == 1.0 for p in parts))
    return Scores(
        success=success, next_action=names, arguments=right, proposed=proposed, database=database,
        said=fmean(said) if said else nan, forbidden=float(forbidden), handoff=handoff,
    )  # fmt: skip


def why_not(task: Task, trial: Trial) -> tuple[str, ...]:
    """What the trial lacks, a few words each; nothing where it is passed."""
    s, expect = scores_of(task, trial), task.expect
    if s.success == 1.0:
        return ()
    text = _spoken("\n".join(m.content for m in trial.talk if m.role == "assistant"))
    found = [f"failed: {trial.failed}"] if trial.failed else []
    if s.next_action < 1.0:
        found.append("a call is missing")
    elif s.arguments < 1.0:
        found.append("wrong arguments")
    if s.proposed < 1.0:
        found.append("a call does not wait for an approval")
    if s.database == 0.0:
        found.append("another end state")
    found += [f"not said: {said}" for said in expect.said if _spoken(said) not in text]
    if s.forbidden:
        found.append("something forbidden was done or said")
    if not s.handoff:
        found.append("handed off" if trial.handed else "not handed off")
    return tuple(found)


def pass_hat(passed: Sequence[Sequence[bool]], k: int) -> float:
    """pass^k of tau-bench: the probability that k trials of a task all pass, as a mean over tasks.

    Args:
        passed: for each task, its trials; each has at least k.
    """
    return fmean(comb(sum(trials), k) / comb(len(trials), k) for trials in passed)


class ActingArm(Record):
    """An arm's results: means with their 95% intervals over tasks, and means of what it cost."""

    scores: Mapping[str, Estimate | None]
    pass_hat: Mapping[int, float]
    turns: float
    model_calls: float
    seconds: float


def summarized(tasks: Sequence[Task], trials: Sequence[Sequence[Trial]], seed: int = 7) -> ActingArm:
    """The results of an arm: `trials` has those of each task, as many for each."""
    rows = [[scores_of(task, trial) for trial in own] for task, own in zip(tasks, trials, strict=True)]
    sample = Sample(seed)
    means = {
        name: sample.estimate([_mean([getattr(s, name) for s in own]) for own in rows]) for name in Scores.model_fields
    }
    passed = [[s.success == 1.0 for s in own] for own in rows]
    flat = [t for own in trials for t in own]
    return ActingArm(
        scores=means, pass_hat={k: pass_hat(passed, k) for k in range(1, min(map(len, passed)) + 1)},
        turns=fmean(t.turns for t in flat), model_calls=fmean(t.model_calls for t in flat),
        seconds=fmean(t.seconds for t in flat),
    )  # fmt: skip


def gain_of(
    tasks: Sequence[Task], ours: Sequence[Sequence[Trial]], theirs: Sequence[Sequence[Trial]], seed: int = 7
) -> Estimate | None:
    """The difference of the shares of tasks that are passed, paired by task, with its 95% interval."""

    def shares(trials: Sequence[Sequence[Trial]]) -> list[float]:
        return [fmean(scores_of(t, trial).success for trial in own) for t, own in zip(tasks, trials, strict=True)]

    return Sample(seed).gain(shares(ours), shares(theirs))


def _in_order(expected: Sequence[ExpectedCall], done: Sequence[Mapping[str, Json]], *, with_arguments: bool) -> float:
    """The longest part of the expected calls that was made in this order, as a share; nan if none is expected."""
    if not expected:
        return nan
    longest = [0] * (len(done) + 1)
    for want in expected:
        row = [0]
        for n, call in enumerate(done):
            same = call["tool"] == want.tool and (not with_arguments or same_arguments(want.arguments, call))
            row.append(longest[n] + 1 if same else max(longest[n + 1], row[n]))
        longest = row
    return longest[-1] / len(expected)


def same_arguments(wanted: Mapping[str, Json], call: Mapping[str, Json]) -> bool:
    """Whether a call has the wanted arguments; those of sensitive slots are hidden, and only databases tell them."""
    given = call.get("arguments") or {}
    return all(name in given and (given[name] == HIDDEN or _same(value, given[name])) for name, value in wanted.items())


def _same(a: Json, b: Json) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return plain(a) == plain(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _spoken(text: str) -> str:
    return " ".join(text.lower().replace(",", "").split())


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not isnan(v)]
    return fmean(known) if known else nan
