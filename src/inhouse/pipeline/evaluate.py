"""The verdict: every arm asked through the engine, scored, compared, and written up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.assembly.arms import FEW_SHOT, Arms, Messages
from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.config.sections import Project
from inhouse.evaluation import forgetting as general
from inhouse.evaluation import guardrails as limits
from inhouse.evaluation import judge, report
from inhouse.evaluation.evaluate import Answer, evaluate_arm
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.guardrails.classifier import quality
from inhouse.models.openai import OpenAIModel
from inhouse.text.support import LexicalSupport
from inhouse.types import Embedder, Example, Json, Passage, Progress


def judge_arms(
    project: Project,
    arms: Arms,
    examples: Sequence[Example],
    replies: Sequence[Example],
    gold: Mapping[Messages, Sequence[Passage]],
    embedder: Embedder,
    support: LexicalSupport,
    extras: Mapping[str, Json],
    work: Path,
    progress: Progress,
) -> dict[str, Json]:
    """Writes the answers, report.json and report.html into `work`; returns the headline figures."""
    settings = project.evaluation
    human = [e for e in replies if e.origin == "human" and e.answerable]
    brand = [e.target for e in human] or [e.target for e in replies]
    scorer = Scorer(embedder, support, brand)
    evidence = _evidence(examples, gold, arms)
    few_shot = _few_shot(human or list(replies), settings.few_shot, embedder)
    shown = "".join(json.dumps(e.to_openai(), ensure_ascii=False) + "\n" for e in few_shot)
    write_text(work / FEW_SHOT, shown)  # a release of the `prompt` arm shows the same
    found: dict[str, tuple[list[Answer], float]] = {}
    for name in settings.arms:
        model = arms.open(name, few_shot, gold)
        out = work / f"answers-{name}.jsonl"
        found[name] = asyncio.run(evaluate_arm(
            name, model, examples, settings, project.assistant.max_tokens, scorer, evidence, project.model.parallel,
            out, progress,
        ))  # fmt: skip
    tasks = {"base": asyncio.run(_general(arms.base(), project.model.parallel, progress))}
    if any(name.startswith("tuned") for name in settings.arms):
        tasks["tuned"] = asyncio.run(_general(arms.custom(), project.model.parallel, progress))
    guarded = {name: answers for name, (answers, _) in found.items() if name != "base"}
    rails = project.guardrails
    shipped = limits.table(guarded, rails.rails, quality(), rails.max_wrong, project.seed) if rails.rails else None
    extras = {**extras, "judge": None, "guardrails": shipped}
    if project.judge.url:
        extras["judge"] = _judged(project, examples, found)
    made = report.build_report(found, examples, settings, project.seed, tasks, extras, project.model.usd_per_hour)
    report.write_report(made, work)
    accuracy = {f"accuracy_{arm}": row["metrics"]["accuracy"]["mean"] for arm, row in made["arms"].items()}
    verdict = made["recommendation"]
    return {"questions": len(examples), "recommended": verdict["arm"] if verdict else "", **accuracy}


def _evidence(
    examples: Sequence[Example], gold: Mapping[Messages, Sequence[Passage]], arms: Arms
) -> dict[str, list[str]]:
    """What may bear out a statement, the same for every arm: reference, gold and retrieved passages."""
    found = {}
    for e in examples:
        passages = [*gold.get(e.messages, ()), *(arms.grounding.passages(e.messages) if arms.grounding else ())]
        reference = [e.target] if e.target and e.answerable else []
        texts = dict.fromkeys([*reference, *(f"{p.heading}. {p.text}" if p.heading else p.text for p in passages)])
        found[e.id] = list(texts)
    return found


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
    """Right or not on each general task."""
    tasks = general.general_examples()
    free = asyncio.Semaphore(concurrent)
    with progress.step("general ability", len(tasks)) as step:

        async def one(task: Example) -> float:
            async with free:
                reply = await collect(model, ChatRequest(messages=task.messages, max_tokens=general.MAX_TOKENS))
            step.advance()
            return general.right(task, reply.text)

        return list(await asyncio.gather(*(one(t) for t in tasks)))


def _judged(
    project: Project, examples: Sequence[Example], found: dict[str, tuple[list[Answer], float]]
) -> dict[str, Json] | None:
    """Adds the judge's word to every answer, and says how far it agrees with people where they left labels."""
    model = OpenAIModel(project.judge)
    for name, (answers, seconds) in found.items():
        rows = [(e.question, e.target, a.text) for e, a in zip(examples, answers, strict=True)]
        words = asyncio.run(judge.judge_all(model, rows))
        found[name] = ([
            a if w is None else a.model_copy(update={"scores": {**a.scores, "judged": w}})
            for a, w in zip(answers, words, strict=True)
        ], seconds)  # fmt: skip
    if not project.judge.labels:
        return None
    labels = judge.read_labels(project.path(project.judge.labels))
    words = asyncio.run(judge.judge_all(model, [row for row, _ in labels]))
    return judge.agreement([label for _, label in labels], words, project.seed)
