"""The part of the verdict about tasks with tools: every arm tries them, in copies of what tools change."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts
from inhouse.assembly.team import read_team
from inhouse.assembly.trials import Bench
from inhouse.assembly.workspace import Workspace
from inhouse.errors import InputError
from inhouse.evaluation.acting import Trial
from inhouse.evaluation.tasks import task_results, try_arm
from inhouse.pipeline.questions import tasks_of
from inhouse.types import Artifact, Example
from inhouse.verdict import TaskResults


def try_tasks(
    workspace: Workspace, arms: Arms, team: Artifact, arm: str, work: Path, few_shot: Sequence[Example] = ()
) -> TaskResults:
    """Writes the conversations into `work` as they end; those that it holds already are not repeated.

    Args:
        workspace: of a project with agents.
        arms: open the models.
        team: artifact of the agents.
        arm: which of the arms answers from the documents.
        work: a folder.
        few_shot: examples in the prompt of the arm `prompt`.

    Raises:
        InputError: a task is wrong, or there is none.
        ConfigError: a tool of an agent would act outside the copies.
    """
    project, settings = workspace.project, workspace.project.evaluation
    tasks, done = tasks_of(project), dict[str, Sequence[Sequence[Trial]]]()
    if not tasks:
        raise InputError(f"{', '.join(settings.tasks)}: there is no task", "docs/agents.md describes their format")
    with tempfile.TemporaryDirectory(prefix="inhouse-tasks-") as folder:
        made = read_team(workspace.store, team, workspace.embedder)
        bench = Bench(made, arms, arm, Parts(workspace, project), Path(folder), few_shot)
        try:
            for name in settings.task_arms:
                out = work / f"tasks-{name}.jsonl"
                opening = partial(bench.task, name)
                trying = try_arm(name, tasks, settings.trials, opening, out, workspace.progress, bench.asks)
                done[name] = asyncio.run(trying)
        finally:
            bench.close()
    return task_results(tasks, done, project.seed, [a.name for a in project.agent if a.tuned])
