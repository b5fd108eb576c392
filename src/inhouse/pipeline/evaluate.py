"""The verdict: every arm is asked the same questions through the engine, scored and compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from inhouse.assembly.arms import FEW_SHOT, Arms, Messages
from inhouse.assembly.experts import closed_tests, domains_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.config.sections import Project
from inhouse.evaluation import forgetting, judge
from inhouse.evaluation.evaluate import ArmRun, Exam, evaluate_arm
from inhouse.evaluation.guardrails import confidence_warnings, guardrail_results
from inhouse.evaluation.report import Run, build_report, write_report
from inhouse.evaluation.scorers import Scorer
from inhouse.evaluation.untouched import feedback_effects, touched
from inhouse.files import write_text
from inhouse.guardrails.classifier import quality
from inhouse.models.openai import OpenAIModel
from inhouse.pipeline.questions import sample
from inhouse.pipeline.tasks import try_tasks
from inhouse.types import Artifact, Embedder, Example, Json, Passage, Progress
from inhouse.verdict import JudgeAgreement, Report, Subject


@dataclass(frozen=True)
class Questions:
    """What the arms are asked.

    Attributes:
        examples: the held-out questions.
        replies: training examples, for tone and for the `prompt` arm.
        gold: passages known to contain the answer, by conversation.
        unmade: kinds of questions that could not be made from this data, with the reason.
        calibrated: what the calibration of each arm led to.
        feedback: questions with feedback that a model learned from.
        forgot: facts of continued pre-training ("cpt") and of fine-tuning after it ("cpt+tuned"), as arms ask them.
        groups: of who asks a question, by its id; nobody's where it has none.
        closed: names of the experts that only members of groups are answered by.
    """

    examples: Sequence[Example]
    replies: Sequence[Example]
    gold: Mapping[Messages, Sequence[Passage]]
    unmade: Mapping[str, str] = field(default_factory=dict)
    calibrated: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    feedback: Sequence[str] = ()
    forgot: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    closed: Sequence[str] = ()


def with_closed(questions: Questions, experts: Artifact, most: int, seed: int) -> Questions:
    """The same and what only members of groups are asked, at most so many of each expert; 0 for all."""
    by_groups: dict[frozenset[str], list[Example]] = {}
    for example, members in closed_tests(experts):
        by_groups.setdefault(members, []).append(example)
    drawn = {members: sample(own, most, seed) for members, own in by_groups.items()}
    examples = [*questions.examples, *(e for own in drawn.values() for e in own)]
    groups = {e.id: members for members, own in drawn.items() for e in own}
    closed = [domain.name for domain in domains_of(experts) if domain.groups]
    return replace(questions, examples=examples, groups=groups, closed=closed)


def judge_arms(
    workspace: Workspace, arms: Arms, questions: Questions, subject: Subject, work: Path, team: Artifact | None = None
) -> Report:
    """Writes the answers, report.json and report.html into `work`; returns the report. The team of agents, if there is
    one, tries the tasks with tools."""
    project, settings, progress = workspace.project, workspace.project.evaluation, workspace.progress
    human = [e for e in questions.replies if e.origin == "human" and e.answerable]
    few_shot = _few_shot(human or questions.replies, settings.few_shot, workspace.embedder)
    shown = "".join(json.dumps(e.to_openai(), ensure_ascii=False) + "\n" for e in few_shot)
    write_text(work / FEW_SHOT, shown)  # a release of the `prompt` arm shows the same
    exam = exam_of(workspace, arms, questions)
    runs: dict[str, ArmRun] = {}
    for name in settings.arms:
        model = arms.open(name, few_shot, questions.gold)
        runs[name] = asyncio.run(evaluate_arm(model, exam, work / f"answers-{name}.jsonl", progress))
    general = {"base": asyncio.run(_general(arms.base(), exam.concurrent, progress))}
    if any(name.startswith("tuned") for name in settings.arms):
        general["tuned"] = asyncio.run(_general(arms.custom(), exam.concurrent, progress))
    forgot = {}
    for read, facts in questions.forgot.items():
        answers = general["base"], asyncio.run(_general(arms.behind(read), exam.concurrent, progress))
        forgot[read] = forgetting.effect(facts, answers, project.pretraining, project.seed, tuned="tuned" in read)
    guarded = {name: run.answers for name, run in runs.items() if name != "base"}
    agreement = _judge(project, questions.examples, runs) if project.judge.url else None
    rails, calibrated = project.guardrails, questions.calibrated
    guardrails = guardrail_results(guarded, rails, quality(), calibrated, project.seed) if rails.rails else None
    near = touched(questions.examples, questions.feedback, workspace.embedder, project.feedback.similar)
    effects = feedback_effects(runs, near, project.seed) if questions.feedback else ()
    run = Run(
        subject, questions.examples, runs, general, project.model.usd_per_hour, agreement, guardrails,
        questions.unmade, confidence_warnings(calibrated), pretraining=forgot, feedback=effects,
        max_loss=project.feedback.max_loss, closed=questions.closed,
    )  # fmt: skip
    report = build_report(run, settings, project.seed)
    if settings.tasks and team:
        arm = project.release.arm or (report.recommendation.arm if report.recommendation else "") or settings.arms[-1]
        tasks = try_tasks(workspace, arms, team, arm, work, few_shot)
        report = report.model_copy(update={"tasks": tasks})
    write_report(report, work)
    return report


def exam_of(workspace: Workspace, arms: Arms, questions: Questions) -> Exam:
    """What every arm is asked, and how the answers are scored."""
    project = workspace.project
    human = [e for e in questions.replies if e.origin == "human" and e.answerable]
    brand = [e.target for e in human] or [e.target for e in questions.replies]
    return Exam(
        questions.examples,
        _evidence(questions, arms),
        Scorer(workspace.embedder, workspace.support, brand),
        project.assistant.max_tokens,
        project.evaluation.timeout_s,
        project.model.parallel,
        questions.groups,
    )


def headline(report: Report) -> dict[str, Json]:
    """The facts of the verdict's artifact: how many questions, the recommended arm, every arm's accuracy, and the share
    of wrong answers of the recommended one."""
    accuracy = {f"accuracy_{arm}": row.metrics["accuracy"].mean for arm, row in report.arms.items()}
    advice = report.recommendation
    arm = advice.arm if advice else ""
    wrong = {"wrong": report.arms[arm].metrics["wrong"].mean} if arm else {}
    tasks = {f"tasks_{name}": row.passed.mean for name, row in report.tasks.arms.items()} if report.tasks else {}
    return {"questions": report.questions, "recommended": arm, **accuracy, **wrong, **tasks}


def _evidence(questions: Questions, arms: Arms) -> dict[str, list[str]]:
    """By question, what may support a statement, the same for every arm: reference, gold and retrieved passages."""
    evidence = {}
    for e in questions.examples:
        groups = questions.groups.get(e.id, frozenset())
        retrieved = arms.grounding.passages(e.messages, groups) if arms.grounding else ()
        passages = [*questions.gold.get(e.messages, ()), *retrieved]
        reference = [e.target] if e.target and e.answerable else []
        texts = dict.fromkeys([*reference, *(f"{p.heading}. {p.text}" if p.heading else p.text for p in passages)])
        evidence[e.id] = list(texts)
    return evidence


def _few_shot(examples: Sequence[Example], count: int, embedder: Embedder) -> list[Example]:
    """Examples far apart in meaning, the most typical first: the farthest-point rule on question embeddings."""
    import numpy as np

    some = list(examples)[:400]
    if not some or not count:
        return []
    vectors = embedder.embed([e.question for e in some])
    chosen = [int((vectors @ vectors.mean(axis=0)).argmax())]
    while len(chosen) < min(count, len(some)):
        nearest = (vectors @ vectors[chosen].T).max(axis=1)
        chosen.append(int(np.argmin(nearest)))
    return [some[n] for n in chosen]


async def _general(model: ChatModel, concurrent: int, progress: Progress) -> list[float]:
    """1 or 0 for each general task."""
    tasks = forgetting.general_examples()
    free = asyncio.Semaphore(concurrent)
    with progress.step("general ability", len(tasks)) as step:

        async def one(task: Example) -> float:
            async with free:
                reply = await collect(model, ChatRequest(messages=task.messages, max_tokens=forgetting.MAX_TOKENS))
            step.advance()
            return forgetting.right(task, reply.text)

        return list(await asyncio.gather(*(one(t) for t in tasks)))


def _judge(project: Project, examples: Sequence[Example], runs: dict[str, ArmRun]) -> JudgeAgreement | None:
    """Adds the judge's grade to every answer; returns how far it agrees with people, None without their labels."""
    model = OpenAIModel(project.judge)
    for name, (answers, seconds) in runs.items():
        rows = [(e.question, e.target, a.text) for e, a in zip(examples, answers, strict=True)]
        grades = asyncio.run(judge.judge_all(model, rows))
        graded = [
            a if grade is None else a.model_copy(update={"scores": {**a.scores, "judged": grade}})
            for a, grade in zip(answers, grades, strict=True)
        ]
        runs[name] = ArmRun(graded, seconds)
    if not project.judge.labels:
        return None
    labels = judge.read_labels(project.path(project.judge.labels))
    grades = asyncio.run(judge.judge_all(model, [row for row, _ in labels]))
    return judge.agreement([label for _, label in labels], grades, project.seed)
