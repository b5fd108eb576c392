"""What the verdict asks: the tests, questions made from them, and tasks with tools."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.evaluation.acting import Task, read_tasks
from inhouse.files import file_sha256
from inhouse.retrieval.search import Index, gold_passages
from inhouse.text.language import language
from inhouse.text.support import SUPPORTED
from inhouse.types import Artifact, Example, Json, Passage, digest_of
from inhouse.verdict import DataFacts, Parity, RetrievalFacts, Subject, TrainingFacts


def asks_in_own_words(example: Example) -> bool:
    """Whether a question teaches how to rank. Generated ones in other languages than English quote a heading word for
    word, as no person asks: fitted on these, the ranker of a German project found 34 of 40 instead of 38."""
    return example.origin != "synthetic" or (language(example.question) or language(example.target)) in ("en", "")


def questions_of(
    workspace: Workspace, documents: Artifact, data: Artifact, languages: frozenset[str]
) -> tuple[list[Example], Mapping[str, str]]:
    """What the verdict asks: the tests, and questions made from them; and the kinds that could not be made."""
    from inhouse.evaluation.probes import make_probes

    project, settings = workspace.project, workspace.project.evaluation
    tests, handoff = parted(workspace, data)[0], project.assistant.handoff
    read = workspace.documents(documents)
    probes, unmade = make_probes(tests, read, handoff, languages, settings.probes, project.seed)
    return [*sample(tests, settings.max_questions, project.seed), *probes], unmade


def parted(workspace: Workspace, data: Artifact) -> tuple[list[Example], list[Example]]:
    """The tests for the verdict, and those for the certificate of a cascade: none where the project has no cascade.

    The turns of a conversation, and examples of one group, stay together.
    """
    tests, settings = workspace.examples("test", data), workspace.project.cascade
    if not settings.rung:
        return tests, []
    seed = workspace.project.seed
    groups = sorted({e.group or e.id for e in tests}, key=lambda g: digest_of(["certificate", seed, g]))
    held = set(groups[: round(settings.held_out * len(groups))])
    return [e for e in tests if (e.group or e.id) not in held], [e for e in tests if (e.group or e.id) in held]


def sample(examples: list[Example], most: int, seed: int) -> list[Example]:
    """At most so many questions, drawn at random; the turns of a conversation stay together."""
    if not most or len(examples) <= most:
        return examples
    from inhouse.evaluation.evaluate import conversations

    drawn = conversations(examples)
    random.Random(seed).shuffle(drawn)  # noqa: S311  a draw, not a secret
    chosen: list[Example] = []
    for turns in drawn:
        if len(chosen) + len(turns) <= most:
            chosen += turns
    return chosen


def gold_of(workspace: Workspace, opened: Index, example: Example) -> list[Passage]:
    """The passages that hold an answer: those that the data names, else those that support all its statements."""
    if example.sources:
        return gold_passages(opened, example.question, example.sources)
    statements = workspace.support.statements(example.target)
    hits = opened.search(f"{example.question} {example.target}", 10)
    return [
        h.passage
        for h in hits
        if statements and all(workspace.support.support(s, [h.chunk.text]) >= SUPPORTED for s in statements)
    ]


def subject_of(
    workspace: Workspace, data: Artifact, fused: Artifact, custom: Artifact | None, compared: Artifact | None
) -> Subject:
    card = json.loads((Path(data.path) / "card.json").read_text(encoding="utf-8"))
    missing = workspace.language_gaps([d.text for d in workspace.documents()])
    return Subject(
        project=workspace.project.name,
        base_model=workspace.project.model.base,
        engine=workspace.engine,
        data=DataFacts.of(card).model_copy(update={"language_gaps": tuple(missing)}),
        retrieval=RetrievalFacts.of(fused.facts),
        training=TrainingFacts.of(custom.facts) if custom else None,
        parity=Parity.of(compared.facts) if compared else None,
    )


def tasks_of(project: Project) -> list[Task]:
    """The tasks with tools; a random sample of them if the project wants no more.

    Raises:
        InputError: a file cannot be read, or a line is not a task.
    """
    settings = project.evaluation
    tasks = [task for name in settings.tasks for task in read_tasks(project.path(name))]
    if settings.max_tasks and len(tasks) > settings.max_tasks:
        chosen = set(random.Random(project.seed).sample(range(len(tasks)), settings.max_tasks))  # noqa: S311  a draw
        tasks = [task for n, task in enumerate(tasks) if n in chosen]
    return tasks


def tasks_content(project: Project) -> list[Json]:
    """What tasks depend on beside the settings: their files, and those that the tools are made from."""
    if not project.evaluation.tasks or not project.agent:
        return []
    code = [table.python.split(":")[0] for table in project.tool if ".py:" in table.python]
    data = [] if project.evaluation.fresh else list(project.evaluation.databases)
    files = [*project.evaluation.tasks, *sorted(set(code)), *data]
    return [[name, file_sha256(project.path(name))] for name in files if project.path(name).is_file()]
