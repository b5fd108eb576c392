"""The confidence of the arms, fitted to questions that are held out from training and that the verdict does not ask.

Every customized arm is asked the validation questions, and questions made from them and from the documents, behind all
of its other guardrails: the answers are those that the confidence rail will see.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from inhouse.assembly.arms import CUSTOMIZED, Arms
from inhouse.assembly.guard import Parts, calibration_file, wrapped
from inhouse.datasets.variants import variants
from inhouse.errors import InputError
from inhouse.evaluation.evaluate import Answer, Exam, asked, evaluate_arm
from inhouse.evaluation.probes import make_probes
from inhouse.evaluation.scorers import Scorer
from inhouse.guardrails.confidence.calibration import fit, strictest_support
from inhouse.guardrails.confidence.features import Features
from inhouse.guardrails.confidence.rail import FeatureRecorder, conversation_digest
from inhouse.types import Digest, Document, Example, Json, digest_of

LOST = 0.05  # share of the right answers that a stricter groundedness rail may cut
MOST_QUESTIONS = 200
PROBES = 24  # of each kind
KINDS = ("typo", "case", "table", "sibling", "near_miss")  # follow-ups and double questions are variants


def held_questions(
    parts: Parts, validation: Sequence[Example], documents: Sequence[Document], verdict: Collection[Example]
) -> list[Example]:
    """The validation questions, and as many made from them and from the documents, up to MOST_QUESTIONS; none has the
    words of a question of the verdict."""
    project = parts.project
    handoff, seed = project.assistant.handoff, project.seed + 1
    varied = variants(validation, documents, handoff, seed)
    probes, _ = make_probes(validation, documents, handoff, parts.languages(), PROBES, seed, KINDS)
    taken = {words_of(e) for e in verdict}
    made = {words_of(e): e for e in [*varied, *probes] if not (e.answerable and e.target == handoff)}
    drawn = sorted((e for words, e in made.items() if words not in taken), key=lambda e: digest_of([seed, e.id]))
    return [*validation[:MOST_QUESTIONS], *drawn[: max(MOST_QUESTIONS - len(validation), 0)]]


def calibrate_arms(parts: Parts, arms: Arms, examples: Sequence[Example], work: Path) -> dict[str, Json]:
    """Writes a calibration for every customized arm of the verdict into `work`; returns what each led to, by arm.

    An arm that cannot be calibrated has a "reason" instead.

    Args:
        parts: what the other rails are built from.
        arms: without guardrails.
        examples: the questions.
        work: folder of the artifact.
    """
    return {
        arm: _calibrate(parts, arms, arm, examples, work) for arm in parts.project.evaluation.arms if arm in CUSTOMIZED
    }


def _calibrate(parts: Parts, arms: Arms, arm: str, examples: Sequence[Example], work: Path) -> dict[str, Json]:
    import numpy as np

    workspace, settings = parts.workspace, parts.project.guardrails
    recorder = FeatureRecorder(parts.features(), work / f"features-{arm}.jsonl")
    behind = Parts(workspace, parts.project, recorder=recorder, report=True)
    scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
    assistant, evaluation = parts.project.assistant, parts.project.evaluation
    exam = Exam(
        examples, {e.id: [e.target] for e in examples}, scorer, assistant.max_tokens, evaluation.timeout_s,
        parts.project.model.parallel,
    )  # fmt: skip
    model = wrapped(behind, arms.open(arm))
    answers, _ = asyncio.run(evaluate_arm(model, exam, work / f"answers-{arm}.jsonl", workspace.progress))
    rows, right = labeled(examples, answers, recorder.rows())
    facts: dict[str, Json] = {"asked": len(examples), "examples": len(rows)}
    try:
        fitted = fit(np.array(rows), right, settings.max_wrong, settings.min_answered)
    except InputError as error:
        return facts | {"reason": str(error)}
    calibration_file(work, arm).write_text(fitted.model_dump_json(), encoding="utf-8")
    given = len(rows) / len(examples)
    return facts | {
        "right": sum(right) / len(right), "wanted": settings.max_wrong, "target": fitted.target,
        "answered": fitted.answered * given, "wrong": fitted.wrong, "error": fitted.error,
        "min_support": strictest_support(rows, right, LOST),
        "targets": [(t.target, t.answered * given, t.wrong) for t in fitted.targets],
    }  # fmt: skip


def labeled(
    examples: Sequence[Example], answers: Sequence[Answer], rows: Mapping[Digest, Features]
) -> tuple[list[Features], list[bool]]:
    """The features of each answer that was given, and whether it was not wrong; a reply that declines is no answer."""
    at = {e.id: conversation_digest(messages) for e, messages in asked(examples, answers)}
    given = [
        (rows[at[e.id]], a.outcome != "wrong")
        for e, a in zip(examples, answers, strict=True)
        if at[e.id] in rows and not (a.declined or a.failed)
    ]
    return [row for row, _ in given], [right for _, right in given]


def summary(facts: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
    """By arm, in words: the error target that is met and what is answered with it, or why there is none."""

    def words(f: Mapping[str, Json]) -> str:
        kept = f"at most {100 * f['target']:g}% wrong" if f["target"] < 1 else "no target kept"
        return f"{kept}, {f['answered']:.0%} answered"

    return {arm: f.get("reason") or words(f) for arm, f in facts.items()}


def words_of(example: Example) -> str:
    """What a question says; equal for questions that differ in capitals alone."""
    return json.dumps([m.content.casefold() for m in example.messages if m.role == "user"])
